/*
 * derived_hierarchy.c
 *		History and tracking tables of a hierarchy: they inherit as their live
 *		tables do.
 *
 * A table of a hierarchy may belong to another owner than its parent.  What the
 * one has put on a history must not run with the rights of the other: a child's
 * history gets no default of another owner's, and is kept apart, with a WARNING,
 * from a parent's that demands a constraint or a generated column of another
 * owner's.  What evaluates something in all tables of a hierarchy does so in each
 * as its owner.
 *
 * Locks: the caller's on the live tables; those of ALTER TABLE on the derived ones.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"
#include "compat.h"

/* What a parent has that a child lacks. */
typedef struct Missing
{
	List	   *columns;		/* FormData_pg_attribute */
	List	   *constraints;	/* OIDs of CHECKs that children inherit */
} Missing;

static void find_missing_columns(Missing *missing, Oid child, Oid parent);
static void find_missing_constraints(Missing *missing, Oid child, Oid parent);
static const char *foreign_code(const Missing *missing);
static void add_column(Oid child, Oid parent, Form_pg_attribute att, bool same_owner);
static void add_constraint(Oid child, Oid constraint);

/*
 * Put a derived table under its parent's, unless it is there.  Columns and CHECKs
 * that it lacks are added; those of another owner's parent are left out, and where
 * that cannot be the table stays apart.  Both are told in a WARNING.
 */
void
derived_inherit(Oid child, Oid parent)
{
	bool		same_owner = security_owner_of(child) == security_owner_of(parent);
	Missing		missing = {NIL, NIL};
	const char *foreign;
	ListCell   *lc;

	if (list_member_oid(find_inheritance_children(parent, NoLock), child))
		return;
	find_missing_columns(&missing, child, parent);
	find_missing_constraints(&missing, child, parent);
	foreign = same_owner ? NULL : foreign_code(&missing);
	if (foreign)
	{
		ereport(WARNING,
				(errmsg("table \"%s\" does not inherit from \"%s\"",
						get_rel_name(child), get_rel_name(parent)),
				 errdetail("%s of %s, which belongs to another owner, would be evaluated with the rights of the owner of %s.",
						   foreign, naming_quoted(parent), naming_quoted(child)),
				 errhint("When it has been dropped, ALTER TABLE %s INHERIT %s;",
						 naming_quoted(child), naming_quoted(parent))));
		return;
	}

	foreach(lc, missing.columns)
		add_column(child, parent, lfirst(lc), same_owner);
	foreach(lc, missing.constraints)
		add_constraint(child, lfirst_oid(lc));
	catalog_inherit(child, parent);
}

static void
find_missing_columns(Missing *missing, Oid child, Oid parent)
{
	Relation	child_rel = table_open(child, AccessShareLock);
	Relation	parent_rel = table_open(parent, AccessShareLock);
	int			i;

	/* copies, since ALTER TABLE refuses a table that we hold open ourselves */
	for (i = 0; i < RelationGetNumberOfAttributes(parent_rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(parent_rel), i);

		if (!att->attisdropped &&
			columns_find(child_rel, NameStr(att->attname)) == NULL)
			missing->columns = lappend(missing->columns,
									   memcpy(palloc(sizeof(FormData_pg_attribute)),
											  att, ATTRIBUTE_FIXED_PART_SIZE));
	}
	table_close(parent_rel, NoLock);
	table_close(child_rel, NoLock);
}

static void
find_missing_constraints(Missing *missing, Oid child, Oid parent)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(parent));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype == CONSTRAINT_CHECK && !form->connoinherit &&
			!OidIsValid(get_relation_constraint_oid(child, NameStr(form->conname), true)))
			missing->constraints = lappend_oid(missing->constraints, form->oid);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
}

/*
 * What there is in it that a child cannot do without, and that evaluates
 * something; or NULL.
 */
static const char *
foreign_code(const Missing *missing)
{
	ListCell   *lc;

	if (missing->constraints != NIL)
		return psprintf("Constraint \"%s\"",
						get_constraint_name(linitial_oid(missing->constraints)));
	foreach(lc, missing->columns)
	{
		Form_pg_attribute att = lfirst(lc);

		if (att->attgenerated || att->attnotnull)
			return psprintf("Column \"%s\"", NameStr(att->attname));
	}
	return NULL;
}

/*
 * A column of the parent's: one that it has kept, or that a site has added.  What
 * the site has put on it, a child's of the same owner has as well.
 */
static void
add_column(Oid child, Oid parent, Form_pg_attribute att, bool same_owner)
{
	char	   *expression = att->atthasdef ? columns_default_sql(parent, att->attnum) : NULL;
	TableColumn *column;

	if (expression && !same_owner)
	{
		ereport(WARNING,
				(errmsg("column \"%s\" of table \"%s\" gets no default",
						NameStr(att->attname), get_rel_name(child)),
				 errdetail("The default in %s, which belongs to another owner, would be evaluated with the rights of the owner of %s.",
						   naming_quoted(parent), naming_quoted(child))));
		expression = NULL;
	}
	if (expression == NULL && !att->attnotnull)
	{
		derived_add_column(child, att);
		return;
	}

	if (expression && att->attgenerated)
		expression = psprintf(" GENERATED ALWAYS AS (%s) %s", expression,
							  attribute_is_virtual_compat(att) ? "VIRTUAL" : "STORED");
	else if (expression)
		expression = psprintf(" DEFAULT %s", expression);
	column = derived_column_like(att, pstrdup(NameStr(att->attname)),
								 psprintf("%s%s", expression ? expression : "",
										  att->attnotnull ? " NOT NULL" : ""));
	ddl_add_column(child, column);
	remote_columns_follow(child);
	derived_copy_storage(child, att, NameStr(att->attname));
}

/* A CHECK of the parent's, of the same owner, as SQL with every name qualified. */
static void
add_constraint(Oid child, Oid constraint)
{
	int			nestlevel = naming_begin_qualified();
	char	   *definition =
		TextDatumGetCString(DirectFunctionCall1(pg_get_constraintdef,
												ObjectIdGetDatum(constraint)));

	AtEOXact_GUC(true, nestlevel);
	ddl_alter_table(child, true, psprintf("ADD CONSTRAINT %s %s",
										  quote_identifier(get_constraint_name(constraint)),
										  definition));
}

/*
 * Do something to a derived table and to those that inherit from it that may run
 * what their owners have put on them.  The action goes down by itself, and acts as
 * the owner of the table that it is called for: so tables of another owner's than
 * their parent's are taken off, have the action called for themselves, and are put
 * back.  So are all tracking tables where their columns' NOT NULL has a name, which
 * forbids changing a type in a hierarchy, and segments on other servers: a foreign table
 * has no rows here, and PostgreSQL refuses an expression over them.
 *
 * Takes ACCESS EXCLUSIVE on all of them.
 */
void
derived_for_each_owner(Oid relid, void (*action) (Oid relid, void *arg), void *arg)
{
	List	   *tree = find_all_inheritors(relid, AccessExclusiveLock, NULL);
	List	   *children = NIL;
	List	   *parents = NIL;
	bool		all = not_null_has_name_compat && list_length(tree) > 1 &&
		derived_serves_tracking(relid);
	ListCell   *lc;
	ListCell   *above;

	foreach(lc, tree)
	{
		Oid			child = lfirst_oid(lc);

		foreach(above, child == relid ? NIL : lineage_parents(child))
			if (list_member_oid(tree, lfirst_oid(above)) &&
				(all || get_rel_relkind(child) == RELKIND_FOREIGN_TABLE ||
				 security_owner_of(lfirst_oid(above)) != security_owner_of(child)))
			{
				children = lappend_oid(children, child);
				parents = lappend_oid(parents, lfirst_oid(above));
			}
	}

	forboth(lc, children, above, parents)
		catalog_disinherit(lfirst_oid(lc), lfirst_oid(above));
	action(relid, arg);
	foreach(lc, list_concat_unique_oid(NIL, children))
		action(lfirst_oid(lc), arg);
	forboth(lc, children, above, parents)
	{
		catalog_inherit(lfirst_oid(lc), lfirst_oid(above));
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			catalog_columns_are_inherited(lfirst_oid(lc));
	}
}

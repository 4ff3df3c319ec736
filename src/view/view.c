/*
 * view.c
 *		X__with_history: the live rows and all versions before them.
 *
 * What it shows is said in view_sql.c; how its columns, and the views on it, follow
 * those of the table, in view_change.c.
 *
 * The caller holds a lock on the live table.  The view is read with the rights
 * of its reader where PostgreSQL knows how (15); before, readers who are subject to
 * the live table's policies see nothing in it.
 *
 * Ours is what has the name, belongs to the owner of the live table and has the
 * columns of a history at its end.  Where nobody has asked for the view, as in DDL on
 * the table, it is changed only if it shows both live and history table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "view/view.h"
#include "compat.h"

/* the arguments of what is asked for the origin of a row */
static const Oid of_row[] = {OIDOID, TIDOID, RECORDOID};

static void view_update_columns(Oid view, const RegistryRow *row);
static void check_name(const RegistryRow *row);
static void set_invoker_option(Oid view, bool anyhow);
static Oid	view_named(const char *name, Oid namespace);
static bool has_own_columns(Oid view);
static bool shows_both(Oid view, const RegistryRow *row);
static bool refers_only_to_ours(Oid view, const RegistryRow *row);
static Oid	function_of_ours(const char *name, const Oid *types, int n);

/*
 * Make the view, or give it the columns and the query that it should have, where they
 * are others: with nothing to do no lock is taken that a reader feels.  A view that is
 * suspended is left to view_resume.
 *
 * Errors out if the name is taken by what is not the view.
 */
void
view_create(const RegistryRow *row)
{
	Oid			view = view_find(row->live);

	Assert(relation_is_locked(row->live, AccessShareLock));
	if (OidIsValid(view))
	{
		view_update_columns(view, row);
		return;
	}
	check_name(row);
	view = view_query_create(get_rel_namespace(row->live), naming_view(row->live),
							 security_owner_of(row->live), view_query(row));
	privileges_copy_select(row->live, view);
	catalog_comment(RelationRelationId, view, 0, VIEW_COMMENT);
}

/* If there is a view of ours: what it should be. */
void
view_update(const RegistryRow *row)
{
	Oid			view = view_of_table(row->live);

	Assert(relation_is_locked(row->live, AccessShareLock));
	if (OidIsValid(view))
		view_update_columns(view, row);
}

/*
 * A view that is to show more columns, and cannot because of what roles that may not read
 * it have put on it, shows those that it had: the table's owner is not to wait for them.
 */
static void
view_update_columns(Oid view, const RegistryRow *row)
{
	ViewChange *change;

	if (view_is_suspended(row->live))
		return;
	change = view_change(view, row->live, view_query(row),
						 view_renamed_columns(view, row->live, false), false);
	if (!change->renumbered || !view_change_adds(change) || !view_is_held_by_strangers(change))
		view_change_all(list_make1(change), NIL);
	else
		ereport(WARNING,
				(errmsg("view \"%s\" does not show the columns of table \"%s\" that are new",
						get_rel_name(view), get_rel_name(row->live)),
				 errdetail("Objects of roles that may not read the view depend on it."),
				 errhint("DROP VIEW %s CASCADE; SELECT %s(%s::regclass);", naming_quoted(view),
						 hint_function("create_history_view_for_table"),
						 hint_table(row->live))));
}

/* If the view is there and shows other columns than the table has: what it should be. */
void
view_refresh(const RegistryRow *row)
{
	Oid			view = view_of_table(row->live);

	Assert(relation_is_locked(row->live, AccessShareLock));
	if (OidIsValid(view) && !view_shows_table(view, row, false))
		view_update_columns(view, row);
}

/*
 * What it should be, since a child's history came or went.  A history that lacks
 * columns, as one may while tracking is disabled, cannot be shown: that view stays
 * as it is until tracking is enabled.
 */
void
view_renew(const RegistryRow *row)
{
	Assert(relation_is_locked(row->live, AccessShareLock));
	if (OidIsValid(view_of_table(row->live)) && view_has_columns(row))
		view_update(row);
}

/*
 * Returns true if there is no view of the right name, or another role's, or if it shows
 * the columns that it should.  older: those of the live table alone.
 */
bool
view_fits(const RegistryRow *row, bool older)
{
	Oid			view = older ? view_of_name(row->live) : view_find(row->live);

	if (!OidIsValid(view))
	{
		view = view_of_name(row->live);
		return !OidIsValid(view) || security_owner_of(view) != security_owner_of(row->live);
	}
	return older ? view_has_names_of(view, row->live) : view_shows_table(view, row, true);
}

/*
 * Make the older implementation's view, which has the live columns alone, one of
 * ours, and ours what it should be.  Another role's, and what shows anything else, is
 * none of ours.
 */
void
view_take_over(const RegistryRow *row)
{
	Oid			view = view_of_name(row->live);

	Assert(relation_is_locked(row->live, AccessShareLock));
	if (view_find(row->live) == view)
		view_refresh(row);
	if (!OidIsValid(view) || view_find(row->live) == view ||
		security_owner_of(view) != security_owner_of(row->live) ||
		!shows_both(view, row))
		return;
	set_invoker_option(view, false);
	view_change_all(list_make1(view_change(view, row->live, view_query(row),
										   view_renamed_columns(view, row->live, false), false)), NIL);
}

/*
 * What the view's columns would be called had they followed those of the live table,
 * by number - 1: while tracking is disabled, and by the older implementation, they
 * keep their names when the table's are renamed.
 * thorough: also where another column has the name by now.
 */
const char **
view_renamed_columns(Oid view, Oid live, bool thorough)
{
	Relation	rel = relation_open(view, AccessShareLock);
	int			natts = RelationGetNumberOfAttributes(rel);
	const char **names = palloc(sizeof(char *) * Max(natts, 1));
	int			known = 0;
	Query	   *query;
	Node	   *arm;
	List	   *targets;
	ListCell   *lc;
	int			i;

	for (i = 0; i < natts; i++)
	{
		names[i] = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname));
		known += get_attnum(live, names[i]) != InvalidAttrNumber ||
			strcmp(names[i], PERIOD_COLUMN) == 0 || strcmp(names[i], XID_COLUMN) == 0 ||
			strcmp(names[i], MAKER_COLUMN) == 0;
	}
	relation_close(rel, NoLock);
	if (known == natts && !thorough)
		return names;

	/* the first arm of UNION ALL names the columns; the union may be within a query */
	query = view_query_of(view);
	if (query->setOperations == NULL && list_length(query->jointree->fromlist) == 1 &&
		IsA(linitial(query->jointree->fromlist), RangeTblRef))
	{
		RangeTblEntry *entry = rt_fetch(linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex,
										query->rtable);

		if (entry->rtekind == RTE_SUBQUERY)
			query = entry->subquery;
	}
	arm = query->setOperations;
	targets = query->targetList;
	while (arm && IsA(arm, SetOperationStmt))
		arm = ((SetOperationStmt *) arm)->larg;
	if (arm)
		targets = rt_fetch(((RangeTblRef *) arm)->rtindex, query->rtable)->subquery->targetList;
	foreach(lc, targets)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		char	   *now = target->resorigtbl == live ?
			get_attname(live, target->resorigcol, true) : NULL;

		if (now && target->resno <= natts && get_attnum(view, now) == InvalidAttrNumber)
			names[target->resno - 1] = now;
	}
	return names;
}

/*
 * The view shall not show what policies on the live table hide from its reader: it is
 * read with his rights, or, where it cannot be, has a condition while there are policies.
 */
void
view_protect(const RegistryRow *row)
{
	Oid			view = view_of_table(row->live);

	Assert(relation_is_locked(row->live, AccessShareLock));
	if (!OidIsValid(view))
		return;
	if (VIEW_OPTIONS_COMPAT == NIL)
	{
		if (view_is_conditional(view) != row_security_is_enabled(row->live))
			view_renew(row);
	}
	else if (view_shows_hidden(view, row->live))
		set_invoker_option(view, true);
}

/*
 * ALTER VIEW SET (security_invoker), unless the view says something of it already, or
 * anyhow.
 */
static void
set_invoker_option(Oid view, bool anyhow)
{
	Relation	catalog;
	HeapTuple	tuple;
	Datum		value;
	bool		isnull;
	int			column = Anum_pg_class_reloptions;
	ListCell   *lc;

	if (VIEW_OPTIONS_COMPAT == NIL)
		return;
	LockRelationOid(view, AccessExclusiveLock);
	catalog = table_open(RelationRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(view));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	value = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	foreach(lc, isnull ? NIL : untransformRelOptions(value))
		if (!anyhow && strcmp(lfirst_node(DefElem, lc)->defname, "security_invoker") == 0)
			column = 0;
	if (column)
	{
		value = transformRelOptions(isnull ? (Datum) 0 : value, VIEW_OPTIONS_COMPAT,
									NULL, NULL, false, false);
		isnull = false;
		tuple = heap_modify_tuple_by_cols(tuple, RelationGetDescr(catalog), 1,
										  &column, &value, &isnull);
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	}
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/* Error out if the name of the view is taken. */
static void
check_name(const RegistryRow *row)
{
	Oid			namespace = get_rel_namespace(row->live);
	const char *name = naming_view(row->live);
	Oid			taken = get_relname_relid(name, namespace);

	if (!OidIsValid(taken))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("cannot make the history view of table \"%s\"", get_rel_name(row->live)),
			 security_owner_of(taken) == security_owner_of(row->live) ?
			 errdetail("The name \"%s\" is taken by a relation that is not the view.", name) :
			 errdetail("The name \"%s\" is taken by a relation of role %s, which does not own the table.",
					   name, security_role_sql(security_owner_of(taken))),
			 errhint("Rename or drop %s.", naming_quoted(taken))));
}

/* Drop the view if it is there; what a user has built on it is an error, or with cascade goes. */
void
view_drop(Oid live, bool cascade)
{
	Oid			view = view_find(live);

	if (!OidIsValid(view))
		view = view_of_table(live);
	if (!OidIsValid(view))
		view = view_of_table_before(live);
	if (OidIsValid(view))
		catalog_drop(RelationRelationId, view, cascade);
}

/* The view that has the right name, whatever it shows and whosoever it is, or InvalidOid. */
Oid
view_of_name(Oid live)
{
	return view_named(naming_view(live), get_rel_namespace(live));
}

static Oid
view_named(const char *name, Oid namespace)
{
	Oid			view = get_relname_relid(name, namespace);

	return OidIsValid(view) && get_rel_relkind(view) == RELKIND_VIEW ? view : InvalidOid;
}

/*
 * The view of the live table, or InvalidOid: of the right name, with the history's
 * columns, and of the live table's owner.
 */
Oid
view_find(Oid live)
{
	Oid			view = view_of_name(live);

	return OidIsValid(view) && has_own_columns(view) &&
		security_owner_of(view) == security_owner_of(live) ? view : InvalidOid;
}

/* Returns true if the view's last columns are the history's. */
static bool
has_own_columns(Oid view)
{
	AttrNumber	xid = get_attnum(view, XID_COLUMN);

	return xid > 1 && get_atttype(view, xid) == INT8OID &&
		get_attnum(view, PERIOD_COLUMN) == xid - 1;
}

/*
 * The view of a table that has been renamed or moved while nobody followed: it has
 * a name as its history has.  InvalidOid if there is none.
 */
Oid
view_of_table_before(Oid live)
{
	RegistryRow *row = registry_get(live);
	char	   *history = row ? get_rel_name(row->history) : NULL;
	char	   *before = history ? naming_live_of(history) : NULL;

	return before == NULL ? InvalidOid :
		view_of_table_named(live, psprintf("%s__with_history", before),
							get_rel_namespace(row->history), security_owner_of(live));
}

/*
 * The view, if it is there, looks into another tracking table now.  If it cannot be
 * changed, as the columns of the table and its history do not fit, it goes, with a NOTICE.
 */
void
view_leave_tracking(const RegistryRow *row)
{
	Oid			view = view_of_table(row->live);

	if (OidIsValid(view) && view_is_castable(row))
	{
		view_update(row);
		return;
	}
	if (!OidIsValid(view))
		view = view_of_table_before(row->live);
	if (!OidIsValid(view) || view_is_suspended(row->live))
		return;
	view_say_dropped(view, row);
	catalog_drop(RelationRelationId, view, false);
}

/* A NOTICE that the view is about to go, as it cannot be what it should be. */
void
view_say_dropped(Oid view, const RegistryRow *row)
{
	ereport(NOTICE,
			(errmsg("dropping view %s, since history table \"%s\" cannot hold what table \"%s\" holds now",
					naming_quoted(view), get_rel_name(row->history),
					get_rel_name(row->live)),
			 errhint("Enable tracking, and then call create_history_view_for_table.")));
}

/*
 * The live table's view that is to follow what becomes of the table, or InvalidOid.
 * Neither need be locked: each may go while they are looked up.
 */
Oid
view_of_table(Oid live)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(live));
	FormData_pg_class class;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	memcpy(&class, GETSTRUCT(tuple), CLASS_TUPLE_SIZE);
	ReleaseSysCache(tuple);
	return view_of_table_named(live, naming_view_for(NameStr(class.relname)),
							   class.relnamespace, class.relowner);
}

/*
 * The history view of a live table that had another name, schema or owner, which are
 * given; InvalidOid if there is none.
 *
 * It shows live and history table: a view made by hand is nobody's to replace unasked.
 * One that has been given to another role is still ours if it refers to nothing else;
 * then it cannot be a trap.
 */
Oid
view_of_table_named(Oid live, const char *name, Oid namespace, Oid owner)
{
	Oid			view = view_named(name, namespace);
	RegistryRow *row;

	if (!OidIsValid(view) || !has_own_columns(view))
		return InvalidOid;
	if (view_is_suspended(live))
		return view;
	row = registry_get(live);
	return row && shows_both(view, row) &&
		(security_owner_or_invalid(view) == owner || refers_only_to_ours(view, row)) ?
		view : InvalidOid;
}

/* Returns true if the view shows live and history table. */
static bool
shows_both(Oid view, const RegistryRow *row)
{
	return view_shows(view, list_make2_oid(row->live, row->history));
}

static bool
refers_only_to_ours(Oid view, const RegistryRow *row)
{
	List	   *relations = list_concat(list_make4_oid(row->live, row->history, row->tracking,
													   extension_registry()),
										list_make2_oid(segments_view(), view));
	List	   *functions = list_make3_oid(function_of_ours("catmaid_history_no_end", NULL, 0),
										   function_of_ours("catmaid_history_live_start", of_row,
															lengthof(of_row)),
										   function_of_ours("catmaid_history_live_maker", of_row,
															lengthof(of_row)));

	return list_difference_oid(view_references(view, RelationRelationId), relations) == NIL &&
		list_difference_oid(view_references(view, ProcedureRelationId), functions) == NIL;
}

/* The function that our views call, or InvalidOid. */
static Oid
function_of_ours(const char *name, const Oid *types, int n)
{
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(types, n)),
						   ObjectIdGetDatum(extension_namespace()));
}

/*
 * view_dependents.c
 *		What depends on a view, and whether it lets the view's columns change.
 *
 * Views and materialized views on it can follow (view_change.c).  All else that names
 * its columns by number, or holds its rows, cannot: PostgreSQL would not let the
 * view be dropped because of it, so we do not change it.
 *
 * Locks: ACCESS SHARE on catalogs; those of view_lock_upon.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "view/view.h"
#include "compat.h"

static List *queries_upon(Oid class, Oid object, List *views);
static void view_dependents_collect(Oid relid, List **seen, List **views);
static SysScanDesc dependents_of(Relation depend, Oid class, Oid object, ScanKey key);
static SysScanDesc references_of(Relation depend, Oid view, ScanKey key);
static bool count_in_the_way(const ViewChange *change, Oid class, Oid object, bool *strangers);
static bool is_stranger(Oid role, Oid view);
static Oid	owner_of(const ObjectAddress *object);
static void list_dependents(const ViewChange *change, Oid class, Oid object,
							StringInfo list);
static bool stands_in_the_way(const ViewChange *change, Form_pg_depend form,
							  ObjectAddress *dependent);
static bool is_of_view(Oid view, Form_pg_depend form);
static bool relation_of_rule(Oid rule, Oid *relation);
static Oid	relation_of_trigger(Oid trigger);

/*
 * The views on these relations, and on those views, each after all of
 * them that it depends on.
 */
List *
view_dependents(List *relations)
{
	List	   *seen = NIL;
	List	   *views = NIL;
	int			i;

	/* backwards, as in collect */
	for (i = list_length(relations) - 1; i >= 0; i--)
		view_dependents_collect(list_nth_oid(relations, i), &seen, &views);
	return views;
}

/*
 * Each view is looked at once, by however many ways it is come to, and then put
 * before what has been collected: all that depends on it, and more.  Going backwards
 * keeps views that do not depend on each other in their order.
 */
static void
view_dependents_collect(Oid relid, List **seen, List **views)
{
	List	   *upon = view_upon(relid);
	int			i;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	for (i = list_length(upon) - 1; i >= 0; i--)
	{
		Oid			dependent = list_nth_oid(upon, i);

		if (list_member_oid(*seen, dependent))
			continue;
		*seen = lappend_oid(*seen, dependent);
		view_dependents_collect(dependent, seen, views);
		*views = lcons_oid(dependent, *views);
	}
}

/* The views and materialized views that show the relation themselves. */
List *
view_upon(Oid relid)
{
	return queries_upon(RelationRelationId, relid, NIL);
}

/* The views on the view, with those that show nothing of it but values of its row type. */
List *
view_upon_rows(Oid view)
{
	Oid			row_type = get_rel_type_id(view);

	return queries_upon(TypeRelationId, get_array_type(row_type),
						queries_upon(TypeRelationId, row_type, view_upon(view)));
}

/* Add the views whose query depends on the object to the list. */
static List *
queries_upon(Oid class, Oid object, List *views)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan = dependents_of(depend, class, object, key);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		Oid			view;

		if (form->classid == RewriteRelationId && form->deptype == DEPENDENCY_NORMAL &&
			relation_of_rule(form->objid, &view) && view != object)
			views = list_append_unique_oid(views, view);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return views;
}

/* What depends on an object; key has room for two. */
static SysScanDesc
dependents_of(Relation depend, Oid class, Oid object, ScanKey key)
{
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(class));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object));
	return systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
}

/* What the view's query depends on; key has room for two. */
static SysScanDesc
references_of(Relation depend, Oid view, ScanKey key)
{
	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RewriteRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(view_query_rule(view)));
	return systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
}

/*
 * Returns true if the query of the view uses one of the columns of the relation, given
 * as flags by their numbers - 1.
 */
bool
view_uses_columns(Oid view, Oid relid, const bool *columns)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	bool		uses = false;
	ScanKeyData key[2];
	SysScanDesc scan = references_of(depend, view, key);
	HeapTuple	tuple;

	while (!uses && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		uses = form->refclassid == RelationRelationId && form->refobjid == relid &&
			form->refobjsubid > 0 && columns[form->refobjsubid - 1];
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return uses;
}

/* Returns true if the view shows all of the relations. */
bool
view_shows(Oid view, List *relations)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan = references_of(depend, view, key);
	HeapTuple	tuple;

	while (relations != NIL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->refclassid == RelationRelationId)
			relations = list_delete_oid(relations, form->refobjid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return relations == NIL;
}

/* The objects of the class that the view's query depends on. */
List *
view_references(Oid view, Oid class)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *objects = NIL;
	ScanKeyData key[2];
	SysScanDesc scan = references_of(depend, view, key);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->refclassid == class)
			objects = list_append_unique_oid(objects, form->refobjid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return objects;
}

/* The commands that drop the views, and those on them; palloc'd. */
char *
view_drop_commands(List *views)
{
	List	   *above = view_dependents(views);
	StringInfoData sql;

	initStringInfo(&sql);
	/* those that depend on others come after them */
	above = list_concat(list_difference_oid(views, above), above);
	for (; above != NIL; above = list_delete_last(above))
		appendStringInfo(&sql, "%sDROP %s %s;", sql.len ? " " : "",
						 get_rel_relkind(llast_oid(above)) == RELKIND_VIEW ? "VIEW" : "MATERIALIZED VIEW",
						 naming_quoted(llast_oid(above)));
	return sql.data;
}

/* What the view's query may mean by a name: relations, functions and operators, ObjectAddress. */
List *
view_meanings(Oid view)
{
	static const Oid classes[] = {RelationRelationId, ProcedureRelationId, OperatorRelationId};
	List	   *uses = NIL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < lengthof(classes); i++)
		foreach(lc, view_references(view, classes[i]))
		{
			ObjectAddress *object = palloc(sizeof(ObjectAddress));

			ObjectAddressSet(*object, classes[i], lfirst_oid(lc));
			uses = lappend(uses, object);
		}
	return uses;
}

/*
 * Returns true if the view on the view belongs to a role that may not read that; false if
 * it was dropped.
 */
bool
view_is_strangers(Oid upon, Oid view)
{
	Oid			owner = security_owner_or_invalid(upon);

	return OidIsValid(owner) && is_stranger(owner, view);
}

/*
 * Lock what is on the view, which is to change, against readers.  PostgreSQL lets anybody
 * put a view on any other in a schema that he may use; who may not read it has none that
 * anybody can read, and is not waited for.  Returns false where such a one is locked.
 */
bool
view_lock_upon(Oid upon, Oid view)
{
	if (view_is_strangers(upon, view))
		return ConditionalLockRelationOid(upon, AccessExclusiveLock);
	LockRelationOid(upon, AccessExclusiveLock);
	return true;
}

/*
 * Lock a view on the view against readers, as view_lock_upon does; error out where another
 * session has locked it. about: the live table that is changed.
 */
void
view_lock_upon_or_refuse(Oid upon, Oid view, Oid about)
{
	if (!view_lock_upon(upon, view))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("cannot change table \"%s\" because a view on its history view is in use",
						get_rel_name(about)),
				 errdetail("View %s is locked, and its owner may not read %s.",
						   naming_quoted(upon), naming_quoted(view)),
				 errhint("Try again, or have its owner drop it.")));
}

/*
 * Returns true if nothing but views of roles that may not read the view keep it from the
 * change.  Locks the views on it.
 */
bool
view_is_held_by_strangers(const ViewChange *change)
{
	Oid			row_type = get_rel_type_id(change->view);
	bool		held = false;
	ListCell   *lc;

	foreach(lc, view_upon_rows(change->view))
	{
		Oid			upon = lfirst_oid(lc);

		if (!view_lock_upon(upon, change->view))
			held = true;
		else if (OidIsValid(view_query_rule(upon)) &&
				 is_stranger(security_owner_of(upon), change->view) &&
				 !view_remap(view_query_of(upon), list_make1((void *) change)))
			held = true;
	}
	return count_in_the_way(change, RelationRelationId, change->view, &held) &&
		count_in_the_way(change, TypeRelationId, row_type, &held) &&
		count_in_the_way(change, TypeRelationId, get_array_type(row_type), &held) && held;
}

/* Sets *strangers if some of it is; returns false if something is not. */
static bool
count_in_the_way(const ViewChange *change, Oid class, Oid object, bool *strangers)
{
	Relation	depend;
	bool		all = true;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(object))
		return true;
	depend = table_open(DependRelationId, AccessShareLock);
	scan = dependents_of(depend, class, object, key);
	while (all && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		ObjectAddress dependent;

		if (!stands_in_the_way(change, (Form_pg_depend) GETSTRUCT(tuple), &dependent))
			continue;
		all = is_stranger(owner_of(&dependent), change->view);
		*strangers |= all;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return all;
}

/* Returns true if the role may read nothing of the view. */
static bool
is_stranger(Oid role, Oid view)
{
	return OidIsValid(role) &&
		pg_class_aclcheck(view, role, ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(view, role, ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK;
}

/* The owner of the object, or of its table; InvalidOid for others than may use a view. */
static Oid
owner_of(const ObjectAddress *object)
{
	static const struct
	{
		Oid			class;
		AttrNumber	oid;
		AttrNumber	owner;
		bool		of_table;
	}			kinds[] = {
		{RelationRelationId, Anum_pg_class_oid, Anum_pg_class_relowner, false},
		{ProcedureRelationId, Anum_pg_proc_oid, Anum_pg_proc_proowner, false},
		{TypeRelationId, Anum_pg_type_oid, Anum_pg_type_typowner, false},
		{OperatorRelationId, Anum_pg_operator_oid, Anum_pg_operator_oprowner, false},
		{PolicyRelationId, Anum_pg_policy_oid, Anum_pg_policy_polrelid, true},
		{RewriteRelationId, Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class, true}
	};
	Oid			owner = InvalidOid;
	int			i;

	for (i = 0; i < lengthof(kinds); i++)
	{
		Relation	catalog;
		HeapTuple	tuple;
		bool		isnull;

		if (kinds[i].class != object->classId)
			continue;
		catalog = table_open(object->classId, AccessShareLock);
		tuple = get_catalog_object_by_oid(catalog, kinds[i].oid, object->objectId);
		if (HeapTupleIsValid(tuple))
			owner = DatumGetObjectId(heap_getattr(tuple, kinds[i].owner,
												  RelationGetDescr(catalog), &isnull));
		table_close(catalog, AccessShareLock);
		if (OidIsValid(owner) && kinds[i].of_table)
			owner = security_owner_of(owner);
	}
	return owner;
}

/* Error out for what depends on the view and cannot follow the change. */
void
view_refuse_dependents(const ViewChange *change)
{
	Oid			row_type = get_rel_type_id(change->view);
	StringInfoData list;

	view_refuse_rules(change->view, change->about);
	initStringInfo(&list);
	list_dependents(change, RelationRelationId, change->view, &list);
	list_dependents(change, TypeRelationId, row_type, &list);
	list_dependents(change, TypeRelationId, get_array_type(row_type), &list);
	if (list.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot change table \"%s\" because other objects depend on its history view",
						get_rel_name(change->about)),
				 errdetail("%s", list.data),
				 errhint("Drop them, run the command, and re-create them.")));
}

/* Rules that somebody has put on the view may refer to anything in it. */
void
view_refuse_rules(Oid view, Oid about)
{
	Relation	rel = relation_open(view, AccessExclusiveLock);
	int			i;

	for (i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
		if (rel->rd_rules->rules[i]->event != CMD_SELECT)
		{
			ObjectAddress rule;

			ObjectAddressSet(rule, RewriteRelationId, rel->rd_rules->rules[i]->ruleId);
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot change table \"%s\" because %s depends on its history view",
							get_rel_name(about), getObjectDescriptionCompat(&rule)),
					 errhint("Drop the rule, run the command, and re-create the rule.")));
		}
	relation_close(rel, NoLock);
}

/* Add a line for each object that depends on this one and stands in the way. */
static void
list_dependents(const ViewChange *change, Oid class, Oid object, StringInfo list)
{
	Relation	depend;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(object))
		return;
	depend = table_open(DependRelationId, AccessShareLock);
	scan = dependents_of(depend, class, object, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		ObjectAddress dependent;
		ObjectAddress on;

		ObjectAddressSubSet(on, class, object, form->refobjsubid);
		if (stands_in_the_way(change, form, &dependent))
			appendStringInfo(list, "%s%s depends on %s", list->len ? "\n" : "",
							 getObjectDescriptionCompat(&dependent),
							 getObjectDescriptionCompat(&on));
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}

/*
 * *dependent is what to call it.  If no column has another number, a column of
 * the same type is as it was.
 */
static bool
stands_in_the_way(const ViewChange *change, Form_pg_depend form, ObjectAddress *dependent)
{
	bool		retyped = form->refclassid == RelationRelationId &&
		form->refobjsubid > 0 && change->retyped[form->refobjsubid - 1];
	Oid			relation;

	ObjectAddressSubSet(*dependent, form->classid, form->objid, form->objsubid);
	if (form->deptype == DEPENDENCY_INTERNAL || is_of_view(change->view, form) ||
		(form->refclassid == RelationRelationId && !change->renumbered && !retyped))
		return false;
	if (form->classid == RewriteRelationId && relation_of_rule(form->objid, &relation))
	{
		ObjectAddressSet(*dependent, RelationRelationId, relation);
		return retyped && get_rel_relkind(relation) == RELKIND_MATVIEW;
	}
	/* a view's column that has rows of this one holds none of them */
	return form->classid != RelationRelationId ||
		get_rel_relkind(form->objid) != RELKIND_VIEW;
}

/* A default, a trigger or a rule of the view itself. */
static bool
is_of_view(Oid view, Form_pg_depend form)
{
	Oid			relation;

	if (form->classid == AttrDefaultRelationId)
		return form->deptype == DEPENDENCY_AUTO;
	if (form->classid == TriggerRelationId)
		return relation_of_trigger(form->objid) == view;
	return form->classid == RewriteRelationId &&
		relation_of_rule(form->objid, &relation) && relation == view;
}

/* Returns true if the rule is a query of a view, and that view. */
static bool
relation_of_rule(Oid rule, Oid *relation)
{
	Relation	rewrite = table_open(RewriteRelationId, AccessShareLock);
	bool		is_query = false;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(rule));
	scan = systable_beginscan(rewrite, RewriteOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		*relation = ((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class;
		is_query = strcmp(NameStr(((Form_pg_rewrite) GETSTRUCT(tuple))->rulename),
						  ViewSelectRuleName) == 0;
	}
	systable_endscan(scan);
	table_close(rewrite, AccessShareLock);
	return is_query;
}

static Oid
relation_of_trigger(Oid trigger)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			relation = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		relation = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return relation;
}

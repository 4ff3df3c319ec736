/*
 * dependents.c
 *		What goes with what a command is about to drop, and which columns have a
 *		type or a collation that goes, or a row type that is altered.
 *
 * Found by pg_depend, as PostgreSQL does (dependency.c: findDependentObjects), before
 * the command.  Without CASCADE that is what goes by itself; what does not, and
 * depends, is PostgreSQL's to refuse.
 *
 * Of a type that goes, or is altered, what is made of it shares the fate: arrays,
 * ranges, domains, row types with such a column.  Where a column of a row type goes,
 * the row type is altered.
 *
 * Takes no locks but ACCESS SHARE on catalogs, for the time of reading: what another
 * session adds meanwhile, the command meets.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

#include "registry/registry.h"
#include "compat.h"

typedef enum Fate
{
	FATE_ALTERED = 1,			/* types only */
	FATE_GOES
} Fate;

typedef struct Object
{
	ObjectAddress address;		/* hash key */
	Fate		fate;
	bool		named;			/* by the command */
} Object;

struct Dependents
{
	bool		cascade;
	Relation	depend;			/* while we look */
	HTAB	   *objects;
	List	   *queue;			/* those that are to be looked at */
	List	   *relations;
	List	   *columns;
	List	   *typed;
	List	   *held_back;
};

static bool is_used(Relation depend, Oid type, Oid *array);
static bool dependents_has(const Dependents *dependents, Oid classid, Oid objid);
static void dependents_add(Dependents *dependents, Oid classid, Oid objid, int32 subid,
						   Fate fate, bool named);
static void dependents_follow(Dependents *dependents, Object *object);
static void look_down(Dependents *dependents, const Object *object,
					  Form_pg_depend depend);
static void look_up(Dependents *dependents, const Object *object);
static void alter_row_type(Dependents *dependents, Oid relid);
static void add_column(Dependents *dependents, Oid relid, AttrNumber attnum, Fate fate);
static bool leads_nowhere(const Dependents *dependents, Oid classid, Oid objid);
static bool is_typed_table(Form_pg_depend depend);
static bool is_child_history(const Object *object, Form_pg_depend depend);
static SysScanDesc dependents_scan(const Dependents *dependents, const ObjectAddress *address,
								   bool up, ScanKey key);

/*
 * Returns true if anything uses the row type, other than the array type that comes with
 * it.
 */
bool
dependents_use_row_type(Oid type)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	Oid			array = InvalidOid;
	bool		used = is_used(depend, type, &array) ||
		(OidIsValid(array) && is_used(depend, array, NULL));

	table_close(depend, AccessShareLock);
	return used;
}

static bool
is_used(Relation depend, Oid type, Oid *array)
{
	bool		used = false;
	ScanKeyData key[2];
	SysScanDesc found;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	found = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (!used && HeapTupleIsValid(tuple = systable_getnext(found)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (array && form->classid == TypeRelationId &&
			form->deptype == DEPENDENCY_INTERNAL)
			*array = form->objid;
		else
			used = true;
	}
	systable_endscan(found);
	return used;
}

/* For a command with or without CASCADE; palloc'd. */
Dependents *
dependents_of_command(bool cascade)
{
	Dependents *dependents = palloc0(sizeof(Dependents));
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(ObjectAddress);
	ctl.entrysize = sizeof(Object);
	ctl.hcxt = CurrentMemoryContext;
	dependents->cascade = cascade;
	dependents->objects = hash_create("catmaid_history dependents", 32, &ctl,
									  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return dependents;
}

bool
dependents_cascade(const Dependents *dependents)
{
	return dependents->cascade;
}

/* The command drops the object. */
void
dependents_drop(Dependents *dependents, const ObjectAddress *object)
{
	dependents_add(dependents, object->classId, object->objectId, object->objectSubId,
				   FATE_GOES, true);
}

/* The command drops what the role owns in this database. */
void
dependents_drop_owned(Dependents *dependents, Oid role)
{
	Relation	depend = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc found;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	found = systable_beginscan(depend, SharedDependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(found)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		if (form->dbid == MyDatabaseId && form->deptype == SHARED_DEPENDENCY_OWNER)
			dependents_add(dependents, form->classid, form->objid, form->objsubid, FATE_GOES, true);
	}
	systable_endscan(found);
	table_close(depend, AccessShareLock);
}

/* The command alters the type. */
void
dependents_alter(Dependents *dependents, Oid type)
{
	if (OidIsValid(type))
		dependents_add(dependents, TypeRelationId, type, 0, FATE_ALTERED, true);
}

/* Look for all that depends on what has been named so far. */
void
dependents_find(Dependents *dependents)
{
	dependents->depend = table_open(DependRelationId, AccessShareLock);
	while (dependents->queue != NIL)
	{
		Object	   *object = llast(dependents->queue);

		dependents->queue = list_delete_last(dependents->queue);
		dependents_follow(dependents, object);
	}
	table_close(dependents->depend, AccessShareLock);
}

/* The relations that go, but indexes; a List of OIDs. */
List *
dependents_relations(const Dependents *dependents)
{
	return dependents->relations;
}

bool
dependents_drops(const Dependents *dependents, Oid relid)
{
	return dependents_has(dependents, RelationRelationId, relid);
}

/* Returns true if the type of a column is dropped, or its collation. */
bool
dependents_type_goes(const Dependents *dependents, Oid type, Oid collation)
{
	return dependents_has(dependents, TypeRelationId, type) ||
		(OidIsValid(collation) && dependents_has(dependents, CollationRelationId, collation));
}

/*
 * The columns whose type or collation goes or is altered, as a List of
 * DependentColumn; also those of relations that go, and without CASCADE those for
 * which PostgreSQL will refuse the command.
 */
List *
dependents_columns(const Dependents *dependents)
{
	return dependents->columns;
}

/* What is among them of the column, or NULL. */
const DependentColumn *
dependents_column(const Dependents *dependents, Oid relid, AttrNumber attnum)
{
	DependentColumn *found = NULL;
	ListCell   *lc;

	foreach(lc, dependents->columns)
	{
		DependentColumn *column = lfirst(lc);

		if (column->relid == relid && column->attnum == attnum &&
			(found == NULL || column->goes))
			found = column;
	}
	return found;
}

/* The tables of a type that is altered (CREATE TABLE ... OF); a List of OIDs. */
List *
dependents_typed_tables(const Dependents *dependents)
{
	return dependents->typed;
}

/*
 * Histories that would go only because they inherit from one that goes; a List of
 * OIDs.  They are not among the relations that go.
 */
List *
dependents_held_back(const Dependents *dependents)
{
	List	   *held_back = NIL;
	ListCell   *lc;

	foreach(lc, dependents->held_back)
		if (!dependents_drops(dependents, lfirst_oid(lc)))
			held_back = list_append_unique_oid(held_back, lfirst_oid(lc));
	return held_back;
}

static bool
dependents_has(const Dependents *dependents, Oid classid, Oid objid)
{
	ObjectAddress address;
	Object	   *object;

	ObjectAddressSet(address, classid, objid);
	object = hash_search(dependents->objects, &address, HASH_FIND, NULL);
	return object && object->fate == FATE_GOES;
}

static void
dependents_add(Dependents *dependents, Oid classid, Oid objid, int32 subid, Fate fate, bool named)
{
	ObjectAddress address;
	Object	   *object;
	bool		found;

	ObjectAddressSubSet(address, classid, objid, subid);
	object = hash_search(dependents->objects, &address, HASH_ENTER, &found);
	if (!found)
	{
		object->fate = 0;
		object->named = false;
	}
	object->named |= named;
	if (object->fate >= fate)
		return;
	object->fate = fate;
	dependents->queue = lappend(dependents->queue, object);
	if (classid == RelationRelationId && subid == 0)
		dependents->relations = lappend_oid(dependents->relations, objid);
}

static void
dependents_follow(Dependents *dependents, Object *object)
{
	ScanKeyData key[3];
	SysScanDesc found = dependents_scan(dependents, &object->address, false, key);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(found)))
		look_down(dependents, object, (Form_pg_depend) GETSTRUCT(tuple));
	systable_endscan(found);

	if (object->fate == FATE_GOES && object->address.objectSubId > 0 &&
		object->address.classId == RelationRelationId)
		alter_row_type(dependents, object->address.objectId);
	if (object->fate == FATE_GOES && dependents->cascade && !object->named)
		look_up(dependents, object);
}

/* Something depends on the object. */
static void
look_down(Dependents *dependents, const Object *object, Form_pg_depend depend)
{
	bool		is_column = depend->classid == RelationRelationId && depend->objsubid > 0;

	/* what belongs to the object itself */
	if (depend->classid == object->address.classId &&
		depend->objid == object->address.objectId)
		return;

	if (is_column && (object->address.classId == TypeRelationId ||
					  object->address.classId == CollationRelationId))
		add_column(dependents, depend->objid, depend->objsubid, object->fate);

	if (object->fate == FATE_ALTERED)
	{
		if (is_column)
			alter_row_type(dependents, depend->objid);
		else if (depend->classid == TypeRelationId)
			dependents_add(dependents, TypeRelationId, depend->objid, 0, FATE_ALTERED, false);
		else if (is_typed_table(depend))
		{
			dependents->typed = list_append_unique_oid(dependents->typed, depend->objid);
			alter_row_type(dependents, depend->objid);
		}
	}
	else if (depend->deptype == DEPENDENCY_NORMAL && !dependents->cascade)
		return;
	else if (is_child_history(object, depend))
		dependents->held_back = lappend_oid(dependents->held_back, depend->objid);
	else if (!leads_nowhere(dependents, depend->classid, depend->objid))
		dependents_add(dependents, depend->classid, depend->objid, depend->objsubid,
					   FATE_GOES, false);
}

/*
 * With CASCADE a part takes the whole along: a rule its view, the expression of a
 * generated column the column, a member its extension.
 */
static void
look_up(Dependents *dependents, const Object *object)
{
	ScanKeyData key[3];
	SysScanDesc found = dependents_scan(dependents, &object->address, true, key);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(found)))
	{
		Form_pg_depend depend = (Form_pg_depend) GETSTRUCT(tuple);

		/* see findDependentObjects */
		if (creating_extension && depend->refclassid == ExtensionRelationId &&
			depend->refobjid == CurrentExtensionObject)
			continue;
		if (depend->deptype == DEPENDENCY_INTERNAL ||
			depend->deptype == DEPENDENCY_EXTENSION)
			dependents_add(dependents, depend->refclassid, depend->refobjid, depend->refobjsubid,
						   FATE_GOES, false);
	}
	systable_endscan(found);
}

static void
alter_row_type(Dependents *dependents, Oid relid)
{
	Oid			type = get_rel_type_id(relid);

	if (OidIsValid(type))
		dependents_add(dependents, TypeRelationId, type, 0, FATE_ALTERED, false);
}

static void
add_column(Dependents *dependents, Oid relid, AttrNumber attnum, Fate fate)
{
	DependentColumn *column = palloc(sizeof(DependentColumn));

	column->relid = relid;
	column->attnum = attnum;
	column->goes = fate == FATE_GOES;
	dependents->columns = lappend(dependents->columns, column);
}

/*
 * Returns true for an object of a kind that takes no type and no table along, and of which
 * there are many.
 */
static bool
leads_nowhere(const Dependents *dependents, Oid classid, Oid objid)
{
	switch (classid)
	{
		case TriggerRelationId:
		case PolicyRelationId:
		case StatisticExtRelationId:
			return true;
		case AttrDefaultRelationId:
		case ConstraintRelationId:
		case RewriteRelationId:
			return !dependents->cascade;
		case RelationRelationId:
			return get_rel_relkind(objid) == RELKIND_INDEX ||
				get_rel_relkind(objid) == RELKIND_PARTITIONED_INDEX ||
				get_rel_relkind(objid) == RELKIND_TOASTVALUE;
		default:
			return false;
	}
}

static bool
is_typed_table(Form_pg_depend depend)
{
	return depend->classid == RelationRelationId && depend->objsubid == 0 &&
		depend->deptype == DEPENDENCY_NORMAL &&
		(get_rel_relkind(depend->objid) == RELKIND_RELATION ||
		 get_rel_relkind(depend->objid) == RELKIND_PARTITIONED_TABLE);
}

/* Returns true if the dependent is a history that inherits from the object. */
static bool
is_child_history(const Object *object, Form_pg_depend depend)
{
	return object->address.classId == RelationRelationId &&
		depend->classid == RelationRelationId && depend->objsubid == 0 &&
		depend->deptype == DEPENDENCY_NORMAL &&
		get_rel_relkind(depend->objid) == RELKIND_RELATION &&
		(registry_get_by_derived(depend->objid) != NULL ||
		 derived_has_history_defaults(depend->objid)) &&
		list_member_oid(lineage_parents(depend->objid), object->address.objectId);
}

/* The rows of pg_depend for the object and what it has: up, what it depends on. */
static SysScanDesc
dependents_scan(const Dependents *dependents, const ObjectAddress *address, bool up, ScanKey key)
{
	ScanKeyInit(&key[0], up ? Anum_pg_depend_classid : Anum_pg_depend_refclassid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(address->classId));
	ScanKeyInit(&key[1], up ? Anum_pg_depend_objid : Anum_pg_depend_refobjid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(address->objectId));
	ScanKeyInit(&key[2], up ? Anum_pg_depend_objsubid : Anum_pg_depend_refobjsubid,
				BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(address->objectSubId));
	return systable_beginscan(dependents->depend,
							  up ? DependDependerIndexId : DependReferenceIndexId,
							  true, NULL, address->objectSubId != 0 ? 3 : 2, key);
}

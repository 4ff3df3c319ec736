/*
 * make_room_cascade.c
 *		Before a DDL command that drops tables or columns by way of something else:
 *		a schema, an owner, a type, an extension.
 *
 * Partitions among what goes are seen to as in make_room.c.  Columns go with their
 * types: the views of their tables are parked.  A type that is to be dropped without
 * CASCADE may be that of columns that histories have kept: these become text, which
 * nobody drops.  Where that cannot be, PostgreSQL refuses the command.
 *
 * What goes is found by pg_depend and pg_shdepend, as PostgreSQL does.
 *
 * Locks: ACCESS EXCLUSIVE, as the command will take it, on tables whose columns go,
 * after their views; and on histories whose kept columns become text.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

/* What goes with what a command drops. */
typedef struct Going
{
	List	   *relations;
	List	   *types;
} Going;

static void make_room_for(const Going *going, bool types_too, Node *statement);
static void park_views(List *tables, List *types, Node *statement);
static List *tables_with_types(List *types);
static void collect_tables(Oid type, List **seen, List **tables);
static bool is_column(const FormData_pg_depend *depend);
static bool may_drop_type(Type type);
static void give_up_types(List *types);
static void give_up_columns(const RegistryRow *row, List *types);
static bool made_of_any(Oid type, List *types);
static List *dependents_of(Oid classid, Oid objid);
static void add_members(Oid classid, Oid objid, char deptype, Going *going);
static void add_owned(Oid role, Going *going);
static void add_object(Oid classid, Oid objid, Going *going);

/* DROP SCHEMA ... CASCADE */
void
make_room_for_drop_schemas(DropStmt *statement)
{
	Going		going = {0};
	ListCell   *lc;

	if (statement->behavior != DROP_CASCADE)
		return;
	foreach(lc, statement->objects)
	{
		Oid			namespace = get_namespace_oid(strVal(lfirst(lc)), true);

		if (OidIsValid(namespace) &&
			namespace_ownercheck_compat(namespace, GetUserId()))
			add_members(NamespaceRelationId, namespace, DEPENDENCY_NORMAL, &going);
	}
	make_room_for(&going, true, (Node *) statement);
}

/* DROP OWNED */
void
make_room_for_drop_owned(DropOwnedStmt *statement)
{
	Going		going = {0};
	ListCell   *lc;

	foreach(lc, statement->roles)
	{
		Oid			role = get_rolespec_oid(lfirst(lc), true);

		if (OidIsValid(role) && has_privs_of_role(GetUserId(), role))
			add_owned(role, &going);
	}
	make_room_for(&going, statement->behavior == DROP_CASCADE, (Node *) statement);
}

/* DROP EXTENSION */
void
make_room_for_drop_extensions(DropStmt *statement)
{
	Going		going = {0};
	ListCell   *lc;

	foreach(lc, statement->objects)
	{
		Oid			extension = get_extension_oid(strVal(lfirst(lc)), true);

		if (OidIsValid(extension) &&
			extension_ownercheck_compat(extension, GetUserId()))
			add_members(ExtensionRelationId, extension, DEPENDENCY_EXTENSION, &going);
	}
	if (statement->behavior == DROP_CASCADE)
		make_room_for(&going, true, (Node *) statement);
	else
		give_up_types(going.types);
}

/* DROP TYPE, DROP DOMAIN */
void
make_room_for_drop_types(DropStmt *statement)
{
	Going		going = {0};
	ListCell   *lc;

	foreach(lc, statement->objects)
	{
		Type		tuple = LookupTypeName(NULL, lfirst_node(TypeName, lc), NULL, true);

		if (tuple == NULL)
			continue;
		if (may_drop_type(tuple))
			going.types = lappend_oid(going.types, typeTypeId(tuple));
		ReleaseSysCache(tuple);
	}
	if (statement->behavior == DROP_CASCADE)
		make_room_for(&going, true, (Node *) statement);
	else
		give_up_types(going.types);
}

/* ALTER TYPE of a composite type, which changes tables of the type. */
void
make_room_for_type(Oid type, Node *statement)
{
	park_views(tables_with_types(list_make1_oid(type)), NIL, statement);
}

/* types_too: columns of the types go, too */
static void
make_room_for(const Going *going, bool types_too, Node *statement)
{
	List	   *stay = NIL;
	ListCell   *lc;

	foreach(lc, going->relations)
		if (get_rel_relispartition(lfirst_oid(lc)))
			make_room_for_partition(NULL, lfirst_oid(lc), going->relations);
	if (!types_too)
		return;
	foreach(lc, tables_with_types(going->types))
		if (!list_member_oid(going->relations, lfirst_oid(lc)))
			stay = lappend_oid(stay, lfirst_oid(lc));
	park_views(stay, going->types, statement);
}

/* Of those of the tables that are registered.  types: those that go. */
static void
park_views(List *tables, List *types, Node *statement)
{
	List	   *lives = NIL;
	ListCell   *lc;

	foreach(lc, tables)
		if (registry_get(lfirst_oid(lc)))
			lives = lappend_oid(lives, lfirst_oid(lc));
	views_lock_upon(lives, true);
	views_lock(lives, AccessExclusiveLock);
	foreach(lc, lives)
	{
		LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
		if (get_rel_name(lfirst_oid(lc)))
			make_room_park_view(lfirst_oid(lc), types, statement);
	}
}

/* The tables of one of the types, or with a column that goes with it (see types_made_of). */
static List *
tables_with_types(List *types)
{
	List	   *seen = NIL;
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, types)
		collect_tables(lfirst_oid(lc), &seen, &tables);
	return tables;
}

static void
collect_tables(Oid type, List **seen, List **tables)
{
	ListCell   *lc;

	check_stack_depth();
	if (list_member_oid(*seen, type))
		return;
	*seen = lappend_oid(*seen, type);
	foreach(lc, dependents_of(TypeRelationId, type))
	{
		FormData_pg_depend *depend = lfirst(lc);

		if (depend->classid == TypeRelationId &&
			types_made_of(depend->objid, type, InvalidOid))
			collect_tables(depend->objid, seen, tables);
		else if (is_column(depend))
			*tables = list_append_unique_oid(*tables, depend->objid);
	}
}

/* Is it a column of a table's, or a table of the type? */
static bool
is_column(const FormData_pg_depend *depend)
{
	char		relkind = depend->classid == RelationRelationId ?
		get_rel_relkind(depend->objid) : '\0';

	return (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		depend->deptype == DEPENDENCY_NORMAL;
}

/* As DROP asks (RemoveObjects): its owner may, or that of the schema. */
static bool
may_drop_type(Type type)
{
	return type_ownercheck_compat(typeTypeId(type), GetUserId()) ||
		namespace_ownercheck_compat(((Form_pg_type) GETSTRUCT(type))->typnamespace,
									GetUserId());
}

/* Columns that histories have kept when their table's got another type become text. */
static void
give_up_types(List *types)
{
	ListCell   *lc;

	foreach(lc, tables_with_types(types))
	{
		RegistryRow *row = registry_get_by_derived(lfirst_oid(lc));

		if (row && row->history == lfirst_oid(lc) && follower_tracks(row->live, &row))
			give_up_columns(row, types);
	}
}

static void
give_up_columns(const RegistryRow *row, List *types)
{
	HeapTuple	tuple;
	int			i;

	for (i = 1; (tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(row->history),
										 Int16GetDatum(i))) != NULL; i++)
	{
		FormData_pg_attribute att;
		TableColumn text = {NULL, TEXTOID, -1, DEFAULT_COLLATION_OID, ""};

		memcpy(&att, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
		ReleaseSysCache(tuple);

		/* an inherited one becomes text with the parent's */
		if (att.attisdropped || att.attinhcount > 0 ||
			!made_of_any(att.atttypid, types) ||
			get_attnum(row->live, NameStr(att.attname)) != InvalidAttrNumber)
			continue;
		text.name = NameStr(att.attname);
		if (convert_type_try(row->history, &text))
			ereport(NOTICE,
					(errmsg("column \"%s\" of history table \"%s\" has become text",
							NameStr(att.attname), get_rel_name(row->history)),
					 errdetail("It keeps values of the type that is dropped.")));
	}
}

static bool
made_of_any(Oid type, List *types)
{
	ListCell   *lc;

	foreach(lc, types)
		if (types_made_of(type, lfirst_oid(lc), InvalidOid))
			return true;
	return false;
}

/* What depends on the object, as rows of pg_depend; palloc'd. */
static List *
dependents_of(Oid classid, Oid objid)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *dependents = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(classid));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(objid));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		FormData_pg_depend *dependent = palloc(sizeof(FormData_pg_depend));

		memcpy(dependent, GETSTRUCT(tuple), sizeof(FormData_pg_depend));
		dependents = lappend(dependents, dependent);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return dependents;
}

/* The relations and types in a schema, or of an extension. */
static void
add_members(Oid classid, Oid objid, char deptype, Going *going)
{
	List	   *dependents = dependents_of(classid, objid);
	ListCell   *lc;

	foreach(lc, dependents)
	{
		FormData_pg_depend *dependent = lfirst(lc);

		if (dependent->deptype == deptype)
			add_object(dependent->classid, dependent->objid, going);
	}
	list_free_deep(dependents);
}

/* Those that the role owns in this database. */
static void
add_owned(Oid role, Going *going)
{
	Relation	depend = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	scan = systable_beginscan(depend, SharedDependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		if (form->dbid == MyDatabaseId && form->deptype == SHARED_DEPENDENCY_OWNER)
			add_object(form->classid, form->objid, going);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}

/* A relation, with its row type, or a type. */
static void
add_object(Oid classid, Oid objid, Going *going)
{
	if (classid == RelationRelationId)
	{
		going->relations = lappend_oid(going->relations, objid);
		objid = get_rel_type_id(objid);
	}
	else if (classid != TypeRelationId)
		return;
	if (OidIsValid(objid))
		going->types = lappend_oid(going->types, objid);
}

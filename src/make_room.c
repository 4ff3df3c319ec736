/*
 * make_room.c
 *		Before a DDL command: what PostgreSQL would refuse because of our views is
 *		moved out of the way, and rows that go with their partitions are stored.
 *
 * This is where statements are looked at, since the catalogs would come too
 * late.  Who may not run the command is let through to PostgreSQL's own error.
 *
 * Locks: those that the command is about to take.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
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

static void lock_views(RangeVar *name, bool parents);
static void lock_views_of(Oid relid, bool parents);
static bool concerns_parents(AlterTableStmt *statement);
static void refuse_tracked_partition(AlterTableStmt *statement);
static bool takes_columns(AlterTableStmt *statement);
static void make_room_for_alter(AlterTableStmt *statement);
static void make_room_for_drop(DropStmt *statement);
static void store_dropped_partitions(Oid relid, List *dropped);
static void make_room_for_cascade(List *namespaces, List *owners, Node *statement);
static bool goes(Oid relid, List *namespaces, List *owners);
static void make_room_for_drop_schema(DropStmt *statement);
static void make_room_for_drop_owned(DropOwnedStmt *statement);
static void make_room_for_drop_type(DropStmt *statement);
static void make_room_for_drop_extension(DropStmt *statement);
static bool may_drop_type(Type type);
static void give_up_type(Oid type);

/* ddl_command_start, with the snapshots up to date. */
void
make_room(Node *statement)
{
	if (IsA(statement, RenameStmt))
		lock_views(((RenameStmt *) statement)->relation, true);
	else if (IsA(statement, AlterObjectSchemaStmt))
		lock_views(((AlterObjectSchemaStmt *) statement)->relation, true);
	else if (IsA(statement, AlterTableStmt))
		make_room_for_alter((AlterTableStmt *) statement);
	else if (IsA(statement, DropStmt))
		make_room_for_drop((DropStmt *) statement);
	else if (IsA(statement, DropOwnedStmt))
		make_room_for_drop_owned((DropOwnedStmt *) statement);
}

/*
 * Lock the views of what the command will lock against readers, before it does
 * (see views_lock): of the table and those that inherit from it; and of those
 * from which it inherits, if the command changes what their readers look into.
 * The view of a partitioned table looks into none of its partitions.
 */
static void
lock_views(RangeVar *name, bool parents)
{
	Oid			relid;

	if (name == NULL || !snapshot_any_registered())
		return;
	relid = RangeVarGetRelid(name, NoLock, true);
	if (OidIsValid(relid) && relation_ownercheck_compat(relid, GetUserId()))
		lock_views_of(relid, parents);
}

static void
lock_views_of(Oid relid, bool parents)
{
	List	   *related;
	List	   *tables = NIL;
	ListCell   *lc;

	if ((get_rel_relkind(relid) != RELKIND_RELATION &&
		 get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE) ||
		get_rel_relispartition(relid))
		return;
	related = find_all_inheritors(relid, NoLock, NULL);
	if (parents)
		related = list_concat_unique_oid(related, lineage_of(relid));
	foreach(lc, related)
		if (snapshot_is_registered(lfirst_oid(lc)))
			tables = lappend_oid(tables, lfirst_oid(lc));
	views_lock(tables, AccessExclusiveLock);
}

/* May the command change the hierarchy, or a tracking table under a parent's? */
static bool
concerns_parents(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AddInherit:
			case AT_DropInherit:
			case AT_ChangeOwner:
			case AT_DropConstraint:
			case AT_DropColumn:
			case AT_AlterColumnType:
				return true;
			default:
				break;
		}
	}
	return false;
}

/* Park the view of a table that is tracked. */
void
make_room_park_view(Oid live, Node *statement)
{
	RegistryRow *row;

	if (snapshot_is_registered(live) && follower_is_ours(live, &row))
		views_park(live, naming_view(live), get_rel_namespace(live), statement);
}

/*
 * ALTER TABLE that takes columns away or changes types: park the views of the
 * table and of all that inherit the change.
 */
static void
make_room_for_alter(AlterTableStmt *statement)
{
	Oid			relid;
	LOCKMODE	mode;
	List	   *tables;
	ListCell   *lc;

	refuse_tracked_partition(statement);
	if (AlterTableGetLockLevel(statement->cmds) == AccessExclusiveLock)
		lock_views(statement->relation, concerns_parents(statement));
	if (statement->relation == NULL || !takes_columns(statement))
		return;
	relid = RangeVarGetRelid(statement->relation, NoLock, true);
	if (!OidIsValid(relid) ||
		!relation_ownercheck_compat(relid, GetUserId()))
		return;					/* PostgreSQL has its own words for that */

	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		tables = snapshot_tables_of_type(relid);
	else
	{
		if (get_rel_relkind(relid) != RELKIND_RELATION &&
			get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
			return;
		if (!snapshot_any_registered())
			return;
		mode = AlterTableGetLockLevel(statement->cmds);
		LockRelationOid(relid, mode);
		if (RangeVarGetRelid(statement->relation, NoLock, true) != relid)
			return;
		tables = find_all_inheritors(relid, mode, NULL);
		/* who waited for the lock looks at what the other one did */
		snapshot_refresh();
	}
	foreach(lc, tables)
		make_room_park_view(lfirst_oid(lc), (Node *) statement);
}

/* ATTACH PARTITION of a table that has a history of its own. */
static void
refuse_tracked_partition(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Oid			partition;

		if (cmd->subtype != AT_AttachPartition)
			continue;
		partition = RangeVarGetRelid(((PartitionCmd *) cmd->def)->name, NoLock, true);
		if (OidIsValid(partition) && snapshot_is_registered(partition) &&
			relation_ownercheck_compat(partition, GetUserId()) &&
			settings_follow_ddl(security_owner_of(partition)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot attach table \"%s\" as a partition: it has a history of its own",
							get_rel_name(partition)),
					 errhint("SELECT %s(%s::regclass) first.",
							 naming_quoted_in(registry_namespace(),
											  "drop_history_table_keep_data"),
							 quote_literal_cstr(naming_quoted(partition)))));
	}
}

static bool
takes_columns(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DropColumn || cmd->subtype == AT_AlterColumnType)
			return true;
	}
	return false;
}

/* DROP: the views of the tables, and the rows of partitions. */
static void
make_room_for_drop(DropStmt *statement)
{
	List	   *dropped = NIL;
	ListCell   *lc;

	if (!snapshot_any_registered())
		return;
	if (statement->removeType == OBJECT_SCHEMA)
		make_room_for_drop_schema(statement);
	if (statement->removeType == OBJECT_TYPE || statement->removeType == OBJECT_DOMAIN)
		make_room_for_drop_type(statement);
	if (statement->removeType == OBJECT_EXTENSION)
		make_room_for_drop_extension(statement);
	if (statement->removeType != OBJECT_TABLE)
		return;

	foreach(lc, statement->objects)
	{
		RangeVar   *name = makeRangeVarFromNameList(lfirst(lc));
		Oid			relid = RangeVarGetRelid(name, NoLock, true);
		char		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

		/* the owner of the schema may drop the table, too */
		if ((relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
			(relation_ownercheck_compat(relid, GetUserId()) ||
			 namespace_ownercheck_compat(get_rel_namespace(relid), GetUserId())))
			dropped = lappend_oid(dropped, relid);
	}

	foreach(lc, dropped)
		lock_views_of(lfirst_oid(lc), true);
	foreach(lc, dropped)
	{
		Oid			relid = lfirst_oid(lc);
		Oid			live = snapshot_live_of(relid);
		RegistryRow *row;

		if (OidIsValid(live) && !list_member_oid(dropped, live) &&
			follower_is_ours(live, &row))
			follow_refuse_by_hand(live, "drop");
		if (get_rel_relispartition(relid))
			store_dropped_partitions(relid, dropped);
		else if (snapshot_is_registered(relid))
		{
			RegistryRow *mine;

			/* with CASCADE PostgreSQL takes the view along, and all upon it */
			LockRelationOid(relid, AccessExclusiveLock);
			if (statement->behavior == DROP_RESTRICT &&
				follower_is_ours(relid, &mine))
				view_drop(relid);
		}
	}
}

/* The partition and what is below it, unless its root goes as well. */
static void
store_dropped_partitions(Oid relid, List *dropped)
{
	Oid			root = lineage_root(relid);
	RegistryRow *row = snapshot_is_registered(root) ? registry_get(root) : NULL;
	SecurityState state;
	Oid			above;
	Oid			parent = InvalidOid;
	List	   *leaves;
	ListCell   *lc;

	if (row == NULL || root == relid ||
		!settings_follow_ddl(security_owner_of(root)))
		return;
	for (above = relid; above != root;)
	{
		List	   *parents = lineage_parents(above);

		if (parents == NIL)
			return;
		above = linitial_oid(parents);
		if (!OidIsValid(parent))
			parent = above;
		if (list_member_oid(dropped, above))
			return;
	}

	LockRelationOid(parent, AccessExclusiveLock);
	LockRelationOid(relid, AccessExclusiveLock);
	leaves = lineage_partition_tree(relid, AccessExclusiveLock);
	foreach(lc, leaves)
	{
		Relation	leaf;

		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_RELATION)
			continue;
		leaf = table_open(lfirst_oid(lc), NoLock);
		if (triggers_covers_truncate(leaf))
		{
			security_act_as(security_owner_of(root),
							ACT_FOR_WRITER | ACT_TO_MANAGE, &state);
			truncate_store_rows(leaf, cache_build_for(leaf, root), true);
			security_act_as_before(&state);
		}
		table_close(leaf, NoLock);
	}
}

/*
 * DROP SCHEMA ... CASCADE and DROP OWNED: partitions among what goes, of tables
 * that stay; and columns whose type is in the schema.
 */
static void
make_room_for_cascade(List *namespaces, List *owners, Node *statement)
{
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *row = lfirst(lc);
		List	   *partitions = NIL;
		ListCell   *cell;

		if (get_rel_relkind(row->live) != RELKIND_PARTITIONED_TABLE ||
			goes(row->live, namespaces, owners))
			continue;
		foreach(cell, lineage_partition_tree(row->live, NoLock))
			if (lfirst_oid(cell) != row->live &&
				goes(lfirst_oid(cell), namespaces, owners))
				partitions = lappend_oid(partitions, lfirst_oid(cell));
		foreach(cell, partitions)
			store_dropped_partitions(lfirst_oid(cell), partitions);
	}

	foreach(lc, namespaces)
	{
		ListCell   *cell;

		foreach(cell, snapshot_tables_with_type(InvalidOid, lfirst_oid(lc)))
			if (!goes(lfirst_oid(cell), namespaces, owners))
				make_room_park_view(lfirst_oid(cell), statement);
	}
}

static bool
goes(Oid relid, List *namespaces, List *owners)
{
	return list_member_oid(namespaces, get_rel_namespace(relid)) ||
		list_member_oid(owners, security_owner_of(relid));
}

static void
make_room_for_drop_schema(DropStmt *statement)
{
	List	   *namespaces = NIL;
	ListCell   *lc;

	if (statement->behavior != DROP_CASCADE)
		return;
	foreach(lc, statement->objects)
	{
		Oid			namespace = get_namespace_oid(strVal(lfirst(lc)), true);

		if (OidIsValid(namespace) &&
			namespace_ownercheck_compat(namespace, GetUserId()))
			namespaces = lappend_oid(namespaces, namespace);
	}
	if (namespaces != NIL)
		make_room_for_cascade(namespaces, NIL, (Node *) statement);
}

static void
make_room_for_drop_owned(DropOwnedStmt *statement)
{
	List	   *owners = NIL;
	ListCell   *lc;

	if (!snapshot_any_registered())
		return;
	foreach(lc, statement->roles)
	{
		Oid			role = get_rolespec_oid(lfirst(lc), true);

		if (OidIsValid(role) && has_privs_of_role(GetUserId(), role))
			owners = lappend_oid(owners, role);
	}
	if (owners != NIL)
		make_room_for_cascade(NIL, owners, (Node *) statement);
}

/*
 * DROP TYPE or DOMAIN ... CASCADE takes columns along.  Without it, no kept column
 * of a history stands in its way.
 */
static void
make_room_for_drop_type(DropStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->objects)
	{
		Type		tuple = LookupTypeName(NULL, lfirst_node(TypeName, lc), NULL, true);
		ListCell   *cell;

		if (tuple == NULL)
			continue;
		if (may_drop_type(tuple) && statement->behavior == DROP_RESTRICT)
			give_up_type(typeTypeId(tuple));
		else if (may_drop_type(tuple))
			foreach(cell, snapshot_tables_with_type(typeTypeId(tuple), InvalidOid))
				make_room_park_view(lfirst_oid(cell), (Node *) statement);
		ReleaseSysCache(tuple);
	}
}

/* Likewise DROP EXTENSION, for the extension's types. */
static void
make_room_for_drop_extension(DropStmt *statement)
{
	Relation	depend;
	ListCell   *lc;

	if (statement->behavior != DROP_RESTRICT)
		return;
	depend = table_open(DependRelationId, AccessShareLock);
	foreach(lc, statement->objects)
	{
		Oid			extension = get_extension_oid(strVal(lfirst(lc)), true);
		ScanKeyData key[2];
		SysScanDesc scan;
		HeapTuple	tuple;
		List	   *types = NIL;
		ListCell   *cell;

		if (!OidIsValid(extension) ||
			!extension_ownercheck_compat(extension, GetUserId()))
			continue;
		ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(ExtensionRelationId));
		ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(extension));
		scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

			if (form->classid == TypeRelationId && form->deptype == DEPENDENCY_EXTENSION)
				types = lappend_oid(types, form->objid);
		}
		systable_endscan(scan);
		foreach(cell, types)
			give_up_type(lfirst_oid(cell));
	}
	table_close(depend, AccessShareLock);
}

/* As DROP asks (RemoveObjects): its owner may, or that of the schema. */
static bool
may_drop_type(Type type)
{
	return type_ownercheck_compat(typeTypeId(type), GetUserId()) ||
		namespace_ownercheck_compat(((Form_pg_type) GETSTRUCT(type))->typnamespace,
									GetUserId());
}

/*
 * Columns that histories have kept when their table's got another type become
 * text, which nobody drops.  Where that cannot be, PostgreSQL refuses the DROP.
 */
static void
give_up_type(Oid type)
{
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *row = lfirst(lc);
		HeapTuple	tuple;
		int			i;

		if (!snapshot_is_registered(row->live) || !follower_is_ours(row->live, &row))
			continue;
		for (i = 1; (tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(row->history),
											 Int16GetDatum(i))) != NULL; i++)
		{
			FormData_pg_attribute att;
			TableColumn text = {NULL, TEXTOID, -1, DEFAULT_COLLATION_OID, ""};

			memcpy(&att, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
			ReleaseSysCache(tuple);

			/* an inherited one becomes text with the parent's */
			if (att.attisdropped || att.attinhcount > 0 ||
				!types_made_of(att.atttypid, type, InvalidOid) ||
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
}

/*
 * follower.c
 *		The event triggers: history tables follow DDL.
 *
 * ddl_command_start brings the snapshots up to date and moves views out of the
 * way of what PostgreSQL would refuse because of them; it also stores the rows
 * of partitions that are about to be dropped.  ddl_command_end compares the
 * tables that may have changed with their snapshots and hands the differences
 * down.  sql_drop clears up after live tables that are gone.
 *
 * Catalogs are compared, statements are not replayed: the parse tree is looked
 * at only where the catalogs come too late (views in the way, rows that go) or
 * do not tell (USING).
 *
 * A table without its triggers counts as disabled and is left alone.  Our own
 * DDL (ddl_is_ours) is not followed, nor is anything during pg_upgrade.
 *
 * Locks: on a live table those that the command takes anyway, and before any
 * on the history side.  A table whose lock cannot be had at once is not
 * the command's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/snapmgr.h"

#include "catmaid_history.h"
#include "compat.h"

typedef enum OnDrop
{
	ON_DROP_DROP,
	ON_DROP_KEEP
} OnDrop;

static const struct config_enum_entry on_drop_options[] = {
	{"drop", ON_DROP_DROP, false},
	{"keep", ON_DROP_KEEP, false},
	{NULL, 0, false}
};

static bool follow_ddl = true;
static int	on_drop_column = ON_DROP_DROP;
static int	on_drop_table = ON_DROP_DROP;

typedef struct Followed
{
	RegistryRow *row;
	TableSnapshot *before;
	TableSnapshot *now;
	bool		columns_changed;
	bool		had_view;
} Followed;

static EventTriggerData *event_data(FunctionCallInfo fcinfo, const char *function);
static void make_room_for_alter(AlterTableStmt *statement);
static void refuse_tracked_partition(AlterTableStmt *statement);
static bool takes_columns(AlterTableStmt *statement);
static void make_room_for_drop(DropStmt *statement);
static void store_dropped_partitions(Oid relid, List *dropped);
static void make_room_for_cascade(List *namespaces, List *owners, Node *statement);
static bool goes(Oid relid, List *namespaces, List *owners);
static void make_room_for_drop_schema(DropStmt *statement);
static void make_room_for_drop_owned(DropOwnedStmt *statement);
static void make_room_for_drop_type(DropStmt *statement);
static void park_view(Oid live, Node *statement);
static List *changed_tables(void);
static bool is_ours_to_follow(Oid live, RegistryRow **row);
static void follow_tables(List *tables, Node *statement);
static bool may_set_flag(Relation live);
static void agree_on_triggers(RegistryRow *row);
static int	depth_of(Oid live);
static int	compare_depth(const ListCell *a, const ListCell *b);
static bool cascades(Node *statement);
static void clear_up_after(Oid live, bool cascade);
static void check_derived(RegistryRow *row);
static void refuse_by_hand(Oid live, const char *verb);

PG_FUNCTION_INFO_V1(catmaid_history_ddl_start);
PG_FUNCTION_INFO_V1(catmaid_history_ddl_end);
PG_FUNCTION_INFO_V1(catmaid_history_sql_drop);

void
follower_init(void)
{
	DefineCustomBoolVariable("catmaid_history.follow_ddl",
							 "Makes history tables follow DDL on the tables whose history is tracked.",
							 NULL, &follow_ddl, true, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("catmaid_history.on_drop_column",
							 "What happens to the history of a column that is dropped.",
							 "drop: it is dropped too. keep: it is kept under the name of the column and a number.",
							 &on_drop_column, ON_DROP_DROP, on_drop_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("catmaid_history.on_drop_table",
							 "What happens to the history of a table that is dropped.",
							 "drop: it is dropped too. keep: the history table stays.",
							 &on_drop_table, ON_DROP_DROP, on_drop_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReservedCompat("catmaid_history");
}

/* ddl_command_start */
Datum
catmaid_history_ddl_start(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = event_data(fcinfo, "catmaid_history_ddl_start");

	if (event == NULL)
		PG_RETURN_NULL();
	snapshot_refresh();

	if (IsA(event->parsetree, AlterTableStmt))
		make_room_for_alter((AlterTableStmt *) event->parsetree);
	else if (IsA(event->parsetree, DropStmt))
		make_room_for_drop((DropStmt *) event->parsetree);
	else if (IsA(event->parsetree, DropOwnedStmt))
		make_room_for_drop_owned((DropOwnedStmt *) event->parsetree);
	PG_RETURN_NULL();
}

/* ddl_command_end */
Datum
catmaid_history_ddl_end(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = event_data(fcinfo, "catmaid_history_ddl_end");
	List	   *tables;
	bool		pushed;

	if (event == NULL)
		PG_RETURN_NULL();
	/* a command that committed in between, like DETACH CONCURRENTLY, has none */
	pushed = !ActiveSnapshotSet();
	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	tables = changed_tables();
	if (tables != NIL)
		follow_tables(tables, event->parsetree);
	views_unpark(event->parsetree);
	snapshot_refresh();
	if (pushed)
		PopActiveSnapshot();
	PG_RETURN_NULL();
}

/* sql_drop */
Datum
catmaid_history_sql_drop(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = event_data(fcinfo, "catmaid_history_sql_drop");
	ListCell   *lc;

	if (event == NULL || !OidIsValid(registry_relid_or_invalid()))
		PG_RETURN_NULL();
	foreach(lc, snapshot_changed())
	{
		RegistryRow *row = registry_get(lfirst_oid(lc));

		if (row == NULL)
			continue;
		if (get_rel_name(row->live) == NULL)
			clear_up_after(row->live, cascades(event->parsetree));
		else
			check_derived(row);
	}
	PG_RETURN_NULL();
}

/* The event, or NULL if it is none of our business. */
static EventTriggerData *
event_data(FunctionCallInfo fcinfo, const char *function)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as an event trigger", function)));
	if (IsBinaryUpgrade || !follow_ddl || ddl_is_ours())
		return NULL;
	return (EventTriggerData *) fcinfo->context;
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
		park_view(lfirst_oid(lc), (Node *) statement);
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
			relation_ownercheck_compat(partition, GetUserId()))
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
	{
		Oid			relid = lfirst_oid(lc);
		Oid			live = snapshot_live_of(relid);
		RegistryRow *row;

		if (OidIsValid(live) && !list_member_oid(dropped, live) &&
			is_ours_to_follow(live, &row))
			refuse_by_hand(live, "drop");
		if (get_rel_relispartition(relid))
			store_dropped_partitions(relid, dropped);
		else if (snapshot_is_registered(relid))
		{
			RegistryRow *mine;

			/* with CASCADE PostgreSQL takes the view along, and all upon it */
			LockRelationOid(relid, AccessExclusiveLock);
			if (statement->behavior == DROP_RESTRICT &&
				is_ours_to_follow(relid, &mine))
				view_drop(relid);
		}
	}
}

/* The partition and what is below it, unless its root goes as well. */
static void
store_dropped_partitions(Oid relid, List *dropped)
{
	Oid			root = derived_root(relid);
	RegistryRow *row = snapshot_is_registered(root) ? registry_get(root) : NULL;
	SecurityState state;
	Oid			above;
	List	   *leaves;
	ListCell   *lc;

	if (row == NULL || root == relid)
		return;
	for (above = relid; above != root;)
	{
		List	   *parents = derived_parents(above);

		if (parents == NIL)
			return;
		above = linitial_oid(parents);
		if (list_member_oid(dropped, above))
			return;
	}

	LockRelationOid(linitial_oid(derived_parents(relid)), AccessExclusiveLock);
	LockRelationOid(relid, AccessExclusiveLock);
	leaves = find_all_inheritors(relid, AccessExclusiveLock, NULL);
	foreach(lc, leaves)
	{
		Relation	leaf;

		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_RELATION)
			continue;
		leaf = table_open(lfirst_oid(lc), NoLock);
		if (triggers_covers_truncate(leaf))
		{
			security_act_as(security_owner_of(root), &state);	/* see capture.c */
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
		foreach(cell, find_all_inheritors(row->live, NoLock, NULL))
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
				park_view(lfirst_oid(cell), statement);
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

/* DROP TYPE or DOMAIN ... CASCADE takes columns along. */
static void
make_room_for_drop_type(DropStmt *statement)
{
	ListCell   *lc;

	if (statement->behavior != DROP_CASCADE)
		return;
	foreach(lc, statement->objects)
	{
		Type		tuple = LookupTypeName(NULL, lfirst_node(TypeName, lc), NULL, true);
		ListCell   *cell;

		if (tuple == NULL)
			continue;
		foreach(cell, snapshot_tables_with_type(typeTypeId(tuple), InvalidOid))
			park_view(lfirst_oid(cell), (Node *) statement);
		ReleaseSysCache(tuple);
	}
}

/* Park the view of a table that is tracked. */
static void
park_view(Oid live, Node *statement)
{
	RegistryRow *row;

	if (snapshot_is_registered(live) && is_ours_to_follow(live, &row))
		views_park(live, naming_view(live), get_rel_namespace(live), statement);
}

/* The tracked tables that may have changed, parents before children. */
static List *
changed_tables(void)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, snapshot_changed())
	{
		Followed   *followed = palloc0(sizeof(Followed));

		if (!is_ours_to_follow(lfirst_oid(lc), &followed->row))
			continue;
		followed->before = snapshot_copy(lfirst_oid(lc));
		followed->now = snapshot_now(lfirst_oid(lc));
		if (followed->before && followed->now)
			tables = lappend(tables, followed);
	}
	list_sort(tables, compare_depth);
	return tables;
}

/*
 * Is the table there, registered, and are versions stored?  If not, the flag in
 * the registry says so too.
 */
static bool
is_ours_to_follow(Oid live, RegistryRow **row)
{
	TableSnapshot *before;
	Relation	rel;
	bool		enabled;
	bool		may_set;

	if (get_rel_name(live) == NULL ||
		!ConditionalLockRelationOid(live, AccessShareLock))
		return false;
	*row = registry_get(live);
	if (*row == NULL || get_rel_name((*row)->history) == NULL)
		return false;

	/* the command may have changed the owner */
	before = snapshot_copy(live);
	if (!registry_is_sound(*row, security_owner_of(live)) &&
		(before == NULL || !registry_is_sound(*row, before->owner)))
	{
		rel = table_open(live, NoLock);
		enabled = triggers_enabled(rel, *row);
		table_close(rel, NoLock);
		if (enabled && before && before->sound)
			refuse_by_hand(live, "give away");
		return false;
	}

	rel = table_open(live, NoLock);
	enabled = triggers_enabled(rel, *row);
	may_set = may_set_flag(rel);
	table_close(rel, NoLock);
	if (!enabled && (*row)->triggers_installed && may_set)
	{
		(*row)->triggers_installed = false;
		registry_update(*row);
	}
	return enabled;
}

static void
follow_tables(List *tables, Node *statement)
{
	ListCell   *lc;

	/* all views first: a change of a parent's history goes down to children */
	foreach(lc, tables)
	{
		Followed   *followed = lfirst(lc);

		check_derived(followed->row);
		follow_identity(followed->row, followed->before, followed->now);
		followed->columns_changed = follow_columns_changed(followed->before,
														   followed->now, statement);
		followed->had_view = OidIsValid(view_find(followed->row->live));
	}
	foreach(lc, tables)
	{
		Followed   *followed = lfirst(lc);

		if (followed->columns_changed && !IsA(statement, RenameStmt))
			park_view(followed->row->live, statement);
	}

	foreach(lc, tables)
	{
		Followed   *followed = lfirst(lc);

		if (followed->columns_changed)
			follow_columns(followed->row, followed->before, followed->now,
						   statement, on_drop_column == ON_DROP_KEEP);
	}

	foreach(lc, tables)
	{
		Followed   *followed = lfirst(lc);
		RegistryRow *row = followed->row;
		Relation	live;

		/* an invalidation alone is no reason to wait for the table's writers */
		if (followed->columns_changed ||
			followed->before->key_index != followed->now->key_index)
			follow_key(row, followed->before);
		follow_hierarchy(row, followed->before, followed->now);
		follow_partitions(row, followed->before, followed->now);
		if (followed->before->row_security != followed->now->row_security ||
			followed->before->force_row_security != followed->now->force_row_security)
		{
			security_copy_row_security(row->live, row->history);
			if (OidIsValid(row->tracking))
				security_copy_row_security(row->live, row->tracking);
		}
		if (followed->columns_changed)
		{
			/* the arguments name columns */
			live = table_open(row->live, NoLock);
			triggers_install(live, row);
			table_close(live, NoLock);
			if (followed->had_view && !views_parked(row->live))
				view_create(row);
		}
		agree_on_triggers(row);
	}
}

/*
 * Is it for this command to set the flag?  One that made, dropped or switched
 * triggers holds a lock that only one can have, on the table or, where a
 * partition's triggers count, on that.  (pg_restore -j makes indexes of one
 * table at the same time.)
 */
static bool
may_set_flag(Relation live)
{
	if (live->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		return ConditionalLockRelationOid(registry_relid(), ShareRowExclusiveLock);
	return CheckRelationLockedByMe(live, ShareRowExclusiveLock, true);
}

/* The flag in the registry is what is really there. */
static void
agree_on_triggers(RegistryRow *row)
{
	Relation	live = table_open(row->live, NoLock);
	bool		complete = triggers_complete(live, row);
	bool		may_set = may_set_flag(live);

	table_close(live, NoLock);
	if (complete == row->triggers_installed || !may_set)
		return;
	row->triggers_installed = complete;
	registry_update(row);
}

static int
depth_of(Oid live)
{
	int			depth = 0;
	List	   *parents;

	while ((parents = derived_parents(live)) != NIL)
	{
		live = linitial_oid(parents);
		depth++;
	}
	return depth;
}

static int
compare_depth(const ListCell *a, const ListCell *b)
{
	return depth_of(((Followed *) lfirst(a))->row->live) -
		depth_of(((Followed *) lfirst(b))->row->live);
}

static bool
cascades(Node *statement)
{
	if (IsA(statement, DropStmt))
		return ((DropStmt *) statement)->behavior == DROP_CASCADE;
	return IsA(statement, DropOwnedStmt) &&
		((DropOwnedStmt *) statement)->behavior == DROP_CASCADE;
}

/* The live table has been dropped: so is its history, or it is forgotten. */
static void
clear_up_after(Oid live, bool cascade)
{
	RegistryRow *row = registry_get(live);
	TableSnapshot *before;
	ListCell   *lc;
	bool		keep;

	if (row == NULL)
		return;
	before = snapshot_copy(live);
	if (before == NULL || !registry_is_sound(row, before->owner))
	{
		registry_delete(live);
		return;
	}
	keep = on_drop_table == ON_DROP_KEEP || !row->triggers_installed;

	if (get_rel_name(row->history) != NULL)
		foreach(lc, find_inheritance_children(row->history, AccessExclusiveLock))
		{
			RegistryRow *child = registry_get_by_derived(lfirst_oid(lc));

			if (child && get_rel_name(child->live) == NULL)
				clear_up_after(child->live, cascade);
		}

	registry_delete(live);
	if (OidIsValid(row->tracking) && get_rel_name(row->tracking) != NULL)
		derived_drop_with(row->tracking, cascade);
	if (get_rel_name(row->history) == NULL)
		return;
	if (keep)
	{
		ereport(NOTICE,
				(errmsg("history table %s stays", naming_quoted(row->history)),
				 errdetail("Its live table was dropped.")));
		return;
	}
	foreach(lc, find_inheritance_children(row->history, AccessExclusiveLock))
		derived_disinherit(lfirst_oid(lc), row->history);
	derived_drop_with(row->history, cascade);
}

/*
 * Nobody takes the history or tracking table of a tracked table away by hand,
 * or renames it.  With tracking disabled a history table that was dropped takes
 * its registry row along.
 */
static void
check_derived(RegistryRow *row)
{
	TableSnapshot *before = snapshot_copy(row->live);
	char	   *history = get_rel_name(row->history);
	char	   *tracking = OidIsValid(row->tracking) ? get_rel_name(row->tracking) : NULL;
	bool		gone = history == NULL || (OidIsValid(row->tracking) && tracking == NULL);
	bool		renamed = !gone && before &&
		(strcmp(history, NameStr(before->history_name)) != 0 ||
		 get_rel_namespace(row->history) != before->history_namespace ||
		 (tracking &&
		  (strcmp(tracking, NameStr(before->tracking_name)) != 0 ||
		   get_rel_namespace(row->tracking) != before->tracking_namespace)));
	Relation	live;
	bool		enabled;

	if (!(gone || renamed) ||
		!ConditionalLockRelationOid(row->live, AccessShareLock))
		return;
	live = table_open(row->live, NoLock);
	enabled = triggers_enabled(live, row);
	table_close(live, NoLock);

	if (enabled)
		refuse_by_hand(row->live, gone ? "drop" : "rename or move");
	if (history == NULL)
	{
		if (registry_is_sound(row, security_owner_of(row->live)))
			derived_drop(row->tracking);
		registry_delete(row->live);
	}
}

static void
refuse_by_hand(Oid live, const char *verb)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot %s the history or tracking table of table \"%s\" while it is tracked",
					verb, get_rel_name(live)),
			 strcmp(verb, "drop") == 0 ?
			 errhint("SELECT %s(%s::regclass);",
					 naming_quoted_in(registry_namespace(), "drop_history_table"),
					 quote_literal_cstr(naming_quoted(live))) :
			 errhint("ALTER TABLE %s takes them along, or SELECT %s(%s::regclass) first.",
					 naming_quoted(live),
					 naming_quoted_in(registry_namespace(),
									  "disable_history_tracking_for_table"),
					 quote_literal_cstr(naming_quoted(live)))));
}

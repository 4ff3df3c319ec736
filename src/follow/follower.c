/*
 * follower.c
 *		The event triggers: history tables follow DDL.
 *
 * ddl_command_start moves views out of the way of what PostgreSQL would refuse
 * because of them; it also stores the rows of partitions that are about to be
 * dropped.  ddl_command_end compares the tables that the command has touched
 * (command.c) with how they looked before it (table_state.c), and hands the
 * differences down.  sql_drop clears up after live tables that the command has
 * dropped.
 *
 * Catalogs are compared, statements are not replayed: the parse tree is looked
 * at only where the catalogs come too late (views in the way, rows that go) or
 * do not tell (USING).
 *
 * A table without its triggers counts as disabled and is left alone; one whose
 * triggers are switched off is followed.  Our own DDL (ddl_is_ours) is not followed,
 * nor is anything during pg_upgrade.  Row-level security is followed whatever is
 * tracked and whatever the settings are (row_security.c).
 *
 * Locks: on a live table those that the command takes anyway, and before any
 * on the history side.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "commands/event_trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "follow/follow.h"
#include "compat.h"

/* A table that the command has touched. */
typedef struct InvalidatedTable
{
	RegistryRow *row;
	TableState *before;
	TableState *now;
	bool		tracked;
	AttrNumber *held;			/* see follow_columns_held */
	bool		columns_changed;
	bool		had_view;
} InvalidatedTable;

static Node *event_statement(FunctionCallInfo fcinfo, const char *function,
							 const char *event);
static bool is_followed(void);
static void follower_follow(Node *statement);
static List *invalidated_tables(void);
static bool is_tracked(const RegistryRow *row, const TableState *before,
					   const TableState *now);
static void follow_tables(List *tables, Node *statement);
static void follow_identity(const InvalidatedTable *table);
static void follow_rest(InvalidatedTable *table, Node *statement);
static void update_triggers_installed(Oid live, Node *statement);
static bool may_take_triggers_away(Node *statement);
static bool switches_triggers(Oid live);
static int	compare_depth(const ListCell *a, const ListCell *b);

PG_FUNCTION_INFO_V1(catmaid_history_ddl_start);
PG_FUNCTION_INFO_V1(catmaid_history_ddl_end);
PG_FUNCTION_INFO_V1(catmaid_history_sql_drop);

/* ddl_command_start */
Datum
catmaid_history_ddl_start(PG_FUNCTION_ARGS)
{
	Node	   *statement = event_statement(fcinfo, "catmaid_history_ddl_start",
											"ddl_command_start");

	if (!is_followed())
		PG_RETURN_NULL();
	drop_functions_let_go(statement);
	command_begin(statement, settings_follow_any());
	if (settings_follow_any() && OidIsValid(extension_registry_or_invalid()))
		before_command(statement);
	PG_RETURN_NULL();
}

/* ddl_command_end */
Datum
catmaid_history_ddl_end(PG_FUNCTION_ARGS)
{
	Node	   *statement = event_statement(fcinfo, "catmaid_history_ddl_end",
											"ddl_command_end");

	/* what has to be seen to whatever the settings are */
	if (!IsBinaryUpgrade)
	{
		dump_follow_command(statement);
		row_security_follow_command(statement);
	}
	trigger_guard(statement);
	if (!is_followed())
		PG_RETURN_NULL();
	drop_functions_take_back(statement);
	command_is_innermost(statement);
	if (settings_follow_any())
	{
		follower_follow(statement);
		if (OidIsValid(extension_registry_or_invalid()))
			follow_children(statement);
	}
	else
		view_resume(statement);
	trigger_guard_switched(statement);
	command_end();
	PG_RETURN_NULL();
}

/* sql_drop */
Datum
catmaid_history_sql_drop(PG_FUNCTION_ARGS)
{
	Node	   *statement = event_statement(fcinfo, "catmaid_history_sql_drop", "sql_drop");
	ListCell   *lc;

	trigger_guard_drop(statement);
	if (!is_followed() || !settings_follow_any())
		PG_RETURN_NULL();
	command_is_innermost(statement);
	foreach(lc, command_invalidated())
	{
		RegistryRow *row = registry_get(lfirst_oid(lc));
		TableState *before;
		TableState *now;

		if (row == NULL)
			continue;
		table_state_compare(row, command_since(row->live), &before, &now);
		if (before && now == NULL)
			follow_drop(row, before, statement);
		else if (before && !command_sets_aside(row->live) &&
				 settings_follow_ddl(before->owner))
			follow_check_derived(row, before, now);
	}
	PG_RETURN_NULL();
}

/* The statement of the event, which others (login) do not have. */
static Node *
event_statement(FunctionCallInfo fcinfo, const char *function, const char *event)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo) || strcmp(data->event, event) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as an event trigger on %s",
						function, event)));
	return data->parsetree;
}

/* Returns true if a command is ours to follow. */
static bool
is_followed(void)
{
	return !IsBinaryUpgrade && !ddl_is_ours();
}

/*
 * All that the command has changed is followed now.  Views that it has suspended wait
 * for the commands around it that have set tables aside: the history may lack what
 * they would show.
 */
static void
follower_follow(Node *statement)
{
	/* a command that committed in between, like DETACH CONCURRENTLY, has none */
	bool		pushed = !ActiveSnapshotSet();
	List	   *tables;
	ListCell   *lc;

	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (command_waiting())
		view_suspended_hand_over(statement, command_waiting());
	tables = invalidated_tables();
	follow_tables(tables, statement);
	view_resume(statement);
	foreach(lc, tables)
	{
		InvalidatedTable    *table = lfirst(lc);

		if (settings_follow_ddl(table->before->owner))
			update_triggers_installed(table->row->live, statement);
	}
	if (pushed)
		PopActiveSnapshot();
}

/* Those that were there before and still are, parents before children. */
static List *
invalidated_tables(void)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, command_invalidated())
	{
		RegistryRow *row = registry_get(lfirst_oid(lc));
		InvalidatedTable    *table;

		if (row == NULL || command_sets_aside(row->live))
			continue;
		table = palloc0(sizeof(InvalidatedTable));
		table->row = row;
		table_state_compare(row, command_since(row->live),
							&table->before, &table->now);
		if (table->before == NULL || table->now == NULL)
			continue;
		table->tracked = is_tracked(row, table->before, table->now);
		tables = lappend(tables, table);
	}
	list_sort(tables, compare_depth);
	return tables;
}

/* Returns true if the table's history follows.  The command may have changed the owner. */
static bool
is_tracked(const RegistryRow *row, const TableState *before, const TableState *now)
{
	if (!now->history.exists || !settings_follow_ddl(before->owner))
		return false;
	if (!registry_is_sound(row, now->owner) && !registry_is_sound(row, before->owner))
	{
		if (now->tracked && before->owners_agree && !now->owners_agree)
			follow_refuse_by_hand(row->live, "give away");
		return false;
	}
	return now->tracked;
}

static void
follow_tables(List *tables, Node *statement)
{
	ListCell   *lc;

	/* all views first: a change of a parent's history goes down to children */
	foreach(lc, tables)
	{
		InvalidatedTable    *table = lfirst(lc);

		if (!table->tracked)
			continue;
		follow_check_derived(table->row, table->before, table->now);
		follow_identity(table);
		table->columns_changed = follow_columns_changed(table->before,
														table->now, statement);
		if (!table->columns_changed)
			continue;
		table->held = follow_columns_held(table->row, table->before);
		table->had_view = OidIsValid(view_of_table(table->row->live));
	}
	foreach(lc, tables)
	{
		InvalidatedTable    *table = lfirst(lc);

		if (table->columns_changed &&
			follow_columns_taken(table->before, table->now))
			followed_suspend_view(table->row->live, NULL, statement);
	}

	foreach(lc, tables)
	{
		InvalidatedTable    *table = lfirst(lc);

		if (table->columns_changed)
			follow_columns(table->row, table->before, table->now,
						   table->held, statement,
						   settings_on_drop_column(table->before->owner) == ON_DROP_KEEP);
	}

	foreach(lc, tables)
	{
		InvalidatedTable    *table = lfirst(lc);

		if (table->tracked)
			follow_rest(table, statement);
	}
}

/* RENAME TO, SET SCHEMA, OWNER TO. */
static void
follow_identity(const InvalidatedTable *table)
{
	const TableState *then = table->before;
	const TableState *now = table->now;
	TableIdentity before = {then->name, then->namespace, then->owner};
	TableIdentity after = {now->name, now->namespace, now->owner};

	derived_follow_identity(table->row, &before, &after);
}

static void
follow_rest(InvalidatedTable *table, Node *statement)
{
	RegistryRow *row = table->row;
	const TableState *before = table->before;
	const TableState *now = table->now;

	/*
	 * Without such a change there is no reason to wait for the table's writers; nor
	 * is another index of the same key: REINDEX CONCURRENTLY has just let them go.
	 */
	if ((table->columns_changed &&
		 follow_columns_concern_key(row, before, now, statement)) ||
		(before->key_index != now->key_index && !IsA(statement, ReindexStmt)))
		follow_key(row, before, now, statement);
	follow_hierarchy(row, before, now);
	follow_partitions(row, before, now);
	if (before->persistence != now->persistence && OidIsValid(row->tracking))
		derived_copy_persistence(row->live, row->tracking);
	if (!table->columns_changed)
		return;
	triggers_follow_columns(row);
	if (table->had_view && IsA(statement, RenameStmt))
		view_refresh(row);		/* its columns have been renamed, too */
	else if (table->had_view)
		view_update(row);
}

/*
 * The flag in the registry is what is really there.
 *
 * Who makes, drops or switches triggers of a table holds a lock on it that only
 * one can have.  Those of the partitions of a table may come from several
 * sessions at a time, so they look at each other's work one after the other; the
 * last one sees all of it.
 */
static void
update_triggers_installed(Oid live, Node *statement)
{
	RegistryRow *row = registry_get(live);
	bool		partitioned = get_rel_relkind(live) == RELKIND_PARTITIONED_TABLE;
	bool		complete;

	if (row == NULL || get_rel_name(live) == NULL ||
		!registry_is_sound(row, security_owner_of(live)))
		return;
	complete = triggers_complete(live, row);
	if (complete == row->triggers_installed &&
		(complete || !partitioned || !triggers_enabled(live, row)))
		return;
	if (partitioned)
	{
		registry_lock_row(live);
		row = registry_get(live);
		if (row == NULL)
			return;
		complete = triggers_complete(live, row);
	}
	else if (!switches_triggers(live))
		return;
	if (complete == row->triggers_installed)
		return;
	row->triggers_installed = complete;
	registry_update(row);
	if (complete)
		reach_resume(row, true);
	else if (may_take_triggers_away(statement))
		reach_pause(row, true);
}

/*
 * While a dump is restored, the registry says that the table is tracked before its triggers
 * are made: that is no pause.
 */
static bool
may_take_triggers_away(Node *statement)
{
	ListCell   *lc;

	if (!IsA(statement, AlterTableStmt))
		return !IsA(statement, CreateTrigStmt) && !IsA(statement, IndexStmt);
	foreach(lc, ((AlterTableStmt *) statement)->cmds)
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_DisableTrig:
			case AT_DisableTrigAll:
			case AT_DisableTrigUser:
			case AT_EnableReplicaTrig:
				return true;
			default:
				break;
		}
	return false;
}

/*
 * Returns true if this command may have made, dropped or switched triggers of the table,
 * so that the flag is its to set.  (pg_restore -j makes indexes of a table at the same
 * time.)
 */
static bool
switches_triggers(Oid live)
{
	return relation_is_locked(live, ShareRowExclusiveLock);
}

static int
compare_depth(const ListCell *a, const ListCell *b)
{
	return lineage_depth(((InvalidatedTable *) lfirst(a))->row->live) -
		lineage_depth(((InvalidatedTable *) lfirst(b))->row->live);
}

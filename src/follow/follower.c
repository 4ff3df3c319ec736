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
typedef struct Touched
{
	RegistryRow *row;
	TableState *before;
	TableState *now;
	bool		tracked;
	AttrNumber *held;			/* see follow_columns_held */
	bool		columns_changed;
	bool		had_view;
} Touched;

static Node *event_statement(FunctionCallInfo fcinfo, const char *function,
							 const char *event);
static bool is_followed(void);
static void follow(Node *statement);
static List *touched_tables(void);
static bool is_tracked(const RegistryRow *row, const TableState *before,
					   const TableState *now);
static void follow_tables(List *tables, Node *statement);
static void follow_identity(const Touched *touched);
static void follow_rest(Touched *touched, Node *statement);
static void update_triggers_installed(Oid live);
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
	if (settings_follow_any() && OidIsValid(registry_relid_or_invalid()))
		make_room(statement);
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
		follow(statement);
	else
		views_unpark(statement);
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
	foreach(lc, command_touched())
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

/* Is a command our business? */
static bool
is_followed(void)
{
	return !IsBinaryUpgrade && !ddl_is_ours();
}

/*
 * All that the command has changed is followed now.  Views that it has parked wait
 * for the commands around it that have set tables aside: the history may lack what
 * they would show.
 */
static void
follow(Node *statement)
{
	/* a command that committed in between, like DETACH CONCURRENTLY, has none */
	bool		pushed = !ActiveSnapshotSet();
	List	   *tables;
	ListCell   *lc;

	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (command_waiting())
		views_leave_parked(statement, command_waiting());
	tables = touched_tables();
	follow_tables(tables, statement);
	views_unpark(statement);
	foreach(lc, tables)
	{
		Touched    *touched = lfirst(lc);

		if (settings_follow_ddl(touched->before->owner))
			update_triggers_installed(touched->row->live);
	}
	if (pushed)
		PopActiveSnapshot();
}

/* Those that were there before and still are, parents before children. */
static List *
touched_tables(void)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, command_touched())
	{
		RegistryRow *row = registry_get(lfirst_oid(lc));
		Touched    *touched;

		if (row == NULL || command_sets_aside(row->live))
			continue;
		touched = palloc0(sizeof(Touched));
		touched->row = row;
		table_state_compare(row, command_since(row->live),
							&touched->before, &touched->now);
		if (touched->before == NULL || touched->now == NULL)
			continue;
		touched->tracked = is_tracked(row, touched->before, touched->now);
		tables = lappend(tables, touched);
	}
	list_sort(tables, compare_depth);
	return tables;
}

/* Does its history follow?  The command may have changed the owner. */
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
		Touched    *touched = lfirst(lc);

		if (!touched->tracked)
			continue;
		follow_check_derived(touched->row, touched->before, touched->now);
		follow_identity(touched);
		touched->columns_changed = follow_columns_changed(touched->before,
														  touched->now, statement);
		if (!touched->columns_changed)
			continue;
		touched->held = follow_columns_held(touched->row, touched->before);
		touched->had_view = OidIsValid(view_of_table(touched->row->live));
	}
	foreach(lc, tables)
	{
		Touched    *touched = lfirst(lc);

		if (touched->columns_changed &&
			follow_columns_taken(touched->before, touched->now))
			make_room_park_view(touched->row->live, NULL, statement);
	}

	foreach(lc, tables)
	{
		Touched    *touched = lfirst(lc);

		if (touched->columns_changed)
			follow_columns(touched->row, touched->before, touched->now,
						   touched->held, statement,
						   settings_on_drop_column(touched->before->owner) == ON_DROP_KEEP);
	}

	foreach(lc, tables)
	{
		Touched    *touched = lfirst(lc);

		if (touched->tracked)
			follow_rest(touched, statement);
	}
}

/* RENAME TO, SET SCHEMA, OWNER TO. */
static void
follow_identity(const Touched *touched)
{
	const TableState *then = touched->before;
	const TableState *now = touched->now;
	TableIdentity before = {then->name, then->namespace, then->owner};
	TableIdentity after = {now->name, now->namespace, now->owner};

	derived_follow_identity(touched->row, &before, &after);
}

static void
follow_rest(Touched *touched, Node *statement)
{
	RegistryRow *row = touched->row;
	const TableState *before = touched->before;
	const TableState *now = touched->now;

	/*
	 * Without such a change there is no reason to wait for the table's writers; nor
	 * is another index of the same key: REINDEX CONCURRENTLY has just let them go.
	 */
	if ((touched->columns_changed &&
		 follow_columns_concern_key(row, before, now, statement)) ||
		(before->key_index != now->key_index && !IsA(statement, ReindexStmt)))
		follow_key(row, before, now, statement);
	follow_hierarchy(row, before, now);
	follow_partitions(row, before, now);
	if (before->persistence != now->persistence && OidIsValid(row->tracking))
		derived_copy_persistence(row->live, row->tracking);
	if (!touched->columns_changed)
		return;
	triggers_follow_columns(row);
	if (touched->had_view && IsA(statement, RenameStmt))
		view_refresh(row);		/* its columns have been renamed, too */
	else if (touched->had_view)
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
update_triggers_installed(Oid live)
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
}

/*
 * May this command have made, dropped or switched triggers of the table, so that
 * the flag is its to set?  (pg_restore -j makes indexes of a table at the same
 * time.)
 */
static bool
switches_triggers(Oid live)
{
	return derived_is_locked(live, ShareRowExclusiveLock);
}

static int
compare_depth(const ListCell *a, const ListCell *b)
{
	return lineage_depth(((Touched *) lfirst(a))->row->live) -
		lineage_depth(((Touched *) lfirst(b))->row->live);
}

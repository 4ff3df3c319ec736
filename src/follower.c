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
 * A command may run others: an extension's script, a function in USING, an
 * event trigger that fires before ours.  What the outer one has changed before
 * the first of these is followed at the end of the outer one.
 *
 * A table without its triggers counts as disabled and is left alone.  Our own
 * DDL (ddl_is_ours) is not followed, nor is anything during pg_upgrade.  Row-level
 * security is followed whatever is tracked and whatever the settings are
 * (row_security.c).
 *
 * Locks: on a live table those that the command takes anyway, and before any
 * on the history side.  A table whose lock cannot be had at once is not
 * the command's.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/event_trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catmaid_history.h"
#include "compat.h"

typedef struct Followed
{
	RegistryRow *row;
	TableSnapshot *before;
	TableSnapshot *now;
	AttrNumber *held;			/* see follow_columns_held */
	bool		columns_changed;
	bool		had_view;
} Followed;

/* The commands that are being executed, the outermost first. */
typedef struct Command
{
	Node	   *statement;		/* never looked into */
	SubTransactionId subid;
	bool		may_set_aside;	/* what it changes, for its end */
	bool		has_set_aside;
} Command;

static List *commands = NIL;	/* in TopTransactionContext */

static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);
static void command_begins(Node *statement);
static void command_ends(Node *statement);
static int	command_level(Node *statement);
static bool runs_others(Node *statement);
static Node *event_statement(FunctionCallInfo fcinfo, const char *function,
							 const char *event);
static bool is_followed(void);
static List *changed_tables(void);
static Oid	owner_before(Oid live);
static void follow_tables(List *tables, Node *statement);
static void agree_on_triggers(Oid live);
static bool switches_triggers(Oid live);
static int	compare_depth(const ListCell *a, const ListCell *b);

PG_FUNCTION_INFO_V1(catmaid_history_ddl_start);
PG_FUNCTION_INFO_V1(catmaid_history_ddl_end);
PG_FUNCTION_INFO_V1(catmaid_history_sql_drop);

void
follower_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/* ddl_command_start */
Datum
catmaid_history_ddl_start(PG_FUNCTION_ARGS)
{
	Node	   *statement = event_statement(fcinfo, "catmaid_history_ddl_start",
										   "ddl_command_start");

	if (!is_followed())
		PG_RETURN_NULL();
	command_begins(statement);
	if (!settings_follow_any())
		PG_RETURN_NULL();
	snapshot_refresh();
	make_room(statement);
	PG_RETURN_NULL();
}

/* ddl_command_end */
Datum
catmaid_history_ddl_end(PG_FUNCTION_ARGS)
{
	Node	   *statement = event_statement(fcinfo, "catmaid_history_ddl_end",
										   "ddl_command_end");
	List	   *tables;
	ListCell   *lc;
	bool		pushed;

	/* what has to be seen to whatever the settings are */
	if (!IsBinaryUpgrade)
	{
		dump_follow_command(statement);
		row_security_follow_command(statement);
	}
	if (!is_followed())
		PG_RETURN_NULL();
	command_ends(statement);
	if (!settings_follow_any())
		PG_RETURN_NULL();
	/* a command that committed in between, like DETACH CONCURRENTLY, has none */
	pushed = !ActiveSnapshotSet();
	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	tables = changed_tables();
	if (tables != NIL)
		follow_tables(tables, statement);
	views_unpark(statement);
	foreach(lc, snapshot_changed())
		if (get_rel_name(lfirst_oid(lc)) != NULL &&
			settings_follow_ddl(owner_before(lfirst_oid(lc))))
			agree_on_triggers(lfirst_oid(lc));
	snapshot_refresh();
	if (pushed)
		PopActiveSnapshot();
	PG_RETURN_NULL();
}

/* sql_drop */
Datum
catmaid_history_sql_drop(PG_FUNCTION_ARGS)
{
	Node	   *statement = event_statement(fcinfo, "catmaid_history_sql_drop", "sql_drop");
	ListCell   *lc;
	int			level;

	if (!is_followed() || !settings_follow_any() ||
		!OidIsValid(registry_relid_or_invalid()))
		PG_RETURN_NULL();
	level = command_level(statement);
	snapshot_take_back(level);
	if (level <= list_length(commands))
		((Command *) list_nth(commands, level - 1))->may_set_aside =
			!runs_others(statement);
	foreach(lc, snapshot_changed())
	{
		RegistryRow *row = registry_get(lfirst_oid(lc));

		if (row == NULL)
			continue;
		if (get_rel_name(row->live) == NULL)
			follow_drop(row->live, statement);
		else if (settings_follow_ddl(owner_before(row->live)))
			follow_check_derived(row);
	}
	PG_RETURN_NULL();
}

static void
command_begins(Node *statement)
{
	MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);
	Command    *around = commands ? llast(commands) : NULL;
	Command    *command = palloc0(sizeof(Command));

	/* what comes later is of the commands inside, which have followed it */
	if (around && around->may_set_aside &&
		snapshot_set_aside(list_length(commands)))
	{
		around->may_set_aside = false;
		around->has_set_aside = true;
	}
	command->statement = statement;
	command->subid = GetCurrentSubTransactionId();
	command->may_set_aside = settings_follow_any() && !runs_others(statement);
	commands = lappend(commands, command);
	MemoryContextSwitchTo(before);
}

/*
 * All that the command has changed is to be followed now.  Views that it has
 * parked wait for the commands around it that have set tables aside: the history
 * may lack what they would show.
 */
static void
command_ends(Node *statement)
{
	int			level = command_level(statement);
	ListCell   *lc;

	commands = list_truncate(commands, level - 1);
	snapshot_take_back(level);
	foreach(lc, commands)
		if (((Command *) lfirst(lc))->has_set_aside)
			views_leave_parked(statement, ((Command *) lfirst(lc))->statement);
}

/* Its place among the commands, from 1; that of the next one if it is not there. */
static int
command_level(Node *statement)
{
	int			level;

	for (level = list_length(commands); level > 0; level--)
		if (((Command *) list_nth(commands, level - 1))->statement == statement)
			return level;
	return list_length(commands) + 1;
}

/* Is it there for the commands in it, and changes no tracked table itself? */
static bool
runs_others(Node *statement)
{
	return IsA(statement, CreateExtensionStmt) ||
		IsA(statement, AlterExtensionStmt) ||
		IsA(statement, CreateTableAsStmt) ||
		IsA(statement, RefreshMatViewStmt);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
	{
		commands = NIL;
		snapshot_take_back(1);
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	foreach(lc, commands)
	{
		Command    *command = lfirst(lc);

		if (command->subid != mine)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			commands = foreach_delete_current(commands, lc);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			command->subid = parent;
	}
	if (event == SUBXACT_EVENT_ABORT_SUB)
		snapshot_take_back(list_length(commands) + 1);
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

/* The tracked tables that may have changed, parents before children. */
static List *
changed_tables(void)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, snapshot_changed())
	{
		Followed   *followed = palloc0(sizeof(Followed));

		if (!follower_is_ours(lfirst_oid(lc), &followed->row))
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
 * the registry says so too.  And is DDL on it to be followed?
 */
bool
follower_is_ours(Oid live, RegistryRow **row)
{
	Relation	rel = derived_open_at_once(live, AccessShareLock);
	TableSnapshot *before;
	bool		enabled;

	if (rel == NULL)
		return false;
	table_close(rel, NoLock);
	*row = registry_get(live);
	if (*row == NULL || get_rel_name((*row)->history) == NULL ||
		!settings_follow_ddl(owner_before(live)))
		return false;

	/* the command may have changed the owner */
	before = snapshot_copy(live);
	if (!registry_is_sound(*row, security_owner_of(live)) &&
		(before == NULL || !registry_is_sound(*row, before->owner)))
	{
		if (triggers_enabled(live, *row) && before && before->sound)
			follow_refuse_by_hand(live, "give away");
		return false;
	}

	enabled = triggers_enabled(live, *row);
	if (!enabled)
		agree_on_triggers(live);
	return enabled;
}

/* Whose table it was when the command began: his settings count. */
static Oid
owner_before(Oid live)
{
	TableSnapshot *before = snapshot_copy(live);

	return before ? before->owner : security_owner_of(live);
}

static void
follow_tables(List *tables, Node *statement)
{
	ListCell   *lc;

	/* all views first: a change of a parent's history goes down to children */
	foreach(lc, tables)
	{
		Followed   *followed = lfirst(lc);

		follow_check_derived(followed->row);
		follow_identity(followed->row, followed->before, followed->now);
		followed->columns_changed = follow_columns_changed(followed->before,
														   followed->now, statement);
		followed->held = follow_columns_held(followed->row, followed->before);
		followed->had_view = OidIsValid(view_find(followed->row->live));
	}
	foreach(lc, tables)
	{
		Followed   *followed = lfirst(lc);

		if (followed->columns_changed && !IsA(statement, RenameStmt))
			make_room_park_view(followed->row->live, statement);
	}

	foreach(lc, tables)
	{
		Followed   *followed = lfirst(lc);

		if (followed->columns_changed)
			follow_columns(followed->row, followed->before, followed->now,
						   followed->held, statement,
						   settings_on_drop_column(followed->before->owner) == ON_DROP_KEEP);
	}

	foreach(lc, tables)
	{
		Followed   *followed = lfirst(lc);
		RegistryRow *row = followed->row;
		Relation	live;

		/*
		 * An invalidation alone is no reason to wait for the table's writers, nor is
		 * another index of the same key: REINDEX CONCURRENTLY has just let them go.
		 */
		if (followed->columns_changed ||
			(followed->before->key_index != followed->now->key_index &&
			 !IsA(statement, ReindexStmt)))
			follow_key(row, followed->before, followed->now, statement);
		follow_hierarchy(row, followed->before, followed->now);
		follow_partitions(row, followed->before, followed->now);
		if (followed->before->persistence != followed->now->persistence &&
			OidIsValid(row->tracking))
			derived_copy_persistence(row->live, row->tracking);
		if (followed->columns_changed)
		{
			/* the arguments name columns */
			live = table_open(row->live, NoLock);
			triggers_install(live, row, 0);
			table_close(live, NoLock);
			if (followed->had_view && !views_parked(row->live))
				view_create(row);
		}
	}
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
agree_on_triggers(Oid live)
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
	return lineage_depth(((Followed *) lfirst(a))->row->live) -
		lineage_depth(((Followed *) lfirst(b))->row->live);
}

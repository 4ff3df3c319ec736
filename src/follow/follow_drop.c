/*
 * follow_drop.c
 *		After a DDL command: live tables that are gone, and derived tables that
 *		somebody dropped or renamed by hand.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/snapmgr.h"

#include "follow/follow.h"

static bool follow_drop_cascades(Node *statement);
static void clear_up_after(const RegistryRow *row, const TableState *before,
						   bool cascade);
static bool has_derived_name(const TableState *before);
static void read_mark_before(Oid live, Mark *mark);
static void follow_drop_keep(const RegistryRow *row, const TableState *before);
static void clear_up_after_children(const RegistryRow *row, bool cascade);
static bool follow_drop_was_moved(const DerivedState *before, const DerivedState *now);
static bool follow_drop_beside(const TableState *live, const DerivedState *derived,
							   const char *name);

/*
 * The live table has been dropped by the statement: so is its history, or it is
 * forgotten, or kept, as the settings of its owner have it.
 */
void
follow_drop(const RegistryRow *row, const TableState *before, Node *statement)
{
	clear_up_after(row, before, follow_drop_cascades(statement));
}

static bool
follow_drop_cascades(Node *statement)
{
	if (IsA(statement, DropStmt))
		return ((DropStmt *) statement)->behavior == DROP_CASCADE;
	return IsA(statement, DropOwnedStmt) &&
		((DropOwnedStmt *) statement)->behavior == DROP_CASCADE;
}

/*
 * What the registry names is dropped only if it was the table's before the command:
 * marked, or, from before there were marks, evidently so.
 */
static void
clear_up_after(const RegistryRow *row, const TableState *before, bool cascade)
{
	ListCell   *lc;
	bool		stays;
	Mark		mark;

	if (!settings_follow_ddl(before->owner))
		return;
	read_mark_before(row->live, &mark);
	if (!before->owners_agree || !registry_is_sound_by(row, &mark))
	{
		follow_drop_keep(row, before);
		return;
	}
	stays = follow_drop_keeps(before->owner, before->tracked) ||
		(!OidIsValid(mark.history) && before->history.exists &&
		 !has_derived_name(before));

	clear_up_after_children(row, cascade);
	if (stays && get_rel_name(row->history) != NULL)
		reach_keep(row);
	registry_delete(row->live);
	retention_forget(row->live);
	if (OidIsValid(row->tracking) && derived_serves_tracking(row->tracking))
		derived_drop_with(row->tracking, cascade);
	if (get_rel_name(row->history) == NULL)
		return;
	if (stays)
	{
		ereport(NOTICE,
				(errmsg("keeping history table %s", naming_quoted(row->history)),
				 errdetail("Its live table was dropped.")));
		return;
	}
	follow_drop_notice(row->history);
	foreach(lc, segments_others(row->history, AccessExclusiveLock))
		catalog_disinherit(lfirst_oid(lc), row->history);
	derived_drop_with(row->history, cascade);
}

static bool
has_derived_name(const TableState *before)
{
	char	   *live = naming_live_of(NameStr(before->history.name));

	return live != NULL && strcmp(live, NameStr(before->name)) == 0;
}

/* The mark that the table had. */
static void
read_mark_before(Oid live, Mark *mark)
{
	Snapshot	snapshot = table_state_snapshot(command_since(live));

	(void) mark_read(live, snapshot, mark);
	UnregisterSnapshot(snapshot);
}

/* The row of the table that was dropped is not sound. */
static void
follow_drop_keep(const RegistryRow *row, const TableState *before)
{
	registry_delete(row->live);
	retention_forget(row->live);
	if (before->history.exists || before->tracking.exists)
		ereport(WARNING,
				(errmsg("tables registered as the history of table \"%s\" were not dropped",
						NameStr(before->name)),
				 errdetail("Nothing but the registry says that they are its history.")));
}

/*
 * Returns true if the history is kept when a table of this owner's is dropped.  That of a
 * table that is not tracked is.
 */
bool
follow_drop_keeps(Oid owner, bool tracked)
{
	return settings_on_drop_table(owner) == ON_DROP_KEEP || !tracked;
}

/* The history is dropped with its table: a NOTICE if there is anything in it. */
void
follow_drop_notice(Oid history)
{
	bool		has_versions = segments_on_servers(history) != NIL;
	ListCell   *lc;

	foreach(lc, segments_here_and_head(history))
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);
		TableScanDesc scan = table_beginscan(rel, SnapshotSelf, 0, NULL);
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		has_versions = has_versions || table_scan_getnextslot(scan, ForwardScanDirection, slot);
		ExecDropSingleTupleTableSlot(slot);
		table_endscan(scan);
		table_close(rel, NoLock);
	}
	if (has_versions)
		ereport(NOTICE,
				(errmsg("history table %s is dropped with its versions",
						naming_quoted(history)),
				 errdetail("Its live table was dropped.")));
}

/* The children that the command has dropped as well go first. */
static void
clear_up_after_children(const RegistryRow *row, bool cascade)
{
	ListCell   *lc;

	check_stack_depth();
	if (get_rel_name(row->history) == NULL)
		return;
	foreach(lc, find_inheritance_children(row->history, AccessExclusiveLock))
	{
		RegistryRow *child = registry_get_by_derived(lfirst_oid(lc));
		TableState *before;

		if (child == NULL || child->history != lfirst_oid(lc) ||
			get_rel_name(child->live) != NULL)
			continue;
		before = table_state_before(child, command_since(child->live));
		if (before)
			clear_up_after(child, before, cascade);
	}
}

/*
 * Nobody takes the history or tracking table of a tracked table away by hand,
 * or renames it, but with the live table.  With tracking disabled a history table
 * that was dropped takes its registry row along.
 */
void
follow_check_derived(const RegistryRow *row, const TableState *before,
					 const TableState *now)
{
	bool		history_gone = before->history.exists && !now->history.exists;
	bool		gone = history_gone ||
		(before->tracking.exists && !now->tracking.exists);
	bool		renamed =
		(follow_drop_was_moved(&before->history, &now->history) &&
		 !follow_drop_beside(now, &now->history, naming_history_table(row->live))) ||
		(follow_drop_was_moved(&before->tracking, &now->tracking) &&
		 !follow_drop_beside(now, &now->tracking, naming_tracking_table(row->live)));

	if (now->tracked && (gone || renamed))
		follow_refuse_by_hand(row->live, gone ? "drop" : "rename or move");
	if (history_gone)
	{
		if (registry_is_sound(row, now->owner))
			derived_drop(row->tracking);
		registry_delete(row->live);
		retention_forget(row->live);
	}
}

static bool
follow_drop_was_moved(const DerivedState *before, const DerivedState *now)
{
	return before->exists && now->exists &&
		(strcmp(NameStr(before->name), NameStr(now->name)) != 0 ||
		 before->namespace != now->namespace);
}

/* Returns true if the derived table has the name and the schema that it should have. */
static bool
follow_drop_beside(const TableState *live, const DerivedState *derived, const char *name)
{
	return strcmp(NameStr(derived->name), name) == 0 &&
		derived->namespace == live->namespace;
}

void
follow_refuse_by_hand(Oid live, const char *verb)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot %s the history or tracking table of table \"%s\" while it is tracked",
					verb, get_rel_name(live)),
			 strcmp(verb, "drop") == 0 ?
			 errhint("SELECT %s(%s::regclass) ends tracking and keeps the history table, SELECT %s(%s::regclass) drops both.",
					 drop_function_name(true),
					 naming_argument(live),
					 drop_function_name(false),
					 naming_argument(live)) :
			 errhint("RENAME TO, SET SCHEMA and OWNER TO of table %s take them along; or SELECT %s(%s::regclass) first.",
					 naming_quoted(live),
					 hint_function("disable_history_tracking_for_table"),
					 naming_argument(live))));
}

/*
 * mark.c
 *		The mark: which tables are a live table's history, by what only we can say.
 *
 * A row of the registry may have been written by others (a restore, the owner of
 * the database), and names alone prove nothing either.  So one of the triggers on
 * the live table depends, in pg_depend and normally, on the history table, and on
 * the tracking table if there is one.  No command makes a trigger depend on another
 * table but by an expression in its WHEN, and a trigger with a WHEN is none of
 * ours.  The mark is set where we install triggers, and where a role with the
 * rights of the live table's owner has made this one by hand (trigger_guard.c), as
 * a restore does.
 *
 * It goes with the trigger, so a table that is not tracked has none.  PostgreSQL
 * itself refuses to drop a table that is marked, unless the live table or the trigger
 * goes along: with CASCADE it would take the trigger, so this is not one that
 * stores versions, whose absence nobody would notice.  It is by OID: names, schemas
 * and owners may change.
 *
 * Locks: the caller holds one on the live table, SHARE ROW EXCLUSIVE to set a mark;
 * ACCESS SHARE is taken on the tables that are marked.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "registry/registry.h"
#include "compat.h"

static List *marked_by(Oid trigger, Oid live, Snapshot snapshot);
static void tell_apart(Mark *mark, List *tables);
static void depend_on(Oid trigger, Oid relid);

/*
 * Read the mark of a live table, as of the snapshot (NULL: now), into *mark, with
 * what the trigger's arguments say.  Returns false if there is no trigger that could
 * have one; without a mark, history is InvalidOid.
 */
bool
mark_read(Oid live, Snapshot snapshot, Mark *mark)
{
	Trigger    *trigger = triggers_for_mark(live, snapshot);

	memset(mark, 0, sizeof(Mark));
	if (trigger == NULL)
		return false;
	mark->trigger = trigger->tgoid;
	mark->with_tracking = trigger->tgnargs == 0;
	mark->time_column = mark->with_tracking ? EDITION_COLUMN : trigger->tgargs[0];
	mark->txid_column = mark->with_tracking ? TRACKING_XID_COLUMN : trigger->tgargs[1];
	tell_apart(mark, marked_by(trigger->tgoid, live, snapshot));
	return true;
}

/* Returns true if the mark names the row's tables. */
bool
mark_agrees(const Mark *mark, const RegistryRow *row)
{
	return mark->history == row->history && mark->tracking == row->tracking &&
		mark->with_tracking == OidIsValid(row->tracking);
}

/* Returns true if the row's live table is marked, with the row's tables. */
bool
mark_is_set(const RegistryRow *row)
{
	Mark		mark;

	return mark_read(row->live, NULL, &mark) && OidIsValid(mark.history) &&
		mark_agrees(&mark, row);
}

/*
 * Mark the row's tables as the live table's, if it has the trigger for that, and no
 * others.  The caller knows that they are.
 */
void
mark_set(const RegistryRow *row)
{
	Mark		mark;

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (!mark_read(row->live, NULL, &mark) ||
		(OidIsValid(mark.history) && mark_agrees(&mark, row)) ||
		mark.with_tracking != OidIsValid(row->tracking))
		return;
	deleteDependencyRecordsForClass(TriggerRelationId, mark.trigger,
									RelationRelationId, DEPENDENCY_NORMAL);
	depend_on(mark.trigger, row->history);
	if (OidIsValid(row->tracking))
		depend_on(mark.trigger, row->tracking);
	CacheInvalidateRelcacheByRelid(row->live);
	CommandCounterIncrement();
}

/* Take the mark away, of a table that is about to be replaced. */
void
mark_clear(Oid live)
{
	Mark		mark;

	Assert(relation_is_locked(live, ShareRowExclusiveLock));
	if (!mark_read(live, NULL, &mark) || !OidIsValid(mark.history))
		return;
	deleteDependencyRecordsForClass(TriggerRelationId, mark.trigger,
									RelationRelationId, DEPENDENCY_NORMAL);
	CommandCounterIncrement();
}

/* Returns the tables, other than its own, on which the trigger depends. */
static List *
marked_by(Oid trigger, Oid live, Snapshot snapshot)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *tables = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(TriggerRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(depend, DependDependerIndexId, true, snapshot, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->deptype == DEPENDENCY_NORMAL &&
			form->refclassid == RelationRelationId && form->refobjid != live)
			tables = lappend_oid(tables, form->refobjid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return tables;
}

/* Tell history and tracking table apart. */
static void
tell_apart(Mark *mark, List *tables)
{
	if (list_length(tables) != (mark->with_tracking ? 2 : 1))
		return;
	mark->history = linitial_oid(tables);
	if (!mark->with_tracking)
		return;
	mark->tracking = lsecond_oid(tables);
	if (!derived_is_history(mark->history) &&
		(derived_is_history(mark->tracking) || derived_serves_tracking(mark->history)))
	{
		mark->history = lsecond_oid(tables);
		mark->tracking = linitial_oid(tables);
	}
}

static void
depend_on(Oid trigger, Oid relid)
{
	ObjectAddress depender;
	ObjectAddress referenced;

	LockRelationOid(relid, AccessShareLock);
	if (get_rel_name(relid) == NULL)
		return;
	ObjectAddressSet(depender, TriggerRelationId, trigger);
	ObjectAddressSet(referenced, RelationRelationId, relid);
	recordDependencyOn(&depender, &referenced, DEPENDENCY_NORMAL);
}

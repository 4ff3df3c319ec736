/*
 * truncate.c
 *		The TRUNCATE trigger: every row that TRUNCATE removes.
 *
 * PostgreSQL fires BEFORE TRUNCATE triggers for every table that is emptied,
 * be it named, a child of a named one or reached by CASCADE, so each table
 * stores its own rows and no others: each row once.  A partitioned table has no
 * rows; each of its partitions has the trigger.
 *
 * Triggers of the application may write to the table between ours and the
 * removal; the AFTER TRUNCATE trigger tells capture.c that this is over.
 *
 * TRUNCATE holds ACCESS EXCLUSIVE on the table, so SnapshotSelf sees just the
 * rows that it removes, however old the transaction's snapshot is.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "compat.h"

static void store_uncovered_partitions(Relation root, Trigger *trigger);

PG_FUNCTION_INFO_V1(catmaid_history_truncate);

/* BEFORE and AFTER TRUNCATE, FOR EACH STATEMENT.  Result: none. */
Datum
catmaid_history_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	rel;
	SecurityState before;

	triggers_check_call(fcinfo, "catmaid_history_truncate",
						CALLED_AS_TRIGGER(fcinfo) &&
						TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event) &&
						strcmp(trigdata->tg_trigger->tgname,
							   TRIGGER_FIRED_BEFORE(trigdata->tg_event) ?
							   BEFORE_TRUNCATE_TRIGGER : AFTER_TRUNCATE_TRIGGER) == 0);
	rel = trigdata->tg_relation;
	as_of_check_write(RelationGetRelid(rel));

	/* replication applies rows and TRUNCATE without a command around each of them */
	if (TRIGGER_FIRED_BEFORE(trigdata->tg_event))
		batch_let_go();
	(void) cache_lookup(rel, trigdata->tg_trigger); /* without a history that is said first */
	triggers_check_exact(rel, trigdata->tg_trigger);
	security_act_as(cache_lookup(rel, trigdata->tg_trigger)->owner,
					ACT_FOR_WRITER, &before);	/* see capture.c */
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		if (TRIGGER_FIRED_BEFORE(trigdata->tg_event))
			store_uncovered_partitions(rel, trigdata->tg_trigger);
	}
	else if (TRIGGER_FIRED_BEFORE(trigdata->tg_event))
	{
		truncate_store_rows(rel, cache_lookup(rel, trigdata->tg_trigger),
							rel->rd_rel->relispartition ?
							TRACKING_FORGETS : TRACKING_IS_EMPTIED);
		/* what has been changed of the table until now is known */
		CommandCounterIncrement();
		truncation_begin(rel);
	}
	else
		truncation_end(rel);
	security_act_as_before(&before);
	return PointerGetDatum(NULL);
}

/*
 * Store all rows of rel, which are about to go, and see to the tracking table, which
 * a partition shares with others.  The caller holds ACCESS EXCLUSIVE on rel.
 */
void
truncate_store_rows(Relation rel, CaptureRelation *capture, TruncatedTracking fate)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, SnapshotSelf, 0, NULL);
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "catmaid_history truncate",
												  ALLOCSET_DEFAULT_SIZES);
	Oid			tracking = capture->tracking;
	int			settings = security_begin_code(capture->history, capture->bypass_executor);
	HistoryWriter *writer = history_writer_open(capture, true, true);
	TrackingTable *keys;

	Assert(CheckRelationLockedByMe(rel, AccessExclusiveLock, true));
	/*
	 * Readers of the tracking table are not waited for: they may be about to read the
	 * live table.  And a TRUNCATE that names the tracking table, too, has it open.
	 */
	if (OidIsValid(tracking) && fate == TRACKING_IS_EMPTIED &&
		((capture->nkeys > 0 && !ConditionalLockRelationOid(tracking, AccessExclusiveLock)) ||
		 tracking_is_in_use(tracking)))
		fate = TRACKING_FORGETS;
	keys = OidIsValid(tracking) && capture->nkeys > 0 ? tracking_open(capture, false) : NULL;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext before = MemoryContextSwitchTo(per_row);
		Datum		key[INDEX_MAX_KEYS];
		VersionOrigin origin;
		bool		has_key;

		CHECK_FOR_INTERRUPTS();
		log_note_write();
		has_key = keys && row_key(capture, slot, key);
		version_origin(capture, keys, rel, slot, has_key ? key : NULL, &origin);
		history_writer_put(writer, slot, &origin);

		if (has_key && fate == TRACKING_FORGETS)
			tracking_forget(keys, key);
		MemoryContextSwitchTo(before);
		MemoryContextReset(per_row);
	}
	history_writer_close(writer);
	if (keys)
		tracking_close(keys);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(per_row);

	if (OidIsValid(tracking) && fate == TRACKING_IS_EMPTIED)
		tracking_truncate(tracking);
	security_end_code(settings);
}

/*
 * A partition that came while nobody followed DDL has no trigger of its own
 * yet; TRUNCATE of its root has it locked.
 */
static void
store_uncovered_partitions(Relation root, Trigger *trigger)
{
	List	   *relids = lineage_below(RelationGetRelid(root));
	ListCell   *lc;

	foreach(lc, relids)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		if (rel->rd_rel->relkind == RELKIND_RELATION &&
			!triggers_covers_truncate(rel))
			truncate_store_rows(rel, cache_lookup(rel, trigger), TRACKING_FORGETS);
		table_close(rel, NoLock);
	}
}

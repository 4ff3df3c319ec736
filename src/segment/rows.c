/*
 * rows.c
 *		Versions are taken out of a history.
 *
 * Row by row, as the owner of the history table, with what a site has put on it; not by SQL,
 * as the owner is subject to policies where they are forced, and there are none.
 *
 * Sees what has been committed until now, whatever the transaction's snapshot.
 *
 * Locks: ROW EXCLUSIVE on the table that rows are taken out of.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/rangetypes.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "segment/segment.h"
#include "compat.h"

/* The versions of a history, one by one. */
typedef struct RowScan
{
	Relation	rel;
	AttrNumber	period;
	AttrNumber	xid;
	Snapshot	snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;
	int64		ender;
	TimestampTz end;			/* DT_NOEND: it has none, or is empty */
	bool		empty;
} RowScan;

static void row_scan_open(RowScan *scan, Oid relid);
static bool row_scan_next(RowScan *scan);
static void row_scan_rewind(RowScan *scan);
static void row_scan_close(RowScan *scan);
static bool ended_before(const RowScan *scan, TimestampTz time);
static void open_writer(RelationWriter *writer, Oid relid);

/*
 * Delete the versions whose key columns, called as in names, have these values, of the types
 * of the columns of the table.  Returns how many.
 */
int64
rows_delete_key(Oid relid, List *names, const Datum *values)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	ScanKeyData keys[INDEX_MAX_KEYS];
	SecurityState before;
	RelationWriter writer;
	Lookup	   *lookup;
	HeapTuple	tuple;
	ListCell   *lc;
	int64		n = 0;
	int			i = 0;

	foreach(lc, names)
	{
		Form_pg_attribute att = columns_find(rel, lfirst(lc));

		ScanKeyEntryInitialize(&keys[i++], 0, att->attnum, BTEqualStrategyNumber, InvalidOid,
							   att->attcollation,
							   get_opcode(columns_key_equality(NULL, -1, att->atttypid)), (Datum) 0);
	}
	security_act_as(rel->rd_rel->relowner, ACT_TO_MANAGE, &before);
	open_writer(&writer, relid);
	lookup = lookup_open(rel, indexes_find_key(rel, names, false, keys), keys, list_length(names));
	lookup_start(lookup, values, SnapshotSelf);
	while ((tuple = lookup_next(lookup)) != NULL)
	{
		ItemPointerData tid = tuple->t_self;

		CHECK_FOR_INTERRUPTS();
		relation_writer_delete(&writer, &tid);
		n++;
	}
	lookup_stop(lookup);
	lookup_close(lookup);
	relation_writer_close(&writer);
	security_act_as_before(&before);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return n;
}

/*
 * Delete the versions that ended before the time.  Returns how many.  Those that were made and
 * ended by one transaction say nothing of when that was: they go with versions of earlier
 * and of later transactions that do, of this cluster.
 */
int64
rows_delete_ended(Oid relid, TimestampTz time)
{
	RowScan		scan;
	int64		oldest = PG_INT64_MAX;	/* transaction of those that stay */
	int64		newest = PG_INT64_MIN;	/* of those that go, before that */
	bool		any = false;
	SecurityState before;
	RelationWriter writer;
	int64		n = 0;
	int			pass;

	row_scan_open(&scan, relid);
	while (row_scan_next(&scan))
	{
		any |= ended_before(&scan, time);
		if (!scan.empty && !ended_before(&scan, time))
			oldest = Min(oldest, scan.ender);
	}

	security_act_as(scan.rel->rd_rel->relowner, ACT_TO_MANAGE, &before);
	open_writer(&writer, relid);
	for (pass = 0; any && pass < (oldest == PG_INT64_MAX ? 1 : 2); pass++)
	{
		row_scan_rewind(&scan);
		while (row_scan_next(&scan))
		{
			bool		ended = ended_before(&scan, time);
			ItemPointerData tid = scan.slot->tts_tid;

			if (pass == 0 && ended && scan.ender < oldest)
				newest = Max(newest, scan.ender);
			if (pass == 0 ? !ended : !scan.empty || scan.ender > newest)
				continue;
			relation_writer_delete(&writer, &tid);
			n++;
		}
	}
	relation_writer_close(&writer);
	security_act_as_before(&before);
	row_scan_close(&scan);
	CommandCounterIncrement();
	return n;
}

/* Returns when the last version ended, DT_NOBEGIN if there is none that did. */
TimestampTz
rows_last_end(Oid relid)
{
	RowScan		scan;
	TimestampTz last = DT_NOBEGIN;

	row_scan_open(&scan, relid);
	while (row_scan_next(&scan))
		if (!scan.empty)
			last = Max(last, scan.end);
	row_scan_close(&scan);
	return last;
}

/* Lock a history, and begin to read its versions. */
static void
row_scan_open(RowScan *scan, Oid relid)
{
	scan->rel = table_open(relid, RowExclusiveLock);
	/* owners may have altered it */
	if (!derived_is_history(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not a history table", RelationGetRelationName(scan->rel)),
				 errdetail("A history table has the columns %s tstzrange and %s bigint.",
						   PERIOD_COLUMN, XID_COLUMN)));
	scan->period = columns_find(scan->rel, PERIOD_COLUMN)->attnum;
	scan->xid = columns_find(scan->rel, XID_COLUMN)->attnum;
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->slot = table_slot_create(scan->rel, NULL);
	scan->scan = table_beginscan(scan->rel, scan->snapshot, 0, NULL);
}

/* Read the next version that says who ended it, and when.  Returns false if there is none. */
static bool
row_scan_next(RowScan *scan)
{
	while (table_scan_getnextslot(scan->scan, ForwardScanDirection, scan->slot))
	{
		RangeBound	lower;
		RangeBound	upper;
		bool		no_xid;
		bool		no_period;
		Datum		period = slot_getattr(scan->slot, scan->period, &no_period);

		CHECK_FOR_INTERRUPTS();
		scan->ender = DatumGetInt64(slot_getattr(scan->slot, scan->xid, &no_xid));
		if (no_xid || no_period)
			continue;
		range_deserialize(lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO),
						  DatumGetRangeTypeP(period), &lower, &upper, &scan->empty);
		scan->end = scan->empty || upper.infinite ? DT_NOEND : DatumGetTimestampTz(upper.val);
		return true;
	}
	return false;
}

static void
row_scan_rewind(RowScan *scan)
{
	table_rescan(scan->scan, NULL);
}

static void
row_scan_close(RowScan *scan)
{
	table_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	UnregisterSnapshot(scan->snapshot);
	table_close(scan->rel, NoLock);
}

static bool
ended_before(const RowScan *scan, TimestampTz time)
{
	return !scan->empty && scan->end < time;
}

static void
open_writer(RelationWriter *writer, Oid relid)
{
	Relation	rel = table_open(relid, RowExclusiveLock);

	relation_writer_open(writer, relid, relation_shape(rel, 0, 0, false));
	table_close(rel, NoLock);
}

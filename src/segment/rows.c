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

static void open_writer(RelationWriter *writer, Oid relid);
static bool ended_before(Datum period, TimestampTz time, bool *empty);

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
 * ended by one transaction say nothing of when that was: they go with the first versions of
 * later transactions.
 */
int64
rows_delete_ended(Oid relid, TimestampTz time)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	AttrNumber	period = columns_find(rel, PERIOD_COLUMN)->attnum;
	AttrNumber	xid = columns_find(rel, XID_COLUMN)->attnum;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	int64		newest = PG_INT64_MIN;	/* transaction of those that go */
	int64		oldest = PG_INT64_MAX;	/* of those that stay */
	SecurityState before;
	RelationWriter writer;
	int64		n = 0;
	int			pass;

	security_act_as(rel->rd_rel->relowner, ACT_TO_MANAGE, &before);
	open_writer(&writer, relid);
	for (pass = 0; pass < 2; pass++)
	{
		TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);

		while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		{
			bool		isnull;
			bool		empty;
			int64		ender = DatumGetInt64(slot_getattr(slot, xid, &isnull));
			bool		ended = ended_before(slot_getattr(slot, period, &isnull), time, &empty);
			ItemPointerData tid = slot->tts_tid;

			CHECK_FOR_INTERRUPTS();
			if (pass == 0 && !empty && ended)
				newest = Max(newest, ender);
			if (pass == 0 && !empty && !ended)
				oldest = Min(oldest, ender);
			if (pass == 0 ? ended : (empty && ender <= newest && ender < oldest))
			{
				relation_writer_delete(&writer, &tid);
				n++;
			}
		}
		table_endscan(scan);
	}
	relation_writer_close(&writer);
	security_act_as_before(&before);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return n;
}

static void
open_writer(RelationWriter *writer, Oid relid)
{
	Relation	rel = table_open(relid, RowExclusiveLock);

	relation_writer_open(writer, relid, relation_shape(rel, 0, 0, false));
	table_close(rel, NoLock);
}

static bool
ended_before(Datum period, TimestampTz time, bool *empty)
{
	RangeBound	lower;
	RangeBound	upper;

	range_deserialize(lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO),
					  DatumGetRangeTypeP(period), &lower, &upper, empty);
	return !*empty && !upper.infinite && DatumGetTimestampTz(upper.val) < time;
}

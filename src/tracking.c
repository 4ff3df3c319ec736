/*
 * tracking.c
 *		Who edited a row when, for tables without a time column of their own.
 *
 * The tracking table has one row for each live row: key, edition time and
 * transaction.  Capture asks it when a superseded version began
 * (tracking_start) and tells it afterwards what became of the key
 * (tracking_written, tracking_deleted).
 *
 * After-row triggers do not always come in the order of the changes: a trigger
 * of the application may change rows of the same table while the outer
 * statement's own events still wait, and with a deferrable key two rows may
 * bear one key for a while (deferrable.c).  So nothing here relies on the order.  A version
 * that this transaction made has an empty period, whatever is found here.  A
 * version from before began when the tracking row says *as it was before this
 * transaction touched it*; a tracking row that we have already replaced or
 * deleted is still on its page until we commit, and SnapshotAny shows it.
 * And the row that remains is decided by whether the key is live now.
 *
 * Overlapping transactions: the edition time never goes back (it is the later
 * one of now and what was there, and for a key that comes back, of the end of
 * its last version), so that versions neither overlap nor leave a gap when the
 * transaction that began first writes last.
 *
 * Locks: ROW EXCLUSIVE on the tracking table until the transaction ends.  The
 * row lock on the live row, or on its key, keeps others off the tracking row;
 * what of a deferrable key is written here nobody else has (deferrable.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catmaid_history.h"
#include "compat.h"

typedef struct TrackingRow
{
	ItemPointerData tid;
	TimestampTz edition;
	int64		txid;
	bool		touched;		/* written by this transaction */
} TrackingRow;

static void write_version(CaptureRelation *capture, const Datum *key,
						  bool new_key, TimestampTz floor);
static bool find_now(CaptureRelation *capture, const Datum *key, TrackingRow *row);
static bool find_before(CaptureRelation *capture, const Datum *key, TrackingRow *row);
static bool was_valid_before_us(HeapTupleHeader tuple);
static SysScanDesc begin_scan(CaptureRelation *capture, Relation tracking,
							  const Datum *key, Snapshot snapshot);
static void read_row(CaptureRelation *capture, Relation tracking,
					 HeapTuple tuple, TrackingRow *row);
static bool key_is_live(CaptureRelation *capture, Relation rel, const Datum *key,
						bool *made_here);
static void write_row(CaptureRelation *capture, const Datum *key,
					  TimestampTz edition, int64 txid, const TrackingRow *old);
static void delete_row(CaptureRelation *capture, const TrackingRow *old);

/*
 * When did the version of the key begin that this transaction found?
 * Returns false if the tracking table does not know.  rewritten: the table has
 * been, so that the version may be this transaction's, which only the row as it
 * is now tells.
 */
bool
tracking_start(CaptureRelation *capture, const Datum *key, bool rewritten,
			   TimestampTz *start)
{
	TrackingRow row;

	if (find_now(capture, key, &row) && (!row.touched || rewritten))
		*start = row.edition;
	else if (find_before(capture, key, &row))
		*start = row.edition;
	else
		return false;
	return true;
}

/*
 * A row with the key was inserted or updated.  new_key: the row did not bear
 * it before, and floor is the edition time it had under the key before;
 * superseded: the new version itself is history already.
 */
void
tracking_written(CaptureRelation *capture, Relation rel, const Datum *key,
				 bool new_key, TimestampTz floor, bool superseded)
{
	TrackingRow row;

	if (capture->deferrable && deferrable_postpone(capture, rel, key, floor))
		return;
	if (!superseded || key_is_live(capture, rel, key, NULL))
		write_version(capture, key, new_key, floor);
	else if (find_now(capture, key, &row))
		delete_row(capture, &row);
}

/* This transaction has made the version that is live with the key. */
static void
write_version(CaptureRelation *capture, const Datum *key, bool new_key,
			  TimestampTz floor)
{
	int64		xid = (int64) U64FromFullTransactionId(GetTopFullTransactionId());
	TimestampTz edition = Max(GetCurrentTransactionStartTimestamp(), floor);
	TrackingRow row;
	bool		found = find_now(capture, key, &row);

	if (found)
	{
		edition = Max(edition, row.edition);
		if (row.txid == xid && edition == row.edition)
			return;
	}
	if (!found || (new_key && !row.touched))
		edition = Max(edition, history_last_end(capture, key));
	write_row(capture, key, edition, xid, found ? &row : NULL);
}

/*
 * A row with the key was deleted, or bears another key now.  made_here: this
 * transaction had made the version.
 */
void
tracking_deleted(CaptureRelation *capture, Relation rel, const Datum *key,
				 bool made_here)
{
	TrackingRow row;
	bool		live_made_here;

	if (capture->deferrable)
	{
		if (!deferrable_postpone(capture, rel, key, DT_NOBEGIN))
			tracking_settle(capture, rel, key, DT_NOBEGIN);
		return;
	}
	if (!find_now(capture, key, &row))
		return;

	/* the key may have come back since, but not without a trace */
	if ((made_here || row.touched) &&
		key_is_live(capture, rel, key, &live_made_here))
	{
		TrackingRow before;

		/* a deferrable key that another row bore all the while */
		if (row.touched && !live_made_here && find_before(capture, key, &before))
			write_row(capture, key, before.edition, before.txid, &row);
		return;
	}
	delete_row(capture, &row);
}

/*
 * Make the key's tracking row what it must be by the live table as it is now,
 * whatever came in between: for a key whose changes were postponed.
 */
void
tracking_settle(CaptureRelation *capture, Relation rel, const Datum *key,
				TimestampTz floor)
{
	TrackingRow row;
	TrackingRow before;
	bool		made_here;

	if (!key_is_live(capture, rel, key, &made_here))
	{
		if (find_now(capture, key, &row))
			delete_row(capture, &row);
	}
	else if (made_here)
		write_version(capture, key, true, floor);
	else if (find_now(capture, key, &row) && row.touched &&
			 find_before(capture, key, &before))
		write_row(capture, key, before.edition, before.txid, &row);
}

/*
 * When did the version of the key begin that the row had so far?  DT_NOBEGIN if
 * nobody knows.  made_here: this transaction had made it.
 */
TimestampTz
tracking_edition(CaptureRelation *capture, const Datum *key, bool made_here)
{
	TrackingRow row;
	TimestampTz floor;

	/* what the tracking table has may be another row's */
	if (capture->deferrable && made_here &&
		deferrable_postponed(capture, key, &floor))
		return floor;
	return find_now(capture, key, &row) ? row.edition : DT_NOBEGIN;
}

/* The row with the key has gone for good, with its partition. */
void
tracking_forget(CaptureRelation *capture, const Datum *key)
{
	TrackingRow row;

	if (find_now(capture, key, &row))
		delete_row(capture, &row);
}

/* The key's row as it is now, our own latest changes included. */
static bool
find_now(CaptureRelation *capture, const Datum *key, TrackingRow *row)
{
	Relation	tracking = table_open(capture->tracking, RowExclusiveLock);
	SysScanDesc scan = begin_scan(capture, tracking, key, SnapshotSelf);
	HeapTuple	tuple = systable_getnext(scan);
	bool		found = HeapTupleIsValid(tuple);

	if (found)
		read_row(capture, tracking, tuple, row);
	systable_endscan(scan);
	table_close(tracking, NoLock);
	return found;
}

/* The key's row as it was before this transaction touched it. */
static bool
find_before(CaptureRelation *capture, const Datum *key, TrackingRow *row)
{
	Relation	tracking = table_open(capture->tracking, RowExclusiveLock);
	SysScanDesc scan = begin_scan(capture, tracking, key, SnapshotAny);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		found = was_valid_before_us(tuple->t_data);
		if (found)
			read_row(capture, tracking, tuple, row);
	}
	systable_endscan(scan);
	table_close(tracking, NoLock);
	return found;
}

/*
 * Made by a transaction that has committed and is not ours, and not ended by
 * one of that kind.
 */
static bool
was_valid_before_us(HeapTupleHeader tuple)
{
	TransactionId xmin = HeapTupleHeaderGetXmin(tuple);
	TransactionId xmax;

	if (TransactionIdIsCurrentTransactionId(xmin))
		return false;
	if (!HeapTupleHeaderXminCommitted(tuple) &&
		(HeapTupleHeaderXminInvalid(tuple) ||
		 TransactionIdIsInProgress(xmin) || !TransactionIdDidCommit(xmin)))
		return false;

	if ((tuple->t_infomask & HEAP_XMAX_INVALID) ||
		HEAP_XMAX_IS_LOCKED_ONLY(tuple->t_infomask))
		return true;
	xmax = HeapTupleHeaderGetUpdateXid(tuple);
	return TransactionIdIsCurrentTransactionId(xmax) ||
		TransactionIdIsInProgress(xmax) || !TransactionIdDidCommit(xmax);
}

static SysScanDesc
begin_scan(CaptureRelation *capture, Relation tracking, const Datum *key,
		   Snapshot snapshot)
{
	ScanKeyData scankey[INDEX_MAX_KEYS];
	int			i;

	memcpy(scankey, capture->tracking_scankey,
		   sizeof(ScanKeyData) * capture->nkeys);
	for (i = 0; i < capture->nkeys; i++)
		scankey[i].sk_argument = key[i];
	return systable_beginscan(tracking, capture->tracking_index,
							  OidIsValid(capture->tracking_index),
							  snapshot, capture->nkeys, scankey);
}

static void
read_row(CaptureRelation *capture, Relation tracking, HeapTuple tuple,
		 TrackingRow *row)
{
	bool		isnull;

	row->tid = tuple->t_self;
	row->edition = DatumGetTimestampTz(heap_getattr(tuple, capture->edition_column,
													RelationGetDescr(tracking), &isnull));
	row->txid = DatumGetInt64(heap_getattr(tuple, capture->edition_txid_column,
										   RelationGetDescr(tracking), &isnull));

	/* a rewrite of the tracking table makes all rows look so */
	row->touched =
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)) &&
		(!relation_is_rewritten_compat(tracking) ||
		 row->txid == (int64) U64FromFullTransactionId(GetTopFullTransactionId()));
}

/* Is there a row with the key?  made_here: has this transaction made it? */
static bool
key_is_live(CaptureRelation *capture, Relation rel, const Datum *key,
			bool *made_here)
{
	KeyScan    *scan = key_scan_begin(capture, rel, key, SnapshotSelf);
	HeapTuple	tuple = key_scan_next(scan);
	bool		live = HeapTupleIsValid(tuple);

	if (live && made_here)
		*made_here =
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	key_scan_end(scan);
	return live;
}

/* Insert the key's row, or replace the old one. */
static void
write_row(CaptureRelation *capture, const Datum *key, TimestampTz edition,
		  int64 txid, const TrackingRow *old)
{
	RelationWriter writer;
	TupleTableSlot *slot;
	ItemPointerData tid;
	int			i;

	if (old && old->touched)
		CommandCounterIncrement();

	relation_writer_open(&writer, capture->tracking);
	slot = writer.slot;
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true,
		   sizeof(bool) * slot->tts_tupleDescriptor->natts);
	for (i = 0; i < capture->nkeys; i++)
	{
		AttrNumber	column = capture->tracking_scankey[i].sk_attno;

		slot->tts_values[column - 1] = key[i];
		slot->tts_isnull[column - 1] = false;
	}
	slot->tts_values[capture->edition_column - 1] = TimestampTzGetDatum(edition);
	slot->tts_isnull[capture->edition_column - 1] = false;
	slot->tts_values[capture->edition_txid_column - 1] =
		Int64GetDatum(txid);
	slot->tts_isnull[capture->edition_txid_column - 1] = false;
	ExecStoreVirtualTuple(slot);

	if (old)
	{
		tid = old->tid;
		relation_writer_update(&writer, &tid);
	}
	else
		relation_writer_insert(&writer);
	relation_writer_close(&writer);
}

static void
delete_row(CaptureRelation *capture, const TrackingRow *old)
{
	RelationWriter writer;
	ItemPointerData tid = old->tid;

	if (old->touched)
		CommandCounterIncrement();
	relation_writer_open(&writer, capture->tracking);
	relation_writer_delete(&writer, &tid);
	relation_writer_close(&writer);
}

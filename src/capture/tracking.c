/*
 * tracking.c
 *		Who edited a row when, for tables without a time column of their own.
 *
 * The tracking table has one row for each live row: key, edition time and
 * transaction.  Capture asks it when a superseded version began
 * (tracking_origin) and tells it afterwards what became of the key
 * (tracking_written, tracking_deleted).
 *
 * After-row triggers do not always come in the order of the changes: a trigger
 * of the application may change rows of the same table while the outer
 * statement's own events still wait, and with a deferrable key two rows may
 * have one key for a while (deferrable.c).  So nothing here relies on the order.  A version
 * that this transaction made has an empty period, whatever is found here.  A
 * version from before began when the tracking row says *as it was before this
 * transaction touched it*; a tracking row that we have already replaced or
 * deleted is still on its page until we commit, and SnapshotAny shows it.
 * And the row that remains is decided by whether the key is live now.
 *
 * A row of which nobody knows since when it is as it is, has an edition time of
 * -infinity, or no tracking row (UNKNOWN_START): when the key was replaced and no
 * start could be carried over, or tracking began without a sync.
 *
 * txid is the transaction that made the version.  Where nobody knows which it was,
 * it is negative, the transaction that found the row there (a sync, ATTACH
 * PARTITION), or 0.
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
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "compat.h"

static void write_version(TrackingTable *tracking, const Datum *key,
						  bool new_key, TimestampTz min_edition_time, bool may_wait);
static void origin_of(const TrackingRow *row, VersionOrigin *origin);
static bool find_now(TrackingTable *tracking, const Datum *key, TrackingRow *row);
static bool find_before(TrackingTable *tracking, const Datum *key, TrackingRow *row);
static bool was_valid_before_us(HeapTupleHeader tuple);
static bool key_is_live(CaptureRelation *capture, Relation rel, const Datum *key,
						bool *inserted_by_this_xact);

/*
 * When the version of the key that this transaction found began, and who made it.
 * rewritten: the table was rewritten, so that the version may be this transaction's, which
 * only the current row tells.
 */
void
tracking_origin(TrackingTable *tracking, const Datum *key, bool rewritten,
				VersionOrigin *origin)
{
	TrackingRow row;

	tracking_flush(tracking);
	memset(origin, 0, sizeof(VersionOrigin));
	if (tracking->capture->loose)
		tracking_loose_origin(tracking, key, rewritten, origin);
	else if ((find_now(tracking, key, &row) && (!row.modified_by_this_xact || rewritten)) ||
			 find_before(tracking, key, &row))
		origin_of(&row, origin);
}

/* What the row says. */
static void
origin_of(const TrackingRow *row, VersionOrigin *origin)
{
	origin->known = row->edition != UNKNOWN_START;
	origin->start = row->edition;
	origin->maker = Max(row->txid, 0);
}

/*
 * The plain case, in one look-up: a row that this transaction had not touched
 * was updated under an equal key, stored as it looks now, or deleted (new_key is
 * NULL).  Gives the origin of the old version, and writes what becomes of the key;
 * returns false, and has done nothing, if the case is not so plain.
 */
bool
tracking_take(TrackingTable *tracking, const Datum *key, const Datum *new_key,
			  VersionOrigin *origin)
{
	TrackingRow row;

	tracking_flush(tracking);
	if (tracking->capture->deferrable || !find_now(tracking, key, &row) || row.modified_by_this_xact)
		return false;
	origin_of(&row, origin);
	if (new_key == NULL)
		tracking_delete_row(tracking, &row);
	else
		tracking_put_row(tracking, new_key,
						 Max(GetCurrentTransactionStartTimestamp(), row.edition),
						 (int64) U64FromFullTransactionId(GetTopFullTransactionId()),
						 &row, false);
	return true;
}

/*
 * A row with the key was inserted or updated.  new_key: the row did not have
 * it before, and min_edition_time is the edition time it had under the key before;
 * superseded: the new version itself is history already.
 */
void
tracking_written(TrackingTable *tracking, Relation rel, const Datum *key,
				 bool new_key, TimestampTz min_edition_time, bool superseded)
{
	CaptureRelation *capture = tracking->capture;
	TrackingRow row;

	/*
	 * Of two rows that have a key one after the other, the first is superseded
	 * when its event comes, so none of those that wait has this key.
	 */
	bool		may_wait = tracking->may_wait && new_key && !superseded &&
		!capture->deferrable && OidIsValid(capture->live_index);

	if (!may_wait)
		tracking_flush(tracking);
	if (capture->deferrable && deferrable_postpone(capture, rel, key, min_edition_time))
		return;
	if (!superseded || key_is_live(capture, rel, key, NULL))
		write_version(tracking, key, new_key, min_edition_time, may_wait);
	else if (find_now(tracking, key, &row))
		tracking_delete_row(tracking, &row);
}

/* This transaction has made the version that is live with the key. */
static void
write_version(TrackingTable *tracking, const Datum *key, bool new_key,
			  TimestampTz min_edition_time, bool may_wait)
{
	int64		xid = (int64) U64FromFullTransactionId(GetTopFullTransactionId());
	TimestampTz edition = Max(GetCurrentTransactionStartTimestamp(), min_edition_time);
	TrackingRow row;
	bool		found = find_now(tracking, key, &row);

	if (found)
	{
		edition = Max(edition, row.edition);
		if (row.txid == xid && edition == row.edition)
			return;
	}
	if (!found || (new_key && !row.modified_by_this_xact))
		edition = Max(edition, tracking_last_end(tracking, key));
	tracking_put_row(tracking, key, edition, xid, found ? &row : NULL, may_wait);
}

/*
 * A row with the key was deleted, or has another key now.  inserted_by_this_xact: this
 * transaction had made the version.
 */
void
tracking_deleted(TrackingTable *tracking, Relation rel, const Datum *key,
				 bool inserted_by_this_xact)
{
	CaptureRelation *capture = tracking->capture;
	TrackingRow row;
	bool		live_inserted_by_this_xact;

	tracking_flush(tracking);
	if (capture->deferrable)
	{
		if (!deferrable_postpone(capture, rel, key, DT_NOBEGIN))
			tracking_settle(tracking, rel, key, DT_NOBEGIN);
		return;
	}
	if (!find_now(tracking, key, &row))
		return;

	/* the key may have come back since, but not without a trace */
	if ((inserted_by_this_xact || row.modified_by_this_xact) &&
		key_is_live(capture, rel, key, &live_inserted_by_this_xact))
	{
		TrackingRow before;

		/* a deferrable key that another row bore all the while */
		if (row.modified_by_this_xact && !live_inserted_by_this_xact && find_before(tracking, key, &before))
			tracking_put_row(tracking, key, before.edition, before.txid, &row, false);
		return;
	}
	tracking_delete_row(tracking, &row);
}

/*
 * Make the key's tracking row what it must be by the live table as it is now,
 * whatever came in between: for a key whose changes were postponed.
 */
void
tracking_settle(TrackingTable *tracking, Relation rel, const Datum *key,
				TimestampTz min_edition_time)
{
	TrackingRow row;
	TrackingRow before;
	bool		inserted_by_this_xact;

	if (!key_is_live(tracking->capture, rel, key, &inserted_by_this_xact))
	{
		if (find_now(tracking, key, &row))
			tracking_delete_row(tracking, &row);
	}
	else if (inserted_by_this_xact)
		write_version(tracking, key, true, min_edition_time, false);
	else if (find_now(tracking, key, &row) && row.modified_by_this_xact &&
			 find_before(tracking, key, &before))
		tracking_put_row(tracking, key, before.edition, before.txid, &row, false);
}

/*
 * When the row's version so far began; DT_NOBEGIN if that is unknown.
 * inserted_by_this_xact: this transaction made it.
 */
TimestampTz
tracking_edition(TrackingTable *tracking, const Datum *key, bool inserted_by_this_xact)
{
	TrackingRow row;
	TimestampTz min_edition_time;

	tracking_flush(tracking);
	/* what the tracking table has may be another row's */
	if (tracking->capture->deferrable && inserted_by_this_xact &&
		deferrable_postponed(tracking->capture, key, &min_edition_time))
		return min_edition_time;
	return find_now(tracking, key, &row) ? row.edition : DT_NOBEGIN;
}

/* The row with the key has gone for good, with its partition. */
void
tracking_forget(TrackingTable *tracking, const Datum *key)
{
	TrackingRow row;

	if (tracking->capture->loose)
		(void) tracking_loose_deleted(tracking, key, false, false);
	else if (find_now(tracking, key, &row))
		tracking_delete_row(tracking, &row);
}

/* The key's row as it is now, our own latest changes included. */
static bool
find_now(TrackingTable *tracking, const Datum *key, TrackingRow *row)
{
	HeapTuple	tuple;

	lookup_start(tracking->keys, key, SnapshotSelf);
	tuple = lookup_next(tracking->keys);
	if (tuple)
		tracking_read_row(tracking, tuple, row);
	lookup_stop(tracking->keys);
	return tuple != NULL;
}

/* The key's row as it was before this transaction touched it. */
static bool
find_before(TrackingTable *tracking, const Datum *key, TrackingRow *row)
{
	HeapTuple	tuple;
	bool		found = false;

	lookup_start(tracking->keys, key, SnapshotAny);
	while (!found && (tuple = lookup_next(tracking->keys)) != NULL)
	{
		found = was_valid_before_us(tuple->t_data);
		if (found)
			tracking_read_row(tracking, tuple, row);
	}
	lookup_stop(tracking->keys);
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

/*
 * Returns true if there is a row with the key. *inserted_by_this_xact: whether this
 * transaction made it.
 */
static bool
key_is_live(CaptureRelation *capture, Relation rel, const Datum *key,
			bool *inserted_by_this_xact)
{
	KeyScan    *scan = key_scan_begin(capture, rel, key, SnapshotSelf);
	HeapTuple	tuple = key_scan_next(scan);
	bool		live = HeapTupleIsValid(tuple);

	if (live && inserted_by_this_xact)
		*inserted_by_this_xact = row_attached_here(capture) || row_wrote(rel, tuple->t_data);
	key_scan_end(scan);
	return live;
}

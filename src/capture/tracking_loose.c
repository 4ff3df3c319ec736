/*
 * tracking_loose.c
 *		Who edited a row when, in a table whose primary key has been dropped.
 *
 * Rows are told by the columns of the former key, but nothing keeps the values unique
 * any more.  So the tracking table has a row for each live row, and several of them
 * have one key where several live rows do (see fit.c).  All live rows have one:
 * tracking_complete has seen to that.  Which of them is a live row's is not known, but
 * it is one of those with its key; a version that this transaction made has one that this
 * transaction wrote, and one from before has one from before.  If all that come into
 * question say the same, that is the start.  Otherwise it is unknown; and when one of
 * the rows goes, or gets a start of its own, the others' starts are unknown from
 * then on, as one of the tracking rows has gone and it may not have been its own.
 *
 * If nobody has followed how the primary key went, the tracking table still has a unique
 * index.  There a key that a second row gets has an unknown start, for all of them, and
 * from then on.  Two transactions may give it to a row each: the second one waits for the
 * first, as it would by the index, but then finds its tracking row.
 *
 * Versions in the meantime are not looked for (SnapshotAny, as in tracking.c): a tracking
 * row that this transaction replaced is of a live row that it replaced.
 *
 * Locks: as in tracking.c.  Of rows that come into question together all are locked,
 * as others may have the live rows to which they belong.  With a unique index: an
 * EXCLUSIVE object lock on the tracking table while a key's row is inserted.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "compat.h"

static void loose_insert(TrackingTable *tracking, const Datum *key, TimestampTz min_edition_time);
static List *loose_rows(TrackingTable *tracking, const Datum *key, bool inserted_by_this_xact,
						bool rewritten);
static List *loose_read_rows(TrackingTable *tracking, const Datum *key, bool inserted_by_this_xact,
							 bool rewritten);
static bool loose_lock_row(TrackingTable *tracking, TrackingRow *row);
static TimestampTz loose_agreed(List *rows);
static void loose_doubt_others(TrackingTable *tracking, const Datum *key, List *rows);
static bool loose_insert_first(TrackingTable *tracking, const Datum *key, TimestampTz min_edition_time);
static TransactionId loose_writer(TrackingTable *tracking, const Datum *key);
static int64 loose_xid(void);

/*
 * When the version of the key that this transaction found began, and who made it, as far
 * as all rows in question agree. rewritten: see tracking_origin.
 */
void
tracking_loose_origin(TrackingTable *tracking, const Datum *key, bool rewritten,
					  VersionOrigin *origin)
{
	List	   *rows = loose_rows(tracking, key, false, rewritten);
	ListCell   *lc;

	origin->start = loose_agreed(rows);
	origin->known = origin->start != UNKNOWN_START;
	origin->maker = rows ? Max(((TrackingRow *) linitial(rows))->txid, 0) : 0;
	foreach(lc, rows)
		if (((TrackingRow *) lfirst(lc))->txid != origin->maker)
			origin->maker = 0;
}

/* A row has got the key, and had the edition time "min_edition_time" under another one. */
void
tracking_loose_written(TrackingTable *tracking, const Datum *key, TimestampTz min_edition_time)
{
	List	   *rows;

	if (!tracking->capture->one_each)
	{
		loose_insert(tracking, key, min_edition_time);
		return;
	}
	while ((rows = loose_rows(tracking, key, false, true)) == NIL)
		if (loose_insert_first(tracking, key, min_edition_time))
			return;
	if (((TrackingRow *) linitial(rows))->edition != UNKNOWN_START)
		tracking_put_row(tracking, key, UNKNOWN_START, 0, linitial(rows), false);
}

static void
loose_insert(TrackingTable *tracking, const Datum *key, TimestampTz min_edition_time)
{
	TimestampTz edition = Max(GetCurrentTransactionStartTimestamp(), min_edition_time);

	tracking_put_row(tracking, key, Max(edition, tracking_last_end(tracking, key)),
					 loose_xid(), NULL, false);
}

/*
 * The only tracking row of the key, if nobody else has inserted one; returns false
 * if somebody has, and has ended since.
 */
static bool
loose_insert_first(TrackingTable *tracking, const Datum *key, TimestampTz min_edition_time)
{
	Oid			relid = RelationGetRelid(tracking->rel);
	TransactionId writer;

	LockDatabaseObject(RelationRelationId, relid, 0, ExclusiveLock);
	writer = loose_writer(tracking, key);
	if (writer == InvalidTransactionId)
		loose_insert(tracking, key, min_edition_time);
	UnlockDatabaseObject(RelationRelationId, relid, 0, ExclusiveLock);
	if (writer == InvalidTransactionId)
		return true;
	if (writer != FrozenTransactionId)
		XactLockTableWait(writer, tracking->rel, NULL, XLTW_None);
	return false;
}

/*
 * Whose tracking row of the key is there, that has not committed yet, or will not
 * be there if it does: FrozenTransactionId for one that is there for good,
 * InvalidTransactionId if there is none.
 */
static TransactionId
loose_writer(TrackingTable *tracking, const Datum *key)
{
	SnapshotData dirty;
	TransactionId writer = InvalidTransactionId;

	InitDirtySnapshot(dirty);
	lookup_start(tracking->keys, key, &dirty);
	if (lookup_next(tracking->keys) != NULL)
		writer = TransactionIdIsValid(dirty.xmin) ? dirty.xmin :
			TransactionIdIsValid(dirty.xmax) ? dirty.xmax : FrozenTransactionId;
	lookup_stop(tracking->keys);
	return writer;
}

/* A row was updated and has the key still; inserted_by_this_xact: this transaction had made it. */
void
tracking_loose_replaced(TrackingTable *tracking, const Datum *key, bool inserted_by_this_xact,
						bool rewritten)
{
	List	   *rows = loose_rows(tracking, key, inserted_by_this_xact, rewritten);

	if (tracking->capture->one_each && loose_agreed(rows) == UNKNOWN_START)
		return;
	if (rows == NIL)
	{
		tracking_loose_written(tracking, key, DT_NOBEGIN);
		return;
	}
	tracking_put_row(tracking, key,
					 Max(GetCurrentTransactionStartTimestamp(), loose_agreed(rows)),
					 loose_xid(), linitial(rows), false);
	loose_doubt_others(tracking, key, rows);
}

/*
 * A row with the key was deleted, or has another key now.  Returns when its version
 * began, or UNKNOWN_START.
 */
TimestampTz
tracking_loose_deleted(TrackingTable *tracking, const Datum *key, bool inserted_by_this_xact,
					   bool rewritten)
{
	List	   *rows = loose_rows(tracking, key, inserted_by_this_xact, rewritten);

	if (rows == NIL ||
		(tracking->capture->one_each && loose_agreed(rows) == UNKNOWN_START))
		return UNKNOWN_START;
	tracking_delete_row(tracking, linitial(rows));
	loose_doubt_others(tracking, key, rows);
	return loose_agreed(rows);
}

/* Those of which one is the live row's, locked if there are several. */
static List *
loose_rows(TrackingTable *tracking, const Datum *key, bool inserted_by_this_xact, bool rewritten)
{
	for (;;)
	{
		List	   *rows = loose_read_rows(tracking, key, inserted_by_this_xact, rewritten);
		bool		locked = true;
		ListCell   *lc;

		if (list_length(rows) > 1 || tracking->capture->one_each)
			foreach(lc, rows)
				locked = locked && loose_lock_row(tracking, lfirst(lc));
		if (locked)
			return rows;
		list_free_deep(rows);
		CHECK_FOR_INTERRUPTS();
	}
}

static List *
loose_read_rows(TrackingTable *tracking, const Datum *key, bool inserted_by_this_xact, bool rewritten)
{
	List	   *rows = NIL;
	HeapTuple	tuple;

	lookup_start(tracking->keys, key, SnapshotSelf);
	while ((tuple = lookup_next(tracking->keys)) != NULL)
	{
		TrackingRow row;

		tracking_read_row(tracking, tuple, &row);
		if (rewritten || (row.modified_by_this_xact && tracking_wrote(&row)) == inserted_by_this_xact)
			rows = lappend(rows, memcpy(palloc(sizeof(TrackingRow)), &row, sizeof(TrackingRow)));
	}
	lookup_stop(tracking->keys);
	return rows;
}

/* Returns false if it has gone, or is another one, since it was read. */
static bool
loose_lock_row(TrackingTable *tracking, TrackingRow *row)
{
	TupleTableSlot *slot;
	TM_FailureData failure;
	TM_Result	result;

	if (row->modified_by_this_xact)
		return true;
	slot = table_slot_create(tracking->rel, NULL);
	result = table_tuple_lock(tracking->rel, &row->tid, SnapshotAny, slot,
							  GetCurrentCommandId(true), LockTupleExclusive,
							  LockWaitBlock, 0, &failure);
	ExecDropSingleTupleTableSlot(slot);
	return result == TM_Ok || result == TM_SelfModified;
}

/* What all of them say, or UNKNOWN_START. */
static TimestampTz
loose_agreed(List *rows)
{
	ListCell   *lc;

	foreach(lc, rows)
		if (((TrackingRow *) lfirst(lc))->edition != ((TrackingRow *) linitial(rows))->edition)
			return UNKNOWN_START;
	return rows ? ((TrackingRow *) linitial(rows))->edition : UNKNOWN_START;
}

/* The first has been taken for the one that was meant: it may have been another. */
static void
loose_doubt_others(TrackingTable *tracking, const Datum *key, List *rows)
{
	int			i;

	if (list_length(rows) < 2 || loose_agreed(rows) != UNKNOWN_START)
		return;
	for (i = 1; i < list_length(rows); i++)
		if (((TrackingRow *) list_nth(rows, i))->edition != UNKNOWN_START)
			tracking_put_row(tracking, key, UNKNOWN_START, 0, list_nth(rows, i), false);
}

static int64
loose_xid(void)
{
	return (int64) U64FromFullTransactionId(GetTopFullTransactionId());
}

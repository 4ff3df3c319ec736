/*
 * capture.c
 *		The row triggers: the old version of every row that is changed.
 *
 * Versions are stored by AFTER ROW triggers.  Only they see what really
 * happened, after every BEFORE trigger has had its say, and the whole row of
 * an inheritance child that was changed through its parent; a partition has
 * clones of its root's.  Of a move between partitions they see a deletion and
 * an insertion: one version, as it should be.
 *
 * The period begins with the row's last edition, from its own time column or
 * the tracking table, and ends with the start of this transaction.  A version
 * that this very transaction made was never seen by anybody else: its period
 * is empty.
 *
 * All of this is done as the owner of the live table, as referential integrity
 * checks are: code that the owner has put on the history table must not run with
 * the rights of whoever writes.
 *
 * No DDL is run here, no SQL either.  Locks: see cache.c.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "compat.h"

/*
 * Rows that left a partition for another, the last one first: the tracking row's
 * edition time, for the insertion there that follows in the same command.  In
 * between, a trigger of the application may write to this table and to others,
 * and move rows in its turn; one for each command that is under way is enough.
 */
#define MAX_MOVED_ROWS	8

static struct MovedRow
{
	Oid			live;			/* InvalidOid: no more of them */
	TransactionId xid;
	CommandId	command;
	TimestampTz edition;
}			moved_rows[MAX_MOVED_ROWS];

static bool is_being_restored(Relation rel);
static bool is_ours(CaptureTable *table, TriggerData *trigdata);
static void capture_change(CaptureTable *table, TriggerData *trigdata);
static bool capture_fast_path(CaptureTable *table, TriggerData *trigdata);
static void store_version(CaptureTable *table, TriggerData *trigdata,
						  TupleTableSlot *old);
static void follow_tracking(CaptureTable *table, TriggerData *trigdata);
static void follow_loose_tracking(CaptureTable *table, TriggerData *trigdata);
static HeapTuple capture_stamp(TriggerData *trigdata, AttrNumber column, int64 xid);
static bool is_moving(HeapTuple old);
static void capture_remember_moved(CaptureRelation *capture, HeapTuple old, TimestampTz edition);
static struct MovedRow *capture_find_moved(CaptureRelation *capture, TransactionId xid,
										   CommandId command);
static TimestampTz capture_moved_edition(CaptureRelation *capture, HeapTuple new);
static bool is_superseded(HeapTuple tuple);

PG_FUNCTION_INFO_V1(catmaid_history_capture);
PG_FUNCTION_INFO_V1(catmaid_history_set_txid);

/*
 * AFTER INSERT, UPDATE or DELETE, FOR EACH ROW: store the old version, and
 * keep the tracking table in step.  Result: none.
 */
Datum
catmaid_history_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	CaptureTable *table;
	SecurityState before;
	int			settings;
	Oid			user PG_USED_FOR_ASSERTS_ONLY = GetUserId();
	ResourceOwner owner PG_USED_FOR_ASSERTS_ONLY = CurrentResourceOwner;
	MemoryContext context PG_USED_FOR_ASSERTS_ONLY = CurrentMemoryContext;

	triggers_check_call(fcinfo, "catmaid_history_capture",
						CALLED_AS_TRIGGER(fcinfo) &&
						TRIGGER_FIRED_AFTER(trigdata->tg_event) &&
						TRIGGER_FIRED_FOR_ROW(trigdata->tg_event));

	as_of_check_write(RelationGetRelid(trigdata->tg_relation));
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) &&
		is_being_restored(trigdata->tg_relation))
		return PointerGetDatum(NULL);

	Assert(CheckRelationLockedByMe(trigdata->tg_relation, RowExclusiveLock, true));
	table = batch_table(trigdata->tg_relation, trigdata->tg_trigger);
	if (is_ours(table, trigdata))
	{
		log_note_write();
		/* what the owner has put on the history runs with the owner's rights */
		security_act_as(table->capture->owner, ACT_FOR_WRITER, &before);
		settings = security_begin_code(table->capture->history, table->capture->bypass_executor);
		capture_change(table, trigdata);
		batch_release(table);
		security_end_code(settings);
		security_act_as_before(&before);
	}
	else
		batch_release(table);

	/* all that the writer had lent is hers again */
	Assert(GetUserId() == user && CurrentResourceOwner == owner);
	Assert(CurrentMemoryContext == context);
	return PointerGetDatum(NULL);
}

/*
 * Returns true for a partition without a primary key that a dump is being restored into.
 * pg_restore -j makes the triggers of a partitioned table, which has no data itself,
 * whenever it likes, and then fills partitions whose keys are yet to come.  Their rows are
 * in the tracking table that is restored; nor need the registry be there.  (One that goes
 * on without a key, as its root has lost it, is known by its tracking table.)
 */
static bool
is_being_restored(Relation rel)
{
	CaptureRelation *capture;
	RegistryRow *row;

	if (!rel->rd_rel->relispartition || rel->rd_rel->relkind != RELKIND_RELATION)
		return false;
	capture = cache_peek(rel);
	if (capture)
		return capture->keyless;
	if (OidIsValid(columns_primary_key_index(rel)))
		return false;
	row = OidIsValid(extension_registry_or_invalid()) ?
		registry_get(lineage_root(RelationGetRelid(rel))) : NULL;
	return row == NULL || !indexes_tracking_is_loose(row->tracking);
}

/*
 * No second trigger, whoever made it, may store a version again; one that was
 * renamed by hand counts as not there.
 */
static bool
is_ours(CaptureTable *table, TriggerData *trigdata)
{
	bool		on_insert = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event);
	Oid			trigger = trigdata->tg_trigger->tgoid;

	if (table->trigger[on_insert] == trigger)
		return true;
	if (strcmp(trigdata->tg_trigger->tgname,
			   triggers_name_for(OidIsValid(table->capture->tracking), on_insert)) != 0)
		return false;
	triggers_check_exact(trigdata->tg_relation, trigdata->tg_trigger);
	table->trigger[on_insert] = trigger;
	return true;
}

static void
capture_change(CaptureTable *table, TriggerData *trigdata)
{
	bool		on_insert = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event);

	Assert(GetUserId() == table->capture->owner);

	if (truncation_is_going_on(trigdata->tg_relation))
	{
		/* the old version has been stored, the new one is about to go */
		if (!TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
			store_version(table, trigdata, on_insert ? trigdata->tg_trigslot :
						  trigdata->tg_newslot);
		return;
	}

	if (!OidIsValid(table->capture->tracking))
	{
		if (!on_insert)
			store_version(table, trigdata, trigdata->tg_trigslot);
	}
	else if (on_insert || !capture_fast_path(table, trigdata))
	{
		if (!on_insert)
			store_version(table, trigdata, trigdata->tg_trigslot);
		if (table->capture->loose)
			follow_loose_tracking(table, trigdata);
		else
			follow_tracking(table, trigdata);
	}
}

/*
 * BEFORE UPDATE, FOR EACH ROW, on tables with a time column: the new row gets
 * this transaction's id in its txid column.  Result: the new row.
 */
Datum
catmaid_history_set_txid(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	CaptureRelation *capture;

	triggers_check_call(fcinfo, "catmaid_history_set_txid",
						CALLED_AS_TRIGGER(fcinfo) &&
						TRIGGER_FIRED_BEFORE(trigdata->tg_event) &&
						TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) &&
						TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event));

	capture = cache_peek(trigdata->tg_relation);
	if (capture == NULL)
		capture = cache_lookup(trigdata->tg_relation, trigdata->tg_trigger);
	if (capture->txid_column == 0)
		return PointerGetDatum(trigdata->tg_newtuple);
	return PointerGetDatum(capture_stamp(trigdata, capture->txid_column,
										 (int64) U64FromFullTransactionId(GetTopFullTransactionId())));
}

/* The new row with the transaction id in the column. */
static HeapTuple
capture_stamp(TriggerData *trigdata, AttrNumber column, int64 xid)
{
	int			number = column;
	Datum		value = Int64GetDatum(xid);
	bool		isnull = false;

	return heap_modify_tuple_by_cols(trigdata->tg_newtuple, RelationGetDescr(trigdata->tg_relation),
									 1, &number, &value, &isnull);
}

static void
store_version(CaptureTable *table, TriggerData *trigdata, TupleTableSlot *old)
{
	CaptureRelation *capture = table->capture;
	Relation	rel = trigdata->tg_relation;
	TrackingTable *tracking = NULL;
	Datum		key[INDEX_MAX_KEYS];
	VersionOrigin origin;
	bool		has_key = false;

	if (OidIsValid(capture->tracking) && (has_key = row_key(capture, old, key)))
		tracking = batch_tracking(table);
	version_origin(capture, tracking, rel, old, has_key ? key : NULL, &origin);
	history_writer_put(batch_history(table), old, &origin);

	/* what the site has put on the history may have changed what we know */
	if (!table->batch)
		batch_reopen(table, rel, trigdata->tg_trigger);
}

/*
 * The plain case with a tracking table: a row that this transaction finds as an
 * earlier one left it is updated under the same key, or deleted.  Returns
 * false, with nothing done, if it is another case.
 */
static bool
capture_fast_path(CaptureTable *table, TriggerData *trigdata)
{
	CaptureRelation *capture = table->capture;
	Relation	rel = trigdata->tg_relation;
	bool		deleted = TRIGGER_FIRED_BY_DELETE(trigdata->tg_event);
	Datum		key[INDEX_MAX_KEYS];
	Datum		new_key[INDEX_MAX_KEYS];
	VersionOrigin origin;

	/* half of a move between partitions is another case, too */
	if (capture->loose || relation_is_rewritten_compat(rel) ||
		(deleted && HeapTupleHeaderIndicatesMovedPartitions(trigdata->tg_trigtuple->t_data)) ||
		row_inserted_by_this_xact(capture, rel, trigdata->tg_trigslot))
		return false;
	if (!row_key(capture, trigdata->tg_trigslot, key))
		return false;
	if (!deleted)
	{
		if (is_superseded(trigdata->tg_newtuple) ||
			!row_key(capture, trigdata->tg_newslot, new_key) ||
			!row_keys_equal(capture, key, new_key))
			return false;
	}
	if (!tracking_take(batch_tracking(table), key, deleted ? NULL : new_key, &origin))
		return false;
	history_writer_put(batch_history(table), trigdata->tg_trigslot, &origin);
	return true;
}

/* What the change means for the tracking rows of the old and the new key. */
static void
follow_tracking(CaptureTable *table, TriggerData *trigdata)
{
	Relation	rel = trigdata->tg_relation;
	CaptureRelation *capture = table->capture;
	TrackingTable *tracking = batch_tracking(table);
	Datum		old_key[INDEX_MAX_KEYS];
	Datum		new_key[INDEX_MAX_KEYS];

	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		if (row_key(capture, trigdata->tg_trigslot, new_key))
			tracking_written(tracking, rel, new_key, true,
							 capture_moved_edition(capture, trigdata->tg_trigtuple),
							 is_superseded(trigdata->tg_trigtuple));
	}
	else if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
	{
		bool		inserted_by_this_xact = row_inserted_by_this_xact(capture, rel, trigdata->tg_trigslot);

		if (!row_key(capture, trigdata->tg_trigslot, old_key))
			return;
		if (is_moving(trigdata->tg_trigtuple))
			capture_remember_moved(capture, trigdata->tg_trigtuple,
								   tracking_edition(tracking, old_key, inserted_by_this_xact));
		tracking_deleted(tracking, rel, old_key, inserted_by_this_xact);
	}
	else
	{
		bool		superseded = is_superseded(trigdata->tg_newtuple);
		bool		same;
		TimestampTz min_edition_time = DT_NOBEGIN;

		if (!row_key(capture, trigdata->tg_trigslot, old_key) ||
			!row_key(capture, trigdata->tg_newslot, new_key))
			return;
		same = row_keys_equal(capture, old_key, new_key);
		if (!same)
		{
			bool		inserted_by_this_xact =
				row_inserted_by_this_xact(capture, rel, trigdata->tg_trigslot);

			/* the row goes on under another key, without a gap */
			min_edition_time = tracking_edition(tracking, old_key, inserted_by_this_xact);
			tracking_deleted(tracking, rel, old_key, inserted_by_this_xact);
		}
		tracking_written(tracking, rel, new_key, !same, min_edition_time, superseded);
	}
}

/*
 * What the change means for the tracking rows of a table without a primary key.  If a
 * trigger of the application has changed the row again, our event comes too late, and the
 * event of that change has done the rest.
 */
static void
follow_loose_tracking(CaptureTable *table, TriggerData *trigdata)
{
	Relation	rel = trigdata->tg_relation;
	CaptureRelation *capture = table->capture;
	bool		inserted = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event);
	bool		deleted = TRIGGER_FIRED_BY_DELETE(trigdata->tg_event);
	bool		rewritten = relation_is_rewritten_compat(rel);
	HeapTuple	new = deleted ? NULL : inserted ? trigdata->tg_trigtuple : trigdata->tg_newtuple;
	Datum		old_key[INDEX_MAX_KEYS];
	Datum		new_key[INDEX_MAX_KEYS];
	bool		goes = !inserted && row_key(capture, trigdata->tg_trigslot, old_key);
	bool		comes = new && !is_superseded(new) &&
		row_key(capture, inserted ? trigdata->tg_trigslot : trigdata->tg_newslot, new_key);
	bool		inserted_by_this_xact = goes && row_inserted_by_this_xact(capture, rel, trigdata->tg_trigslot);
	TimestampTz min_edition_time = inserted ? capture_moved_edition(capture, new) : DT_NOBEGIN;

	if (goes && comes && row_keys_equal(capture, old_key, new_key))
	{
		tracking_loose_replaced(batch_tracking(table), old_key, inserted_by_this_xact, rewritten);
		return;
	}
	if (goes)
		min_edition_time = tracking_loose_deleted(batch_tracking(table), old_key, inserted_by_this_xact, rewritten);
	if (deleted && is_moving(trigdata->tg_trigtuple))
		capture_remember_moved(capture, trigdata->tg_trigtuple, min_edition_time);
	if (comes)
		tracking_loose_written(batch_tracking(table), new_key, min_edition_time);
}

/* Returns true if the deletion is one half of a move between partitions. */
static bool
is_moving(HeapTuple old)
{
	return HeapTupleHeaderIndicatesMovedPartitions(old->t_data) && is_superseded(old);
}

/* The row goes on under another key, without a gap. */
static void
capture_remember_moved(CaptureRelation *capture, HeapTuple old, TimestampTz edition)
{
	TransactionId xid = HeapTupleHeaderGetUpdateXid(old->t_data);
	CommandId	command = HeapTupleHeaderGetCmax(old->t_data);
	struct MovedRow *row;

	/* if there is one, its insertion has been suppressed */
	row = capture_find_moved(capture, xid, command);
	if (row == NULL)
	{
		row = &moved_rows[0];
		memmove(row + 1, row, sizeof(moved_rows) - sizeof(*row));
	}
	row->live = capture->live;
	row->xid = xid;
	row->command = command;
	row->edition = edition;
}

static struct MovedRow *
capture_find_moved(CaptureRelation *capture, TransactionId xid, CommandId command)
{
	int			i;

	for (i = 0; i < MAX_MOVED_ROWS; i++)
		if (moved_rows[i].live == capture->live && moved_rows[i].command == command &&
			TransactionIdEquals(moved_rows[i].xid, xid))
			return &moved_rows[i];
	return NULL;
}

/* The edition time that the inserted row brings along, or DT_NOBEGIN. */
static TimestampTz
capture_moved_edition(CaptureRelation *capture, HeapTuple new)
{
	TransactionId xmin = HeapTupleHeaderGetXmin(new->t_data);
	struct MovedRow *row;
	TimestampTz edition;

	/* (a row of COPY's FREEZE does not tell its command) */
	if (!OidIsValid(moved_rows[0].live) || !TransactionIdIsNormal(xmin))
		return DT_NOBEGIN;
	row = capture_find_moved(capture, xmin, HeapTupleHeaderGetCmin(new->t_data));
	if (row == NULL)
		return DT_NOBEGIN;
	edition = row->edition;
	memmove(row, row + 1, sizeof(*row) * (&moved_rows[MAX_MOVED_ROWS - 1] - row));
	moved_rows[MAX_MOVED_ROWS - 1].live = InvalidOid;
	return edition;
}

/* Returns true if this transaction has already replaced or deleted the version. */
static bool
is_superseded(HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;

	if ((header->t_infomask & HEAP_XMAX_INVALID) ||
		HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return false;
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
}

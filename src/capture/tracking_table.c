/*
 * tracking_table.c
 *		A tracking table, open for reading and writing single rows.
 *
 * What its rows mean is in tracking.c, and for tables without a primary key in
 * tracking_loose.c.
 *
 * Locks: ROW EXCLUSIVE on the tracking table until the transaction ends, ACCESS SHARE on
 * the history where it is asked.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "compat.h"

static void close_lookups(TrackingTable *tracking);
static TimestampTz segment_last_end(TrackingTable *tracking, const Segment *segment,
									const Datum *history_key);
static Datum history_value(CaptureRelation *capture, int i, Datum value);
static RelationWriter *writer_of(TrackingTable *tracking);

/*
 * Open the tracking table of the captured relation, in the current memory
 * context and for the current resource owner, which must be current while it is
 * used.  may_wait: rows of keys that come need not be stored before it is closed.
 */
TrackingTable *
tracking_open(CaptureRelation *capture, bool may_wait)
{
	TrackingTable *tracking = palloc0(sizeof(TrackingTable));

	tracking->capture = capture;
	tracking->may_wait = may_wait;
	tracking->rel = table_open(capture->tracking, RowExclusiveLock);
	tracking->keys = lookup_open(tracking->rel, capture->tracking_index,
								 capture->tracking_scankey, capture->nkeys);
	return tracking;
}

void
tracking_close(TrackingTable *tracking)
{
	if (tracking->writing)
		relation_writer_close(&tracking->writer);
	close_lookups(tracking);
	pfree(tracking);
}

/*
 * Close it but for the rows that wait, for the resource owner that opened it.  Only
 * tracking_close may follow.
 */
void
tracking_let_go(TrackingTable *tracking)
{
	if (tracking->writing)
		relation_writer_let_go(&tracking->writer);
	close_lookups(tracking);
}

static void
close_lookups(TrackingTable *tracking)
{
	if (tracking->rel)
	{
		lookup_close(tracking->keys);
		table_close(tracking->rel, NoLock);
	}
	if (tracking->history)
	{
		lookup_close(tracking->history_keys);
		table_close(tracking->history, NoLock);
	}
	tracking->rel = tracking->history = NULL;
}

/* Who writes the tracking table's rows, or NULL if nothing has been written yet. */
RelationWriter *
tracking_target(TrackingTable *tracking)
{
	return tracking->writing ? &tracking->writer : NULL;
}

/* The tracking row in the tuple. */
void
tracking_read_row(TrackingTable *tracking, HeapTuple tuple, TrackingRow *row)
{
	TupleDesc	desc = RelationGetDescr(tracking->rel);
	bool		isnull;

	row->tid = tuple->t_self;
	row->edition = DatumGetTimestampTz(heap_getattr(tuple, tracking->capture->edition_column,
													desc, &isnull));
	row->txid = DatumGetInt64(heap_getattr(tuple, tracking->capture->edition_txid_column,
										   desc, &isnull));

	/* a tracking table that is rewritten, or re-created for a new key, has others' rows, too */
	row->modified_by_this_xact =
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)) &&
		((!relation_is_rewritten_compat(tracking->rel) &&
		  tracking->rel->rd_createSubid == InvalidSubTransactionId) ||
		 tracking_wrote(row));
}

/* Has this transaction made the row's version, or found it (tracking.c)? */
bool
tracking_wrote(const TrackingRow *row)
{
	int64		xid = (int64) U64FromFullTransactionId(GetTopFullTransactionId());

	return row->txid == xid || row->txid == -xid;
}

/* When the last recorded version of the key ended.  See history_last_end. */
TimestampTz
tracking_last_end(TrackingTable *tracking, const Datum *key)
{
	CaptureRelation *capture = tracking->capture;
	Datum		history_key[INDEX_MAX_KEYS];
	TimestampTz last;
	ListCell   *lc;
	int			i;

	if (tracking->history == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(GetMemoryChunkContext(tracking));

		tracking->history = table_open(capture->history, AccessShareLock);
		tracking->history_keys = lookup_open(tracking->history, capture->history_index,
											 capture->history_scankey, capture->nkeys);
		MemoryContextSwitchTo(before);
	}
	for (i = 0; i < capture->nkeys; i++)
		history_key[i] = history_value(capture, i, key[i]);
	last = history_last_end(tracking->history, tracking->history_keys, history_key,
							capture->map->period);

	/* what has ended before we began is of no account */
	foreach(lc, capture->segments)
	{
		Segment    *segment = lfirst(lc);

		/* one on another server had ended before it went there; a clock that went back since changes nothing */
		if (OidIsValid(segment->server))
			last = Max(last, segment->bound > GetCurrentTransactionStartTimestamp() ? segment->bound : last);
		else if (!segment->verified || segment->bound > GetCurrentTransactionStartTimestamp())
			last = Max(last, segment_last_end(tracking, segment, history_key));
	}
	return last;
}

/*
 * When the last version of the key in a segment ended, whose columns may have other
 * numbers; DT_NOBEGIN if it was dropped.
 */
static TimestampTz
segment_last_end(TrackingTable *tracking, const Segment *segment, const Datum *history_key)
{
	CaptureRelation *capture = tracking->capture;
	ScanKeyData keys[INDEX_MAX_KEYS];
	TupleDesc	head = RelationGetDescr(tracking->history);
	Relation	rel = try_relation_open(segment->relid, AccessShareLock);
	TimestampTz last = DT_NOBEGIN;
	List	   *names = NIL;
	Form_pg_attribute period;
	int			i;

	if (rel == NULL)
		return last;
	memcpy(keys, capture->history_scankey, sizeof(ScanKeyData) * capture->nkeys);
	period = columns_find(rel, PERIOD_COLUMN);
	for (i = 0; i < capture->nkeys; i++)
	{
		char	   *name = NameStr(TupleDescAttr(head, keys[i].sk_attno - 1)->attname);
		Form_pg_attribute att = columns_find(rel, name);

		if (att == NULL || period == NULL)
			break;
		keys[i].sk_attno = att->attnum;
		names = lappend(names, name);
	}
	if (i == capture->nkeys)
	{
		Lookup	   *lookup = lookup_open(rel, indexes_find_key(rel, names, false, keys), keys,
										 capture->nkeys);

		last = history_last_end(rel, lookup, history_key, period->attnum);
		lookup_close(lookup);
	}
	list_free(names);
	table_close(rel, NoLock);
	return last;
}

/*
 * The value of the i-th key column, as the history's scan key wants it: where no
 * operator compares the two types, of the history column's type.
 */
static Datum
history_value(CaptureRelation *capture, int i, Datum value)
{
	ScanKey		key = &capture->history_scankey[i];
	struct HistoryCast *cast = capture->map->cast[key->sk_attno - 1];

	return cast && !OidIsValid(key->sk_subtype) ? history_map_cast(cast, value) : value;
}

/* Insert the key's row, or replace the old one. */
void
tracking_put_row(TrackingTable *tracking, const Datum *key, TimestampTz edition,
				 int64 txid, const TrackingRow *old, bool may_wait)
{
	CaptureRelation *capture = tracking->capture;
	RelationWriter *writer;
	TupleTableSlot *slot;
	int			i;

	if (old && old->modified_by_this_xact)
		CommandCounterIncrement();

	writer = writer_of(tracking);
	slot = relation_writer_slot(writer);
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
		ItemPointerData tid = old->tid;

		relation_writer_update(writer, &tid);
	}
	else
		relation_writer_insert(writer, may_wait);
}

/* Delete the row. */
void
tracking_delete_row(TrackingTable *tracking, const TrackingRow *old)
{
	ItemPointerData tid = old->tid;

	if (old->modified_by_this_xact)
		CommandCounterIncrement();
	relation_writer_delete(writer_of(tracking), &tid);
}

/* Rows that wait become visible to look-ups. */
void
tracking_flush(TrackingTable *tracking)
{
	if (tracking->writing)
		relation_writer_flush(&tracking->writer);
}

static RelationWriter *
writer_of(TrackingTable *tracking)
{
	if (!tracking->writing)
	{
		MemoryContext before = MemoryContextSwitchTo(GetMemoryChunkContext(tracking));

		relation_writer_open(&tracking->writer, tracking->capture->tracking,
							 tracking->capture->tracking_shape);
		tracking->writing = true;
		MemoryContextSwitchTo(before);
	}
	return &tracking->writer;
}

/*
 * Returns true if the tracking table is open in this session, or has pending trigger
 * events, so that TRUNCATE of it would be refused.  Takes the lock that TRUNCATE takes.
 */
bool
tracking_is_in_use(Oid relid)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	bool		in_use = rel->rd_refcnt > 1 || AfterTriggerPendingOnRel(relid);

	table_close(rel, NoLock);
	return in_use;
}

/*
 * Empty a tracking or history table, as TRUNCATE ONLY does, without asking for
 * rights.  Triggers that a site has put on it fire as the current user.
 */
void
tracking_truncate(Oid relid)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	List	   *relids = list_make1_oid(relid);

	CheckTableNotInUse(rel, "TRUNCATE");
	ExecuteTruncateGutsCompat(list_make1(rel), relids,
							  RelationIsLogicallyLogged(rel) ? relids : NIL);
	table_close(rel, NoLock);
}

/*
 * history.c
 *		Writes superseded versions into a history table, and asks it when the
 *		last version of a key ended.
 *
 * A version is the old row, value by value as it is on disk (compressed and
 * toasted values are the table access method's business), with the period in
 * which it was valid and the transaction that ended it.
 *
 * A row trigger opens a writer for its one row.  TRUNCATE writes in bulk, as
 * COPY does (copyfrom.c: CopyMultiInsertBufferFlush), where nothing on the
 * history table wants to see single rows.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rangetypes.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "catmaid_history.h"
#include "compat.h"

#define BULK_ROWS	1000
#define BULK_BYTES	65535

struct HistoryWriter
{
	RelationWriter target;
	HistoryMap *map;
	TypeCacheEntry *period_type;
	TimestampTz now;
	int64		xid;
	ExprState **expressions;	/* for what no live column holds, or NULL */

	/* bulk only */
	bool		bulk;
	BulkInsertState bistate;
	TupleTableSlot *buffer[BULK_ROWS];
	int			nbuffered;
	Size		buffered_bytes;
};

static bool can_buffer(Relation history);
static void prepare_expressions(HistoryWriter *writer);
static Node *column_expression(HistoryWriter *writer, Form_pg_attribute att);
static void fill_slot(HistoryWriter *writer, TupleTableSlot *old,
					  TupleTableSlot *slot, bool start_known, TimestampTz start);
static Datum make_period(HistoryWriter *writer, bool start_known,
						 TimestampTz start);
static void flush(HistoryWriter *writer);

/*
 * Open the history of the captured relation for writing, in the current memory
 * context.  Takes ROW EXCLUSIVE on the history table until the transaction
 * ends.
 */
HistoryWriter *
history_writer_open(CaptureRelation *capture, bool bulk)
{
	HistoryWriter *writer = palloc0(sizeof(HistoryWriter));

	relation_writer_open(&writer->target, capture->history);
	writer->map = capture->map;
	writer->period_type = lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	writer->now = GetCurrentTransactionStartTimestamp();
	writer->xid = (int64) U64FromFullTransactionId(GetTopFullTransactionId());
	prepare_expressions(writer);

	writer->bulk = bulk && can_buffer(writer->target.rel);
	if (writer->bulk)
		writer->bistate = GetBulkInsertState();
	return writer;
}

/*
 * Store the old row with the period [start, now), or (,now) for an unknown start.
 *
 * Where user code may run (a trigger on the history table) it runs in here,
 * last: the writer's map is not looked at afterwards.
 */
void
history_writer_put(HistoryWriter *writer, TupleTableSlot *old,
				   bool start_known, TimestampTz start)
{
	TupleTableSlot *slot = writer->target.slot;

	if (!writer->bulk)
	{
		fill_slot(writer, old, slot, start_known, start);
		relation_writer_insert(&writer->target);
		return;
	}

	if (writer->buffer[writer->nbuffered] == NULL)
	{
		/* the caller may be in a context of one row */
		MemoryContext before =
			MemoryContextSwitchTo(writer->target.estate->es_query_cxt);

		writer->buffer[writer->nbuffered] =
			table_slot_create(writer->target.rel,
							  &writer->target.estate->es_tupleTable);
		MemoryContextSwitchTo(before);
	}
	slot = writer->buffer[writer->nbuffered];
	fill_slot(writer, old, slot, start_known, start);
	ExecMaterializeSlot(slot);
	writer->nbuffered++;
	writer->buffered_bytes += ExecFetchSlotHeapTuple(slot, false, NULL)->t_len;
	if (writer->nbuffered == BULK_ROWS || writer->buffered_bytes >= BULK_BYTES)
		flush(writer);
}

void
history_writer_close(HistoryWriter *writer)
{
	if (writer->bulk)
	{
		flush(writer);
		FreeBulkInsertState(writer->bistate);
		table_finish_bulk_insert(writer->target.rel, 0);
	}
	relation_writer_close(&writer->target);
	pfree(writer);
}

/*
 * When did the last recorded version of the key end?  DT_NOBEGIN if there is
 * none with an end.
 *
 * Sees what is committed now, whatever the transaction's snapshot: the key
 * may just have been freed by a transaction that began later than ours.
 */
TimestampTz
history_last_end(CaptureRelation *capture, const Datum *key)
{
	Relation	history = table_open(capture->history, AccessShareLock);
	TypeCacheEntry *type = lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	ScanKeyData scankey[INDEX_MAX_KEYS];
	TimestampTz last = DT_NOBEGIN;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			i;

	memcpy(scankey, capture->history_scankey,
		   sizeof(ScanKeyData) * capture->nkeys);
	for (i = 0; i < capture->nkeys; i++)
		scankey[i].sk_argument = key[i];

	scan = systable_beginscan(history, capture->history_index,
							  OidIsValid(capture->history_index),
							  SnapshotSelf, capture->nkeys, scankey);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		period = heap_getattr(tuple, capture->map->period,
										  RelationGetDescr(history), &isnull);
		RangeBound	lower;
		RangeBound	upper;
		bool		empty;

		if (isnull)
			continue;
		range_deserialize(type, DatumGetRangeTypeP(period),
						  &lower, &upper, &empty);
		if (!empty && !upper.infinite)
			last = Max(last, DatumGetTimestampTz(upper.val));
	}
	systable_endscan(scan);
	table_close(history, AccessShareLock);
	return last;
}

/*
 * May rows wait in a buffer?  Not where a trigger or constraint of the site's
 * wants to see each before the next.
 */
static bool
can_buffer(Relation history)
{
	TupleDesc	desc = RelationGetDescr(history);
	TupleConstr *constr = desc->constr;
	int			not_null = 0;
	int			i;

	/* table_multi_insert checks none; ours are filled in always */
	for (i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && TupleDescAttr(desc, i)->attnotnull)
			not_null++;

	return not_null <= 2 && history->trigdesc == NULL &&
		(constr == NULL ||
		 (constr->num_check == 0 && !constr->has_generated_stored));
}

/*
 * What no column of the old row holds: virtual generated columns, and those that
 * a site has added to its history table.
 */
static void
prepare_expressions(HistoryWriter *writer)
{
	TupleDesc	desc = RelationGetDescr(writer->target.rel);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Node	   *expression = column_expression(writer, TupleDescAttr(desc, i));

		if (expression == NULL)
			continue;
		if (writer->expressions == NULL)
			writer->expressions = palloc0(sizeof(ExprState *) * desc->natts);
		writer->expressions[i] = ExecPrepareExpr((Expr *) expression,
												 writer->target.estate);
	}
}

/*
 * The expression, upon the old row, that gives the history column its value, or
 * NULL.  A virtual generated column's is PostgreSQL's alone: no user-defined
 * function may be in it.  A column of the site's gets its default, or the
 * next number of its identity, as in an INSERT that does not name it.
 */
static Node *
column_expression(HistoryWriter *writer, Form_pg_attribute att)
{
	HistoryMap *map = writer->map;
	int			i = att->attnum - 1;

	if (map->computed[i])
		return map->computed[i];
	if (att->attisdropped || att->attgenerated ||
		!(att->atthasdef || att->attidentity) ||
		map->source[i] != 0 ||
		att->attnum == map->period || att->attnum == map->xid)
		return NULL;
	return build_column_default(writer->target.rel, att->attnum);
}

static void
fill_slot(HistoryWriter *writer, TupleTableSlot *old, TupleTableSlot *slot,
		  bool start_known, TimestampTz start)
{
	HistoryMap *map = writer->map;
	ExprContext *context = GetPerTupleExprContext(writer->target.estate);
	int			i;

	ExecClearTuple(slot);
	slot_getallattrs(old);
	context->ecxt_scantuple = old;
	for (i = 0; i < map->natts; i++)
	{
		AttrNumber	source = map->source[i];

		if (writer->expressions && writer->expressions[i])
			slot->tts_values[i] =
				ExecEvalExprSwitchContext(writer->expressions[i], context,
										  &slot->tts_isnull[i]);
		else if (source != 0)
		{
			slot->tts_isnull[i] = old->tts_isnull[source - 1];
			slot->tts_values[i] = old->tts_values[source - 1];
		}
		else
			slot->tts_isnull[i] = true;

		if (map->cast[i] && !slot->tts_isnull[i])
			slot->tts_values[i] = columns_cast(map->cast[i], slot->tts_values[i]);
	}
	slot->tts_values[map->period - 1] = make_period(writer, start_known, start);
	slot->tts_isnull[map->period - 1] = false;
	slot->tts_values[map->xid - 1] = Int64GetDatum(writer->xid);
	slot->tts_isnull[map->xid - 1] = false;
	ExecStoreVirtualTuple(slot);
}

static Datum
make_period(HistoryWriter *writer, bool start_known, TimestampTz start)
{
	RangeBound	lower = {.infinite = !start_known,.inclusive = true,.lower = true};
	RangeBound	upper = {.inclusive = false,.lower = false};

	if (start_known)
		lower.val = TimestampTzGetDatum(Min(start, writer->now));
	upper.val = TimestampTzGetDatum(writer->now);
	return RangeTypePGetDatum(make_range_compat(writer->period_type,
												&lower, &upper, false));
}

/* Write the buffered rows, then their index entries, one row after another. */
static void
flush(HistoryWriter *writer)
{
	EState	   *estate = writer->target.estate;
	MemoryContext before;
	int			i;

	if (writer->nbuffered == 0)
		return;

	before = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
	table_multi_insert(writer->target.rel, writer->buffer, writer->nbuffered,
					   GetCurrentCommandId(true), 0, writer->bistate);
	MemoryContextSwitchTo(before);

	for (i = 0; i < writer->nbuffered; i++)
	{
		if (writer->target.result_rel->ri_NumIndices > 0)
			list_free(ExecInsertIndexTuplesCompat(writer->target.result_rel,
												  writer->buffer[i], estate));
		ExecClearTuple(writer->buffer[i]);
		ResetPerTupleExprContext(estate);
	}
	writer->nbuffered = 0;
	writer->buffered_bytes = 0;
	CHECK_FOR_INTERRUPTS();
}

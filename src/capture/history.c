/*
 * history.c
 *		Writes superseded versions into a history table, and asks it when the
 *		last version of a key ended.
 *
 * A version is the old row, value by value as it is on disk (compressed and
 * toasted values are the table access method's business), with the period in
 * which it was valid and the transaction that ended it.
 *
 * Where nothing on the history table wants to see single rows, they may wait, and
 * are stored together, as COPY does (copyfrom.c: CopyMultiInsertBufferFlush).
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

#include "capture/capture.h"
#include "compat.h"

struct HistoryWriter
{
	RelationWriter target;
	HistoryMap *map;
	bool		may_wait;
	TypeCacheEntry *period_type;
	TimestampTz now;
	int64		xid;
	ExprState **expressions;	/* for what no live column holds, or NULL */
};

/* Virtual generated columns of a row to be computed. */
typedef struct Computation
{
	HistoryWriter *writer;
	TupleTableSlot *slot;
	int			column;			/* -1: all */
} Computation;

pg_noreturn static void refuse_incomplete(CaptureRelation *capture);
static void prepare_expressions(HistoryWriter *writer);
static Node *column_expression(HistoryWriter *writer, Form_pg_attribute att);
static void compute_virtual(HistoryWriter *writer, TupleTableSlot *slot);
static void history_compute(void *arg);
static void fill_slot(HistoryWriter *writer, TupleTableSlot *old,
					  TupleTableSlot *slot, const VersionOrigin *origin);
static Datum make_period(HistoryWriter *writer, const VersionOrigin *origin);

/* Say what keeps versions of the relation from being stored whole. */
static void
refuse_incomplete(CaptureRelation *capture)
{
	(void) history_map(relation_open(capture->relid, NoLock), capture->live,
					   table_open(capture->history, NoLock), 0);
	elog(ERROR, "the history of relation %u is not complete", capture->relid);
}

/*
 * Open the history of the captured relation for writing, in the current memory
 * context and for the current resource owner, which must be current while it is
 * used.  Takes ROW EXCLUSIVE on the history table until the transaction ends.
 *
 * may_wait: versions need not be stored before the writer is closed.  bulk: many
 * will come, which shall not push all else out of the buffer cache.
 */
HistoryWriter *
history_writer_open(CaptureRelation *capture, bool may_wait, bool bulk)
{
	HistoryWriter *writer = palloc0(sizeof(HistoryWriter));

	if (!capture->map->complete)
		refuse_incomplete(capture);
	relation_writer_open(&writer->target, capture->history, capture->history_shape);
	writer->map = capture->map;
	writer->may_wait = may_wait;
	writer->period_type = lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	writer->now = GetCurrentTransactionStartTimestamp();
	writer->xid = (int64) U64FromFullTransactionId(GetTopFullTransactionId());
	if (writer->target.estate)
		prepare_expressions(writer);
	if (bulk)
		writer->target.bistate = GetBulkInsertState();
	return writer;
}

/*
 * Store the old row with the period [start, now), or (,now) for an unknown start, and
 * with its maker, if history has a column for that.
 *
 * Where user code may run (a trigger on the history table) it runs in here,
 * last: the writer's map is not looked at afterwards.
 */
void
history_writer_put(HistoryWriter *writer, TupleTableSlot *old,
				   const VersionOrigin *origin)
{
	fill_slot(writer, old, relation_writer_slot(&writer->target), origin);
	relation_writer_insert(&writer->target, writer->may_wait);
}

/* The writer's rows that wait: relation_writer_flush_into_subxact and relation_writer_forget. */
RelationWriter *
history_writer_target(HistoryWriter *writer)
{
	return &writer->target;
}

/* Store what waits, and close. */
void
history_writer_close(HistoryWriter *writer)
{
	relation_writer_flush(&writer->target);
	if (writer->target.bistate)
	{
		FreeBulkInsertState(writer->target.bistate);
		table_finish_bulk_insert(writer->target.rel, 0);
	}
	relation_writer_close(&writer->target);
	pfree(writer);
}

/*
 * When the last recorded version of the key ended; DT_NOBEGIN if there is none with an
 * end.
 *
 * Sees what is committed now, whatever the transaction's snapshot: the key
 * may just have been freed by a transaction that began later than ours.
 */
TimestampTz
history_last_end(Relation history, Lookup *scan, const Datum *key,
				 AttrNumber period_column)
{
	TypeCacheEntry *type = lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	TimestampTz last = DT_NOBEGIN;
	HeapTuple	tuple;

	lookup_start(scan, key, SnapshotSelf);
	while ((tuple = lookup_next(scan)) != NULL)
	{
		bool		isnull;
		Datum		period = heap_getattr(tuple, period_column,
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
	lookup_stop(scan);
	return last;
}

/*
 * What no column of the old row holds: virtual generated columns, which are
 * prepared when they are computed, and those that a site has added to its
 * history table.
 */
static void
prepare_expressions(HistoryWriter *writer)
{
	TupleDesc	desc = RelationGetDescr(writer->target.rel);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Node	   *expression = column_expression(writer, TupleDescAttr(desc, i));

		if (expression == NULL && writer->map->computed[i] == NULL)
			continue;
		if (writer->expressions == NULL)
			writer->expressions = palloc0(sizeof(ExprState *) * desc->natts);
		if (expression)
			writer->expressions[i] = ExecPrepareExpr((Expr *) expression,
													 writer->target.estate);
	}
}

/*
 * The expression that gives a column of the site's its value, or NULL: its default,
 * or the next number of its identity, as in an INSERT that does not name it.
 */
static Node *
column_expression(HistoryWriter *writer, Form_pg_attribute att)
{
	HistoryMap *map = writer->map;

	if (att->attisdropped || att->attgenerated ||
		!(att->atthasdef || att->attidentity) ||
		map->source[att->attnum - 1] != 0 ||
		att->attnum == map->period || att->attnum == map->xid || att->attnum == map->maker)
		return NULL;
	return build_column_default(writer->target.rel, att->attnum);
}

/*
 * The virtual generated columns of the old row, which the expressions look at,
 * into the slot.  A row may be there whose column cannot be read (divided by zero,
 * out of range), since nobody computed it when it was written.  It can be changed
 * and deleted all the same: what cannot be computed is NULL in its version.
 */
static void
compute_virtual(HistoryWriter *writer, TupleTableSlot *slot)
{
	Computation computation = {writer, slot, -1};
	int			i;

	if (attempt_or_message(history_compute, &computation, NULL))
		return;
	for (i = 0; i < writer->map->natts; i++)
	{
		computation.column = i;
		if (writer->map->computed[i] && !attempt_or_message(history_compute, &computation, NULL))
			slot->tts_isnull[i] = true;
	}
}

/* No user-defined function may be in these expressions. */
static void
history_compute(void *arg)
{
	Computation *computation = arg;
	HistoryWriter *writer = computation->writer;
	ExprContext *context = GetPerTupleExprContext(writer->target.estate);
	int			i;

	for (i = 0; i < writer->map->natts; i++)
	{
		if (writer->map->computed[i] == NULL ||
			(computation->column >= 0 && computation->column != i))
			continue;
		if (writer->expressions[i] == NULL)
			writer->expressions[i] = ExecPrepareExpr((Expr *) writer->map->computed[i],
													 writer->target.estate);
		computation->slot->tts_values[i] =
			ExecEvalExprSwitchContext(writer->expressions[i], context,
									  &computation->slot->tts_isnull[i]);
	}
}

static void
fill_slot(HistoryWriter *writer, TupleTableSlot *old, TupleTableSlot *slot,
		  const VersionOrigin *origin)
{
	HistoryMap *map = writer->map;
	ExprContext *context = NULL;
	int			i;

	slot_getallattrs(old);
	if (writer->expressions)
	{
		context = GetPerTupleExprContext(writer->target.estate);
		context->ecxt_scantuple = old;
		if (!history_map_runs_no_code(map))
			compute_virtual(writer, slot);
	}
	for (i = 0; i < map->natts; i++)
	{
		AttrNumber	source = map->source[i];

		if (map->computed[i])
			;					/* it is there */
		else if (writer->expressions && writer->expressions[i])
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
			slot->tts_values[i] = history_map_cast(map->cast[i], slot->tts_values[i]);
	}
	slot->tts_values[map->period - 1] = make_period(writer, origin);
	slot->tts_isnull[map->period - 1] = false;
	slot->tts_values[map->xid - 1] = Int64GetDatum(writer->xid);
	slot->tts_isnull[map->xid - 1] = false;
	if (map->maker != 0)
	{
		slot->tts_values[map->maker - 1] = Int64GetDatum(origin->maker);
		slot->tts_isnull[map->maker - 1] = origin->maker == 0;
	}
	ExecStoreVirtualTuple(slot);
}

static Datum
make_period(HistoryWriter *writer, const VersionOrigin *origin)
{
	RangeBound	lower = {.infinite = !origin->known,.inclusive = true,.lower = true};
	RangeBound	upper = {.inclusive = false,.lower = false};

	if (origin->known)
		lower.val = TimestampTzGetDatum(Min(origin->start, writer->now));
	upper.val = TimestampTzGetDatum(writer->now);
	return RangeTypePGetDatum(make_range_compat(writer->period_type,
												&lower, &upper, false));
}

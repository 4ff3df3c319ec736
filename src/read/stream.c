/*
 * stream.c
 *		The rows of a query of ours as the result of a function, one by one.
 *
 * The query runs while its rows are asked for, with the rights of the caller, and
 * keeps none of them: what it takes is what its sorts and joins may have (work_mem).
 *
 * It is an execution of its own, and no cursor, which COMMIT would close before a cursor
 * WITH HOLD around it has read to the end, and ROLLBACK TO SAVEPOINT as well.  What it
 * opens and locks belongs to the query around it, as what that opens itself
 * (CurrentResourceOwner is its portal's), and ends with it, whichever way: when it has
 * given its last row, when no more rows are asked for (the expression context's
 * callback), or by an error.  As functions in SQL do it (functions.c: fmgr_sql).
 *
 * In FROM, PostgreSQL would collect what a function returns before it goes on:
 * see rows_scan.c.
 *
 * The query's operators and functions are read as those of pg_catalog.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "read/read.h"
#include "compat.h"

/* A query that goes on; its receiver comes first, so that it can be told by that. */
typedef struct Stream
{
	DestReceiver receiver;
	QueryDesc  *query;			/* NULL: has ended */
	TupleTableSlot *row;		/* the query's present one, or NULL */
	StreamQuery wanted;
	CachedPlan *held;
	ResourceOwner owner;		/* of that */
	ExprContext *econtext;
} Stream;

static Stream *stream_begin(FunctionCallInfo fcinfo, StreamQuery *wanted);
static ParamListInfo stream_parameters(const StreamQuery *wanted);
static bool next_row(Stream *stream);
static void stream_end(Stream *stream);
static void shut_down(Datum stream);
static bool stream_receive(TupleTableSlot *slot, DestReceiver *self);
static void receiver_startup(DestReceiver *self, int operation, TupleDesc desc);
static void receiver_done(DestReceiver *self);

/*
 * The result of a set-returning function, to be returned by it.  make_query fills in the
 * query (in the memory that lasts as long as the result), whose columns are those of the
 * function's result, unless it has a function to form them.
 */
Datum
stream_rows(FunctionCallInfo fcinfo, void (*make_query) (FunctionCallInfo fcinfo, StreamQuery *query))
{
	FuncCallContext *call;
	Stream	   *stream;
	TupleTableSlot *row;
	HeapTuple	tuple;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext before;
		StreamQuery wanted;

		call = SRF_FIRSTCALL_INIT();
		before = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &call->tuple_desc) != TYPEFUNC_COMPOSITE)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("function returning record called in context that cannot accept type record")));
		call->tuple_desc = BlessTupleDesc(CreateTupleDescCopy(call->tuple_desc));
		memset(&wanted, 0, sizeof(wanted));
		make_query(fcinfo, &wanted);
		call->user_fctx = stream_begin(fcinfo, &wanted);
		MemoryContextSwitchTo(before);
	}

	call = SRF_PERCALL_SETUP();
	stream = call->user_fctx;
	if (!next_row(stream))
	{
		UnregisterExprContextCallback(stream->econtext, shut_down, PointerGetDatum(stream));
		stream_end(stream);
		SRF_RETURN_DONE(call);
	}
	row = stream->row;
	slot_getallattrs(row);
	if (stream->wanted.form)
		tuple = stream->wanted.form(stream->wanted.arg, call->tuple_desc,
									row->tts_values, row->tts_isnull);
	else
		tuple = heap_form_tuple(call->tuple_desc, row->tts_values, row->tts_isnull);
	SRF_RETURN_NEXT(call, HeapTupleGetDatum(tuple));
}

static Stream *
stream_begin(FunctionCallInfo fcinfo, StreamQuery *wanted)
{
	Stream	   *stream = palloc0(sizeof(Stream));
	ParamListInfo params = stream_parameters(wanted);
	int			nestlevel = naming_begin_qualified();
	PlannedStmt *planned;

	stream->wanted = *wanted;
	stream->receiver.receiveSlot = stream_receive;
	stream->receiver.rStartup = receiver_startup;
	stream->receiver.rShutdown = receiver_done;
	stream->receiver.rDestroy = receiver_done;
	stream->receiver.mydest = DestNone;
	stream->owner = CurrentResourceOwner;
	planned = stream_plan(wanted, params, &stream->held);
	stream->query = CreateQueryDesc(planned, wanted->sql, GetActiveSnapshot(),
									InvalidSnapshot, &stream->receiver, params, NULL, 0);
	ExecutorStart(stream->query, EXEC_FLAG_SKIP_TRIGGERS);
	AtEOXact_GUC(true, nestlevel);

	stream->econtext = ((ReturnSetInfo *) fcinfo->resultinfo)->econtext;
	RegisterExprContextCallback(stream->econtext, shut_down, PointerGetDatum(stream));
	return stream;
}

/* The arguments, as constants for the planner; copied, for they are there for one call only. */
static ParamListInfo
stream_parameters(const StreamQuery *wanted)
{
	ParamListInfo params = makeParamList(wanted->nargs);
	int			i;

	for (i = 0; i < wanted->nargs; i++)
	{
		ParamExternData *param = &params->params[i];
		int16		length;
		bool		by_value;

		param->ptype = wanted->types[i];
		param->isnull = wanted->nulls[i];
		param->pflags = PARAM_FLAG_CONST;
		get_typlenbyval(param->ptype, &length, &by_value);
		if (!param->isnull)
			param->value = length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(wanted->values[i])) :
				datumCopy(wanted->values[i], by_value, length);
	}
	return params;
}

/* Run the query for one row more.  Returns false if there is none. */
static bool
next_row(Stream *stream)
{
	stream->row = NULL;
	PushActiveSnapshot(stream->query->snapshot);
	executor_run_compat(stream->query, ForwardScanDirection, 1);
	PopActiveSnapshot();
	return stream->row != NULL;
}

static void
stream_end(Stream *stream)
{
	QueryDesc  *query = stream->query;

	stream->query = NULL;
	PushActiveSnapshot(query->snapshot);
	ExecutorFinish(query);
	ExecutorEnd(query);
	PopActiveSnapshot();
	FreeQueryDesc(query);
	stream_plan_release(stream->held, stream->owner);
}

/* The query around it asks for no more rows. */
static void
shut_down(Datum argument)
{
	Stream	   *stream = (Stream *) DatumGetPointer(argument);

	if (stream->query)
		stream_end(stream);
}

/* (The row stays until the next one is asked for.) */
static bool
stream_receive(TupleTableSlot *slot, DestReceiver *self)
{
	((Stream *) self)->row = slot;
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receiver_done(DestReceiver *self)
{
}

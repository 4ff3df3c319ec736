/*
 * stream.c
 *		The rows of a query of ours as the result of a function, one after another.
 *
 * The query is run by a cursor, with the rights of the caller, and a few rows are
 * fetched at a time: whatever there is of them, none is kept but those.  The cursor is
 * closed with the result, or by the end of the caller's query where that asks for no
 * more rows.
 *
 * The query's operators and functions are read as those of pg_catalog.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "read/read.h"

#define ROWS_AT_A_TIME	50

typedef struct Stream
{
	char	   *portal;			/* its name; NULL: closed */
	TupleDesc	desc;
	MemoryContext rows_context;
	HeapTuple	rows[ROWS_AT_A_TIME];
	int			nrows;
	int			next;
	bool		at_end;
} Stream;

static Stream *open_stream(FunctionCallInfo fcinfo, const char *sql, int nargs,
						   const Oid *types, const Datum *values, const char *nulls);
static void fetch_rows(Stream *stream);
static void close_stream(Datum stream);

/*
 * To be called each time that a set-returning function is, and returned.  make_sql gives
 * the query, on the first call, whose columns are those of the function's result; its
 * parameters are of these types and values, nulls as for SPI.
 */
Datum
stream_rows(FunctionCallInfo fcinfo, char *(*make_sql) (FunctionCallInfo fcinfo),
			int nargs, const Oid *types, const Datum *values, const char *nulls)
{
	FuncCallContext *context;
	Stream	   *stream;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext before;

		context = SRF_FIRSTCALL_INIT();
		before = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		context->user_fctx = open_stream(fcinfo, make_sql(fcinfo), nargs, types, values, nulls);
		MemoryContextSwitchTo(before);
	}
	context = SRF_PERCALL_SETUP();
	stream = context->user_fctx;
	if (stream->next == stream->nrows && !stream->at_end)
		fetch_rows(stream);
	if (stream->next < stream->nrows)
		SRF_RETURN_NEXT(context, HeapTupleGetDatum(stream->rows[stream->next++]));
	/* the stream goes with the context that SRF_RETURN_DONE deletes */
	close_stream(PointerGetDatum(stream));
	UnregisterExprContextCallback(((ReturnSetInfo *) fcinfo->resultinfo)->econtext,
								  close_stream, PointerGetDatum(stream));
	SRF_RETURN_DONE(context);
}

static Stream *
open_stream(FunctionCallInfo fcinfo, const char *sql, int nargs, const Oid *types,
			const Datum *values, const char *nulls)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Stream	   *stream = palloc0(sizeof(Stream));
	int			nestlevel;
	SPIPlanPtr	plan;
	Portal		portal;

	if (get_call_result_type(fcinfo, NULL, &stream->desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function returning record called in context that cannot accept type record")));
	stream->desc = BlessTupleDesc(CreateTupleDescCopy(stream->desc));
	stream->rows_context = AllocSetContextCreate(CurrentMemoryContext, "catmaid_history rows",
												 ALLOCSET_DEFAULT_SIZES);

	SPI_connect();
	nestlevel = naming_begin_qualified();
	plan = SPI_prepare(sql, nargs, unconstify(Oid *, types));
	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s for %s", SPI_result_code_string(SPI_result), sql);
	portal = SPI_cursor_open(NULL, plan, unconstify(Datum *, values), nulls, true);
	AtEOXact_GUC(true, nestlevel);
	stream->portal = MemoryContextStrdup(GetMemoryChunkContext(stream), portal->name);
	SPI_finish();
	/* before that of SRF_FIRSTCALL_INIT, which deletes the stream */
	RegisterExprContextCallback(result->econtext, close_stream, PointerGetDatum(stream));
	return stream;
}

static void
fetch_rows(Stream *stream)
{
	Portal		portal = SPI_cursor_find(stream->portal);
	MemoryContext before;
	int			i;

	if (portal == NULL)
		elog(ERROR, "cursor \"%s\" is gone", stream->portal);
	MemoryContextReset(stream->rows_context);
	SPI_connect();
	SPI_cursor_fetch(portal, true, ROWS_AT_A_TIME);
	stream->nrows = (int) SPI_processed;
	stream->next = 0;
	stream->at_end = stream->nrows < ROWS_AT_A_TIME;
	before = MemoryContextSwitchTo(stream->rows_context);
	for (i = 0; i < stream->nrows; i++)
	{
		Datum	   *values = palloc(sizeof(Datum) * stream->desc->natts);
		bool	   *nulls = palloc(sizeof(bool) * stream->desc->natts);

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		stream->rows[i] = heap_form_tuple(stream->desc, values, nulls);
	}
	MemoryContextSwitchTo(before);
	SPI_finish();
}

/* If it is open still: an error has closed it. */
static void
close_stream(Datum arg)
{
	Stream	   *stream = (Stream *) DatumGetPointer(arg);
	Portal		portal = stream->portal ? GetPortalByName(stream->portal) : NULL;

	stream->portal = NULL;
	if (portal)
		PortalDrop(portal, false);
}

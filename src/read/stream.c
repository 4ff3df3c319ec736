/*
 * stream.c
 *		The rows of a query of ours as the result of a function.
 *
 * The query is run by a cursor, with the rights of the caller, a few rows at a time, and
 * its rows are put in a tuplestore, which goes to disk where they are many.  It has ended
 * when the function returns: a cursor that was left open until more rows are asked for
 * would be closed too soon, by COMMIT where the caller's query is a cursor WITH HOLD, and
 * by ROLLBACK TO SAVEPOINT.
 *
 * The query's operators and functions are read as those of pg_catalog.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/tuplestore.h"

#include "read/read.h"

#define ROWS_AT_A_TIME	200

static void put_rows(Portal portal, ReturnSetInfo *result);

/*
 * The result of a set-returning function, to be returned by it.  make_sql gives the
 * query, whose columns are those of the function's result; its parameters are of these
 * types and values, nulls as for SPI.
 */
Datum
stream_rows(FunctionCallInfo fcinfo, char *(*make_sql) (FunctionCallInfo fcinfo),
			int nargs, const Oid *types, const Datum *values, const char *nulls)
{
	char	   *sql = make_sql(fcinfo);
	ReturnSetInfo *result;
	int			nestlevel;
	SPIPlanPtr	plan;
	Portal		portal;

	result = result_set_begin(fcinfo);
	SPI_connect();
	nestlevel = naming_begin_qualified();
	plan = SPI_prepare(sql, nargs, unconstify(Oid *, types));
	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s for %s", SPI_result_code_string(SPI_result), sql);
	portal = SPI_cursor_open(NULL, plan, unconstify(Datum *, values), nulls, true);
	AtEOXact_GUC(true, nestlevel);
	put_rows(portal, result);
	SPI_cursor_close(portal);
	SPI_finish();
	return (Datum) 0;
}

static void
put_rows(Portal portal, ReturnSetInfo *result)
{
	int			natts = result->setDesc->natts;
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);
	uint64		i;

	do
	{
		SPI_cursor_fetch(portal, true, ROWS_AT_A_TIME);
		for (i = 0; i < SPI_processed; i++)
		{
			heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (i == ROWS_AT_A_TIME);
}

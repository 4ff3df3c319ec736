/*
 * store.c
 *		Results of queries that later queries read.
 *
 * They are named tuplestores, as the transition tables of triggers are: they go to disk
 * where they are large, need no privilege and no catalog, and so serve on a standby, too.
 * A name without a schema means them before any table.
 *
 * Queries run as the caller, and see what has been committed until each begins (where
 * the isolation level lets them).  What fills a store is read and planned as if
 * search_path were pg_catalog; what locks and writes is run with the caller's, for the sake of
 * her triggers, and all its names and operators are qualified.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "undo/undo.h"

#define ROWS_AT_A_TIME	500

static Oid	param_types[] = {INT8ARRAYOID, TIMESTAMPTZOID, JSONBARRAYOID};

static Store *store_begin(UndoRun *run, char *name, TupleDesc desc);
static uint64 store_fetch(UndoRun *run, Store **store, char *name, UndoTable *table, const char *sql,
						  void (*see) (UndoTable *table, HeapTuple tuple, TupleDesc desc));

/*
 * Run the query and keep its rows in a new store, called prefix and the table's number.
 * see: is shown each row.  The store lasts until store_forget_all.
 */
Store *
store_query(UndoRun *run, const char *prefix, const UndoTable *table, const char *sql,
			void (*see) (UndoTable *table, HeapTuple tuple, TupleDesc desc))
{
	Store	   *store = NULL;
	MemoryContext before = MemoryContextSwitchTo(run->context);
	char	   *name = psprintf("%s_%d", prefix, table->number);

	MemoryContextSwitchTo(before);
	(void) store_fetch(run, &store, name, unconstify(UndoTable *, table), sql, see);
	return store;
}

/* Run the query, whose columns are those of the store, and add its rows to it; result: their number. */
uint64
store_add(UndoRun *run, Store *store, const char *sql)
{
	return store_fetch(run, &store, NULL, NULL, sql, NULL);
}

static uint64
store_fetch(UndoRun *run, Store **store, char *name, UndoTable *table, const char *sql,
			void (*see) (UndoTable *table, HeapTuple tuple, TupleDesc desc))
{
	Portal		portal;
	uint64		count = 0;
	uint64		fetched;
	uint64		i;
	int			level = naming_begin_qualified();

	portal = SPI_cursor_open_with_args(NULL, sql, lengthof(param_types), param_types, run->params,
									   run->nulls, false, CURSOR_OPT_NO_SCROLL);
	AtEOXact_GUC(true, level);
	if (*store == NULL)
		*store = store_begin(run, name, portal->tupDesc);
	do
	{
		SPI_cursor_fetch(portal, true, ROWS_AT_A_TIME);
		fetched = SPI_processed;
		for (i = 0; i < fetched; i++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[i];

			if (see)
				see(table, tuple, SPI_tuptable->tupdesc);
			tuplestore_puttuple((*store)->tuples, tuple);
		}
		count += fetched;
		SPI_freetuptable(SPI_tuptable);
	} while (fetched == ROWS_AT_A_TIME);
	SPI_cursor_close(portal);
	(*store)->count += count;
	(*store)->enr.md.enrtuples = (*store)->count;
	return count;
}

/* It belongs to the run, whatever subtransaction is going on. */
static Store *
store_begin(UndoRun *run, char *name, TupleDesc desc)
{
	MemoryContext context = MemoryContextSwitchTo(run->context);
	ResourceOwner owner = CurrentResourceOwner;
	Store	   *store = palloc0(sizeof(Store));

	store->name = name;
	store->desc = CreateTupleDescCopy(desc);
	CurrentResourceOwner = run->owner;
	store->tuples = tuplestore_begin_heap(false, false, work_mem);
	CurrentResourceOwner = owner;
	store->enr.md.name = name;
	store->enr.md.reliddesc = InvalidOid;
	store->enr.md.tupdesc = store->desc;
	store->enr.md.enrtype = ENR_NAMED_TUPLESTORE;
	store->enr.reldata = store->tuples;
	if (SPI_register_relation(&store->enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the relation \"%s\"", name);
	run->stores = lappend(run->stores, store);
	MemoryContextSwitchTo(context);
	return store;
}

/* Run a query that is not kept; result: the number in its first row, or of its rows. */
uint64
store_execute(UndoRun *run, const char *sql)
{
	uint64		result;
	int			code = SPI_execute_with_args(sql, lengthof(param_types), param_types,
											 run->params, run->nulls, false, 0);

	if (code < 0)
		elog(ERROR, "SPI_execute_with_args returned %s for %s", SPI_result_code_string(code), sql);
	result = SPI_processed;
	if (SPI_tuptable && SPI_processed > 0 && SPI_gettypeid(SPI_tuptable->tupdesc, 1) == INT8OID)
	{
		bool		isnull;

		result = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/* Let go of all stores. */
void
store_forget_all(UndoRun *run)
{
	ListCell   *lc;

	foreach(lc, run->stores)
	{
		Store	   *store = lfirst(lc);

		SPI_unregister_relation(store->name);
		tuplestore_end(store->tuples);
	}
	run->stores = NIL;
}

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
#include "tcop/pquery.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "undo/undo.h"

static Oid	param_types[] = {INT8ARRAYOID, TIMESTAMPTZOID, JSONBARRAYOID};

/* Takes the rows of a query, one by one; the receiver comes first, so that it can be told by that. */
typedef struct StoreReceiver
{
	DestReceiver receiver;
	StoreSeeDesc begin;
	StoreSee	see;
	void	   *arg;
	uint64		count;
} StoreReceiver;

/* A new store, as a row of its query is seen. */
typedef struct StoreFill
{
	UndoRun    *run;
	const char *prefix;
	const UndoTable *table;
	Store	   *store;
} StoreFill;

static void fill_begin(void *arg, TupleDesc desc);
static void fill_see(void *arg, TupleTableSlot *slot);
static void receive_begin(DestReceiver *self, int operation, TupleDesc desc);
static bool receive(TupleTableSlot *slot, DestReceiver *self);
static void receive_nothing(DestReceiver *self);

/*
 * Run the query and show each of its rows to see, with arg; before them begin is told of
 * what columns they have.  Neither may run a query.
 */
void
store_see(UndoRun *run, const char *sql, StoreSeeDesc begin, StoreSee see, void *arg)
{
	StoreReceiver receiver;
	Portal		portal;
	int			level = naming_begin_qualified();

	/* compiling costs more than it saves: expressions are few */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	memset(&receiver, 0, sizeof(receiver));
	receiver.receiver.receiveSlot = receive;
	receiver.receiver.rStartup = receive_begin;
	receiver.receiver.rShutdown = receive_nothing;
	receiver.receiver.rDestroy = receive_nothing;
	receiver.receiver.mydest = DestNone;
	receiver.begin = begin;
	receiver.see = see;
	receiver.arg = arg;
	portal = SPI_cursor_open_with_args(NULL, sql, lengthof(param_types), param_types, run->params,
									   run->nulls, false, CURSOR_OPT_NO_SCROLL);
	AtEOXact_GUC(true, level);

	/* as SPI_cursor_fetch() does, without a copy of each row */
	(void) PortalRunFetch(portal, FETCH_FORWARD, FETCH_ALL, &receiver.receiver);
	SPI_cursor_close(portal);
}

static void
receive_begin(DestReceiver *self, int operation, TupleDesc desc)
{
	StoreReceiver *receiver = (StoreReceiver *) self;

	if (receiver->begin)
		receiver->begin(receiver->arg, desc);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	StoreReceiver *receiver = (StoreReceiver *) self;

	receiver->see(receiver->arg, slot);
	return true;
}

static void
receive_nothing(DestReceiver *self)
{
}

/*
 * Run the query and keep its rows in a new store, called prefix and the table's number.
 * The store lasts until store_forget_all.
 */
Store *
store_query(UndoRun *run, const char *prefix, const UndoTable *table, const char *sql)
{
	StoreFill	fill = {run, prefix, table, NULL};

	store_see(run, sql, fill_begin, fill_see, &fill);
	return fill.store;
}

static void
fill_begin(void *arg, TupleDesc desc)
{
	StoreFill  *fill = arg;

	fill->store = store_make(fill->run, fill->prefix, fill->table, desc);
}

static void
fill_see(void *arg, TupleTableSlot *slot)
{
	store_put_slot(((StoreFill *) arg)->store, slot);
}

/* Run the query, whose columns are those of the store, and add its rows to it; result: their number. */
uint64
store_add(UndoRun *run, Store *store, const char *sql)
{
	StoreFill	fill = {run, NULL, NULL, store};
	uint64		before = store->count;

	store_see(run, sql, NULL, fill_see, &fill);
	return store->count - before;
}

/*
 * An empty store of that name, with these columns, which are copied.  It belongs to the
 * run, whatever subtransaction is going on.
 */
Store *
store_make(UndoRun *run, const char *prefix, const UndoTable *table, TupleDesc desc)
{
	MemoryContext context = MemoryContextSwitchTo(run->context);
	ResourceOwner owner = CurrentResourceOwner;
	Store	   *store = palloc0(sizeof(Store));

	store->name = psprintf("%s_%d", prefix, table->number);
	store->desc = CreateTupleDescCopy(desc);
	CurrentResourceOwner = run->owner;
	store->tuples = tuplestore_begin_heap(false, false, run->store_mem);
	CurrentResourceOwner = owner;
	store->enr.md.name = store->name;
	store->enr.md.reliddesc = InvalidOid;
	store->enr.md.tupdesc = store->desc;
	store->enr.md.enrtype = ENR_NAMED_TUPLESTORE;
	store->enr.reldata = store->tuples;
	if (SPI_register_relation(&store->enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the relation \"%s\"", store->name);
	run->stores = lappend(run->stores, store);
	MemoryContextSwitchTo(context);
	return store;
}

void
store_put(Store *store, const Datum *values, const bool *isnull)
{
	tuplestore_putvalues(store->tuples, store->desc, unconstify(Datum *, values), unconstify(bool *, isnull));
	store->enr.md.enrtuples = ++store->count;
}

void
store_put_slot(Store *store, TupleTableSlot *slot)
{
	tuplestore_puttupleslot(store->tuples, slot);
	store->enr.md.enrtuples = ++store->count;
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

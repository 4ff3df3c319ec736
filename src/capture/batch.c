/*
 * batch.c
 *		What stays open while the row triggers of a statement fire.
 *
 * PostgreSQL calls a row trigger for each row, and tells it neither of the
 * first nor of the last one.  History, tracking table and their indexes are
 * opened for the first row and stay open, and versions wait in a buffer to be
 * stored together, until somebody could see the difference:
 *
 *	- the statement ends (ExecutorEnd_hook), or a utility command or the
 *	  transaction does where there is no such end (COPY, deferred actions);
 *	- whatever else runs a query or a command, a trigger of the application,
 *	  say (ExecutorStart_hook, ProcessUtility_hook).
 *
 * The library is loaded when the first version waits, so the hooks are in
 * place whenever one does; nothing has to be preloaded.  A version is stored as
 * of the command in which its trigger fired, so that whoever looks sees what
 * would be there had it been stored at once.
 *
 * A trigger of the application may begin a subtransaction before it runs a
 * query, and what is stored in a subtransaction shares its fate.  So each
 * subtransaction has a batch of its own.  It stores what waits in the outer ones when
 * it runs its first query, or writes its first row without one (as logical replication
 * does), so that it sees what there is, and the outer ones forget it when it has ended
 * well; if it fails, the versions wait as before.  A command that may want the tables for
 * itself, as TRUNCATE does, finds them closed.
 * (Where triggers of the application fire after ours, of the table or for each
 * statement on a parent, versions do not wait at all.)
 *
 * Everything open belongs to the subtransaction's resource owner, not to the
 * portal's, and lives in its memory context: if it fails, all is gone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "compat.h"

/* so many tables at most are kept open, partitions for the most part */
#define MAX_OPEN	64

typedef struct Batch
{
	struct Batch *outer;
	SubTransactionId subid;
	SubTransactionId flushed_by;		/* what waits has been stored by this one */
	MemoryContext context;
	ResourceOwner owner;		/* of what is open */
	bool		busy;			/* one of its tables is being written */
	ResourceOwner user;			/* of who wrote it before */
	int			nopen;
	int			last;			/* used last */
	CaptureTable *open[MAX_OPEN];
} Batch;

static Batch *innermost = NULL;

static ExecutorStart_hook_type next_executor_start = NULL;
static ExecutorEnd_hook_type next_executor_end = NULL;
static ProcessUtility_hook_type next_process_utility = NULL;

static Batch *current_batch(void);
static Batch *begin_batch(void);
static CaptureTable *find_open(Batch *batch, Oid relid);
static void batch_use(Batch *batch);
static void close_table(CaptureTable *table);
static void let_go(CaptureTable *table);
static void batch_flush_outer(void);
static void batch_forget_flushed(Batch *batch);
static void at_executor_start(QueryDesc *query, int flags);
static void at_executor_end(QueryDesc *query);
static void at_utility(PROCESS_UTILITY_ARGS_COMPAT);
static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);

void
batch_init(void)
{
	next_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = at_executor_start;
	next_executor_end = ExecutorEnd_hook;
	ExecutorEnd_hook = at_executor_end;
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = at_utility;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/*
 * The table on which the trigger fires.  Must be released; until then it stays
 * open whatever is run.
 */
CaptureTable *
batch_table(Relation rel, Trigger *trigger)
{
	Batch	   *batch = current_batch();
	CaptureTable *table;
	CaptureRelation *capture;

	if (batch && (table = find_open(batch, RelationGetRelid(rel))) != NULL)
	{
		if (table->capture->valid && !table->let_go)
		{
			batch_use(batch);
			return table;
		}
		batch_end();
	}

	capture = cache_lookup(rel, trigger);
	if (!capture->bypass_executor)
	{
		table = palloc0(sizeof(CaptureTable));
		table->relid = RelationGetRelid(rel);
		table->capture = capture;
		return table;
	}

	batch = current_batch();
	if (batch && batch->nopen == MAX_OPEN)
	{
		batch_end();
		batch = NULL;
	}
	if (batch == NULL)
		batch = begin_batch();
	batch_use(batch);

	table = MemoryContextAllocZero(batch->context, sizeof(CaptureTable));
	table->relid = RelationGetRelid(rel);
	table->capture = capture;
	table->batch = batch;
	batch->last = batch->nopen;
	batch->open[batch->nopen++] = table;
	return table;
}

/* The table's history, opened if it is not. */
HistoryWriter *
batch_history(CaptureTable *table)
{
	if (table->history == NULL)
	{
		MemoryContext before = table->batch ?
			MemoryContextSwitchTo(table->batch->context) : CurrentMemoryContext;

		table->history = history_writer_open(table->capture,
											 table->batch && table->capture->may_defer_inserts, false);
		MemoryContextSwitchTo(before);
	}
	return table->history;
}

/* The table's tracking table, which it must have, opened if it is not. */
TrackingTable *
batch_tracking(CaptureTable *table)
{
	if (table->tracking == NULL)
	{
		MemoryContext before = table->batch ?
			MemoryContextSwitchTo(table->batch->context) : CurrentMemoryContext;

		table->tracking = tracking_open(table->capture,
										table->batch && table->capture->may_defer_inserts);
		MemoryContextSwitchTo(before);
	}
	return table->tracking;
}

/* Close what is open of a table that does not stay open, and look it up again. */
void
batch_reopen(CaptureTable *table, Relation rel, Trigger *trigger)
{
	close_table(table);
	table->capture = cache_lookup(rel, trigger);
}

/* The trigger has done what it had to with the table. */
void
batch_release(CaptureTable *table)
{
	if (table->batch)
	{
		Assert(table->batch->busy && CurrentResourceOwner == table->batch->owner);
		CurrentResourceOwner = table->batch->user;
		table->batch->busy = false;
	}
	else
	{
		close_table(table);
		pfree(table);
	}
}

/*
 * Store what waits in this subtransaction, and close what is open.  To be
 * called before anything is read that may depend on it.
 */
void
batch_end(void)
{
	Batch	   *batch;

	while ((batch = current_batch()) != NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(batch->context);
		bool		need_snapshot = !ActiveSnapshotSet();

		/* values may be toasted; there is none at the end of a transaction */
		if (need_snapshot)
			PushActiveSnapshot(GetTransactionSnapshot());

		/* an operator class may run queries, and come back to us */
		batch_use(batch);
		while (batch->nopen > 0)
		{
			CaptureTable *table = batch->open[--batch->nopen];
			SecurityState rights;

			security_act_as(table->capture->owner, ACT_FOR_WRITER, &rights);
			close_table(table);
			security_act_as_before(&rights);
		}
		CurrentResourceOwner = batch->user;
		if (need_snapshot)
			PopActiveSnapshot();
		MemoryContextSwitchTo(before);

		Assert(innermost == batch);
		innermost = batch->outer;
		MemoryContextDelete(batch->context);
	}
}

/*
 * Store what waits, in outer subtransactions too, and leave nothing open: for a command
 * that needs exclusive access to tables.
 */
void
batch_let_go(void)
{
	Batch	   *batch;
	int			i;

	batch_end();
	batch_flush_outer();
	for (batch = innermost; batch; batch = batch->outer)
	{
		ResourceOwner current = CurrentResourceOwner;

		if (batch->busy || batch->subid == GetCurrentSubTransactionId())
			continue;
		CurrentResourceOwner = batch->owner;
		for (i = 0; i < batch->nopen; i++)
			let_go(batch->open[i]);
		CurrentResourceOwner = current;
	}
}

/*
 * Close it, but for the rows that wait, and will do so again if the subtransaction
 * that has stored them fails.
 */
static void
let_go(CaptureTable *table)
{
	if (table->let_go)
		return;
	table->let_go = true;
	if (table->tracking)
		tracking_let_go(table->tracking);
	if (table->history)
		relation_writer_let_go(history_writer_target(table->history));
}

/* This subtransaction's batch that may be used, or NULL. */
static Batch *
current_batch(void)
{
	if (innermost && !innermost->busy &&
		innermost->subid == GetCurrentSubTransactionId())
		return innermost;
	return NULL;
}

static Batch *
begin_batch(void)
{
	MemoryContext context;
	Batch	   *batch;

	Assert(innermost == NULL || innermost->busy ||
		   innermost->subid < GetCurrentSubTransactionId());

	/* who applies a publisher's changes runs no query before them */
	batch_flush_outer();

	context = AllocSetContextCreate(CurTransactionContext, "catmaid_history batch",
									ALLOCSET_DEFAULT_SIZES);
	batch = MemoryContextAlloc(context, sizeof(Batch));
	batch->context = context;
	batch->outer = innermost;
	batch->subid = GetCurrentSubTransactionId();
	batch->flushed_by = InvalidSubTransactionId;
	batch->owner = CurTransactionResourceOwner;
	batch->busy = false;
	batch->nopen = 0;
	innermost = batch;
	return batch;
}

static CaptureTable *
find_open(Batch *batch, Oid relid)
{
	int			i;

	if (batch->nopen > 0 && batch->open[batch->last]->relid == relid)
		return batch->open[batch->last];
	for (i = 0; i < batch->nopen; i++)
		if (batch->open[i]->relid == relid)
		{
			batch->last = i;
			return batch->open[i];
		}
	return NULL;
}

/* What is opened from now on is the batch's, and it is not to be closed. */
static void
batch_use(Batch *batch)
{
	Assert(!batch->busy && batch->subid == GetCurrentSubTransactionId());

	batch->user = CurrentResourceOwner;
	CurrentResourceOwner = batch->owner;
	batch->busy = true;
}

static void
close_table(CaptureTable *table)
{
	if (table->tracking)
		tracking_close(table->tracking);
	if (table->history)
		history_writer_close(table->history);
	table->tracking = NULL;
	table->history = NULL;
}

/* What waits in outer subtransactions is stored for this one to see. */
static void
batch_flush_outer(void)
{
	Batch	   *batch;

	for (batch = innermost; batch; batch = batch->outer)
	{
		int			i;

		if (batch->busy || batch->flushed_by != InvalidSubTransactionId ||
			batch->subid == GetCurrentSubTransactionId())
			continue;
		/* also where it fails: see at_subtransaction_end */
		Assert(batch->subid < GetCurrentSubTransactionId());
		batch->flushed_by = GetCurrentSubTransactionId();
		for (i = 0; i < batch->nopen; i++)
		{
			CaptureTable *table = batch->open[i];
			SecurityState rights;

			security_act_as(table->capture->owner, ACT_FOR_WRITER, &rights);
			if (table->tracking && tracking_target(table->tracking))
				relation_writer_flush_into_subxact(tracking_target(table->tracking), batch->owner);
			if (table->history)
				relation_writer_flush_into_subxact(history_writer_target(table->history), batch->owner);
			security_act_as_before(&rights);
		}
	}
}

/* The subtransaction that stored what waited has ended well. */
static void
batch_forget_flushed(Batch *batch)
{
	int			i;

	for (i = 0; i < batch->nopen; i++)
	{
		CaptureTable *table = batch->open[i];

		if (table->tracking && tracking_target(table->tracking))
			relation_writer_forget(tracking_target(table->tracking));
		if (table->history)
			relation_writer_forget(history_writer_target(table->history));
	}
	batch->flushed_by = InvalidSubTransactionId;
}

static void
at_executor_start(QueryDesc *query, int flags)
{
	if (innermost)
	{
		batch_end();
		batch_flush_outer();
	}
	if (log_noted)
		log_before_query(query);
	if (next_executor_start)
		next_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

static void
at_executor_end(QueryDesc *query)
{
	if (innermost)
		batch_end();
	if (next_executor_end)
		next_executor_end(query);
	else
		standard_ExecutorEnd(query);
}

static void
at_utility(PROCESS_UTILITY_ARGS_COMPAT)
{
	if (innermost && IsTransactionState())
		batch_let_go();
	if (log_noted && IsTransactionState())
		log_before_utility(pstmt->utilityStmt);
	if (next_process_utility)
		next_process_utility(PROCESS_UTILITY_PASS_COMPAT);
	else
		standard_ProcessUtility(PROCESS_UTILITY_PASS_COMPAT);
	/* COPY has no ExecutorEnd */
	if (innermost && IsTransactionState())
		batch_end();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		batch_end();
	else if (event == XACT_EVENT_ABORT)
		innermost = NULL;
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		Assert(innermost == NULL);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	Batch	   *batch;

	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		batch_end();
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		while (innermost && innermost->subid >= mine)
			innermost = innermost->outer;

	/* what was open in there has been closed, or is gone */
	Assert(event == SUBXACT_EVENT_START_SUB || innermost == NULL || innermost->subid < mine);

	for (batch = innermost; batch; batch = batch->outer)
	{
		Assert(batch->outer == NULL || batch->outer->subid <= batch->subid);
		if (batch->flushed_by != mine)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			batch->flushed_by = InvalidSubTransactionId;
		else if (event == SUBXACT_EVENT_COMMIT_SUB && parent == batch->subid)
			batch_forget_flushed(batch);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			batch->flushed_by = parent;
	}
}

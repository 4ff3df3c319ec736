/*
 * log_entry.c
 *		The entry that a transaction has in the log by itself: when it comes, and
 *		to what it gives way.
 *
 * The first row that is written to a tracked table notes what the settings say; the
 * entry counts as made then.  It is stored when somebody could see that it is not:
 * when a query comes that reads the log, or when the transaction ends.  So one that
 * the application makes by itself, before or after, is not in its way: at the end
 * the log is asked whether there is one.  If the entry has been stored already, as
 * somebody looked, and the application comes with its own, ours is deleted first.
 *
 * It is stored as of the command that it was noted in, so that who looks sees what
 * would be there had it been stored at once (as batch.c does).
 *
 * What a subtransaction has noted or stored goes with it.
 *
 * Queries are seen by ExecutorStart_hook and ProcessUtility_hook (batch.c), which are
 * in place as the library has been loaded when something is noted.  While nothing is,
 * they cost a look at log_noted.
 *
 * Locks: ROW EXCLUSIVE on the log, as an INSERT.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/execdesc.h"
#include "nodes/parsenodes.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "log/log.h"
#include "compat.h"

bool		log_noted = false;

static LogEntry entry;			/* what has been noted */
static SubTransactionId noted_in;
static bool stored = false;
static SubTransactionId stored_in;
static ItemPointerData stored_at;

static void log_entry_forget(void);
static void log_entry_settle(void);
static void give_way(void);
static AclMode uses_log(PlannedStmt *statement);
static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);

/* After batch_init and deferrable_init: it comes before these when a transaction ends. */
void
log_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/* A row of a tracked table is written, and an entry wanted; see log_note_write. */
void
log_note(void)
{
	MemoryContext before;

	log_settings_check();
	before = MemoryContextSwitchTo(TopTransactionContext);
	log_entry_make(&entry);
	MemoryContextSwitchTo(before);
	entry.cid = GetCurrentCommandId(true);
	noted_in = GetCurrentSubTransactionId();
	stored = false;
	log_noted = true;
}

static void
log_entry_forget(void)
{
	log_noted = false;
	stored = false;
	memset(&entry, 0, sizeof(entry));
}

/*
 * Before a query that may look at the log, or write to it.  Workers look when it is too
 * late to store anything.
 */
void
log_before_query(QueryDesc *query)
{
	AclMode		use;

	if (IsInParallelMode())
		return;
	use = uses_log(query->plannedstmt);
	if (use & ACL_INSERT)
		give_way();
	else if (use || query->plannedstmt->parallelModeNeeded)
		log_entry_settle();
}

/* Before a utility command that may do so: COPY has no query. */
void
log_before_utility(Node *statement)
{
	CopyStmt   *copy = (CopyStmt *) statement;

	if (!IsA(statement, CopyStmt) || copy->relation == NULL ||
		RangeVarGetRelid(copy->relation, NoLock, true) != log_table_relid())
		return;
	if (copy->is_from)
		give_way();
	else
		log_entry_settle();
}

/* What the statement may do with the log: 0 if it has nothing to do with it. */
static AclMode
uses_log(PlannedStmt *statement)
{
	Oid			relid = log_table_relid();
	AclMode		use = 0;
	ListCell   *lc;

	foreach(lc, statement->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_RELATION && rte->relid == relid)
			use |= rte_required_perms_compat(statement, rte) | ACL_SELECT;
	}
	return use;
}

/* See to it that the transaction has an entry. */
static void
log_entry_settle(void)
{
	bool		need_snapshot;

	if (stored)
		return;
	need_snapshot = !ActiveSnapshotSet();
	if (need_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	stored = log_table_complete(&entry, &stored_at);
	stored_in = GetCurrentSubTransactionId();
	if (need_snapshot)
		PopActiveSnapshot();
}

/* Somebody comes with another one. */
static void
give_way(void)
{
	if (!stored)
		return;
	if (entry.cid >= GetCurrentCommandId(true))
		CommandCounterIncrement();
	log_table_delete(&stored_at);
	stored = false;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		if (!log_noted)
			return;
		log_entry_settle();
		/* of a constraint of the site's on the log, which was left for the end */
		if (log_table_may_defer())
			AfterTriggerFireDeferred();
	}
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE ||
			 event == XACT_EVENT_ABORT)
	{
		log_entry_forget();
		log_settings_transaction_end();
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	if (!log_noted)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		if (noted_in == mine)
			noted_in = parent;
		if (stored && stored_in == mine)
			stored_in = parent;
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		if (stored && stored_in >= mine)
			stored = false;
		if (noted_in >= mine)
			log_entry_forget();
	}
}

/*
 * past_plan.c
 *		Planning and running queries of the past.
 *
 * planner_hook has the query changed (past_query.c) and marks the plan with its instant, in
 * a place where PostgreSQL keeps what a plan depends on and looks for what it knows
 * (PlannedStmt.invalItems).  A plan for another instant than the one in force does not run:
 * the plan cache is told when the instant changes (as_of.c), so that is a last resort, as for
 * the statements of an SQL function that PostgreSQL up to 17 plans all at once.
 *
 * A query runs in its instant to its end, a cursor as well, whatever is set meanwhile; what
 * is set is in force for the queries that begin after that.  While a query runs that writes, or
 * reads with others' rights or under policies, no other instant can be set: it would be in
 * force for what those call.
 *
 * The hooks of the planner and of ExecutorStart are set when an instant is, for the first time in
 * the session.  Until then a query that runs is noted, and nothing else.
 *
 * No locks.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "time_machine/time_machine.h"
#include "compat.h"

/* "caches" of which no object is ever invalidated: the halves of an instant */
#define MARK_HIGH	(-1001)
#define MARK_LOW	(-1002)

/* of a relation's entry in the query; a field that such entries do not use */
#define SEEN		"catmaid_history"

static planner_hook_type next_planner = NULL;
static ExecutorStart_hook_type next_start = NULL;
static ExecutorRun_hook_type next_run = NULL;
static ExecutorFinish_hook_type next_finish = NULL;

static void at_first(void);
static PlannedStmt *plan_as_of(Query *query, const char *sql, int options, ParamListInfo params);
static bool mark_entries(Node *node, void *context);
static void check_entries(PlannedStmt *statement, TimestampTz instant);
static void mark(PlannedStmt *statement, TimestampTz instant);
static bool marked(const PlannedStmt *statement, TimestampTz *instant);
static void at_start(QueryDesc *query, int flags);
static void check_instant(QueryDesc *query);
static void refuse_tracked(PlannedStmt *statement, TimestampTz instant);
static void check_reader(PlannedStmt *statement);
static Oid	owned_by(Oid relid);
static void at_run(EXECUTOR_RUN_ARGS_COMPAT);
static void at_finish(QueryDesc *query);
static void run_past(EXECUTOR_RUN_ARGS_COMPAT);
static void finish(QueryDesc *query);
static void finish_past(QueryDesc *query);
static int	begin_run(QueryDesc *query);
static bool may_change(void);
static bool is_delicate(PlannedStmt *statement);

void
past_plan_init(void)
{
	next_run = ExecutorRun_hook;
	ExecutorRun_hook = at_run;
	next_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = at_finish;
	as_of_may_change = may_change;
	as_of_at_first = at_first;
	if (as_of_was_ever_set())
		at_first();
}

/* An instant has been set, for the first time in the session. */
static void
at_first(void)
{
	next_planner = planner_hook;
	planner_hook = plan_as_of;
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = at_start;
	past_command_at_first();
}

static PlannedStmt *
plan_as_of(Query *query, const char *sql, int options, ParamListInfo params)
{
	TimestampTz instant = 0;
	bool		past = as_of_past(&instant);
	PastQuery	result = {0};
	PlannedStmt *statement;

	/* workers do not know that the present is in force here, or when the session read the text */
	if (past ? !as_of_is_fixed(instant) : as_of_is_set())
		options &= ~CURSOR_OPT_PARALLEL_OK;
	if (past)
	{
		past_query(query, instant, params, &result);
		(void) mark_entries((Node *) query, NULL);
	}
	statement = next_planner ? next_planner(query, sql, options, params) :
		standard_planner(query, sql, options, params);
	if (past)
	{
		check_entries(statement, instant);
		statement->invalItems = list_concat(statement->invalItems, result.inval_items);
		statement->dependsOnRole |= result.depends_on_role;
		mark(statement, instant);
	}
	return statement;
}

/* A walker that marks all relations of the query, which have been looked at: the mark goes into the plan. */
static bool
mark_entries(Node *node, void *context)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, mark_entries, context);
	foreach(lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION)
			rte->enrname = pstrdup(SEEN);
	}
	return query_tree_walker((Query *) node, mark_entries, context, 0);
}

/*
 * A last resort: error out if the planner has found a tracked table that was not in the query,
 * as it inlines a function when it has simplified its arguments.
 */
static void
check_entries(PlannedStmt *statement, TimestampTz instant)
{
	ListCell   *lc;

	foreach(lc, statement->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		RegistryRow *row;
		Oid			child;

		if (rte->rtekind != RTE_RELATION || (rte->enrname && strcmp(rte->enrname, SEEN) == 0))
			continue;
		if (past_kind(rte->relid, rte->inh, &row, &child) == PAST_PARENT || row)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot read table \"%s\" as of %s in an SQL function with such arguments",
							get_rel_name(rte->relid), as_of_shown(instant)),
					 errdetail("The function becomes part of the query when its arguments have been simplified, which is too late."),
					 errhint("Compute the arguments in a sub-query with OFFSET 0, or declare the function VOLATILE.")));
	}
}

static void
mark(PlannedStmt *statement, TimestampTz instant)
{
	PlanInvalItem *high = makeNode(PlanInvalItem);
	PlanInvalItem *low = makeNode(PlanInvalItem);

	high->cacheId = MARK_HIGH;
	high->hashValue = (uint32) ((uint64) instant >> 32);
	low->cacheId = MARK_LOW;
	low->hashValue = (uint32) instant;
	statement->invalItems = lcons(high, lcons(low, statement->invalItems));
}

/* Returns true for a plan for the past. */
static bool
marked(const PlannedStmt *statement, TimestampTz *instant)
{
	PlanInvalItem *high;
	PlanInvalItem *low;

	if (list_length(statement->invalItems) < 2)
		return false;
	high = linitial(statement->invalItems);
	low = lsecond(statement->invalItems);
	if (high->cacheId != MARK_HIGH || low->cacheId != MARK_LOW)
		return false;
	*instant = (TimestampTz) (((uint64) high->hashValue << 32) | low->hashValue);
	return true;
}

static void
at_start(QueryDesc *query, int flags)
{
	TimestampTz instant = 0;

	if (!IsParallelWorker())
		check_instant(query);
	/* what functions run in a worker nobody has looked at before */
	else if (as_of_was_ever_set() && as_of_past(&instant) && !past_is_granted())
		check_reader(query->plannedstmt);
	if (next_start)
		next_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* Error out unless it is a plan for what is in force, and the user may run it. */
static void
check_instant(QueryDesc *query)
{
	TimestampTz instant = 0;
	TimestampTz planned = 0;
	bool		past = as_of_past(&instant);
	bool		planned_past = marked(query->plannedstmt, &planned);

	if (planned_past && (!past || planned != instant))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the query was planned to read the past as of %s, which is not what is set now",
						as_of_shown(planned)),
				 errhint("Set the instant before the function or statement that has the query begins.")));
	if (past && !planned_past)
		refuse_tracked(query->plannedstmt, instant);
	if (past && !past_is_granted())
		check_reader(query->plannedstmt);
}

/* Error out if the plan, made for the present, reads or writes a tracked table. */
static void
refuse_tracked(PlannedStmt *statement, TimestampTz instant)
{
	ListCell   *lc;

	foreach(lc, statement->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		RegistryRow *row;
		Oid			child;

		if (rte->rtekind != RTE_RELATION)
			continue;
		if (past_kind(rte->relid, rte->inh, &row, &child) == PAST_PARENT || row)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a query on table \"%s\" was planned for the present, and the session reads the past, as of %s",
							get_rel_name(rte->relid), as_of_shown(instant)),
					 errhint("Set the instant before the function or statement that has the query begins.")));
	}
}

/* Error out if the current user, who has no privilege of reading the past, owns not all. */
static void
check_reader(PlannedStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		Oid			user;
		Oid			relid;

		if (rte->rtekind != RTE_RELATION || rte->relid < FirstNormalObjectId)
			continue;
		relid = owned_by(rte->relid);
		user = rte_check_as_user_compat(statement, rte);
		if (OidIsValid(relid) ? !relation_ownercheck_compat(relid, GetUserId()) :
			OidIsValid(user) && !has_privs_of_role(GetUserId(), user))
			past_refuse_reader(OidIsValid(relid) ? relid : rte->relid);
	}
}

/* The tracked table that the relation is, or is part of; or InvalidOid. */
static Oid
owned_by(Oid relid)
{
	Oid			live = registered_live(relid);
	RegistryRow *row;
	Oid			child;

	if (OidIsValid(live))
		return live;
	return past_kind(relid, false, &row, &child) == PAST_PARTITION ? row->live : InvalidOid;
}

static void
at_run(EXECUTOR_RUN_ARGS_COMPAT)
{
	int			run;

	if (as_of_was_ever_set())
	{
		run_past(EXECUTOR_RUN_PASS_COMPAT);
		return;
	}
	run = as_of_begin_run(queryDesc);
	if (next_run)
		next_run(EXECUTOR_RUN_PASS_COMPAT);
	else
		standard_ExecutorRun(EXECUTOR_RUN_PASS_COMPAT);
	as_of_end_run(run);
}

static void
run_past(EXECUTOR_RUN_ARGS_COMPAT)
{
	int			run = begin_run(queryDesc);

	PG_TRY();
	{
		if (next_run)
			next_run(EXECUTOR_RUN_PASS_COMPAT);
		else
			standard_ExecutorRun(EXECUTOR_RUN_PASS_COMPAT);
	}
	PG_CATCH();
	{
		as_of_end_run(run);
		PG_RE_THROW();
	}
	PG_END_TRY();
	as_of_end_run(run);
}

/* Triggers fire then. */
static void
at_finish(QueryDesc *query)
{
	if (query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE)
		finish(query);
	else if (as_of_was_ever_set())
		finish_past(query);
	else
	{
		int			run = as_of_begin_run(query);

		finish(query);
		as_of_end_run(run);
	}
}

static void
finish(QueryDesc *query)
{
	if (next_finish)
		next_finish(query);
	else
		standard_ExecutorFinish(query);
}

static void
finish_past(QueryDesc *query)
{
	int			run = begin_run(query);

	PG_TRY();
	{
		finish(query);
	}
	PG_CATCH();
	{
		as_of_end_run(run);
		PG_RE_THROW();
	}
	PG_END_TRY();
	as_of_end_run(run);
}

static int
begin_run(QueryDesc *query)
{
	TimestampTz instant = 0;
	bool		past = IsParallelWorker() ? as_of_past(&instant) : marked(query->plannedstmt, &instant);
	int			run = as_of_begin_run(query);

	if (as_of_run_in(run, past, past ? instant : 0) && query->plannedstmt->parallelModeNeeded)
	{
		as_of_end_run(run);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a parallel query cannot go on after another instant has been set"),
				 errhint("Fetch all its rows first, or SET max_parallel_workers_per_gather = 0.")));
	}
	return run;
}

/*
 * For as_of.c: may another instant be set just now?  It would be in force for functions
 * that the queries call which are running: triggers, and what policies and views call.
 */
static bool
may_change(void)
{
	const AsOfRun *run;
	int			i;

	for (i = 0; (run = as_of_running(i)) != NULL; i++)
		if (is_delicate(((QueryDesc *) run->query)->plannedstmt))
		{
			GUC_check_errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
			GUC_check_errmsg("cannot set another instant while a query runs that writes, or reads with others' rights or under policies");
			GUC_check_errhint("Set it in a statement of its own.");
			return false;
		}
	return true;
}

static bool
is_delicate(PlannedStmt *statement)
{
	ListCell   *lc;

	if (statement->commandType != CMD_SELECT || statement->hasModifyingCTE)
		return true;
	foreach(lc, statement->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		Oid			user;

		if (rte->rtekind != RTE_RELATION || rte->relid < FirstNormalObjectId)
			continue;
		user = rte_check_as_user_compat(statement, rte);
		if ((OidIsValid(user) && user != GetUserId()) || row_security_is_enabled(rte->relid))
			return true;
	}
	return false;
}

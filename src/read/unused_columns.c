/*
 * unused_columns.c
 *		What a query does not ask a history view for is not planned.
 *
 * The period and the maker of a live row are sub-selects in the view's columns
 * (view_sql.c).  PostgreSQL drops columns that nobody uses, but plans the sub-selects in
 * them before: for a join of ten views twenty of them.  So, before the planner begins
 * (planner_hook), NULL is put in the place of each that is used nowhere in the query.
 *
 * What it reads stays in the query, as an entry that nothing refers to: it is locked, and
 * the right to read it is checked, as before.  (PostgreSQL keeps views themselves so.)
 *
 * A column counts as used if any expression names it, or one that names it is used; where
 * rows are compared, grouped, locked or written, all of them are.  In doubt it is used:
 * then it is planned, as it is where the library is loaded by this very query.
 *
 * Locks: none.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "read/read.h"
#include "compat.h"

/* of the columns that are used: all of them */
#define WHOLE_ROW	0

/* The columns of a query's relations that the query uses. */
typedef struct Use
{
	Query	   *query;
	int			up;				/* how far out the query is from where we are */
	Bitmapset **columns;		/* of each entry of the range table */
} Use;

static planner_hook_type next_planner = NULL;

static PlannedStmt *plan(Query *query, const char *sql, int options, ParamListInfo params);
static void prune_query(Query *query, const Bitmapset *used);
static bool prune_others(Node *node, void *context);
static bool has_subqueries(Query *query);
static bool drops_columns(Query *query);
static bool uses_column(const Bitmapset *used, int column);
static List *used_targets(Query *query, const Bitmapset *used);
static bool collect(Node *node, void *context);
static void collect_column(Use *use, Index rti, int column);
static bool is_union(Query *query);
static Query *arm(Query *query, Node *reference);
static void blank_columns(Query *query, const Bitmapset *used);
static bool keep_entries(Node *node, void *context);

void
unused_columns_init(void)
{
	next_planner = planner_hook;
	planner_hook = plan;
}

static PlannedStmt *
plan(Query *query, const char *sql, int options, ParamListInfo params)
{
	if (query->commandType != CMD_UTILITY)
		prune_query(query, NULL);
	return next_planner ? next_planner(query, sql, options, params) :
		standard_planner(query, sql, options, params);
}

/* used: the numbers of the columns that are used of the query's result; NULL: all. */
static void
prune_query(Query *query, const Bitmapset *used)
{
	Use			use = {query, 0, NULL};
	List	   *targets = query->targetList;
	Index		rti = 0;
	ListCell   *lc;

	if (!has_subqueries(query))
		return;
	check_stack_depth();
	if (query->cteList != NIL || query->hasSubLinks)
		(void) query_tree_walker(query, prune_others, NULL, QTW_IGNORE_RT_SUBQUERIES);

	if (query->commandType == CMD_SELECT && query->rowMarks == NIL && query->setOperations == NULL)
	{
		use.columns = palloc0(sizeof(Bitmapset *) * (list_length(query->rtable) + 1));
		query->targetList = used_targets(query, used);
		(void) query_tree_walker(query, collect, &use, QTW_IGNORE_JOINALIASES);
		query->targetList = targets;
	}
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		const Bitmapset *of_it = NULL;

		rti++;
		if (rte->rtekind != RTE_SUBQUERY || rte->subquery == NULL)
			continue;
		if (use.columns && !bms_is_member(WHOLE_ROW, use.columns[rti]))
			/* (not NULL, which would be all) */
			of_it = bms_add_member(use.columns[rti], list_length(rte->subquery->targetList) + 1);
		if (!is_union(rte->subquery))
			prune_query(rte->subquery, drops_columns(rte->subquery) ? of_it : NULL);
		else if (of_it)
			blank_columns(rte->subquery, of_it);
	}
}

/* A walker to the queries in expressions and WITH. */
static bool
prune_others(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		prune_query((Query *) node, NULL);
		return false;
	}
	return expression_tree_walker(node, prune_others, context);
}

/* Most queries have none, and end here. */
static bool
has_subqueries(Query *query)
{
	ListCell   *lc;

	if (query->cteList != NIL || query->hasSubLinks)
		return true;
	foreach(lc, query->rtable)
		if (lfirst_node(RangeTblEntry, lc)->rtekind == RTE_SUBQUERY)
			return true;
	return false;
}

/* Returns true if a column of the query's result that is not used changes nothing in it. */
static bool
drops_columns(Query *query)
{
	return query->commandType == CMD_SELECT && query->setOperations == NULL &&
		query->distinctClause == NIL && query->groupClause == NIL &&
		query->groupingSets == NIL && query->havingQual == NULL && !query->hasAggs &&
		!query->hasWindowFuncs && !query->hasTargetSRFs && query->rowMarks == NIL;
}

static bool
uses_column(const Bitmapset *used, int column)
{
	return used == NULL || bms_is_member(column, used);
}

/* What of the query's result is used, sorted by, or has effects. */
static List *
used_targets(Query *query, const Bitmapset *used)
{
	List	   *targets = NIL;
	ListCell   *lc;

	if (used == NULL)
		return query->targetList;
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->resjunk || target->ressortgroupref != 0 || uses_column(used, target->resno) ||
			contain_volatile_functions((Node *) target->expr))
			targets = lappend(targets, target);
	}
	return targets;
}

/* A walker that notes which columns are used of the relations of use->query. */
static bool
collect(Node *node, void *context)
{
	Use		   *use = context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varlevelsup == use->up)
			collect_column(use, var->varno, var->varattno);
		return false;
	}
	if (IsA(node, Query))
	{
		bool		result;

		use->up++;
		result = query_tree_walker((Query *) node, collect, context, 0);
		use->up--;
		return result;
	}
	return expression_tree_walker(node, collect, context);
}

/* Of a join the columns are those of what is joined. */
static void
collect_column(Use *use, Index rti, int column)
{
	RangeTblEntry *rte = rt_fetch(rti, use->query->rtable);
	int			up = use->up;

	if (rte->rtekind != RTE_JOIN)
	{
		use->columns[rti] = bms_add_member(use->columns[rti], Max(column, WHOLE_ROW));
		return;
	}
	use->up = 0;
	if (column > 0)
		(void) collect(list_nth(rte->joinaliasvars, column - 1), use);
	else
		(void) collect((Node *) rte->joinaliasvars, use);
	use->up = up;
}

/* Returns true for the union in a history view, if there is something to leave out. */
static bool
is_union(Query *query)
{
	SetOperationStmt *operation = (SetOperationStmt *) query->setOperations;
	Query	   *live;
	Query	   *history;
	RangeTblEntry *rte;

	if (operation == NULL || !IsA(operation, SetOperationStmt) ||
		operation->op != SETOP_UNION || !operation->all || query->sortClause != NIL ||
		query->distinctClause != NIL || query->rowMarks != NIL || query->cteList != NIL)
		return false;
	live = arm(query, operation->larg);
	history = arm(query, operation->rarg);
	if (live == NULL || history == NULL || !live->hasSubLinks || live->hasTargetSRFs ||
		list_length(history->jointree->fromlist) != 1 ||
		!IsA(linitial(history->jointree->fromlist), RangeTblRef))
		return false;
	rte = rt_fetch(((RangeTblRef *) linitial(history->jointree->fromlist))->rtindex,
				   history->rtable);
	return rte->rtekind == RTE_RELATION && estimate_is_history(rte->relid);
}

static Query *
arm(Query *query, Node *reference)
{
	RangeTblEntry *rte = IsA(reference, RangeTblRef) ?
		rt_fetch(((RangeTblRef *) reference)->rtindex, query->rtable) : NULL;

	return rte && rte->rtekind == RTE_SUBQUERY && drops_columns(rte->subquery) ?
		rte->subquery : NULL;
}

/* Put NULL in the place of the sub-selects of the live arm that are not used. */
static void
blank_columns(Query *query, const Bitmapset *used)
{
	Query	   *live = arm(query, ((SetOperationStmt *) query->setOperations)->larg);
	ListCell   *lc;

	foreach(lc, live->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		Node	   *expr = (Node *) target->expr;

		if (uses_column(used, target->resno) || target->resjunk || target->ressortgroupref != 0 ||
			!checkExprHasSubLink(expr) || contain_volatile_functions(expr))
			continue;
		(void) keep_entries(expr, live);
		target->expr = (Expr *) makeNullConst(exprType(expr), exprTypmod(expr), exprCollation(expr));
	}
	live->hasSubLinks = checkExprHasSubLink((Node *) live);
}

/* A walker that adds the relations of the queries in an expression to those of the query. */
static bool
keep_entries(Node *node, void *context)
{
	Query	   *to = context;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		/* (nothing is read of it) */
		rte->inh = false;
		rte->securityQuals = NIL;
		return false;
	}
	if (IsA(node, Query))
	{
		(void) query_tree_walker((Query *) node, keep_entries, context, QTW_EXAMINE_RTES_BEFORE);
		combine_range_tables_compat(to, (Query *) node);
		return false;
	}
	return expression_tree_walker(node, keep_entries, context);
}

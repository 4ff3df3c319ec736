/*
 * rows_scan.c
 *		history_changes() and history_diff() in FROM: their rows are not collected first.
 *
 * PostgreSQL's function scan collects all that a function returns, in memory and then on
 * disk, before the first row goes on.  So the functions get a path of ours in its place
 * (set_rel_pathlist_hook), which asks for a row when it needs one.  The library is there
 * when the hook is sought, since the functions name a support function in it, which
 * the planner calls before, to ask for the number of rows.
 *
 * Whatever reads rows twice says so to the planner, which puts a Material node above.
 * Where a row may have to be read again by itself (row locks, UPDATE and DELETE with a
 * join), and in ROWS FROM, the function scan stays.
 *
 * Locks: none of its own.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

#include "read/read.h"
#include "compat.h"

#define SCAN_NAME	"History Rows"

typedef struct RowsScan
{
	CustomScanState css;
	SetExprState *function;
	MemoryContext arguments;
	List	   *attnums;		/* what the scan's columns are; 0: the row */
	TupleDesc	desc;			/* of the function's result */
	Datum	   *values;
	bool	   *nulls;
	int64		ordinality;
	bool		done;
} RowsScan;

static set_rel_pathlist_hook_type next_pathlist = NULL;

static void rows_scan_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte);
static bool is_ours(Oid function);
static Plan *plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets,
					   List *clauses, List *children);
static List *rows_scan_variables(Node *node);
static Node *create_state(CustomScan *scan);
static void rows_scan_begin(CustomScanState *node, EState *estate, int flags);
static TupleTableSlot *rows_scan_execute(CustomScanState *node);
static TupleTableSlot *next_row(ScanState *node);
static void rows_scan_deform(RowsScan *scan, HeapTupleHeader row);
static bool rows_scan_recheck(ScanState *node, TupleTableSlot *slot);
static void rows_scan_rescan(CustomScanState *node);
static void rows_scan_end(CustomScanState *node);
static void rows_scan_explain(CustomScanState *node, List *ancestors, ExplainState *es);

static const CustomPathMethods path_methods = {
	.CustomName = SCAN_NAME,
	.PlanCustomPath = plan_path,
};
static const CustomScanMethods scan_methods = {
	.CustomName = SCAN_NAME,
	.CreateCustomScanState = create_state,
};
static const CustomExecMethods exec_methods = {
	.CustomName = SCAN_NAME,
	.BeginCustomScan = rows_scan_begin,
	.ExecCustomScan = rows_scan_execute,
	.EndCustomScan = rows_scan_end,
	.ReScanCustomScan = rows_scan_rescan,
	.ExplainCustomScan = rows_scan_explain,
};

PG_FUNCTION_INFO_V1(catmaid_history_rows_support);

/* The planner's questions about the functions: it is left to itself, and the library loaded. */
Datum
catmaid_history_rows_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(NULL);
}

void
rows_scan_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
	next_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = rows_scan_pathlist;
}

/* For a call of one of our functions the path, in place of the function scan. */
static void
rows_scan_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	RangeTblFunction *function;
	CustomPath *path;
	Path	   *scan;

	if (next_pathlist)
		next_pathlist(root, rel, rti, rte);
	if (rte->rtekind != RTE_FUNCTION || rel->reloptkind != RELOPT_BASEREL ||
		list_length(rte->functions) != 1 || list_length(rel->pathlist) != 1 ||
		root->parse->rowMarks != NIL ||
		(root->parse->commandType != CMD_SELECT && root->parse->commandType != CMD_INSERT))
		return;
	function = linitial(rte->functions);
	scan = linitial(rel->pathlist);
	if (!IsA(function->funcexpr, FuncExpr) || function->funccolnames != NIL ||
		scan->pathtype != T_FunctionScan || !is_ours(((FuncExpr *) function->funcexpr)->funcid))
		return;

	path = makeNode(CustomPath);
	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.param_info = scan->param_info;
	path->path.rows = scan->rows;
	path->path.startup_cost = scan->startup_cost;
	path->path.total_cost = scan->total_cost;
	path->path.pathkeys = scan->pathkeys;
	path->flags = CUSTOM_PATH_PROJECTION_COMPAT;
	path->custom_private = list_make1(function->funcexpr);
	path->methods = &path_methods;
	rel->pathlist = NIL;
	add_path(rel, &path->path);
}

/*
 * Returns true if the function has our support function. (Only superusers give functions
 * one.)
 */
static bool
is_ours(Oid function)
{
	Oid			support = get_func_support(function);
	char	   *name = OidIsValid(support) ? get_func_name(support) : NULL;

	return name && strcmp(name, "rows_support") == 0 &&
		get_func_namespace(support) == get_namespace_oid(INTERNAL_SCHEMA, true);
}

static Plan *
plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets,
		  List *clauses, List *children)
{
	CustomScan *scan = makeNode(CustomScan);
	List	   *quals = extract_actual_clauses(clauses, false);
	List	   *columns = NIL;
	List	   *attnums = NIL;
	ListCell   *lc;

	/* (targets may be missing, where others will be put in) */
	foreach(lc, list_concat(rows_scan_variables((Node *) rel->reltarget->exprs), rows_scan_variables((Node *) quals)))
	{
		Var		   *var = lfirst(lc);

		if (var->varno == rel->relid && !list_member_int(attnums, var->varattno))
		{
			columns = add_to_flat_tlist(columns, list_make1(var));
			attnums = lappend_int(attnums, var->varattno);
		}
	}
	scan->scan.plan.targetlist = targets;
	scan->scan.plan.qual = quals;
	scan->scan.scanrelid = 0;
	scan->flags = path->flags;
	scan->custom_scan_tlist = columns;
	scan->custom_exprs = path->custom_private;
	scan->custom_private = list_make1(attnums);
	scan->methods = &scan_methods;
	return &scan->scan.plan;
}

static List *
rows_scan_variables(Node *node)
{
	return pull_var_clause(node, PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS |
						   PVC_RECURSE_PLACEHOLDERS);
}

static Node *
create_state(CustomScan *plan)
{
	RowsScan   *scan = (RowsScan *) newNode(sizeof(RowsScan), T_CustomScanState);

	scan->css.methods = &exec_methods;
	return (Node *) scan;
}

static void
rows_scan_begin(CustomScanState *node, EState *estate, int flags)
{
	RowsScan   *scan = (RowsScan *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;

	scan->attnums = linitial(plan->custom_private);
	scan->function = ExecInitFunctionResultSet(linitial(plan->custom_exprs),
											   node->ss.ps.ps_ExprContext, &node->ss.ps);
	scan->arguments = AllocSetContextCreate(CurrentMemoryContext, "catmaid_history arguments",
											ALLOCSET_SMALL_SIZES);
}

static TupleTableSlot *
rows_scan_execute(CustomScanState *node)
{
	return ExecScan(&node->ss, next_row, rows_scan_recheck);
}

static TupleTableSlot *
next_row(ScanState *node)
{
	RowsScan   *scan = (RowsScan *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;
	ExprContext *econtext = node->ps.ps_ExprContext;
	MemoryContext before;
	HeapTupleHeader row;
	ExprDoneCond done;
	Datum		value;
	bool		isnull;
	ListCell   *lc;
	int			i = 0;

	ExecClearTuple(slot);
	if (scan->done)
		return slot;
	before = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	value = ExecMakeFunctionResultSet(scan->function, econtext, scan->arguments, &isnull, &done);
	scan->done = done == ExprEndResult;
	if (!scan->done && !isnull)
	{
		row = DatumGetHeapTupleHeader(value);
		rows_scan_deform(scan, row);
		scan->ordinality++;
		foreach(lc, scan->attnums)
		{
			int			attnum = lfirst_int(lc);

			if (attnum == 0)
				slot->tts_values[i] = HeapTupleHeaderGetDatum(row);
			else if (attnum <= scan->desc->natts)
				slot->tts_values[i] = scan->values[attnum - 1];
			else
				slot->tts_values[i] = Int64GetDatum(scan->ordinality);
			slot->tts_isnull[i++] = attnum > 0 && attnum <= scan->desc->natts &&
				scan->nulls[attnum - 1];
		}
		ExecStoreVirtualTuple(slot);
	}
	MemoryContextSwitchTo(before);
	return slot;
}

/* The columns of a row that the function has returned. */
static void
rows_scan_deform(RowsScan *scan, HeapTupleHeader row)
{
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row),.t_data = row};

	if (scan->desc == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(scan->css.ss.ps.state->es_query_cxt);

		scan->desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(row),
												 HeapTupleHeaderGetTypMod(row));
		scan->values = palloc(sizeof(Datum) * scan->desc->natts);
		scan->nulls = palloc(sizeof(bool) * scan->desc->natts);
		MemoryContextSwitchTo(before);
	}
	ItemPointerSetInvalid(&tuple.t_self);
	heap_deform_tuple(&tuple, scan->desc, scan->values, scan->nulls);
}

static bool
rows_scan_recheck(ScanState *node, TupleTableSlot *slot)
{
	return true;
}

/* (The expression context has been reset before: so the function's query has ended.) */
static void
rows_scan_rescan(CustomScanState *node)
{
	RowsScan   *scan = (RowsScan *) node;

	MemoryContextReset(scan->arguments);
	scan->done = false;
	scan->ordinality = 0;
	ExecScanReScan(&node->ss);
}

static void
rows_scan_end(CustomScanState *node)
{
}

static void
rows_scan_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	FuncExpr   *function = linitial(plan->custom_exprs);

	ExplainPropertyText("Function", get_func_name(function->funcid), es);
	if (es->verbose)
		ExplainPropertyText("Function Call",
							deparse_expression((Node *) function,
											   set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan, ancestors),
											   list_length(es->rtable) > 1, false), es);
}

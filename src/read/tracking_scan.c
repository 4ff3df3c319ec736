/*
 * tracking_scan.c
 *		How history views read a tracking table: look-ups that come in order are one scan.
 *
 * The period and the maker of a live row are scalar sub-selects in the view
 * (view_sql.c), so that the view joins like a table.  For a whole table PostgreSQL would
 * execute them row by row as look-ups in an index.  But tracking rows lie in the
 * tracking table much as live rows lie in the live one: they are written together.
 *
 * So the sub-select gets a path of ours (set_rel_pathlist_hook), which looks its key up
 * in the index, too; but when several look-ups have found the same page, or the one
 * behind it, the page's rows are kept in a window, where the next keys are sought first.
 * There are several windows, since rows that were updated may have gone to the table's
 * end.  Where too many keys are found in none of them, the whole table is read into a
 * hash, if that fits into what memory a hash may have.
 *
 * What is kept is what the query's snapshot shows, for the time of one execution.  Under
 * SERIALIZABLE nothing is, as reading a row by its key is what has to be noted there.
 *
 * A parent in a hierarchy has its children's tracking tables below its own, and each is
 * looked into; the view says which of them has the row, and the others' scans end by that.
 *
 * A table with row-level security is left to PostgreSQL, one of another access
 * method than heap as well.  Privileges are checked as for any table of the query.
 *
 * Locks: none but those of the query, and ACCESS SHARE on the index.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/explain.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "read/read.h"
#include "compat.h"

#define SCAN_NAME	"Tracking Lookup"

/*
 * What a look-up costs: between one in a window and one in the index.  (With less a
 * merge join of whole tables is taken for one by a thousand keys.)
 */
#define COST_OF_LOOKUP	0.25

#define NWINDOWS	16
#define NVALUES		2			/* edition time and transaction */
#define NRECENT		8

/* a look-up that misses all windows costs some twenty times what a row read costs */
#define MISSES_PER_ROW	20
#define FEWEST_MISSES	1000

/* The rows of one page that the snapshot shows. */
typedef struct Window
{
	BlockNumber block;
	int			n;
	int			next;			/* where the next key is expected */
	int64		least;			/* of plain keys */
	int64		greatest;
	Datum	   *keys;			/* n * nkeys */
	Datum	   *values;			/* n * NVALUES */
	MemoryContext context;		/* of keys that are no plain values, or NULL */
} Window;

/* What is known of a tracking table in one execution: all its scans in that share it. */
typedef struct Store
{
	EState	   *estate;
	Oid			index;
	Relation	rel;
	int			users;
	int			nkeys;
	AttrNumber *attnums;		/* of the key */
	AttrNumber	value_attnums[NVALUES];
	ScanKey		scankeys;
	bool		integer_key;	/* one key, an integer: compared as such */
	Lookup	   *lookup;
	bool		keeps;			/* windows may be used */
	Window	   *windows;
	int			nwindows;
	int			current;
	int			oldest;
	BlockNumber recent[NRECENT];
	int			nrecent;		/* the next to be replaced */
	double		misses;
	double		allowed;		/* misses until the table is read; negative: never */
	int64		nslots;			/* of the hash; 0: there is none */
	int64		nhashed;
	Datum	   *hash_keys;		/* nslots * nkeys */
	Datum	   *hash_values;	/* nslots * NVALUES */
	bool	   *hash_used;
	FmgrInfo   *hash_functions;
	MemoryContext hash_context;
} Store;

typedef struct TrackingScan
{
	CustomScanState css;
	List	   *arguments;		/* ExprState: the key, and maybe which table has the row */
	int			nkeys;
	int			value;			/* which of the values is asked for */
	bool		done;
	Store	   *store;			/* NULL: not yet opened */
} TrackingScan;

/* those of executions that are going on */
static List *stores = NIL;

static set_rel_pathlist_hook_type next_pathlist = NULL;

static void tracking_scan_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte);
static AttrNumber value_asked_for(RelOptInfo *rel, Oid relid);
static bool tracking_scan_is_heap(Oid relid, AttrNumber edition, AttrNumber txid);
static CustomPath *path_by_index(PlannerInfo *root, RelOptInfo *rel, IndexOptInfo *index,
								 AttrNumber value);
static Expr *table_asked_for(RelOptInfo *rel);
static bool match_column(RelOptInfo *rel, IndexOptInfo *index, int column,
						 Expr **argument, Oid *operator, Oid *collation);
static bool may_be_parallel(PlannerInfo *root, List *arguments);
static Node *without_given_params(Node *node, void *context);
static Plan *plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets,
					   List *clauses, List *children);
static Node *create_state(CustomScan *scan);
static void tracking_scan_begin(CustomScanState *node, EState *estate, int flags);
static void open_store(TrackingScan *scan);
static Store *store_of(EState *estate, Relation rel, List *numbers, Oid index);
static bool has_operators(Store *store, List *numbers);
static void forget_store(void *store);
static TupleTableSlot *tracking_scan_execute(CustomScanState *node);
static TupleTableSlot *next_row(ScanState *node);
static bool is_in_table(TrackingScan *scan);
static bool tracking_scan_recheck(ScanState *node, TupleTableSlot *slot);
static void tracking_scan_rescan(CustomScanState *node);
static void tracking_scan_end(CustomScanState *node);
static void tracking_scan_explain(CustomScanState *node, List *ancestors, ExplainState *es);
static bool tracking_scan_find(Store *store, const Datum *key, Datum *values);
static bool same_key(Store *store, const Datum *a, const Datum *b);
static int64 integer_key(Store *store, Datum key);
static bool find_in_windows(Store *store, const Datum *key, Datum *values);
static bool find_in_window(Store *store, Window *window, const Datum *key, Datum *values);
static bool find_by_index(Store *store, const Datum *key, Datum *values, BlockNumber *block);
static bool note_block(Store *store, BlockNumber block);
static void load_window(Store *store, BlockNumber block, const Datum *key);
static bool read_row(Store *store, HeapTuple tuple, Datum *key, Datum *values);
static void load_hash(Store *store);
static int64 hash_slot(Store *store, const Datum *key);

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
	.BeginCustomScan = tracking_scan_begin,
	.ExecCustomScan = tracking_scan_execute,
	.EndCustomScan = tracking_scan_end,
	.ReScanCustomScan = tracking_scan_rescan,
	.ExplainCustomScan = tracking_scan_explain,
};

void
tracking_scan_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
	next_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = tracking_scan_pathlist;
}

/* A path for a tracking table that is read by its whole key, in a sub-select. */
static void
tracking_scan_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	AttrNumber	value;
	ListCell   *lc;

	if (next_pathlist)
		next_pathlist(root, rel, rti, rte);
	/* (values of eight bytes are kept by value) */
	if (!FLOAT8PASSBYVAL || root->parent_root == NULL || !IS_SIMPLE_REL(rel) ||
		rte->rtekind != RTE_RELATION || rte->relkind != RELKIND_RELATION || rte->inh ||
		rte->tablesample || rte->securityQuals != NIL || root->qual_security_level > 0 ||
		!bms_equal(rel->top_parent_relids ? rel->top_parent_relids : rel->relids,
				   root->all_baserels) || root->parse->rowMarks != NIL ||
		rel->joininfo != NIL || (value = value_asked_for(rel, rte->relid)) == 0)
		return;
	foreach(lc, rel->indexlist)
	{
		CustomPath *path = path_by_index(root, rel, lfirst(lc), value);

		if (path)
		{
			add_path(rel, &path->path);
			return;
		}
	}
}

/*
 * The column, if it is a tracking table and one of its own two columns is asked for; or 0.
 * (Applications' tables have columns of such names, too.)
 */
static AttrNumber
value_asked_for(RelOptInfo *rel, Oid relid)
{
	Var		   *var = list_length(rel->reltarget->exprs) == 1 ?
		linitial(rel->reltarget->exprs) : NULL;
	AttrNumber	edition;
	AttrNumber	txid;

	if (var == NULL || !IsA(var, Var) || var->varno != rel->relid || var->varattno <= 0)
		return 0;
	edition = get_attnum(relid, EDITION_COLUMN);
	txid = get_attnum(relid, TRACKING_XID_COLUMN);
	if ((var->varattno != edition && var->varattno != txid) || !derived_serves_tracking(relid))
		return 0;
	return tracking_scan_is_heap(relid, edition, txid) ? var->varattno : 0;
}

/*
 * Returns true for a table as we make them: with values in both columns, permanent, in a
 * heap.
 */
static bool
tracking_scan_is_heap(Oid relid, AttrNumber edition, AttrNumber txid)
{
	Relation	rel = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		is = rel->rd_tableam == GetHeapamTableAmRoutine() &&
		!RelationUsesLocalBuffers(rel) && TupleDescAttr(desc, edition - 1)->attnotnull &&
		TupleDescAttr(desc, txid - 1)->attnotnull;

	table_close(rel, NoLock);
	return is;
}

/*
 * The path by this index, if it is a unique one on just the columns that are given.  In a
 * hierarchy there may be, besides, which table the row is in: one of them has it.
 */
static CustomPath *
path_by_index(PlannerInfo *root, RelOptInfo *rel, IndexOptInfo *index, AttrNumber value)
{
	CustomPath *path;
	Expr	   *table = table_asked_for(rel);
	List	   *arguments = NIL;
	List	   *numbers = NIL;
	int			i;

	if (index->relam != BTREE_AM_OID || !index->unique || !index->immediate ||
		index->hypothetical || index->indpred != NIL || index->indexprs != NIL ||
		index->nkeycolumns != index->ncolumns ||
		list_length(rel->baserestrictinfo) != index->nkeycolumns + (table ? 1 : 0))
		return NULL;
	for (i = 0; i < index->nkeycolumns; i++)
	{
		Expr	   *argument;
		Oid			operator;
		Oid			collation;

		if (!match_column(rel, index, i, &argument, &operator, &collation))
			return NULL;
		arguments = lappend(arguments, argument);
		numbers = lappend_oid(lappend_oid(lappend_oid(numbers, index->indexkeys[i]),
										  operator), collation);
	}
	if (table)
		arguments = lappend(arguments, table);

	path = makeNode(CustomPath);
	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.rows = 1;
	path->path.total_cost = COST_OF_LOOKUP;
	path->path.parallel_safe = may_be_parallel(root, arguments);
	path->flags = CUSTOM_PATH_PROJECTION_COMPAT;
	path->custom_private = list_make3(arguments, numbers,
									  list_make2_oid(index->indexoid, value));
	path->methods = &path_methods;
	return path;
}

/* "argument" of "tableoid = argument", if that is asked for; or NULL. */
static Expr *
table_asked_for(RelOptInfo *rel)
{
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
	{
		OpExpr	   *op = (OpExpr *) lfirst_node(RestrictInfo, lc)->clause;
		Var		   *var;

		if (!is_opclause(op) || get_opcode(op->opno) != F_OIDEQ)
			continue;
		var = linitial(op->args);
		if (IsA(var, Var) && var->varno == rel->relid &&
			var->varattno == TableOidAttributeNumber &&
			!contain_var_clause(lsecond(op->args)) && !contain_volatile_functions(lsecond(op->args)))
			return lsecond(op->args);
	}
	return NULL;
}

/* "column = argument", with the column on the left. */
static bool
match_column(RelOptInfo *rel, IndexOptInfo *index, int column, Expr **argument,
			 Oid *operator, Oid *collation)
{
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
	{
		OpExpr	   *op = (OpExpr *) lfirst_node(RestrictInfo, lc)->clause;
		int			side;

		if (!is_opclause(op) || list_length(op->args) != 2)
			return false;
		for (side = 0; side < 2; side++)
		{
			Node	   *var = list_nth(op->args, side);
			Node	   *other = list_nth(op->args, 1 - side);
			Oid			by = side == 0 ? op->opno : get_commutator(op->opno);

			while (IsA(var, RelabelType))
				var = (Node *) ((RelabelType *) var)->arg;
			if (!IsA(var, Var) || ((Var *) var)->varno != rel->relid ||
				((Var *) var)->varattno != index->indexkeys[column] ||
				contain_var_clause(other) || contain_volatile_functions(other) ||
				!OidIsValid(by) ||
				get_op_opfamily_strategy(by, index->opfamily[column]) != BTEqualStrategyNumber ||
				(OidIsValid(index->indexcollations[column]) &&
				 index->indexcollations[column] != op->inputcollid))
				continue;
			*argument = (Expr *) other;
			*operator = by;
			*collation = op->inputcollid;
			return true;
		}
	}
	return false;
}

/*
 * Returns true if a worker may look these keys up.  PostgreSQL says no of all sub-selects
 * with parameters, but those that the query around it gives are known where that is
 * executed.  What comes from further out a worker is not told.
 */
static bool
may_be_parallel(PlannerInfo *root, List *arguments)
{
	return is_parallel_safe(root, without_given_params((Node *) arguments, root->parent_root));
}

static Node *
without_given_params(Node *node, void *context)
{
	PlannerInfo *parent = context;
	ListCell   *lc;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		foreach(lc, parent->plan_params)
			if (((PlannerParamItem *) lfirst(lc))->paramId == ((Param *) node)->paramid)
				return (Node *) makeNullConst(exprType(node), exprTypmod(node), exprCollation(node));
	return expression_tree_mutator(node, without_given_params, context);
}

static Plan *
plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets,
		  List *clauses, List *children)
{
	CustomScan *scan = makeNode(CustomScan);

	scan->scan.plan.targetlist = targets;
	scan->scan.scanrelid = rel->relid;
	scan->flags = path->flags;
	scan->custom_exprs = linitial(path->custom_private);
	scan->custom_private = list_make2(lsecond(path->custom_private), lthird(path->custom_private));
	scan->methods = &scan_methods;
	return &scan->scan.plan;
}

static Node *
create_state(CustomScan *plan)
{
	TrackingScan *scan = (TrackingScan *) newNode(sizeof(TrackingScan), T_CustomScanState);

	scan->css.methods = &exec_methods;
	return (Node *) scan;
}

static void
tracking_scan_begin(CustomScanState *node, EState *estate, int flags)
{
	TrackingScan *scan = (TrackingScan *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;

	scan->arguments = ExecInitExprList(plan->custom_exprs, &node->ss.ps);
	scan->nkeys = list_length(linitial(plan->custom_private)) / 3;
}

/* (Many scans of a plan are never executed: their rows are in other tables.) */
static void
open_store(TrackingScan *scan)
{
	CustomScan *plan = (CustomScan *) scan->css.ss.ps.plan;

	scan->store = store_of(scan->css.ss.ps.state, scan->css.ss.ss_currentRelation,
						   linitial(plan->custom_private),
						   linitial_oid(lsecond(plan->custom_private)));
	scan->store->users++;
	scan->value = scan->store->value_attnums[0] ==
		(AttrNumber) lsecond_oid(lsecond(plan->custom_private)) ? 0 : 1;
}

/*
 * What the execution knows of the table.  numbers: see path_by_index.  (Scans of one query
 * on one index have the same keys, but maybe other types to compare with.)
 */
static Store *
store_of(EState *estate, Relation rel, List *numbers, Oid index)
{
	MemoryContext before;
	MemoryContextCallback *forget;
	Store	   *store;
	ListCell   *lc;
	int			i;

	foreach(lc, stores)
	{
		store = lfirst(lc);
		if (store->estate == estate && store->index == index && store->users > 0 &&
			store->nkeys * 3 == list_length(numbers) && has_operators(store, numbers))
			return store;
	}

	before = MemoryContextSwitchTo(estate->es_query_cxt);
	store = palloc0(sizeof(Store));
	store->estate = estate;
	store->index = index;
	store->rel = rel;
	store->nkeys = list_length(numbers) / 3;
	store->attnums = palloc(sizeof(AttrNumber) * store->nkeys);
	store->scankeys = palloc0(sizeof(ScanKeyData) * store->nkeys);
	store->value_attnums[0] = get_attnum(RelationGetRelid(rel), EDITION_COLUMN);
	store->value_attnums[1] = get_attnum(RelationGetRelid(rel), TRACKING_XID_COLUMN);
	for (i = 0; i < store->nkeys; i++)
	{
		Oid			operator = list_nth_oid(numbers, 3 * i + 1);
		Oid			left;
		Oid			right;

		op_input_types(operator, &left, &right);
		store->attnums[i] = (AttrNumber) list_nth_oid(numbers, 3 * i);
		ScanKeyEntryInitialize(&store->scankeys[i], 0, store->attnums[i], BTEqualStrategyNumber,
							   left == right ? InvalidOid : right,
							   list_nth_oid(numbers, 3 * i + 2), get_opcode(operator), (Datum) 0);
		store->integer_key = store->nkeys == 1 &&
			(store->scankeys[i].sk_func.fn_oid == F_INT4EQ ||
			 store->scankeys[i].sk_func.fn_oid == F_INT8EQ);
	}
	for (i = 0; i < NRECENT; i++)
		store->recent[i] = InvalidBlockNumber - 1;
	store->keeps = IsMVCCSnapshot(estate->es_snapshot) && !IsolationIsSerializable();
	store->allowed = IsInParallelMode() ? -1 :
		Max(rel->rd_rel->reltuples / MISSES_PER_ROW, FEWEST_MISSES);
	store->lookup = lookup_open(rel, index, store->scankeys, store->nkeys);

	forget = palloc(sizeof(MemoryContextCallback));
	forget->func = forget_store;
	forget->arg = store;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, forget);
	MemoryContextSwitchTo(TopMemoryContext);
	stores = lappend(stores, store);
	MemoryContextSwitchTo(before);
	return store;
}

static bool
has_operators(Store *store, List *numbers)
{
	int			i;

	for (i = 0; i < store->nkeys; i++)
		if (store->attnums[i] != (AttrNumber) list_nth_oid(numbers, 3 * i) ||
			store->scankeys[i].sk_func.fn_oid != get_opcode(list_nth_oid(numbers, 3 * i + 1)) ||
			store->scankeys[i].sk_collation != list_nth_oid(numbers, 3 * i + 2))
			return false;
	return true;
}

/* The execution has ended, maybe by an error. */
static void
forget_store(void *store)
{
	stores = list_delete_ptr(stores, store);
}

static TupleTableSlot *
tracking_scan_execute(CustomScanState *node)
{
	return ExecScan(&node->ss, next_row, tracking_scan_recheck);
}

/* The row, once. */
static TupleTableSlot *
next_row(ScanState *node)
{
	TrackingScan *scan = (TrackingScan *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;
	Datum		key[INDEX_MAX_KEYS];
	Datum		values[NVALUES];
	AttrNumber	attnum;
	int			i;

	ExecClearTuple(slot);
	if (scan->done)
		return slot;
	scan->done = true;
	if (list_length(scan->arguments) > scan->nkeys && !is_in_table(scan))
		return slot;
	for (i = 0; i < scan->nkeys; i++)
	{
		bool		isnull;

		key[i] = ExecEvalExprSwitchContext(list_nth(scan->arguments, i), node->ps.ps_ExprContext,
										   &isnull);
		if (isnull)
			return slot;
	}
	if (scan->store == NULL)
		open_store(scan);
	if (!tracking_scan_find(scan->store, key, values))
		return slot;
	attnum = scan->store->value_attnums[scan->value];
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	slot->tts_values[attnum - 1] = values[scan->value];
	slot->tts_isnull[attnum - 1] = false;
	return ExecStoreVirtualTuple(slot);
}

/* Returns true if the row is in this table, by the last of the arguments. */
static bool
is_in_table(TrackingScan *scan)
{
	bool		isnull;
	Datum		table = ExecEvalExprSwitchContext(llast(scan->arguments),
												  scan->css.ss.ps.ps_ExprContext, &isnull);

	return !isnull && DatumGetObjectId(table) == RelationGetRelid(scan->css.ss.ss_currentRelation);
}

static bool
tracking_scan_recheck(ScanState *node, TupleTableSlot *slot)
{
	return true;
}

static void
tracking_scan_rescan(CustomScanState *node)
{
	((TrackingScan *) node)->done = false;
	ExecScanReScan(&node->ss);
}

static void
tracking_scan_end(CustomScanState *node)
{
	TrackingScan *scan = (TrackingScan *) node;

	if (scan->store && --scan->store->users == 0)
		lookup_close(scan->store->lookup);
	scan->store = NULL;
}

static void
tracking_scan_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;

	ExplainPropertyText("Index", get_rel_name(linitial_oid(lsecond(plan->custom_private))), es);
}

/* The values of the key's row.  Returns false if there is none. */
static bool
tracking_scan_find(Store *store, const Datum *key, Datum *values)
{
	BlockNumber block;

	if (!store->keeps)
		return find_by_index(store, key, values, &block);
	if (store->nslots > 0)
	{
		int64		slot = hash_slot(store, key);

		if (store->hash_used[slot])
			memcpy(values, &store->hash_values[slot * NVALUES], sizeof(Datum) * NVALUES);
		return store->hash_used[slot];
	}
	if (find_in_windows(store, key, values))
		return true;
	if (store->allowed >= 0 && store->misses++ >= store->allowed)
	{
		store->allowed = -1;
		load_hash(store);
		if (store->nslots > 0)
			return tracking_scan_find(store, key, values);
	}
	if (!find_by_index(store, key, values, &block))
		return false;
	if (note_block(store, block))
		load_window(store, block, key);
	return true;
}

/* a: of a row; b: what is sought */
static bool
same_key(Store *store, const Datum *a, const Datum *b)
{
	int			i;

	if (store->integer_key)
		return integer_key(store, a[0]) == integer_key(store, b[0]);
	for (i = 0; i < store->nkeys; i++)
		if (!DatumGetBool(FunctionCall2Coll(&store->scankeys[i].sk_func,
											store->scankeys[i].sk_collation, a[i], b[i])))
			return false;
	return true;
}

static int64
integer_key(Store *store, Datum key)
{
	return store->scankeys[0].sk_func.fn_oid == F_INT4EQ ? DatumGetInt32(key) : DatumGetInt64(key);
}

/* Windows are few, and of other keys than integers only the one that was right last is asked. */
static bool
find_in_windows(Store *store, const Datum *key, Datum *values)
{
	int			i;

	if (store->nwindows == 0)
		return false;
	if (find_in_window(store, &store->windows[store->current], key, values))
		return true;
	for (i = 0; store->integer_key && i < store->nwindows; i++)
		if (i != store->current && find_in_window(store, &store->windows[i], key, values))
		{
			store->current = i;
			return true;
		}
	return false;
}

static bool
find_in_window(Store *store, Window *window, const Datum *key, Datum *values)
{
	int			i;

	if (store->integer_key && (integer_key(store, key[0]) < window->least ||
							   integer_key(store, key[0]) > window->greatest))
		return false;
	/* the last one again, for another of its values, then the next */
	for (i = -1; i < window->n - 1; i++)
	{
		int			at = window->next + i;

		if (at < 0)
			at += window->n;
		else if (at >= window->n)
			at -= window->n;

		if (same_key(store, &window->keys[at * store->nkeys], key))
		{
			window->next = (at + 1) % window->n;
			memcpy(values, &window->values[at * NVALUES], sizeof(Datum) * NVALUES);
			return true;
		}
	}
	return false;
}

static bool
find_by_index(Store *store, const Datum *key, Datum *values, BlockNumber *block)
{
	HeapTuple	tuple;
	bool		isnull;
	int			i;

	lookup_start(store->lookup, key, store->estate->es_snapshot);
	tuple = lookup_next(store->lookup);
	if (tuple)
	{
		for (i = 0; i < NVALUES; i++)
			values[i] = heap_getattr(tuple, store->value_attnums[i],
									 RelationGetDescr(store->rel), &isnull);
		*block = ItemPointerGetBlockNumber(&tuple->t_self);
	}
	lookup_stop(store->lookup);
	return tuple != NULL;
}

/*
 * A look-up has found its row on the page.  Returns true if one has done so lately, there
 * or on the page before.
 */
static bool
note_block(Store *store, BlockNumber block)
{
	bool		near = false;
	int			i;

	for (i = 0; i < NRECENT; i++)
		near |= store->recent[i] == block || store->recent[i] + 1 == block;
	for (i = 0; i < store->nwindows; i++)
		near |= store->windows[i].block + 1 == block;
	store->recent[store->nrecent] = block;
	store->nrecent = (store->nrecent + 1) % NRECENT;
	return near;
}

/* Keep the rows of the page that the snapshot shows; the key's is the last to have been found. */
static void
load_window(Store *store, BlockNumber block, const Datum *key)
{
	EState	   *estate = store->estate;
	Relation	rel = store->rel;
	Window	   *window;
	Buffer		buffer;
	Page		page;
	bool		all_visible;
	OffsetNumber offset;
	int			i;

	if (store->windows == NULL)
		store->windows = MemoryContextAllocZero(estate->es_query_cxt, sizeof(Window) * NWINDOWS);
	if (store->nwindows < NWINDOWS)
		i = store->nwindows++;
	else
	{
		i = store->oldest;
		store->oldest = (i + 1) % NWINDOWS;
	}
	window = &store->windows[i];
	if (window->context == NULL)
	{
		window->context = AllocSetContextCreate(estate->es_query_cxt, "catmaid_history window",
												ALLOCSET_SMALL_SIZES);
		window->keys = MemoryContextAlloc(estate->es_query_cxt,
										  sizeof(Datum) * store->nkeys * MaxHeapTuplesPerPage);
		window->values = MemoryContextAlloc(estate->es_query_cxt,
											sizeof(Datum) * NVALUES * MaxHeapTuplesPerPage);
	}
	MemoryContextReset(window->context);
	window->block = block;
	window->n = window->next = 0;
	window->least = PG_INT64_MAX;
	window->greatest = PG_INT64_MIN;

	buffer = ReadBuffer(rel, block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	all_visible = PageIsAllVisible(page) && !estate->es_snapshot->takenDuringRecovery;
	for (offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleData tuple;
		MemoryContext before;
		bool		has_key;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, block, offset);
		if (!all_visible &&
			!HeapTupleSatisfiesVisibility(&tuple, estate->es_snapshot, buffer))
			continue;
		before = MemoryContextSwitchTo(window->context);
		has_key = read_row(store, &tuple, &window->keys[window->n * store->nkeys],
						   &window->values[window->n * NVALUES]);
		MemoryContextSwitchTo(before);
		if (!has_key)
			continue;
		if (store->integer_key)
		{
			int64		value = integer_key(store, window->keys[window->n]);

			window->least = Min(window->least, value);
			window->greatest = Max(window->greatest, value);
		}
		window->n++;
	}
	UnlockReleaseBuffer(buffer);

	/* (comparing may run code that is not to be run with a page locked) */
	store->current = i;
	for (i = 0; i < window->n; i++)
		if (same_key(store, &window->keys[i * store->nkeys], key))
			window->next = (i + 1) % window->n;
}

/*
 * Key and values of a tracking row, copied into the current memory context.  Returns false
 * if it has no key, so that none is equal to it.
 */
static bool
read_row(Store *store, HeapTuple tuple, Datum *key, Datum *values)
{
	TupleDesc	desc = RelationGetDescr(store->rel);
	bool		isnull;
	int			i;

	for (i = 0; i < store->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, store->attnums[i] - 1);
		Datum		value = heap_getattr(tuple, store->attnums[i], desc, &isnull);

		if (isnull)
			return false;
		key[i] = datumCopy(value, att->attbyval, att->attlen);
	}
	for (i = 0; i < NVALUES; i++)
		values[i] = heap_getattr(tuple, store->value_attnums[i], desc, &isnull);
	return true;
}

/* Read the table into a hash, unless it takes more memory than one may have. */
static void
load_hash(Store *store)
{
	EState	   *estate = store->estate;
	Relation	rel = store->rel;
	Size		per_slot = sizeof(Datum) * (store->nkeys + NVALUES) + sizeof(bool);
	int64		nslots = 1024;
	TupleTableSlot *slot;
	TableScanDesc table;
	bool		fits = true;
	int			i;

	store->hash_functions = MemoryContextAlloc(estate->es_query_cxt, sizeof(FmgrInfo) * store->nkeys);
	for (i = 0; i < store->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), store->attnums[i] - 1);
		TypeCacheEntry *type = lookup_type_cache(att->atttypid, TYPECACHE_HASH_PROC);

		if (store->scankeys[i].sk_subtype != InvalidOid || !OidIsValid(type->hash_proc))
			return;
		fmgr_info_cxt(type->hash_proc, &store->hash_functions[i], estate->es_query_cxt);
	}
	while (nslots < rel->rd_rel->reltuples * 1.5)
		nslots *= 2;
	if (nslots * per_slot > hash_limit_compat())
		return;

	store->hash_context = AllocSetContextCreate(estate->es_query_cxt, "catmaid_history hash",
												ALLOCSET_DEFAULT_SIZES);
	store->hash_keys = MemoryContextAllocHuge(store->hash_context, sizeof(Datum) * nslots * store->nkeys);
	store->hash_values = MemoryContextAllocHuge(store->hash_context, sizeof(Datum) * nslots * NVALUES);
	store->hash_used = MemoryContextAllocHuge(store->hash_context, sizeof(bool) * nslots);
	memset(store->hash_used, 0, sizeof(bool) * nslots);
	store->nslots = nslots;

	slot = table_slot_create(rel, NULL);
	table = table_beginscan(rel, estate->es_snapshot, 0, NULL);
	while (fits && table_scan_getnextslot(table, ForwardScanDirection, slot))
	{
		MemoryContext before = MemoryContextSwitchTo(store->hash_context);
		Datum		key[INDEX_MAX_KEYS];
		Datum		values[NVALUES];
		int64		at;

		CHECK_FOR_INTERRUPTS();
		if (read_row(store, ExecFetchSlotHeapTuple(slot, false, NULL), key, values))
		{
			at = hash_slot(store, key);
			memcpy(&store->hash_keys[at * store->nkeys], key, sizeof(Datum) * store->nkeys);
			memcpy(&store->hash_values[at * NVALUES], values, sizeof(Datum) * NVALUES);
			store->hash_used[at] = true;
		}
		MemoryContextSwitchTo(before);
		fits = ++store->nhashed < nslots - nslots / 8 &&
			MemoryContextMemAllocated(store->hash_context, true) <= hash_limit_compat();
	}
	table_endscan(table);
	ExecDropSingleTupleTableSlot(slot);
	if (!fits)
	{
		MemoryContextDelete(store->hash_context);
		store->nslots = 0;
	}
}

/* Where the key is in the hash, or is to be put. */
static int64
hash_slot(Store *store, const Datum *key)
{
	uint32		hash = 0;
	int64		at;
	int			i;

	for (i = 0; i < store->nkeys; i++)
		hash = hash_combine(hash, DatumGetUInt32(FunctionCall1Coll(&store->hash_functions[i],
																   store->scankeys[i].sk_collation,
																   key[i])));
	for (at = murmurhash32(hash) & (store->nslots - 1);
		 store->hash_used[at] && !same_key(store, &store->hash_keys[at * store->nkeys], key);
		 at = (at + 1) & (store->nslots - 1))
		;
	return at;
}

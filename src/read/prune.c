/*
 * prune.c
 *		Leaves segments out of queries as of a time after all their versions had ended.
 *
 * A segment's CHECK constraint, once it is valid, says by when its versions had ended
 * (segments.c).  PostgreSQL does not draw the conclusion that a period which has ended by
 * then contains no later time, nor overlaps what begins later: that is done here.  It is
 * right for any table with such a constraint, whatever it is.
 *
 * A time that is known when the query is planned: get_relation_info_hook, which is called
 * for a child before its size is estimated, looks at the restrictions of its parent, and
 * the child is gone.  One that is known when it is executed ($1, now()): the child gets a
 * restriction without columns, "time <= bound", which the executor evaluates once, before
 * it opens the child's files (EXPLAIN: One-Time Filter; never executed).  That is added
 * when the child's paths are made (set_rel_pathlist_hook); plans are made of the
 * restrictions later.
 *
 * Takes no locks: the planner has the tables locked.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "utils/lsyscache.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "read/read.h"
#include "compat.h"

/* timestamptz <= timestamptz */
#define TIMESTAMPTZ_LE_OPERATOR	1323

static set_rel_pathlist_hook_type next_pathlist = NULL;

static void prune_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte);
static bool cannot_have(Oid relid, const AppendRelInfo *child, const RelOptInfo *parent);
static bool bound_of(Oid relid, TimestampTz *bound);
static Node *time_asked_for(Expr *clause, Index relid, AttrNumber period, bool *overlaps);
static bool begins_after(Const *value, bool overlaps, TimestampTz bound);
static void add_once_filter(PlannerInfo *root, RelOptInfo *rel, Node *time, TimestampTz bound);

void
prune_init(void)
{
	next_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = prune_pathlist;
}

/* The planner has come to the relation, a child: is it asked for what it cannot have? */
void
prune_relation(PlannerInfo *root, Oid relid, RelOptInfo *rel)
{
	AppendRelInfo *child = root->append_rel_array ? root->append_rel_array[rel->relid] : NULL;
	RelOptInfo *parent = child ? root->simple_rel_array[child->parent_relid] : NULL;

	if (parent == NULL || parent->rtekind != RTE_RELATION || !OidIsValid(child->parent_reloid))
		return;
	if (cannot_have(relid, child, parent) || unreachable_is(relid))
		mark_dummy_rel(rel);
}

/* By its bound, and what its parent is asked for. */
static bool
cannot_have(Oid relid, const AppendRelInfo *child, const RelOptInfo *parent)
{
	AttrNumber	period;
	TimestampTz bound;
	ListCell   *lc;

	if (parent->baserestrictinfo == NIL)
		return false;
	period = get_attnum(child->parent_reloid, PERIOD_COLUMN);
	if (period == InvalidAttrNumber || !bound_of(relid, &bound))
		return false;
	foreach(lc, parent->baserestrictinfo)
	{
		bool		overlaps;
		Node	   *time = time_asked_for(lfirst_node(RestrictInfo, lc)->clause,
										  child->parent_relid, period, &overlaps);

		if (time && IsA(time, Const) && begins_after((Const *) time, overlaps, bound))
			return true;
	}
	return false;
}

/* Paths have been made for it: for the time that is not known yet. */
static void
prune_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	AppendRelInfo *child = root->append_rel_array ? root->append_rel_array[rti] : NULL;
	List	   *times = NIL;
	TimestampTz bound;
	AttrNumber	period;
	ListCell   *lc;

	if (next_pathlist)
		next_pathlist(root, rel, rti, rte);
	if (child == NULL || rte->rtekind != RTE_RELATION || (rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_FOREIGN_TABLE) ||
		!OidIsValid(child->parent_reloid) || rel->baserestrictinfo == NIL)
		return;
	period = get_attnum(rte->relid, PERIOD_COLUMN);
	if (period == InvalidAttrNumber)
		return;
	foreach(lc, rel->baserestrictinfo)
	{
		bool		overlaps;
		Node	   *time = time_asked_for(lfirst_node(RestrictInfo, lc)->clause, rti, period,
										  &overlaps);

		if (time && !IsA(time, Const) && !overlaps && !contain_var_clause(time) &&
			!contain_volatile_functions(time) && !contain_subplans(time))
			times = lappend(times, time);
	}
	if (times == NIL || !bound_of(rte->relid, &bound))
		return;
	foreach(lc, times)
		add_once_filter(root, rel, lfirst(lc), bound);
}

/* The bound that is true of each of its versions. */
static bool
bound_of(Oid relid, TimestampTz *bound)
{
	Relation	rel = table_open(relid, NoLock);
	bool		found = segments_valid_bound(rel, bound);

	table_close(rel, NoLock);
	return found;
}

/* The time, or with *overlaps the range, that the relation's period must contain or overlap. */
static Node *
time_asked_for(Expr *clause, Index relid, AttrNumber period, bool *overlaps)
{
	OpExpr	   *op = (OpExpr *) clause;
	Node	   *column;
	Node	   *value;

	if (!is_opclause(clause) || list_length(op->args) != 2)
		return NULL;
	column = linitial(op->args);
	value = lsecond(op->args);
	if (op->opno == OID_RANGE_ELEM_CONTAINED_OP ||
		(op->opno == OID_RANGE_OVERLAP_OP && !IsA(column, Var)))
	{
		column = lsecond(op->args);
		value = linitial(op->args);
	}
	*overlaps = op->opno == OID_RANGE_OVERLAP_OP;
	if ((!*overlaps && op->opno != OID_RANGE_CONTAINS_ELEM_OP &&
		 op->opno != OID_RANGE_ELEM_CONTAINED_OP) ||
		exprType(value) != (*overlaps ? TSTZRANGEOID : TIMESTAMPTZOID) ||
		!IsA(column, Var) || ((Var *) column)->varno != relid ||
		((Var *) column)->varattno != period || ((Var *) column)->varlevelsup != 0)
		return NULL;
	return value;
}

/* Returns true if the time, or all of the range, is after the bound. */
static bool
begins_after(Const *value, bool overlaps, TimestampTz bound)
{
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	/* what is NULL is true of no row; the planner sees to that */
	if (value->constisnull)
		return false;
	if (!overlaps)
		return DatumGetTimestampTz(value->constvalue) > bound;
	range_deserialize(lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO),
					  DatumGetRangeTypeP(value->constvalue), &lower, &upper, &empty);
	return !empty && !lower.infinite && DatumGetTimestampTz(lower.val) > bound;
}

/* Read nothing of the relation unless time <= bound. */
static void
add_once_filter(PlannerInfo *root, RelOptInfo *rel, Node *time, TimestampTz bound)
{
	Expr	   *clause = make_opclause(TIMESTAMPTZ_LE_OPERATOR, BOOLOID, false,
									   (Expr *) copyObject(time),
									   (Expr *) makeConst(TIMESTAMPTZOID, -1, InvalidOid,
														  sizeof(TimestampTz),
														  TimestampTzGetDatum(bound), false,
														  FLOAT8PASSBYVAL),
									   InvalidOid, InvalidOid);
	RestrictInfo *filter;
	ListCell   *lc;

	set_opfuncid((OpExpr *) clause);
	filter = make_restrictinfo_compat(root, clause);
	rel->baserestrictinfo = lappend(list_copy(rel->baserestrictinfo), filter);
	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(lc);

		index->indrestrictinfo = lappend(list_copy(index->indrestrictinfo), filter);
	}
	root->hasPseudoConstantQuals = true;
}

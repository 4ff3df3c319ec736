/*
 * estimate.c
 *		What the planner should expect of a history view.
 *
 * PostgreSQL gathers no statistics of a UNION ALL, and none of an expression.  So it
 * takes a view's column for one of 200 different values, and believes that a live row's
 * period, which the view makes of its start, holds the time asked for in one row of two
 * hundred.  Both are wrong by orders of magnitude: joins are hashed whose keys should be
 * looked up, and sorted whose order is there.  But the live table's statistics tell.
 *
 * Columns: get_relation_stats_hook hands out those of the live table, with as many
 * different values as that has, for versions add rows and hardly any values.
 *
 * Periods: nothing asks us for the selectivity of tstzrange(start, NULL) @> time.  But a
 * clause keeps it once it has been estimated (RestrictInfo.norm_selec), and when the
 * planner asks for the history, the second arm of the union
 * (get_relation_info_hook), the first one's clauses are there, and not yet looked at.
 * So there it is put in: the share of rows that began by then, by the histogram of
 * the time column or of the tracking table's.  A time that is not known when a plan is
 * made for all times is taken for a recent one.
 *
 * All of this is known by its shape: no catalog of ours is read while a query is planned.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/rangetypes.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "read/read.h"
#include "compat.h"

/* tstzrange(timestamptz, timestamptz) */
#define TSTZRANGE_OF_BOUNDS	3937

/* the rows of a transaction, if it is not known which one is meant, and it is none of the large */
#define ROWS_OF_TRANSACTION	10.0

/* the share of live rows that had begun at a time of which nothing is known */
#define BEGUN_BY_ANY_TIME	0.9

static AppendRelInfo *live_arm(PlannerInfo *root, RangeTblEntry *rte);
static void estimate_arm(PlannerInfo *root, Index relid);
static void estimate_first(RelOptInfo *rel, RestrictInfo *first);
static bool estimate_may_fail(Node *node, void *context);
static bool operator_may_fail(Oid operator, Oid type, List *args);
static bool compares(Oid operator);
static bool begun_share(PlannerInfo *root, Expr *clause, Index relid, double *share);
static Node *start_of_live_period(Node *node);
static bool time_asked_for(PlannerInfo *root, Oid operator, Node *value, bool *known,
						   TimestampTz *time);
static HeapTuple statistics_of_start(PlannerInfo *root, Index relid, Node *start);
static double begun_by(HeapTuple stats, TimestampTz time);

/*
 * The statistics of a column of the union of live and history table, for
 * get_relation_stats_hook.  Returns false if it is another union.
 */
bool
estimate_column(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
				VariableStatData *vardata)
{
	AppendRelInfo *arm = attnum > 0 ? live_arm(root, rte) : NULL;
	RelOptInfo *rel;
	RangeTblEntry *live;
	Var		   *column;
	HeapTuple	stats;
	Form_pg_statistic form;
	Oid			user;

	if (arm == NULL || attnum > list_length(arm->translated_vars))
		return false;
	column = list_nth(arm->translated_vars, attnum - 1);
	live = root->simple_rte_array[arm->child_relid];
	rel = root->simple_rel_array[arm->child_relid];
	if (rel == NULL || column == NULL || !IsA(column, Var) || column->varattno <= 0 ||
		column->varno != arm->child_relid)
		return false;

	stats = SearchSysCacheCopy3(STATRELATTINH, ObjectIdGetDatum(live->relid),
								Int16GetDatum(column->varattno), BoolGetDatum(live->inh));
	if (!HeapTupleIsValid(stats))
		return false;
	form = (Form_pg_statistic) GETSTRUCT(stats);
	if (form->stadistinct < 0 && rel->tuples >= 1)
		form->stadistinct = Max(-form->stadistinct * rel->tuples, 1.0);

	user = OidIsValid(rel->userid) ? rel->userid : GetUserId();
	vardata->statsTuple = stats;
	vardata->freefunc = heap_freetuple;
	vardata->acl_ok = live->securityQuals == NIL &&
		pg_class_aclcheck(live->relid, user, ACL_SELECT) == ACLCHECK_OK;
	return true;
}

/*
 * The statistics of who ended or made a version of the history, for get_relation_stats_hook: as
 * if no transaction had changed much.  Returns false if there are none.
 */
bool
estimate_few(RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	HeapTuple	stats;

	if (!estimate_is_history(rte->relid) || (attnum != get_attnum(rte->relid, XID_COLUMN) &&
											 attnum != get_attnum(rte->relid, MAKER_COLUMN)))
		return false;
	stats = SearchSysCacheCopy3(STATRELATTINH, ObjectIdGetDatum(rte->relid),
								Int16GetDatum(attnum), BoolGetDatum(rte->inh));
	if (!HeapTupleIsValid(stats))
		return false;
	((Form_pg_statistic) GETSTRUCT(stats))->stadistinct = -1.0 / ROWS_OF_TRANSACTION;
	vardata->statsTuple = stats;
	vardata->freefunc = heap_freetuple;
	vardata->acl_ok = false;
	return true;
}

/* The first arm of a union of a live table and its history, or NULL. */
static AppendRelInfo *
live_arm(PlannerInfo *root, RangeTblEntry *rte)
{
	AppendRelInfo *first = NULL;
	ListCell   *lc;

	foreach(lc, root->append_rel_list)
	{
		AppendRelInfo *arm = lfirst_node(AppendRelInfo, lc);
		RangeTblEntry *child;

		if (root->simple_rte_array[arm->parent_relid] != rte)
			continue;
		child = root->simple_rte_array[arm->child_relid];
		if (child->rtekind != RTE_RELATION)
			return NULL;
		if (first)
			return estimate_is_history(child->relid) ? first : NULL;
		first = arm;
	}
	return NULL;
}

/* Returns true if the relation has the columns of a history. */
bool
estimate_is_history(Oid relid)
{
	AttrNumber	period = get_attnum(relid, PERIOD_COLUMN);

	return period != InvalidAttrNumber && get_atttype(relid, period) == TSTZRANGEOID &&
		get_attnum(relid, XID_COLUMN) != InvalidAttrNumber;
}

/*
 * The planner has come to the relation, rel: if it is the history in a union with its live
 * table, the conditions on that one's period are estimated.
 */
void
estimate_periods(PlannerInfo *root, Oid relid, RelOptInfo *rel)
{
	AppendRelInfo *arm = root->append_rel_array ? root->append_rel_array[rel->relid] : NULL;
	RangeTblEntry *parent = arm ? root->simple_rte_array[arm->parent_relid] : NULL;

	if (parent == NULL || parent->rtekind != RTE_SUBQUERY || !estimate_is_history(relid))
		return;
	arm = live_arm(root, parent);
	if (arm)
		estimate_arm(root, arm->child_relid);
}

/* The live table, and its children or partitions. */
static void
estimate_arm(PlannerInfo *root, Index relid)
{
	RelOptInfo *rel = root->simple_rel_array[relid];
	ListCell   *lc;
	int			i;

	if (rel == NULL)
		return;
	foreach(lc, rel->baserestrictinfo)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, lc);
		double		share;

		if (info->norm_selec < 0 && begun_share(root, info->clause, relid, &share))
		{
			info->norm_selec = info->outer_selec = share;
			estimate_first(rel, info);
		}
	}
	for (i = 1; i < root->simple_rel_array_size; i++)
		if (root->append_rel_array[i] && root->append_rel_array[i]->parent_relid == relid)
			estimate_arm(root, i);
}

/*
 * Have the clause, on a period, looked at before those that may fail of rows that were not
 * there at that time: v::int of what was a number then.  (PostgreSQL looks first at what
 * is cheap, and the start of a row with a tracking table is not.  In the history the
 * period is the cheapest of all.)
 *
 * That is what levels of security are for.  What could be looked up in an index still can
 * be, as its level is the least that is allowed (restriction_is_securely_promotable).
 */
static void
estimate_first(RelOptInfo *rel, RestrictInfo *first)
{
	bool		any = false;
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, lc);

		if (info == first || !estimate_may_fail((Node *) info->clause, NULL))
			continue;
		info->security_level++;
		any = true;
	}
	/* (policies come before all of them, and stay so) */
	if (any && rel->baserestrict_min_security == first->security_level)
		rel->baserestrict_min_security++;
}

/*
 * A walker that returns true if the expression may fail for some values and not for others:
 * not what compares, matches or looks into values, but casts, arithmetic, functions.
 */
static bool
estimate_may_fail(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_CoerceToDomain:
		case T_ConvertRowtypeExpr:
		case T_SubPlan:
		case T_AlternativeSubPlan:
			return true;
		case T_FuncExpr:
			if (!get_func_leakproof(((FuncExpr *) node)->funcid))
				return true;
			break;
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			if (operator_may_fail(((OpExpr *) node)->opno, ((OpExpr *) node)->opresulttype,
								  ((OpExpr *) node)->args))
				return true;
			break;
		case T_ScalarArrayOpExpr:
			if (operator_may_fail(((ScalarArrayOpExpr *) node)->opno, BOOLOID,
								  ((ScalarArrayOpExpr *) node)->args))
				return true;
			break;
		default:
			break;
	}
	return expression_tree_walker(node, estimate_may_fail, context);
}

/*
 * An operator of PostgreSQL's own that tells true or false fails by what is on its right, as
 * a pattern, or not at all, if it compares.
 */
static bool
operator_may_fail(Oid operator, Oid type, List *args)
{
	Oid			function = get_opcode(operator);

	if (get_func_leakproof(function))
		return false;
	if (function >= FirstNormalObjectId || type != BOOLOID || list_length(args) != 2)
		return true;
	return contain_var_clause(lsecond(args)) && !compares(operator);
}

/* Returns true for =, <, <=, > and >=. */
static bool
compares(Oid operator)
{
	CatCList   *families = SearchSysCacheList1(AMOPOPID, ObjectIdGetDatum(operator));
	bool		found = false;
	int			i;

	for (i = 0; i < families->n_members && !found; i++)
	{
		Oid			method = ((Form_pg_amop) GETSTRUCT(&families->members[i]->tuple))->amopmethod;

		found = method == BTREE_AM_OID || method == HASH_AM_OID;
	}
	ReleaseSysCacheList(families);
	return found;
}

/* The share of rows for which the clause is true, if it is about a live row's period. */
static bool
begun_share(PlannerInfo *root, Expr *clause, Index relid, double *share)
{
	OpExpr	   *op = (OpExpr *) clause;
	Node	   *start;
	Node	   *value;
	TimestampTz time;
	bool		known;
	HeapTuple	stats;

	if (!is_opclause(clause) || list_length(op->args) != 2)
		return false;
	start = start_of_live_period(linitial(op->args));
	value = lsecond(op->args);
	if (start == NULL)
	{
		start = start_of_live_period(lsecond(op->args));
		value = linitial(op->args);
	}
	if (start == NULL || !time_asked_for(root, op->opno, value, &known, &time))
		return false;

	*share = BEGUN_BY_ANY_TIME;
	stats = known ? statistics_of_start(root, relid, start) : NULL;
	if (stats)
	{
		*share = begun_by(stats, time);
		ReleaseSysCache(stats);
	}
	CLAMP_PROBABILITY(*share);
	return true;
}

/* "start" of tstzrange(start, NULL), or NULL. */
static Node *
start_of_live_period(Node *node)
{
	FuncExpr   *period = (FuncExpr *) node;
	Const	   *end;

	if (!IsA(node, FuncExpr) || period->funcid != TSTZRANGE_OF_BOUNDS)
		return NULL;
	end = lsecond(period->args);
	return IsA(end, Const) && end->constisnull ? linitial(period->args) : NULL;
}

/*
 * Computes the time by which a period must have begun.  Returns false if the operator asks
 * for another thing.
 */
static bool
time_asked_for(PlannerInfo *root, Oid operator, Node *value, bool *known, TimestampTz *time)
{
	Const	   *constant = (Const *) estimate_expression_value(root, value);
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	*known = IsA(constant, Const);
	if (operator == OID_RANGE_CONTAINS_ELEM_OP || operator == OID_RANGE_ELEM_CONTAINED_OP)
	{
		if (exprType(value) != TIMESTAMPTZOID)
			return false;
		if (*known && constant->constisnull)
			return false;
		if (*known)
			*time = DatumGetTimestampTz(constant->constvalue);
		return true;
	}
	if (operator != OID_RANGE_OVERLAP_OP || exprType(value) != TSTZRANGEOID ||
		(*known && constant->constisnull))
		return false;
	if (*known)
	{
		range_deserialize(lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO),
						  DatumGetRangeTypeP(constant->constvalue), &lower, &upper, &empty);
		if (empty)
			return false;
		*time = upper.infinite ? DT_NOEND : DatumGetTimestampTz(upper.val);
	}
	return true;
}

/* The statistics of the column that the start comes from, to be released; or NULL. */
static HeapTuple
statistics_of_start(PlannerInfo *root, Index relid, Node *start)
{
	RangeTblEntry *entry = NULL;
	AttrNumber	attnum = InvalidAttrNumber;

	for (;;)
	{
		if (IsA(start, NullIfExpr))
			start = linitial(((NullIfExpr *) start)->args);
		else if (IsA(start, CoalesceExpr))
			start = linitial(((CoalesceExpr *) start)->args);
		else
			break;
	}
	if (IsA(start, Var) && ((Var *) start)->varno == relid)
	{
		entry = root->simple_rte_array[relid];
		attnum = ((Var *) start)->varattno;
	}
	else if (IsA(start, SubPlan))
	{
		/* the tracking table is read in it, and in a parent's the registry further down */
		PlannerInfo *query = list_nth(root->glob->subroots, ((SubPlan *) start)->plan_id - 1);

		entry = query->parse->rtable ? linitial(query->parse->rtable) : NULL;
		if (entry && entry->rtekind == RTE_RELATION)
			attnum = get_attnum(entry->relid, EDITION_COLUMN);
	}
	if (entry == NULL || entry->rtekind != RTE_RELATION || attnum <= 0 ||
		get_atttype(entry->relid, attnum) != TIMESTAMPTZOID)
		return NULL;
	return SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(entry->relid), Int16GetDatum(attnum),
						   BoolGetDatum(entry->inh));
}

/* The share of rows that had begun, by the most common values and the histogram. */
static double
begun_by(HeapTuple stats, TimestampTz time)
{
	Form_pg_statistic form = (Form_pg_statistic) GETSTRUCT(stats);
	double		share = form->stanullfrac;	/* without a start they always were there */
	double		rest = 1.0 - form->stanullfrac;
	AttStatsSlot slot;
	int			i;

	if (get_attstatsslot(&slot, stats, STATISTIC_KIND_MCV, InvalidOid,
						 ATTSTATSSLOT_VALUES | ATTSTATSSLOT_NUMBERS))
	{
		for (i = 0; i < slot.nvalues; i++)
		{
			rest -= slot.numbers[i];
			if (DatumGetTimestampTz(slot.values[i]) <= time)
				share += slot.numbers[i];
		}
		free_attstatsslot(&slot);
	}
	rest = Max(rest, 0.0);
	if (get_attstatsslot(&slot, stats, STATISTIC_KIND_HISTOGRAM, InvalidOid, ATTSTATSSLOT_VALUES))
	{
		int			low = 0;
		int			high = slot.nvalues;

		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (DatumGetTimestampTz(slot.values[middle]) <= time)
				low = middle + 1;
			else
				high = middle;
		}
		if (slot.nvalues > 1)
			share += rest * Min(1.0, (double) low / (slot.nvalues - 1));
		free_attstatsslot(&slot);
	}
	else if (form->stadistinct != 0)
		share += rest * 0.5;
	return share;
}

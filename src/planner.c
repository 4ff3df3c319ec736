/*
 * planner.c
 *		Lets PostgreSQL's planner see what a BRIN index on sys_period is worth.
 *
 * History is appended in the order in which versions end, so a BRIN index skips
 * all that had ended by the time asked for.  The planner estimates that by the
 * correlation of the column's values with their place in the table, which
 * ANALYZE gathers for types with an order of one dimension, and never for
 * ranges: it believes that the index would find all of the table.  (See
 * selfuncs.c: brincostestimate.)  The ending transaction's id grows in the same
 * order, and its correlation is known; get_relation_stats_hook hands it out as
 * sys_period's, with regard to what the index would find for the time that is
 * asked for (found_by_brin).
 *
 * Nothing has to be preloaded: X__with_history calls catmaid_history_no_end()
 * for the end of a live row's period, and since the function is immutable the
 * planner calls it, loads this library thereby, and keeps a NULL in the plan.
 *
 * Where an index of another kind is on sys_period, the planner is left to
 * itself: how many pages BRIN reads depends on the time, and what is handed out
 * here is good enough to choose between BRIN and no index only.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rangetypes.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "catmaid_history.h"
#include "compat.h"

/*
 * Where BRIN finds more of the table than this, it counts as finding all: to read
 * blocks through a bitmap, and to look at each row in them twice, costs more than
 * the planner thinks, and a BitmapAnd with the key's index is no better than that
 * index.
 */
#define SEQSCAN_SHARE	0.4

static get_relation_stats_hook_type next_relation_stats = NULL;
static get_relation_info_hook_type next_relation_info = NULL;

static void relation_info(PlannerInfo *root, Oid relid, bool is_parent, RelOptInfo *rel);
static bool relation_stats(PlannerInfo *root, RangeTblEntry *rte,
						   AttrNumber attnum, VariableStatData *vardata);
static AttrNumber xid_beside(Oid relid, AttrNumber attnum);
static bool only_brin(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum);
static bool correlation_of(Oid relid, AttrNumber attnum, bool inh, float4 *correlation);
static HeapTuple with_correlation(HeapTuple stats, float4 correlation);
static float4 found_by_brin(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
							HeapTuple stats);
static bool asked_for(PlannerInfo *root, Expr *clause, Index relid, AttrNumber attnum,
					  RangeBound *from, RangeBound *until);
static bool share_of_blocks(HeapTuple stats, const RangeBound *from,
							const RangeBound *until, double *share);
static double ended_by(TypeCacheEntry *type, const AttStatsSlot *slot, const RangeBound *bound);
static double rows_of_same_cost(PlannerInfo *root, RelOptInfo *rel, double share);

PG_FUNCTION_INFO_V1(catmaid_history_no_end);

/*
 * The end of a period that has not ended: NULL.  What counts is that the library
 * is loaded while a query on a history view is planned.
 */
Datum
catmaid_history_no_end(PG_FUNCTION_ARGS)
{
	PG_RETURN_NULL();
}

void
planner_init(void)
{
	next_relation_stats = get_relation_stats_hook;
	get_relation_stats_hook = relation_stats;
	next_relation_info = get_relation_info_hook;
	get_relation_info_hook = relation_info;
}

/* The planner has come to a relation: see estimate.c and prune.c. */
static void
relation_info(PlannerInfo *root, Oid relid, bool is_parent, RelOptInfo *rel)
{
	if (next_relation_info)
		next_relation_info(root, relid, is_parent, rel);
	estimate_periods(root, relid, rel);
	prune_relation(root, relid, rel);
}

/* The column's statistics, if they are a history's period's, or a history view's. */
static bool
relation_stats(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
			   VariableStatData *vardata)
{
	AttrNumber	xid;
	float4		correlation;
	HeapTuple	stats;

	if (next_relation_stats && next_relation_stats(root, rte, attnum, vardata))
		return true;
	if (rte->rtekind == RTE_SUBQUERY && rte->inh)
		return estimate_column(root, rte, attnum, vardata);
	if (stream_plan_is_for_few && rte->rtekind == RTE_RELATION && attnum > 0 &&
		estimate_few(rte, attnum, vardata))
		return true;
	if (rte->rtekind != RTE_RELATION || attnum <= 0 ||
		(xid = xid_beside(rte->relid, attnum)) == 0 ||
		!only_brin(root, rte, attnum) ||
		!correlation_of(rte->relid, xid, rte->inh, &correlation))
		return false;

	stats = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(rte->relid),
							Int16GetDatum(attnum), BoolGetDatum(rte->inh));
	if (!HeapTupleIsValid(stats))
		return false;
	correlation *= found_by_brin(root, rte, attnum, stats);
	vardata->statsTuple = with_correlation(stats, correlation);
	ReleaseSysCache(stats);
	if (vardata->statsTuple == NULL)
		return false;
	vardata->freefunc = heap_freetuple;
	/* as in examine_simple_variable, for the plain case */
	vardata->acl_ok = rte->securityQuals == NIL &&
		pg_class_aclcheck(rte->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
	return true;
}

/* The column that has the ending transaction, if attnum is the period; or 0. */
static AttrNumber
xid_beside(Oid relid, AttrNumber attnum)
{
	AttrNumber	xid;
	char	   *name;

	if (get_atttype(relid, attnum) != TSTZRANGEOID)
		return 0;
	name = get_attname(relid, attnum, true);
	if (name == NULL || strcmp(name, PERIOD_COLUMN) != 0)
		return 0;
	xid = get_attnum(relid, XID_COLUMN);
	return xid != InvalidAttrNumber && get_atttype(relid, xid) == INT8OID ? xid : 0;
}

/*
 * Returns true if there are indexes that begin with the column, and all of them are BRIN.
 */
static bool
only_brin(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum)
{
	int			i;
	bool		any = false;

	for (i = 1; i < root->simple_rel_array_size; i++)
	{
		RelOptInfo *rel = root->simple_rel_array[i];
		ListCell   *lc;

		if (rel == NULL || root->simple_rte_array[i] != rte)
			continue;
		foreach(lc, rel->indexlist)
		{
			IndexOptInfo *index = lfirst(lc);

			if (index->indexkeys[0] != attnum)
				continue;
			if (index->relam != BRIN_AM_OID)
				return false;
			any = true;
		}
	}
	return any;
}

static bool
correlation_of(Oid relid, AttrNumber attnum, bool inh, float4 *correlation)
{
	HeapTuple	stats = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum), BoolGetDatum(inh));
	AttStatsSlot slot;
	bool		found = false;

	if (!HeapTupleIsValid(stats))
		return false;
	if (get_attstatsslot(&slot, stats, STATISTIC_KIND_CORRELATION, InvalidOid,
						 ATTSTATSSLOT_NUMBERS))
	{
		found = slot.nnumbers == 1;
		if (found)
			*correlation = slot.numbers[0];
		free_attstatsslot(&slot);
	}
	ReleaseSysCache(stats);
	return found;
}

/* A copy of the statistics with a correlation; NULL if there is no room. */
static HeapTuple
with_correlation(HeapTuple stats, float4 correlation)
{
	Form_pg_statistic form = (Form_pg_statistic) GETSTRUCT(stats);
	int16	   *kinds = &form->stakind1;
	Datum		number = Float4GetDatum(correlation);
	int			columns[3];
	Datum		values[3];
	bool		isnull[3] = {false, false, false};
	Relation	catalog;
	HeapTuple	copy;
	int			i;

	for (i = 0; i < STATISTIC_NUM_SLOTS && kinds[i] != 0; i++)
		if (kinds[i] == STATISTIC_KIND_CORRELATION)
			return heap_copytuple(stats);
	if (i == STATISTIC_NUM_SLOTS)
		return NULL;

	columns[0] = Anum_pg_statistic_stakind1 + i;
	values[0] = Int16GetDatum(STATISTIC_KIND_CORRELATION);
	columns[1] = Anum_pg_statistic_staop1 + i;
	values[1] = ObjectIdGetDatum(OID_RANGE_LESS_OP);
	columns[2] = Anum_pg_statistic_stanumbers1 + i;
	values[2] = PointerGetDatum(construct_array(&number, 1, FLOAT4OID, sizeof(float4),
												true, TYPALIGN_INT));

	catalog = table_open(StatisticRelationId, AccessShareLock);
	copy = heap_modify_tuple_by_cols(stats, RelationGetDescr(catalog), 3,
									 columns, values, isnull);
	table_close(catalog, AccessShareLock);
	return copy;
}

/*
 * What the correlation is to be multiplied by for the times that the query asks
 * for; 1 if they are not known.  (brincostestimate only divides by it, so that it
 * may be more than 1.)
 *
 * brincostestimate takes the selectivity, divided by the correlation, for the share of
 * blocks that the index finds.  For our index it is different: BRIN finds all blocks from
 * the first version that ended after the requested time to the last one that may have
 * begun before it, and these blocks are contiguous, which the planner does not expect of
 * rows that a bitmap finds (cost_bitmap_heap_scan).  So it is given the number of
 * scattered rows that would cost as much.
 */
static float4
found_by_brin(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, HeapTuple stats)
{
	int			i;

	for (i = 1; i < root->simple_rel_array_size; i++)
	{
		RelOptInfo *rel = root->simple_rel_array[i];
		ListCell   *lc;

		if (rel == NULL || root->simple_rte_array[i] != rte || rel->tuples < 1)
			continue;
		foreach(lc, rel->baserestrictinfo)
		{
			RestrictInfo *info = lfirst_node(RestrictInfo, lc);
			RangeBound	from;
			RangeBound	until;
			double		share;
			double		rows;

			/* (the size of the relation has been estimated before its paths) */
			if (info->norm_selec < 0 ||
				!asked_for(root, info->clause, i, attnum, &from, &until) ||
				!share_of_blocks(stats, &from, &until, &share))
				continue;
			rows = rows_of_same_cost(root, rel, share);
			return Max(info->norm_selec * rel->tuples / rows, 1e-6);
		}
	}
	return 1.0;
}

/* The times that the clause asks for, if it is about the column and they are known. */
static bool
asked_for(PlannerInfo *root, Expr *clause, Index relid, AttrNumber attnum,
		  RangeBound *from, RangeBound *until)
{
	OpExpr	   *op = (OpExpr *) clause;
	Oid			operator;
	Node	   *column;
	Node	   *value;
	Const	   *known;
	bool		empty;

	if (!is_opclause(clause) || list_length(op->args) != 2)
		return false;
	operator = op->opno;
	column = linitial(op->args);
	value = lsecond(op->args);
	if (operator == OID_RANGE_ELEM_CONTAINED_OP ||
		(operator == OID_RANGE_OVERLAP_OP && !IsA(column, Var)))
	{
		column = lsecond(op->args);
		value = linitial(op->args);
	}
	if (!IsA(column, Var) || ((Var *) column)->varno != relid ||
		((Var *) column)->varattno != attnum)
		return false;
	known = (Const *) estimate_expression_value(root, value);
	if (!IsA(known, Const) || known->constisnull)
		return false;

	if ((operator == OID_RANGE_CONTAINS_ELEM_OP || operator == OID_RANGE_ELEM_CONTAINED_OP) &&
		known->consttype == TIMESTAMPTZOID)
	{
		*from = (RangeBound) {.val = known->constvalue,.inclusive = true,.lower = false};
		*until = *from;
		return true;
	}
	if (operator != OID_RANGE_OVERLAP_OP || known->consttype != TSTZRANGEOID)
		return false;
	range_deserialize(lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO),
					  DatumGetRangeTypeP(known->constvalue), from, until, &empty);
	from->lower = false;
	/* an open start is before all ends, not after them */
	if (from->infinite)
		*from = (RangeBound) {.val = TimestampTzGetDatum(DT_NOBEGIN),.inclusive = true};
	return !empty;
}

/*
 * The share of the blocks that have versions that overlap the times, or seem to.  Returns
 * false if the statistics do not tell.
 */
static bool
share_of_blocks(HeapTuple stats, const RangeBound *from, const RangeBound *until,
				double *share)
{
	TypeCacheEntry *type = lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	AttStatsSlot ends;
	AttStatsSlot lengths;

	if (!get_attstatsslot(&ends, stats, STATISTIC_KIND_BOUNDS_HISTOGRAM, InvalidOid,
						  ATTSTATSSLOT_VALUES))
		return false;
	*share = 1.0 - ended_by(type, &ends, from);

	/* those that ended too long after to have begun before */
	if (!until->infinite &&
		get_attstatsslot(&lengths, stats, STATISTIC_KIND_RANGE_LENGTH_HISTOGRAM, InvalidOid,
						 ATTSTATSSLOT_VALUES))
	{
		double		longest = lengths.nvalues > 0 ?
			DatumGetFloat8(lengths.values[lengths.nvalues - 1]) * USECS_PER_SEC : INFINITY;
		TimestampTz end = DatumGetTimestampTz(until->val);

		if (!TIMESTAMP_NOT_FINITE(end) && longest < (double) (DT_NOEND - Max(end, 0)) / 2)
		{
			RangeBound	last = *until;

			last.val = TimestampTzGetDatum(end + (TimestampTz) longest);
			*share -= 1.0 - ended_by(type, &ends, &last);
		}
		free_attstatsslot(&lengths);
	}
	free_attstatsslot(&ends);
	*share = Max(*share, 0.0);
	return true;
}

/* The share of versions that ended at the time or before, by the histogram. */
static double
ended_by(TypeCacheEntry *type, const AttStatsSlot *slot, const RangeBound *bound)
{
	int			low = 0;
	int			high = slot->nvalues;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		RangeBound	lower;
		RangeBound	upper;
		bool		empty;

		range_deserialize(type, DatumGetRangeTypeP(slot->values[middle]),
						  &lower, &upper, &empty);
		if (range_cmp_bound_values(type, &upper, bound) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return slot->nvalues > 1 ? Min(1.0, (double) low / (slot->nvalues - 1)) : 0.0;
}

/*
 * The number of rows, scattered over the table, that would cost as much as reading this
 * share of its blocks one after the other.  See costsize.c: compute_bitmap_pages,
 * cost_bitmap_heap_scan.
 */
static double
rows_of_same_cost(PlannerInfo *root, RelOptInfo *rel, double share)
{
	double		pages = Max(rel->pages, 1);
	double		per_row = cpu_tuple_cost + cpu_operator_cost;
	double		low = 1.0;
	double		high = Max(share * rel->tuples, 1.0);
	double		random;
	double		sequential;
	double		cost;
	int			i;

	if (share > SEQSCAN_SHARE)
		return rel->tuples;
	get_tablespace_page_costs(rel->reltablespace, &random, &sequential);
	cost = share * pages * sequential + high * per_row;
	for (i = 0; i < 30 && high - low > 1.0; i++)
	{
		double		rows = (low + high) / 2;
		double		fetched = Min(pages, 2 * pages * rows / (2 * pages + rows));
		double		page = random - (random - sequential) * sqrt(fetched / pages);

		if (fetched * page + rows * per_row < cost)
			low = rows;
		else
			high = rows;
	}
	return low;
}

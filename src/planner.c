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
 * sys_period's.
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

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

static get_relation_stats_hook_type next_relation_stats = NULL;

static bool relation_stats(PlannerInfo *root, RangeTblEntry *rte,
						   AttrNumber attnum, VariableStatData *vardata);
static AttrNumber xid_beside(Oid relid, AttrNumber attnum);
static bool only_brin(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum);
static bool correlation_of(Oid relid, AttrNumber attnum, bool inh, float4 *correlation);
static HeapTuple with_correlation(HeapTuple stats, float4 correlation);

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
}

/* The column's statistics, if they are a history's period's. */
static bool
relation_stats(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
			   VariableStatData *vardata)
{
	AttrNumber	xid;
	float4		correlation;
	HeapTuple	stats;

	if (next_relation_stats && next_relation_stats(root, rte, attnum, vardata))
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

/* Are the indexes that begin with the column all BRIN? */
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

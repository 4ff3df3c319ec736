/*
 * is_history.c
 *		Which tables below a history are history of ours: what the views of parents ask.
 *
 * What inherits from a history table is the history of a child, a segment, or what others
 * have put there.  A query on the registry would tell, but would have to be planned with each query
 * on a view, and to be run with each.
 *
 * The answers are those of the query's snapshot, as if it read the registry and the catalogs
 * itself: what catmaid_history_table and catmaid_history_segments show it.
 *
 * Locks: ACCESS SHARE on what is read.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "nodes/supportnodes.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "registry/registry.h"

typedef struct Answer
{
	Oid			relid;
	bool		is;
} Answer;

static bool is_segment(Oid relid, Snapshot snapshot);
static bool has_segment_constraint(Oid relid, Snapshot snapshot);

PG_FUNCTION_INFO_V1(catmaid_history_is_history);
PG_FUNCTION_INFO_V1(catmaid_history_is_history_support);

/*
 * catmaid_history_is_history(tableoid): true for a registered table's history, and for a
 * segment of one.  (An expression is executed for the rows of one table, so the last answer
 * is the next one, too.)
 */
Datum
catmaid_history_is_history(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Answer	   *answer = fcinfo->flinfo->fn_extra;

	if (answer == NULL)
		answer = fcinfo->flinfo->fn_extra = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
																   sizeof(Answer));
	if (answer->relid != relid)
	{
		answer->is = registry_is_history(relid, GetActiveSnapshot()) ||
			is_segment(relid, GetActiveSnapshot());
		answer->relid = relid;
	}
	PG_RETURN_BOOL(answer->is);
}

static bool
is_segment(Oid relid, Snapshot snapshot)
{
	Relation	inherits;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		is = false;

	if (!has_segment_constraint(relid, snapshot))
		return false;
	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, snapshot, 1, &key);
	while (!is && HeapTupleIsValid(tuple = systable_getnext(scan)))
		is = registry_is_history(((Form_pg_inherits) GETSTRUCT(tuple))->inhparent, snapshot);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return is;
}

static bool
has_segment_constraint(Oid relid, Snapshot snapshot)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		has;

	ScanKeyInit(&keys[0], Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(InvalidOid));
	ScanKeyInit(&keys[2], Anum_pg_constraint_conname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(SEGMENT_CONSTRAINT));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, snapshot, 3, keys);
	tuple = systable_getnext(scan);
	has = HeapTupleIsValid(tuple) &&
		((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_CHECK;
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return has;
}

/* The planner is told that nearly all rows of a history are history. */
Datum
catmaid_history_is_history_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (!IsA(request, SupportRequestSelectivity))
		PG_RETURN_POINTER(NULL);
	((SupportRequestSelectivity *) request)->selectivity = 1.0;
	PG_RETURN_POINTER(request);
}

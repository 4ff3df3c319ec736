/*
 * frequent.c
 *		Which transactions have changed much, by the statistics of a history.
 *
 * history_changes keeps its plan for transactions that have changed little, which most have.
 * Those that have ended many versions are among its most common values, and get a plan of
 * their own.
 *
 * Locks: none but those of the catalogs.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "read/read.h"

/* so many rows are much, and so many transactions at a time */
#define MANY_ROWS	1000
#define MANY		100

static bool is_common(Oid relid, const Datum *transactions, const bool *nulls, int n);
static double rows_of(Oid relid);

/* Returns true if the transactions, an array of bigint, are many, or one has ended much of it. */
bool
frequent_transactions(Oid history, ArrayType *array)
{
	Datum	   *transactions;
	bool	   *nulls;
	int			n;
	bool		is = false;
	ListCell   *lc;

	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) > MANY)
		return true;
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &transactions, &nulls, &n);
	foreach(lc, segments_and_head(history))
		is |= is_common(lfirst_oid(lc), transactions, nulls, n);
	return is;
}

static bool
is_common(Oid relid, const Datum *transactions, const bool *nulls, int n)
{
	HeapTuple	stats = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
										Int16GetDatum(get_attnum(relid, XID_COLUMN)),
										BoolGetDatum(false));
	AttStatsSlot slot;
	double		nrows = rows_of(relid);
	bool		is = false;
	int			i;
	int			k;

	if (!HeapTupleIsValid(stats))
		return false;
	if (get_attstatsslot(&slot, stats, STATISTIC_KIND_MCV, InvalidOid, ATTSTATSSLOT_VALUES | ATTSTATSSLOT_NUMBERS))
	{
		for (i = 0; i < n && slot.valuetype == INT8OID; i++)
			for (k = 0; !nulls[i] && k < slot.nvalues; k++)
				is |= DatumGetInt64(slot.values[k]) == DatumGetInt64(transactions[i]) &&
					slot.numbers[k] * nrows > MANY_ROWS;
		free_attstatsslot(&slot);
	}
	ReleaseSysCache(stats);
	return is;
}

/* As VACUUM and ANALYZE have counted. */
static double
rows_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows = HeapTupleIsValid(tuple) ? ((Form_pg_class) GETSTRUCT(tuple))->reltuples : 0;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return rows;
}

/*
 * leaf_rows.c
 *		The rows of a partitioned table some of whose partitions belong to others.
 *
 * The planner folds what is constant in index expressions and predicates, CHECKs
 * and statistics of each partition that a query reads, as the user of the query.  A
 * query of ours runs as the owner of the live table; what the owner of a
 * partition has put there must not.  So the query reads a tuplestore in place of the
 * live table, filled by scans of the partitions, which evaluate nothing.  The
 * tuplestore has the columns of the live table, and tableoid.
 *
 * Where all partitions are the live table's owner's (nearly always), the query reads
 * the table itself.
 *
 * Locks: ACCESS SHARE on the partitions, as the query would take it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base.h"
#include "compat.h"

static bool is_needed(Oid live);
static char *leaf_rows_name(Oid live);
static void leaf_rows_register_one(Oid live, Tuplestorestate *store);
static TupleDesc columns_of(Relation live);
static void scan_leaf(Oid leaf, TupleDesc desc, Tuplestorestate *store);

/* What a query of ours has after FROM for the rows of a live table; palloc'd. */
char *
leaf_rows_source(Oid live)
{
	if (get_rel_relkind(live) != RELKIND_PARTITIONED_TABLE)
		return psprintf("ONLY %s", naming_quoted(live));
	return is_needed(live) ? leaf_rows_name(live) : naming_quoted(live);
}

/*
 * Between SPI_connect and SPI_prepare: make known to the queries of this connection the rows of
 * those among the relations whose leaf_rows_source is not a table.  Takes these off
 * *relids, which the query does not name then, and returns the tuplestores, to be
 * ended before SPI_finish.
 */
List *
leaf_rows_register(List **relids)
{
	List	   *names = NIL;
	List	   *stores = NIL;
	ListCell   *lc;

	foreach(lc, *relids)
	{
		Tuplestorestate *store;

		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE || !is_needed(lfirst_oid(lc)))
		{
			names = lappend_oid(names, lfirst_oid(lc));
			continue;
		}
		/* rows may be read more than once */
		store = tuplestore_begin_heap(true, false, work_mem);
		leaf_rows_register_one(lfirst_oid(lc), store);
		stores = lappend(stores, store);
	}
	*relids = names;
	return stores;
}

/*
 * Returns true if a partition belongs to a role other than the live table's owner; false
 * if one has no rows of its own to scan (a foreign table): then the query reads the table,
 * whatever it is.
 */
static bool
is_needed(Oid live)
{
	Oid			owner = security_owner_of(live);
	bool		needed = false;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(live, AccessShareLock, NULL))
	{
		char		relkind = get_rel_relkind(lfirst_oid(lc));

		if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
			return false;
		needed |= security_owner_of(lfirst_oid(lc)) != owner;
	}
	return needed;
}

static char *
leaf_rows_name(Oid live)
{
	return psprintf("catmaid_history_rows_%u", live);
}

static void
leaf_rows_register_one(Oid live, Tuplestorestate *store)
{
	EphemeralNamedRelation rows = palloc0(sizeof(EphemeralNamedRelationData));
	Relation	rel = table_open(live, AccessShareLock);
	int			result;
	ListCell   *lc;

	rows->md.name = leaf_rows_name(live);
	rows->md.tupdesc = columns_of(rel);
	rows->md.enrtype = ENR_NAMED_TUPLESTORE;
	rows->reldata = store;
	foreach(lc, find_all_inheritors(live, AccessShareLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			scan_leaf(lfirst_oid(lc), rows->md.tupdesc, store);
	table_close(rel, NoLock);

	rows->md.enrtuples = tuplestore_tuple_count(store);
	result = SPI_register_relation(rows);
	if (result != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation returned %s", SPI_result_code_string(result));
}

static TupleDesc
columns_of(Relation live)
{
	TupleDesc	own = RelationGetDescr(live);
	TupleDesc	desc = CreateTemplateTupleDesc(own->natts + 1);
	int			i;

	for (i = 1; i <= own->natts; i++)
		TupleDescCopyEntry(desc, i, own, i);
	TupleDescInitEntry(desc, own->natts + 1, "tableoid", OIDOID, -1, 0);
	return desc;
}

static void
scan_leaf(Oid leaf, TupleDesc desc, Tuplestorestate *store)
{
	Relation	rel = table_open(leaf, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	AttrNumber *attnums = palloc0(desc->natts * sizeof(AttrNumber));
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	int			i;

	for (i = 0; i < desc->natts - 1; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			attnums[i] = get_attnum(leaf, NameStr(TupleDescAttr(desc, i)->attname));
	values[i] = ObjectIdGetDatum(leaf);
	nulls[i] = false;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		for (i = 0; i < desc->natts - 1; i++)
		{
			nulls[i] = true;
			values[i] = 0;
			if (attnums[i] != InvalidAttrNumber)
				values[i] = slot_getattr(slot, attnums[i], &nulls[i]);
		}
		tuplestore_putvalues(store, desc, values, nulls);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
}

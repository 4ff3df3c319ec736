/*
 * live_start.c
 *		Since when a live row is as it is, and who made it so, for the views of parents.
 *
 * A child whose rows are not found by its parent's key, as it has another one, has its
 * tracking table apart from the parent's (rekey.c), and the parent's view shows nothing
 * of the child's key.  There this function finds the row where it is, and its start in
 * the child's tracking table, or its time column.
 *
 * It reads what the caller need not have a privilege on: SELECT on the parent is enough for
 * the parent's view.  So it answers only who may read a table that the row is a row
 * of, is not subject to policies there (they hide the tracking table, too), and has
 * the row to show.
 *
 * Which tracking table belongs to a table the registry says, to everybody.
 *
 * Reads under the query's snapshot.  Takes ACCESS SHARE on what it reads.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "capture/capture.h"
#include "compat.h"

/* What a query has asked of the registry. */
typedef struct TrackingTables
{
	int			n;
	int			next;			/* to be replaced */
	struct
	{
		Oid			live;
		Oid			tracking;
	}			known[16];
} TrackingTables;

static bool may_read(Oid relid);
static bool is_row(Relation rel, TupleTableSlot *slot, HeapTupleHeader record, Oid ancestor);
static void find_row(FunctionCallInfo fcinfo, VersionOrigin *origin);
static void origin_of(Relation rel, TupleTableSlot *slot, VersionOrigin *origin);
static bool has_type(Relation rel, const char *name, Oid type);
static Datum value_of(Relation rel, TupleTableSlot *slot, const char *name, bool *known);
static void tracked_origin(const RegistryRow *row, Relation rel, TupleTableSlot *slot,
						   VersionOrigin *origin);

PG_FUNCTION_INFO_V1(catmaid_history_live_start);
PG_FUNCTION_INFO_V1(catmaid_history_live_maker);

PG_FUNCTION_INFO_V1(catmaid_history_tracking_of);

/*
 * catmaid_history_tracking_of(tableoid): the table's tracking table, NULL if it has none.
 * (While a query reads a table, nobody changes what it is registered with.)
 */
Datum
catmaid_history_tracking_of(PG_FUNCTION_ARGS)
{
	Oid			live = PG_GETARG_OID(0);
	TrackingTables *tables = fcinfo->flinfo->fn_extra;
	RegistryRow *row;
	int			i;

	if (tables == NULL)
		tables = fcinfo->flinfo->fn_extra =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TrackingTables));
	for (i = 0; i < tables->n; i++)
		if (tables->known[i].live == live)
			break;
	if (i == tables->n)
	{
		row = registry_get(live);
		if (tables->n < lengthof(tables->known))
			tables->n++;
		else
		{
			i = tables->next;
			tables->next = (i + 1) % lengthof(tables->known);
		}
		tables->known[i].live = live;
		tables->known[i].tracking = row ? row->tracking : InvalidOid;
	}
	if (!OidIsValid(tables->known[i].tracking))
		PG_RETURN_NULL();
	PG_RETURN_OID(tables->known[i].tracking);
}

/* catmaid_history_live_start(tableoid, ctid, row): NULL if unknown */
Datum
catmaid_history_live_start(PG_FUNCTION_ARGS)
{
	VersionOrigin origin;

	find_row(fcinfo, &origin);
	if (!origin.known)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(origin.start);
}

/* catmaid_history_live_maker(tableoid, ctid, row): the transaction; NULL if unknown */
Datum
catmaid_history_live_maker(PG_FUNCTION_ARGS)
{
	VersionOrigin origin;

	find_row(fcinfo, &origin);
	if (origin.maker <= 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(origin.maker);
}

/* What is known of the row that the arguments name. */
static void
find_row(FunctionCallInfo fcinfo, VersionOrigin *origin)
{
	Oid			relid = PG_GETARG_OID(0);
	ItemPointer tid = (ItemPointer) PG_GETARG_POINTER(1);
	HeapTupleHeader record = PG_GETARG_HEAPTUPLEHEADER(2);
	Oid			ancestor = get_typ_typrelid(HeapTupleHeaderGetTypeId(record));
	Relation	rel;
	TupleTableSlot *slot;

	memset(origin, 0, sizeof(VersionOrigin));
	if (!OidIsValid(ancestor) || get_rel_relkind(relid) != RELKIND_RELATION ||
		!list_member_oid(lineage_of(relid), ancestor) || !may_read(ancestor))
		return;
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return;
	slot = table_slot_create(rel, NULL);
	if (ItemPointerIsValid(tid) &&
		ItemPointerGetBlockNumber(tid) < RelationGetNumberOfBlocks(rel) &&
		table_tuple_fetch_row_version(rel, tid, GetActiveSnapshot(), slot) &&
		is_row(rel, slot, record, ancestor))
		origin_of(rel, slot, origin);
	ExecDropSingleTupleTableSlot(slot);
	relation_close(rel, NoLock);
}

/* Whom policies may hide rows from could ask here whether a row is what he guesses. */
static bool
may_read(Oid relid)
{
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		return false;
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT,
								  ACLMASK_ALL) == ACLCHECK_OK;
}

/* Returns true if the record is the row as its ancestor shows it, byte by byte. */
static bool
is_row(Relation rel, TupleTableSlot *slot, HeapTupleHeader record, Oid ancestor)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record),
											  HeapTupleHeaderGetTypMod(record));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(record),.t_data = record};
	bool		same = true;
	int			i;

	ItemPointerSetInvalid(&tuple.t_self);
	for (i = 0; same && i < desc->natts; i++)
	{
		Form_pg_attribute theirs = TupleDescAttr(desc, i);
		Form_pg_attribute mine;
		Datum		values[2];
		bool		nulls[2];

		if (theirs->attisdropped)
			continue;
		mine = columns_find(rel, NameStr(theirs->attname));
		if (mine && attribute_is_virtual_compat(mine))
			continue;
		if (mine == NULL || mine->atttypid != theirs->atttypid)
		{
			same = false;
			break;
		}
		values[0] = heap_getattr(&tuple, i + 1, desc, &nulls[0]);
		values[1] = slot_getattr(slot, mine->attnum, &nulls[1]);
		same = nulls[0] == nulls[1] &&
			(nulls[0] || datum_image_eq(values[0], values[1], mine->attbyval, mine->attlen));
	}
	ReleaseTupleDesc(desc);
	return same;
}

static void
origin_of(Relation rel, TupleTableSlot *slot, VersionOrigin *origin)
{
	RegistryRow *row = registry_get(lineage_root(RelationGetRelid(rel)));

	if (row == NULL || !registry_is_sound(row, security_owner_of(row->live)))
		return;
	if (OidIsValid(row->tracking))
	{
		if (columns_all_exist(RelationGetRelid(rel), row->key))
			tracked_origin(row, rel, slot, origin);
		return;
	}
	if (has_type(rel, row->time_column, TIMESTAMPTZOID))
		origin->start = DatumGetTimestampTz(value_of(rel, slot, row->time_column, &origin->known));
	if (has_type(rel, row->txid_column, INT8OID))
	{
		bool		known;
		Datum		value = value_of(rel, slot, row->txid_column, &known);

		origin->maker = known ? DatumGetInt64(value) : 0;
	}
}

static bool
has_type(Relation rel, const char *name, Oid type)
{
	Form_pg_attribute att = columns_find(rel, name);

	return att && att->atttypid == type;
}

static Datum
value_of(Relation rel, TupleTableSlot *slot, const char *name, bool *known)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, columns_find(rel, name)->attnum, &isnull);

	*known = !isnull;
	return value;
}

/* What the tracking rows with the row's key say, if one thing. */
static void
tracked_origin(const RegistryRow *row, Relation rel, TupleTableSlot *slot,
			   VersionOrigin *origin)
{
	Relation	tracking = try_relation_open(row->tracking, AccessShareLock);
	ScanKeyData keys[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
	List	   *names = NIL;
	AttrNumber	edition;
	AttrNumber	txid;
	Lookup	   *lookup;
	HeapTuple	tuple;
	int			found = 0;
	ListCell   *lc;
	int			n = 0;

	if (tracking == NULL)
		return;
	if (tracking->rd_rel->relkind != RELKIND_RELATION)
	{
		relation_close(tracking, NoLock);
		return;
	}
	foreach(lc, row->key)
	{
		Form_pg_attribute att = columns_find(rel, lfirst(lc));
		char	   *name = naming_key_column(list_length(row->key), n);
		Form_pg_attribute held = columns_find(tracking, name);
		Oid			type;
		int32		typmod;
		bool		isnull;

		types_below_domains(att, &type, &typmod);
		values[n] = slot_getattr(slot, att->attnum, &isnull);
		if (isnull || held == NULL || getBaseType(held->atttypid) != type)
			break;
		ScanKeyEntryInitialize(&keys[n], 0, held->attnum, BTEqualStrategyNumber, InvalidOid,
							   held->attcollation,
							   get_opcode(columns_key_equality(NULL, n, type)), (Datum) 0);
		names = lappend(names, name);
		n++;
	}
	edition = get_attnum(row->tracking, EDITION_COLUMN);
	txid = get_attnum(row->tracking, TRACKING_XID_COLUMN);
	if (n == list_length(row->key) && edition != InvalidAttrNumber && txid != InvalidAttrNumber)
	{
		lookup = lookup_open(tracking,
							 indexes_find_key(tracking, names, !indexes_tracking_is_loose(row->tracking), keys),
							 keys, n);
		lookup_start(lookup, values, GetActiveSnapshot());
		while ((tuple = lookup_next(lookup)) != NULL)
		{
			bool		isnull;
			TimestampTz time = DatumGetTimestampTz(heap_getattr(tuple, edition,
																RelationGetDescr(tracking),
																&isnull));
			int64		maker = DatumGetInt64(heap_getattr(tuple, txid,
														   RelationGetDescr(tracking), &isnull));

			if (found > 0 && time != origin->start)
				time = UNKNOWN_START;
			if (found > 0 && maker != origin->maker)
				maker = 0;
			origin->start = time;
			origin->maker = maker;
			found++;
		}
		lookup_stop(lookup);
		lookup_close(lookup);
	}
	relation_close(tracking, NoLock);
	origin->known = found > 0 && origin->start != UNKNOWN_START;
}

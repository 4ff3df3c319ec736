/*
 * live_start.c
 *		Since when a live row is as it is, for the views of parents.
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
 * Reads under the query's snapshot.  Takes ACCESS SHARE on what it reads.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
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

static bool may_read(Oid relid);
static bool is_row(Relation rel, TupleTableSlot *slot, HeapTupleHeader record, Oid ancestor);
static bool start_of(Relation rel, TupleTableSlot *slot, TimestampTz *start);
static bool tracked_start(const RegistryRow *row, Relation rel, TupleTableSlot *slot,
						  TimestampTz *start);

PG_FUNCTION_INFO_V1(catmaid_history_live_start);

/* catmaid_history_live_start(tableoid, ctid, row): NULL if unknown */
Datum
catmaid_history_live_start(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	ItemPointer tid = (ItemPointer) PG_GETARG_POINTER(1);
	HeapTupleHeader record = PG_GETARG_HEAPTUPLEHEADER(2);
	Oid			ancestor = get_typ_typrelid(HeapTupleHeaderGetTypeId(record));
	Relation	rel;
	TupleTableSlot *slot;
	TimestampTz start = UNKNOWN_START;
	bool		known = false;

	if (!OidIsValid(ancestor) || get_rel_relkind(relid) != RELKIND_RELATION ||
		!list_member_oid(lineage_of(relid), ancestor) || !may_read(ancestor))
		PG_RETURN_NULL();
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		PG_RETURN_NULL();
	slot = table_slot_create(rel, NULL);
	if (ItemPointerIsValid(tid) &&
		ItemPointerGetBlockNumber(tid) < RelationGetNumberOfBlocks(rel) &&
		table_tuple_fetch_row_version(rel, tid, GetActiveSnapshot(), slot) &&
		is_row(rel, slot, record, ancestor))
		known = start_of(rel, slot, &start);
	ExecDropSingleTupleTableSlot(slot);
	relation_close(rel, NoLock);
	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(start);
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

/* Is the record what the row is as a row of its ancestor's, the same bytes? */
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

static bool
start_of(Relation rel, TupleTableSlot *slot, TimestampTz *start)
{
	RegistryRow *row = registry_get(RelationGetRelid(rel));
	Form_pg_attribute time;
	Datum		value;
	bool		isnull;

	if (row == NULL || !registry_is_sound(row, rel->rd_rel->relowner))
		return false;
	if (OidIsValid(row->tracking))
		return fit_has_columns(RelationGetRelid(rel), row->key) &&
			tracked_start(row, rel, slot, start);
	time = columns_find(rel, row->time_column);
	if (time == NULL || time->atttypid != TIMESTAMPTZOID)
		return false;
	value = slot_getattr(slot, time->attnum, &isnull);
	*start = isnull ? UNKNOWN_START : DatumGetTimestampTz(value);
	return !isnull;
}

/* What the tracking rows with the row's key say, if one thing. */
static bool
tracked_start(const RegistryRow *row, Relation rel, TupleTableSlot *slot,
			  TimestampTz *start)
{
	Relation	tracking = try_relation_open(row->tracking, AccessShareLock);
	ScanKeyData keys[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
	List	   *names = NIL;
	AttrNumber	edition;
	Lookup	   *lookup;
	HeapTuple	tuple;
	int			found = 0;
	ListCell   *lc;
	int			n = 0;

	if (tracking == NULL)
		return false;
	if (tracking->rd_rel->relkind != RELKIND_RELATION)
	{
		relation_close(tracking, NoLock);
		return false;
	}
	foreach(lc, row->key)
	{
		Form_pg_attribute att = columns_find(rel, lfirst(lc));
		char	   *name = tracking_key_column(list_length(row->key), n);
		Form_pg_attribute held = columns_find(tracking, name);
		Oid			type;
		int32		typmod;
		bool		isnull;

		columns_base_type(att, &type, &typmod);
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
	if (n == list_length(row->key) && edition != InvalidAttrNumber)
	{
		lookup = lookup_open(tracking,
							 indexes_find_key(tracking, names, !fit_is_loose(row->tracking), keys),
							 keys, n);
		lookup_start(lookup, values, GetActiveSnapshot());
		while ((tuple = lookup_next(lookup)) != NULL)
		{
			bool		isnull;
			TimestampTz time = DatumGetTimestampTz(heap_getattr(tuple, edition,
																RelationGetDescr(tracking),
																&isnull));

			if (found++ > 0 && time != *start)
				time = UNKNOWN_START;
			*start = time;
		}
		lookup_stop(lookup);
		lookup_close(lookup);
	}
	relation_close(tracking, NoLock);
	return found > 0;
}

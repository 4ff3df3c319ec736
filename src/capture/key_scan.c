/*
 * key_scan.c
 *		The live rows that have a key.
 *
 * By the primary key's index, or through the whole table without one.  A key
 * WITHOUT OVERLAPS has a GiST index, which may return rows that only look like
 * it: systable_getnext has no eye for that, so such an index is scanned here, and
 * what it returns is compared again.
 *
 * The caller has the relation locked.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "compat.h"

struct KeyScan
{
	CaptureRelation *capture;
	const Datum *key;
	ScanKeyData scankey[INDEX_MAX_KEYS];
	SysScanDesc systable;
	Relation	index;			/* and below: not with a plain scan */
	IndexScanDesc by_index;
	TupleTableSlot *slot;
};

/* Begin to look, under the snapshot, for rows of rel with the key. */
KeyScan *
key_scan_begin(CaptureRelation *capture, Relation rel, const Datum *key,
			   Snapshot snapshot)
{
	KeyScan    *scan = palloc0(sizeof(KeyScan));
	int			i;

	Assert(CheckRelationLockedByMe(rel, AccessShareLock, true));
	scan->capture = capture;
	scan->key = key;
	memcpy(scan->scankey, capture->live_scankey,
		   sizeof(ScanKeyData) * capture->nkeys);
	for (i = 0; i < capture->nkeys; i++)
	{
		/* what these functions keep goes with the scan, not with the cache */
		scan->scankey[i].sk_func.fn_mcxt = CurrentMemoryContext;
		scan->scankey[i].sk_func.fn_extra = NULL;
		scan->scankey[i].sk_argument = key[i];
	}

	if (!OidIsValid(capture->live_index) || capture->live_index_is_btree)
	{
		scan->systable = systable_beginscan(rel, capture->live_index,
											OidIsValid(capture->live_index),
											snapshot, capture->nkeys, scan->scankey);
		return scan;
	}

	for (i = 0; i < capture->nkeys; i++)
		scan->scankey[i].sk_attno = i + 1;
	scan->index = index_open(capture->live_index, AccessShareLock);
	scan->slot = table_slot_create(rel, NULL);
	scan->by_index = index_beginscan_compat(rel, scan->index, snapshot,
											capture->nkeys);
	index_rescan(scan->by_index, scan->scankey, capture->nkeys, NULL, 0);
	return scan;
}

/* The next row, or NULL; stays readable until the next call. */
HeapTuple
key_scan_next(KeyScan *scan)
{
	if (scan->systable)
		return systable_getnext(scan->systable);

	while (index_getnext_slot(scan->by_index, ForwardScanDirection, scan->slot))
	{
		Datum		found[INDEX_MAX_KEYS];

		row_key(scan->capture, scan->slot, found);
		if (row_keys_equal(scan->capture, found, scan->key))
			return ExecFetchSlotHeapTuple(scan->slot, false, NULL);
	}
	return NULL;
}

void
key_scan_end(KeyScan *scan)
{
	if (scan->systable)
		systable_endscan(scan->systable);
	else
	{
		index_endscan(scan->by_index);
		ExecDropSingleTupleTableSlot(scan->slot);
		index_close(scan->index, AccessShareLock);
	}
	pfree(scan);
}

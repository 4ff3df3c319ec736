/*
 * lookup.c
 *		Look keys up in a table, one after another.
 *
 * genam.c's systable_beginscan opens the index and makes a scan for each key;
 * here both stay.  Without an index the table is read.
 *
 * In a heap the row is fetched here, where only one version of it can be meant
 * (SnapshotSelf): index_getnext_slot would tidy the page up first whenever it is
 * fuller than its fillfactor (heap_page_prune_opt), and that costs more than all
 * the rest where rows are small and updated in place.  Here it is tidied up when
 * there is no room for one row more.
 *
 * Takes no lock on the table, which the caller has locked, and ACCESS SHARE on
 * the index.  What is open belongs to the resource owner that is current when
 * the scan is opened, which must be current when it is used, too.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/base.h"
#include "compat.h"

/*
 * Functions that compare keys may keep something of each look-up (record_cmp does),
 * where the scan's own memory is; when it has grown to this, the scan is begun again.
 */
#define MAX_MEMORY_BYTES	(512 * 1024L)

/* what a tracking row with a key of a few columns takes, and its line pointer */
#define MIN_FREE_BYTES	(MAXALIGN(SizeofHeapTupleHeader) + 64 + sizeof(ItemIdData))

struct Lookup
{
	MemoryContext context;		/* of the scan: what it keeps from row to row */
	ResourceOwner owner;		/* of what is open */
	Relation	rel;
	Relation	index;			/* or NULL */
	bool		is_heap;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	SysScanDesc table_scan;		/* without an index, while one is going on */
	int			nkeys;
	const ScanKeyData *keys;	/* by columns of the table */
};

static void begin_scan(Lookup *scan);
static bool fetch_from_heap(Lookup *scan);

/*
 * A scan of rel, in the current memory context.  index: a btree index on just
 * the keys' columns, in their order, or InvalidOid; keys: "column = ?", which
 * must stay.
 */
Lookup *
lookup_open(Relation rel, Oid index, const ScanKeyData *keys, int nkeys)
{
	Lookup    *scan = palloc0(sizeof(Lookup));

	Assert(CheckRelationLockedByMe(rel, AccessShareLock, true));
	scan->context = AllocSetContextCreate(CurrentMemoryContext,
										  "catmaid_history lookup",
										  ALLOCSET_DEFAULT_SIZES);
	scan->owner = CurrentResourceOwner;
	scan->rel = rel;
	scan->keys = keys;
	scan->nkeys = nkeys;
	if (OidIsValid(index))
	{
		scan->is_heap = rel->rd_tableam == GetHeapamTableAmRoutine();
		scan->index = index_open(index, AccessShareLock);
		scan->slot = table_slot_create(rel, NULL);
		begin_scan(scan);
	}
	return scan;
}

static void
begin_scan(Lookup *scan)
{
	MemoryContext before = MemoryContextSwitchTo(scan->context);

	scan->scan = index_beginscan_compat(scan->rel, scan->index, SnapshotAny, scan->nkeys);
	MemoryContextSwitchTo(before);
}

/* Begin to look for the rows of a key that the snapshot shows. */
void
lookup_start(Lookup *scan, const Datum *key, Snapshot snapshot)
{
	MemoryContext before = MemoryContextSwitchTo(scan->context);
	ScanKeyData keys[INDEX_MAX_KEYS];
	int			i;

	Assert(CurrentResourceOwner == scan->owner);

	memcpy(keys, scan->keys, sizeof(ScanKeyData) * scan->nkeys);
	for (i = 0; i < scan->nkeys; i++)
	{
		/* scan->keys live long, and so would what their functions keep */
		keys[i].sk_func.fn_mcxt = scan->context;
		keys[i].sk_func.fn_extra = NULL;
		keys[i].sk_argument = key[i];
		if (scan->scan)
			keys[i].sk_attno = i + 1;
	}
	if (scan->scan)
	{
		scan->scan->xs_snapshot = snapshot;
		index_rescan(scan->scan, keys, scan->nkeys, NULL, 0);
	}
	else
		scan->table_scan = systable_beginscan(scan->rel, InvalidOid, false,
											  snapshot, scan->nkeys, keys);
	MemoryContextSwitchTo(before);
}

/* The next row, valid until the next call; NULL if there is none. */
HeapTuple
lookup_next(Lookup *scan)
{
	MemoryContext before = MemoryContextSwitchTo(scan->context);
	HeapTuple	tuple = NULL;

	if (scan->scan == NULL)
		tuple = systable_getnext(scan->table_scan);
	else if (scan->is_heap && scan->scan->xs_snapshot == SnapshotSelf ?
			 fetch_from_heap(scan) :
			 index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot))
		tuple = ExecFetchSlotHeapTuple(scan->slot, false, NULL);
	MemoryContextSwitchTo(before);
	return tuple;
}

/* Enough of this key: let go of its pages. */
void
lookup_stop(Lookup *scan)
{
	if (scan->scan == NULL)
	{
		systable_endscan(scan->table_scan);
		MemoryContextReset(scan->context);
		return;
	}
	ExecClearTuple(scan->slot);
	if (MemoryContextMemAllocated(scan->context, true) < MAX_MEMORY_BYTES)
		index_rescan(scan->scan, NULL, scan->nkeys, NULL, 0);
	else
	{
		index_endscan(scan->scan);
		MemoryContextReset(scan->context);
		begin_scan(scan);
	}
}

void
lookup_close(Lookup *scan)
{
	if (scan->scan)
	{
		index_endscan(scan->scan);
		ExecDropSingleTupleTableSlot(scan->slot);
		index_close(scan->index, NoLock);
	}
	MemoryContextDelete(scan->context);
	pfree(scan);
}

/* The next row into the slot; as index_fetch_heap, but for the tidying up. */
static bool
fetch_from_heap(Lookup *scan)
{
	BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) scan->slot;
	ItemPointer next;

	while ((next = index_getnext_tid(scan->scan, ForwardScanDirection)) != NULL)
	{
		ItemPointerData tid = *next;
		Buffer		buffer = ReadBuffer(scan->rel, ItemPointerGetBlockNumber(&tid));
		bool		all_dead = false;
		bool		found;

		if (PageGetHeapFreeSpace(BufferGetPage(buffer)) < MIN_FREE_BYTES)
			heap_page_prune_opt(scan->rel, buffer);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		found = heap_hot_search_buffer(&tid, scan->rel, buffer, SnapshotSelf,
									   &slot->base.tupdata, &all_dead, true);
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		if (found)
		{
			slot->base.tupdata.t_tableOid = RelationGetRelid(scan->rel);
			ExecStorePinnedBufferHeapTuple(&slot->base.tupdata, scan->slot, buffer);
			return true;
		}
		ReleaseBuffer(buffer);
		scan->scan->kill_prior_tuple = all_dead && !scan->scan->xactStartedInRecovery;
	}
	return false;
}

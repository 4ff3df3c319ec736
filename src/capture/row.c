/*
 * row.c
 *		A live row as the triggers see it: its key, and whether this transaction has
 *		made it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "compat.h"

/*
 * The values of the key columns of the row in the slot.  Returns false if there are
 * none to tell it by: a primary key demands them, but it may be gone.
 */
bool
row_key(CaptureRelation *capture, TupleTableSlot *slot, Datum *key)
{
	int			i;

	for (i = 0; i < capture->nkeys; i++)
	{
		bool		isnull;

		key[i] = slot_getattr(slot, capture->key[i], &isnull);
		if (isnull)
			return false;
	}
	return capture->nkeys > 0;
}

/* By the operators of the live table's primary key. */
bool
row_keys_equal(CaptureRelation *capture, const Datum *a, const Datum *b)
{
	int			i;

	for (i = 0; i < capture->nkeys; i++)
	{
		ScanKey		key = &capture->live_scankey[i];

		if (!DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation,
											a[i], b[i])))
			return false;
	}
	return true;
}

/*
 * Returns true if this transaction made the version in the slot, or attached the partition
 * that it is in.
 *
 * A rewrite of the table (ALTER TABLE) makes all rows look so.  Then the row's
 * txid column tells; with a tracking table tracking_origin does.  (TRUNCATE gives
 * the table another file, too, but leaves no rows.)
 */
bool
row_inserted_by_this_xact(CaptureRelation *capture, Relation rel, TupleTableSlot *slot)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
	Datum		txid;
	bool		isnull;

	if (row_attached_here(capture))
		return true;
	if (!row_wrote(rel, tuple->t_data))
		return false;
	if (!relation_is_rewritten_compat(rel) || truncation_has_emptied(rel))
		return true;
	if (OidIsValid(capture->tracking))
		return false;
	txid = slot_getattr(slot, capture->txid_column, &isnull);
	return !isnull &&
		DatumGetInt64(txid) == (int64) U64FromFullTransactionId(GetTopFullTransactionId());
}

/*
 * Returns true if the relation is a partition that this transaction attached.  Nobody has
 * seen its earlier rows in the table.
 */
bool
row_attached_here(CaptureRelation *capture)
{
	return FullTransactionIdIsValid(capture->attached_by) &&
		FullTransactionIdEquals(capture->attached_by, GetTopFullTransactionIdIfAny());
}

/*
 * Returns true if this transaction put the version where it is, by whatever command.
 * COPY's FREEZE hides it, which is allowed where the transaction has made the file.
 */
bool
row_wrote(Relation rel, HeapTupleHeader version)
{
	bool		new_file = rel->rd_createSubid != InvalidSubTransactionId ||
		relation_is_rewritten_compat(rel);

	return TransactionIdIsCurrentTransactionId(new_file ?
											   HeapTupleHeaderGetRawXmin(version) :
											   HeapTupleHeaderGetXmin(version));
}

/*
 * version.c
 *		When a version began, and who made it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "compat.h"

/*
 * When the old version began, and who made it. tracking and key are needed with a tracking
 * table only; key is NULL for a row without one.
 */
void
version_origin(CaptureRelation *capture, TrackingTable *tracking, Relation rel,
			   TupleTableSlot *old, const Datum *key, VersionOrigin *origin)
{
	Datum		value;
	bool		isnull;

	memset(origin, 0, sizeof(VersionOrigin));
	if (row_inserted_by_this_xact(capture, rel, old))
	{
		origin->known = true;
		origin->start = GetCurrentTransactionStartTimestamp();
		/* what came with a partition, others had made before */
		if (OidIsValid(capture->tracking) &&
			(!row_attached_here(capture) ||
			 row_wrote(rel, ExecFetchSlotHeapTuple(old, false, NULL)->t_data)))
			origin->maker = (int64) U64FromFullTransactionId(GetTopFullTransactionId());
	}
	else if (OidIsValid(capture->tracking))
	{
		if (key)
			tracking_origin(tracking, key, relation_is_rewritten_compat(rel), origin);
	}
	else
	{
		value = slot_getattr(old, capture->time_column, &isnull);
		origin->known = !isnull;
		if (!isnull)
			origin->start = DatumGetTimestampTz(value);
	}

	/* of a history that is a parent's, or a child's, of one with a tracking table */
	if (!OidIsValid(capture->tracking) && capture->map->maker != 0)
	{
		value = slot_getattr(old, capture->txid_column, &isnull);
		if (!isnull)
			origin->maker = DatumGetInt64(value);
	}
}

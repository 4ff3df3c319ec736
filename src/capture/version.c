/*
 * version.c
 *		When a version began.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "compat.h"

/*
 * When did the old version begin?  Returns false if nobody knows.  tracking and
 * key are needed with a tracking table only; key is NULL for a row without one.
 */
bool
capture_start(CaptureRelation *capture, TrackingTable *tracking, Relation rel,
			  TupleTableSlot *old, const Datum *key, TimestampTz *start)
{
	Datum		value;
	bool		isnull;

	if (capture_made_here(capture, rel, old))
	{
		*start = GetCurrentTransactionStartTimestamp();
		return true;
	}
	if (OidIsValid(capture->tracking))
		return key && tracking_start(tracking, key, relation_is_rewritten_compat(rel), start);

	value = slot_getattr(old, capture->time_column, &isnull);
	if (!isnull)
		*start = DatumGetTimestampTz(value);
	return !isnull;
}

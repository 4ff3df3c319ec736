/*
 * deferrable.c
 *		Keys that several transactions may have at a time.
 *
 * A unique index keeps others off a key until the transaction that wrote it has
 * ended, and with the key off its tracking row.  The index of a deferrable key
 * does not, until its check comes, which may be at commit: two transactions may
 * have rows with one key, or one deletes the key's row while the other has
 * inserted the next already.  Nobody may wait in between, since what is written
 * so may still be taken back, and the tracking row is not to be written by who
 * began first but by who comes last.
 *
 * So where somebody else has a row with the key, committed or not, what becomes
 * of the tracking row is postponed until the transaction commits.  Then the
 * deferred checks are done: all others that had the key have ended, and those
 * who come now find our row and postpone.  The tracking row is made to agree with
 * the live row that is left, and starts where the key's last version ended.
 *
 * Both sides of a pair see each other, since the row and its index entry are
 * there before the trigger looks: at most one of them is not postponed, the
 * first; the second waits for it in the deferred check.
 *
 * What is postponed lives in TopTransactionContext, and goes with the
 * subtransaction that did it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"

static List *postponed = NIL;

static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);
static bool others_have(CaptureRelation *capture, Relation rel, const Datum *key);

void
deferrable_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/*
 * The key of the relation, a deferrable one, was inserted, updated or deleted.
 * Returns true, and queues the key, if its tracking row must be updated at commit.  min_edition_time: as for tracking_written, or DT_NOBEGIN.
 */
bool
deferrable_postpone(CaptureRelation *capture, Relation rel, const Datum *key,
					TimestampTz min_edition_time)
{
	TupleDesc	desc = RelationGetDescr(rel);
	MemoryContext before;
	PostponedKey  *entry;
	int			i;

	if (!others_have(capture, rel, key))
		return false;

	before = MemoryContextSwitchTo(TopTransactionContext);
	entry = palloc(sizeof(PostponedKey));
	entry->relid = RelationGetRelid(rel);
	entry->tracking = capture->tracking;
	entry->nkeys = capture->nkeys;
	entry->key = palloc(sizeof(Datum) * capture->nkeys);
	for (i = 0; i < capture->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, capture->key[i] - 1);

		/* a TOAST table may have gone, or be another, by then */
		entry->key[i] = att->attlen == -1 ?
			PointerGetDatum(PG_DETOAST_DATUM_COPY(key[i])) :
			datumCopy(key[i], att->attbyval, att->attlen);
	}
	entry->min_edition_time = min_edition_time;
	entry->made_in.subid = GetCurrentSubTransactionId();
	postponed = lappend(postponed, entry);
	MemoryContextSwitchTo(before);
	return true;
}

/*
 * Returns true if the key's insertion was postponed, with its min_edition_time in
 * *min_edition_time.
 */
bool
deferrable_postponed(CaptureRelation *capture, const Datum *key,
					 TimestampTz *min_edition_time)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, postponed)
	{
		PostponedKey  *entry = lfirst(lc);

		if (entry->relid != capture->relid || entry->nkeys != capture->nkeys ||
			!row_keys_equal(capture, entry->key, key))
			continue;
		*min_edition_time = found ? Max(*min_edition_time, entry->min_edition_time) : entry->min_edition_time;
		found = true;
	}
	return found;
}

/* Returns what has been postponed, as a list of PostponedKey, and forgets it. */
List *
deferrable_take(void)
{
	List	   *keys = postponed;

	postponed = NIL;
	return keys;
}

/* Returns true if something waits for the commit. */
bool
deferrable_is_any(void)
{
	return postponed != NIL;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			postponed = NIL;
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	postponed = subxact_list_end(postponed, event, mine, parent);
}

/* Returns true if there is a row with the key that this transaction has not made. */
static bool
others_have(CaptureRelation *capture, Relation rel, const Datum *key)
{
	SnapshotData dirty;
	KeyScan    *scan;
	HeapTuple	tuple;
	bool		found = false;

	InitDirtySnapshot(dirty);
	scan = key_scan_begin(capture, rel, key, &dirty);
	while (!found && HeapTupleIsValid(tuple = key_scan_next(scan)))
		found = !row_wrote(rel, tuple->t_data);
	key_scan_end(scan);
	return found;
}

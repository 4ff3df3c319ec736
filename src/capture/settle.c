/*
 * settle.c
 *		Before the commit: tracking rows of deferrable keys, whose turn had not come
 *		before (deferrable.c).
 *
 * The deferred checks are done then: all others that had such a key have ended, and
 * those who come now find our row and postpone.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"

static void before_commit(XactEvent event, void *arg);
static pg_noinline void settle_all(void);
static void settle_one(PostponedKey *entry);

void
settle_init(void)
{
	RegisterXactCallback(before_commit, NULL);
}

static void
before_commit(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		deferrable_is_any())
		settle_all();
}

/*
 * The deferred checks have been made.  A deferred trigger of the site's on the
 * tracking table still has its turn, and may change more.
 */
static void
settle_all(void)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	batch_end();
	while (deferrable_is_any())
	{
		ListCell   *lc;

		foreach(lc, deferrable_take())
			settle_one(lfirst(lc));
		AfterTriggerFireDeferred();
	}
	PopActiveSnapshot();
}

/* A table that has gone since, or has another tracking table, is up to date. */
static void
settle_one(PostponedKey *entry)
{
	Relation	rel = try_relation_open(entry->relid, RowExclusiveLock);
	RegistryRow *row = rel ? registry_get(lineage_root(entry->relid)) : NULL;
	SecurityState before;

	if (row && row->tracking == entry->tracking)
	{
		CaptureRelation *capture = cache_lookup(rel, NULL);

		security_act_as(capture->owner, ACT_FOR_WRITER, &before);	/* see capture.c */
		if (capture->nkeys == entry->nkeys)
		{
			int			settings = security_begin_code(capture->history, capture->bypass_executor);
			TrackingTable *tracking = tracking_open(capture, false);

			tracking_settle(tracking, rel, entry->key, entry->min_edition_time);
			tracking_close(tracking);
			security_end_code(settings);
		}
		security_act_as_before(&before);
	}
	if (rel)
		relation_close(rel, NoLock);
}

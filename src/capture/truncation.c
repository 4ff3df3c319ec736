/*
 * truncation.c
 *		Which tables are being truncated, and which have been.
 *
 * Triggers of the application may write to a table between our BEFORE TRUNCATE trigger
 * and the removal: every version that is there then has been stored, and every one that
 * comes must be.  Of a table that this transaction has truncated all rows are its own.
 *
 * What is noted lives in TopTransactionContext, and is dropped with the subtransaction
 * in which the TRUNCATE began.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "compat.h"

/* between our BEFORE trigger and our AFTER trigger */
typedef struct Truncation
{
	SubxactEntry made_in;
	Oid			relid;
	Oid			filenode;
	bool		keeps_file;		/* the file will be cut, not replaced */
	bool		over;			/* and it has been */
} Truncation;

static List *going_on = NIL;

/* a file that TRUNCATE has left to a table, in this transaction */
typedef struct Emptied
{
	Oid			relid;
	Oid			filenode;
} Emptied;

static List *emptied = NIL;		/* the newest first */

static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);

/*
 * Returns true if our BEFORE trigger has stored the table's rows and they have not been
 * removed yet.  Triggers of the application that fire between may still write: every
 * version that is there has been stored, and every one that comes must be.
 */
bool
truncation_is_going_on(Relation rel)
{
	ListCell   *lc;

	/*
	 * With another file the rows have gone, though AFTER triggers that come
	 * before ours may be writing.
	 */
	foreach(lc, going_on)
	{
		Truncation *truncation = lfirst(lc);

		if (truncation->relid == RelationGetRelid(rel) && !truncation->over &&
			truncation->filenode == rel->rd_rel->relfilenode)
			return true;
	}
	return false;
}

/*
 * Returns true if this transaction has truncated the table, and not rewritten it since:
 * all its rows are the transaction's, then.  (Rolled back to a savepoint, the table has
 * another file again.)
 */
bool
truncation_has_emptied(Relation rel)
{
	ListCell   *lc;

	foreach(lc, emptied)
	{
		Emptied    *file = lfirst(lc);

		if (file->relid == RelationGetRelid(rel) &&
			file->filenode == rel->rd_rel->relfilenode)
			return true;
	}
	return false;
}

/*
 * From the relcache callback.  TRUNCATE of a table that this very subtransaction
 * has made or truncated cuts the file and rebuilds the indexes, which sends an
 * invalidation (index.c: index_update_stats).
 */
void
truncation_relation_changed(Oid relid)
{
	ListCell   *lc;

	foreach(lc, going_on)
	{
		Truncation *truncation = lfirst(lc);

		if (truncation->relid == relid && truncation->keeps_file)
			truncation->over = true;
	}
}

void
truncation_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

void
truncation_begin(Relation rel)
{
	MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);
	Truncation *truncation = palloc0(sizeof(Truncation));

	truncation->keeps_file = relation_keeps_file_compat(rel);
	truncation->relid = RelationGetRelid(rel);
	truncation->filenode = rel->rd_rel->relfilenode;
	truncation->made_in.subid = GetCurrentSubTransactionId();
	going_on = lappend(going_on, truncation);
	MemoryContextSwitchTo(before);
}

void
truncation_end(Relation rel)
{
	ListCell   *lc;

	foreach(lc, going_on)
		if (((Truncation *) lfirst(lc))->relid == RelationGetRelid(rel))
			going_on = foreach_delete_current(going_on, lc);

	if (!truncation_has_emptied(rel))
	{
		MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);
		Emptied    *file = palloc(sizeof(Emptied));

		file->relid = RelationGetRelid(rel);
		file->filenode = rel->rd_rel->relfilenode;
		emptied = lcons(file, emptied);
		MemoryContextSwitchTo(before);
	}
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
	{
		going_on = NIL;
		emptied = NIL;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	going_on = subxact_list_end(going_on, event, mine, parent);
}

/*
 * patience.c
 *		A lock that keeps nobody waiting for long.
 *
 * Who waits for a lock keeps all those waiting that come after and want one that does
 * not go with it.  So the lock is asked for again and again, each time for a moment only,
 * with pauses in which the others get on.
 *
 * Locks: the one that is asked for, until the end of the transaction.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "segment/segment.h"
#include "compat.h"

/* how long each try lasts, and how long it is tried where lock_timeout says nothing */
#define MOMENT	"50ms"
#define LONGEST_PAUSE	500L
#define LONGEST_MS	60000

typedef struct Try
{
	List	   *relids;
	LOCKMODE	mode;
} Try;

static void try_for_a_moment(void *arg);

/*
 * Lock the relation.  An error, as of lock_timeout, if that time is over, or a minute
 * where there is no such timeout; another one if it is gone.
 */
void
patience_lock(Oid relid, LOCKMODE mode)
{
	if (!ConditionalLockRelationOid(relid, mode))
		patience_lock_all(list_make1_oid(relid), mode);
	else if (get_rel_name(relid) == NULL)
		relation_lock(relid, mode);
}

/* Lock them together: while one of them is waited for, none is held. */
void
patience_lock_all(List *relids, LOCKMODE mode)
{
	Try			try = {relids, mode};
	TimestampTz begin = GetCurrentTimestamp();
	int			most = LockTimeout > 0 ? LockTimeout : LONGEST_MS;
	long		pause = 20;
	ErrorData  *error;
	ListCell   *lc;

	while ((error = attempt_or_error(try_for_a_moment, &try)) != NULL)
	{
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		FreeErrorData(error);
		if (TimestampDifferenceExceeds(begin, GetCurrentTimestamp(), most))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("could not lock relation \"%s\" without keeping others waiting",
							get_rel_name(linitial_oid(relids))),
					 errdetail("Transactions that use it have gone on for %d ms.", most),
					 errhint("Try again when they have ended; lock_timeout says how long to try.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(pause * 2, LONGEST_PAUSE);
	}
	foreach(lc, relids)
		if (get_rel_name(lfirst_oid(lc)) == NULL)
			relation_lock(lfirst_oid(lc), mode);
}

static void
try_for_a_moment(void *arg)
{
	Try		   *try = arg;
	int			nestlevel = NewGUCNestLevel();
	ListCell   *lc;

	security_set_for_command("lock_timeout", MOMENT);
	foreach(lc, try->relids)
		LockRelationOid(lfirst_oid(lc), try->mode);
	AtEOXact_GUC(true, nestlevel);
}

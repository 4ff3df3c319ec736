/*
 * horizon.c
 *		The last instant of which a transaction can know anything.
 *
 * That is now, by the clock, but for two: a transaction in REPEATABLE READ or SERIALIZABLE
 * sees nothing that was committed since its snapshot was taken, which was when it began at the
 * earliest; and a standby knows what it has replayed.  PostgreSQL tells the time of
 * the last commit or abort that has been replayed.  What the primary has said of
 * the end of its WAL since may be the end of what it has sent, so that is not relied on:
 * of a primary that writes nothing a standby knows no more than the last checkpoint.
 *
 * No locks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#if PG_VERSION_NUM >= 150000
#include "access/xlogrecovery.h"
#endif
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "reach/reach.h"
#include "compat.h"

static TimestampTz replayed_until(void);

/*
 * Error out if the instant, at which tables are to be read, is one of which this transaction
 * cannot know: what it sees is older.
 */
void
reach_check_instant(TimestampTz instant)
{
	if (instant > GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot read the future: %s has not come yet", as_of_shown(instant)),
				 errhint("SET catmaid_history.as_of = ''; goes back to the present.")));
	if (IsolationUsesXactSnapshot() && instant > GetCurrentTransactionStartTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot read tables as of %s in a transaction that began at %s",
						as_of_shown(instant), as_of_shown(GetCurrentTransactionStartTimestamp())),
				 errdetail("In isolation levels REPEATABLE READ and SERIALIZABLE a transaction sees nothing that was committed since."),
				 errhint("Read it in a transaction that begins later.")));
	if (RecoveryInProgress() && instant > replayed_until())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot read tables as of %s: the standby has replayed what was committed until %s",
						as_of_shown(instant), as_of_shown(replayed_until())),
				 errhint("Wait until the standby has replayed it, or read it on the primary.")));
}

/* The time of the last commit, abort or checkpoint that this standby has replayed. */
static TimestampTz
replayed_until(void)
{
	TimestampTz latest = GetLatestXTime();
	bool		crc_is_right;
	ControlFileData *control;

	if (latest != 0)
		return latest;
	control = get_controlfile(DataDir, &crc_is_right);
	return crc_is_right ? time_t_to_timestamptz(control->checkPointCopy.time) : DT_NOBEGIN;
}

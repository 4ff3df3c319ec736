/*
 * read_as_of.c
 *		read_as_of(): this session, or transaction, reads the past.
 *
 * It sets catmaid_history.as_of.  That it can be called means that the library is loaded, so
 * that what it sets is in force: where that is not loaded, SET would be believed and do nothing.
 *
 * No locks.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "reach/reach.h"
#include "time_machine/time_machine.h"

PG_FUNCTION_INFO_V1(catmaid_history_read_as_of);

/* read_as_of(as_of, is_local): the instant that queries see from now on; NULL: the present. */
Datum
catmaid_history_read_as_of(PG_FUNCTION_ARGS)
{
	bool		is_local = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	const char *text = "";

	if (!PG_ARGISNULL(0))
	{
		TimestampTz instant = PG_GETARG_TIMESTAMPTZ(0);

		reach_check_instant(instant);
		if (TIMESTAMP_NOT_FINITE(instant))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"as_of\" must be a finite time")));
		text = as_of_written(instant);
	}
	(void) set_config_option("catmaid_history.as_of", text, PGC_USERSET, PGC_S_SESSION,
							 is_local ? GUC_ACTION_LOCAL : GUC_ACTION_SET, true, 0, false);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

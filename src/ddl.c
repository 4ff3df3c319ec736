/*
 * ddl.c
 *		The one place that runs SQL of the extension's own.
 *
 * Nearly everything runs through SPI: as the role it is meant for, with a search_path
 * that holds nothing but pg_catalog, and behind a guard by which our own event
 * triggers know that the command is ours.  The guard goes down on every path;
 * user and settings are restored by us on success and by the abort of the
 * (sub)transaction on error.
 *
 * Two roles occur.  The owner of the live table does everything that may run
 * somebody's code.  Making an empty relation runs nobody's code, but needs
 * CREATE on the schema, which the owner of a table need not have; managing a
 * history takes no more than ownership of the table, so relations are made
 * by the bootstrap superuser and handed to the owner, in the tablespace that the
 * user's own would be in, if the user may use it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "catmaid_history.h"
#include "compat.h"

static int	ddl_depth = 0;

static uint64 execute(Oid role, const char *sql, bool is_query,
					  int64 *numbers, int n);
static void set_for_command(const char *name, const char *value);

/* Is the command that is being executed one of ours? */
bool
ddl_is_ours(void)
{
	return ddl_depth > 0;
}

/*
 * Run a utility command as the role.  Errors are the command's own.
 */
void
ddl_execute(Oid role, const char *format,...)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&sql, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&sql, needed);
	}

	execute(role, sql.data, false, NULL, 0);
	pfree(sql.data);
}

/*
 * Run INSERT, UPDATE or DELETE as the role, seeing everything committed until
 * now, whatever the isolation level: it keeps tables in step that are locked
 * against writers, and an older snapshot would miss what the writers did.
 *
 * Returns the number of rows.
 */
uint64
ddl_execute_query(Oid role, const char *sql)
{
	return execute(role, sql, true, NULL, 0);
}

/*
 * Run a query as the role that returns one row of n bigints, none of them NULL,
 * and store these.  Sees everything committed until now, too.
 */
void
ddl_query_numbers(Oid role, const char *sql, int64 *numbers, int n)
{
	(void) execute(role, sql, true, numbers, n);
}

/*
 * Run a utility command that has been parsed already, as the role, but with the
 * search_path of the session: for expressions of the user's.  All names in the
 * command must be qualified.
 */
void
ddl_execute_statement(Oid role, Node *statement, const char *sql)
{
	PlannedStmt *planned = makeNode(PlannedStmt);
	SecurityState before;

	planned->commandType = CMD_UTILITY;
	planned->utilityStmt = statement;
	planned->stmt_location = -1;

	ddl_depth++;
	PG_TRY();
	{
		security_act_as(role, ACT_TO_MANAGE, &before);
		ProcessUtilityCompat(planned, sql);
		security_act_as_before(&before);
	}
	PG_FINALLY();
	{
		ddl_depth--;
	}
	PG_END_TRY();
	CommandCounterIncrement();
}

/*
 * Do it in a subtransaction.  NULL if it went well, else the error, after which
 * all is as it was before: memory context, resource owner, rights and settings.
 */
ErrorData *
ddl_attempt(DDLAction action, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		action(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();

		/* left open, it would be what the session is in after the error */
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

static uint64
execute(Oid role, const char *sql, bool is_query, int64 *numbers, int n)
{
	SecurityState before;
	uint64		processed = 0;

	ddl_depth++;
	PG_TRY();
	{
		int			result;
		bool		lend_no_tablespace;

		lend_no_tablespace = role == BOOTSTRAP_SUPERUSERID &&
			!security_may_use_default_tablespace();
		security_act_as(role, ACT_TO_MANAGE, &before);
		set_for_command("search_path", "pg_catalog, pg_temp");
		if (lend_no_tablespace)
			set_for_command("default_tablespace", "");
		SPI_connect();
		if (is_query)
		{
			SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);

			if (plan == NULL)
				elog(ERROR, "SPI_prepare returned %s for %s",
					 SPI_result_code_string(SPI_result), sql);
			result = SPI_execute_snapshot(plan, NULL, NULL,
										  GetLatestSnapshot(), InvalidSnapshot,
										  false, true, 0);
		}
		else
			result = SPI_execute(sql, false, 0);
		if (result < 0)
			elog(ERROR, "SPI returned %s for %s",
				 SPI_result_code_string(result), sql);
		processed = SPI_processed;
		for (int i = 0; i < n; i++)
		{
			bool		isnull;

			numbers[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
													 SPI_tuptable->tupdesc,
													 i + 1, &isnull));
		}
		SPI_finish();
		security_act_as_before(&before);
	}
	PG_FINALLY();
	{
		ddl_depth--;
	}
	PG_END_TRY();

	CommandCounterIncrement();
	return processed;
}

/* Until security_act_as_before. */
static void
set_for_command(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * In PG_CATCH: what depends on what one of our commands was to drop, as PostgreSQL
 * lists it; palloc'd in the context.  Its hint, CASCADE, is not for who has called a
 * function.  Any other error goes on.
 */
char *
ddl_dependents(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode != ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST || error->detail == NULL)
		PG_RE_THROW();
	FlushErrorState();
	return error->detail;
}

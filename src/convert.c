/*
 * convert.c
 *		Old values into a column of a new type, whatever they are.
 *
 * First all rows at once, by rewriting the table, which is fast and fires no
 * triggers.  Where that fails, by UPDATE, and then row by row, each in a
 * subtransaction: what does not convert stays NULL, since old values must not
 * stop a migration.  Cancelling, lack of resources and the like are errors as
 * ever.
 *
 * The rewrite runs as the owner of the tables, who may have put code on them;
 * the updates run as the current user, as the live table's own conversion did:
 * the expression gets no rights that its author lacks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "catmaid_history.h"

static void convert_one_by_one(const char *table, const char *column,
							   const char *expression);
static bool may_be_swallowed(int sqlstate);

/*
 * SET column = expression in all rows of table and its children.  All are SQL,
 * column names in the expression unqualified.
 */
void
convert_rows(Oid owner, const char *table, const char *column,
			 const char *type, const char *expression)
{
	int			nestlevel;

	if (convert_try(owner,
					psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s",
							 table, column, type, expression)))
		return;

	/* as in a rewrite, no trigger fires */
	nestlevel = NewGUCNestLevel();
	(void) set_config_option("session_replication_role", "replica",
							 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (!convert_try(InvalidOid, psprintf("UPDATE %s h SET %s = %s", table, column, expression)))
		convert_one_by_one(table, column, expression);
	AtEOXact_GUC(true, nestlevel);
}

/*
 * Run a statement in a subtransaction of its own, DDL as ddl_role, a query (for
 * InvalidOid) as the current user.  Returns false if
 * it failed for a reason that lies in the values.
 */
bool
convert_try(Oid ddl_role, const char *sql)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (OidIsValid(ddl_role))
			ddl_execute(ddl_role, "%s", sql);
		else
			ddl_execute_query(GetUserId(), sql);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!may_be_swallowed(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		FreeErrorData(error);
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

static void
convert_one_by_one(const char *table, const char *column, const char *expression)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "catmaid_history convert",
												  ALLOCSET_DEFAULT_SIZES);
	SecurityState state;
	char	  **rows;
	uint64		n;
	uint64		i;

	/* policies, forced ones too, must not hide rows from us */
	security_act_as(GetUserId(), &state);
	SPI_connect();
	if (SPI_execute(psprintf("SELECT pg_catalog.format('h.tableoid OPERATOR(pg_catalog.=) %%s::pg_catalog.oid "
							 "AND h.ctid OPERATOR(pg_catalog.=) %%L::pg_catalog.tid', tableoid::pg_catalog.oid, ctid) FROM %s",
							 table), true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list the rows of %s", table);
	n = SPI_processed;
	MemoryContextSwitchTo(context);
	rows = MemoryContextAllocHuge(context, sizeof(char *) * Max(n, 1));
	for (i = 0; i < n; i++)
		rows[i] = pstrdup(SPI_getvalue(SPI_tuptable->vals[i],
									   SPI_tuptable->tupdesc, 1));
	SPI_finish();
	security_act_as_before(&state);

	for (i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(per_row);
		(void) convert_try(InvalidOid, psprintf("UPDATE %s h SET %s = %s WHERE %s",
									  table, column, expression, rows[i]));
		MemoryContextSwitchTo(context);
		MemoryContextReset(per_row);
	}
	MemoryContextDelete(per_row);
}

/* Is it the value's fault, and not the server's or the user's? */
static bool
may_be_swallowed(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			return false;
		default:
			return true;
	}
}

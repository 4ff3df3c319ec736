/*
 * attempt.c
 *		What may fail, done in a subtransaction of its own.
 *
 * After an error all is as it was before: memory context, resource owner, rights and
 * settings, and the session is where it was.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/resowner.h"

#include "base/base.h"
#include "compat.h"

static ErrorData *attempt(DDLAction action, void *arg, bool dry);

/*
 * Do it in a subtransaction.  NULL if it went well, else the error, after which
 * all is as it was before: memory context, resource owner, rights and settings.
 */
ErrorData *
attempt_or_error(DDLAction action, void *arg)
{
	return attempt(action, arg, false);
}

/* As attempt_or_error, but that what was done is undone in any case. */
ErrorData *
attempt_dry(DDLAction action, void *arg)
{
	return attempt(action, arg, true);
}

static ErrorData *
attempt(DDLAction action, void *arg, bool dry)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	Oid			user PG_USED_FOR_ASSERTS_ONLY = GetUserId();

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		action(arg);
		if (dry)
			RollbackAndReleaseCurrentSubTransaction();
		else
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
	Assert(GetUserId() == user);
	return error;
}

/*
 * Do it, for one of several tables, in a subtransaction.  NULL if it went well, else
 * the error's message; palloc'd.
 *
 * It may run code of the table's owner, who can raise any error: none of them ends
 * what is done for others.  Only the server's own interrupts do.
 */
char *
attempt_for_one(DDLAction action, void *arg)
{
	ErrorData  *error = attempt_or_error(action, arg);
	char	   *message;

	if (error == NULL)
		return NULL;
	if (error->elevel > ERROR ||
		(error->funcname && strcmp(error->funcname, "ProcessInterrupts") == 0))
		ReThrowError(error);
	message = pstrdup(error->message ? error->message : "");
	FreeErrorData(error);
	return message;
}

/*
 * Do it in a subtransaction.  Returns false, and the error's message, if it
 * failed for a reason that may be swallowed.
 */
bool
attempt_or_message(DDLAction action, void *arg, char **message)
{
	ErrorData  *error = attempt_or_error(action, arg);

	if (error == NULL)
		return true;
	if (!attempt_may_swallow(error->sqlerrcode))
		ReThrowError(error);
	if (message)
		*message = pstrdup(error->message);
	FreeErrorData(error);
	return false;
}

/* Returns true if an error of that SQLSTATE lies in a value, not in the server or the user. */
bool
attempt_may_swallow(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_FDW_ERROR:
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

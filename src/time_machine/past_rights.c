/*
 * past_rights.c
 *		Rights do not travel in time: who may read the past, and which functions see the
 *		present all the same.
 *
 * Somebody could choose an instant before a right was revoked.  So
 *
 *	- the past is read by who may execute read_as_of(), which PUBLIC may not, or by the
 *	  owners of all tables that a query reads, whichever way the instant was set;
 *	- functions that run with others' rights (SECURITY DEFINER), that are triggers, and our
 *	  own see the present.  fmgr_hook tells when they begin and end.  So do those that
 *	  policies call, where they do (past_policy.c).
 *	  A SECURITY DEFINER function whose own SET clause sets an instant sees that.
 *
 * PostgreSQL calls the hook for all SECURITY DEFINER functions, and for others if it was
 * asked for them when they were looked up.  As triggers are many, that is done while an
 * instant is set; where that changes in the middle of a query that writes or has policies is
 * refused (past_plan.c).
 *
 * No locks.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "time_machine/time_machine.h"
#include "compat.h"

static needs_fmgr_hook_type next_needs_hook = NULL;
static fmgr_hook_type next_hook = NULL;

/* what the hook keeps for a function that is called, beside what the next one keeps */
typedef struct HookState
{
	bool		sees_present;
	Datum		next;
} HookState;

static bool needs_hook(Oid function);
static void at_function(FmgrHookEventType event, FmgrInfo *info, Datum *state);
static bool sees_present(Oid function);
static bool is_ours(HeapTuple tuple);
static bool sets_instant(HeapTuple tuple);
static Oid	read_as_of_function(void);

void
past_rights_init(void)
{
	next_needs_hook = needs_fmgr_hook;
	needs_fmgr_hook = needs_hook;
	next_hook = fmgr_hook;
	fmgr_hook = at_function;
}

/* Returns true if the current user may read the past of other roles' tables. */
bool
past_is_granted(void)
{
	Oid			function;

	if (superuser())
		return true;
	function = read_as_of_function();
	return OidIsValid(function) &&
		function_aclcheck_compat(function, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK;
}

void
past_refuse_reader(Oid relid)
{
	Oid			function = read_as_of_function();

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for the past of table \"%s\"", get_rel_name(relid)),
			 errdetail("It is for the table's owner, and for those who may execute read_as_of."),
			 OidIsValid(function) ?
			 errhint("Ask %s to GRANT EXECUTE ON FUNCTION %s(timestamptz, boolean) TO %s; or go back to the present: SET catmaid_history.as_of = '';",
					 GetUserNameFromId(security_owner_of(extension_registry()), false),
					 hint_function("read_as_of"), security_role_sql(GetUserId())) : 0));
}

/* read_as_of(timestamptz, boolean), or InvalidOid. */
static Oid
read_as_of_function(void)
{
	static const Oid types[] = {TIMESTAMPTZOID, BOOLOID};
	oidvector  *arguments;

	if (!OidIsValid(extension_registry_or_invalid()))
		return InvalidOid;
	arguments = buildoidvector(types, lengthof(types));
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("read_as_of"),
						   PointerGetDatum(arguments), ObjectIdGetDatum(extension_namespace()));
}

/* For PostgreSQL, when it looks up a function that is none of its own. */
static bool
needs_hook(Oid function)
{
	HeapTuple	tuple;
	bool		needs;

	if (next_needs_hook && next_needs_hook(function))
		return true;
	/* (a cursor may go on in its instant while none is set) */
	if (as_of_was_ever_set())
		return sees_present(function);
	/* ours that run queries: an instant may be set before they are called */
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	needs = is_ours(tuple);
	ReleaseSysCache(tuple);
	return needs;
}

static void
at_function(FmgrHookEventType event, FmgrInfo *info, Datum *state)
{
	HookState  *mine = (HookState *) DatumGetPointer(*state);

	if (mine == NULL)
	{
		/* (nothing has begun, if that is how it ends) */
		if (event != FHET_START)
			return;
		mine = MemoryContextAllocZero(info->fn_mcxt, sizeof(HookState));
		mine->sees_present = sees_present(info->fn_oid);
		*state = PointerGetDatum(mine);
	}
	if (event == FHET_START)
	{
		if (next_hook)
			next_hook(event, info, &mine->next);
		if (mine->sees_present)
			as_of_begin_present();
	}
	else
	{
		if (mine->sees_present)
			as_of_end_present();
		if (next_hook)
			next_hook(event, info, &mine->next);
	}
}

/* Returns true if the function sees the present, whatever is set. */
static bool
sees_present(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		sees;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	/* our row triggers refuse what is written in the past */
	if (form->prorettype == TRIGGEROID)
		sees = form->prolang != ClanguageId || !is_ours(tuple);
	else
		sees = form->prorettype == EVENT_TRIGGEROID || is_ours(tuple) ||
			(form->prosecdef && !sets_instant(tuple));
	ReleaseSysCache(tuple);
	return sees;
}

/*
 * Returns true for the extension's functions in C that run queries; not for read_as_of(), nor for
 * the one that sees to it by itself.  The others, which the views call for each row or the planner
 * calls, are the parallel-safe ones and those that return internal.  None of these may switch to
 * the present while a query is planned: its plan would be discarded as soon as it is made.
 */
static bool
is_ours(HeapTuple tuple)
{
	static const char prefix[] = "catmaid_history_";
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	Datum		source;
	bool		isnull;
	char	   *symbol;
	bool		is;

	if (form->prolang != ClanguageId || form->proparallel == PROPARALLEL_SAFE ||
		form->prorettype == INTERNALOID)
		return false;
	source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	if (isnull)
		return false;
	symbol = TextDatumGetCString(source);
	is = strncmp(symbol, prefix, strlen(prefix)) == 0 &&
		strcmp(symbol, "catmaid_history_read_as_of") != 0 &&
		strcmp(symbol, "catmaid_history_in_present") != 0;
	pfree(symbol);
	return is;
}

/* Returns true if the function has a SET clause for the instant. */
static bool
sets_instant(HeapTuple tuple)
{
	static const char name[] = "catmaid_history.as_of=";
	bool		isnull;
	Datum		settings = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proconfig, &isnull);
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			i;

	if (isnull)
		return false;
	deconstruct_array(DatumGetArrayTypeP(settings), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &n);
	for (i = 0; i < n; i++)
		if (!nulls[i] && strncmp(TextDatumGetCString(elements[i]), name, strlen(name)) == 0)
			return true;
	return false;
}

/*
 * past_policy.c
 *		Policies see the present, with all that they call, while the query that they are
 *		part of reads the past.
 *
 * What policies read by themselves is left as it is (past_query.c).  A function that they call may
 * read tables, too, by queries of its own; and the same function may be called by the query
 * itself, or by another one, and sees the past there.  So it is the call that is told:
 * in the expressions of a policy each call of a function that may run SQL becomes one of
 * in_present(), which calls it in the present.
 *
 * That are the functions of users, and those of PostgreSQL that take a query or a table as
 * an argument.  An operator with a function in C is taken for what it is; one with another
 * function becomes a call of that.  Where a call has no place for another one (aggregates,
 * x = ANY (…), sorting), the query is refused.
 *
 * Locks: none but those of reading catalogs.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "time_machine/time_machine.h"
#include "compat.h"

/* before the arguments of the function that is called: its OID, and NULL of the result's type */
#define N_BEFORE	2

typedef struct PresentCall
{
	FmgrInfo	function;
	int			nargs;
} PresentCall;

static bool within_query(Node *node, void *context);
static Node *calls_in_present(Node *node, void *context);
static FuncExpr *function_of(OpExpr *op);
static void name_columns(RangeTblFunction *function);
static Node *call_in_present(FuncExpr *call);
static bool runs_sql(Oid function, bool by_operator);
static bool refuses(Oid function, void *context);
pg_noreturn static void refuse(Oid function);
static Oid	wrapper_of(char volatility, bool set);
static bool wrapper_is(Oid function);
static PresentCall *prepare(FunctionCallInfo fcinfo);

PG_FUNCTION_INFO_V1(catmaid_history_in_present);

/* The expression of a policy, or of a WITH CHECK OPTION, with the present for what it calls. */
Node *
past_policy(Node *expression)
{
	return calls_in_present(expression, NULL);
}

/* The same for all policies in the query, which is scribbled on. */
void
past_policy_query(Query *query)
{
	(void) within_query((Node *) query, NULL);
}

static bool
within_query(Node *node, void *context)
{
	Query	   *query = (Query *) node;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, within_query, context);
	/* first what is within: what has been changed is not looked at again */
	(void) query_tree_walker(query, within_query, context, 0);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		rte->securityQuals = (List *) calls_in_present((Node *) rte->securityQuals, NULL);
	}
	return false;
}

/* A mutator that has functions called in the present. */
static Node *
calls_in_present(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, calls_in_present, context, 0);
	if (IsA(node, OpExpr))
	{
		set_opfuncid((OpExpr *) node);
		if (runs_sql(((OpExpr *) node)->opfuncid, true))
			node = (Node *) function_of((OpExpr *) node);
	}
	if (IsA(node, FuncExpr) && wrapper_is(((FuncExpr *) node)->funcid))
		return node;
	if (IsA(node, FuncExpr) && runs_sql(((FuncExpr *) node)->funcid, false))
	{
		FuncExpr   *call = copyObject((FuncExpr *) node);
		HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for function %u", call->funcid);
		/* defaults are called for by the policy as well */
		if (!expand_arguments_compat(call, tuple))
			refuse(call->funcid);
		ReleaseSysCache(tuple);
		call->args = (List *) calls_in_present((Node *) call->args, context);
		return call_in_present(call);
	}
	if (!IsA(node, FuncExpr) && !IsA(node, OpExpr))
		(void) check_functions_in_node(node, refuses, NULL);
	node = expression_tree_mutator(node, calls_in_present, context);
	if (IsA(node, RangeTblFunction))
		name_columns((RangeTblFunction *) node);
	return node;
}

/* The operator as a call of its function. */
static FuncExpr *
function_of(OpExpr *op)
{
	FuncExpr   *call = makeFuncExpr(op->opfuncid, op->opresulttype, op->args, op->opcollid,
									op->inputcollid, COERCE_EXPLICIT_CALL);

	call->funcretset = op->opretset;
	return call;
}

/* In FROM: what tells the columns of a record is not looked for at the function any more. */
static void
name_columns(RangeTblFunction *function)
{
	FuncExpr   *call = (FuncExpr *) function->funcexpr;
	FuncExpr   *original;
	TupleDesc	desc;
	int			i;

	if (call == NULL || !IsA(call, FuncExpr) || call->funcresulttype != RECORDOID ||
		!wrapper_is(call->funcid) || function->funccolnames != NIL)
		return;
	original = copyObject(call);
	original->funcid = DatumGetObjectId(linitial_node(Const, call->args)->constvalue);
	original->args = list_copy_tail(call->args, N_BEFORE);
	(void) get_expr_result_type((Node *) original, NULL, &desc);
	for (i = 0; desc && i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		function->funccolnames = lappend(function->funccolnames,
										 makeString(pstrdup(NameStr(att->attname))));
		function->funccoltypes = lappend_oid(function->funccoltypes, att->atttypid);
		function->funccoltypmods = lappend_int(function->funccoltypmods, att->atttypmod);
		function->funccolcollations = lappend_oid(function->funccolcollations, att->attcollation);
	}
}

static Node *
call_in_present(FuncExpr *call)
{
	Const	   *function = makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
									 ObjectIdGetDatum(call->funcid), false, true);
	Const	   *like = makeNullConst(call->funcresulttype, -1, InvalidOid);

	if (list_length(call->args) > FUNC_MAX_ARGS - N_BEFORE)
		refuse(call->funcid);
	call->funcid = wrapper_of(func_volatile(call->funcid), call->funcretset);
	call->args = lcons(function, lcons(like, call->args));
	return (Node *) call;
}

/* Returns true if the function may read tables. */
static bool
runs_sql(Oid function, bool by_operator)
{
	HeapTuple	tuple;
	Form_pg_proc form;
	bool		runs;

	if (!OidIsValid(function))
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (function < FirstNormalObjectId)
		runs = strstr(NameStr(form->proname), "_to_xml") != NULL ||
			strcmp(NameStr(form->proname), "ts_stat") == 0 ||
			strcmp(NameStr(form->proname), "ts_rewrite") == 0;
	else if (form->prokind == PROKIND_AGGREGATE)
		runs = true;			/* of functions that may */
	else
		runs = form->prolang != INTERNALlanguageId && !form->proleakproof &&
			!(by_operator && form->prolang == ClanguageId);
	ReleaseSysCache(tuple);
	return runs;
}

/* For check_functions_in_node. */
static bool
refuses(Oid function, void *context)
{
	if (runs_sql(function, true))
		refuse(function);
	return false;
}

static void
refuse(Oid function)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("policies that call function %s in this way cannot be asked while the session reads the past",
					format_procedure(function)),
			 errdetail("They must see the present, and it is not called as a function or operator with its arguments."),
			 errhint("SET catmaid_history.as_of = ''; goes back to the present.")));
}

/* The function of ours that calls such a one. */
static Oid
wrapper_of(char volatility, bool set)
{
	const char *name = set ? "in_present_set" :
		volatility == PROVOLATILE_VOLATILE ? "in_present_volatile" : "in_present";
	static const Oid types[] = {INTERNALOID, ANYELEMENTOID};
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
										   PointerGetDatum(buildoidvector(types, lengthof(types))),
										   ObjectIdGetDatum(get_namespace_oid(INTERNAL_SCHEMA, false)));

	if (!OidIsValid(function))
		elog(ERROR, "function %s.%s is missing", INTERNAL_SCHEMA, name);
	return function;
}

/* Returns true for one of those. */
static bool
wrapper_is(Oid function)
{
	return function >= FirstNormalObjectId &&
		(function == wrapper_of(PROVOLATILE_STABLE, false) ||
		 function == wrapper_of(PROVOLATILE_VOLATILE, false) ||
		 function == wrapper_of(PROVOLATILE_VOLATILE, true));
}

/*
 * in_present(function, like, …): what the function returns for the arguments after these two, in
 * the present.  No SQL can call it, as nothing has the first one's type.
 */
Datum
catmaid_history_in_present(PG_FUNCTION_ARGS)
{
	PresentCall *call = fcinfo->flinfo->fn_extra;
	LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		result;
	int			i;

	if (call == NULL)
		call = prepare(fcinfo);
	InitFunctionCallInfoData(*inner, &call->function, call->nargs, PG_GET_COLLATION(),
							 fcinfo->context, fcinfo->resultinfo);
	for (i = 0; i < call->nargs; i++)
	{
		inner->args[i] = fcinfo->args[i + N_BEFORE];
		if (!call->function.fn_strict || !inner->args[i].isnull)
			continue;
		if (call->function.fn_retset && set)
			set->isDone = ExprEndResult;
		PG_RETURN_NULL();
	}

	as_of_begin_present();
	PG_TRY();
	{
		result = FunctionCallInvoke(inner);
	}
	PG_CATCH();
	{
		as_of_end_present();
		PG_RE_THROW();
	}
	PG_END_TRY();
	as_of_end_present();
	fcinfo->isnull = inner->isnull;
	return result;
}

/* Look up the function once, with the rights that it would have been looked up with. */
static PresentCall *
prepare(FunctionCallInfo fcinfo)
{
	FuncExpr   *outer = (FuncExpr *) fcinfo->flinfo->fn_expr;
	MemoryContext before = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	PresentCall *call = palloc0(sizeof(PresentCall));
	FuncExpr   *expr;
	Const	   *function;
	AclResult	result;
	Oid			funcid;

	if (outer == NULL || !IsA(outer, FuncExpr) || list_length(outer->args) < N_BEFORE ||
		!IsA(linitial(outer->args), Const) ||
		(function = linitial_node(Const, outer->args))->consttype != OIDOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function \"%s\" cannot be called by a user", "in_present")));
	funcid = DatumGetObjectId(function->constvalue);
	result = function_aclcheck_compat(funcid, GetUserId(), ACL_EXECUTE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(funcid));

	call->nargs = list_length(outer->args) - N_BEFORE;
	fmgr_info_cxt(funcid, &call->function, fcinfo->flinfo->fn_mcxt);
	expr = copyObject(outer);
	expr->funcid = funcid;
	expr->args = list_copy_tail(expr->args, N_BEFORE);
	fmgr_info_set_expr((Node *) expr, &call->function);
	fcinfo->flinfo->fn_extra = call;
	MemoryContextSwitchTo(before);
	return call;
}

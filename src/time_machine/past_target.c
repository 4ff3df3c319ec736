/*
 * past_target.c
 *		What writing a table that is not tracked runs besides the query itself.
 *
 * A session that reads the past may write such a table, and what it reads as of then it may keep
 * there.  But whether a row is let in, and what its owner has it filled with, is the present's to
 * say: CHECK constraints (those of domains, too), defaults, generated columns and conditions of
 * triggers that call a function which may run queries would see the past with the rest of the query.
 * Such a write is refused.  (Triggers see the present by themselves: past_rights.c.)
 *
 * PostgreSQL's own functions, and others in C, are taken for functions that read no tables.
 *
 * Locks: ACCESS SHARE on the table and those below it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "time_machine/time_machine.h"
#include "compat.h"

static void check_table(Relation rel, CmdType command, TimestampTz instant);
static void check_defaults(Relation rel, Query *query, List *given, TimestampTz instant);
static bool has_expression(Node *node, void *expression);
static Oid	function_of_text(const char *expression);
static bool find_function(Node *node, void *context);
static bool may_read(Oid function, void *context);
static Oid	function_of_type(Oid type);
static Oid	type_below(Oid domain);
static Oid	function_of_domain(Oid domain);
static void refuse(Relation rel, const char *what, Oid function, TimestampTz instant);

/*
 * Error out if the query (or, where it is NULL, COPY to the columns of these names; NIL: all)
 * writes the table, which is locked, in a way that runs such functions.
 */
void
past_check_target(Oid relid, CmdType command, Query *query, List *given, TimestampTz instant)
{
	ListCell   *lc;

	foreach(lc, lineage_below(relid))
	{
		Relation	rel = try_relation_open(lfirst_oid(lc), AccessShareLock);

		if (rel == NULL)
			continue;
		check_table(rel, command, instant);
		if (RelationGetRelid(rel) == relid && command != CMD_DELETE)
			check_defaults(rel, query, given, instant);
		relation_close(rel, NoLock);
	}
}

static void
check_table(Relation rel, CmdType command, TimestampTz instant)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TriggerDesc *triggers = rel->trigdesc;
	int			i;

	for (i = 0; triggers && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgqual)
			refuse(rel, psprintf("Trigger \"%s\"", triggers->triggers[i].tgname),
				   function_of_text(triggers->triggers[i].tgqual), instant);
	if (command == CMD_DELETE)
		return;
	for (i = 0; desc->constr && i < desc->constr->num_check; i++)
		refuse(rel, psprintf("Constraint \"%s\"", desc->constr->check[i].ccname),
			   function_of_text(desc->constr->check[i].ccbin), instant);
	for (i = 0; desc->constr && i < desc->constr->num_defval; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, desc->constr->defval[i].adnum - 1);

		if (att->attgenerated)
			refuse(rel, psprintf("Generated column \"%s\"", NameStr(att->attname)),
				   function_of_text(desc->constr->defval[i].adbin), instant);
	}
	for (i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			refuse(rel, psprintf("The type of column \"%s\"", NameStr(TupleDescAttr(desc, i)->attname)),
				   function_of_type(TupleDescAttr(desc, i)->atttypid), instant);
}

/* The rewriter has put defaults in the places of columns that are not given. */
static void
check_defaults(Relation rel, Query *query, List *given, TimestampTz instant)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Node	   *expression;
		Oid			function = InvalidOid;
		bool		used;
		ListCell   *lc;

		if (att->attisdropped || att->attgenerated)
			continue;
		expression = build_column_default(rel, i + 1);
		if (!find_function(expression, &function))
			continue;
		used = query ? query_tree_walker(query, has_expression, expression, 0) : given != NIL;
		if (query == NULL)
			foreach(lc, given)
				used &= strcmp(strVal(lfirst(lc)), NameStr(att->attname)) != 0;
		if (used)
			refuse(rel, psprintf("The default of column \"%s\"", NameStr(att->attname)), function, instant);
	}
}

/* A walker that returns true at a node that equals the expression. */
static bool
has_expression(Node *node, void *expression)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_expression, expression, 0);
	return equal(node, expression) || expression_tree_walker(node, has_expression, expression);
}

/* The function which may run queries that an expression, as a catalog has it, calls; or InvalidOid. */
static Oid
function_of_text(const char *expression)
{
	Oid			function = InvalidOid;

	(void) find_function(stringToNode(expression), &function);
	return function;
}

/* A walker that returns true at such a function, and puts it into *context. */
static bool
find_function(Node *node, void *context)
{
	Oid			of_domain;

	if (node == NULL)
		return false;
	if (check_functions_in_node(node, may_read, context))
		return true;
	of_domain = IsA(node, CoerceToDomain) ?
		function_of_type(((CoerceToDomain *) node)->resulttype) : InvalidOid;
	if (OidIsValid(of_domain))
	{
		*(Oid *) context = of_domain;
		return true;
	}
	return expression_tree_walker(node, find_function, context);
}

static bool
may_read(Oid function, void *context)
{
	HeapTuple	tuple;
	Oid			language;

	if (function < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);
	if (language == INTERNALlanguageId || language == ClanguageId)
		return false;
	*(Oid *) context = function;
	return true;
}

/* One that is called when a value of the type is made; or InvalidOid. */
static Oid
function_of_type(Oid type)
{
	Oid			below[3];
	Oid			function;
	int			i;

	check_stack_depth();
	if (type < FirstNormalObjectId)
		return InvalidOid;
	if (get_typtype(type) == TYPTYPE_DOMAIN)
	{
		function = function_of_domain(type);
		return OidIsValid(function) ? function : function_of_type(type_below(type));
	}
	below[0] = get_element_type(type);
	below[1] = get_range_subtype(type);
	below[2] = get_multirange_range_compat(type);
	for (i = 0; i < lengthof(below); i++)
		if (OidIsValid(below[i]))
		{
			function = function_of_type(below[i]);
			if (OidIsValid(function))
				return function;
		}
	if (get_typtype(type) == TYPTYPE_COMPOSITE)
	{
		TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, -1);

		for (i = 0; i < desc->natts; i++)
		{
			function = TupleDescAttr(desc, i)->attisdropped ? InvalidOid :
				function_of_type(TupleDescAttr(desc, i)->atttypid);
			if (OidIsValid(function))
				return function;
		}
	}
	return InvalidOid;
}

/* The type that a domain is of, which may be one, too. */
static Oid
type_below(Oid domain)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(domain));
	Oid			below;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", domain);
	below = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
	ReleaseSysCache(tuple);
	return below;
}

static Oid
function_of_domain(Oid domain)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			function = InvalidOid;

	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(domain));
	scan = systable_beginscan(constraints, ConstraintTypidIndexId, true, NULL, 1, &key);
	while (!OidIsValid(function) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		expression = fastgetattr(tuple, Anum_pg_constraint_conbin,
											 RelationGetDescr(constraints), &isnull);

		if (!isnull)
			function = function_of_text(TextDatumGetCString(expression));
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return function;
}

/* Error out if there is such a function. */
static void
refuse(Relation rel, const char *what, Oid function, TimestampTz instant)
{
	if (OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot write table \"%s\" while the session reads the past, as of %s",
						RelationGetRelationName(rel), as_of_shown(instant)),
				 errdetail("%s calls function %s, which would see the past.", what,
						   format_procedure(function)),
				 errhint("Write into a table without it, or go back to the present: SET catmaid_history.as_of = '';")));
}

/*
 * view_constants.c
 *		Whether the text of a view can be read without running anybody's code.
 *
 * Reading a text calls the input functions of its constants' types.  Those of
 * domains run the domains' checks, and so do those of what is made of domains:
 * arrays, ranges, rows.  Here the types are looked at in the catalogs only.  The type
 * cache must not be asked for a domain's checks: it evaluates what is constant in
 * them, as the current user (load_domaintype_info in typcache.c).
 *
 * Takes no locks but those of reading the catalogs.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "view/view.h"
#include "compat.h"

static bool runs_code(Node *node, void *context);
static bool type_runs_code(Oid type);
static bool domain_runs_code(Oid domain);
static bool has_check(Oid domain);
static bool input_runs_code(Oid type);

/*
 * Returns true if reading the query's text would run code other than PostgreSQL's and
 * installed libraries'.
 */
bool
view_constants_run_code(Query *query)
{
	return runs_code((Node *) query, NULL);
}

/* A walker that returns true at the first constant whose type's input may run code. */
static bool
runs_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Const))
		return !((Const *) node)->constisnull && type_runs_code(((Const *) node)->consttype);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, runs_code, context, 0);
	return expression_tree_walker(node, runs_code, context);
}

static bool
type_runs_code(Oid type)
{
	Oid			below[3];
	int			i;

	check_stack_depth();
	if (get_typtype(type) == TYPTYPE_DOMAIN)
		return domain_runs_code(type);
	if (input_runs_code(type))
		return true;

	below[0] = get_element_type(type);
	below[1] = get_range_subtype(type);
	below[2] = get_multirange_range_compat(type);
	for (i = 0; i < lengthof(below); i++)
		if (OidIsValid(below[i]) && type_runs_code(below[i]))
			return true;
	if (get_typtype(type) == TYPTYPE_COMPOSITE)
	{
		TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, -1);

		for (i = 0; i < desc->natts; i++)
			if (!TupleDescAttr(desc, i)->attisdropped &&
				type_runs_code(TupleDescAttr(desc, i)->atttypid))
				return true;
	}
	return false;
}

static bool
domain_runs_code(Oid domain)
{
	HeapTuple	tuple;
	Oid			below;

	if (has_check(domain))
		return true;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(domain));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", domain);
	below = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
	ReleaseSysCache(tuple);
	return type_runs_code(below);
}

static bool
has_check(Oid domain)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(domain));
	scan = systable_beginscan(constraints, ConstraintTypidIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = ((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_CHECK;
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return found;
}

static bool
input_runs_code(Oid type)
{
	Oid			input;
	Oid			parameter;
	Oid			language;
	HeapTuple	tuple;

	getTypeInputInfo(type, &input, &parameter);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(input));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", input);
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);
	return language != INTERNALlanguageId && language != ClanguageId;
}

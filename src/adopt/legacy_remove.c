/*
 * legacy_remove.c
 *		Takes the older PL/pgSQL implementation's triggers and functions away.
 *
 * Locks: ACCESS EXCLUSIVE on tables whose triggers are dropped.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "adopt/adopt.h"

static bool is_used(Oid function);

/*
 * Remove the older implementation's triggers from the table, under whatever
 * name they go.  Takes ACCESS EXCLUSIVE on it.  Returns whether there were any.
 */
bool
legacy_remove_triggers(Oid live)
{
	Relation	rel = table_open(live, AccessExclusiveLock);
	TriggerDesc *there = CopyTriggerDesc(rel->trigdesc);
	List	   *names = NIL;
	ListCell   *lc;
	int			t;

	for (t = 0; there && t < there->numtriggers; t++)
		if (!there->triggers[t].tgisinternal &&
			legacy_is_function(there->triggers[t].tgfoid))
			names = lappend(names, pstrdup(there->triggers[t].tgname));
	table_close(rel, NoLock);
	foreach(lc, names)
		catalog_drop(TriggerRelationId, get_trigger_oid(live, lfirst(lc), false), false);
	return names != NIL;
}

/*
 * Drop its trigger functions, except for those that something still uses, or
 * that are neither a superuser's nor the registrar's; these are returned.
 */
List *
legacy_drop_functions(Oid registrar)
{
	Relation	catalog = table_open(ProcedureRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *functions = NIL;
	List	   *left = NIL;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		if (form->pronargs > 0 || !legacy_is_function(form->oid))
			continue;
		if (is_used(form->oid) ||
			(form->proowner != registrar && !superuser_arg(form->proowner)))
			left = lappend_oid(left, form->oid);
		else
			functions = lappend_oid(functions, form->oid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);

	foreach(lc, functions)
		catalog_drop(ProcedureRelationId, lfirst_oid(lc), false);
	return left;
}

static bool
is_used(Oid function)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	bool		used;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(function));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	used = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return used;
}

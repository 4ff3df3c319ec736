/*
 * retention.c
 *		The table that says how long histories are kept; see maintain.c.
 *
 * What is said of a table ends with its history: another one, which it gets later, is
 * nobody's to shorten.
 *
 * Locks: ROW EXCLUSIVE on the table while a row is deleted.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "registry/registry.h"

/* Returns catmaid_history_internal.catmaid_history_retention, or InvalidOid. */
Oid
retention_relid(void)
{
	Oid			namespace = get_namespace_oid(INTERNAL_SCHEMA, true);

	return OidIsValid(namespace) && OidIsValid(extension_registry_or_invalid()) ?
		get_relname_relid("catmaid_history_retention", namespace) : InvalidOid;
}

/* The table's history is gone, or serves it no more. */
void
retention_forget(Oid live)
{
	Oid			relid = retention_relid();
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid))
		return;
	rel = table_open(relid, RowExclusiveLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Oid			of = DatumGetObjectId(heap_getattr(tuple, ANUM_RETENTION_LIVE,
													   RelationGetDescr(rel), &isnull));

		if (!isnull && of == live)
			CatalogTupleDelete(rel, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

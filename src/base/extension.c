/*
 * extension.c
 *		The extension's schema and its registry table, found through the extension.
 *
 * Never through search_path.  The registry's OID is kept in the session until an
 * invalidation says that it may be another one.
 *
 * Locks: ACCESS SHARE on pg_extension while it is read.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base.h"
#include "compat.h"

#define REGISTRY_TABLE	"catmaid_history_table"

static Oid	registry_oid = InvalidOid;
static uint64 changes = 0;

static Oid	find_registry(void);
static Oid	ordinary_table(Oid relid);

/* The registry's OID, found through the extension, not through search_path. */
Oid
extension_registry(void)
{
	Oid			relid = extension_registry_or_invalid();

	if (!OidIsValid(relid) && OidIsValid(get_extension_oid("catmaid_history", true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" of extension \"%s\" was dropped or renamed",
						REGISTRY_TABLE, "catmaid_history"),
				 errhint("Rename it back to \"%s\".", REGISTRY_TABLE)));
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" is not installed in this database",
						"catmaid_history"),
				 errhint("CREATE EXTENSION catmaid_history;")));
	return relid;
}

/* The registry's OID, or InvalidOid while there is no registry. */
Oid
extension_registry_or_invalid(void)
{
	if (!OidIsValid(registry_oid))
		registry_oid = find_registry();
	return registry_oid;
}

/* The schema of the extension's objects. */
Oid
extension_namespace(void)
{
	return get_rel_namespace(extension_registry());
}

/* From the relcache callback: the registry may be another one now. */
void
extension_forget_registry(Oid relid)
{
	if (OidIsValid(relid) && relid != registry_oid)
		return;
	registry_oid = InvalidOid;
	changes++;
}

/*
 * How often it may have changed until now.  Whoever asks before reading, and again
 * later, knows whether that is still true.
 */
uint64
extension_registry_changes(void)
{
	return changes;
}

static Oid
find_registry(void)
{
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			namespace = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("catmaid_history"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		namespace = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);

	return OidIsValid(namespace) ?
		ordinary_table(get_relname_relid(REGISTRY_TABLE, namespace)) : InvalidOid;
}

/*
 * The relation if it can be read as a table, or InvalidOid: what is to be adopted is still
 * another role's, who may put anything in its place.
 */
static Oid
ordinary_table(Oid relid)
{
	return OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_RELATION &&
		get_rel_persistence(relid) != RELPERSISTENCE_TEMP ? relid : InvalidOid;
}

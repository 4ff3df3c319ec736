/*
 * registry.c
 *		The registry: which tables are tracked, and where their history is.
 *
 * catmaid_history_table is an ordinary table, so that it can be read and dumped
 * like one, but only the extension writes it: straight through the table
 * access method, past privileges, under the lock that the caller holds on the
 * live table.  Every change, ours or a restore's (through a statement trigger),
 * sends a relcache invalidation for the registry itself; cache.c listens.
 *
 * Reading takes ACCESS SHARE on the registry and writing ROW EXCLUSIVE, until
 * the transaction ends.  Rows are palloc'd in the current memory context.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "registry/registry.h"

enum
{
	Anum_live = 1, Anum_history, Anum_installed, Anum_pkey, Anum_tracking,
	Anum_time, Anum_txid, Anum_created, Anum_key,
	Anum_key_since, Anum_maker_until, Anum_maker_snapshot,
	Natts_registry = Anum_maker_snapshot
};

static bool same_row(const RegistryRow *a, const RegistryRow *b);
static RegistryRow *row_from_tuple(HeapTuple tuple, TupleDesc desc);
static void values_from_row(const RegistryRow *row, Datum *values, bool *nulls);
static Oid	live_in_column(Relation registry, AttrNumber column, Oid relid,
						   Snapshot snapshot);
static HeapTuple find_row(Relation registry, AttrNumber column, Oid relid,
						  Snapshot snapshot);
static Oid	index_on(Relation registry, AttrNumber column);
static bool is_btree(Oid index);
static SysScanDesc scan_live(Relation registry, Oid live, ScanKey key);
static void registry_replace_name(char **name, const char *from, const char *to);

PG_FUNCTION_INFO_V1(catmaid_history_registry_changed);

/*
 * Returns true if the table has the columns of a registry.  That of the older
 * implementation lacks the last ones.
 */
bool
registry_has_shape(Oid relid)
{
	static const Oid types[] = {
		REGCLASSOID, REGCLASSOID, BOOLOID, TEXTOID, REGCLASSOID, TEXTOID, TEXTOID,
		TIMESTAMPTZOID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID, PG_SNAPSHOTOID
	};
	Relation	rel = table_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		has = desc->natts >= Anum_created;
	int			i;

	for (i = 0; has && i < Min(desc->natts, Natts_registry); i++)
		has = TupleDescAttr(desc, i)->atttypid == types[i] &&
			(TupleDescAttr(desc, i)->attnotnull ||
			 i == Anum_tracking - 1 || i >= Anum_key - 1);
	table_close(rel, NoLock);
	return has;
}

/* The live table's row, or NULL. */
RegistryRow *
registry_get(Oid live)
{
	Relation	registry = table_open(extension_registry(), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan = scan_live(registry, live, &key);
	HeapTuple	tuple = systable_getnext(scan);
	RegistryRow *row = NULL;

	if (HeapTupleIsValid(tuple))
		row = row_from_tuple(tuple, RelationGetDescr(registry));
	systable_endscan(scan);
	table_close(registry, NoLock);
	return row;
}

/*
 * Returns a row of which relid is the history or tracking table, or NULL.  There may be
 * several: registry_get_by_derived chooses.
 */
RegistryRow *
registry_any_by_derived(Oid relid)
{
	Relation	registry = table_open(extension_registry(), AccessShareLock);
	HeapTuple	tuple = find_row(registry, Anum_history, relid, NULL);
	RegistryRow *row = NULL;

	if (tuple == NULL)
		tuple = find_row(registry, Anum_tracking, relid, NULL);
	if (tuple)
		row = row_from_tuple(tuple, RelationGetDescr(registry));
	table_close(registry, NoLock);
	return row;
}

/*
 * The live table of which relid is the history or tracking table, or relid itself if
 * that is registered; else InvalidOid.  Does not keep the lock on the registry.  (See
 * registered.c.)
 */
Oid
registry_live_of(Oid relid)
{
	Relation	registry = table_open(extension_registry(), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(registry)));
	Oid			live = live_in_column(registry, Anum_live, relid, snapshot);

	if (!OidIsValid(live))
		live = live_in_column(registry, Anum_history, relid, snapshot);
	if (!OidIsValid(live))
		live = live_in_column(registry, Anum_tracking, relid, snapshot);
	UnregisterSnapshot(snapshot);
	table_close(registry, AccessShareLock);
	return live;
}

/*
 * Returns true if relid is a registered table's history, as the snapshot shows the registry.
 */
bool
registry_is_history(Oid relid, Snapshot snapshot)
{
	Relation	registry = table_open(extension_registry(), AccessShareLock);
	bool		is = OidIsValid(live_in_column(registry, Anum_history, relid, snapshot));

	table_close(registry, NoLock);
	return is;
}

static Oid
live_in_column(Relation registry, AttrNumber column, Oid relid, Snapshot snapshot)
{
	HeapTuple	tuple = find_row(registry, column, relid, snapshot);
	bool		isnull;

	return tuple == NULL ? InvalidOid :
		DatumGetObjectId(heap_getattr(tuple, Anum_live, RelationGetDescr(registry),
									  &isnull));
}

/* A copy of the row that has relid in that column, or NULL.  snapshot: NULL for now. */
static HeapTuple
find_row(Relation registry, AttrNumber column, Oid relid, Snapshot snapshot)
{
	Oid			index = index_on(registry, column);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(registry, index, OidIsValid(index), snapshot, 1, &key);
	tuple = systable_getnext(scan);
	tuple = HeapTupleIsValid(tuple) ? heap_copytuple(tuple) : NULL;
	systable_endscan(scan);
	return tuple;
}

/* A complete btree index of that column alone, or InvalidOid. */
static Oid
index_on(Relation registry, AttrNumber column)
{
	List	   *indexes = RelationGetIndexList(registry);
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index form;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_index) GETSTRUCT(tuple);
		if (form->indisvalid && form->indnatts == 1 && is_btree(lfirst_oid(lc)) &&
			form->indkey.values[0] == column &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL))
			found = lfirst_oid(lc);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/* Another kind, which an adopted registry may have, cannot be asked as ours are. */
static bool
is_btree(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool		is = HeapTupleIsValid(tuple) &&
		((Form_pg_class) GETSTRUCT(tuple))->relam == BTREE_AM_OID;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return is;
}

/* All rows, by the OID of the live table: the order in which to lock them. */
static int
row_compare(const ListCell *a, const ListCell *b)
{
	Oid			left = ((RegistryRow *) lfirst(a))->live;
	Oid			right = ((RegistryRow *) lfirst(b))->live;

	return left < right ? -1 : left > right;
}

List *
registry_all(void)
{
	Relation	registry = table_open(extension_registry(), AccessShareLock);
	SysScanDesc scan = systable_beginscan(registry, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *rows = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, row_from_tuple(tuple, RelationGetDescr(registry)));
	systable_endscan(scan);
	table_close(registry, NoLock);
	list_sort(rows, row_compare);
	return rows;
}

/*
 * Versions of the table may have been stored by the older implementation, which the
 * registry has said of a row that is not there any more: the history was kept and is
 * taken up, or its rows are copied from another.  So what other rows say of the
 * database's adoption is true of this one too; of versions that have ended since, it
 * says nothing.
 */
void
registry_inherit_maker(RegistryRow *row)
{
	ListCell   *lc;

	if (!OidIsValid(row->tracking))
		return;
	foreach(lc, registry_all())
	{
		RegistryRow *other = lfirst(lc);

		if (other->maker_until <= row->maker_until)
			continue;
		row->maker_until = other->maker_until;
		row->maker_snapshot = other->maker_snapshot;
	}
}

void
registry_insert(const RegistryRow *row)
{
	Relation	registry = table_open(extension_registry(), RowExclusiveLock);
	int			natts = RelationGetNumberOfAttributes(registry);
	Datum	   *values = palloc0(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);

	memset(nulls, true, sizeof(bool) * natts);
	values_from_row(row, values, nulls);
	values[Anum_created - 1] =
		TimestampTzGetDatum(row->created ? row->created : GetCurrentTimestamp());
	CatalogTupleInsert(registry,
					   heap_form_tuple(RelationGetDescr(registry), values, nulls));
	CacheInvalidateRelcache(registry);
	table_close(registry, NoLock);
	CommandCounterIncrement();
}

/*
 * Wait for others who update the table's row, until their transactions end.
 * The lock on the live table keeps them apart but for the partitions of one
 * table, whose triggers may be made by several sessions (pg_restore -j).
 */
void
registry_lock_row(Oid live)
{
	LockDatabaseObject(RelationRelationId, live, 0, ExclusiveLock);
}

/*
 * Bring the stored row of row->live up to date, if it is not; creation_time stays, and
 * maker_until, once it is there, is never taken away.
 */
void
registry_update(const RegistryRow *row)
{
	RegistryRow *current = registry_get(row->live);
	Relation	registry;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Datum	   *values;
	bool	   *nulls;
	bool	   *replace;
	int			natts;

	if (current && same_row(current, row))
		return;
	registry_lock_row(row->live);
	registry = table_open(extension_registry(), RowExclusiveLock);
	scan = scan_live(registry, row->live, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "table %u is not registered", row->live);

	natts = RelationGetNumberOfAttributes(registry);
	values = palloc0(sizeof(Datum) * natts);
	nulls = palloc(sizeof(bool) * natts);
	replace = palloc0(sizeof(bool) * natts);
	values_from_row(row, values, nulls);
	memset(replace, true, sizeof(bool) * Natts_registry);
	replace[Anum_created - 1] = false;
	replace[Anum_maker_until - 1] = replace[Anum_maker_snapshot - 1] = row->maker_until != 0;
	tuple = heap_modify_tuple(tuple, RelationGetDescr(registry),
							  values, nulls, replace);
	CatalogTupleUpdate(registry, &tuple->t_self, tuple);
	systable_endscan(scan);
	CacheInvalidateRelcache(registry);
	table_close(registry, NoLock);
	CommandCounterIncrement();
}

static bool
same_row(const RegistryRow *a, const RegistryRow *b)
{
	return a->history == b->history && a->tracking == b->tracking &&
		a->triggers_installed == b->triggers_installed &&
		strcmp(a->time_column, b->time_column) == 0 &&
		strcmp(a->txid_column, b->txid_column) == 0 && a->key_since == b->key_since &&
		(b->maker_until == 0 || a->maker_until == b->maker_until) &&
		columns_same_names(a->key, b->key);
}

/*
 * Forget the table.  Returns false if it is not registered, or if another session has
 * forgotten it meanwhile.
 */
bool
registry_delete(Oid live)
{
	bool		found;
	Relation	registry;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	registry_lock_row(live);
	registry = table_open(extension_registry(), RowExclusiveLock);
	scan = scan_live(registry, live, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		CatalogTupleDelete(registry, &tuple->t_self);
		CacheInvalidateRelcache(registry);
	}
	systable_endscan(scan);
	table_close(registry, NoLock);
	CommandCounterIncrement();
	return found;
}

/*
 * Statement trigger on the registry: somebody else than this file wrote it (a
 * restore), so tell all sessions to look again.
 */
Datum
catmaid_history_registry_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger",
						"catmaid_history_registry_changed")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

/* The tables that the registry's row names, into *row; InvalidOid for NULL. */
void
registry_tables_of(HeapTuple tuple, TupleDesc desc, RegistryRow *row)
{
	bool		isnull;
	Datum		datum;

	datum = heap_getattr(tuple, Anum_live, desc, &isnull);
	row->live = isnull ? InvalidOid : DatumGetObjectId(datum);
	datum = heap_getattr(tuple, Anum_history, desc, &isnull);
	row->history = isnull ? InvalidOid : DatumGetObjectId(datum);
	datum = heap_getattr(tuple, Anum_tracking, desc, &isnull);
	row->tracking = isnull ? InvalidOid : DatumGetObjectId(datum);
}

static RegistryRow *
row_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	RegistryRow *row = palloc0(sizeof(RegistryRow));
	int			natts = Max(desc->natts, Natts_registry);
	Datum	   *values = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);
	Datum	   *names;
	int			n = 0;
	int			i;

	memset(nulls, true, sizeof(bool) * natts);
	heap_deform_tuple(tuple, desc, values, nulls);
	row->live = DatumGetObjectId(values[Anum_live - 1]);
	row->history = DatumGetObjectId(values[Anum_history - 1]);
	row->triggers_installed = DatumGetBool(values[Anum_installed - 1]);
	if (!nulls[Anum_tracking - 1])
		row->tracking = DatumGetObjectId(values[Anum_tracking - 1]);
	row->time_column = TextDatumGetCString(values[Anum_time - 1]);
	row->txid_column = TextDatumGetCString(values[Anum_txid - 1]);

	if (!nulls[Anum_key - 1])
		deconstruct_array(DatumGetArrayTypePCopy(values[Anum_key - 1]),
						  TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	/* one at least, and no more than an index has, whatever somebody has written there */
	for (i = 0; i < Min(n, INDEX_MAX_KEYS); i++)
		row->key = lappend(row->key, TextDatumGetCString(names[i]));
	if (row->key == NIL)
		row->key = list_make1(TextDatumGetCString(values[Anum_pkey - 1]));
	if (!nulls[Anum_created - 1])
		row->created = DatumGetTimestampTz(values[Anum_created - 1]);
	if (!nulls[Anum_key_since - 1])
		row->key_since = DatumGetTimestampTz(values[Anum_key_since - 1]);
	if (!nulls[Anum_maker_until - 1] && !nulls[Anum_maker_snapshot - 1])
	{
		row->maker_until = DatumGetTimestampTz(values[Anum_maker_until - 1]);
		row->maker_snapshot =
			PointerGetDatum(PG_DETOAST_DATUM_COPY(values[Anum_maker_snapshot - 1]));
	}
	return row;
}

static void
values_from_row(const RegistryRow *row, Datum *values, bool *nulls)
{
	Datum	   *names = palloc(sizeof(Datum) * list_length(row->key));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, row->key)
		names[n++] = CStringGetTextDatum(lfirst(lc));

	memset(nulls, false, sizeof(bool) * Natts_registry);
	values[Anum_live - 1] = ObjectIdGetDatum(row->live);
	values[Anum_history - 1] = ObjectIdGetDatum(row->history);
	values[Anum_installed - 1] = BoolGetDatum(row->triggers_installed);
	values[Anum_pkey - 1] = names[0];
	values[Anum_tracking - 1] = ObjectIdGetDatum(row->tracking);
	nulls[Anum_tracking - 1] = !OidIsValid(row->tracking);
	values[Anum_time - 1] = CStringGetTextDatum(row->time_column);
	values[Anum_txid - 1] = CStringGetTextDatum(row->txid_column);
	values[Anum_created - 1] = (Datum) 0;
	values[Anum_key - 1] =
		PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[Anum_key_since - 1] = TimestampTzGetDatum(row->key_since);
	nulls[Anum_key_since - 1] = row->key_since == 0;
	values[Anum_maker_until - 1] = TimestampTzGetDatum(row->maker_until);
	values[Anum_maker_snapshot - 1] = row->maker_snapshot;
	nulls[Anum_maker_until - 1] = nulls[Anum_maker_snapshot - 1] = row->maker_until == 0;
}

static SysScanDesc
scan_live(Relation registry, Oid live, ScanKey key)
{
	ScanKeyInit(key, Anum_live, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(live));
	return systable_beginscan(registry, columns_primary_key_index(registry),
							  OidIsValid(columns_primary_key_index(registry)),
							  NULL, 1, key);
}

/* The live column has another name, also where it is registered. */
void
registry_row_rename_column(RegistryRow *row, const char *from, const char *to)
{
	ListCell   *lc;

	foreach(lc, row->key)
		registry_replace_name((char **) &lfirst(lc), from, to);
	if (!OidIsValid(row->tracking))
	{
		registry_replace_name(&row->time_column, from, to);
		registry_replace_name(&row->txid_column, from, to);
	}
}

static void
registry_replace_name(char **name, const char *from, const char *to)
{
	if (strcmp(*name, from) == 0)
		*name = pstrdup(to);
}

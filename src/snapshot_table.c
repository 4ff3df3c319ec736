/*
 * snapshot_table.c
 *		How one table looks, by the catalogs.
 *
 * Read from the system caches, without locks; snapshot.c says for which tables,
 * and when.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catmaid_history.h"

static AttrNumber natts_of(Oid relid);
static void read_column(ColumnSnapshot *column, Form_pg_attribute att);
static Oid	primary_key_of(Oid relid);
static void note_name(NameData *name, Oid relid);

/*
 * Fill in the snapshot from the catalogs, in the current memory context: what is
 * registered of the table must be in it.  Returns false if the table is gone.
 */
bool
snapshot_read(TableSnapshot *snapshot)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(snapshot->live));
	Form_pg_class form;
	RegistryRow row = {.live = snapshot->live};
	int			natts;
	bool		partitioned;
	int			i;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	snapshot->name = form->relname;
	snapshot->namespace = form->relnamespace;
	snapshot->owner = form->relowner;
	snapshot->persistence = form->relpersistence;
	natts = form->relnatts;
	partitioned = form->relkind == RELKIND_PARTITIONED_TABLE;
	ReleaseSysCache(tuple);

	snapshot->columns = palloc0(sizeof(ColumnSnapshot) * Max(natts, 1));
	snapshot->natts = natts;
	for (i = 0; i < natts; i++)
	{
		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(snapshot->live),
								Int16GetDatum(i + 1));
		if (!HeapTupleIsValid(tuple))
			continue;
		read_column(&snapshot->columns[i], (Form_pg_attribute) GETSTRUCT(tuple));
		ReleaseSysCache(tuple);
	}
	row.history = snapshot->history;
	row.tracking = snapshot->tracking;
	snapshot->sound = registry_is_sound(&row, snapshot->owner);
	note_name(&snapshot->history_name, snapshot->history);
	note_name(&snapshot->tracking_name, snapshot->tracking);
	if (NameStr(snapshot->history_name)[0] != '\0')
	{
		snapshot->history_namespace = get_rel_namespace(snapshot->history);
		snapshot->history_natts = natts_of(snapshot->history);
	}
	if (NameStr(snapshot->tracking_name)[0] != '\0')
		snapshot->tracking_namespace = get_rel_namespace(snapshot->tracking);
	snapshot->key_index = primary_key_of(snapshot->live);
	snapshot->parents = lineage_parents(snapshot->live);
	snapshot->leaves = NIL;
	if (partitioned)
		snapshot->leaves = triggers_leaf_partitions(snapshot->live, NoLock);
	return true;
}

/* The number of the relation's columns, dropped ones included; 0 if it is gone. */
static AttrNumber
natts_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	AttrNumber	natts;

	if (!HeapTupleIsValid(tuple))
		return 0;
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	return natts;
}

static void
read_column(ColumnSnapshot *column, Form_pg_attribute att)
{
	column->exists = !att->attisdropped;
	column->name = att->attname;
	if (column->exists)
		columns_base_type(att, &column->type, &column->typmod);
	column->declared_type = att->atttypid;
	column->collation = att->attcollation;
}

static Oid
primary_key_of(Oid relid)
{
	Relation	indexes = table_open(IndexRelationId, AccessShareLock);
	Oid			found = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(indexes, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (((Form_pg_index) GETSTRUCT(tuple))->indisprimary)
			found = ((Form_pg_index) GETSTRUCT(tuple))->indexrelid;
	systable_endscan(scan);
	table_close(indexes, AccessShareLock);
	return found;
}

/*
 * Columns that another transaction has added, dropped or changed since: its
 * session has followed that, and there is nothing left to do.  Who changed a
 * column says its row in pg_attribute.
 */
void
snapshot_pass_over_others(TableSnapshot *copy)
{
	int			natts = natts_of(copy->live);
	int			i;

	if (natts > copy->natts)
	{
		copy->columns = repalloc(copy->columns, sizeof(ColumnSnapshot) * natts);
		memset(copy->columns + copy->natts, 0,
			   sizeof(ColumnSnapshot) * (natts - copy->natts));
		copy->natts = natts;
	}
	for (i = 0; i < natts; i++)
	{
		HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(copy->live),
											Int16GetDatum(i + 1));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
			read_column(&copy->columns[i], (Form_pg_attribute) GETSTRUCT(tuple));
		ReleaseSysCache(tuple);
	}
}

/* Has the relation's column the type, and all that belongs to it, of this one? */
bool
snapshot_has_type(Oid relid, AttrNumber attnum, const ColumnSnapshot *column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relid, attnum, &type, &typmod, &collation);
	return type == column->type && typmod == column->typmod &&
		collation == column->collation;
}

static void
note_name(NameData *name, Oid relid)
{
	char	   *current = OidIsValid(relid) ? get_rel_name(relid) : NULL;

	namestrcpy(name, current ? current : "");
}

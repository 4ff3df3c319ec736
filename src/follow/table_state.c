/*
 * table_state.c
 *		How a registered table looks, now and before a command.
 *
 * The catalogs are read with MVCC snapshots.  "Before" is the newest snapshot
 * with an older command id: all that others have committed, and of this
 * transaction what it had done when the command began.  So the two states differ
 * in what the command has done and in nothing else, however long it has run or
 * waited, and nothing has to be remembered of a table beforehand.
 *
 * Takes no locks but ACCESS SHARE on catalogs, for the time of reading.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "follow/follow.h"
#include "compat.h"

static TableState *read_state(const RegistryRow *row, Snapshot snapshot, bool triggers);
static bool same_derived(const DerivedState *a, const DerivedState *b);
static void read_derived(DerivedState *state, Oid relid, Snapshot snapshot);
static bool read_class(Oid relid, Snapshot snapshot, Form_pg_class form);
static ColumnState *read_columns(Oid relid, int natts, Snapshot snapshot);
static Oid	base_type(Oid type, int32 *typmod, Snapshot snapshot);
static Oid	primary_key_of(Oid relid, Snapshot snapshot);
static List *parents_of(Oid relid, Snapshot snapshot);
static List *leaves_of(Oid relid, Snapshot snapshot);
static List *children_of(Oid relid, Snapshot snapshot);
static SysScanDesc scan_catalog(Relation *catalog, Oid relid, Oid index,
								AttrNumber attnum, Oid wanted, ScanKey key,
								Snapshot snapshot);

/*
 * The state of the table before what this transaction has done since the command
 * id, and now; palloc'd, NULL where there is no such table.  Whether it was tracked
 * before is told of a table that has gone only.
 */
void
table_state_compare(const RegistryRow *row, CommandId since,
					TableState **before, TableState **now)
{
	Snapshot	snapshot = table_state_snapshot(InvalidCommandId);
	CommandId	current = snapshot->curcid;

	*now = read_state(row, snapshot, true);
	snapshot->curcid = since;
	*before = read_state(row, snapshot, *now == NULL);
	snapshot->curcid = current;
	UnregisterSnapshot(snapshot);
}

/* One of them. */
TableState *
table_state_before(const RegistryRow *row, CommandId since)
{
	Snapshot	snapshot = table_state_snapshot(since);
	TableState *state = read_state(row, snapshot, true);

	UnregisterSnapshot(snapshot);
	return state;
}

TableState *
table_state_now(const RegistryRow *row)
{
	return table_state_before(row, InvalidCommandId);
}

/* Returns true if there was the relation, as of the command id. */
bool
table_state_existed(Oid relid, CommandId since)
{
	Snapshot	snapshot = table_state_snapshot(since);
	FormData_pg_class form;
	bool		existed = read_class(relid, snapshot, &form);

	UnregisterSnapshot(snapshot);
	return existed;
}

/* What it inherited from, and what from it, as of the command id; InvalidCommandId: now. */
List *
table_state_parents(Oid relid, CommandId since)
{
	Snapshot	snapshot = table_state_snapshot(since);
	List	   *parents = parents_of(relid, snapshot);

	UnregisterSnapshot(snapshot);
	return parents;
}

List *
table_state_children(Oid relid, CommandId since)
{
	Snapshot	snapshot = table_state_snapshot(since);
	List	   *children = children_of(relid, snapshot);

	UnregisterSnapshot(snapshot);
	list_sort(children, list_oid_cmp);
	return children;
}

/* Returns true if they differ in nothing that is followed. */
bool
table_state_equal(const TableState *a, const TableState *b)
{
	int			i;

	if (a == NULL || b == NULL)
		return a == b;
	if (strcmp(NameStr(a->name), NameStr(b->name)) != 0 ||
		a->namespace != b->namespace || a->owner != b->owner ||
		a->persistence != b->persistence || a->natts != b->natts ||
		a->key_index != b->key_index || !same_derived(&a->history, &b->history) ||
		!same_derived(&a->tracking, &b->tracking) ||
		!equal(a->parents, b->parents) || !equal(a->leaves, b->leaves))
		return false;
	for (i = 0; i < a->natts; i++)
		if (!table_state_same_column(&a->columns[i], &b->columns[i]))
			return false;
	return true;
}

bool
table_state_same_column(const ColumnState *a, const ColumnState *b)
{
	return a->exists == b->exists &&
		(!a->exists ||
		 (strcmp(NameStr(a->name), NameStr(b->name)) == 0 &&
		  a->type == b->type && a->typmod == b->typmod &&
		  a->declared_type == b->declared_type && a->collation == b->collation));
}

static bool
same_derived(const DerivedState *a, const DerivedState *b)
{
	return a->exists == b->exists &&
		(!a->exists ||
		 (strcmp(NameStr(a->name), NameStr(b->name)) == 0 &&
		  a->namespace == b->namespace && a->owner == b->owner));
}

/* Returns true if the relation's column has this one's type, modifier and collation. */
bool
table_state_has_type(Oid relid, AttrNumber attnum, const ColumnState *column)
{
	return columns_have_type(relid, attnum, column->type, column->typmod, column->collation);
}

/*
 * The newest snapshot, registered: a copy of our own, whose command id may be
 * changed.  InvalidCommandId: the current one.
 */
Snapshot
table_state_snapshot(CommandId curcid)
{
	Snapshot	snapshot;

	/* GetLatestSnapshot would hand out the transaction's, were it the first */
	if (!FirstSnapshotSet)
		(void) GetTransactionSnapshot();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (curcid != InvalidCommandId)
		snapshot->curcid = curcid;
	return snapshot;
}

/* triggers: also what only pg_trigger tells */
static TableState *
read_state(const RegistryRow *row, Snapshot snapshot, bool triggers)
{
	FormData_pg_class form;
	TableState *state;

	if (!read_class(row->live, snapshot, &form))
		return NULL;
	state = palloc0(sizeof(TableState));
	state->live = row->live;
	state->name = form.relname;
	state->namespace = form.relnamespace;
	state->owner = form.relowner;
	state->persistence = form.relpersistence;
	state->natts = form.relnatts;
	state->columns = read_columns(row->live, form.relnatts, snapshot);
	read_derived(&state->history, row->history, snapshot);
	read_derived(&state->tracking, row->tracking, snapshot);
	state->owners_agree = (!state->history.exists || state->history.owner == form.relowner) &&
		(!state->tracking.exists || state->tracking.owner == form.relowner);
	state->tracked = triggers && triggers_there(row, snapshot);
	state->key_index = primary_key_of(row->live, snapshot);
	state->parents = parents_of(row->live, snapshot);
	if (form.relkind == RELKIND_PARTITIONED_TABLE)
		state->leaves = leaves_of(row->live, snapshot);
	return state;
}

static void
read_derived(DerivedState *state, Oid relid, Snapshot snapshot)
{
	FormData_pg_class form;

	state->exists = OidIsValid(relid) && read_class(relid, snapshot, &form);
	if (!state->exists)
		return;
	state->name = form.relname;
	state->namespace = form.relnamespace;
	state->owner = form.relowner;
	state->natts = form.relnatts;
}

static bool
read_class(Oid relid, Snapshot snapshot, Form_pg_class form)
{
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan = scan_catalog(&catalog, RelationRelationId, ClassOidIndexId,
									Anum_pg_class_oid, relid, &key, snapshot);
	HeapTuple	tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
		memcpy(form, GETSTRUCT(tuple), CLASS_TUPLE_SIZE);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

static ColumnState *
read_columns(Oid relid, int natts, Snapshot snapshot)
{
	ColumnState *columns = palloc0(sizeof(ColumnState) * Max(natts, 1));
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan = scan_catalog(&catalog, AttributeRelationId,
									AttributeRelidNumIndexId,
									Anum_pg_attribute_attrelid, relid, &key, snapshot);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);
		ColumnState *column;

		if (att->attnum <= 0 || att->attnum > natts || att->attisdropped)
			continue;
		column = &columns[att->attnum - 1];
		column->exists = true;
		column->name = att->attname;
		column->typmod = att->atttypmod;
		column->type = base_type(att->atttypid, &column->typmod, snapshot);
		column->declared_type = att->atttypid;
		column->collation = att->attcollation;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return columns;
}

/*
 * As getBaseTypeAndTypmod, though the domain may have gone since.  A domain that is
 * there is over the same type as ever.
 */
static Oid
base_type(Oid type, int32 *typmod, Snapshot snapshot)
{
	while (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)))
	{
		Relation	catalog;
		ScanKeyData key;
		SysScanDesc scan = scan_catalog(&catalog, TypeRelationId, TypeOidIndexId,
										Anum_pg_type_oid, type, &key, snapshot);
		HeapTuple	tuple = systable_getnext(scan);
		Form_pg_type form;
		bool		is_domain;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "type %u is not there", type);
		form = (Form_pg_type) GETSTRUCT(tuple);
		is_domain = form->typtype == TYPTYPE_DOMAIN;
		if (is_domain)
		{
			type = form->typbasetype;
			*typmod = form->typtypmod;
		}
		systable_endscan(scan);
		table_close(catalog, AccessShareLock);
		if (!is_domain)
			return type;
	}
	return getBaseTypeAndTypmod(type, typmod);
}

/* Its index, be it valid or not; InvalidOid without one. */
static Oid
primary_key_of(Oid relid, Snapshot snapshot)
{
	Oid			found = InvalidOid;
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan = scan_catalog(&catalog, IndexRelationId, IndexIndrelidIndexId,
									Anum_pg_index_indrelid, relid, &key, snapshot);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (((Form_pg_index) GETSTRUCT(tuple))->indisprimary &&
			((Form_pg_index) GETSTRUCT(tuple))->indisvalid)
			found = ((Form_pg_index) GETSTRUCT(tuple))->indexrelid;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/* The tables that it inherits from, by sequence number. */
static List *
parents_of(Oid relid, Snapshot snapshot)
{
	List	   *parents = NIL;
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan = scan_catalog(&catalog, InheritsRelationId,
									InheritsRelidSeqnoIndexId,
									Anum_pg_inherits_inhrelid, relid, &key, snapshot);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return parents;
}

/*
 * The partitions below it that hold rows, those included whose DETACH CONCURRENTLY
 * was interrupted.
 */
static List *
leaves_of(Oid relid, Snapshot snapshot)
{
	List	   *tree = list_make1_oid(relid);
	List	   *leaves = NIL;
	int			i;

	for (i = 0; i < list_length(tree); i++)
	{
		ListCell   *lc;

		foreach(lc, children_of(list_nth_oid(tree, i), snapshot))
		{
			FormData_pg_class form;
			char		relkind = get_rel_relkind(lfirst_oid(lc));

			/* a relation's kind is for ever, as far as partitions go */
			if (relkind == '\0')
				relkind = read_class(lfirst_oid(lc), snapshot, &form) ? form.relkind : '\0';
			if (relkind == RELKIND_PARTITIONED_TABLE)
				tree = lappend_oid(tree, lfirst_oid(lc));
			else if (relkind == RELKIND_RELATION)
				leaves = lappend_oid(leaves, lfirst_oid(lc));
		}
	}
	return leaves;
}

static List *
children_of(Oid relid, Snapshot snapshot)
{
	List	   *children = NIL;
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan = scan_catalog(&catalog, InheritsRelationId, InheritsParentIndexId,
									Anum_pg_inherits_inhparent, relid, &key, snapshot);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		children = lappend_oid(children, ((Form_pg_inherits) GETSTRUCT(tuple))->inhrelid);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	list_sort(children, list_oid_cmp);
	return children;
}

/* Scan the catalog for rows with that OID in that column, the index's first. */
static SysScanDesc
scan_catalog(Relation *catalog, Oid relid, Oid index, AttrNumber attnum, Oid wanted,
			 ScanKey key, Snapshot snapshot)
{
	*catalog = table_open(relid, AccessShareLock);
	ScanKeyInit(key, attnum, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(wanted));
	return systable_beginscan(*catalog, index, true, snapshot, 1, key);
}

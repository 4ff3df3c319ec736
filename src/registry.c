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

#include "catmaid_history.h"

#define REGISTRY_TABLE	"catmaid_history_table"

enum
{
	Anum_live = 1, Anum_history, Anum_installed, Anum_pkey, Anum_tracking,
	Anum_time, Anum_txid, Anum_created, Anum_key,
	Anum_key_since, Natts_registry = Anum_key_since
};

static Oid	registry_oid = InvalidOid;
static uint64 changes = 0;

static bool same_row(const RegistryRow *a, const RegistryRow *b);
static RegistryRow *row_from_tuple(HeapTuple tuple, TupleDesc desc);
static void values_from_row(const RegistryRow *row, Datum *values, bool *nulls);
static Oid	live_in_column(Relation registry, AttrNumber column, Oid relid,
						   Snapshot snapshot);
static HeapTuple find_row(Relation registry, AttrNumber column, Oid relid,
						  Snapshot snapshot);
static Oid	index_on(Relation registry, AttrNumber column);
static RegistryRow *better_row(RegistryRow *row, Oid relid);
static bool is_sound(const RegistryRow *row);
static bool unmarked_is_sound(const RegistryRow *row);
static bool names_agree(const RegistryRow *row);
static bool is_used_by_others(const RegistryRow *row, Oid relid);
static SysScanDesc scan_live(Relation registry, Oid live, ScanKey key);
static Oid	find_registry(void);

PG_FUNCTION_INFO_V1(catmaid_history_registry_changed);

/* The registry's OID, found through the extension, not through search_path. */
Oid
registry_relid(void)
{
	Oid			relid = registry_relid_or_invalid();

	if (!OidIsValid(relid) && OidIsValid(get_extension_oid("catmaid_history", true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" of extension \"%s\" is gone, or has another name",
						REGISTRY_TABLE, "catmaid_history"),
				 errhint("Give it its name back.")));
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" is not installed in this database",
						"catmaid_history"),
				 errhint("CREATE EXTENSION catmaid_history;")));
	return relid;
}

/* The same, but InvalidOid while there is no registry. */
Oid
registry_relid_or_invalid(void)
{
	if (!OidIsValid(registry_oid))
		registry_oid = find_registry();
	return registry_oid;
}

/*
 * Has the table the columns of a registry?  That of the older implementation
 * lacks the last ones.
 */
bool
registry_has_shape(Oid relid)
{
	static const Oid types[] = {
		REGCLASSOID, REGCLASSOID, BOOLOID, TEXTOID, REGCLASSOID, TEXTOID, TEXTOID,
		TIMESTAMPTZOID, TEXTARRAYOID, TIMESTAMPTZOID
	};
	Relation	rel = table_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		has = desc->natts >= Anum_created;
	int			i;

	for (i = 0; has && i < Min(desc->natts, Natts_registry); i++)
		has = TupleDescAttr(desc, i)->atttypid == types[i] &&
			(TupleDescAttr(desc, i)->attnotnull ||
			 i == Anum_tracking - 1 || i == Anum_key - 1 || i == Anum_key_since - 1);
	table_close(rel, NoLock);
	return has;
}

/* The schema of the extension's objects. */
Oid
registry_namespace(void)
{
	return get_rel_namespace(registry_relid());
}

/* From the relcache callback: the registry may be another one now. */
void
registry_forget_relid(Oid relid)
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
registry_changes(void)
{
	return changes;
}

/* The live table's row, or NULL. */
RegistryRow *
registry_get(Oid live)
{
	Relation	registry = table_open(registry_relid(), AccessShareLock);
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
 * The row of which relid is the history or tracking table, or NULL; if several say
 * so, the one that is sound.
 */
RegistryRow *
registry_get_by_derived(Oid relid)
{
	Relation	registry = table_open(registry_relid(), AccessShareLock);
	HeapTuple	tuple = find_row(registry, Anum_history, relid, NULL);
	RegistryRow *row = NULL;

	if (tuple == NULL)
		tuple = find_row(registry, Anum_tracking, relid, NULL);
	if (tuple)
		row = row_from_tuple(tuple, RelationGetDescr(registry));
	table_close(registry, NoLock);
	return row == NULL || is_sound(row) ? row : better_row(row, relid);
}

/* The row that is sound, of several that claim relid; the one that we have, if none is. */
static RegistryRow *
better_row(RegistryRow *row, Oid relid)
{
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *other = lfirst(lc);

		if ((other->history == relid || other->tracking == relid) && is_sound(other))
			return other;
	}
	return row;
}

/* Is it a registered table's history or tracking table, by a row that is sound? */
bool
registry_is_derived(Oid relid)
{
	RegistryRow *row = registry_get_by_derived(relid);

	return row && is_sound(row);
}

/* Of a row whose live table may be gone, which then is not. */
static bool
is_sound(const RegistryRow *row)
{
	return get_rel_name(row->live) != NULL &&
		registry_is_sound(row, security_owner_of(row->live));
}

/*
 * The live table of which relid is the history or tracking table, or relid itself if
 * that is registered; else InvalidOid.  Does not keep the lock on the registry.  (See
 * registered.c.)
 */
Oid
registry_live_of(Oid relid)
{
	Relation	registry = table_open(registry_relid(), AccessShareLock);
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

/* A complete index of that column alone, or InvalidOid. */
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
		if (form->indisvalid && form->indnatts == 1 &&
			form->indkey.values[0] == column &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL))
			found = lfirst_oid(lc);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/*
 * May the row be believed, if the live table's owner is, or was, this one?
 *
 * The database's owner may write the registry, to restore a dump, and must reach
 * no table through it.  So the row's tables must belong to the owner of the live
 * table, and be marked as its history.  Where nothing is marked (the table is not
 * tracked, or has been since before there were marks), they must have the columns
 * and the names of its history, and be nobody else's.  Tables that are gone do no
 * harm.
 */
bool
registry_is_sound(const RegistryRow *row, Oid owner)
{
	Mark		mark;

	(void) mark_read(row->live, NULL, &mark);
	return registry_owners_agree(row, owner) && registry_is_sound_by(row, &mark);
}

/* The same, of another time's mark, owners apart. */
bool
registry_is_sound_by(const RegistryRow *row, const Mark *mark)
{
	return OidIsValid(mark->history) ? mark_agrees(mark, row) : unmarked_is_sound(row);
}

/* Do the row's tables, those that are there, belong to the role? */
bool
registry_owners_agree(const RegistryRow *row, Oid owner)
{
	return (get_rel_name(row->history) == NULL ||
			security_owner_of(row->history) == owner) &&
		(!OidIsValid(row->tracking) || get_rel_name(row->tracking) == NULL ||
		 security_owner_of(row->tracking) == owner);
}

static bool
unmarked_is_sound(const RegistryRow *row)
{
	bool		history = get_rel_name(row->history) != NULL;
	bool		tracking = OidIsValid(row->tracking) && get_rel_name(row->tracking) != NULL;

	if (history && !derived_is_history(row->history))
		return false;
	if ((history || tracking) && !names_agree(row))
		return false;
	return !is_used_by_others(row, row->history) &&
		(!OidIsValid(row->tracking) || !is_used_by_others(row, row->tracking));
}

/*
 * Are the tables called and placed as the live table's, or as those of a table that
 * is not there, as they are when the live table got another name unseen?
 */
static bool
names_agree(const RegistryRow *row)
{
	char	   *history = get_rel_name(row->history);
	char	   *tracking = OidIsValid(row->tracking) ? get_rel_name(row->tracking) : NULL;
	Oid			namespace = get_rel_namespace(history ? row->history : row->tracking);
	char	   *name = history ? naming_live_of(history) : naming_live_of_tracking(tracking);
	Oid			other;

	if (name == NULL ||
		(history && tracking &&
		 (get_rel_namespace(row->tracking) != namespace ||
		  naming_live_of_tracking(tracking) == NULL ||
		  strcmp(naming_live_of_tracking(tracking), name) != 0)))
		return false;
	other = get_relname_relid(name, namespace);
	return !OidIsValid(other) || other == row->live;
}

/* Is the table a live one, or another one's history or tracking table? */
static bool
is_used_by_others(const RegistryRow *row, Oid relid)
{
	Relation	registry = table_open(registry_relid(), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(registry);
	SysScanDesc scan = systable_beginscan(registry, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		used = false;

	while (!used && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		RegistryRow other;

		registry_tables_of(tuple, desc, &other);
		used = other.live == relid ||
			(other.live == row->live ? other.history == other.tracking :
			 other.history == relid || other.tracking == relid);
	}
	systable_endscan(scan);
	table_close(registry, NoLock);
	return used;
}

/* The history and the tracking table, as a list in SQL; palloc'd. */
static char *
registry_names(const RegistryRow *row)
{
	char	   *names = get_rel_name(row->history) == NULL ? NULL : naming_quoted(row->history);
	char	   *tracking = !OidIsValid(row->tracking) ||
		get_rel_name(row->tracking) == NULL ? NULL : naming_quoted(row->tracking);

	return names && tracking ? psprintf("%s and %s", names, tracking) :
		names ? names : tracking ? tracking : "no table that is there";
}

/* Error out if not; sqlstate 0 for the fitting one. */
void
registry_check_sound(const RegistryRow *row, int sqlstate)
{
	char	   *command;
	bool		by_superuser;
	bool		forgets;

	if (registry_is_sound(row, security_owner_of(row->live)))
		return;
	command = registry_way_out(row, &by_superuser, &forgets);
	ereport(ERROR,
			(errcode(sqlstate ? sqlstate : ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the history registered for table \"%s\" does not belong to it",
					get_rel_name(row->live)),
			 errdetail("%s", registry_fault(row)),
			 forgets ?
			 errhint("%s removes the entry and leaves those tables alone.", command) :
			 errhint("%s%s puts it right.", by_superuser ? "As a superuser, " : "", command)));
}

/* What is wrong with a row that is not sound; a sentence, palloc'd. */
char *
registry_fault(const RegistryRow *row)
{
	Mark		mark;

	if (!registry_owners_agree(row, security_owner_of(row->live)))
		return psprintf("The registry names tables of another owner: %s.",
						registry_names(row));
	if (mark_read(row->live, NULL, &mark) && OidIsValid(mark.history))
	{
		RegistryRow marked = {.history = mark.history,.tracking = mark.tracking};

		return psprintf("The registry names %s; the table's triggers are marked with %s.",
						registry_names(row), registry_names(&marked));
	}
	return psprintf("The registry names %s, and nothing else says so.",
					registry_names(row));
}

/*
 * The command that leads out of it, without a semicolon; palloc'd.  Nobody is sent to
 * give a table away that may be another role's: only what is marked is given back,
 * by who may (*by_superuser); the rest is forgotten (*forgets).
 */
char *
registry_way_out(const RegistryRow *row, bool *by_superuser, bool *forgets)
{
	Oid			owner = security_owner_of(row->live);
	Mark		mark;

	*forgets = !mark_read(row->live, NULL, &mark) || !OidIsValid(mark.history);
	*by_superuser = !*forgets &&
		(security_owner_of(mark.history) != owner ||
		 (OidIsValid(mark.tracking) && security_owner_of(mark.tracking) != owner));
	return psprintf("SELECT %s(%s::regclass)", *forgets ? drop_function_name(true) :
					naming_quoted_in(registry_namespace(), "repair_history"),
					quote_literal_cstr(naming_quoted(row->live)));
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
	Relation	registry = table_open(registry_relid(), AccessShareLock);
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

void
registry_insert(const RegistryRow *row)
{
	Relation	registry = table_open(registry_relid(), RowExclusiveLock);
	int			natts = RelationGetNumberOfAttributes(registry);
	Datum	   *values = palloc0(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);

	memset(nulls, true, sizeof(bool) * natts);
	values_from_row(row, values, nulls);
	values[Anum_created - 1] =
		TimestampTzGetDatum(row->created ? row->created :
							GetCurrentTransactionStartTimestamp());
	CatalogTupleInsert(registry,
					   heap_form_tuple(RelationGetDescr(registry), values, nulls));
	CacheInvalidateRelcache(registry);
	table_close(registry, NoLock);
	CommandCounterIncrement();
}

/*
 * In ereport: a hint which table is meant instead of one without a history, or how to
 * begin one.
 */
int
registry_hint_for_untracked(Oid live)
{
	RegistryRow *row = registry_get_by_derived(live);
	char		relkind = get_rel_relkind(live);
	Oid			root = get_rel_relispartition(live) ? lineage_root(live) : live;

	if (row != NULL && get_rel_name(row->live) != NULL)
		return errhint("It belongs to the history of table %s: name that table.",
					   naming_quoted(row->live));
	if (registry_get(root) != NULL)
		return errhint("It is a partition: name table %s, whose history covers it.",
					   naming_quoted(root));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return errhint("Only permanent or unlogged tables and partitioned tables have a history.");
	return errhint("SELECT %s(%s::regclass);",
				   naming_quoted_in(registry_namespace(), "create_history_table"),
				   quote_literal_cstr(naming_quoted(root)));
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

/* Bring the stored row of row->live up to date, if it is not; creation_time stays. */
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
	registry = table_open(registry_relid(), RowExclusiveLock);
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
	registry = table_open(registry_relid(), RowExclusiveLock);
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
 * Register a table whose triggers are there but whose row is not, as after a
 * schema-only restore: with the tables that are marked as its history, if nothing
 * stands against it.  Without a mark there is none: its triggers may be forged.
 *
 * Several sessions may come upon the table at once: one registers it, the others
 * wait until that one's transaction has ended, by a lock on the row to be (no
 * relation's, which would block writers of other tables).
 *
 * Returns false if there is no such history.
 */
bool
registry_adopt(Oid live)
{
	RegistryRow row = {.live = live,.triggers_installed = true};
	Relation	rel;

	registry_lock_row(live);
	if (registry_get(live) != NULL)
		return true;
	if (!registry_row_by_mark(&row) ||
		!registry_owners_agree(&row, security_owner_of(live)) ||
		!derived_is_history(row.history) ||
		(OidIsValid(row.tracking) && !derived_is_tracking(row.tracking)))
		return false;

	rel = table_open(live, NoLock);
	row.key = columns_key(rel);
	table_close(rel, NoLock);
	if (row.key == NIL)
		return false;
	registry_refute(row.history, live);
	if (OidIsValid(row.tracking))
		registry_refute(row.tracking, live);
	if (is_used_by_others(&row, row.history) ||
		(OidIsValid(row.tracking) && is_used_by_others(&row, row.tracking)))
		return false;
	registry_insert(&row);
	return true;
}

/*
 * Put into the row what the mark of its live table says: the tables, and by the
 * trigger's arguments the columns.  Returns whether there is a mark.
 */
bool
registry_row_by_mark(RegistryRow *row)
{
	Mark		mark;

	if (!mark_read(row->live, NULL, &mark) || !OidIsValid(mark.history))
		return false;
	row->history = mark.history;
	row->tracking = mark.tracking;
	row->time_column = mark.time_column;
	row->txid_column = mark.txid_column;
	return true;
}

/*
 * Rows that call the relation a history or tracking table of another table than this
 * one and are not sound would stand in the way: remove them.  A table that has a
 * mark itself is registered by that; of others a WARNING tells.
 */
void
registry_refute(Oid relid, Oid live)
{
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *other = lfirst(lc);
		bool		there = get_rel_name(other->live) != NULL;

		if (other->live == live ||
			(other->history != relid && other->tracking != relid) || is_sound(other))
			continue;
		registry_delete(other->live);
		if (!there || !registry_adopt(other->live))
			ereport(WARNING,
					(errmsg("table %s is not registered any more",
							there ? naming_quoted(other->live) :
							psprintf("with OID %u", other->live)),
					 errdetail("The registry named table %s for it, which is not its history.",
							   naming_quoted(relid))));
	}
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

	nulls[Anum_key - 1] = nulls[Anum_key_since - 1] = true;
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
	if (!nulls[Anum_key_since - 1])
		row->key_since = DatumGetTimestampTz(values[Anum_key_since - 1]);
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
		get_relname_relid(REGISTRY_TABLE, namespace) : InvalidOid;
}

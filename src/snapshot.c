/*
 * snapshot.c
 *		How tracked tables looked before a DDL command.
 *
 * The follower compares catalogs before and after a command.  "Before" is kept
 * here, one snapshot for each registered table, for the length of the session;
 * the relcache callback marks those that may have changed since, and whether
 * the registry has.  At the start of a command the marked ones are read again
 * (they were changed by others, or by something rolled back); at its end, the
 * marked ones are those that the command may have changed.  DDL on tables that
 * are not tracked marks nothing and so costs next to nothing.
 *
 * Snapshots are read from the system caches, without locks.  A concurrent session
 * may change the table, and its history, while our command runs or waits for its
 * lock: columns that other transactions changed are as they are now in the copy
 * of a snapshot, and what else they changed the follower finds done.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

/* from a history or tracking table, or a partition, to its live table */
typedef struct DerivedEntry
{
	Oid			relid;			/* hash key */
	Oid			live;
	bool		is_partition;
} DerivedEntry;

static HTAB *snapshots = NULL;
static HTAB *derived = NULL;
static Oid	registry = InvalidOid;
static bool registry_marked = true;
static int	marked = 0;

static void invalidate(Datum arg, Oid relid);
static void mark(TableSnapshot *snapshot);
static void load_registry(void);
static void note_derived(Oid relid, Oid live, bool is_partition);
static void forget_derived(Oid live);
static bool read_table(TableSnapshot *snapshot);
static bool read_snapshot(TableSnapshot *snapshot);
static void forget(TableSnapshot *snapshot);

void
snapshot_init(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(TableSnapshot);
	ctl.hcxt = CacheMemoryContext;
	snapshots = hash_create("catmaid_history snapshots", 128, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.entrysize = sizeof(DerivedEntry);
	derived = hash_create("catmaid_history derived tables", 256, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

/*
 * Bring all snapshots up to date, but those that are set aside: what has happened
 * until now is the past.
 */
void
snapshot_refresh(void)
{
	HASH_SEQ_STATUS status;
	TableSnapshot *snapshot;

	if (registry_marked)
	{
		registry_marked = false;
		PG_TRY();
		{
			load_registry();
		}
		PG_CATCH();
		{
			registry_marked = true;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	if (marked == 0)
		return;

	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
	{
		bool		there = false;

		if (!snapshot->marked || snapshot->aside > 0)
			continue;
		snapshot->marked = false;
		marked--;
		PG_TRY();
		{
			there = read_snapshot(snapshot);
		}
		PG_CATCH();
		{
			mark(snapshot);
			PG_RE_THROW();
		}
		PG_END_TRY();
		if (!there)
			forget(snapshot);
	}
}

/*
 * The OIDs of the live tables that may have changed since, by OID.  Of those that
 * are set aside, only what has been dropped meanwhile.
 */
List *
snapshot_changed(void)
{
	HASH_SEQ_STATUS status;
	TableSnapshot *snapshot;
	List	   *changed = NIL;

	if (marked == 0)
		return NIL;
	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
		if (snapshot->marked &&
			(snapshot->aside == 0 ||
			 (!snapshot->gone && get_rel_name(snapshot->live) == NULL)))
			changed = lappend_oid(changed, snapshot->live);
	list_sort(changed, list_oid_cmp);
	return changed;
}

/*
 * A command begins inside of the level-th one that is being executed: what that
 * one has changed until now stays to be followed at its end.  Returns whether
 * there is any.
 */
bool
snapshot_set_aside(int level)
{
	HASH_SEQ_STATUS status;
	TableSnapshot *snapshot;
	bool		any = false;

	if (marked == 0)
		return false;
	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
		if (snapshot->marked && snapshot->aside == 0)
		{
			snapshot->aside = level;
			snapshot->gone = get_rel_name(snapshot->live) == NULL;
			any = true;
		}
	return any;
}

/* What has been set aside for this command, and for those inside of it. */
void
snapshot_take_back(int level)
{
	HASH_SEQ_STATUS status;
	TableSnapshot *snapshot;

	if (marked == 0)
		return;
	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
		if (snapshot->aside >= level)
			snapshot->aside = 0;
}

/*
 * A copy, in the current memory context, of the snapshot of a table; NULL if it
 * was not registered when the snapshots were last brought up to date.  Only what
 * this transaction has done to columns is still to come in it.
 */
TableSnapshot *
snapshot_copy(Oid live)
{
	TableSnapshot *snapshot = hash_search(snapshots, &live, HASH_FIND, NULL);
	TableSnapshot *copy;

	if (snapshot == NULL || snapshot->context == NULL)
		return NULL;
	copy = palloc(sizeof(TableSnapshot));
	*copy = *snapshot;
	copy->columns = palloc(sizeof(ColumnSnapshot) * Max(snapshot->natts, 1));
	if (snapshot->natts > 0)
		memcpy(copy->columns, snapshot->columns,
			   sizeof(ColumnSnapshot) * snapshot->natts);
	copy->parents = list_copy(snapshot->parents);
	copy->leaves = list_copy(snapshot->leaves);
	snapshot_pass_over_others(copy);
	return copy;
}

bool
snapshot_any_registered(void)
{
	return hash_get_num_entries(snapshots) > 0;
}

bool
snapshot_is_registered(Oid live)
{
	return hash_search(snapshots, &live, HASH_FIND, NULL) != NULL;
}

/* The live table of which this is the history or tracking table, or InvalidOid. */
Oid
snapshot_live_of(Oid relid)
{
	DerivedEntry *entry = hash_search(derived, &relid, HASH_FIND, NULL);
	TableSnapshot *snapshot = entry ?
		hash_search(snapshots, &entry->live, HASH_FIND, NULL) : NULL;

	if (snapshot && (snapshot->history == relid || snapshot->tracking == relid))
		return snapshot->live;
	return InvalidOid;
}

/*
 * The registered tables with a column whose type is of this one, or of one in the
 * schema (see types_made_of); either may be InvalidOid.
 */
List *
snapshot_tables_with_type(Oid type, Oid namespace)
{
	HASH_SEQ_STATUS status;
	TableSnapshot *snapshot;
	List	   *tables = NIL;

	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
	{
		int			i;

		for (i = 0; i < snapshot->natts; i++)
		{
			ColumnSnapshot *column = &snapshot->columns[i];

			if (column->exists &&
				types_made_of(column->declared_type, type, namespace))
				tables = list_append_unique_oid(tables, snapshot->live);
		}
	}
	return tables;
}

/* The registered tables of a composite type (CREATE TABLE ... OF). */
List *
snapshot_tables_of_type(Oid composite)
{
	HASH_SEQ_STATUS status;
	TableSnapshot *snapshot;
	List	   *tables = NIL;

	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(snapshot->live));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (OidIsValid(((Form_pg_class) GETSTRUCT(tuple))->reloftype) &&
			((Form_pg_class) GETSTRUCT(tuple))->reloftype == get_rel_type_id(composite))
			tables = lappend_oid(tables, snapshot->live);
		ReleaseSysCache(tuple);
	}
	return tables;
}

/* The table as it is now, in the current memory context; NULL if it is gone. */
TableSnapshot *
snapshot_now(Oid live)
{
	TableSnapshot *snapshot = palloc0(sizeof(TableSnapshot));

	snapshot->live = live;
	return read_table(snapshot) ? snapshot : NULL;
}

static bool
read_table(TableSnapshot *snapshot)
{
	ListCell   *lc;

	if (!snapshot_read(snapshot))
		return false;

	if (get_rel_relkind(snapshot->live) != RELKIND_PARTITIONED_TABLE)
		return true;

	/* what happens to a partition in the middle happens to the table */
	forget_derived(snapshot->live);
	foreach(lc, lineage_partition_tree(snapshot->live, NoLock))
		if (lfirst_oid(lc) != snapshot->live)
			note_derived(lfirst_oid(lc), snapshot->live, true);
	return true;
}

static void
invalidate(Datum arg, Oid relid)
{
	TableSnapshot *snapshot;
	HASH_SEQ_STATUS status;

	if (!OidIsValid(relid) || relid == registry)
		registry_marked = true;
	if (OidIsValid(relid))
	{
		DerivedEntry *entry = hash_search(derived, &relid, HASH_FIND, NULL);

		if (entry)
			relid = entry->live;
		snapshot = hash_search(snapshots, &relid, HASH_FIND, NULL);
		if (snapshot)
			mark(snapshot);
		return;
	}
	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
		mark(snapshot);
}

static void
mark(TableSnapshot *snapshot)
{
	if (!snapshot->marked)
		marked++;
	snapshot->marked = true;
}

/* Have a snapshot for each registered table, marked where it is new. */
static void
load_registry(void)
{
	List	   *rows;
	ListCell   *lc;
	HASH_SEQ_STATUS status;
	TableSnapshot *snapshot;

	registry = registry_relid_or_invalid();
	rows = OidIsValid(registry) ? registry_all() : NIL;

	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
		snapshot->registered = false;

	foreach(lc, rows)
	{
		RegistryRow *row = lfirst(lc);
		bool		found;

		snapshot = hash_search(snapshots, &row->live, HASH_ENTER, &found);
		if (!found)
		{
			memset((char *) snapshot + sizeof(Oid), 0,
				   sizeof(TableSnapshot) - sizeof(Oid));
			mark(snapshot);
		}
		snapshot->registered = true;
		snapshot->history = row->history;
		snapshot->tracking = row->tracking;
		note_derived(row->history, row->live, false);
		note_derived(row->tracking, row->live, false);
	}

	hash_seq_init(&status, snapshots);
	while ((snapshot = hash_seq_search(&status)) != NULL)
		if (!snapshot->registered)
			forget(snapshot);
	forget_derived(InvalidOid);
}

static void
note_derived(Oid relid, Oid live, bool is_partition)
{
	DerivedEntry *entry;

	if (!OidIsValid(relid))
		return;
	entry = hash_search(derived, &relid, HASH_ENTER, NULL);
	entry->live = live;
	entry->is_partition = is_partition;
}

/*
 * Forget the partitions of the live table, or, for InvalidOid, what belongs to
 * no registered table any more.
 */
static void
forget_derived(Oid live)
{
	HASH_SEQ_STATUS status;
	DerivedEntry *entry;

	hash_seq_init(&status, derived);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		TableSnapshot *snapshot;

		if (OidIsValid(live))
		{
			if (!entry->is_partition || entry->live != live)
				continue;
		}
		else
		{
			snapshot = hash_search(snapshots, &entry->live, HASH_FIND, NULL);
			if (snapshot && (entry->is_partition || entry->relid == snapshot->history ||
							 entry->relid == snapshot->tracking))
				continue;
		}
		hash_search(derived, &entry->relid, HASH_REMOVE, NULL);
	}
}

static bool
read_snapshot(TableSnapshot *snapshot)
{
	MemoryContext before;

	if (snapshot->context == NULL)
		snapshot->context = AllocSetContextCreate(CacheMemoryContext,
												  "catmaid_history snapshot",
												  ALLOCSET_SMALL_SIZES);
	/* should reading fail, there is nothing here to follow a dead pointer to */
	snapshot->natts = 0;
	snapshot->columns = NULL;
	snapshot->parents = snapshot->leaves = NIL;
	MemoryContextReset(snapshot->context);
	before = MemoryContextSwitchTo(snapshot->context);
	if (!read_table(snapshot))
	{
		MemoryContextSwitchTo(before);
		return false;
	}
	MemoryContextSwitchTo(before);
	return true;
}

static void
forget(TableSnapshot *snapshot)
{
	if (snapshot->marked)
		marked--;
	if (snapshot->context)
		MemoryContextDelete(snapshot->context);
	hash_search(snapshots, &snapshot->live, HASH_REMOVE, NULL);
}

/*
 * reach.c
 *		When a history begins, and its pauses: what it cannot know.
 *
 * A history begins when it is created, by the clock (creation_time in the registry).  From the moment
 * when tracking is disabled until it is enabled again nothing is recorded: a pause,
 * which is a row of catmaid_history_pause.  A row whose paused_from is -infinity says that
 * the history begins later than the registry says, or what the registry said
 * before the table was dropped and its history kept.
 *
 * The rows belong to the history table, not to the live one: a history that was kept
 * may serve another table later.  Nobody but the extension writes them, past
 * privileges; they are dumped by name (dump.c), and a restore is no pause.
 *
 * Times are those of the clock and err on the safe side.  A transaction is known by its start,
 * so what one does unseen counts from there: a pause begins with the oldest
 * transaction of this database that may yet write, and ends when the lock that keeps
 * writers away is held.
 *
 * Locks: ACCESS SHARE on catmaid_history_pause to read, ROW EXCLUSIVE to write, until the
 * transaction ends.  Writers of a history's rows keep each other away by a lock on the live
 * table (SHARE UPDATE EXCLUSIVE at least) or, to empty it, on the history (ACCESS EXCLUSIVE).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "reach/reach.h"
#include "compat.h"

enum
{
	Anum_live = 1, Anum_history, Anum_from, Anum_until, Natts_pause = Anum_until
};

typedef struct PauseScan
{
	Relation	rel;			/* NULL: there is no such table */
	bool		writes;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	TimestampTz from;
	TimestampTz until;
} PauseScan;

static void begin_scan(PauseScan *pauses, Oid history, LOCKMODE mode);
static bool next_pause(PauseScan *pauses);
static void end_scan(PauseScan *pauses);
static TimestampTz last_resumed(const RegistryRow *row);
static void insert_pause(Oid live, Oid history, TimestampTz from, TimestampTz until);
static bool extend_pause(Oid history, TimestampTz from, TimestampTz until);
static void change_until(PauseScan *pauses, TimestampTz until);
static TimestampTz oldest_transaction_start(void);

/* Returns the table of the pauses, or InvalidOid (adopted, and not yet updated). */
Oid
reach_relid(void)
{
	Oid			namespace = get_namespace_oid(INTERNAL_SCHEMA, true);

	return OidIsValid(namespace) && OidIsValid(extension_registry_or_invalid()) ?
		get_relname_relid(REACH_TABLE, namespace) : InvalidOid;
}

/*
 * Returns the first gap that has an instant from <= t <= until, REACH_KNOWN if there is
 * none.
 */
Reach
reach_between(const RegistryRow *row, TimestampTz from, TimestampTz until)
{
	Reach		found = {REACH_KNOWN, DT_NOEND, DT_NOEND};
	TimestampTz begin = reach_begin(row);
	PauseScan	pauses;

	if (from < begin)
	{
		found.gap = REACH_BEFORE_BEGIN;
		found.from = DT_NOBEGIN;
		found.until = begin;
		return found;
	}
	begin_scan(&pauses, row->history, AccessShareLock);
	while (next_pause(&pauses))
		if (pauses.from != DT_NOBEGIN && pauses.from <= until && from < pauses.until &&
			pauses.from < found.from)
		{
			found.gap = REACH_PAUSED;
			found.from = pauses.from;
			found.until = pauses.until;
		}
	end_scan(&pauses);
	return found;
}

/* Returns the instant at which the history begins. */
TimestampTz
reach_begin(const RegistryRow *row)
{
	TimestampTz begin = row->created;
	PauseScan	pauses;

	begin_scan(&pauses, row->history, AccessShareLock);
	while (next_pause(&pauses))
		if (pauses.from == DT_NOBEGIN)
			begin = pauses.until;
	end_scan(&pauses);
	return begin;
}

/* Note that the history begins at the instant: what was before is gone from it. */
void
reach_begin_at(const RegistryRow *row, TimestampTz begin)
{
	PauseScan	pauses;
	bool		found = false;

	begin_scan(&pauses, row->history, RowExclusiveLock);
	while (!found && next_pause(&pauses))
		if (pauses.from == DT_NOBEGIN)
		{
			change_until(&pauses, begin);
			found = true;
		}
	end_scan(&pauses);
	if (!found)
		insert_pause(row->live, row->history, DT_NOBEGIN, begin);
}

/* Returns since when nothing is recorded, or DT_NOEND. */
TimestampTz
reach_paused_since(const RegistryRow *row)
{
	TimestampTz since = DT_NOEND;
	PauseScan	pauses;

	begin_scan(&pauses, row->history, AccessShareLock);
	while (next_pause(&pauses))
		if (pauses.until == DT_NOEND)
			since = Min(since, pauses.from);
	end_scan(&pauses);
	return since;
}

/*
 * Note that nothing is recorded any more, unless that is noted.  recorded: everything has
 * been until now.  Otherwise somebody has taken triggers away when nobody looked: of the
 * time since the history began, or since the last pause, nothing can be known.
 */
void
reach_pause(const RegistryRow *row, bool recorded)
{
	if (OidIsValid(reach_relid()) && reach_paused_since(row) == DT_NOEND)
		insert_pause(row->live, row->history,
					 recorded ? oldest_transaction_start() : last_resumed(row), DT_NOEND);
}

/* Note that everything is recorded again, as of now, by the clock; recorded: as for reach_pause. */
void
reach_resume(const RegistryRow *row, bool recorded)
{
	bool		found = false;
	PauseScan	pauses;

	begin_scan(&pauses, row->history, RowExclusiveLock);
	while (next_pause(&pauses))
		if (pauses.until == DT_NOEND)
		{
			change_until(&pauses, GetCurrentTimestamp());
			found = true;
		}
	end_scan(&pauses);
	if (!found && !recorded)
		insert_pause(row->live, row->history, last_resumed(row), GetCurrentTimestamp());
}

/* Returns the last instant at which recording is known to have begun. */
static TimestampTz
last_resumed(const RegistryRow *row)
{
	TimestampTz last = reach_begin(row);
	PauseScan	pauses;

	begin_scan(&pauses, row->history, AccessShareLock);
	while (next_pause(&pauses))
		if (pauses.until != DT_NOEND)
			last = Max(last, pauses.until);
	end_scan(&pauses);
	return last;
}

/* The table's registration goes, and its history stays, for what may come. */
void
reach_keep(const RegistryRow *row)
{
	reach_begin_at(row, reach_begin(row));
	reach_pause(row, row->triggers_installed);
}

/* A history that was kept serves a table again; reach_resume is to follow. */
void
reach_take_up(const RegistryRow *row)
{
	PauseScan	pauses;

	begin_scan(&pauses, row->history, RowExclusiveLock);
	while (next_pause(&pauses))
	{
		int			column = Anum_live;
		Datum		value = ObjectIdGetDatum(row->live);
		bool		isnull = false;
		HeapTuple	tuple = heap_modify_tuple_by_cols(pauses.tuple, RelationGetDescr(pauses.rel),
													  1, &column, &value, &isnull);

		CatalogTupleUpdate(pauses.rel, &tuple->t_self, tuple);
	}
	end_scan(&pauses);
}

/* The history table is gone, or new. */
void
reach_forget(Oid history)
{
	PauseScan	pauses;

	begin_scan(&pauses, history, RowExclusiveLock);
	while (next_pause(&pauses))
		CatalogTupleDelete(pauses.rel, &pauses.tuple->t_self);
	end_scan(&pauses);
}

/* Enter a pause that a dump tells of, unless it is there. */
void
reach_restore(Oid live, Oid history, TimestampTz from, TimestampTz until)
{
	PauseScan	pauses;
	bool		found = false;

	begin_scan(&pauses, history, RowExclusiveLock);
	while (!found && next_pause(&pauses))
		found = pauses.from == from;
	end_scan(&pauses);
	if (!found)
		insert_pause(live, history, from, until);
}

/* The rows of a history: next_pause reads them one by one, as they are when it begins. */
static void
begin_scan(PauseScan *pauses, Oid history, LOCKMODE mode)
{
	Oid			relid = reach_relid();
	Oid			index;

	pauses->rel = OidIsValid(relid) ? table_open(relid, mode) : NULL;
	pauses->writes = mode != AccessShareLock;
	if (pauses->rel == NULL)
		return;
	index = columns_primary_key_index(pauses->rel);
	ScanKeyInit(&pauses->key, Anum_history, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(history));
	pauses->scan = systable_beginscan(pauses->rel, index, OidIsValid(index), NULL, 1,
									  &pauses->key);
}

static bool
next_pause(PauseScan *pauses)
{
	TupleDesc	desc;
	bool		isnull;
	Datum		value;

	if (pauses->rel == NULL ||
		!HeapTupleIsValid(pauses->tuple = systable_getnext(pauses->scan)))
		return false;
	desc = RelationGetDescr(pauses->rel);
	pauses->from = DatumGetTimestampTz(heap_getattr(pauses->tuple, Anum_from, desc, &isnull));
	value = heap_getattr(pauses->tuple, Anum_until, desc, &isnull);
	pauses->until = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	return true;
}

static void
end_scan(PauseScan *pauses)
{
	if (pauses->rel == NULL)
		return;
	systable_endscan(pauses->scan);
	table_close(pauses->rel, NoLock);
	/* (reading is done while queries are planned) */
	if (pauses->writes)
		CommandCounterIncrement();
}

/* Note a pause, or how far back the history reaches (from: DT_NOBEGIN). */
static void
insert_pause(Oid live, Oid history, TimestampTz from, TimestampTz until)
{
	Oid			relid = reach_relid();
	Relation	rel;
	Datum		values[Natts_pause];
	bool		nulls[Natts_pause] = {false};

	if (!OidIsValid(relid) || (from != DT_NOBEGIN && extend_pause(history, from, until)))
		return;
	rel = table_open(relid, RowExclusiveLock);
	values[Anum_live - 1] = ObjectIdGetDatum(live);
	values[Anum_history - 1] = ObjectIdGetDatum(history);
	values[Anum_from - 1] = TimestampTzGetDatum(from);
	values[Anum_until - 1] = TimestampTzGetDatum(until);
	nulls[Anum_until - 1] = until == DT_NOEND;
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* Let a pause that touches this one last as long.  Returns false if there is none. */
static bool
extend_pause(Oid history, TimestampTz from, TimestampTz until)
{
	PauseScan	pauses;
	bool		found = false;

	begin_scan(&pauses, history, RowExclusiveLock);
	while (!found && next_pause(&pauses))
		if (pauses.from != DT_NOBEGIN && pauses.from <= from && from <= pauses.until)
		{
			if (until > pauses.until)
				change_until(&pauses, until);
			found = true;
		}
	end_scan(&pauses);
	return found;
}

/* Let the pause that was read last end then. */
static void
change_until(PauseScan *pauses, TimestampTz until)
{
	int			column = Anum_until;
	Datum		value = TimestampTzGetDatum(until);
	bool		isnull = until == DT_NOEND;
	HeapTuple	tuple = heap_modify_tuple_by_cols(pauses->tuple, RelationGetDescr(pauses->rel),
												  1, &column, &value, &isnull);

	CatalogTupleUpdate(pauses->rel, &tuple->t_self, tuple);
}

/*
 * Returns when the oldest transaction of this database's sessions began, this one's
 * at the latest.  (Those that track_activities = off hides are missed.)
 */
static TimestampTz
oldest_transaction_start(void)
{
	TimestampTz oldest = GetCurrentTransactionStartTimestamp();
	int			n = pgstat_fetch_stat_numbackends();
	int			i;

	for (i = 1; i <= n; i++)
	{
		PgBackendStatus *session = &pgstat_session_compat(i)->backendStatus;

		if (session->st_backendType == B_BACKEND && session->st_databaseid == MyDatabaseId &&
			session->st_xact_start_timestamp != 0)
			oldest = Min(oldest, session->st_xact_start_timestamp);
	}
	return oldest;
}

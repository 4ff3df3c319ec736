/*
 * since.c
 *		What a history, or a table, is known by since a time only: catmaid_history_since.
 *
 *	- A column that was added to a history: NULL in versions that were stored before does not
 *	  mean that the row had none.  By the number of the history's column, so that it
 *	  follows whatever renames that.
 *	- When something began or ceased to inherit from a table: what the table's rows were
 *	  before that, with those of its children, nobody knows any more.
 *	- When a table was made as a child of a tracked one: before that it had no rows.
 *
 * Nobody but the extension writes them, past privileges; they are dumped by name (dump.c).
 * Databases of an early 1.0 have no such table, and the first of these in the comments on
 * their columns (comments.c), which anybody may overwrite.
 *
 * Notes are added and not changed, as several sessions may drop children of one table at a time.
 *
 * Locks: ACCESS SHARE on catmaid_history_since to read, ROW EXCLUSIVE to write, until the
 * transaction ends.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "reach/reach.h"

enum
{
	Anum_relation = 1, Anum_what, Anum_column, Anum_since, Anum_snapshot, Natts_since = Anum_snapshot
};

typedef struct SinceScan
{
	Relation	rel;			/* NULL: there is no such table */
	bool		writes;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Since		since;
} SinceScan;

static const char *const names[] = {"column", "children", "made"};

static void begin_scan(SinceScan *scan, Oid relation, LOCKMODE mode);
static bool next_since(SinceScan *scan);
static void end_scan(SinceScan *scan);

/* Returns the table, or InvalidOid. */
Oid
since_relid(void)
{
	Oid			namespace = get_namespace_oid(INTERNAL_SCHEMA, true);

	return OidIsValid(namespace) && OidIsValid(extension_registry_or_invalid()) ?
		get_relname_relid(SINCE_TABLE, namespace) : InvalidOid;
}

/*
 * Returns true, with the time and, of a column, the snapshot as text (palloc'd), if there is such a
 * note, the latest one; since->what and since->column say which.
 */
bool
since_get(Oid relation, Since *since)
{
	SinceScan	scan;
	bool		found = false;

	begin_scan(&scan, relation, AccessShareLock);
	while (next_since(&scan))
		if (scan.since.what == since->what && scan.since.column == since->column &&
			(!found || scan.since.since > since->since))
		{
			*since = scan.since;
			found = true;
		}
	end_scan(&scan);
	return found;
}

/* Note it, beside what has been noted. */
void
since_note(Oid relation, const Since *since)
{
	Oid			relid = since_relid();
	Relation	rel;
	Datum		values[Natts_since];
	bool		nulls[Natts_since] = {false};

	if (!OidIsValid(relid))
		return;
	rel = table_open(relid, RowExclusiveLock);
	values[Anum_relation - 1] = ObjectIdGetDatum(relation);
	values[Anum_what - 1] = CStringGetTextDatum(names[since->what]);
	values[Anum_column - 1] = Int16GetDatum(since->column);
	values[Anum_since - 1] = TimestampTzGetDatum(since->since);
	nulls[Anum_snapshot - 1] = since->snapshot == NULL;
	if (since->snapshot)
		values[Anum_snapshot - 1] = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(since->snapshot));
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* The history's column has taken the place of another one of its. */
void
since_copy_column(Oid history, AttrNumber from, AttrNumber to)
{
	Since		since = {.what = SINCE_COLUMN,.column = from};

	if (!since_get(history, &since))
		return;
	since.column = to;
	since_note(history, &since);
}

/* The relation is gone, or new. */
void
since_forget(Oid relation)
{
	SinceScan	scan;

	begin_scan(&scan, relation, RowExclusiveLock);
	while (next_since(&scan))
		CatalogTupleDelete(scan.rel, &scan.tuple->t_self);
	end_scan(&scan);
}

/* Enter what a dump tells of, unless there is such a note. */
void
since_restore(Oid relation, const char *what, Since *since)
{
	SinceScan	scan;
	bool		found = false;

	for (since->what = 0; since->what < SINCE_KINDS; since->what++)
		if (strcmp(names[since->what], what) == 0)
			break;
	if (since->what == SINCE_KINDS)
		return;
	begin_scan(&scan, relation, RowExclusiveLock);
	while (!found && next_since(&scan))
		found = scan.since.what == since->what && scan.since.column == since->column &&
			scan.since.since == since->since;
	end_scan(&scan);
	if (!found)
		since_note(relation, since);
}

/* The notes of a relation: next_since reads them one by one, as they are when it begins. */
static void
begin_scan(SinceScan *scan, Oid relation, LOCKMODE mode)
{
	Oid			relid = since_relid();
	Oid			index;

	scan->rel = OidIsValid(relid) ? table_open(relid, mode) : NULL;
	scan->writes = mode != AccessShareLock;
	if (scan->rel == NULL)
		return;
	index = columns_primary_key_index(scan->rel);
	ScanKeyInit(&scan->key, Anum_relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	scan->scan = systable_beginscan(scan->rel, index, OidIsValid(index), NULL, 1, &scan->key);
}

static bool
next_since(SinceScan *scan)
{
	TupleDesc	desc;
	Datum		value;
	bool		isnull;
	char	   *what;

	if (scan->rel == NULL ||
		!HeapTupleIsValid(scan->tuple = systable_getnext(scan->scan)))
		return false;
	desc = RelationGetDescr(scan->rel);
	what = TextDatumGetCString(heap_getattr(scan->tuple, Anum_what, desc, &isnull));
	for (scan->since.what = 0; scan->since.what < SINCE_KINDS; scan->since.what++)
		if (strcmp(names[scan->since.what], what) == 0)
			break;
	scan->since.column = DatumGetInt16(heap_getattr(scan->tuple, Anum_column, desc, &isnull));
	scan->since.since = DatumGetTimestampTz(heap_getattr(scan->tuple, Anum_since, desc, &isnull));
	value = heap_getattr(scan->tuple, Anum_snapshot, desc, &isnull);
	scan->since.snapshot = isnull ? NULL : DatumGetCString(DirectFunctionCall1(pg_snapshot_out, value));
	return true;
}

static void
end_scan(SinceScan *scan)
{
	if (scan->rel == NULL)
		return;
	systable_endscan(scan->scan);
	table_close(scan->rel, NoLock);
	if (scan->writes)
		CommandCounterIncrement();
}

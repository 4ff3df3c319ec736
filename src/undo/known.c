/*
 * known.c
 *		What cannot be known, and so must not be guessed.
 *
 * A history knows nothing of what was before it began, and of its pauses (src/reach).  A row
 * that was changed then bears the marks of the last change that was recorded: so for what
 * is older than a pause nothing is as it seems, and all rows of the table are conflicts.
 *
 * A history that was adopted does not say who ended a version before that.
 *
 * An id may name two transactions: then it is not known which is meant.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "reach/reach.h"
#include "undo/undo.h"
#include "compat.h"

static void check_named_once(UndoRun *run);
static void check_reach(UndoRun *run, UndoTable *table);
static TimestampTz first_change(UndoRun *run, UndoTable *table);
static bool was_erased(const UndoTable *table, TimestampTz since);
static bool may_be_of(const UndoTable *table, char *name);

/* Error out, or note with tables why it is so, where it cannot be known what was there. */
void
known_check(UndoRun *run)
{
	ListCell   *lc;

	if (!run->restore)
		check_named_once(run);
	foreach(lc, run->tables)
		check_reach(run, lfirst(lc));
}

/* Does the history know all that was, from what is to be undone until now? */
static void
check_reach(UndoRun *run, UndoTable *table)
{
	TimestampTz first;
	Reach		gap;
	MemoryContext before;

	table->unknown = NULL;
	table->erased = false;
	if (table->found->count == 0)
		return;
	first = run->restore ? DatumGetTimestampTz(run->params[1]) : first_change(run, table);
	table->erased = was_erased(table, first);
	gap = reach_between(table->row, first, GetCurrentTimestamp());
	before = MemoryContextSwitchTo(run->context);
	if (!run->restore && table->row->maker_until != 0 && first <= table->row->maker_until)
		table->unknown = psprintf("it is not known what was there: who ended a version is not told before %s, when the history was adopted",
								  timestamptz_to_str(table->row->maker_until));
	else if (gap.gap == REACH_BEFORE_BEGIN)
		table->unknown = psprintf("it is not known what was there: the history begins at %s",
								  timestamptz_to_str(gap.until));
	else if (gap.gap == REACH_PAUSED)
	{
		char	   *from = pstrdup(timestamptz_to_str(gap.from));

		table->unknown = psprintf("it is not known what was there: nothing was recorded from %s to %s",
								  from, timestamptz_to_str(gap.until));
	}
	MemoryContextSwitchTo(before);
}

/* When the first of the transactions has changed the table, as far as that is known. */
static TimestampTz
first_change(UndoRun *run, UndoTable *table)
{
	TimestampTz first = reach_begin(table->row);
	bool		isnull;
	Datum		value;

	(void) SPI_execute(psprintf("SELECT pg_catalog.min(CASE WHEN f.side OPERATOR(pg_catalog.=) 1 THEN pg_catalog.upper(f.period) ELSE pg_catalog.lower(f.period) END) "
								"FROM %s f", table->found->name), true, 1);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		first = DatumGetTimestampTz(value);
	SPI_freetuptable(SPI_tuptable);
	return first;
}

/* Were versions of rows of the table erased since then?  (src/segment/erase.c) */
static bool
was_erased(const UndoTable *table, TimestampTz since)
{
	Oid			relid = get_relname_relid("catmaid_history_erasure", get_namespace_oid(INTERNAL_SCHEMA, false));
	Relation	rel;
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	if (!OidIsValid(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		TimestampTz at = DatumGetTimestampTz(heap_getattr(tuple, 2, RelationGetDescr(rel), &isnull));

		found = at >= since &&
			may_be_of(table, text_to_cstring(DatumGetTextPP(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull))));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return found;
}

/* Is that the table, or one in whose hierarchy it is?  Who has no name by now may be. */
static bool
may_be_of(const UndoTable *table, char *name)
{
	List	   *names = stringToQualifiedNameList_compat(name);
	Oid			namespace;
	Oid			relid;

	if (list_length(names) != 2)
		return true;
	namespace = get_namespace_oid(strVal(linitial(names)), true);
	relid = OidIsValid(namespace) ? get_relname_relid(strVal(lsecond(names)), namespace) : InvalidOid;
	return !OidIsValid(relid) || relid == table->relid ||
		list_member_oid(find_all_inheritors(relid, NoLock, NULL), table->relid) ||
		list_member_oid(find_all_inheritors(table->relid, NoLock, NULL), relid);
}

/*
 * Error out if an id names two transactions, as it may after a restore into another
 * cluster: all that one transaction has ended it ended at one time.
 */
static void
check_named_once(UndoRun *run)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);

		if (table->found->count > 0)
			appendStringInfo(&sql, "%sSELECT f.ender, pg_catalog.upper(f.period) AS ended FROM %s f WHERE f.side OPERATOR(pg_catalog.=) 1",
							 sql.len > 0 ? " UNION ALL " : "", table->found->name);
	}
	if (sql.len == 0)
		return;
	(void) SPI_execute(psprintf("SELECT e.ender, pg_catalog.min(e.ended)::pg_catalog.text, pg_catalog.max(e.ended)::pg_catalog.text FROM (%s) e "
								"GROUP BY e.ender HAVING pg_catalog.min(e.ended) OPERATOR(pg_catalog.<>) pg_catalog.max(e.ended)", sql.data), true, 1);
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("transaction id %s names more than one transaction",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errdetail("There are changes of it at %s and at %s: the database was restored into another cluster in between.",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2),
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3)),
				 errhint("Name tables that only one of them has changed, or take rows back to an instant: SELECT * FROM %s(tables, as_of, keys).",
						 hint_function("restore_tables"))));
	SPI_freetuptable(SPI_tuptable);
}

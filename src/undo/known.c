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
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "reach/reach.h"
#include "undo/undo.h"
#include "compat.h"

static int	compare_transactions(const void *a, const void *b);
static UndoTransaction *transaction_of(UndoRun *run, int64 id);
static void check_named_once(UndoRun *run);
static bool began_with_former_rows(UndoRun *run, int64 id, TimestampTz first);
static bool check_reach(UndoRun *run, UndoTable *table);
static bool was_erased(const UndoTable *table, TimestampTz since);
static bool may_be_of(const UndoTable *table, char *name);

/* Note in the run, each once, the transactions that are to be undone; the ids are none of NULL. */
void
known_transactions(UndoRun *run, ArrayType *ids)
{
	int64	   *elements = (int64 *) ARR_DATA_PTR(ids);
	int			n = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	int			i;

	Assert(!ARR_HASNULL(ids) && ARR_ELEMTYPE(ids) == INT8OID);
	run->transactions = palloc(sizeof(UndoTransaction) * Max(n, 1));
	for (i = 0; i < n; i++)
	{
		run->transactions[i].id = elements[i];
		run->transactions[i].first = DT_NOEND;
		run->transactions[i].last = DT_NOBEGIN;
		run->transactions[i].first_made = DT_NOEND;
		run->transactions[i].last_made = DT_NOBEGIN;
	}
	qsort(run->transactions, n, sizeof(UndoTransaction), compare_transactions);
	run->ntransactions = 0;
	for (i = 0; i < n; i++)
		if (i == 0 || run->transactions[i].id != run->transactions[run->ntransactions - 1].id)
			run->transactions[run->ntransactions++] = run->transactions[i];
}

static int
compare_transactions(const void *a, const void *b)
{
	int64		one = ((const UndoTransaction *) a)->id;
	int64		other = ((const UndoTransaction *) b)->id;

	return one < other ? -1 : one > other;
}

/* Note that the transaction has ended a version at that time. */
void
known_note(UndoRun *run, int64 ender, TimestampTz ended)
{
	UndoTransaction *transaction = run->ntransactions == 1 ? run->transactions : transaction_of(run, ender);

	transaction->first = Min(transaction->first, ended);
	transaction->last = Max(transaction->last, ended);
}

/* Note that the transaction has inserted a row, which began at that time by its tracking table. */
void
known_note_made(UndoRun *run, int64 maker, TimestampTz began)
{
	UndoTransaction *transaction = run->ntransactions == 1 ? run->transactions : transaction_of(run, maker);

	transaction->first_made = Min(transaction->first_made, began);
	transaction->last_made = Max(transaction->last_made, began);
}

static UndoTransaction *
transaction_of(UndoRun *run, int64 id)
{
	UndoTransaction wanted = {id, 0, 0, 0, 0};

	return bsearch(&wanted, run->transactions, run->ntransactions, sizeof(UndoTransaction), compare_transactions);
}

/*
 * Error out where it cannot be known what was there.  Returns false if a table's rows were
 * judged as if it were known: why it is not is noted with the table.
 */
bool
known_check(UndoRun *run)
{
	bool		known = true;
	ListCell   *lc;

	if (!run->restore)
		check_named_once(run);
	foreach(lc, run->tables)
		known &= check_reach(run, lfirst(lc));
	return known;
}

/* Does the history know all that was, from what is to be undone until now? */
static bool
check_reach(UndoRun *run, UndoTable *table)
{
	TimestampTz first = table->first;
	bool		was_unknown = table->unknown != NULL;
	bool		was_incomplete = table->is_incomplete;
	Reach		gap;
	MemoryContext before;

	table->unknown = NULL;
	table->erased = false;
	if (table->nfound == 0 && !run->restore)
		return true;
	if (run->restore)
		first = DatumGetTimestampTz(run->params[1]);
	else if (first == DT_NOEND)
		first = reach_begin(table->row);
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
	table->is_incomplete = table->erased || table->keyless;
	return was_unknown == (table->unknown != NULL) && was_incomplete == table->is_incomplete;
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
		list_member_oid(lineage_below(relid), table->relid) ||
		list_member_oid(lineage_below(table->relid), relid);
}

/*
 * Error out if an id names two transactions, as it may after a restore into another
 * cluster: all that one transaction has ended it ended at one time, and what it has inserted
 * began then, or when another one that it overlapped had ended the former row of that key.
 */
static void
check_named_once(UndoRun *run)
{
	int			i;

	for (i = 0; i < run->ntransactions; i++)
	{
		UndoTransaction *transaction = &run->transactions[i];
		TimestampTz first = Min(transaction->first, transaction->first_made);
		TimestampTz last = Max(transaction->last, transaction->last_made);
		char	   *said;

		if (first >= last ||
			(transaction->first >= transaction->last && began_with_former_rows(run, transaction->id, first)))
			continue;
		said = pstrdup(timestamptz_to_str(first));
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("transaction id %s names more than one transaction", psprintf(INT64_FORMAT, transaction->id)),
				 errdetail("There are changes of it at %s and at %s: the database was restored into another cluster in between.",
						   said, timestamptz_to_str(last)),
				 errhint("Name tables that only one of them has changed, or take rows back to an instant: SELECT * FROM %s(tables, as_of, keys).",
						 hint_function("restore_tables"))));
	}
}

/*
 * Returns true if all rows of the transaction's making that began later than at that time began
 * at the end of a version of another one's; or may have got another key then, of a row that began later
 * than it did itself.
 */
static bool
began_with_former_rows(UndoRun *run, int64 id, TimestampTz first)
{
	ListCell   *lc;

	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);
		char	   *rows;

		if (!OidIsValid(table->row->tracking) || table->nfound == 0)
			continue;
		rows = view_rows_sql(table->row, table->live, true);
		if (store_execute(run, psprintf("WITH made AS (SELECT %s, t." EDITION_COLUMN " AS began FROM %s l JOIN ONLY %s t ON %s WHERE t.txid OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8 "
										"UNION ALL SELECT %s, pg_catalog.lower(v." PERIOD_COLUMN ") FROM (%s) v WHERE v." MAKER_COLUMN " OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8) "
										"SELECT pg_catalog.count(*) FROM made m WHERE m.began OPERATOR(pg_catalog.<>) '%s'::pg_catalog.timestamptz "
										"AND NOT EXISTS (SELECT FROM (%s) v WHERE %s AND pg_catalog.upper(v." PERIOD_COLUMN ") OPERATOR(pg_catalog.=) m.began "
										"AND v." XID_COLUMN " OPERATOR(pg_catalog.<>) '" INT64_FORMAT "'::pg_catalog.int8) "
										"AND NOT EXISTS (SELECT FROM (%s) v WHERE v." XID_COLUMN " OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8 AND pg_catalog.isempty(v." PERIOD_COLUMN ") "
										"AND (v." MAKER_COLUMN " OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8) IS NOT TRUE)",
										table_list_sql(table, "l.%n AS %a", true), table->name, naming_quoted(table->row->tracking),
										tracking_match_sql(table->row, table->live), id,
										table_list_sql(table, "v.%n AS %a", true), rows, id,
										timestamptz_to_str(first), rows, table_live_equal_sql(table, "v", "m"), id, rows, id, id)) > 0)
			return false;
	}
	return true;
}

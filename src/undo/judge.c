/*
 * judge.c
 *		What is to be done with each row: the plan.
 *
 * By content, in this order: the live row is as it was found: nothing; it is as it was
 * left: go; otherwise somebody has changed it since: a conflict.  A live row that is
 * where it was found is as it was left, and need not be compared.  Of an instant there is
 * nothing that was left: whatever has come since goes.
 *
 * Compared byte by byte, without what every change changes.
 *
 * A row of the plan has what is to be written; one that is to go has what goes, by which
 * the other half of a changed key is known (references.c).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "undo/undo.h"

/* columns of the plan, before those of the table */
#define PLAN_ACT	2
#define PLAN_KIND	3
#define PLAN_STALE	4

static char *judge_found_sql(const UndoTable *table);
static char *judge_left_sql(const UndoTable *table);
static char *judge_pairs_sql(const UndoTable *table);
static char *judge_version_sql(const UndoRun *run, const UndoColumn *column, const char *version);
static char *judge_compared_sql(const UndoRun *run, const UndoTable *table);
static const char *judge_kind_sql(const UndoRun *run, const UndoTable *table);
static void judge_see(UndoTable *table, HeapTuple tuple, TupleDesc desc);

/*
 * Fill the table's plan from what was found.  Its rows are locked.  The run is marked as
 * stale where a row was changed before it was locked: then all is to be found again.
 */
void
judge_rows(UndoRun *run, UndoTable *table)
{
	char	   *columns = psprintf("%s%s", table_list_sql(table, "z.%a", false),
								   references_columns_sql(run, table, true));
	char	   *sql;
	ListCell   *lc;

	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->added)
			columns = psprintf("%s, z.absent_%s", columns, column->alias);
	}

	table->planned[0] = table->planned[1] = table->planned[2] = 0;
	table->nconflicts = 0;
	table->stale = false;
	sql = psprintf("SELECT y.*, CASE WHEN y.found IS NOT NULL AND y.is_live THEN CASE WHEN y.as_found AND NOT y.lost THEN NULL ELSE 'U' END "
				   "WHEN y.found IS NOT NULL THEN 'I' WHEN y.is_live THEN 'D' END AS act FROM (%s) y OFFSET 0",
				   judge_compared_sql(run, table));
	sql = psprintf("SELECT pg_catalog.row_number() OVER () AS n, z.act, (%s)::pg_catalog.text AS kind, "
				   "COALESCE(z.left_side OPERATOR(pg_catalog.=) 3 AND NOT z.own, false) AS stale, %s "
				   "FROM (%s) z WHERE z.act IS NOT NULL",
				   judge_kind_sql(run, table), columns, sql);
	table->plan = store_query(run, "plan", table, sql, judge_see);
	run->stale |= table->stale && !run->restore;
}

/* What was there before, one row a key: of several the first one. */
static char *
judge_found_sql(const UndoTable *table)
{
	if (!table->has_repeated)
		return psprintf("SELECT f.*, 1 AS times FROM %s f WHERE f.side OPERATOR(pg_catalog.=) 1",
						table->found->name);
	return psprintf("SELECT DISTINCT ON (%s) f.*, pg_catalog.count(*) FILTER (WHERE f.side OPERATOR(pg_catalog.=) 1) OVER (PARTITION BY %s) AS times "
					"FROM %s f WHERE f.side OPERATOR(pg_catalog.=) ANY ('{1,4}') "
					"ORDER BY %s, f.side, pg_catalog.upper(f.period), f.ender",
					table_list_sql(table, "f.%a", true), table_list_sql(table, "f.%a", true),
					table->found->name, table_list_sql(table, "f.%a", true));
}

/* What was left, likewise: of several the live row, or the last one. */
static char *
judge_left_sql(const UndoTable *table)
{
	if (!table->has_repeated)
		return psprintf("SELECT f.*, 1 AS times FROM %s f WHERE f.side OPERATOR(pg_catalog.=) ANY ('{2,3}')",
						table->found->name);
	return psprintf("SELECT DISTINCT ON (%s) f.*, pg_catalog.count(*) OVER (PARTITION BY %s) AS times "
					"FROM %s f WHERE f.side OPERATOR(pg_catalog.=) ANY ('{2,3}') "
					"ORDER BY %s, f.side DESC, pg_catalog.upper(f.period) DESC, f.ender DESC",
					table_list_sql(table, "f.%a", true), table_list_sql(table, "f.%a", true),
					table->found->name, table_list_sql(table, "f.%a", true));
}

/*
 * Both beside each other: columns c1, ... before, and q1, ... as they were left.  Of two
 * transactions the one may have made what another one changed before the other one came:
 * that is no net effect of theirs.
 */
static char *
judge_pairs_sql(const UndoTable *table)
{
	StringInfoData columns;
	char	   *both;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_key)
			appendStringInfo(&columns, ", COALESCE(p.%s, q.%s) AS %s, COALESCE(p.%s, q.%s) AS q%s",
							 column->alias, column->alias, column->alias,
							 column->alias, column->alias, column->alias);
		else
			appendStringInfo(&columns, ", p.%s, q.%s AS q%s", column->alias, column->alias, column->alias);
	}
	both = psprintf("SELECT p.side AS found, q.side AS left_side, q.place, q.part, p.ender AS pender, pg_catalog.upper(p.period) AS pended, "
					"q.ender AS qender, pg_catalog.upper(q.period) AS qended, "
					"COALESCE(p.doubt, false) OR COALESCE(q.doubt, false) OR COALESCE(q.lost, false) AS doubt, COALESCE(p.lost, false) AS lost, "
					"COALESCE(p.times, 0) OPERATOR(pg_catalog.>) 1 OR COALESCE(q.times, 0) OPERATOR(pg_catalog.>) 1 "
					"OR (q.side OPERATOR(pg_catalog.=) 2 AND p.ender OPERATOR(pg_catalog.<>) q.maker "
					"AND (pg_catalog.lower(q.period) OPERATOR(pg_catalog.>=) pg_catalog.upper(p.period)) IS NOT TRUE) AS repeated%s ",
					columns.data);
	if (table_has_operators(table))
		return psprintf("%s FROM (%s) p FULL JOIN (%s) q ON %s", both, judge_found_sql(table),
						judge_left_sql(table), table_keys_equal_sql(table, "p", "q"));
	return psprintf("%s FROM (%s) p LEFT JOIN (%s) q ON %s UNION ALL %s FROM (%s) q LEFT JOIN (%s) p ON %s WHERE p.side IS NULL",
					both, judge_found_sql(table), judge_left_sql(table), table_keys_equal_sql(table, "p", "q"),
					both, judge_left_sql(table), judge_found_sql(table), table_keys_equal_sql(table, "p", "q"));
}

/* The column of the version p or q: the live row's present value where it was added since. */
static char *
judge_version_sql(const UndoRun *run, const UndoColumn *column, const char *version)
{
	char	   *value = psprintf("x.%s%s", *version == 'q' ? "q" : "", column->alias);

	if (column->added == NULL)
		return value;
	return psprintf("CASE WHEN %s THEN %s ELSE %s END", table_absent_sql(run, column, version),
					table_live_sql(column, "l"), value);
}

/* They and the live row. */
static char *
judge_compared_sql(const UndoRun *run, const UndoTable *table)
{
	StringInfoData columns;
	StringInfoData before;
	StringInfoData after;
	StringInfoData now;
	const char *key = NULL;
	ListCell   *lc;

	initStringInfo(&columns);
	initStringInfo(&before);
	initStringInfo(&after);
	initStringInfo(&now);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);
		char	   *live = table_live_sql(column, "l");

		if (column->is_key)
		{
			key = psprintf("l.%s", column->name);
			appendStringInfo(&columns, ", x.%s", column->alias);
		}
		else
			appendStringInfo(&columns, ", CASE WHEN x.found IS NOT NULL THEN %s WHEN x.left_side OPERATOR(pg_catalog.=) 2 THEN %s ELSE %s END AS %s",
							 judge_version_sql(run, column, "p"), judge_version_sql(run, column, "q"), live, column->alias);
		if (column->added)
			appendStringInfo(&columns, ", x.found IS NOT NULL AND %s AS absent_%s", table_absent_sql(run, column, "p"), column->alias);
		if (column->is_key || column->is_silent || column->is_generated)
			continue;
		appendStringInfo(&before, "%s%s", before.len > 0 ? ", " : "", judge_version_sql(run, column, "p"));
		appendStringInfo(&after, "%s%s", after.len > 0 ? ", " : "", judge_version_sql(run, column, "q"));
		appendStringInfo(&now, "%s%s", now.len > 0 ? ", " : "", live);
	}
	return psprintf("SELECT x.found, x.left_side, x.doubt, x.lost, x.repeated, %s IS NOT NULL AS is_live, "
					"COALESCE(x.left_side OPERATOR(pg_catalog.=) 3 AND l.ctid OPERATOR(pg_catalog.=) x.place "
					"AND l.tableoid OPERATOR(pg_catalog.=) x.part, false) AS own, "
					"CASE WHEN x.found IS NOT NULL AND %s IS NOT NULL THEN pg_catalog.record_image_eq(ROW(%s), ROW(%s)) END AS as_found, "
					"CASE WHEN x.left_side OPERATOR(pg_catalog.=) 2 AND %s IS NOT NULL THEN pg_catalog.record_image_eq(ROW(%s), ROW(%s)) END AS as_left%s%s "
					"FROM (%s) x LEFT JOIN %s l ON %s OFFSET 0",
					key, key, now.data, before.data, key, now.data, after.data, columns.data,
					references_columns_sql(run, table, false),
					judge_pairs_sql(table), table->name, table_live_equal_sql(table, "l", "x"));
}

/* Why it cannot be done; NULL: it can. */
static const char *
judge_kind_sql(const UndoRun *run, const UndoTable *table)
{
	/* "there was nothing" is not known of what may have been erased */
	const char *erased = table->erased ? "z.found IS NULL" : "false";

	if (table->unknown)
		return "'" KIND_UNKNOWN "'";
	if (run->restore)
		return psprintf("CASE WHEN z.doubt OR z.lost OR z.repeated OR %s THEN '" KIND_UNKNOWN "' END", erased);
	return psprintf("CASE WHEN z.doubt OR z.lost OR %s THEN '" KIND_UNKNOWN "' WHEN z.repeated THEN '" KIND_BETWEEN "' "
					"WHEN z.act OPERATOR(pg_catalog.=) 'I' THEN CASE WHEN z.left_side IS NOT NULL THEN '" KIND_DELETED "' END "
					"WHEN z.own OR z.as_left THEN NULL WHEN z.left_side IS NULL THEN '" KIND_TAKEN "' ELSE '" KIND_CHANGED "' END", erased);
}

static void
judge_see(UndoTable *table, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	bool		no_conflict;
	char	   *act = VARDATA_ANY(DatumGetPointer(heap_getattr(tuple, PLAN_ACT, desc, &isnull)));

	(void) heap_getattr(tuple, PLAN_KIND, desc, &no_conflict);
	if (no_conflict)
		table->planned[*act == ACT_DELETE ? 0 : *act == ACT_UPDATE ? 1 : 2]++;
	else
	{
		table->nconflicts++;
		table->stale |= DatumGetBool(heap_getattr(tuple, PLAN_STALE, desc, &isnull));
	}
}

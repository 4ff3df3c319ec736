/*
 * find.c
 *		What was there before, and what was left: the rows that are to be judged.
 *
 * Of transactions: a version that one of them has ended, and none of them made, is what
 * they found (side FOUND); one that they made, and none of them ended, is what they left,
 * in history, as somebody has changed it since (side LEFT), or the live row (side LIVE).
 * What they made and ended nobody else saw.  Nothing depends on the order of times, which
 * proves nothing where transactions overlapped.
 *
 * Of an instant: the version that held then and has ended since (FOUND), and live rows
 * that are younger (LIVE).
 *
 * A version of unknown making with an empty period may be either: it is told apart
 * (DOUBTFUL).
 *
 * Live rows are noted by where they are: a row that is there still when it has been
 * locked is the one that was found.  (The snapshot of the caller's query keeps its place
 * from being used again.)
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "undo/undo.h"

#define SIDE_FOUND		1
#define SIDE_LEFT		2
#define SIDE_LIVE		3
#define SIDE_DOUBTFUL	4

static char *find_transactions_sql(UndoTable *table);
static char *find_instant_sql(UndoRun *run, UndoTable *table);
static char *find_versions_sql(UndoTable *table, int side, const char *doubt, const char *condition);
static char *find_live_sql(UndoTable *table, const char *doubt, const char *condition);
static char *find_keys_sql(UndoRun *run, UndoTable *table);
static void find_see(UndoTable *table, HeapTuple tuple, TupleDesc desc);
static bool find_has_repeated(UndoRun *run, UndoTable *table);

/* Fill the table's store of what is found. */
void
find_rows(UndoRun *run, UndoTable *table)
{
	char	   *sql = run->restore ? find_instant_sql(run, table) : find_transactions_sql(table);
	char	   *keys = find_keys_sql(run, table);

	if (keys)
		sql = psprintf("SELECT f.* FROM (%s) f WHERE %s", sql, keys);
	table->ndelete = 0;
	table->nunmade = 0;
	table->has_repeated = false;
	table->found = store_query(run, "found", table, sql, find_see);

	/* one transaction finds and leaves one version a key, where it is known who made it */
	table->has_repeated |= table->found->count > 0 &&
		!(run->ntransactions == 1 && OidIsValid(table->row->tracking) && table->nunmade == 0) &&
		find_has_repeated(run, table);
}

static char *
find_transactions_sql(UndoTable *table)
{
	char	   *since = "false";

	/* what is from before it was tracked says nothing of who changed it since */
	if (!OidIsValid(table->row->tracking))
		since = psprintf("v.%s OPERATOR(pg_catalog.<) '%s'::pg_catalog.timestamptz",
						 quote_identifier(table->row->time_column), timestamptz_to_str(table->row->created));
	return psprintf("%s UNION ALL %s UNION ALL %s UNION ALL %s",
					find_versions_sql(table, SIDE_FOUND, "false",
									  "v." XID_COLUMN " OPERATOR(pg_catalog.=) ANY ($1) AND (v." MAKER_COLUMN " OPERATOR(pg_catalog.=) ANY ($1)) IS NOT TRUE "
									  "AND NOT (v." MAKER_COLUMN " IS NULL AND pg_catalog.isempty(v." PERIOD_COLUMN "))"),
					find_versions_sql(table, SIDE_DOUBTFUL, "true",
									  "v." XID_COLUMN " OPERATOR(pg_catalog.=) ANY ($1) AND v." MAKER_COLUMN " IS NULL AND pg_catalog.isempty(v." PERIOD_COLUMN ")"),
					find_versions_sql(table, SIDE_LEFT, since,
									  "v." XID_COLUMN " IS NOT NULL AND v." MAKER_COLUMN " OPERATOR(pg_catalog.=) ANY ($1) "
									  "AND (v." XID_COLUMN " OPERATOR(pg_catalog.=) ANY ($1)) IS NOT TRUE"),
					find_live_sql(table, OidIsValid(table->row->tracking) ? "false" :
								  psprintf("(l.%s OPERATOR(pg_catalog.<) '%s'::pg_catalog.timestamptz)",
										   quote_identifier(table->row->time_column), timestamptz_to_str(table->row->created)),
								  OidIsValid(table->row->tracking) ? "t.txid OPERATOR(pg_catalog.=) ANY ($1)" :
								  psprintf("l.%s OPERATOR(pg_catalog.=) ANY ($1)", quote_identifier(table->row->txid_column))));
}

static char *
find_instant_sql(UndoRun *run, UndoTable *table)
{
	char	   *start = OidIsValid(table->row->tracking) ? "t." EDITION_COLUMN :
		psprintf("l.%s", quote_identifier(table->row->time_column));

	return psprintf("%s UNION ALL %s",
					find_versions_sql(table, SIDE_FOUND, "pg_catalog.lower_inf(v." PERIOD_COLUMN ")",
									  psprintf("%s AND v." PERIOD_COLUMN " OPERATOR(pg_catalog.@>) $2",
											   table->row->maker_until == 0 ? "v." XID_COLUMN " IS NOT NULL" :
											   "NOT pg_catalog.upper_inf(v." PERIOD_COLUMN ")")),
					find_live_sql(table, psprintf("(%s IS NULL OR %s OPERATOR(pg_catalog.=) '-infinity')", start, start),
								  psprintf("(%s OPERATOR(pg_catalog.>) $2 OR %s IS NULL OR %s OPERATOR(pg_catalog.=) '-infinity')",
										   start, start, start)));
}

static char *
find_versions_sql(UndoTable *table, int side, const char *doubt, const char *condition)
{
	return psprintf("SELECT %d::pg_catalog.int2 AS side, %s AS doubt, v.%s AS ender, v.%s AS maker, v.%s AS period, "
					"NULL::pg_catalog.tid AS place, NULL::pg_catalog.oid AS part, %s AS lost, %s FROM (%s) v WHERE %s",
					side, doubt, XID_COLUMN, MAKER_COLUMN, PERIOD_COLUMN, table_lost_sql(table, "v"),
					table_list_sql(table, "v.%n AS %a", false),
					view_rows_sql(table->row, table->live, true), condition);
}

/* Live rows are told by their keys alone; t is the tracking row. */
static char *
find_live_sql(UndoTable *table, const char *doubt, const char *condition)
{
	StringInfoData columns;
	ListCell   *lc;
	char	   *tracking = "";
	const char *maker = "t.txid";

	initStringInfo(&columns);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		appendStringInfo(&columns, ", %s AS %s", column->is_key ? table_live_sql(column, "l") :
						 psprintf("NULL::%s", column->type_sql), column->alias);
	}
	if (OidIsValid(table->row->tracking))
		tracking = psprintf("LEFT JOIN ONLY %s t ON %s", naming_quoted(table->row->tracking),
							tracking_match_sql(table->row, table->live));
	else
		maker = psprintf("l.%s", quote_identifier(table->row->txid_column));
	return psprintf("SELECT %d::pg_catalog.int2, COALESCE(%s, false), NULL::pg_catalog.int8, %s, pg_catalog.tstzrange(%s, NULL), "
					"l.ctid, l.tableoid, false%s FROM %s l %s WHERE %s",
					SIDE_LIVE, doubt, maker,
					OidIsValid(table->row->tracking) ? "t." EDITION_COLUMN : psprintf("l.%s", quote_identifier(table->row->time_column)),
					columns.data, table->name, tracking, condition);
}

/* Of rows of some keys alone: a condition on f, or NULL. */
static char *
find_keys_sql(UndoRun *run, UndoTable *table)
{
	StringInfoData equal;
	ListCell   *lc;

	if (run->nulls[2] != ' ')
		return NULL;
	initStringInfo(&equal);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (!column->is_key)
			continue;
		if (equal.len > 0)
			appendStringInfoString(&equal, " AND ");
		table_equal_sql(&equal, psprintf("f.%s", column->alias), column->type,
						columns_key_equality(NULL, -1, getBaseType(column->type)),
						psprintf("g.%s", column->name), column->type);
	}
	return psprintf("EXISTS (SELECT FROM pg_catalog.unnest($3) k (k), "
					"pg_catalog.jsonb_populate_record(NULL::%s, k.k) g WHERE %s)",
					naming_quoted(table->row->history), equal.data);
}

static void
find_see(UndoTable *table, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	int16		side = DatumGetInt16(heap_getattr(tuple, 1, desc, &isnull));

	if (side == SIDE_LIVE || side == SIDE_LEFT)
		table->ndelete++;
	if (side == SIDE_DOUBTFUL)
		table->has_repeated = true;
	(void) heap_getattr(tuple, 4, desc, &isnull);
	if (isnull)
		table->nunmade++;
}

/* Returns true if there are several of one key on one side. */
static bool
find_has_repeated(UndoRun *run, UndoTable *table)
{
	char	   *keys = table_list_sql(table, "f.%a", true);

	return store_execute(run, psprintf("SELECT pg_catalog.count(*) FROM (SELECT FROM %s f GROUP BY %s, "
									   "f.side OPERATOR(pg_catalog.=) ANY ('{2,3}') HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1 LIMIT 1) x",
									   table->found->name, keys)) > 0;
}

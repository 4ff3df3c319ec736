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
 * Both sides come from one query, paired by the key, of the history and the live table
 * themselves, whose statistics PostgreSQL has.  Each row is judged as it comes by (judge.c),
 * so that it is kept but once.  Only where what was left is no live row there may be one of
 * another's making: those rows are kept ("rest"), and judged with the live row of their key.
 *
 * There may be several versions of a key on a side, of which one is chosen ("several"): of
 * several transactions, one of which may find what another one has left and a third one
 * changed.  Where the first of them has inserted the row, and others have changed it before
 * the next one came, what that one found is not what was there before.  This only times
 * tell; who ended what, where that is so.
 *
 * One transaction leaves several only where an application has written transaction ids by itself.
 * So keys are noted, by their hash values, and where one comes twice it is all done again.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "undo/undo.h"

/* Rows of a query as they come by. */
typedef struct Finding
{
	UndoRun    *run;
	UndoTable  *table;
	bool		in_rest;		/* the query is that of "rest" */
	bool		may_repeat;		/* keys are to be noted */
	bool		is_doubtful;	/* there was one */
	uint64		nunmade;		/* versions of which it is not known who made them */
	uint64	   *hashes;			/* of keys */
	uint64		nhashes;
	uint64		size;
	int			nkeys;
	FmgrInfo   *functions;		/* of each key column */
	int		   *key_columns;	/* where they are */
	Oid		   *collations;
} Finding;

static bool find_begin_keys(Finding *finding);
static void find_seen_columns(void *arg, TupleDesc desc);
static void find_see(void *arg, TupleTableSlot *slot);
static void find_see_pair(Finding *finding, TupleTableSlot *slot);
static void find_note_key(Finding *finding, const Datum *values, const bool *isnull);
static bool find_has_repeated(Finding *finding);
static int	compare_hashes(const void *a, const void *b);
static char *find_pairs_sql(const UndoRun *run, const UndoTable *table);
static char *find_rest_sql(const UndoTable *table);
static char *find_before_sql(const UndoRun *run, const UndoTable *table);
static char *find_left_sql(const UndoRun *run, const UndoTable *table);
static char *find_made_sql(const UndoTable *table, const char *doubt);
static char *find_live_sql(const UndoRun *run, const UndoTable *table);
static char *find_some_keys_sql(const UndoRun *run, const UndoTable *table, char *sql);

/*
 * Find the rows of the table, and fill its plan.  Returns false if that is to be done again:
 * there may be several versions of a key.
 */
bool
find_rows(UndoRun *run, UndoTable *table)
{
	Finding		finding;
	bool		again;

	memset(&finding, 0, sizeof(finding));
	finding.run = run;
	finding.table = table;
	if (!find_begin_keys(&finding) || run->ntransactions > 1)
		table->several = true;

	/* one transaction finds and leaves one version a key, where we say who made it */
	finding.may_repeat = !table->several &&
		!(run->ntransactions == 1 && OidIsValid(table->row->tracking));
	table->nfound = 0;
	table->first = DT_NOEND;
	memset(&table->made, 0, sizeof(table->made));
	store_see(run, find_pairs_sql(run, table), find_seen_columns, find_see, &finding);
	again = !table->several &&
		(finding.is_doubtful ||
		 (finding.may_repeat ? find_has_repeated(&finding) : finding.nunmade > 0 && run->ntransactions == 1));
	if (finding.hashes)
		pfree(finding.hashes);
	if (again)
	{
		table->several = true;
		return false;
	}
	if (table->rest->count > 0)
	{
		finding.in_rest = true;
		store_see(run, find_rest_sql(table), NULL, find_see, &finding);
	}
	return true;
}

/* Returns false if keys of the table's have no hash values. */
static bool
find_begin_keys(Finding *finding)
{
	int			at = 0;
	ListCell   *lc;

	finding->functions = palloc(sizeof(FmgrInfo) * list_length(finding->table->row->key));
	finding->key_columns = palloc(sizeof(int) * list_length(finding->table->row->key));
	finding->collations = palloc(sizeof(Oid) * list_length(finding->table->row->key));
	foreach(lc, finding->table->columns)
	{
		UndoColumn *column = lfirst(lc);
		TypeCacheEntry *type;

		if (column->is_key)
		{
			type = lookup_type_cache(getBaseType(column->type), TYPECACHE_HASH_EXTENDED_PROC);
			if (!OidIsValid(type->hash_extended_proc))
				return false;
			fmgr_info(type->hash_extended_proc, &finding->functions[finding->nkeys]);
			finding->key_columns[finding->nkeys++] = FOUND_COLUMNS + 2 * at;
		}
		at++;
	}
	return table_has_operators(finding->table);
}

static void
find_seen_columns(void *arg, TupleDesc desc)
{
	Finding    *finding = arg;
	int			i;

	for (i = 0; i < finding->nkeys; i++)
		finding->collations[i] = TupleDescAttr(desc, finding->key_columns[i])->attcollation;
	finding->table->rest = store_make(finding->run, "rest", finding->table, desc);
	judge_begin(finding->run, finding->table, desc);
}

static void
find_see(void *arg, TupleTableSlot *slot)
{
	Finding    *finding = arg;
	FoundRow	row;
	int			at;

	slot_getallattrs(slot);
	if (!finding->in_rest)
	{
		find_see_pair(finding, slot);
		return;
	}

	/* the live row comes last */
	at = slot->tts_tupleDescriptor->natts - list_length(finding->table->columns);
	row.values = slot->tts_values;
	row.isnull = slot->tts_isnull;
	row.live = slot->tts_values + at;
	row.live_isnull = slot->tts_isnull + at;
	row.live_step = 1;
	row.is_live = !slot->tts_isnull[at - 1];
	row.place = row.is_live ? (ItemPointer) DatumGetPointer(slot->tts_values[at - 2]) : NULL;
	row.part = row.is_live ? DatumGetObjectId(slot->tts_values[at - 1]) : InvalidOid;
	judge_row(finding->run, finding->table, &row);
}

/* What was there before, and what was left. */
static void
find_see_pair(Finding *finding, TupleTableSlot *slot)
{
	UndoTable  *table = finding->table;
	Datum	   *values = slot->tts_values;
	bool	   *isnull = slot->tts_isnull;
	FoundRow	row;

	table->nfound++;
	if (!isnull[FOUND_FIRST])
		table->first = Min(table->first, DatumGetTimestampTz(values[FOUND_FIRST]));
	if (DatumGetBool(values[FOUND_UNMADE]))
		finding->nunmade++;
	if (!isnull[FOUND_SIDE] && DatumGetInt16(values[FOUND_SIDE]) == SIDE_DOUBTFUL)
		finding->is_doubtful = true;
	else if (!isnull[FOUND_SIDE] && !isnull[FOUND_PENDED] && !finding->run->restore)
		known_note(finding->run, DatumGetInt64(values[FOUND_PENDER]), DatumGetTimestampTz(values[FOUND_PENDED]));
	if (isnull[FOUND_SIDE] && !isnull[FOUND_LEFT] && !isnull[FOUND_QMAKER] && !isnull[FOUND_QBEGAN] &&
		OidIsValid(table->row->tracking) && !finding->run->restore)
		known_note_made(finding->run, DatumGetInt64(values[FOUND_QMAKER]), DatumGetTimestampTz(values[FOUND_QBEGAN]));
	if (finding->may_repeat)
		find_note_key(finding, values, isnull);

	if (isnull[FOUND_LEFT] || DatumGetInt16(values[FOUND_LEFT]) != SIDE_LIVE)
	{
		store_put_slot(table->rest, slot);
		return;
	}
	row.values = values;
	row.isnull = isnull;
	row.live = values + FOUND_COLUMNS + 1;
	row.live_isnull = isnull + FOUND_COLUMNS + 1;
	row.live_step = 2;
	row.is_live = true;
	row.place = (ItemPointer) DatumGetPointer(values[FOUND_PLACE]);
	row.part = DatumGetObjectId(values[FOUND_PART]);
	lock_note(&table->made, row.place, row.part);
	judge_row(finding->run, table, &row);
}

static void
find_note_key(Finding *finding, const Datum *values, const bool *isnull)
{
	uint64		hash = 0;
	int			i;

	/* of an older key: it is not known which row that is (judge.c) */
	for (i = 0; i < finding->nkeys; i++)
		if (isnull[finding->key_columns[i]])
			return;
	for (i = 0; i < finding->nkeys; i++)
		hash = hash_combine64(hash, DatumGetUInt64(FunctionCall2Coll(&finding->functions[i], finding->collations[i],
																	 values[finding->key_columns[i]], UInt64GetDatum(0))));
	if (finding->nhashes == finding->size)
	{
		finding->size = Max(finding->size * 2, 1024);
		if (finding->hashes == NULL)
			finding->hashes = MemoryContextAllocHuge(finding->run->context, sizeof(uint64) * finding->size);
		else
			finding->hashes = repalloc_huge(finding->hashes, sizeof(uint64) * finding->size);
	}
	finding->hashes[finding->nhashes++] = hash;
}

/* Returns true if a hash value was noted twice. */
static bool
find_has_repeated(Finding *finding)
{
	uint64		i;

	qsort(finding->hashes, finding->nhashes, sizeof(uint64), compare_hashes);
	for (i = 1; i < finding->nhashes; i++)
		if (finding->hashes[i] == finding->hashes[i - 1])
			return true;
	return false;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64		one = *(const uint64 *) a;
	uint64		other = *(const uint64 *) b;

	return one < other ? -1 : one > other;
}

/*
 * Both sides beside each other: the columns of FoundRow, then two for each of the table's,
 * c1, q1, ...: before, and as it was left; of those added since, whether that was before.
 */
static char *
find_pairs_sql(const UndoRun *run, const UndoTable *table)
{
	StringInfoData columns;
	StringInfoData absent;
	char	   *before = find_before_sql(run, table);
	char	   *left = find_left_sql(run, table);
	char	   *both;
	int			at = FOUND_COLUMNS + 2 * list_length(table->columns);
	ListCell   *lc;

	initStringInfo(&columns);
	initStringInfo(&absent);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_key)
			appendStringInfo(&columns, ", COALESCE(p.%s, q.%s) AS %s, COALESCE(q.%s, p.%s) AS q%s",
							 column->alias, column->alias, column->alias,
							 column->alias, column->alias, column->alias);
		else
			appendStringInfo(&columns, ", p.%s, q.%s AS q%s", column->alias, column->alias, column->alias);
		if (column->added == NULL)
			continue;
		appendStringInfo(&absent, ", %s, %s", table_absent_sql(run, column, "p"), table_absent_sql(run, column, "q"));
		column->absent_at = at;
		at += 2;
	}
	both = psprintf("SELECT p.side, NULLIF(q.side, 5::pg_catalog.int2) AS left_side, q.place, q.part, p.ender AS pender, p.ended AS pended, "
					"q.ender AS qender, q.ended AS qended, q.maker AS qmaker, q.began AS qbegan, "
					"COALESCE(p.doubt, false) OR COALESCE(q.doubt, false) OR COALESCE(q.lost, false) AS doubt, COALESCE(p.lost, false) AS lost, "
					"COALESCE(p.times, 0) OPERATOR(pg_catalog.>) 1 OR COALESCE(q.times, 0) OPERATOR(pg_catalog.>) 1 AS repeated, "
					"LEAST(p.first, q.first) AS first, COALESCE(p.unmade, false) OR (q.side IS NOT NULL AND q.maker IS NULL) AS unmade, %s AS inserted%s ",
					table->several && !run->restore ?
					"COALESCE(q.first OPERATOR(pg_catalog.<) p.ended AND NOT q.made_first OPERATOR(pg_catalog.=) ANY (p.enders), false)" : "false",
					columns.data);
	if (table_has_operators(table))
		both = psprintf("%s FROM (%s) p FULL JOIN (%s) q ON %s", both, before, left, table_keys_equal_sql(table, "p", "q"));
	else
		both = psprintf("%s FROM (%s) p LEFT JOIN (%s) q ON %s UNION ALL %s FROM (%s) q LEFT JOIN (%s) p ON %s WHERE p.side IS NULL",
						both, before, left, table_keys_equal_sql(table, "p", "q"),
						both, left, before, table_keys_equal_sql(table, "p", "q"));
	return absent.len == 0 ? both : psprintf("SELECT x.*%s FROM (%s) x", absent.data, both);
}

/* Rows of "rest", each with the live row of its key. */
static char *
find_rest_sql(const UndoTable *table)
{
	StringInfoData columns;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, table->columns)
		appendStringInfo(&columns, ", %s", table_live_sql(lfirst(lc), "l"));
	return psprintf("SELECT x.*, l.ctid, l.tableoid%s FROM %s x LEFT JOIN %s l ON %s",
					columns.data, table->rest->name, table->name, table_live_equal_sql(table, "l", "x"));
}

/* What was there before: one row a key, of several the first one. */
static char *
find_before_sql(const UndoRun *run, const UndoTable *table)
{
	const char *condition;
	const char *doubt = "false";
	const char *side = "1";
	char	   *keys;
	char	   *sql;

	if (run->restore)
	{
		doubt = "pg_catalog.lower_inf(v." PERIOD_COLUMN ")";
		condition = table->row->maker_until == 0 ?
			"v." XID_COLUMN " IS NOT NULL AND v." PERIOD_COLUMN " OPERATOR(pg_catalog.@>) $2" :
			"NOT pg_catalog.upper_inf(v." PERIOD_COLUMN ") AND v." PERIOD_COLUMN " OPERATOR(pg_catalog.@>) $2";
	}
	else
	{
		side = "CASE WHEN v." MAKER_COLUMN " IS NULL AND pg_catalog.isempty(v." PERIOD_COLUMN ") THEN 4 ELSE 1 END";
		condition = "v." XID_COLUMN " OPERATOR(pg_catalog.=) ANY ($1) AND (v." MAKER_COLUMN " OPERATOR(pg_catalog.=) ANY ($1)) IS NOT TRUE";
	}
	sql = psprintf("SELECT (%s)::pg_catalog.int2 AS side, %s AS doubt, v." XID_COLUMN " AS ender, v." MAKER_COLUMN " IS NULL AS unmade, "
				   "pg_catalog.upper(v." PERIOD_COLUMN ") AS ended, pg_catalog.upper(v." PERIOD_COLUMN ") AS first, 1 AS times, %s AS lost, %s FROM (%s) v WHERE %s",
				   side, doubt, table_lost_sql(table, "v"), table_list_sql(table, "v.%n AS %a", false),
				   view_rows_sql(table->row, table->live, true), condition);
	sql = find_some_keys_sql(run, table, sql);
	if (!table->several)
		return sql;
	keys = table_list_sql(table, "f.%a", true);
	return psprintf("SELECT DISTINCT ON (%s) f.side, f.doubt OR f.side OPERATOR(pg_catalog.=) 4 AS doubt, f.ender, f.unmade, f.ended, "
					"pg_catalog.min(f.first) OVER (PARTITION BY %s) AS first, "
					"pg_catalog.array_agg(f.ender) OVER (PARTITION BY %s) AS enders, "
					"pg_catalog.count(*) FILTER (WHERE f.side OPERATOR(pg_catalog.=) 1) OVER (PARTITION BY %s) AS times, f.lost, %s "
					"FROM (%s) f ORDER BY %s, f.side, f.ended, f.ender",
					keys, keys, keys, keys, table_list_sql(table, "f.%a", false), sql, keys);
}

/* What was left, likewise: of several the live row, or the last one. */
static char *
find_left_sql(const UndoRun *run, const UndoTable *table)
{
	char	   *since = "false";
	char	   *keys;
	char	   *sql = find_some_keys_sql(run, table, find_live_sql(run, table));

	/* what is from before it was tracked says nothing of who changed it since */
	if (!OidIsValid(table->row->tracking))
		since = psprintf("v.%s OPERATOR(pg_catalog.<) '%s'::pg_catalog.timestamptz",
						 quote_identifier(table->row->time_column), timestamptz_to_str(table->row->created));
	if (!run->restore)
		sql = psprintf("%s UNION ALL %s", sql, find_some_keys_sql(run, table, find_made_sql(table, since)));
	if (!table->several)
		return sql;
	keys = table_list_sql(table, "f.%a", true);
	return psprintf("SELECT DISTINCT ON (%s) f.side, f.doubt AND f.side OPERATOR(pg_catalog.<>) 5 AS doubt, f.ender, f.maker, f.began, f.ended, "
					"pg_catalog.min(f.first) OVER (PARTITION BY %s) AS first, "
					"pg_catalog.first_value(f.maker) OVER (PARTITION BY %s ORDER BY f.first) AS made_first, "
					"pg_catalog.count(*) FILTER (WHERE f.side OPERATOR(pg_catalog.<>) 5) OVER (PARTITION BY %s) AS times, "
					"f.place, f.part, f.lost AND f.side OPERATOR(pg_catalog.<>) 5 AS lost, %s FROM (%s) f "
					"ORDER BY %s, f.side OPERATOR(pg_catalog.=) 5, f.side DESC, f.ended DESC, f.ender DESC",
					keys, keys, keys, keys, table_list_sql(table, "f.%a", false), sql, keys);
}

/*
 * The versions that they made and another one has ended; of several transactions also what they
 * have ended themselves (INNER).
 */
static char *
find_made_sql(const UndoTable *table, const char *doubt)
{
	const char *inner = "(v." XID_COLUMN " OPERATOR(pg_catalog.=) ANY ($1)) IS TRUE";

	return psprintf("SELECT %s::pg_catalog.int2 AS side, COALESCE(%s, false) AS doubt, v." XID_COLUMN " AS ender, v." MAKER_COLUMN " AS maker, "
					"pg_catalog.lower(v." PERIOD_COLUMN ") AS began, pg_catalog.upper(v." PERIOD_COLUMN ") AS ended, "
					"pg_catalog.lower(v." PERIOD_COLUMN ") AS first, 1 AS times, "
					"NULL::pg_catalog.tid AS place, NULL::pg_catalog.oid AS part, %s AS lost, %s FROM (%s) v "
					"WHERE v." XID_COLUMN " IS NOT NULL AND v." MAKER_COLUMN " OPERATOR(pg_catalog.=) ANY ($1)%s",
					table->several ? psprintf("(CASE WHEN %s THEN 5 ELSE 2 END)", inner) : "2",
					doubt, table_lost_sql(table, "v"), table_list_sql(table, "v.%n AS %a", false),
					view_rows_sql(table->row, table->live, true),
					table->several ? "" : psprintf(" AND NOT %s", inner));
}

/* The live rows that they made, or that are younger. */
static char *
find_live_sql(const UndoRun *run, const UndoTable *table)
{
	StringInfoData columns;
	char	   *start = live_start_sql(table);
	char	   *doubt = "false";
	const char *maker = "t.txid";
	ListCell   *lc;

	if (run->restore)
		doubt = psprintf("%s IS NULL OR %s OPERATOR(pg_catalog.=) '-infinity'%s", start, start,
						 /* it appeared by syncing, and may be older */
						 OidIsValid(table->row->tracking) ? " OR (t.txid OPERATOR(pg_catalog.>) 0) IS NOT TRUE" : "");
	else if (!OidIsValid(table->row->tracking))
		doubt = psprintf("COALESCE(l.%s OPERATOR(pg_catalog.<) '%s'::pg_catalog.timestamptz, false)",
						 quote_identifier(table->row->time_column), timestamptz_to_str(table->row->created));
	if (!OidIsValid(table->row->tracking))
		maker = psprintf("l.%s", quote_identifier(table->row->txid_column));
	initStringInfo(&columns);
	foreach(lc, table->columns)
		appendStringInfo(&columns, ", %s AS %s", table_live_sql(lfirst(lc), "l"), ((UndoColumn *) lfirst(lc))->alias);
	return psprintf("SELECT 3::pg_catalog.int2 AS side, %s AS doubt, NULL::pg_catalog.int8 AS ender, %s AS maker, %s AS began, "
					"NULL::pg_catalog.timestamptz AS ended, %s AS first, 1 AS times, l.ctid AS place, l.tableoid AS part, false AS lost%s FROM %s",
					doubt, maker, start, start, columns.data, live_from_sql(run, table));
}

/* Of rows of some keys alone. */
static char *
find_some_keys_sql(const UndoRun *run, const UndoTable *table, char *sql)
{
	StringInfoData equal;
	ListCell   *lc;

	if (run->nulls[2] != ' ')
		return sql;
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
	return psprintf("SELECT f.* FROM (%s) f WHERE EXISTS (SELECT FROM pg_catalog.unnest($3) k (k), "
					"pg_catalog.jsonb_populate_record(NULL::%s, k.k) g WHERE %s)",
					sql, naming_quoted(table->row->history), equal.data);
}

/*
 * conflict.c
 *		What is in the way, in words: which transactions, with what the log says of them,
 *		and which columns differ.
 *
 * The transactions that have changed a row since are found from version to version: who
 * ended the one that was left, who ended the one that that transaction left, and so on.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "undo/undo.h"

/* the detail of an error is one text; all conflicts are in the result of a dry run */
#define LINES_IN_DETAIL	1000

/* A table's rows on their way into the result. */
typedef struct ResultRows
{
	UndoTable  *table;
	ReturnSetInfo *result;
	Oid		   *types;			/* of the key's columns, or NULL: the key comes as jsonb */
	MemoryContext scratch;
} ResultRows;

static char *conflict_told_sql(UndoRun *run, UndoTable *table);
static char *conflict_log_sql(void);
static char *conflict_rows_sql(UndoRun *run, UndoTable *table, bool conflicts_only, bool key_apart);
static bool conflict_of_table(const UndoRun *run, const UndoTable *table);
static UndoColumn *conflict_key_column(const UndoTable *table, const char *name);
static Oid *result_key_types(const UndoTable *table);
static void result_put_table(ResultRows *rows);
static void result_see(void *arg, TupleTableSlot *slot);
static Datum result_key_of(const ResultRows *rows, const Datum *values, const bool *isnull);

/* Fill "told" of each table that has conflicts. */
void
conflict_tell(UndoRun *run)
{
	ListCell   *lc;

	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);

		table->told = NULL;
		if (table->nconflicts > 0)
			table->told = store_query(run, "told", table, conflict_told_sql(run, table));
	}
}

/* Returns true if anything is in the way. */
bool
conflict_any(const UndoRun *run)
{
	ListCell   *lc;

	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);

		if (table->nconflicts > 0 || table->blocked->count > 0 || conflict_of_table(run, table))
			return true;
	}
	return false;
}

/*
 * Returns true if it is not known what the table held, whatever rows were found: one that was
 * deleted and is not known of leaves nothing.
 */
static bool
conflict_of_table(const UndoRun *run, const UndoTable *table)
{
	return run->restore && table->unknown != NULL;
}

/* For each row of the plan with a kind: n, the text, the transactions in the way. */
static char *
conflict_told_sql(UndoRun *run, UndoTable *table)
{
	char	   *rows = view_rows_sql(table->row, table->live, true);
	char	   *key = table_live_equal_sql(table, "v", "c");
	char	   *chain;
	char	   *unknown = table->unknown ? table->unknown : "it is not known what was there";

	if (run->restore)
		return psprintf("SELECT p.n, %s::pg_catalog.text AS said, NULL::pg_catalog.int8[] AS others FROM %s p WHERE p.kind IS NOT NULL",
						quote_literal_cstr(unknown), table->plan->name);
	chain = psprintf("SELECT c.n, v.%s AS t FROM c JOIN (%s) v ON %s WHERE v.%s OPERATOR(pg_catalog.=) ANY ($1) AND v.%s IS NOT NULL "
					 "AND NOT v.%s OPERATOR(pg_catalog.=) ANY ($1) "
					 "UNION SELECT c.n, v.%s FROM chain h JOIN c ON c.n OPERATOR(pg_catalog.=) h.n JOIN (%s) v ON %s "
					 "WHERE v.%s OPERATOR(pg_catalog.=) h.t AND v.%s IS NOT NULL AND v.%s OPERATOR(pg_catalog.<>) h.t",
					 XID_COLUMN, rows, key, MAKER_COLUMN, XID_COLUMN, XID_COLUMN,
					 XID_COLUMN, rows, key, MAKER_COLUMN, XID_COLUMN, XID_COLUMN);
	return psprintf("WITH RECURSIVE c AS (SELECT p.* FROM %s p WHERE p.kind IS NOT NULL), chain (n, t) AS (%s), "
					"others AS (SELECT h.n, h.t FROM chain h WHERE NOT h.t OPERATOR(pg_catalog.=) ANY ($1) UNION SELECT c.n, v.%s FROM c JOIN (%s) v ON %s "
					"WHERE v.%s IS NULL AND pg_catalog.upper_inf(v.%s) AND v.%s IS NOT NULL AND NOT v.%s OPERATOR(pg_catalog.=) ANY ($1) "
					"UNION SELECT f.n, f.t FROM (SELECT c.n, c.act, v.%s AS t, pg_catalog.row_number() OVER (PARTITION BY c.n ORDER BY pg_catalog.upper(v.%s)) AS r FROM c JOIN (%s) v ON %s "
					"WHERE c.kind OPERATOR(pg_catalog.=) '" KIND_BETWEEN "' AND v.%s OPERATOR(pg_catalog.=) ANY ($1) AND NOT v.%s OPERATOR(pg_catalog.=) ANY ($1)) f WHERE f.r OPERATOR(pg_catalog.>) 1 OR f.act OPERATOR(pg_catalog.=) 'D'), "
					"who AS (SELECT o.n, pg_catalog.array_agg(o.t ORDER BY o.t) AS ts, pg_catalog.string_agg('transaction '::pg_catalog.text OPERATOR(pg_catalog.||) o.t::pg_catalog.text%s, ', ' ORDER BY o.t) AS said "
					"FROM others o GROUP BY o.n) "
					"SELECT c.n, CASE WHEN c.kind OPERATOR(pg_catalog.=) '" KIND_UNKNOWN "' THEN %s ELSE "
					"(CASE WHEN c.kind OPERATOR(pg_catalog.=) '" KIND_CHANGED "' THEN 'changed since by ' WHEN c.kind OPERATOR(pg_catalog.=) '" KIND_DELETED "' THEN 'deleted since by ' "
					"WHEN c.kind OPERATOR(pg_catalog.=) '" KIND_TAKEN "' THEN 'there is another row of this key, made by ' ELSE 'changed in between by ' END) "
					"OPERATOR(pg_catalog.||) COALESCE(w.said, 'an unknown transaction') OPERATOR(pg_catalog.||) COALESCE(c.differ, '') END AS said, w.ts AS others "
					"FROM c LEFT JOIN who w ON w.n OPERATOR(pg_catalog.=) c.n",
					table->plan->name, chain, MAKER_COLUMN, rows, key, XID_COLUMN, PERIOD_COLUMN, MAKER_COLUMN, MAKER_COLUMN,
					MAKER_COLUMN, PERIOD_COLUMN, rows, key, XID_COLUMN, MAKER_COLUMN,
					conflict_log_sql(), quote_literal_cstr(unknown));
}

/* " (user 7, "edit")" of transaction o.t, as far as the caller may read the log. */
static char *
conflict_log_sql(void)
{
	Oid			log = get_relname_relid("catmaid_transaction_info", extension_namespace());

	if (!OidIsValid(log) || pg_class_aclcheck(log, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return "";
	return psprintf(" OPERATOR(pg_catalog.||) COALESCE((SELECT pg_catalog.format(' (%%suser %%s)', '\"' OPERATOR(pg_catalog.||) i.label OPERATOR(pg_catalog.||) '\", ', COALESCE(i.user_id::pg_catalog.text, 'unknown')) "
					"FROM %s i WHERE i.transaction_id OPERATOR(pg_catalog.=) o.t ORDER BY i.execution_time DESC LIMIT 1), '')",
					naming_quoted(log));
}

/*
 * action, conflict, others and the key of the rows of the table's plan: of one column, or of
 * the key's columns where result_key_of() makes it.
 */
static char *
conflict_rows_sql(UndoRun *run, UndoTable *table, bool conflicts_only, bool key_apart)
{
	StringInfoData key;
	ListCell   *lc;
	bool		told = table->told != NULL;
	bool		blocked = table->blocked && table->blocked->count > 0;
	const char *said = "NULL::pg_catalog.text";

	initStringInfo(&key);
	foreach(lc, table->row->key)
	{
		UndoColumn *column = conflict_key_column(table, lfirst(lc));

		appendStringInfo(&key, "%sp.%s AS %s", key.len > 0 ? ", " : "", column->alias, column->name);
	}
	if (told && blocked)
		said = "COALESCE(t.said, b.why)";
	else if (told)
		said = "t.said";
	else if (blocked)
		said = "b.why";
	return psprintf("SELECT CASE WHEN NOT (%s) THEN 'skip' WHEN p.act OPERATOR(pg_catalog.=) 'I' THEN 'INSERT' WHEN p.act OPERATOR(pg_catalog.=) 'U' THEN 'UPDATE' ELSE 'DELETE' END::pg_catalog.text AS action, "
					"%s AS conflict, %s AS others, %s FROM %s p%s%s%s",
					plan_active_sql(run, table, "p"), said, told ? "t.others" : "NULL::pg_catalog.int8[]",
					key_apart ? key.data : psprintf("(SELECT pg_catalog.to_jsonb(k.*) FROM (SELECT %s) k) AS key", key.data),
					table->plan->name,
					told ? psprintf(" LEFT JOIN %s t ON t.n OPERATOR(pg_catalog.=) p.n", table->told->name) : "",
					blocked ? psprintf(" LEFT JOIN (SELECT x.n, pg_catalog.string_agg(DISTINCT x.why, '; ') AS why FROM %s x GROUP BY x.n) b ON b.n OPERATOR(pg_catalog.=) p.n", table->blocked->name) : "",
					!conflicts_only ? "" : psprintf(" WHERE (%s) IS NOT NULL", said));
}

static UndoColumn *
conflict_key_column(const UndoTable *table, const char *name)
{
	ListCell   *lc;

	foreach(lc, table->columns)
		if (strcmp(((UndoColumn *) lfirst(lc))->plain, name) == 0)
			return lfirst(lc);
	elog(ERROR, "table %u has no column \"%s\"", table->relid, name);
}

/* Error out, as there is always another one. */
void
conflict_refuse_changing(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("rows were changed by others as often as they were looked at"),
			 errhint("Call the function again, or LOCK TABLE ... IN SHARE ROW EXCLUSIVE MODE; before it, in one transaction.")));
}

/* Error out with all that is in the way. */
void
conflict_refuse(UndoRun *run)
{
	StringInfoData detail;
	StringInfoData sql;
	StringInfoData others;
	uint64		count;
	uint64		i;
	bool		isnull;
	bool		any_others = false;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);

		if (table->nconflicts > 0 || table->blocked->count > 0)
			appendStringInfo(&sql, "%sSELECT %u::pg_catalog.oid::pg_catalog.regclass AS live_table, x.* FROM (%s) x",
							 sql.len > 0 ? " UNION ALL " : "", table->relid, conflict_rows_sql(run, table, true, false));
		if (conflict_of_table(run, table))
			appendStringInfo(&sql, "%sSELECT %u::pg_catalog.oid::pg_catalog.regclass AS live_table, 'skip'::pg_catalog.text AS action, "
							 "%s::pg_catalog.text AS conflict, NULL::pg_catalog.int8[] AS others, NULL::pg_catalog.jsonb AS key",
							 sql.len > 0 ? " UNION ALL " : "", table->relid, quote_literal_cstr(table->unknown));
	}

	/* each on a line of its own */
	(void) SPI_execute_with_args(psprintf("SELECT pg_catalog.format('table %%s, key %%s: %%s', c.live_table, COALESCE(c.key::pg_catalog.text, 'unknown'), c.conflict), pg_catalog.count(*) OVER (), "
										  "pg_catalog.array_to_string(ARRAY(SELECT DISTINCT u.t FROM (SELECT pg_catalog.unnest($1) UNION ALL SELECT pg_catalog.unnest(d.others) FROM (%s) d) u (t) WHERE u.t IS NOT NULL ORDER BY u.t), ', ') "
										  ", EXISTS (SELECT FROM (%s) d, pg_catalog.unnest(d.others) u (t) WHERE NOT u.t OPERATOR(pg_catalog.=) ANY ($1)) "
										  "FROM (%s) c ORDER BY c.live_table::pg_catalog.oid, c.key LIMIT %d", sql.data, sql.data, sql.data, LINES_IN_DETAIL),
								 3, (Oid[]) {INT8ARRAYOID, TIMESTAMPTZOID, JSONBARRAYOID}, run->params, run->nulls, true, 0);
	initStringInfo(&detail);
	initStringInfo(&others);
	count = 0;
	for (i = 0; i < SPI_processed; i++)
	{
		appendStringInfo(&detail, "%s%s", i > 0 ? "\n" : "", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		if (i == 0)
		{
			count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
			appendStringInfoString(&others, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3));
			any_others = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 4, &isnull));
		}
	}
	if (count > i)
		appendStringInfo(&detail, "\nand " UINT64_FORMAT " more", count - i);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("nothing was done, as %s rows are in conflict", psprintf(UINT64_FORMAT, count)),
			 errdetail("%s", detail.data),
			 run->restore || !any_others ?
			 errhint("With on_conflict => 'skip' these rows are left as they are.") :
			 errhint("To undo along with it what came since: SELECT * FROM %s(ARRAY[%s]); with on_conflict => 'skip' these rows are left as they are, with 'force' they are overwritten where that is possible.",
					 hint_function("undo_transactions"), others.data)));
}

/* All rows of the plans into the result. */
void
conflict_put_rows(UndoRun *run, ReturnSetInfo *result)
{
	ListCell   *lc;

	foreach(lc, run->tables)
	{
		ResultRows	rows = {lfirst(lc), result, NULL, NULL};

		if (conflict_of_table(run, rows.table))
			result_put_table(&rows);
		if (rows.table->plan->count == 0)
			continue;
		rows.types = result_key_types(rows.table);
		rows.scratch = AllocSetContextCreate(run->context, "catmaid_history undo: a key", ALLOCSET_SMALL_SIZES);
		store_see(run, conflict_rows_sql(run, rows.table, false, rows.types != NULL), NULL, result_see, &rows);
		MemoryContextDelete(rows.scratch);
	}
}

/*
 * The types of the key's columns, if they are such as result_key_of() takes; NULL: there are
 * others.
 */
static Oid *
result_key_types(const UndoTable *table)
{
	Oid		   *types = palloc(sizeof(Oid) * list_length(table->row->key));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, table->row->key)
	{
		Oid			type = conflict_key_column(table, lfirst(lc))->type;

		if (type != INT2OID && type != INT4OID && type != INT8OID && type != TEXTOID && type != VARCHAROID)
			return NULL;
		types[n++] = type;
	}
	return types;
}

/* The conflict of a table, without a key. */
static void
result_put_table(ResultRows *rows)
{
	Datum		values[4] = {ObjectIdGetDatum(rows->table->relid), (Datum) 0, CStringGetTextDatum("skip"),
	CStringGetTextDatum(rows->table->unknown)};
	bool		nulls[4] = {false, true, false, false};

	tuplestore_putvalues(rows->result->setResult, rows->result->setDesc, values, nulls);
}

/* A row of conflict_rows_sql(). */
static void
result_see(void *arg, TupleTableSlot *slot)
{
	ResultRows *rows = arg;
	MemoryContext before;
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	slot_getallattrs(slot);
	before = MemoryContextSwitchTo(rows->scratch);
	values[0] = ObjectIdGetDatum(rows->table->relid);
	values[1] = rows->types == NULL ? slot->tts_values[3] : result_key_of(rows, slot->tts_values + 3, slot->tts_isnull + 3);
	values[2] = slot->tts_values[0];
	values[3] = slot->tts_values[1];
	nulls[3] = slot->tts_isnull[1];
	tuplestore_putvalues(rows->result->setResult, rows->result->setDesc, values, nulls);
	MemoryContextSwitchTo(before);
	MemoryContextReset(rows->scratch);
}

/* As to_jsonb() of a row makes it, which looks up the types for each. */
static Datum
result_key_of(const ResultRows *rows, const Datum *values, const bool *isnull)
{
	JsonbParseState *state = NULL;
	ListCell   *lc;
	int			i = 0;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(lc, rows->table->row->key)
	{
		JsonbValue	name;
		JsonbValue	value;

		name.type = jbvString;
		name.val.string.val = lfirst(lc);
		name.val.string.len = strlen(lfirst(lc));
		(void) pushJsonbValue(&state, WJB_KEY, &name);
		switch (isnull[i] ? InvalidOid : rows->types[i])
		{
			case InvalidOid:
				value.type = jbvNull;
				break;
			case INT2OID:
				value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int2_numeric, values[i]));
				value.type = jbvNumeric;
				break;
			case INT4OID:
				value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int4_numeric, values[i]));
				value.type = jbvNumeric;
				break;
			case INT8OID:
				value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int8_numeric, values[i]));
				value.type = jbvNumeric;
				break;
			default:
				value.val.string.val = TextDatumGetCString(values[i]);
				value.val.string.len = strlen(value.val.string.val);
				value.type = jbvString;
		}
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
		i++;
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

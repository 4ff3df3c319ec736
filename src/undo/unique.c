/*
 * unique.c
 *		Unique values and exclusion constraints, judged before anything is written.
 *
 * A row that is to come, or to get another value, must not have what a row has that stays.  Of
 * an index with expressions or a predicate these are evaluated, as the write would do it, by the
 * caller.  What of them is called by which name is left to PostgreSQL: an expression is put in
 * a subquery whose columns have the table's names.
 *
 * Rows that exchange their values are in each other's way for a moment.  If that cannot be
 * helped (undo.c), the index is strict: then what another row has, though it is to lose it, is a
 * conflict.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "undo/undo.h"
#include "compat.h"

static uint64 judge_index(UndoRun *run, UndoTable *table, Relation index);
static bool may_collide(const UndoTable *table, Relation index);
static char *entries_sql(const UndoTable *table, Relation index, bool live, const char *rows);
static char *predicate_of(Relation index);
static char *same_entry_sql(Relation index, const char *a, const char *b);

/* Rows that come, whose unique values another row has that stays: into "blocked"; result: how many. */
uint64
unique_judge(UndoRun *run, UndoTable *table)
{
	uint64		added = 0;
	List	   *indexes = RelationGetIndexList(table->live);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if ((form->indisunique || form->indisexclusion) && form->indisvalid && !form->indisprimary &&
			may_collide(table, index))
			added += judge_index(run, table, index);
		index_close(index, AccessShareLock);
	}
	return added;
}

/*
 * The table's columns that the index has, in its expressions and predicate, too; *plain, if
 * not NULL, are those that it has by themselves.  NIL: there is a whole row in them.
 */
List *
unique_columns(const UndoTable *table, Relation index, List **plain)
{
	Bitmapset  *attnums = NULL;
	List	   *columns = NIL;
	ListCell   *lc;
	int			i;

	pull_varattnos((Node *) RelationGetIndexExpressions(index), 1, &attnums);
	pull_varattnos((Node *) RelationGetIndexPredicate(index), 1, &attnums);
	if (bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, attnums))
		return NIL;
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);
		bool		is_plain = false;

		for (i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
			is_plain |= index->rd_index->indkey.values[i] == column->attnum;
		if (is_plain && plain)
			*plain = lappend(*plain, column);
		if (is_plain || bms_is_member(column->attnum - FirstLowInvalidHeapAttributeNumber, attnums))
			columns = lappend(columns, column);
	}
	return columns;
}

/* Returns true if a row of the plan gets a value in that index that it has not. */
static bool
may_collide(const UndoTable *table, Relation index)
{
	List	   *columns;
	ListCell   *lc;

	if (table->acts[2] > 0)
		return true;
	if (table->acts[1] == 0)
		return false;
	columns = unique_columns(table, index, NULL);
	if (columns == NIL)
		return true;
	foreach(lc, columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->differs || column->is_silent || column->is_generated)
			return true;
	}
	return false;
}

static uint64
judge_index(UndoRun *run, UndoTable *table, Relation index)
{
	bool		strict = table->strict == RelationGetRelid(index);
	char	   *why = quote_literal_cstr(psprintf(strict ? "it cannot get its value from another row, which is to lose it (index \"%s\")" :
												  "another row has its value (index \"%s\")",
												  RelationGetRelationName(index)));
	char	   *same = same_entry_sql(index, "l", "p");
	char	   *planned = plan_rows_sql(run, table, "IU");
	int			level;
	char	   *live;
	char	   *coming;
	uint64		added;

	if (same == NULL)
		return 0;
	level = naming_begin_qualified();
	live = entries_sql(table, index, true, table->name);
	coming = entries_sql(table, index, false, psprintf("(%s)", planned));
	AtEOXact_GUC(true, level);
	added = store_add(run, table->blocked,
					  psprintf("SELECT DISTINCT p.n, %s FROM (%s) p JOIN (%s) l ON %s LEFT JOIN (%s) d ON %s "
							   "WHERE d.n IS NULL AND NOT (%s)", why, coming, live, same,
							   plan_rows_sql(run, table, strict ? "D" : "DU"), table_keys_equal_sql(table, "l", "d"),
							   table_keys_equal_sql(table, "l", "p")));
	/* two rows that had it one after the other; or before the index was there */
	if (strict || run->on_conflict == CONFLICT_FORCE || run->ntransactions > 1)
		added += store_add(run, table->blocked,
						   psprintf("SELECT DISTINCT p.n, %s FROM (%s) p JOIN (%s) l ON %s WHERE l.n OPERATOR(pg_catalog.<) p.n",
									why, coming, coming, same));
	return added;
}

/*
 * What the index has of rows: the key's columns (c1, ...), n of rows of a plan, and e1, ...,
 * its own.  Names are qualified where search_path is pg_catalog.
 */
static char *
entries_sql(const UndoTable *table, Relation index, bool live, const char *rows)
{
	StringInfoData keys;
	StringInfoData names;
	StringInfoData entries;
	char	   *predicate = predicate_of(index);
	ListCell   *lc;
	int			i;

	initStringInfo(&keys);
	initStringInfo(&names);
	initStringInfo(&entries);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_key)
			appendStringInfo(&keys, ", %s AS %s", live ? table_live_sql(column, "r") : psprintf("r.%s", column->alias),
							 column->alias);
		appendStringInfo(&names, "%sr.%s AS %s", names.len > 0 ? ", " : "", live ? column->name : column->alias, column->name);
	}
	for (i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		appendStringInfo(&entries, "%s(%s) AS e%d", i > 0 ? ", " : "",
						 TextDatumGetCString(DirectFunctionCall3(pg_get_indexdef_ext, ObjectIdGetDatum(RelationGetRelid(index)),
																 Int32GetDatum(i + 1), BoolGetDatum(false))), i + 1);
	return psprintf("SELECT %s%s, e.* FROM %s r CROSS JOIN LATERAL (SELECT %s FROM (SELECT %s) %s WHERE %s) e",
					live ? "true AS is_live" : "r.n", keys.data, rows, entries.data, names.data,
					quote_identifier(RelationGetRelationName(table->live)), predicate ? predicate : "true");
}

static char *
predicate_of(Relation index)
{
	bool		isnull;
	Datum		predicate = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, Anum_pg_index_indpred, &isnull);

	if (isnull)
		return NULL;
	return psprintf("(%s)", TextDatumGetCString(DirectFunctionCall2(pg_get_expr, predicate,
																	ObjectIdGetDatum(index->rd_index->indrelid))));
}

/* "a and b have one entry"; NULL: that cannot be said. */
static char *
same_entry_sql(Relation index, const char *a, const char *b)
{
	StringInfoData sql;
	Oid		   *operators = NULL;
	Oid		   *functions;
	uint16	   *strategies;
	ListCell   *expression = list_head(RelationGetIndexExpressions(index));
	List	   *expressions = RelationGetIndexExpressions(index);
	int			i;

	if (index->rd_index->indisexclusion)
		RelationGetExclusionInfo(index, &operators, &functions, &strategies);
	initStringInfo(&sql);
	for (i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		Oid			type = attnum != 0 ? get_atttype(index->rd_index->indrelid, attnum) : exprType(lfirst(expression));

		if (attnum == 0)
			expression = lnext(expressions, expression);
		type = getBaseType(type);
		if (operators == NULL && !OidIsValid(columns_key_opclass(index, i, type)))
			return NULL;
		if (i > 0)
			appendStringInfoString(&sql, " AND ");
		if (nulls_not_distinct_compat(index->rd_index))
			appendStringInfo(&sql, "(%s.e%d IS NULL AND %s.e%d IS NULL OR ", a, i + 1, b, i + 1);
		table_equal_sql(&sql, psprintf("%s.e%d", a, i + 1), type,
						operators ? operators[i] : columns_key_equality(index, i, type),
						psprintf("%s.e%d", b, i + 1), type);
		if (nulls_not_distinct_compat(index->rd_index))
			appendStringInfoChar(&sql, ')');
	}
	return sql.data;
}

/*
 * changed_columns.c
 *		The rows of history_changes(), with the columns that each change has changed.
 *
 * Columns are compared as text, as the JSON of both rows shows them: 1.0 is not 1.00.  (In
 * SQL this would be a sub-select for each row.)
 *
 * Locks: none.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "read/read.h"

/* of the query's row, and from CHANGED on, one further, of the function's */
enum
{
	LIVE_TABLE = 2, CHANGE, OLD_ROW = 5, NEW_ROW, CHANGED, NCOLUMNS = 11
};

/* The columns of a table that may be named. */
typedef struct TableColumns
{
	Oid			relid;
	int			n;
	char	  **names;
	Datum	   *texts;			/* the same */
} TableColumns;

static Datum changed_columns(const TableColumns *columns, Jsonb *before, Jsonb *after);
static bool value_is(JsonbValue *a, JsonbValue *b);
static char *numeric_text(JsonbValue *value);
static char *container_text(JsonbValue *value);

/* Note the columns of the source, without those that every change changes. */
List *
changed_columns_add(List *tables, const ChangesSource *source)
{
	TableColumns *columns = palloc(sizeof(TableColumns));
	ListCell   *lc;
	ListCell   *other;

	columns->relid = source->relid;
	columns->n = 0;
	columns->names = palloc(sizeof(char *) * Max(list_length(source->columns), 1));
	columns->texts = palloc(sizeof(Datum) * Max(list_length(source->columns), 1));
	foreach(lc, source->columns)
	{
		bool		is_silent = false;

		foreach(other, source->silent)
			is_silent |= strcmp(lfirst(lc), lfirst(other)) == 0;
		if (is_silent)
			continue;
		columns->names[columns->n] = lfirst(lc);
		columns->texts[columns->n++] = CStringGetTextDatum(lfirst(lc));
	}
	return lappend(tables, columns);
}

/*
 * The function's row of the query's, which lacks changed_columns.  arg: the tables, a list
 * made by changed_columns_add.
 */
HeapTuple
changed_columns_form(void *arg, TupleDesc desc, Datum *values, bool *nulls)
{
	Datum		all[NCOLUMNS];
	bool		isnull[NCOLUMNS];
	text	   *change = DatumGetTextPP(values[CHANGE]);
	ListCell   *lc;

	memcpy(all, values, sizeof(Datum) * CHANGED);
	memcpy(isnull, nulls, sizeof(bool) * CHANGED);
	memcpy(&all[CHANGED + 1], &values[CHANGED], sizeof(Datum) * (NCOLUMNS - CHANGED - 1));
	memcpy(&isnull[CHANGED + 1], &nulls[CHANGED], sizeof(bool) * (NCOLUMNS - CHANGED - 1));
	isnull[CHANGED] = true;
	if (!nulls[OLD_ROW] && !nulls[NEW_ROW] && VARSIZE_ANY_EXHDR(change) == strlen("UPDATE") &&
		memcmp(VARDATA_ANY(change), "UPDATE", strlen("UPDATE")) == 0)
		foreach(lc, (List *) arg)
		{
			TableColumns *columns = lfirst(lc);

			if (columns->relid != DatumGetObjectId(values[LIVE_TABLE]))
				continue;
			all[CHANGED] = changed_columns(columns, DatumGetJsonbP(values[OLD_ROW]),
										   DatumGetJsonbP(values[NEW_ROW]));
			isnull[CHANGED] = false;
			break;
		}
	Assert(desc->natts == NCOLUMNS);
	return heap_form_tuple(desc, all, isnull);
}

/* An array of text. */
static Datum
changed_columns(const TableColumns *columns, Jsonb *before, Jsonb *after)
{
	Datum	   *changed = palloc(sizeof(Datum) * Max(columns->n, 1));
	int			n = 0;
	int			i;

	for (i = 0; i < columns->n; i++)
	{
		int			length = strlen(columns->names[i]);
		JsonbValue	values[2];
		JsonbValue *a = getKeyJsonValueFromContainer(&before->root, columns->names[i], length, &values[0]);
		JsonbValue *b = getKeyJsonValueFromContainer(&after->root, columns->names[i], length, &values[1]);

		if (a == NULL || b == NULL || !value_is(a, b))
			changed[n++] = columns->texts[i];
	}
	return PointerGetDatum(construct_array(changed, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Returns true if the two have one text.  (What is stored alike has.) */
static bool
value_is(JsonbValue *a, JsonbValue *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvString:
			return a->val.string.len == b->val.string.len &&
				memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
		case jbvNumeric:
			return (VARSIZE_ANY(a->val.numeric) == VARSIZE_ANY(b->val.numeric) &&
					memcmp(a->val.numeric, b->val.numeric, VARSIZE_ANY(a->val.numeric)) == 0) ||
				strcmp(numeric_text(a), numeric_text(b)) == 0;
		case jbvBinary:
			return (a->val.binary.len == b->val.binary.len &&
					memcmp(a->val.binary.data, b->val.binary.data, a->val.binary.len) == 0) ||
				strcmp(container_text(a), container_text(b)) == 0;
		default:
			elog(ERROR, "unexpected type of JSON value: %d", (int) a->type);
	}
	return false;
}

static char *
numeric_text(JsonbValue *value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
}

static char *
container_text(JsonbValue *value)
{
	return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
}

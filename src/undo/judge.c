/*
 * judge.c
 *		What is to be done with each row: the plan.
 *
 * By content, in this order: the live row is as it was found: nothing; it is as it was
 * left: go; otherwise somebody has changed it since: a conflict.  A live row that the
 * transactions made is as they left it, and need not be compared.  Of an instant there is
 * nothing that was left: whatever has come since goes.
 *
 * Compared byte by byte, without what every change changes.
 *
 * What is judged is not locked yet: see lock.c.
 *
 * A row of the plan has what is to be written; one that is to go has what goes, by which
 * the other half of a changed key is known (references.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "undo/undo.h"

/* columns of the plan, before those of the table */
#define PLAN_N			0
#define PLAN_ACT		1
#define PLAN_KIND		2
#define PLAN_DIFFER		3
#define PLAN_IS_D		4
#define PLAN_IS_U		5
#define PLAN_IS_I		6
#define PLAN_IS_FREE	7
#define PLAN_IS_UNKNOWN	8
#define PLAN_COLUMNS	9

static bool has_key(const UndoTable *table, const FoundRow *row);
static bool has_before(const FoundRow *row);
static Datum value_of(const FoundRow *row, const UndoColumn *column, int at, int side, bool *isnull);
static bool is_alike(const UndoColumn *column, Datum a, bool a_isnull, Datum b, bool b_isnull);
static char choose_act(UndoTable *table, const FoundRow *row);
static const char *find_kind(const UndoRun *run, const UndoTable *table, const FoundRow *row, char act, char **differ);
static bool is_as_left(const UndoTable *table, const FoundRow *row, char **differ);
static void put_row(UndoRun *run, UndoTable *table, const FoundRow *row, char act, const char *kind, const char *differ);
static bool keeps_reference(const UndoReference *reference, const FoundRow *row);
static bool is_compared(const UndoColumn *column);

#define SIDE_OF(row, side) \
	((row)->isnull[side] ? 0 : DatumGetInt16((row)->values[side]))

/*
 * Begin the table's plan, for rows with these columns: n, act, kind, differ (what conflict.c
 * tells of a row that was changed since); act and kind as booleans, of which PostgreSQL takes
 * every second row to be true, where it knows nothing of a text, and plans nested loops; the table's columns c1, ...; o1, ...: what others
 * refer to as it is now, where that is not the key; whether an UPDATE leaves a foreign key as
 * it is; whether a column was added later.
 */
void
judge_begin(UndoRun *run, UndoTable *table, TupleDesc found)
{
	TupleDesc	desc;
	int			n = PLAN_COLUMNS;
	int			at = FOUND_COLUMNS;
	AttrNumber	attnum = PLAN_COLUMNS;
	ListCell   *lc;

	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		column->differs = false;
		n += 1 + (column->is_referred ? 1 : 0) + (column->added ? 1 : 0);
	}
	foreach(lc, run->references)
	{
		UndoReference *reference = lfirst(lc);

		if (reference->child_table != table)
			continue;
		reference->ndiffer = 0;
		n++;
	}

	desc = CreateTemplateTupleDesc(n);
	TupleDescInitEntry(desc, PLAN_N + 1, "n", INT8OID, -1, 0);
	TupleDescInitEntry(desc, PLAN_ACT + 1, "act", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, PLAN_KIND + 1, "kind", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, PLAN_DIFFER + 1, "differ", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, PLAN_IS_D + 1, "is_d", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, PLAN_IS_U + 1, "is_u", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, PLAN_IS_I + 1, "is_i", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, PLAN_IS_FREE + 1, "is_free", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, PLAN_IS_UNKNOWN + 1, "is_unknown", BOOLOID, -1, 0);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		/* with its collation */
		TupleDescCopyEntry(desc, ++attnum, found, at + 1);
		namestrcpy(&TupleDescAttr(desc, attnum - 1)->attname, column->alias);
		at += 2;
	}
	at = FOUND_COLUMNS;
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_referred)
		{
			TupleDescCopyEntry(desc, ++attnum, found, at + 1);
			namestrcpy(&TupleDescAttr(desc, attnum - 1)->attname, psprintf("o%s", column->alias));
		}
		at += 2;
	}
	foreach(lc, run->references)
	{
		UndoReference *reference = lfirst(lc);

		if (reference->child_table == table)
			TupleDescInitEntry(desc, ++attnum, psprintf("same_%u", reference->constraint), BOOLOID, -1, 0);
	}
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->added)
			TupleDescInitEntry(desc, ++attnum, psprintf("absent_%s", column->alias), BOOLOID, -1, 0);
	}
	Assert(attnum == n);
	table->plan = store_make(run, "plan", table, desc);
	memset(&table->judged, 0, sizeof(table->judged));
	memset(table->acts, 0, sizeof(table->acts));
	memset(table->planned, 0, sizeof(table->planned));
	table->nconflicts = 0;
}

/* Put into the table's plan what is to be done with a row, if anything. */
void
judge_row(UndoRun *run, UndoTable *table, const FoundRow *row)
{
	char	   *differ = NULL;
	char		act;
	const char *kind;
	int			which;

	if (!has_key(table, row))
		table->keyless = true;

	/* what the transactions made and ended themselves (find.c) */
	if (row->isnull[FOUND_SIDE] && row->isnull[FOUND_LEFT])
		return;
	act = choose_act(table, row);
	if (act == '\0')
		return;
	which = act == ACT_DELETE ? 0 : act == ACT_UPDATE ? 1 : 2;
	kind = find_kind(run, table, row, act, &differ);
	table->acts[which]++;
	if (kind)
		table->nconflicts++;
	else
		table->planned[which]++;
	if (row->is_live)
		lock_note(&table->judged, row->place, row->part);
	put_row(run, table, row, act, kind, differ);
	if (differ)
		pfree(differ);
}

/* Is it known which row it is?  (The key may have got a column that was not there yet.) */
static bool
has_key(const UndoTable *table, const FoundRow *row)
{
	int			at = 0;
	ListCell   *lc;

	foreach(lc, table->columns)
	{
		if (((UndoColumn *) lfirst(lc))->is_key && row->isnull[FOUND_COLUMNS + 2 * at])
			return false;
		at++;
	}
	return true;
}

/* Was there something before the first of the transactions? */
static bool
has_before(const FoundRow *row)
{
	return !row->isnull[FOUND_SIDE] && !DatumGetBool(row->values[FOUND_INSERTED]);
}

/*
 * The column, which is the at-th, of the version before (0) or of that which was left (1):
 * the live row's present value where it was added since.
 */
static Datum
value_of(const FoundRow *row, const UndoColumn *column, int at, int side, bool *isnull)
{
	int			i = FOUND_COLUMNS + 2 * at + side;

	if (column->added && DatumGetBool(row->values[column->absent_at + side]))
		i = -1;
	*isnull = i >= 0 ? row->isnull[i] : !row->is_live || row->live_isnull[at * row->live_step];
	if (*isnull)
		return (Datum) 0;
	return i >= 0 ? row->values[i] : row->live[at * row->live_step];
}

static bool
is_alike(const UndoColumn *column, Datum a, bool a_isnull, Datum b, bool b_isnull)
{
	if (a_isnull || b_isnull)
		return a_isnull && b_isnull;
	return datum_image_eq(a, b, column->image_by_value, column->image_length);
}

/* Does the column count when rows are compared?  (Keys that are equal may still differ.) */
static bool
is_compared(const UndoColumn *column)
{
	return !column->is_silent && !column->is_generated;
}

/* What is to be done; '\0': nothing.  Notes columns that an UPDATE changes. */
static char
choose_act(UndoTable *table, const FoundRow *row)
{
	bool		as_found = true;
	int			at = 0;
	ListCell   *lc;

	if (!has_before(row))
		return row->is_live ? ACT_DELETE : '\0';
	if (!row->is_live)
		return ACT_INSERT;
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (is_compared(column))
		{
			bool		isnull;
			Datum		value = value_of(row, column, at, 0, &isnull);

			if (!is_alike(column, value, isnull, row->live[at * row->live_step],
						  row->live_isnull[at * row->live_step]))
			{
				as_found = false;
				column->differs = true;
			}
		}
		at++;
	}
	return as_found && !DatumGetBool(row->values[FOUND_LOST]) ? '\0' : ACT_UPDATE;
}

/* Why it cannot be done; NULL: it can.  differ: of a row that was changed since, how. */
static const char *
find_kind(const UndoRun *run, const UndoTable *table, const FoundRow *row, char act, char **differ)
{
	int			left = SIDE_OF(row, FOUND_LEFT);
	bool		found = has_before(row);
	bool		repeated = DatumGetBool(row->values[FOUND_REPEATED]) || DatumGetBool(row->values[FOUND_INSERTED]);
	bool		is_as;

	/* "there was nothing" is not known of what may have been erased, or have another key */
	if (table->unknown || (table->erased && !found) ||
		(table->keyless && !(found && row->is_live)) || !has_key(table, row) ||
		DatumGetBool(row->values[FOUND_DOUBT]) || DatumGetBool(row->values[FOUND_LOST]))
		return KIND_UNKNOWN;
	if (run->restore)
		return repeated ? KIND_UNKNOWN : NULL;

	/* the one may have made what another one changed before the other one came */
	if (left == SIDE_LEFT && found && !row->isnull[FOUND_PENDER] && !row->isnull[FOUND_QMAKER] &&
		DatumGetInt64(row->values[FOUND_PENDER]) != DatumGetInt64(row->values[FOUND_QMAKER]) &&
		(row->isnull[FOUND_QBEGAN] || row->isnull[FOUND_PENDED] ||
		 DatumGetTimestampTz(row->values[FOUND_QBEGAN]) < DatumGetTimestampTz(row->values[FOUND_PENDED])))
		repeated = true;
	if (repeated)
		return KIND_BETWEEN;
	if (act == ACT_INSERT)
		return left != 0 ? KIND_DELETED : NULL;
	if (left == SIDE_LIVE)
		return NULL;
	if (left == 0)
		return KIND_TAKEN;
	is_as = is_as_left(table, row, differ);
	return is_as ? NULL : KIND_CHANGED;
}

/* Is the live row as it was left?  If not, differ is ": column x, y". */
static bool
is_as_left(const UndoTable *table, const FoundRow *row, char **differ)
{
	StringInfoData said;
	int			at = 0;
	ListCell   *lc;

	initStringInfo(&said);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (is_compared(column))
		{
			bool		isnull;
			Datum		value = value_of(row, column, at, 1, &isnull);

			if (!is_alike(column, value, isnull, row->live[at * row->live_step],
						  row->live_isnull[at * row->live_step]))
				appendStringInfo(&said, "%s%s", said.len > 0 ? ", " : ": column ", column->plain);
		}
		at++;
	}
	*differ = said.data;
	return said.len == 0;
}

static void
put_row(UndoRun *run, UndoTable *table, const FoundRow *row, char act, const char *kind, const char *differ)
{
	Datum	   *values = palloc(sizeof(Datum) * table->plan->desc->natts);
	bool	   *isnull = palloc0(sizeof(bool) * table->plan->desc->natts);
	bool		found = has_before(row);
	bool		left = SIDE_OF(row, FOUND_LEFT) == SIDE_LEFT;
	struct
	{
		int32		length;
		char		c;
	}			act_text;
	Datum		told[2];
	int			i = PLAN_COLUMNS;
	int			at = 0;
	ListCell   *lc;

	values[PLAN_N] = Int64GetDatum((int64) table->plan->count + 1);
	SET_VARSIZE(&act_text, VARHDRSZ + 1);
	act_text.c = act;
	values[PLAN_ACT] = PointerGetDatum(&act_text);
	told[0] = values[PLAN_KIND] = kind ? CStringGetTextDatum(kind) : (Datum) 0;
	isnull[PLAN_KIND] = kind == NULL;
	told[1] = values[PLAN_DIFFER] = differ && *differ ? CStringGetTextDatum(differ) : (Datum) 0;
	isnull[PLAN_DIFFER] = told[1] == (Datum) 0;
	values[PLAN_IS_D] = BoolGetDatum(act == ACT_DELETE);
	values[PLAN_IS_U] = BoolGetDatum(act == ACT_UPDATE);
	values[PLAN_IS_I] = BoolGetDatum(act == ACT_INSERT);
	values[PLAN_IS_FREE] = BoolGetDatum(kind == NULL);
	values[PLAN_IS_UNKNOWN] = BoolGetDatum(kind && strcmp(kind, KIND_UNKNOWN) == 0);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_key)
		{
			values[i] = row->values[FOUND_COLUMNS + 2 * at];
			isnull[i] = row->isnull[FOUND_COLUMNS + 2 * at];
		}
		else if (act == ACT_INSERT && column->default_value && !run->judge_only &&
				 DatumGetBool(row->values[column->absent_at]))
			values[i] = ExecEvalExprSwitchContext(column->default_value, table->econtext, &isnull[i]);
		else if (found || left)
			values[i] = value_of(row, column, at, found ? 0 : 1, &isnull[i]);
		else
		{
			isnull[i] = !row->is_live || row->live_isnull[at * row->live_step];
			values[i] = isnull[i] ? (Datum) 0 : row->live[at * row->live_step];
		}
		i++;
		at++;
	}
	at = 0;
	foreach(lc, table->columns)
	{
		if (((UndoColumn *) lfirst(lc))->is_referred)
		{
			isnull[i] = !row->is_live || row->live_isnull[at * row->live_step];
			values[i] = isnull[i] ? (Datum) 0 : row->live[at * row->live_step];
			i++;
		}
		at++;
	}
	foreach(lc, run->references)
	{
		UndoReference *reference = lfirst(lc);

		if (reference->child_table != table)
			continue;
		isnull[i] = !found;
		values[i] = BoolGetDatum(found && keeps_reference(reference, row));
		if (found && !DatumGetBool(values[i]))
			reference->ndiffer++;
		i++;
	}
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->added)
			values[i++] = BoolGetDatum(found && DatumGetBool(row->values[column->absent_at]));
	}
	store_put(table->plan, values, isnull);
	for (i = 0; i < lengthof(told); i++)
		if (told[i] != (Datum) 0)
			pfree(DatumGetPointer(told[i]));
	pfree(values);
	pfree(isnull);
	if (table->econtext)
		ResetExprContext(table->econtext);
}

/* Does the live row refer to the same as that which was there before? */
static bool
keeps_reference(const UndoReference *reference, const FoundRow *row)
{
	int			at = 0;
	ListCell   *lc;

	foreach(lc, reference->child_table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (list_member_ptr(reference->own_columns, column))
		{
			bool		isnull = row->isnull[FOUND_COLUMNS + 2 * at];
			Datum		value = row->values[FOUND_COLUMNS + 2 * at];
			bool		live_isnull = !row->is_live || row->live_isnull[at * row->live_step];

			if (!column->is_key)
				value = value_of(row, column, at, 0, &isnull);
			if (!is_alike(column, value, isnull,
						  live_isnull ? (Datum) 0 : row->live[at * row->live_step], live_isnull))
				return false;
		}
		at++;
	}
	return true;
}

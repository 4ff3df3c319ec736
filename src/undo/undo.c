/*
 * undo.c
 *		undo_transactions() and restore_tables(): how a call goes.
 *
 * All is done in a subtransaction, as the caller: find, lock, judge, write.  A dry run
 * does the same, has all constraints checked, and rolls the subtransaction back; where
 * nothing can be written, on a standby, it ends when it has judged.
 *
 * A row that was changed between being found and being locked is found again, with the
 * locks held.  Keys that are not there cannot be locked: if another one has taken such a
 * key, or a row that was referred to, by the time of writing, the subtransaction is begun
 * once more.  Likewise in another way where unique values are in each other's way.
 *
 * Locks: see table.c and lock.c.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "undo/undo.h"

/* rounds of finding and locking; then what has changed is a conflict */
#define ROUNDS		5
#define RETRIES		8

static void undo_run(FunctionCallInfo fcinfo, UndoRun *run, ArrayType *tables, const char *function);
static UndoRun *undo_begin(FunctionCallInfo fcinfo, int on_conflict, int dry_run);
static int	check_transactions(ArrayType *transactions);
static bool is_in_progress(int64 id);
static void check_instant(TimestampTz as_of);
static void check_keys(UndoRun *run, ArrayType *keys);
static void check_key(const UndoTable *table, Jsonb *key);
static void undo_work(void *arg);
static void undo_find(UndoRun *run);
static bool undo_may_retry(UndoRun *run, ErrorData *error);
static bool make_way(UndoRun *run, UndoTable *table, const char *constraint);
static List *columns_of_constraint(UndoTable *table, const char *name);

PG_FUNCTION_INFO_V1(catmaid_history_undo_transactions);
PG_FUNCTION_INFO_V1(catmaid_history_restore_tables);

/* undo_transactions(transactions, tables, on_conflict, dry_run) */
Datum
catmaid_history_undo_transactions(PG_FUNCTION_ARGS)
{
	UndoRun    *run = undo_begin(fcinfo, 2, 3);

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"transactions\" must not be null")));
	run->ntransactions = check_transactions(PG_GETARG_ARRAYTYPE_P(0));
	run->params[0] = PG_GETARG_DATUM(0);
	run->nulls[0] = ' ';
	undo_run(fcinfo, run, PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1), "undo_transactions()");
	return (Datum) 0;
}

/* restore_tables(tables, as_of, keys, on_conflict, dry_run) */
Datum
catmaid_history_restore_tables(PG_FUNCTION_ARGS)
{
	UndoRun    *run = undo_begin(fcinfo, 3, 4);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"tables\" and \"as_of\" must not be null")));
	check_instant(PG_GETARG_TIMESTAMPTZ(1));
	run->restore = true;
	run->params[1] = PG_GETARG_DATUM(1);
	run->nulls[1] = ' ';
	if (!PG_ARGISNULL(2))
	{
		run->params[2] = PG_GETARG_DATUM(2);
		run->nulls[2] = ' ';
	}
	undo_run(fcinfo, run, PG_GETARG_ARRAYTYPE_P(0), "restore_tables()");
	return (Datum) 0;
}

/* A run with the arguments of these numbers. */
static UndoRun *
undo_begin(FunctionCallInfo fcinfo, int on_conflict, int dry_run)
{
	UndoRun    *run = palloc0(sizeof(UndoRun));
	const char *asked = PG_ARGISNULL(on_conflict) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(on_conflict));

	memcpy(run->nulls, "nnn", 4);
	if (strcmp(asked, "error") == 0)
		run->on_conflict = CONFLICT_ERROR;
	else if (strcmp(asked, "skip") == 0)
		run->on_conflict = CONFLICT_SKIP;
	else if (strcmp(asked, "force") == 0)
		run->on_conflict = CONFLICT_FORCE;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"on_conflict\" is not one of error, skip, force")));
	run->dry_run = !PG_ARGISNULL(dry_run) && PG_GETARG_BOOL(dry_run);
	run->judge_only = run->dry_run && (XactReadOnly || RecoveryInProgress());
	return run;
}

/* Error out if it is not known, or not yet, what they did; result: how many they are. */
static int
check_transactions(ArrayType *transactions)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			i;

	deconstruct_array(transactions, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, &n);
	for (i = 0; i < n; i++)
	{
		int64		id = DatumGetInt64(elements[i]);

		if (nulls[i] || id <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"transactions\" contains what is no transaction id")));
		if (id == (int64) U64FromFullTransactionId(GetTopFullTransactionIdIfAny()))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("transaction %s is the current one", psprintf(INT64_FORMAT, id)),
					 errhint("ROLLBACK;")));
		if (is_in_progress(id))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("transaction %s is still in progress", psprintf(INT64_FORMAT, id)),
					 errhint("Wait for its end, and call the function again.")));
	}
	return n;
}

static bool
is_in_progress(int64 id)
{
	int64		next = (int64) U64FromFullTransactionId(ReadNextFullTransactionId());

	/* others are of another cluster, or long past */
	return id < next && next - id < (INT64CONST(1) << 31) &&
		TransactionIdIsNormal((TransactionId) id) && TransactionIdIsInProgress((TransactionId) id);
}

static void
check_instant(TimestampTz as_of)
{
	if (as_of > GetCurrentTransactionStartTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"as_of\" is in the future")));
}

static void
undo_run(FunctionCallInfo fcinfo, UndoRun *run, ArrayType *tables, const char *function)
{
	ReturnSetInfo *result = result_set_begin(fcinfo);
	ErrorData  *error;

	if (!run->dry_run)
		PreventCommandIfReadOnly(function);
	run->context = AllocSetContextCreate(CurrentMemoryContext, "catmaid_history undo", ALLOCSET_DEFAULT_SIZES);
	run->owner = CurrentResourceOwner;
	tables_open(run, tables);
	if (run->nulls[2] == ' ')
		check_keys(run, DatumGetArrayTypeP(run->params[2]));

	SPI_connect();
	references_find(run);
	while ((error = run->dry_run ? attempt_dry(undo_work, run) : attempt_or_error(undo_work, run)) != NULL)
	{
		if (!undo_may_retry(run, error))
			ReThrowError(run->one_by_one ? run->first : error);
		if (run->first == NULL)
			run->first = error;
		store_forget_all(run);
	}
	conflict_put_rows(run, result);
	store_forget_all(run);
	SPI_finish();
	tables_close(run);
	MemoryContextDelete(run->context);
}

/* Keys are of one table, and whole. */
static void
check_keys(UndoRun *run, ArrayType *keys)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			i;

	if (list_length(run->tables) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"keys\" takes one table"),
				 errhint("Call %s once for each table, in one transaction; in a hierarchy for the table that holds the rows.",
						 hint_function("restore_tables"))));
	deconstruct_array(keys, JSONBOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (i = 0; i < n; i++)
		check_key(linitial(run->tables), nulls[i] ? NULL : DatumGetJsonbP(elements[i]));
}

static void
check_key(const UndoTable *table, Jsonb *key)
{
	int			found = 0;
	ListCell   *lc;

	if (key && JB_ROOT_IS_OBJECT(key))
		foreach(lc, table->row->key)
		{
			JsonbValue	name;
			JsonbValue *value;

			name.type = jbvString;
			name.val.string.val = lfirst(lc);
			name.val.string.len = strlen(lfirst(lc));
			value = findJsonbValueFromContainer(&key->root, JB_FOBJECT, &name);
			found += value && value->type != jbvNull ? 1 : 0;
		}
	if (key == NULL || !JB_ROOT_IS_OBJECT(key) || found != list_length(table->row->key) ||
		JB_ROOT_COUNT(key) != found)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"keys\" contains what is no key of table \"%s\"", RelationGetRelationName(table->live)),
				 errhint("Give all columns of the primary key and no others, as ARRAY['{\"id\": 3}']::jsonb[].")));
}

/* In a subtransaction, which a dry run rolls back. */
static void
undo_work(void *arg)
{
	UndoRun    *run = arg;

	undo_find(run);
	references_judge(run);
	conflict_tell(run);
	if (run->on_conflict == CONFLICT_ERROR && !run->dry_run && conflict_any(run))
		conflict_refuse(run);
	if (run->judge_only)
		return;
	write_rows(run);
	if (run->dry_run)
		(void) SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
}

/* Find, lock and judge the rows of all tables, until what was found is what was locked. */
static void
undo_find(UndoRun *run)
{
	ListCell   *lc;
	int			round;

	for (round = 1;; round++)
	{
		run->stale = false;
		foreach(lc, run->tables)
			find_rows(run, lfirst(lc));
		known_check(run);
		if (!run->judge_only)
			foreach(lc, run->tables)
				lock_rows(run, lfirst(lc));
		foreach(lc, run->tables)
			judge_rows(run, lfirst(lc));
		if (!run->stale || round == ROUNDS)
			return;
		store_forget_all(run);
	}
}

/* Is it worth another try, and how? */
static bool
undo_may_retry(UndoRun *run, ErrorData *error)
{
	Oid			namespace;
	UndoTable  *table;

	if (++run->retries > RETRIES || error->elevel > ERROR)
		return false;
	if (error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION)
		return run->retries == 1 && !IsolationUsesXactSnapshot();
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION && error->sqlerrcode != ERRCODE_EXCLUSION_VIOLATION)
		return false;
	if (error->schema_name == NULL || error->table_name == NULL || error->constraint_name == NULL)
		return false;
	namespace = get_namespace_oid(error->schema_name, true);
	table = OidIsValid(namespace) ? table_of(run, lineage_root(get_relname_relid(error->table_name, namespace))) : NULL;
	if (table == NULL)
		return false;
	return make_way(run, table, error->constraint_name);
}

/*
 * Values of the constraint are in each other's way.  First it may be another one's
 * row, which a new judgement finds; then rows are replaced, or the columns are NULL for a
 * moment; at last it may be a row that a trigger has written.
 */
static bool
make_way(UndoRun *run, UndoTable *table, const char *constraint)
{
	List	   *columns = columns_of_constraint(table, constraint);
	bool		may_replace = references_let_replace(run, table);
	List	   *park = NIL;
	ListCell   *lc;

	foreach(lc, columns)
	{
		UndoColumn *column = lfirst(lc);

		if (!column->is_key && !column->is_generated && !column->is_identity &&
			!TupleDescAttr(RelationGetDescr(table->live), column->attnum - 1)->attnotnull)
			park = lappend(park, column);
	}
	if (table->planned[1] > 0 && !table->replace && table->park == NIL)
	{
		if (park != NIL)
			table->park = park;
		else if (may_replace)
			table->replace = true;
		if (park != NIL || may_replace)
			return true;
	}
	if (!run->one_by_one)
	{
		run->one_by_one = true;
		return true;
	}
	return false;
}

/* The table's columns that the index of that name has. */
static List *
columns_of_constraint(UndoTable *table, const char *name)
{
	List	   *columns = NIL;
	Oid			index = get_relname_relid(name, RelationGetNamespace(table->live));
	int			i;
	char	   *column;
	ListCell   *lc;

	if (!OidIsValid(index))
		return NIL;
	for (i = 1; (column = get_attname(index, i, true)) != NULL; i++)
		foreach(lc, table->columns)
			if (strcmp(((UndoColumn *) lfirst(lc))->plain, column) == 0)
				columns = lappend(columns, lfirst(lc));
	return columns;
}

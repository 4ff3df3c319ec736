/*
 * undo.c
 *		undo_transactions() and restore_tables(): how a call goes.
 *
 * All is done in a subtransaction, as the caller: find, judge, lock, write.  A dry run
 * does the same, has all constraints checked, and rolls the subtransaction back; where
 * nothing can be written, on a standby, it ends when it has judged.
 *
 * If a row was changed between being judged and being locked all is found and judged again,
 * with the locks held.  Keys that are not there cannot be locked: if another one has taken such a
 * key, or a row that was referred to, by the time of writing, the subtransaction is begun
 * once more.  Likewise in another way where unique values are in each other's way.
 *
 * Locks: see table.c and lock.c.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "undo/undo.h"

/* rounds of finding and locking */
#define ROUNDS		20
#define RETRIES		30

/* what a join or sort of ours may have at least, in kB; the stores have the caller's work_mem */
#define WORK_MEM_KB	20480

static void undo_run(FunctionCallInfo fcinfo, UndoRun *run, ArrayType *tables, const char *function);
static UndoRun *undo_begin(FunctionCallInfo fcinfo, int on_conflict, int dry_run);
static void check_transactions(ArrayType *transactions);
static bool is_in_progress(int64 id);
static bool is_of_our_time(int64 id);
static void check_instant(TimestampTz as_of);
static void check_keys(UndoRun *run, ArrayType *keys);
static void check_key(const UndoTable *table, Jsonb *key);
static void undo_work(void *arg);
static void undo_do(UndoRun *run);
static void undo_find(UndoRun *run);
static bool undo_may_retry(UndoRun *run, ErrorData *error);
static bool is_in_the_way(const ErrorData *error);
static UndoTable *table_of_error(UndoRun *run, ErrorData *error, Oid *index);
static bool make_way(UndoRun *run, UndoTable *table, Oid index);
static bool make_park(UndoRun *run, UndoTable *table, Oid index);
static bool make_strict(UndoRun *run);

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
	check_transactions(PG_GETARG_ARRAYTYPE_P(0));
	known_transactions(run, PG_GETARG_ARRAYTYPE_P(0));
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

/* Error out if it is not known, or not yet, what they did. */
static void
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
		if (IsolationUsesXactSnapshot() && is_of_our_time(id) &&
			XidInMVCCSnapshot((TransactionId) id, GetTransactionSnapshot()))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("transaction %s has ended since this one took its snapshot", psprintf(INT64_FORMAT, id)),
					 errhint("ROLLBACK;")));
		if (is_in_progress(id))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("transaction %s is still in progress", psprintf(INT64_FORMAT, id)),
					 errhint("Wait for its end, and call the function again.")));
	}
}

static bool
is_in_progress(int64 id)
{
	return is_of_our_time(id) && TransactionIdIsInProgress((TransactionId) id);
}

/* Others are of another cluster, or long past. */
static bool
is_of_our_time(int64 id)
{
	int64		next = (int64) U64FromFullTransactionId(ReadNextFullTransactionId());

	return id < next && next - id < (INT64CONST(1) << 31) && TransactionIdIsNormal((TransactionId) id);
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
	int			level;

	if (!run->dry_run)
		PreventCommandIfReadOnly(function);
	run->context = AllocSetContextCreate(CurrentMemoryContext, "catmaid_history undo", ALLOCSET_DEFAULT_SIZES);
	run->owner = CurrentResourceOwner;
	run->store_mem = work_mem;
	tables_open(run, tables);
	if (run->nulls[2] == ' ')
		check_keys(run, DatumGetArrayTypeP(run->params[2]));

	/* without all versions it would be another undo */
	level = NewGUCNestLevel();
	security_set_for_command(UNREACHABLE_SETTING, "error");
	SPI_connect();
	references_find(run);
	while ((error = run->dry_run ? attempt_dry(undo_work, run) : attempt_or_error(undo_work, run)) != NULL)
	{
		if (!undo_may_retry(run, error))
			ReThrowError(run->first && (is_in_the_way(error) || run->one_by_one) ? run->first : error);
		if (run->first == NULL)
			run->first = error;
		store_forget_all(run);
	}
	conflict_put_rows(run, result);
	store_forget_all(run);
	SPI_finish();
	AtEOXact_GUC(true, level);
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
	int			level = NewGUCNestLevel();

	/* what is joined in parts is written in disorder; an error takes it back with the subtransaction */
	if (work_mem < WORK_MEM_KB)
		(void) set_config_option("work_mem", psprintf("%d", WORK_MEM_KB), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	undo_do(run);
	AtEOXact_GUC(true, level);
}

static void
undo_do(UndoRun *run)
{
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

/* Find, judge and lock the rows of all tables, until what was judged is what was locked. */
static void
undo_find(UndoRun *run)
{
	ListCell   *lc;
	int			round;

	for (round = 1;; round++)
	{
		bool		again = false;

		foreach(lc, run->tables)
			again |= !find_rows(run, lfirst(lc));
		again |= !known_check(run);
		if (!again)
		{
			foreach(lc, run->tables)
				again |= !run->judge_only && !lock_rows(run, lfirst(lc));
			if (!again)
				return;
		}
		if (round >= ROUNDS)
			conflict_refuse_changing();
		store_forget_all(run);
	}
}

/* Is it worth another try, and how? */
static bool
undo_may_retry(UndoRun *run, ErrorData *error)
{
	UndoTable  *table;
	Oid			index;

	if (++run->retries > RETRIES || error->elevel > ERROR)
		return false;
	if (error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE && run->one_by_one)
		return !IsolationUsesXactSnapshot();
	if (error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION && run->retries == 1)
		return !IsolationUsesXactSnapshot();
	if (is_in_the_way(error) &&
		(table = table_of_error(run, error, &index)) != NULL)
	{
		if (run->first_table == NULL)
		{
			run->first_table = table;
			run->first_index = index;

			/* it may be another one's, which a new judgement finds */
			if (!IsolationUsesXactSnapshot())
				return true;
		}
		if (make_way(run, table, index))
			return true;
	}

	/* the columns may not be NULL for a moment */
	return run->first_table && run->first_table->park != NIL && make_way(run, run->first_table, run->first_index);
}

/* Has the constraint another row's value, which may be ours? */
static bool
is_in_the_way(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION || error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

/* The table whose constraint is violated, and the index of that; NULL: it is none of the run's. */
static UndoTable *
table_of_error(UndoRun *run, ErrorData *error, Oid *index)
{
	Oid			namespace;
	UndoTable  *table;

	if (error->schema_name == NULL || error->table_name == NULL || error->constraint_name == NULL)
		return NULL;
	namespace = get_namespace_oid(error->schema_name, true);
	if (!OidIsValid(namespace))
		return NULL;
	table = table_of(run, lineage_root(get_relname_relid(error->table_name, namespace)));
	*index = get_relname_relid(error->constraint_name, namespace);
	if (table == NULL || !OidIsValid(*index))
		return NULL;

	/* of a partition's index, that of the root */
	while (get_rel_relispartition(*index))
		*index = get_partition_parent_compat(*index);
	return table;
}

/*
 * Values of the index are in each other's way.  First the columns are NULL for a moment, or rows
 * are replaced; then who exchanges values is in conflict (make_strict); at last it may be a row
 * that a trigger has written.
 */
static bool
make_way(UndoRun *run, UndoTable *table, Oid index)
{
	if (table->planned[1] > 0 && !table->replace && !OidIsValid(table->strict))
	{
		if (table->park == NIL && make_park(run, table, index))
			return true;
		table->park = NIL;
		if (references_let_replace(run, table))
		{
			table->replace = true;
			return true;
		}
	}
	if (make_strict(run))
		return true;
	if (run->one_by_one)
		return false;
	run->one_by_one = true;
	return true;
}

/*
 * Columns of the index may be NULL for a moment, those of rows that change it: none that others
 * refer to, as that does something to them, or is refused.
 */
static bool
make_park(UndoRun *run, UndoTable *table, Oid index)
{
	Relation	rel = index_open(index, AccessShareLock);
	List	   *plain = NIL;
	MemoryContext before = MemoryContextSwitchTo(run->context);
	ListCell   *lc;

	table->park_for = unique_columns(table, rel, &plain);
	foreach(lc, plain)
	{
		UndoColumn *column = lfirst(lc);

		if (!column->is_key && !column->is_generated && !column->is_identity && !column->is_referred &&
			!TupleDescAttr(RelationGetDescr(table->live), column->attnum - 1)->attnotnull)
			table->park = lappend(table->park, column);
	}
	MemoryContextSwitchTo(before);
	index_close(rel, AccessShareLock);
	return table->park != NIL;
}

/* There is no way: who exchanges values of the first constraint is in conflict. */
static bool
make_strict(UndoRun *run)
{
	ListCell   *lc;

	if (run->first_table == NULL || OidIsValid(run->first_table->strict) || !OidIsValid(run->first_index))
		return false;
	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);

		table->park = NIL;
		table->replace = false;
	}
	run->first_table->strict = run->first_index;
	return true;
}

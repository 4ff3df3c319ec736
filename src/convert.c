/*
 * convert.c
 *		Old values into a column of a new type, whatever they are.
 *
 * First all rows at once, by rewriting the table, which is fast and fires no
 * triggers.  Where that fails, all rows one after another, and then each in a
 * subtransaction of its own: what does not convert stays NULL, since old values
 * must not stop a migration.  Cancelling, lack of resources and the like are
 * errors as ever.
 *
 * The rewrite runs as the owner of the tables, who may have put code on them.
 * Row by row the two are kept apart: the expression is evaluated as the current
 * user, as the live table's own conversion was, and gets no rights that its
 * author lacks; the row is written as the owner.  No trigger fires, as in a
 * rewrite.  (That is the writer's doing.  session_replication_role would
 * silence triggers of other tables, too, which the expression may write to.)
 *
 * The caller holds ACCESS EXCLUSIVE on the tables.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "catmaid_history.h"

/* Rows of one table, to be converted together. */
typedef struct Conversion
{
	Oid			relid;
	const char *column;
	const char *expression;
	ItemPointer rows;
	int64		nrows;
} Conversion;

typedef struct Statement
{
	Oid			role;
	const char *sql;
} Statement;

static bool attempt(void (*work) (const void *), const void *argument);
static void run_statement(const void *argument);
static void convert_table(Oid relid, const char *column, const char *expression);
static ItemPointer all_rows(Oid relid, int64 *n);
static void convert_together(const void *argument);
static Node *parse_expression(Relation rel, const char *expression, AttrNumber target);
static void write_row(Relation rel, TupleTableSlot *old, AttrNumber target,
					  Datum value, bool isnull);
static bool may_be_swallowed(int sqlstate);

/*
 * SET column = expression in all rows of the table and its children.  type and
 * expression are SQL, columns in the expression unqualified or h's.
 */
void
convert_rows(Oid owner, Oid history, const char *column, const char *type,
			 const char *expression)
{
	ListCell   *lc;

	if (convert_try(owner,
					psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s",
							 naming_quoted(history), quote_identifier(column),
							 type, expression)))
		return;
	foreach(lc, find_all_inheritors(history, NoLock, NULL))
		convert_table(lfirst_oid(lc), column, expression);
}

/*
 * Run DDL as the role, in a subtransaction.  Returns false if it failed for a
 * reason that lies in the values.
 */
bool
convert_try(Oid role, const char *sql)
{
	Statement	statement = {role, sql};

	return attempt(run_statement, &statement);
}

static void
run_statement(const void *argument)
{
	const Statement *statement = argument;

	ddl_execute(statement->role, "%s", statement->sql);
}

/* Do the work in a subtransaction of its own; see convert_try. */
static bool
attempt(void (*work) (const void *), const void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!may_be_swallowed(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		FreeErrorData(error);
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

static void
convert_table(Oid relid, const char *column, const char *expression)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "catmaid_history convert",
												  ALLOCSET_DEFAULT_SIZES);
	Conversion	conversion = {relid, column, expression};
	int64		n;
	int64		i;

	conversion.rows = all_rows(relid, &n);
	conversion.nrows = n;
	MemoryContextSwitchTo(per_row);
	if (!attempt(convert_together, &conversion))
	{
		conversion.nrows = 1;
		for (i = 0; i < n; i++)
		{
			MemoryContextReset(per_row);
			(void) attempt(convert_together, &conversion);
			conversion.rows++;
		}
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(per_row);
}

/* Where the table's rows are; palloc'd. */
static ItemPointer
all_rows(Oid relid, int64 *n)
{
	Relation	rel = table_open(relid, NoLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	int64		room = 1024;
	ItemPointer rows = palloc(sizeof(ItemPointerData) * room);

	*n = 0;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (*n == room)
			rows = repalloc_huge(rows, sizeof(ItemPointerData) * (room *= 2));
		rows[(*n)++] = slot->tts_tid;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	return rows;
}

/* Convert the rows of the Conversion; an error in any of them is an error. */
static void
convert_together(const void *argument)
{
	const Conversion *conversion = argument;
	Relation	rel = table_open(conversion->relid, NoLock);
	AttrNumber	target = get_attnum(conversion->relid, conversion->column);
	Node	   *expression = parse_expression(rel, conversion->expression, target);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "catmaid_history convert row",
												  ALLOCSET_DEFAULT_SIZES);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	ExprState  *state = ExecPrepareExpr((Expr *) expression, estate);
	int64		i;

	PushActiveSnapshot(GetLatestSnapshot());
	for (i = 0; i < conversion->nrows; i++)
	{
		MemoryContext before;
		Datum		value;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		if (!table_tuple_fetch_row_version(rel, &conversion->rows[i], SnapshotAny, slot))
			elog(ERROR, "row to convert in \"%s\" is gone", RelationGetRelationName(rel));
		econtext->ecxt_scantuple = slot;
		value = ExecEvalExprSwitchContext(state, econtext, &isnull);

		before = MemoryContextSwitchTo(per_row);
		write_row(rel, slot, target, value, isnull);
		MemoryContextSwitchTo(before);
		MemoryContextReset(per_row);
		ResetPerTupleExprContext(estate);
	}
	PopActiveSnapshot();

	FreeExecutorState(estate);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(per_row);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/*
 * The expression over a row of rel, as a value for the target column.  Names are
 * looked up as in SQL of ours (ddl.c): they are qualified.
 */
static Node *
parse_expression(Relation rel, const char *expression, AttrNumber target)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), target - 1);
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	SelectStmt *select;
	Node	   *node;
	int			nestlevel = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	select = (SelectStmt *)
		linitial_node(RawStmt, pg_parse_query(psprintf("SELECT %s", expression)))->stmt;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
										 makeAlias("h", NIL), false, true);
	addNSItemToQuery(pstate, item, false, true, true);
	node = transformExpr(pstate, linitial_node(ResTarget, select->targetList)->val,
						 EXPR_KIND_ALTER_COL_TRANSFORM);
	node = coerce_to_target_type(pstate, node, exprType(node),
								 att->atttypid, att->atttypmod,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (node == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the conversion does not give type %s",
						format_type_be(att->atttypid))));
	assign_expr_collations(pstate, node);
	AtEOXact_GUC(false, nestlevel);
	return node;
}

/* Replace the row in old by one that has the value in the target column. */
static void
write_row(Relation rel, TupleTableSlot *old, AttrNumber target, Datum value,
		  bool isnull)
{
	ItemPointerData tid = old->tts_tid;
	SecurityState state;
	RelationWriter writer;
	TupleTableSlot *slot;
	int			i;

	security_act_as(rel->rd_rel->relowner, ACT_TO_MANAGE, &state);
	relation_writer_open(&writer, RelationGetRelid(rel));
	writer.result_rel->ri_TrigDesc = NULL;
	slot = writer.slot;
	ExecClearTuple(slot);
	slot_getallattrs(old);
	for (i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		slot->tts_values[i] = old->tts_values[i];
		slot->tts_isnull[i] = old->tts_isnull[i] ||
			TupleDescAttr(slot->tts_tupleDescriptor, i)->attisdropped;
	}
	slot->tts_values[target - 1] = value;
	slot->tts_isnull[target - 1] = isnull;
	ExecStoreVirtualTuple(slot);
	relation_writer_update(&writer, &tid);
	relation_writer_close(&writer);
	security_act_as_before(&state);
}

/* Is it the value's fault, and not the server's or the user's? */
static bool
may_be_swallowed(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			return false;
		default:
			return true;
	}
}

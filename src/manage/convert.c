/*
 * convert.c
 *		Old values into a column of a new type, whatever they are.
 *
 * The USING expression of the command, or the plain cast, is read over the
 * history table as it was over the live one, by the current user and with the
 * session's search_path, on which functions may rely.  Where it makes no sense
 * there (it looks at whole rows), nothing is converted.
 *
 * It is evaluated as the owner of the history table, and so is all that the owner
 * has put there: what is on the history must not gain the rights of whoever
 * alters the live table, be it a cast of a type of the owner's.  A hierarchy
 * whose tables have several owners is taken apart for that, and each part is
 * converted as its owner (derived_for_each_owner).
 *
 * First all rows at once, by rewriting the table, which is fast and fires no
 * triggers.  Where that fails, some rows at a time, in a subtransaction; a batch
 * that fails is halved, down to the row that does not convert and stays NULL, since
 * old values must not stop a migration.  No trigger fires, as in a rewrite.
 * Cancelling, lack of resources and the like are errors as ever.
 *
 * The caller of convert_rows holds ACCESS EXCLUSIVE on the tables, convert_type takes it.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"
#include "compat.h"

/* rows that are converted in one subtransaction, at first */
#define BATCH_ROWS	1024

/* What is to be computed; see convert_rows. */
typedef struct Conversion
{
	Oid			history;
	const TableColumn *column;
	const char *from;
	Node	   *using;
	Node	   *expression;		/* over the history table, its only relation */
	char	   *denied;			/* the owner lacks a privilege: the error's message */
} Conversion;

/* Rows of a relation that are being converted. */
typedef struct RowConversion
{
	Relation	rel;
	AttrNumber	attnum;
	Expr	   *expression;
	Snapshot	snapshot;
	ItemPointerData tids[BATCH_ROWS];
	int			begin;			/* from here on are to be converted, */
	int			end;			/* up to here */
} RowConversion;

/* A batch of them, within a subtransaction. */
typedef struct RowBatch
{
	ExprState  *state;
	ExprContext *econtext;
	RelationWriter writer;
	TupleTableSlot *row;
} RowBatch;

static void change_type(void *arg);
static void change_type_of(Oid relid, void *arg);
static void read_expression(void *arg);
static void convert_rewrite(void *arg);
static void rewrite_one(Oid relid, void *arg);
static void convert_relation(Conversion *conversion, Oid relid);
static Node *expression_for(Conversion *conversion, Relation rel);
static void convert_batch(Conversion *conversion, RowConversion *rows);
static void convert_some(void *arg);
static void convert_row(RowConversion *rows, RowBatch *batch);

/*
 * SET column = expression in all rows of the history table and its children.
 * The expression is the USING clause, as it was parsed, or NULL for the
 * value of the column called "from".  The column is there, with its new type.
 * What is volatile gives each row something new: only if that may be, volatile_too.
 */
void
convert_rows(Oid history, const TableColumn *column, const char *from, Node *using,
			 bool volatile_too)
{
	Conversion	conversion = {history, column, from, using, NULL, NULL};
	char	   *message;
	ListCell   *lc;

	Assert(relation_is_locked(history, AccessExclusiveLock));
	if (!attempt_or_message(read_expression, &conversion, &message))
	{
		ereport(NOTICE,
				(errmsg("values of column \"%s\" in history table \"%s\" were not converted",
						from, get_rel_name(history)),
				 errdetail("The USING expression cannot be applied to them: %s. They are kept under another name.",
						   message)));
		return;
	}
	if (!volatile_too && contain_volatile_functions(conversion.expression))
	{
		ereport(NOTICE,
				(errmsg("values of column \"%s\" in history table \"%s\" were not converted",
						from, get_rel_name(history)),
				 errdetail("The USING expression is volatile: it would give old versions keys that no row had. They are kept under another name.")));
		return;
	}
	if (attempt_or_message(convert_rewrite, &conversion, NULL))
		return;

	/* what a site has put under the history may be a foreign table */
	foreach(lc, lineage_below(history))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			convert_relation(&conversion, lfirst_oid(lc));
	if (conversion.denied)
		ereport(WARNING,
				(errmsg("values of column \"%s\" in history table \"%s\" were not converted",
						from, get_rel_name(history)),
				 errdetail("They are converted with the rights of the owner of the history table: %s. They are kept under another name.",
						   conversion.denied)));
}

/*
 * Change the type of a column of a history or tracking table, and of those that
 * inherit it, in place, by an explicit cast.  An error if a value does not fit.
 */
void
convert_type(Oid relid, const TableColumn *column)
{
	Conversion	conversion = {.history = relid,.column = column};

	change_type(&conversion);
}

/*
 * Change the type of a column as convert_type does; returns false if that fails for a
 * reason that lies in the values.
 */
bool
convert_type_try(Oid relid, const TableColumn *column)
{
	Conversion	conversion = {.history = relid,.column = column};

	return attempt_or_message(change_type, &conversion, NULL);
}

static void
change_type(void *arg)
{
	Conversion *conversion = arg;

	remote_columns_retype(conversion->history, conversion->column);
	derived_for_each_owner(conversion->history, change_type_of, conversion);
}

static void
change_type_of(Oid relid, void *arg)
{
	const TableColumn *column = ((Conversion *) arg)->column;
	AlterTableCmd *cmd = convert_type_command(column);
	TypeCast   *cast = makeNode(TypeCast);
	ColumnRef  *ref = makeNode(ColumnRef);

	ref->fields = list_make1(makeString(pstrdup(column->name)));
	ref->location = -1;
	cast->arg = (Node *) ref;
	cast->typeName = makeTypeNameFromOid(column->type, column->typmod);
	cast->location = -1;
	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		castNode(ColumnDef, cmd->def)->raw_default = (Node *) cast;
	ddl_alter_table_cmds(security_owner_of(relid), relid, list_make1(cmd), true,
						 DDL_SESSION_SEARCH_PATH);
}

/* ALTER COLUMN ... TYPE */
AlterTableCmd *
convert_type_command(const TableColumn *column)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	ColumnDef  *def = makeNode(ColumnDef);

	def->typeName = makeTypeNameFromOid(column->type, column->typmod);
	def->collOid = column->collation;
	def->location = -1;
	cmd->subtype = AT_AlterColumnType;
	cmd->name = pstrdup(column->name);
	cmd->def = (Node *) def;
	return cmd;
}

/* Find out what the expression means over the history table. */
static void
read_expression(void *arg)
{
	Conversion *conversion = arg;
	Relation	history = table_open(conversion->history, AccessShareLock);
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *using;

	item = addRangeTableEntryForRelation(pstate, history, AccessShareLock,
										 makeAlias(CONVERT_ROWS_ALIAS, NIL), false, true);
	addNSItemToQuery(pstate, item, false, true, true);
	if (conversion->using)
		using = copyObject(conversion->using);
	else
	{
		ColumnRef  *column = makeNode(ColumnRef);

		column->fields = list_make1(makeString(pstrdup(conversion->from)));
		column->location = -1;
		using = (Node *) column;
	}
	if (convert_strip_qualifiers(using, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("USING expression refers to the whole row, which differs in the history table")));
	conversion->expression = transformExpr(pstate, using, EXPR_KIND_ALTER_COL_TRANSFORM);
	table_close(history, NoLock);
	free_parsestate(pstate);
}

/*
 * The expression may call the table by name; there is no other table in it.
 * Returns true where it asks for all columns.
 */
bool
convert_strip_qualifiers(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		ColumnRef  *column = (ColumnRef *) node;

		if (IsA(llast(column->fields), A_Star))
			return true;
		column->fields = list_make1(llast(column->fields));
		return false;
	}
	return raw_expression_tree_walker(node, convert_strip_qualifiers, context);
}

/* ALTER TABLE ... TYPE ... USING, with an expression that has been read. */
static void
convert_rewrite(void *arg)
{
	Conversion *conversion = arg;

	derived_for_each_owner(conversion->history, rewrite_one, conversion);
}

static void
rewrite_one(Oid relid, void *arg)
{
	Conversion *conversion = arg;
	AlterTableCmd *cmd = convert_type_command(conversion->column);
	Relation	rel;

	/* (it has the type already) */
	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		return;
	rel = table_open(relid, NoLock);
	castNode(ColumnDef, cmd->def)->cooked_default = expression_for(conversion, rel);
	table_close(rel, NoLock);
	ddl_alter_table_cmds(security_owner_of(relid), relid, list_make1(cmd), true,
						 DDL_SESSION_SEARCH_PATH);
}

/* Row by row, and in batches: see above. */
static void
convert_relation(Conversion *conversion, Oid relid)
{
	RowConversion *rows = palloc0(sizeof(RowConversion));
	SecurityState before;
	TableScanDesc scan;
	TupleTableSlot *slot;
	int			n = 0;

	rows->rel = table_open(relid, NoLock);
	rows->attnum = get_attnum(relid, conversion->column->name);
	rows->expression = (Expr *) expression_for(conversion, rows->rel);
	rows->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = table_beginscan(rows->rel, rows->snapshot, 0, NULL);
	slot = table_slot_create(rows->rel, NULL);
	PushActiveSnapshot(rows->snapshot);
	security_act_as(rows->rel->rd_rel->relowner, ACT_TO_MANAGE, &before);

	for (;;)
	{
		bool		more = table_scan_getnextslot(scan, ForwardScanDirection, slot);

		if (more)
			rows->tids[n++] = slot->tts_tid;
		if (n == BATCH_ROWS || (!more && n > 0))
		{
			rows->begin = 0;
			rows->end = n;
			convert_batch(conversion, rows);
			n = 0;
		}
		if (!more)
			break;
	}

	security_act_as_before(&before);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(rows->snapshot);
	table_close(rows->rel, NoLock);
	pfree(rows);
	CommandCounterIncrement();
}

/* The expression over a child's columns, made the column's type. */
static Node *
expression_for(Conversion *conversion, Relation rel)
{
	const TableColumn *column = conversion->column;
	Node	   *expression = copyObject(conversion->expression);

	if (RelationGetRelid(rel) != conversion->history)
	{
		Relation	history = table_open(conversion->history, NoLock);
		bool		whole_row;

		expression = map_variable_attnos(expression, 1, 0,
										 build_attrmap_by_name_compat(RelationGetDescr(rel),
																	  RelationGetDescr(history)),
										 InvalidOid, &whole_row);
		table_close(history, NoLock);
	}
	expression = coerce_to_target_type(NULL, expression, exprType(expression),
									   column->type, column->typmod,
									   COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (expression == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" cannot be cast automatically to type %s",
						conversion->from,
						format_type_with_typemod(column->type, column->typmod))));
	assign_expr_collations(NULL, expression);
	return expression;
}

/* Convert the rows of the batch that do convert. */
static void
convert_batch(Conversion *conversion, RowConversion *rows)
{
	MemoryContext attempt = AllocSetContextCreate(CurrentMemoryContext,
												  "catmaid_history convert",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(attempt);
	int			begin = rows->begin;
	int			end = rows->end;
	ErrorData  *error = attempt_or_error(convert_some, rows);

	MemoryContextSwitchTo(before);
	if (error && !attempt_may_swallow(error->sqlerrcode))
		ReThrowError(error);
	if (error && error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		conversion->denied = pstrdup(error->message);
	MemoryContextDelete(attempt);
	if (error == NULL || end - begin == 1)
		return;

	rows->begin = begin;
	rows->end = begin + (end - begin) / 2;
	convert_batch(conversion, rows);
	rows->begin = begin + (end - begin) / 2;
	rows->end = end;
	convert_batch(conversion, rows);
}

static void
convert_some(void *arg)
{
	RowConversion *rows = arg;
	RowBatch	batch;
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "catmaid_history convert row",
												  ALLOCSET_DEFAULT_SIZES);
	int			i;

	batch.econtext = CreateStandaloneExprContext();
	batch.state = ExecInitExpr(expression_planner(rows->expression), NULL);
	batch.row = table_slot_create(rows->rel, NULL);
	relation_writer_open(&batch.writer, RelationGetRelid(rows->rel),
						 relation_shape(rows->rel, 0, 0, false));
	batch.writer.result_rel->ri_TrigDesc = NULL;
	for (i = rows->begin; i < rows->end; i++)
	{
		MemoryContext before = MemoryContextSwitchTo(per_row);

		CHECK_FOR_INTERRUPTS();
		if (!table_tuple_fetch_row_version(rows->rel, &rows->tids[i], rows->snapshot, batch.row))
			elog(ERROR, "a row of a history table is gone");
		convert_row(rows, &batch);
		MemoryContextSwitchTo(before);
		MemoryContextReset(per_row);
	}
	relation_writer_close(&batch.writer);
	ExecDropSingleTupleTableSlot(batch.row);
	FreeExprContext(batch.econtext, true);
}

static void
convert_row(RowConversion *rows, RowBatch *batch)
{
	TupleTableSlot *new = relation_writer_slot(&batch->writer);
	TupleTableSlot *row = batch->row;
	Datum		value;
	bool		isnull;

	batch->econtext->ecxt_scantuple = row;
	value = ExecEvalExprSwitchContext(batch->state, batch->econtext, &isnull);

	slot_getallattrs(row);
	memcpy(new->tts_values, row->tts_values, sizeof(Datum) * new->tts_tupleDescriptor->natts);
	memcpy(new->tts_isnull, row->tts_isnull, sizeof(bool) * new->tts_tupleDescriptor->natts);
	new->tts_values[rows->attnum - 1] = value;
	new->tts_isnull[rows->attnum - 1] = isnull;
	ExecStoreVirtualTuple(new);
	relation_writer_update(&batch->writer, &row->tts_tid);
	ResetExprContext(batch->econtext);
}

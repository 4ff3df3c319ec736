/*
 * convert.c
 *		Old values into a column of a new type, whatever they are.
 *
 * The USING expression of the command, or the plain cast, is read over the
 * history table as it was over the live one: by the current user, with the
 * user's search_path.  Where it makes no sense there (it looks at whole rows),
 * nothing is converted.
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
 * The search_path is the session's either way: functions may rely on it.
 *
 * The caller holds ACCESS EXCLUSIVE on the tables.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
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
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catmaid_history.h"
#include "compat.h"

/* not the name of any table that an expression may mean */
#define ROWS_ALIAS	"catmaid_history old rows"

/* What is to be computed; see convert_rows. */
typedef struct Conversion
{
	Oid			role;
	Oid			history;
	const char *column;
	const char *type;
	const char *from;
	Node	   *using;
	Node	   *expression;		/* over the history table, its only relation */
	bool		each;			/* row by row, each in a subtransaction */
} Conversion;

/* A relation whose rows are being converted one after another. */
typedef struct RowConversion
{
	Relation	rel;
	AttrNumber	attnum;
	Expr	   *expression;
	ExprState  *state;
	ExprContext *econtext;
	RelationWriter writer;
	TupleTableSlot *row;
} RowConversion;

static void run_ddl(void *arg);
static void read_expression(void *arg);
static bool strip_qualifiers(Node *node, void *context);
static void rewrite(void *arg);
static void convert_one_by_one(void *arg);
static void convert_relation(Conversion *conversion, Oid relid);
static Node *expression_for(Conversion *conversion, Relation rel, AttrNumber attnum);
static void convert_row_alone(void *arg);
static void begin_rows(RowConversion *rows);
static void convert_row(RowConversion *rows);
static void end_rows(RowConversion *rows);
static bool may_be_swallowed(int sqlstate);

/*
 * SET column = expression in all rows of the history table and its children.
 * The expression is the USING clause, as it was parsed, or NULL for the
 * value of the column called "from".  type is the column's, as SQL; role the one
 * that may rewrite the tables.
 */
void
convert_rows(Oid role, Oid history, const char *column, const char *type,
			 const char *from, Node *using)
{
	Conversion	conversion = {role, history, column, type, from, using, NULL, false};
	char	   *message;

	if (!convert_attempt(read_expression, &conversion, &message))
	{
		ereport(NOTICE,
				(errmsg("values of column \"%s\" in history table \"%s\" were not converted",
						from, get_rel_name(history)),
				 errdetail("The USING expression cannot be applied to them: %s. They are kept under another name.",
						   message)));
		return;
	}
	if (convert_attempt(rewrite, &conversion, NULL))
		return;
	if (!convert_attempt(convert_one_by_one, &conversion, NULL))
	{
		conversion.each = true;
		convert_one_by_one(&conversion);
	}
}

/*
 * Run DDL as the role in a subtransaction of its own.  Returns false if it
 * failed for a reason that lies in the values.
 */
bool
convert_try(Oid role, const char *sql)
{
	Conversion	conversion = {.role = role,.type = sql};

	return convert_attempt(run_ddl, &conversion, NULL);
}

static void
run_ddl(void *arg)
{
	Conversion *conversion = arg;

	ddl_execute(conversion->role, "%s", conversion->type);
}

/*
 * Do it in a subtransaction.  Returns false, and the error's message, if it
 * failed for a reason that may be swallowed.
 */
bool
convert_attempt(DDLAction action, void *arg, char **message)
{
	ErrorData  *error = ddl_attempt(action, arg);

	if (error == NULL)
		return true;
	if (!may_be_swallowed(error->sqlerrcode))
		ReThrowError(error);
	if (message)
		*message = pstrdup(error->message);
	FreeErrorData(error);
	return false;
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
										 makeAlias(ROWS_ALIAS, NIL), false, true);
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
	if (strip_qualifiers(using, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("whole rows of a history table are others than the table's")));
	conversion->expression = transformExpr(pstate, using, EXPR_KIND_ALTER_COL_TRANSFORM);
	table_close(history, NoLock);
	free_parsestate(pstate);
}

/*
 * The expression may call the table by name; there is no other table in it.
 * Returns true where it asks for all columns.
 */
static bool
strip_qualifiers(Node *node, void *context)
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
	return raw_expression_tree_walker(node, strip_qualifiers, context);
}

/* ALTER TABLE ... TYPE ... USING, with an expression that has been read. */
static void
rewrite(void *arg)
{
	Conversion *conversion = arg;
	char	   *sql = psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s",
							   naming_quoted(conversion->history),
							   quote_identifier(conversion->column), conversion->type);
	RawStmt    *raw = linitial_node(RawStmt, pg_parse_query(sql));
	AlterTableCmd *cmd = linitial_node(AlterTableCmd,
									   castNode(AlterTableStmt, raw->stmt)->cmds);

	castNode(ColumnDef, cmd->def)->cooked_default = copyObject(conversion->expression);
	ddl_execute_statement(conversion->role, raw->stmt, sql);
}

static void
convert_one_by_one(void *arg)
{
	Conversion *conversion = arg;
	ListCell   *lc;

	/* what a site has put under the history may be a foreign table */
	foreach(lc, find_all_inheritors(conversion->history, NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			convert_relation(conversion, lfirst_oid(lc));
}

static void
convert_relation(Conversion *conversion, Oid relid)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "catmaid_history convert",
												  ALLOCSET_DEFAULT_SIZES);
	RowConversion rows = {.rel = table_open(relid, NoLock)};
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rows.rel, snapshot, 0, NULL);

	rows.attnum = get_attnum(relid, conversion->column);
	rows.expression = (Expr *) expression_for(conversion, rows.rel, rows.attnum);
	rows.row = table_slot_create(rows.rel, NULL);
	PushActiveSnapshot(snapshot);
	if (!conversion->each)
		begin_rows(&rows);
	while (table_scan_getnextslot(scan, ForwardScanDirection, rows.row))
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(per_row);
		if (conversion->each)
			(void) convert_attempt(convert_row_alone, &rows, NULL);
		else
			convert_row(&rows);
		MemoryContextSwitchTo(context);
		MemoryContextReset(per_row);
	}
	if (!conversion->each)
		end_rows(&rows);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(rows.row);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rows.rel, NoLock);
	MemoryContextDelete(per_row);
	CommandCounterIncrement();
}

/* The expression over a child's columns, made the column's type. */
static Node *
expression_for(Conversion *conversion, Relation rel, AttrNumber attnum)
{
	Node	   *expression = copyObject(conversion->expression);
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

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
									   att->atttypid, att->atttypmod,
									   COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (expression == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" cannot be cast automatically to type %s",
						conversion->from, conversion->type)));
	assign_expr_collations(NULL, expression);
	return expression;
}

static void
convert_row_alone(void *arg)
{
	RowConversion *rows = arg;

	begin_rows(rows);
	convert_row(rows);
	end_rows(rows);
}

static void
begin_rows(RowConversion *rows)
{
	rows->econtext = CreateStandaloneExprContext();
	rows->state = ExecInitExpr(expression_planner(rows->expression), NULL);
	relation_writer_open(&rows->writer, RelationGetRelid(rows->rel),
						 relation_shape(rows->rel, 0, 0, false));
	rows->writer.result_rel->ri_TrigDesc = NULL;
}

static void
convert_row(RowConversion *rows)
{
	TupleTableSlot *new = relation_writer_slot(&rows->writer);
	SecurityState before;
	Datum		value;
	bool		isnull;

	rows->econtext->ecxt_scantuple = rows->row;
	value = ExecEvalExprSwitchContext(rows->state, rows->econtext, &isnull);

	slot_getallattrs(rows->row);
	memcpy(new->tts_values, rows->row->tts_values,
		   sizeof(Datum) * new->tts_tupleDescriptor->natts);
	memcpy(new->tts_isnull, rows->row->tts_isnull,
		   sizeof(bool) * new->tts_tupleDescriptor->natts);
	new->tts_values[rows->attnum - 1] = value;
	new->tts_isnull[rows->attnum - 1] = isnull;
	ExecStoreVirtualTuple(new);

	/* what the owner has put on the table runs with the owner's rights */
	security_act_as(rows->rel->rd_rel->relowner, ACT_TO_MANAGE, &before);
	relation_writer_update(&rows->writer, &rows->row->tts_tid);
	security_act_as_before(&before);
	ResetExprContext(rows->econtext);
}

static void
end_rows(RowConversion *rows)
{
	relation_writer_close(&rows->writer);
	FreeExprContext(rows->econtext, true);
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

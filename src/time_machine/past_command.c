/*
 * past_command.c
 *		Commands that are no queries, while the session reads the past.
 *
 *	- Those that run queries of the user's read the past by themselves: EXPLAIN, DECLARE,
 *	  EXECUTE, CREATE TABLE AS, COPY (…) TO, DO, CALL.
 *	- COPY t TO becomes COPY (SELECT … FROM ONLY t) TO.
 *	- What would be wrong is refused: COPY FROM into tracked tables, materialized views that
 *	  would keep what was, the copy of a history, as pg_dump makes it, beside that of its
 *	  table's past.
 *	- Everything else, DDL above all, sees the present: a foreign key is checked against
 *	  the rows that there are.
 *
 * No locks but ACCESS SHARE on what COPY names.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "time_machine/time_machine.h"
#include "compat.h"

static ProcessUtility_hook_type next_utility = NULL;

static void at_utility(PROCESS_UTILITY_ARGS_COMPAT);
static void run(PROCESS_UTILITY_ARGS_COMPAT);
static void run_in_present(PROCESS_UTILITY_ARGS_COMPAT);
static bool is_control(Node *statement);
static bool sees_past(Node *statement);
static PlannedStmt *past_copy(PlannedStmt *pstmt, TimestampTz instant);
static List *columns_of(Relation rel, List *names);
static void refuse_materialized(Node *statement, TimestampTz instant);

/* An instant has been set, for the first time in the session. */
void
past_command_at_first(void)
{
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = at_utility;
}

static void
at_utility(PROCESS_UTILITY_ARGS_COMPAT)
{
	TimestampTz instant;
	bool		past = !is_control(pstmt->utilityStmt) && as_of_past(&instant);

	if (past)
	{
		refuse_materialized(pstmt->utilityStmt, instant);
		if (IsA(pstmt->utilityStmt, CopyStmt))
			pstmt = past_copy(pstmt, instant);
	}
	if (past && !sees_past(pstmt->utilityStmt))
		run_in_present(PROCESS_UTILITY_PASS_COMPAT);
	else
		run(PROCESS_UTILITY_PASS_COMPAT);
}

static void
run(PROCESS_UTILITY_ARGS_COMPAT)
{
	if (next_utility)
		next_utility(PROCESS_UTILITY_PASS_COMPAT);
	else
		standard_ProcessUtility(PROCESS_UTILITY_PASS_COMPAT);
}

static void
run_in_present(PROCESS_UTILITY_ARGS_COMPAT)
{
	int			workers = max_parallel_maintenance_workers;

	/* workers that build an index would not know of it */
	max_parallel_maintenance_workers = 0;
	as_of_begin_present();
	PG_TRY();
	{
		run(PROCESS_UTILITY_PASS_COMPAT);
	}
	PG_CATCH();
	{
		as_of_end_present();
		max_parallel_maintenance_workers = workers;
		PG_RE_THROW();
	}
	PG_END_TRY();
	as_of_end_present();
	max_parallel_maintenance_workers = workers;
}

/*
 * Returns true if it changes what is set, or the transaction. That must not be taken for
 * what runs in the present, and is possible whatever is set.
 */
static bool
is_control(Node *statement)
{
	return IsA(statement, VariableSetStmt) || IsA(statement, VariableShowStmt) ||
		IsA(statement, TransactionStmt) || IsA(statement, DiscardStmt);
}

/* Returns true if the command runs in the past. TRUNCATE is refused by our triggers. */
static bool
sees_past(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CopyStmt:
		case T_CreateTableAsStmt:
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_ExplainStmt:
		case T_DoStmt:
		case T_CallStmt:
		case T_TruncateStmt:
		case T_LockStmt:
		case T_NotifyStmt:
		case T_ListenStmt:
		case T_UnlistenStmt:
		case T_CheckPointStmt:
		case T_ConstraintsSetStmt:
		case T_LoadStmt:
			return true;
		default:
			return false;
	}
}

/* The COPY as one of the past. */
static PlannedStmt *
past_copy(PlannedStmt *pstmt, TimestampTz instant)
{
	CopyStmt   *copy = castNode(CopyStmt, pstmt->utilityStmt);
	RegistryRow *row;
	Relation	rel;
	Oid			child;
	Oid			relid;
	PastKind	kind;
	RangeVar   *from;
	SelectStmt *select;

	if (copy->relation == NULL)
		return pstmt;
	rel = table_openrv(copy->relation, AccessShareLock);
	relid = RelationGetRelid(rel);
	kind = past_kind(relid, false, &row, &child);
	if (copy->is_from && row)
		as_of_refuse_write(relid, instant);
	if (copy->is_from)
		past_check_target(relid, CMD_INSERT, NULL, copy->attlist, instant);
	if (!copy->is_from && kind == PAST_OURS &&
		(OidIsValid(registered_live(relid)) || OidIsValid(segments_head(relid)) ||
		 relid == extension_registry()))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot copy table \"%s\" as of %s: it belongs to a history, which is not one of the past",
						RelationGetRelationName(rel), as_of_shown(instant)),
				 errhint("For pg_dump: --data-only --exclude-table='*.*__history*' --exclude-table='*.*__tracking' --extension=plpgsql; for one table: COPY (SELECT * FROM %s) TO ...",
						 naming_quoted(relid))));
	if (!copy->is_from)
		past_check_untracked(kind, relid, child, instant);
	/* (a partitioned table PostgreSQL refuses itself) */
	if (copy->is_from || row == NULL || rel->rd_rel->relkind != RELKIND_RELATION)
	{
		table_close(rel, NoLock);
		return pstmt;
	}

	from = makeRangeVar(get_namespace_name(RelationGetNamespace(rel)),
						pstrdup(RelationGetRelationName(rel)), -1);
	from->inh = false;
	select = makeNode(SelectStmt);
	select->targetList = columns_of(rel, copy->attlist);
	select->fromClause = list_make1(from);
	table_close(rel, NoLock);

	pstmt = copyObject(pstmt);
	copy = castNode(CopyStmt, pstmt->utilityStmt);
	copy->relation = NULL;
	copy->attlist = NIL;
	copy->query = (Node *) select;
	return pstmt;
}

/* The columns of these names as targets; without names, those that COPY takes. */
static List *
columns_of(Relation rel, List *names)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *targets = NIL;
	ListCell   *lc;
	int			i;

	if (names == NIL)
		for (i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			if (!att->attisdropped && att->attgenerated == '\0')
				names = lappend(names, makeString(pstrdup(NameStr(att->attname))));
		}
	foreach(lc, names)
	{
		ColumnRef  *column = makeNode(ColumnRef);
		ResTarget  *target = makeNode(ResTarget);

		column->fields = list_make1(copyObject(lfirst(lc)));
		column->location = -1;
		target->val = (Node *) column;
		target->location = -1;
		targets = lappend(targets, target);
	}
	return targets;
}

/* What keeps the rows of a query under the query's name is to keep those of the present. */
static void
refuse_materialized(Node *statement, TimestampTz instant)
{
	if (IsA(statement, ExplainStmt))
	{
		Query	   *query = castNode(Query, ((ExplainStmt *) statement)->query);

		if (query->commandType == CMD_UTILITY)
			refuse_materialized(query->utilityStmt, instant);
		return;
	}
	if (IsA(statement, RefreshMatViewStmt) && ((RefreshMatViewStmt *) statement)->skipData)
		return;
	if (IsA(statement, RefreshMatViewStmt) ||
		(IsA(statement, CreateTableAsStmt) &&
		 create_as_kind_compat((CreateTableAsStmt *) statement) == OBJECT_MATVIEW &&
		 !((CreateTableAsStmt *) statement)->into->skipData))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a materialized view cannot be filled while the session reads the past, as of %s",
						as_of_shown(instant)),
				 errhint("CREATE TABLE ... AS keeps what was; or go back to the present: SET catmaid_history.as_of = '';")));
}

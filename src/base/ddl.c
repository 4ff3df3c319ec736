/*
 * ddl.c
 *		What the extension changes that may run somebody's code: as the owner.
 *
 * ALTER TABLE is run on an OID, by the function behind the command, and queries
 * through SPI, by names that are checked to have meant the OIDs.  Both run as a
 * role, which is the owner of the table wherever an expression, a default, a
 * constraint, an index or a trigger of anybody's may be evaluated, in what
 * PostgreSQL calls a security-restricted operation where the session is
 * somebody else's (security_act_as).  The search_path holds nothing but
 * pg_catalog, unless an expression of the user's command is meant.  What needs
 * more rights than the owner's, and evaluates nothing, is in catalog_change.c.
 *
 * Commands that still go through ProcessUtility are behind a guard by which our
 * own event triggers know that they are ours.  The guard goes down on every path;
 * user and settings are restored by us on success and by the abort of the
 * (sub)transaction on error.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/base.h"
#include "compat.h"

static int	ddl_depth = 0;

static uint64 ddl_execute_counted(Oid role, const char *sql, List *relids, bool is_query,
								  int64 *numbers, int n, char **text);
static void check_relations(SPIPlanPtr plan, List *relids);
static bool check_entries(Node *node, void *relids);
static void alter_table(Oid relid, List *cmds, bool recurse);

/* Returns true if the command that is being executed is one of ours. */
bool
ddl_is_ours(void)
{
	return ddl_depth > 0;
}

/*
 * Run a utility command as the role.  Errors are the command's own.
 */
void
ddl_execute(Oid role, const char *format,...)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&sql, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&sql, needed);
	}

	ddl_execute_counted(role, sql.data, NIL, false, NULL, 0, NULL);
	pfree(sql.data);
}

/*
 * Run INSERT, UPDATE or DELETE as the role, seeing everything committed until
 * now, whatever the isolation level: it keeps tables in step that are locked
 * against writers, and an older snapshot would miss what the writers did.
 *
 * relids are the relations that the names in it mean, or leaf_rows_source has named
 * otherwise; others are an error.
 * Returns the number of rows.
 */
uint64
ddl_execute_query(Oid role, List *relids, const char *sql)
{
	return ddl_execute_counted(role, sql, relids, true, NULL, 0, NULL);
}

/*
 * Run a query as the role that returns one row of n bigints, none of them NULL,
 * and store these.  Sees everything committed until now, too.
 */
void
ddl_query_numbers(Oid role, List *relids, const char *sql, int64 *numbers, int n)
{
	(void) ddl_execute_counted(role, sql, relids, true, numbers, n, NULL);
}

/*
 * Run a query as the role that returns one row, or INSERT, UPDATE or DELETE with RETURNING,
 * and return the first column as text, palloc'd; NULL if it is NULL, or there is no row.
 * Sees everything committed until now, too.
 */
char *
ddl_query_text(Oid role, List *relids, const char *sql)
{
	char	   *text = NULL;

	(void) ddl_execute_counted(role, sql, relids, true, NULL, 0, &text);
	return text;
}

/*
 * ALTER TABLE of the relation as its owner: actions are what follows the name in
 * the statement.  No type or other object may be named in them.  Takes the lock
 * that ALTER TABLE takes, by OID.
 */
void
ddl_alter_table(Oid relid, bool recurse, const char *actions)
{
	char	   *sql = psprintf("ALTER TABLE t %s", actions);
	RawStmt    *raw = linitial_node(RawStmt, pg_parse_query(sql));

	ddl_alter_table_cmds(security_owner_of(relid), relid,
						 castNode(AlterTableStmt, raw->stmt)->cmds, recurse,
						 DDL_PLAIN_SEARCH_PATH);
}

/*
 * Add a column to the table, and to those that inherit from it, as its owner, with
 * a default, generation expression or constraint.
 */
void
ddl_add_column(Oid relid, const TableColumn *column)
{
	char	   *sql = psprintf("ALTER TABLE t ADD COLUMN %s pg_catalog.int4%s",
							   quote_identifier(column->name), column->constraints);
	RawStmt    *raw = linitial_node(RawStmt, pg_parse_query(sql));
	List	   *cmds = castNode(AlterTableStmt, raw->stmt)->cmds;
	ColumnDef  *def = castNode(ColumnDef, linitial_node(AlterTableCmd, cmds)->def);

	def->typeName = makeTypeNameFromOid(column->type, column->typmod);
	def->collOid = column->collation;
	ddl_alter_table_cmds(security_owner_of(relid), relid, cmds, true, DDL_PLAIN_SEARCH_PATH);
}

/*
 * ALTER TABLE of actions that are parsed already; see ddl_alter_table.  With
 * DDL_SESSION_SEARCH_PATH functions in an expression of the user's find what they rely on.
 *
 * Event triggers see nothing of it.
 */
void
ddl_alter_table_cmds(Oid role, Oid relid, List *cmds, bool recurse,
					 DDLSearchPath search_path)
{
	SecurityState before;

	EventTriggerInhibitCommandCollection();
	PG_TRY();
	{
		security_act_as(role, ACT_TO_MANAGE, &before);
		if (search_path == DDL_PLAIN_SEARCH_PATH)
			security_set_for_command("search_path", "pg_catalog, pg_temp");
		alter_table(relid, cmds, recurse);
		security_act_as_before(&before);
	}
	PG_FINALLY();
	{
		EventTriggerUndoInhibitCommandCollection();
	}
	PG_END_TRY();
	CommandCounterIncrement();
}

/* ProcessUtilitySlow's part, on an OID. */
static void
alter_table(Oid relid, List *cmds, bool recurse)
{
	AlterTableStmt *stmt = makeNode(AlterTableStmt);
	PlannedStmt *planned = makeNode(PlannedStmt);
	AlterTableUtilityContext context = {0};
	LOCKMODE	mode = AlterTableGetLockLevel(cmds);

	/* the name is for messages */
	relation_lock(relid, mode);
	stmt->relation = makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
								  get_rel_name(relid), -1);
	stmt->relation->inh = recurse;
	stmt->cmds = cmds;
	alter_table_set_objtype_compat(stmt, OBJECT_TABLE);
	planned->commandType = CMD_UTILITY;
	planned->utilityStmt = (Node *) stmt;
	planned->stmt_location = -1;
	context.pstmt = planned;
	context.queryString = "";
	context.relid = relid;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	AlterTable(stmt, mode, &context);
	PopActiveSnapshot();
}

static uint64
ddl_execute_counted(Oid role, const char *sql, List *relids, bool is_query, int64 *numbers, int n,
					char **text)
{
	MemoryContext context = CurrentMemoryContext;
	SecurityState before;
	uint64		processed = 0;

	ddl_depth++;
	PG_TRY();
	{
		int			result;
		List	   *named_rows = NIL;
		ListCell   *lc;

		security_act_as(role, ACT_TO_MANAGE, &before);
		security_set_for_command("search_path", "pg_catalog, pg_temp");
		SPI_connect();
		if (is_query)
		{
			SPIPlanPtr	plan;

			named_rows = leaf_rows_register(&relids);
			plan = SPI_prepare(sql, 0, NULL);
			if (plan == NULL)
				elog(ERROR, "SPI_prepare returned %s for %s",
					 SPI_result_code_string(SPI_result), sql);
			check_relations(plan, relids);
			result = SPI_execute_snapshot(plan, NULL, NULL,
										  GetLatestSnapshot(), InvalidSnapshot,
										  false, true, 0);
			check_relations(plan, relids);
		}
		else
			result = SPI_execute(sql, false, 0);
		if (result < 0)
			elog(ERROR, "SPI returned %s for %s",
				 SPI_result_code_string(result), sql);
		processed = SPI_processed;
		for (int i = 0; i < n; i++)
		{
			bool		isnull;

			numbers[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
													 SPI_tuptable->tupdesc,
													 i + 1, &isnull));
		}
		if (text && SPI_processed > 0)
		{
			char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

			*text = value ? MemoryContextStrdup(context, value) : NULL;
		}
		foreach(lc, named_rows)
			tuplestore_end(lfirst(lc));
		SPI_finish();
		security_act_as_before(&before);
	}
	PG_FINALLY();
	{
		Assert(ddl_depth > 0);
		ddl_depth--;
	}
	PG_END_TRY();

	CommandCounterIncrement();
	return processed;
}

/*
 * Error out unless the names in the query have meant these relations, and no others.
 * Called again when it has run, as it may have been analyzed once more in between.
 *
 * A name that is in the query twice may have meant another one the first time.  (What a
 * rule of the site's does besides may be anywhere.)
 */
static void
check_relations(SPIPlanPtr plan, List *relids)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	ListCell   *lc;

	foreach(lc, relids)
		if (!list_member_oid(source->relationOids, lfirst_oid(lc)))
			relation_check_meant(lfirst_oid(lc), InvalidOid);
	foreach(lc, source->query_list)
		if (lfirst_node(Query, lc)->canSetTag)
			(void) check_entries(lfirst(lc), relids);
}

/* Walker: all relations of the query are among these. */
static bool
check_entries(Node *node, void *relids)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION && !list_member_oid(relids, rte->relid))
			relation_check_meant(rte->relid, InvalidOid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, check_entries, relids, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, check_entries, relids);
}

/*
 * In PG_CATCH: what depends on what one of our commands was to drop, as PostgreSQL
 * lists it; palloc'd in the context. PostgreSQL's hint to use CASCADE is of
 * no use to the caller of a function.  Other errors are re-thrown.
 */
char *
ddl_dependents(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode != ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST || error->detail == NULL)
		PG_RE_THROW();
	FlushErrorState();
	return error->detail;
}

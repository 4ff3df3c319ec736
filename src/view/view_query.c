/*
 * view_query.c
 *		The query of a view: read from the catalog or from SQL, and stored again,
 *		all by OID.
 *
 * PostgreSQL keeps a view's query as the action of its rule _RETURN, already
 * analyzed.  Storing such a tree resolves no name and evaluates nothing, so that is
 * done with the bootstrap superuser's rights: neither ownership of the view nor
 * CREATE on its schema is needed.  Reading SQL does resolve names, and calls the
 * input functions of the constants' types; see view_query_read.
 *
 * Locks: ACCESS EXCLUSIVE on a view whose query is stored, as CREATE OR REPLACE
 * VIEW; ACCESS SHARE on the relations of SQL that is read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "commands/view.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteManip.h"
#include "rewrite/rewriteSupport.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "view/view.h"
#include "compat.h"

static int	begin_exact_text(void);
static int	begin_fast_compression(void);
static bool reads_others(Node *node, void *context);
static Expr *view_query_never(void);

/* The query of the view, as it is stored, or NULL if it has none; a tree of its own. */
Query *
view_query_of(Oid view)
{
	HeapTuple	tuple = SearchSysCache2(RULERELNAME, ObjectIdGetDatum(view),
										PointerGetDatum(ViewSelectRuleName));
	Datum		action;
	bool		isnull;
	List	   *actions;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	action = SysCacheGetAttr(RULERELNAME, tuple, Anum_pg_rewrite_ev_action, &isnull);
	actions = castNode(List, stringToNode(TextDatumGetCString(action)));
	ReleaseSysCache(tuple);
	return linitial_node(Query, actions);
}

/* The OID of the view's rule _RETURN, or InvalidOid. */
Oid
view_query_rule(Oid view)
{
	return GetSysCacheOid2(RULERELNAME, Anum_pg_rewrite_oid, ObjectIdGetDatum(view),
						   PointerGetDatum(ViewSelectRuleName));
}

/*
 * The view's query as SQL with every name qualified, for view_query_read.
 *
 * pg_get_viewdef reads pg_rewrite under the active snapshot, which is that of the
 * command, and would miss what the command has made of the view.
 */
char *
view_query_sql(Oid view)
{
	int			nestlevel = begin_exact_text();
	char	   *sql;

	PushActiveSnapshot(GetLatestSnapshot());
	sql = TextDatumGetCString(DirectFunctionCall1(pg_get_viewdef, ObjectIdGetDatum(view)));
	PopActiveSnapshot();
	AtEOXact_GUC(true, nestlevel);
	return sql;
}

/*
 * The query that the SQL, a SELECT whose names are qualified, means to the role.
 * Input functions of constants run as the role, in a security-restricted operation
 * if it is not the current user.  Errors are the parser's.
 */
Query *
view_query_read(Oid role, const char *sql)
{
	SecurityState before;
	int			nestlevel;
	List	   *statements;
	Query	   *query;

	security_act_as(role, ACT_TO_MANAGE, &before);
	nestlevel = begin_exact_text();
	statements = pg_parse_query(sql);
	query = parse_analyze_compat(linitial_node(RawStmt, statements), sql);
	AtEOXact_GUC(true, nestlevel);
	security_act_as_before(&before);

	if (list_length(statements) != 1 || query->commandType != CMD_SELECT ||
		query->utilityStmt != NULL || query->hasModifyingCTE)
		elog(ERROR, "not the query of a view: %s", sql);
	/* the parser links to some expressions from several places */
	return copyObject(query);
}

/*
 * The query that SQL of our own means, which may read these relations alone.
 *
 * It is read with the bootstrap superuser's rights, as schemas may be closed to the
 * table's owner.  It has no constants but of types of pg_catalog.
 */
Query *
view_query_read_own(const char *sql, List *relations)
{
	Query	   *query = view_query_read(BOOTSTRAP_SUPERUSERID, sql);

	if (reads_others((Node *) query, relations))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a table that a history view shows was renamed concurrently"),
				 errhint("Try again.")));
	return query;
}

/*
 * In SQL made and read until AtEOXact_GUC(true, result) names are qualified, and
 * constants are what they were.
 */
static int
begin_exact_text(void)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO"}, {"intervalstyle", "postgres"}, {"extra_float_digits", "3"},
	};
	int			nestlevel = naming_begin_qualified();
	int			i;

	for (i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

/*
 * Make the query that of the view, which has the columns that the query gives.
 * stored: it is one that view_query_of has returned, else one just read or made.
 */
void
view_query_store(Oid view, Query *query, bool stored)
{
	Relation	rel = relation_open(view, AccessExclusiveLock);
	SecurityState before;
	int			nestlevel;
	ListCell   *lc;

	/* a view's columns can be renamed, the names in its query are those it began with */
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (!target->resjunk && target->resno <= RelationGetNumberOfAttributes(rel))
			target->resname = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel),
															target->resno - 1)->attname));
	}
	relation_close(rel, NoLock);

	nestlevel = begin_fast_compression();
	security_act_as(BOOTSTRAP_SUPERUSERID, 0, &before);
	if (stored)
		DefineQueryRewrite(pstrdup(ViewSelectRuleName), view, NULL, CMD_SELECT, true,
						   true, list_make1(query));
	else
		StoreViewQuery(view, query, true);
	security_act_as_before(&before);
	AtEOXact_GUC(true, nestlevel);
	CommandCounterIncrement();
}

/*
 * Until AtEOXact_GUC(true, result) what is stored is compressed with lz4, if the server
 * has it: of the text of a query pglz makes a third of what storing it takes.
 */
static int
begin_fast_compression(void)
{
	int			nestlevel = NewGUCNestLevel();

	if (FAST_COMPRESSION_COMPAT)
		(void) set_config_option("default_toast_compression", FAST_COMPRESSION_COMPAT, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

/*
 * Make a view, of the owner's from the start, with the options of ours.  Returns its
 * OID.  Nothing is evaluated.
 */
Oid
view_query_create(Oid namespace, const char *name, Oid owner, Query *query)
{
	CreateStmt *statement = makeNode(CreateStmt);
	SecurityState before;
	Oid			view;
	ListCell   *lc;

	statement->relation = makeRangeVar(get_namespace_name(namespace), pstrdup(name), -1);
	statement->options = VIEW_OPTIONS_COMPAT;
	statement->oncommit = ONCOMMIT_NOOP;
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		statement->tableElts = lappend(statement->tableElts,
									   makeColumnDef(target->resname,
													 exprType((Node *) target->expr),
													 exprTypmod((Node *) target->expr),
													 exprCollation((Node *) target->expr)));
	}

	security_act_as(BOOTSTRAP_SUPERUSERID, ACT_TO_MANAGE, &before);
	security_set_for_command("default_tablespace", "");
	view = DefineRelation(statement, RELKIND_VIEW, owner, NULL, NULL).objectId;
	security_act_as_before(&before);
	CommandCounterIncrement();
	if (get_rel_namespace(view) != namespace)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("schema of table \"%s\" was renamed concurrently", name),
				 errhint("Try again.")));
	view_query_store(view, query, false);
	return view;
}

/* Returns true if the view's query is this one, which was just read. */
bool
view_query_is(Oid view, Query *query)
{
	Query	   *stored = view_query_of(view);

	if (stored == NULL || list_length(stored->rtable) < VIEW_QUERY_OWN_ENTRIES_COMPAT)
		return false;
	/* without the entries for the view itself that StoreViewQuery puts in front */
	stored->rtable = list_copy_tail(stored->rtable, VIEW_QUERY_OWN_ENTRIES_COMPAT);
	OffsetVarNodes((Node *) stored, -VIEW_QUERY_OWN_ENTRIES_COMPAT, 0);
	return equal(stored, query);
}

/* A walker that returns true at the first relation that is not in the list. */
static bool
reads_others(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *) node)->rtekind == RTE_RELATION &&
			!list_member_oid(context, ((RangeTblEntry *) node)->relid);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_others, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, reads_others, context);
}

/*
 * A query with these columns that depends on nothing but their types, and fails when
 * it is run: the view has no rows to show just now.
 */
Query *
view_query_placeholder(TupleDesc columns)
{
	Query	   *query = makeNode(Query);
	int			i;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, (Node *) view_query_never());
	for (i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(columns, i);

		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *) makeNullConst(att->atttypid,
																		   att->atttypmod,
																		   att->attcollation),
													i + 1, pstrdup(NameStr(att->attname)), false));
	}
	return query;
}

/* A condition that is an error, with words of ours, as soon as it is planned. */
static Expr *
view_query_never(void)
{
	CoerceViaIO *cast = makeNode(CoerceViaIO);

	cast->arg = (Expr *) makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
								   CStringGetTextDatum("the history view cannot be read while its table is being changed"),
								   false, false);
	cast->resulttype = BOOLOID;
	cast->coerceformat = COERCE_EXPLICIT_CAST;
	cast->location = -1;
	return (Expr *) cast;
}

/*
 * past_rows.c
 *		The rows that a table had at an instant, as a query that takes the table's place.
 *
 * It is what X__with_history is, with a test of the period: view_rows_sql, read and rewritten
 * as any view's query is, so that live table and history have their own row-level security.
 * The test stands above the union, whose arms the planner would not flatten with it.
 *
 * Its columns are those of the table by their numbers, dropped ones included, with the
 * table's types: a domain is only a label, as old values need not obey its constraints.
 * with_table adds one for tableoid.
 *
 * Rights: those that the query asked of the table it asks of the live table, and SELECT of
 * the same columns of the history, as the same role.  Tracking table and registry are read
 * with the extension's rights; nothing of them is shown but when a row began.
 *
 * A partition has no history of its own: its rows are those of the root's for which its
 * partition constraint is true.
 *
 * Locks: ACCESS SHARE on what is read.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "time_machine/time_machine.h"
#include "compat.h"

typedef struct Privileges
{
	Oid			live;			/* or a partition */
	QueryPrivilegesCompat *asked;
	int			natts;
	bool		in_sublink;
} Privileges;

static void read_rows(PastTable *table, Relation rel, bool with_table);
static void read_added(PastTable *table, TupleDesc desc);
static void hide_added(const PastTable *table, Query *query, TupleDesc desc, TimestampTz instant);
static TargetEntry *column_of(Query *query, Form_pg_attribute att);
static Expr *with_type_of(Expr *expr, Form_pg_attribute att);
static Const *null_like(Form_pg_attribute att);
static List *partition_constraint(Relation rel, List *targets);
static Node *columns_for_vars(Node *node, void *context);
static bool has_users_function(Node *node, void *context);
static bool is_users_function(Oid function, void *context);
static AttrNumber add_table_column(Query *query, Oid relid);
static Index add_to_arms(Query *query, Node *arms, Oid relid);
static Expr *table_of_row(Query *query, Oid relid);
static Expr *table_of_version(Index rti, Oid history);
static bool set_privileges(Node *node, void *context);
static Bitmapset *columns_of_history(Bitmapset *columns, Oid live, int natts, Oid history);

/*
 * The query of the rows that the table, of which rte is an entry in the outer query, had at
 * the instant.  Errors: what cannot be shown; a right that is missing is the executor's.
 */
Query *
past_rows(PastTable *table, Query *outer, RangeTblEntry *rte, bool with_table,
		  TimestampTz instant)
{
	Relation	rel = table_open(rte->relid, NoLock);
	Privileges	rights = {rte->relid, query_privileges_compat(outer, rte),
	RelationGetNumberOfAttributes(rel), false};
	Query	   *query;
	Const	   *at;

	if (table->rows[with_table] == NULL)
		read_rows(table, rel, with_table);

	query = copyObject(table->rows[with_table]);
	hide_added(table, query, RelationGetDescr(rel), instant);
	table_close(rel, NoLock);
	at = castNode(Const, lsecond(castNode(OpExpr, query->jointree->quals)->args));
	Assert(at->consttype == TIMESTAMPTZOID && at->constbyval);
	at->constvalue = TimestampTzGetDatum(instant);
	if (table->constraint)
		query->jointree->quals = make_and_qual(query->jointree->quals,
											   (Node *) make_ands_explicit(copyObject(table->constraint)));
	set_privileges((Node *) query, &rights);
	query->canSetTag = true;
	query = linitial_node(Query, QueryRewrite(query));
	past_policy_query(query);
	return query;
}

/* Read that query, for any instant and user, and keep it. */
static void
read_rows(PastTable *table, Relation rel, bool with_table)
{
	RegistryRow here = *table->row;
	bool		is_partition = table->kind == PAST_PARTITION;
	bool		only = !table->key.inh || is_partition;
	TupleDesc	desc = RelationGetDescr(rel);
	Query	   *query;
	List	   *constraint = NIL;
	List	   *targets = NIL;
	MemoryContext before;
	int			i;

	here.live = RelationGetRelid(rel);
	query = view_query_read_own(psprintf("SELECT * FROM (%s) v WHERE v.%s OPERATOR(pg_catalog.@>) "
										 "'epoch'::pg_catalog.timestamptz",
										 view_rows_sql(&here, rel, only), PERIOD_COLUMN),
								lappend_oid(list_make4_oid(here.live, here.history, here.tracking,
														   extension_registry()),
											segments_view()));

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Expr	   *expr = att->attisdropped ? (Expr *) null_like(att) :
			with_type_of(copyObject(column_of(query, att)->expr), att);

		targets = lappend(targets, makeTargetEntry(expr, i + 1,
												   pstrdup(att->attisdropped ? "" :
														   NameStr(att->attname)), false));
	}
	if (with_table)
	{
		RangeTblEntry *rows = linitial_node(RangeTblEntry, query->rtable);
		AttrNumber	attnum = add_table_column(rows->subquery, RelationGetRelid(rel));

		rows->eref->colnames = lappend(rows->eref->colnames, makeString("tableoid"));
		targets = lappend(targets, makeTargetEntry((Expr *) makeVar(1, attnum, OIDOID, -1, InvalidOid, 0),
												   i + 1, pstrdup("tableoid"), false));
	}
	query->targetList = targets;
	if (is_partition)
		constraint = partition_constraint(rel, targets);

	before = MemoryContextSwitchTo(table->context);
	table->constraint = copyObject(constraint);
	table->rows[with_table] = copyObject(query);
	if (table->added == NIL)
		read_added(table, desc);
	MemoryContextSwitchTo(before);
}

/* When columns were added, as the history tells, in the current memory context. */
static void
read_added(PastTable *table, TupleDesc desc)
{
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		PastColumn *column;
		Since		added;

		if (att->attisdropped ||
			!comments_added(table->row->history,
							get_attnum(table->row->history, NameStr(att->attname)), &added))
			continue;
		column = palloc(sizeof(PastColumn));
		column->attnum = i + 1;
		column->added = added.since;
		table->added = lappend(table->added, column);
	}
}

/* Those that were added later are NULL, in live rows that have not changed since, too. */
static void
hide_added(const PastTable *table, Query *query, TupleDesc desc, TimestampTz instant)
{
	ListCell   *lc;

	foreach(lc, table->added)
	{
		PastColumn *column = lfirst(lc);
		Form_pg_attribute att = TupleDescAttr(desc, column->attnum - 1);

		if (column->added > instant)
			list_nth_node(TargetEntry, query->targetList, column->attnum - 1)->expr =
				(Expr *) makeNullConst(att->atttypid, att->atttypmod, att->attcollation);
	}
}

static TargetEntry *
column_of(Query *query, Form_pg_attribute att)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (strcmp(target->resname, NameStr(att->attname)) == 0)
			return target;
	}
	elog(ERROR, "history has no column \"%s\"", NameStr(att->attname));
}

/* The column of the history as one of the table's type, modifier and collation. */
static Expr *
with_type_of(Expr *expr, Form_pg_attribute att)
{
	Oid			base = getBaseType(att->atttypid);
	Oid			type = exprType((Node *) expr);

	if (type != att->atttypid && type != base)
	{
		expr = (Expr *) coerce_to_target_type(NULL, (Node *) expr, type, base, -1,
											  COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
		if (expr == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_CANNOT_COERCE),
					 errmsg("column \"%s\" has type %s in the history, which cannot be cast to type %s",
							NameStr(att->attname), format_type_be(type),
							format_type_be(att->atttypid))));
	}
	if (exprType((Node *) expr) == att->atttypid &&
		exprTypmod((Node *) expr) == att->atttypmod &&
		exprCollation((Node *) expr) == att->attcollation)
		return expr;
	return (Expr *) makeRelabelType(expr, att->atttypid, att->atttypmod, att->attcollation,
									COERCE_IMPLICIT_CAST);
}

/*
 * What stands for a dropped column: NULL of a type that lies in a row as its own did, as
 * ExecEvalWholeRowVar demands.
 */
static Const *
null_like(Form_pg_attribute att)
{
	static const Oid types[] = {
		INT4OID, TEXTOID, INT8OID, BOOLOID, INT2OID, FLOAT8OID, NAMEOID, UUIDOID, INTERVALOID,
		POLYGONOID, MACADDROID, TIDOID, TIMETZOID, CIRCLEOID, BOXOID, LINEOID, CSTRINGOID
	};
	int			i;

	for (i = 0; i < lengthof(types); i++)
	{
		int16		length;
		bool		by_value;
		char		align;

		get_typlenbyvalalign(types[i], &length, &by_value, &align);
		if (length == att->attlen && align == att->attalign)
			return makeNullConst(types[i], -1, InvalidOid);
	}
	return makeNullConst(INT4OID, -1, InvalidOid);
}

/* Which of the root's rows, of these targets, would be in the partition: conditions. */
static List *
partition_constraint(Relation rel, List *targets)
{
	List	   *constraint = RelationGetPartitionQual(rel);

	if (has_users_function((Node *) constraint, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the past of partition \"%s\" cannot be read by itself",
						RelationGetRelationName(rel)),
				 errdetail("Which rows belong to it is told by a function that is not PostgreSQL's own."),
				 errhint("Read table %s.", naming_quoted(lineage_root(RelationGetRelid(rel))))));
	return (List *) columns_for_vars((Node *) constraint, targets);
}

/* A walker that returns true if a function is called that is not PostgreSQL's own. */
static bool
has_users_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_users_function, NULL))
		return true;
	return expression_tree_walker(node, has_users_function, context);
}

static bool
is_users_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/* A mutator that puts the columns of the list of targets in the place of Vars. */
static Node *
columns_for_vars(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		TargetEntry *target = list_nth_node(TargetEntry, (List *) context,
											((Var *) node)->varattno - 1);

		Assert(((Var *) node)->varattno > 0 && ((Var *) node)->varlevelsup == 0);
		return copyObject((Node *) target->expr);
	}
	return expression_tree_mutator(node, columns_for_vars, context);
}

/*
 * Give the query, of rows of the table and its history, a last column that says which table
 * the row is of; its number.  relid: the table.
 */
static AttrNumber
add_table_column(Query *query, Oid relid)
{
	RangeTblRef *reference = query->setOperations ? NULL :
		linitial_node(RangeTblRef, query->jointree->fromlist);
	AttrNumber	attnum = list_length(query->targetList) + 1;
	Expr	   *expr;

	if (query->setOperations)
		expr = (Expr *) makeVar(add_to_arms(query, query->setOperations, relid), attnum,
								OIDOID, -1, InvalidOid, 0);
	else if (rt_fetch(reference->rtindex, query->rtable)->rtekind == RTE_SUBQUERY)
	{
		RangeTblEntry *rte = rt_fetch(reference->rtindex, query->rtable);

		expr = (Expr *) makeVar(reference->rtindex, add_table_column(rte->subquery, relid),
								OIDOID, -1, InvalidOid, 0);
		rte->eref->colnames = lappend(rte->eref->colnames, makeString("tableoid"));
	}
	else
		expr = table_of_row(query, relid);
	query->targetList = lappend(query->targetList,
								makeTargetEntry(expr, attnum, pstrdup("tableoid"), false));
	return attnum;
}

/* Give it to all arms of a UNION ALL.  Returns the entry of the first. */
static Index
add_to_arms(Query *query, Node *arms, Oid relid)
{
	SetOperationStmt *operation = (SetOperationStmt *) arms;
	Index		first;

	if (IsA(arms, RangeTblRef))
	{
		Index		rti = ((RangeTblRef *) arms)->rtindex;
		RangeTblEntry *rte = rt_fetch(rti, query->rtable);

		(void) add_table_column(rte->subquery, relid);
		rte->eref->colnames = lappend(rte->eref->colnames, makeString("tableoid"));
		return rti;
	}
	first = add_to_arms(query, operation->larg, relid);
	(void) add_to_arms(query, operation->rarg, relid);
	operation->colTypes = lappend_oid(operation->colTypes, OIDOID);
	operation->colTypmods = lappend_int(operation->colTypmods, -1);
	operation->colCollations = lappend_oid(operation->colCollations, InvalidOid);
	return first;
}

/* The table that a row of the arm is of. */
static Expr *
table_of_row(Query *query, Oid relid)
{
	Index		rti = linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex;
	RangeTblEntry *rte = rt_fetch(rti, query->rtable);

	if (rte->relid == relid)
		return (Expr *) makeVar(rti, TableOidAttributeNumber, OIDOID, -1, InvalidOid, 0);
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("which partition of table \"%s\" held a row is not known of the past",
						get_rel_name(relid)),
				 errhint("Leave out tableoid, or read partitions one by one.")));
	if (!rte->inh)
		return (Expr *) makeConst(OIDOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(relid),
								  false, true);
	return table_of_version(rti, rte->relid);
}

/* The live table of a version, of a history that is read with those of the table's children. */
static Expr *
table_of_version(Index rti, Oid history)
{
	CaseExpr   *which = makeNode(CaseExpr);
	ListCell   *lc;

	which->casetype = OIDOID;
	which->defresult = (Expr *) makeNullConst(OIDOID, -1, InvalidOid);
	which->location = -1;
	foreach(lc, find_all_inheritors(history, AccessShareLock, NULL))
	{
		Oid			head = segments_head(lfirst_oid(lc));
		RegistryRow *row = registry_get_by_derived(OidIsValid(head) ? head : lfirst_oid(lc));
		CaseWhen   *when = makeNode(CaseWhen);

		if (row == NULL)
			row = registry_get_by_derived(segments_head(lfirst_oid(lc)));
		if (row == NULL)
			continue;
		when->expr = make_opclause(lookup_type_cache(OIDOID, TYPECACHE_EQ_OPR)->eq_opr, BOOLOID, false,
								   (Expr *) makeVar(rti, TableOidAttributeNumber, OIDOID, -1,
													InvalidOid, 0),
								   (Expr *) makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
													  ObjectIdGetDatum(lfirst_oid(lc)), false, true),
								   InvalidOid, InvalidOid);
		set_opfuncid((OpExpr *) when->expr);
		when->result = (Expr *) makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
										  ObjectIdGetDatum(row->live), false, true);
		when->location = -1;
		which->args = lappend(which->args, when);
	}
	return (Expr *) which;
}

/* A walker over the query as it was read; see above. */
static bool
set_privileges(Node *node, void *context)
{
	Privileges *rights = context;
	Query	   *query = (Query *) node;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, SubLink) && !rights->in_sublink)
	{
		Privileges	within = *rights;

		within.in_sublink = true;
		return expression_tree_walker(node, set_privileges, &within);
	}
	if (!IsA(node, Query))
		return expression_tree_walker(node, set_privileges, context);

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		QueryPrivilegesCompat *privileges;

		if (rte->rtekind != RTE_RELATION)
			continue;
		privileges = query_privileges_compat(query, rte);
		if (rights->in_sublink)
		{
			privileges->checkAsUser = BOOTSTRAP_SUPERUSERID;
			continue;
		}
		privileges->checkAsUser = rights->asked->checkAsUser;
		privileges->requiredPerms = rights->asked->requiredPerms;
		if (rte->relid == rights->live)
			privileges->selectedCols = bms_copy(rights->asked->selectedCols);
		else
			privileges->selectedCols = columns_of_history(rights->asked->selectedCols,
														  rights->live, rights->natts,
														  rte->relid);
	}
	return query_tree_walker(query, set_privileges, context, 0);
}

/* The same columns of the history, and the period, as executor and parser number them. */
static Bitmapset *
columns_of_history(Bitmapset *columns, Oid live, int natts, Oid history)
{
	Bitmapset  *found = NULL;
	int			attnum;

	for (attnum = 0; attnum <= natts; attnum++)
	{
		char	   *name = attnum == 0 ? PERIOD_COLUMN : get_attname(live, attnum, true);
		AttrNumber	other = name ? get_attnum(history, name) : InvalidAttrNumber;

		/* 0 among those asked for is the whole row */
		if (other > 0 &&
			(attnum == 0 || bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, columns) ||
			 bms_is_member(-FirstLowInvalidHeapAttributeNumber, columns)))
			found = bms_add_member(found, other - FirstLowInvalidHeapAttributeNumber);
	}
	return found;
}

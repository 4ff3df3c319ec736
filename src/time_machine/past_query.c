/*
 * past_query.c
 *		A query that reads tables as they are becomes one that reads them as they were.
 *
 * What comes here has been rewritten (views are expanded, row-level security applied) and is
 * about to be planned.  In it, and in all queries within, each entry of a tracked table
 * becomes the sub-query of past_rows.c, as ApplyRetrieveRule puts a view's query into its
 * entry.  What the rest of the query says of the entry then holds of the sub-query: columns
 * have the same numbers and types.
 *
 * Not changed are the expressions of policies and of WITH CHECK OPTION, which see the present,
 * and the query of X__with_history.
 *
 * SQL functions in FROM that the planner would inline are inlined first, by the planner's own
 * preprocess_function_rtes, or what they read would not be seen here.
 *
 * What has no meaning in the past is refused: writes, row locks, TABLESAMPLE, system columns.
 *
 * Locks: those of past_rows.c; the entries' relations are locked.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/heap.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/prep.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "time_machine/time_machine.h"
#include "compat.h"

typedef struct PastContext
{
	TimestampTz instant;
	PlannerInfo *root;			/* for inlining */
	Oid			view;			/* whose query this is part of, or InvalidOid */
} PastContext;

/* A command that writes what others tell. */
typedef struct GuardedWrite
{
	Oid			relid;
	TimestampTz instant;
} GuardedWrite;

/* What a query says of one of its entries besides its columns. */
typedef struct EntryUse
{
	Index		rti;
	int			sublevels;
	bool		table;			/* tableoid */
	bool		row;			/* the whole row */
	AttrNumber	system;			/* another system column, or 0 */
} EntryUse;

/* How references to the entry are to be changed. */
typedef struct EntryChange
{
	Index		rti;
	int			sublevels;
	AttrNumber	table_column;
	RangeTblEntry *rte;
	Oid			row_type;
	List	   *targets;		/* of the sub-query */
} EntryChange;

static void change_query(Query *query, PastContext *context);
static bool change_within(Node *node, void *context);
static void change_entry(Query *query, Index rti, PastContext *context);
static bool is_pseudo_entry(Query *query, Index rti);
static Oid	view_of_entry(RangeTblEntry *rte);
static void refuse_write(Query *query, PastContext *context);
static bool is_others_write(Query *query);
static bool is_read_as_other(Query *query, RangeTblEntry *rte);
static bool refuse_guard(Node *node, void *context);
static void refuse_use(Query *query, Index rti, RangeTblEntry *rte, const EntryUse *use,
					   TimestampTz instant);
static void keep_whole(Query *rows, Oid relid);
static bool find_uses(Node *node, void *context);
static Node *change_uses(Node *node, void *context);
static Node *whole_row(Var *var, EntryChange *change);

/*
 * Change the query, which is scribbled on, so that it reads the past.  What the plan depends on
 * besides is put into *result.
 */
void
past_query(Query *query, TimestampTz instant, ParamListInfo params, PastQuery *result)
{
	PastContext context = {instant, makeNode(PlannerInfo), InvalidOid};

	context.root->glob = makeNode(PlannerGlobal);
	context.root->glob->boundParams = params;
	context.root->query_level = 1;
	context.root->planner_cxt = CurrentMemoryContext;
	change_query(query, &context);
	result->depends_on_role = context.root->glob->dependsOnRole || query->hasRowSecurity;
	result->inval_items = context.root->glob->invalItems;
}

static void
change_query(Query *query, PastContext *context)
{
	List	   *checks = query->withCheckOptions;
	List	   *policies = NIL;
	ListCell   *lc;
	ListCell   *cell;
	Index		rti;
	Index		nentries;

	if (query->commandType == CMD_UTILITY)
		return;
	refuse_write(query, context);
	context->root->parse = query;
	preprocess_function_rtes(context->root);

	/* queries further in, but not those of policies */
	query->withCheckOptions = NIL;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		policies = lappend(policies, rte->securityQuals);
		rte->securityQuals = NIL;
	}
	(void) query_tree_walker(query, change_within, context, QTW_IGNORE_RT_SUBQUERIES);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		PastContext within = *context;

		if (rte->rtekind != RTE_SUBQUERY)
			continue;
		if (OidIsValid(view_of_entry(rte)))
			within.view = view_of_entry(rte);
		change_query(rte->subquery, &within);
		query->hasRowSecurity |= rte->subquery->hasRowSecurity;
	}
	forboth(lc, query->rtable, cell, policies)
		lfirst_node(RangeTblEntry, lc)->securityQuals = (List *) past_policy(lfirst(cell));
	query->withCheckOptions = (List *) past_policy((Node *) checks);

	nentries = list_length(query->rtable);
	for (rti = 1; rti <= nentries; rti++)
		if (rt_fetch(rti, query->rtable)->rtekind == RTE_RELATION &&
			!is_pseudo_entry(query, rti))
			change_entry(query, rti, context);
}

/* A walker to the queries within expressions and WITH. */
static bool
change_within(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		PastContext within = *(PastContext *) context;

		change_query((Query *) node, &within);
		return false;
	}
	return expression_tree_walker(node, change_within, context);
}

/* Returns true for an entry that is not read: the target of a write. */
static bool
is_pseudo_entry(Query *query, Index rti)
{
	return rti == query->resultRelation ||
		(query->onConflict && rti == query->onConflict->exclRelIndex);
}

/* The view whose query the entry's is, or InvalidOid. */
static Oid
view_of_entry(RangeTblEntry *rte)
{
	RangeTblEntry *first = rte->subquery->rtable ?
		linitial_node(RangeTblEntry, rte->subquery->rtable) : NULL;

	if (OidIsValid(rte->relid))
		return get_rel_relkind(rte->relid) == RELKIND_VIEW ? rte->relid : InvalidOid;
	/* older ones have no more than the entry that is for the check of privileges */
	return first && first->rtekind == RTE_RELATION && first->relkind == RELKIND_VIEW ?
		first->relid : InvalidOid;
}

static void
refuse_write(Query *query, PastContext *context)
{
	RegistryRow *row;
	PastKind	kind;
	Oid			child;
	Oid			relid;

	if (query->resultRelation == 0 ||
		rt_fetch(query->resultRelation, query->rtable)->rtekind != RTE_RELATION)
		return;
	relid = rt_fetch(query->resultRelation, query->rtable)->relid;
	kind = past_kind(relid, rt_fetch(query->resultRelation, query->rtable)->inh, &row, &child);
	if (row)
		as_of_refuse_write(relid, context->instant);
	/* UPDATE and DELETE read what is below it */
	if (kind == PAST_PARENT)
		as_of_refuse_write(child, context->instant);
	past_check_target(relid, query->commandType, query, NIL, context->instant);
	if (is_others_write(query))
		(void) refuse_guard((Node *) query, &(GuardedWrite) {relid, context->instant});
}

/*
 * Returns true if others say what the command writes: through a view, by rules.  (One who
 * writes to a table of her own rights says herself of what.)
 */
static bool
is_others_write(Query *query)
{
	RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);
	Relation	rel;
	bool		ruled;

	if (is_read_as_other(query, rte))
		return true;
	rel = table_open(rte->relid, NoLock);
	ruled = rel->rd_rules != NULL;
	table_close(rel, NoLock);
	return ruled && !relation_ownercheck_compat(rte->relid, GetUserId());
}

/* Returns true if the entry, of a relation, is used with the rights of a role that the user is none of. */
static bool
is_read_as_other(Query *query, RangeTblEntry *rte)
{
	QueryPrivilegesCompat *privileges = query_privileges_compat(query, rte);

	return privileges && OidIsValid(privileges->checkAsUser) &&
		!has_privs_of_role(GetUserId(), privileges->checkAsUser);
}

/*
 * A walker that errors out if a tracked table is read with others' rights: what those tell by
 * it may be which rows she may write today.
 */
static bool
refuse_guard(Node *node, void *context)
{
	GuardedWrite *write = context;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, refuse_guard, context);
	foreach(lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		RegistryRow *row;
		Oid			child;

		if (rte->rtekind != RTE_RELATION || !is_read_as_other((Query *) node, rte))
			continue;
		if (past_kind(rte->relid, rte->inh, &row, &child) == PAST_PARENT || row)
			ereport(ERROR,
					(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
					 errmsg("cannot write \"%s\" through another's view or rule, which reads table \"%s\", while the session reads the past, as of %s",
							get_rel_name(write->relid), get_rel_name(rte->relid),
							as_of_shown(write->instant)),
					 errhint("SET catmaid_history.as_of = ''; goes back to the present.")));
	}
	return query_tree_walker((Query *) node, refuse_guard, context, 0);
}

/* Change an entry of a relation, if it is a tracked table. */
static void
change_entry(Query *query, Index rti, PastContext *context)
{
	RangeTblEntry *rte = rt_fetch(rti, query->rtable);
	EntryUse	use = {rti, 0, false, false, 0};
	PastTable  *table = past_table(rte->relid, rte->inh);
	Query	   *rows;

	if (table->row == NULL)
	{
		past_check_untracked(table->kind, rte->relid, table->child, context->instant);
		return;
	}
	/* X__with_history shows all versions */
	if (OidIsValid(context->view) && context->view == view_of_table(table->row->live))
		return;
	(void) query_tree_walker(query, find_uses, &use, 0);
	refuse_use(query, rti, rte, &use, context->instant);
	past_check_known(table, context->instant);
	past_check_children(table, context->instant);

	/* ONLY of a partitioned table is empty, ever */
	if (rte->relkind == RELKIND_PARTITIONED_TABLE && !rte->inh)
		return;
	rows = past_rows(table, query, rte, use.table, context->instant);

	if (use.row)
		keep_whole(rows, rte->relid);
	if (use.table)
	{
		EntryChange change = {rti, 0, list_length(rows->targetList), rte,
		get_rel_type_id(rte->relid), rows->targetList};

		(void) query_tree_mutator(query, change_uses, &change, QTW_DONT_COPY_QUERY);
		rte = rt_fetch(rti, query->rtable);
		rte->eref->colnames = lappend(rte->eref->colnames, makeString("tableoid"));
	}
	query->hasRowSecurity |= rows->hasRowSecurity;
	query_drop_privileges_compat(query, rte);
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = rows;
	rte->security_barrier = false;
	rte->securityQuals = NIL;
	rte->relid = InvalidOid;
	rte->relkind = 0;
	rte->rellockmode = 0;
	rte->tablesample = NULL;
	rte->inh = false;
}

/*
 * A whole row of a table with dropped columns must not be taken apart by the planner: for
 * ROW(a, NULL, b) IS NOT NULL it would look at the column that there is none of.  So the sub-query is
 * kept from being pulled up, by what is in the dropped columns' places.
 */
static void
keep_whole(Query *rows, Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		TargetEntry *target = list_nth_node(TargetEntry, rows->targetList, i);
		CaseExpr   *never;
		CaseWhen   *when;
		NullTest   *test;

		if (!TupleDescAttr(desc, i)->attisdropped)
			continue;
		never = makeNode(CaseExpr);
		when = makeNode(CaseWhen);
		test = makeNode(NullTest);
		test->arg = (Expr *) makeFuncExpr(F_CLOCK_TIMESTAMP, TIMESTAMPTZOID, NIL, InvalidOid,
										  InvalidOid, COERCE_EXPLICIT_CALL);
		test->nulltesttype = IS_NULL;
		test->location = -1;
		when->expr = (Expr *) test;
		when->result = copyObject(target->expr);
		when->location = -1;
		never->casetype = exprType((Node *) target->expr);
		never->args = list_make1(when);
		never->defresult = target->expr;
		never->location = -1;
		target->expr = (Expr *) never;
	}
	table_close(rel, NoLock);
}

/* Error out where the query says of the entry what has no meaning in the past. */
static void
refuse_use(Query *query, Index rti, RangeTblEntry *rte, const EntryUse *use,
		   TimestampTz instant)
{
	char	   *name = get_rel_name(rte->relid);

	if (get_parse_rowmark(query, rti))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("rows of table \"%s\" cannot be locked as of %s", name, as_of_shown(instant)),
				 errhint("Leave out FOR UPDATE or FOR SHARE, or go back to the present: SET catmaid_history.as_of = '';")));
	if (rte->tablesample)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("no sample of table \"%s\" can be taken as of %s", name, as_of_shown(instant)),
				 errhint("Leave out TABLESAMPLE: WHERE random() < 0.01 takes about one row in a hundred.")));
	if (use->system != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" is not known of the past",
						NameStr(SystemAttributeDefinition(use->system)->attname), name),
				 errhint("Leave it out, or go back to the present: SET catmaid_history.as_of = '';")));
}

/* A walker that notes what is said of an entry besides its columns. */
static bool
find_uses(Node *node, void *context)
{
	EntryUse   *use = context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varno == use->rti && var->varlevelsup == use->sublevels)
		{
			if (var->varattno == 0)
				use->row = true;
			else if (var->varattno == TableOidAttributeNumber)
				use->table = true;
			else if (var->varattno < 0)
				use->system = var->varattno;
		}
		return false;
	}
	if (IsA(node, Query))
	{
		EntryUse	within = *use;

		within.sublevels++;
		(void) query_tree_walker((Query *) node, find_uses, &within, 0);
		use->row |= within.row;
		use->table |= within.table;
		if (within.system != 0)
			use->system = within.system;
		return false;
	}
	return expression_tree_walker(node, find_uses, context);
}

/* A mutator that has references to tableoid, and to the whole row, say what they said. */
static Node *
change_uses(Node *node, void *context)
{
	EntryChange *change = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) copyObject(node);

		if (var->varno != change->rti || var->varlevelsup != change->sublevels)
			return (Node *) var;
		if (var->varattno == TableOidAttributeNumber)
			var->varattno = var->varattnosyn = change->table_column;
		else if (var->varattno == 0)
			return whole_row(var, change);
		return (Node *) var;
	}
	if (IsA(node, Query))
	{
		Node	   *changed;

		change->sublevels++;
		changed = (Node *) query_tree_mutator((Query *) node, change_uses, change, 0);
		change->sublevels--;
		return changed;
	}
	return expression_tree_mutator(node, change_uses, context);
}

/*
 * The whole row without the column for tableoid, which tells whether there is a row at all:
 * an outer join may have made none.
 */
static Node *
whole_row(Var *var, EntryChange *change)
{
	RowExpr    *row = makeNode(RowExpr);
	CaseExpr   *node = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);
	NullTest   *test = makeNode(NullTest);
	Relation	rel = table_open(change->rte->relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	Var		   *column;
	int			i;

	row->row_typeid = change->row_type;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		row->colnames = lappend(row->colnames, makeString(pstrdup(NameStr(att->attname))));
		column = copyObject(var);
		column->varattno = column->varattnosyn = i + 1;
		if (att->attisdropped)
		{
			/* see keep_whole */
			column->vartype = exprType((Node *) list_nth_node(TargetEntry, change->targets, i)->expr);
			column->vartypmod = -1;
			column->varcollid = InvalidOid;
			row->args = lappend(row->args, column);
			continue;
		}
		column->vartype = att->atttypid;
		column->vartypmod = att->atttypmod;
		column->varcollid = att->attcollation;
		row->args = lappend(row->args, column);
	}
	table_close(rel, NoLock);

	column = copyObject(var);
	column->varattno = column->varattnosyn = change->table_column;
	column->vartype = OIDOID;
	column->vartypmod = -1;
	column->varcollid = InvalidOid;
	test->arg = (Expr *) column;
	test->nulltesttype = IS_NULL;
	test->location = -1;
	when->expr = (Expr *) test;
	when->result = (Expr *) makeNullConst(change->row_type, -1, InvalidOid);
	when->location = -1;
	node->casetype = change->row_type;
	node->args = list_make1(when);
	node->defresult = (Expr *) row;
	node->location = -1;
	return (Node *) node;
}

/*
 * view_park.c
 *		X__with_history, and users' views upon it, put aside while the columns
 *		that they show are changed.
 *
 * PostgreSQL refuses to change or drop a column, or to drop a table, that a
 * view shows.  So at the start of such a command our view is parked: what it
 * and the views upon it are is noted (view_note.c), and they are dropped, the
 * outermost first.  At the end of the command they are made again.  Anything else that depends on one of them (a
 * materialized view, a function, a view with rules) makes our DROP fail, with
 * PostgreSQL's own error.
 *
 * What is parked belongs to a command, and is forgotten when the transaction or
 * subtransaction ends in which it was parked; if that fails, the views were
 * never dropped.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_rewrite.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "catmaid_history.h"
#include "compat.h"

typedef struct ParkedView
{
	ViewNote   *note;
	bool		cascade;		/* may go where it does not hold any more */
	Node	   *statement;		/* the command that it makes room for */
	SubTransactionId subid;
} ParkedView;

/* in the order in which they can be made again; in TopTransactionContext */
static List *parked = NIL;

static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);
static List *collect_dependents(List *tables, bool any);
static void collect(Oid relid, bool any, List **seen, List **views);
static Oid	relation_of_rule(Oid rule);
static bool can_be_made_again(Oid view);
static void refuse_rules(Oid view, Oid live);
static void park_all(List *views, List *own, List *lives, Oid about, Node *statement);
static void drop_parked(Oid view, const char *table);
static void park(Oid view, Oid live, Oid about, Node *statement);
static bool says_cascade(Node *statement);

void
views_park_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/*
 * Lock the views of these live tables, and users' views upon them, the outermost
 * first.
 *
 * That is the order in which a reader locks them, and the live tables after
 * them.  Who will change a view locks it like this, before the tables, or a
 * reader who comes in between and the command wait for each other.
 */
void
views_lock(List *lives, LOCKMODE mode)
{
	ListCell   *lc;

	list_sort(lives, list_oid_cmp);
	foreach(lc, lives)
	{
		Oid			view = get_rel_name(lfirst_oid(lc)) ? view_find(lfirst_oid(lc)) : InvalidOid;
		List	   *views;

		if (!OidIsValid(view))
			continue;
		views = lcons_oid(view, collect_dependents(list_make1_oid(view), true));
		for (; views != NIL; views = list_delete_last(views))
			LockRelationOid(llast_oid(views), mode);
	}
}

/*
 * Park the live table's view of that name, and what is built upon it, for the
 * statement.  Nothing happens if there is no such view.  The caller holds the
 * lock on the live table that the command takes.
 */
void
views_park(Oid live, const char *view_name, Oid namespace, Node *statement)
{
	Oid			view = view_find_named(live, view_name, namespace);

	if (OidIsValid(view))
		views_park_one(live, view, statement);
}

/* The same for a view that may be the older implementation's. */
void
views_park_one(Oid live, Oid view, Node *statement)
{
	List	   *views;

	refuse_rules(view, live);
	views = lcons_oid(view, collect_dependents(list_make1_oid(view), false));
	park_all(views, list_make1_oid(view), list_make1_oid(live), live, statement);
}

/*
 * Park all views upon the tables, a history and those that inherit from it, until
 * views_unpark(NULL).
 */
void
views_park_upon(List *tables)
{
	List	   *views = collect_dependents(tables, false);
	List	   *own = NIL;
	List	   *lives = NIL;
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		Oid			live = ((RegistryRow *) lfirst(lc))->live;
		Oid			view = get_rel_name(live) ? view_of_name(live) : InvalidOid;

		if (OidIsValid(view) && list_member_oid(views, view))
		{
			own = lappend_oid(own, view);
			lives = lappend_oid(lives, live);
		}
	}
	park_all(views, own, lives, registry_get_by_derived(linitial_oid(tables))->live, NULL);
}

/*
 * Note the views, innermost first and each before any is dropped, those of ours
 * with their live tables; then drop them.  about: the table that is to be changed.
 */
static void
park_all(List *views, List *own, List *lives, Oid about, Node *statement)
{
	const char *table = get_rel_name(about);
	ListCell   *lc;

	foreach(lc, views)
	{
		Oid			its_live = InvalidOid;
		ListCell   *view;
		ListCell   *live;

		forboth(view, own, live, lives)
			if (lfirst_oid(view) == lfirst_oid(lc))
				its_live = lfirst_oid(live);
		park(lfirst_oid(lc), its_live, about, statement);
	}

	for (; views != NIL; views = list_delete_last(views))
		drop_parked(llast_oid(views), table);
}

/* Drop the view; what still depends on it cannot be made again. */
static void
drop_parked(Oid view, const char *table)
{
	char	   *name = naming_quoted(view);
	MemoryContext before = CurrentMemoryContext;

	PG_TRY();
	{
		ddl_execute(BOOTSTRAP_SUPERUSERID, "DROP VIEW %s", name);
	}
	PG_CATCH();
	{
		const char *dependents = ddl_dependents(before);

		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot change table \"%s\" because other objects depend on its history view",
						table),
				 errdetail("%s", dependents),
				 errhint("Drop them first, and make them anew afterwards.")));
	}
	PG_END_TRY();
}

/* Is the live table's view parked? */
bool
views_parked(Oid live)
{
	ListCell   *lc;

	foreach(lc, parked)
		if (((ParkedView *) lfirst(lc))->note->live == live)
			return true;
	return false;
}

/* Make again what was parked for the statement. */
void
views_unpark(Node *statement)
{
	List	   *mine = NIL;
	List	   *rest = NIL;
	ListCell   *lc;
	MemoryContext before;

	if (parked == NIL)
		return;
	before = MemoryContextSwitchTo(TopTransactionContext);
	foreach(lc, parked)
	{
		ParkedView *view = lfirst(lc);

		if (view->statement == statement)
			mine = lappend(mine, view);
		else
			rest = lappend(rest, view);
	}
	parked = rest;
	MemoryContextSwitchTo(before);

	/* ours first: one of a user's may stand upon several of them */
	foreach(lc, mine)
	{
		ParkedView *view = lfirst(lc);

		if (OidIsValid(view->note->live))
			view_note_make(view->note, view->cascade);
	}
	foreach(lc, mine)
	{
		ParkedView *view = lfirst(lc);

		if (!OidIsValid(view->note->live))
			view_note_make(view->note, view->cascade);
	}
}

/* What was parked for the statement is made again with the other one's. */
void
views_leave_parked(Node *statement, Node *for_statement)
{
	ListCell   *lc;

	foreach(lc, parked)
	{
		ParkedView *view = lfirst(lc);

		if (view->statement == statement)
			view->statement = for_statement;
	}
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		parked = NIL;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	foreach(lc, parked)
	{
		ParkedView *view = lfirst(lc);

		if (view->subid != mine)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			parked = foreach_delete_current(parked, lc);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			view->subid = parent;
	}
}

/*
 * The views that depend on these relations, each after all of them that it depends
 * on.  any: also those that cannot be made again, and without locking them.
 */
static List *
collect_dependents(List *tables, bool any)
{
	List	   *seen = NIL;
	List	   *views = NIL;
	int			i;

	/* backwards, as in collect */
	for (i = list_length(tables) - 1; i >= 0; i--)
		collect(list_nth_oid(tables, i), any, &seen, &views);
	return views;
}

/*
 * Each view is looked at once, by however many ways it is come to, and then put
 * before what has been collected: all that depends on it, and more.  Going backwards
 * keeps views that do not depend on each other in their order.
 */
static void
collect(Oid relid, bool any, List **seen, List **views)
{
	List	   *upon = views_upon(relid);
	int			i;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	for (i = list_length(upon) - 1; i >= 0; i--)
	{
		Oid			dependent = list_nth_oid(upon, i);

		if (list_member_oid(*seen, dependent) ||
			(any ? get_rel_relkind(dependent) != RELKIND_VIEW : !can_be_made_again(dependent)))
			continue;
		*seen = lappend_oid(*seen, dependent);
		collect(dependent, any, seen, views);
		*views = lcons_oid(dependent, *views);
	}
}

/* The views, and other relations with rules, that show a table or view. */
List *
views_upon(Oid relid)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *dependents = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->classid == RewriteRelationId && form->deptype == DEPENDENCY_NORMAL)
		{
			Oid			of = relation_of_rule(form->objid);

			if (OidIsValid(of) && of != relid)
				dependents = list_append_unique_oid(dependents, of);
		}
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return dependents;
}

static Oid
relation_of_rule(Oid rule)
{
	Relation	rewrite = table_open(RewriteRelationId, AccessShareLock);
	Oid			relid = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(rule));
	scan = systable_beginscan(rewrite, RewriteOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		relid = ((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class;
	systable_endscan(scan);
	table_close(rewrite, AccessShareLock);
	return relid;
}

/* A view without rules of its own; the rest is for the DROP to refuse. */
static bool
can_be_made_again(Oid view)
{
	Relation	rel;
	bool		can;

	if (get_rel_relkind(view) != RELKIND_VIEW)
		return false;
	rel = relation_open(view, AccessExclusiveLock);
	can = rel->rd_rules && rel->rd_rules->numLocks == 1;
	relation_close(rel, NoLock);
	return can;
}

/* Our own view goes with its rules, which may refer to anything. */
static void
refuse_rules(Oid view, Oid live)
{
	Relation	rel = relation_open(view, AccessExclusiveLock);
	int			i;

	for (i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
		if (rel->rd_rules->rules[i]->event != CMD_SELECT)
		{
			ObjectAddress rule;

			ObjectAddressSet(rule, RewriteRelationId, rel->rd_rules->rules[i]->ruleId);
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot change table \"%s\" because %s depends on its history view",
							get_rel_name(live), getObjectDescriptionCompat(&rule)),
					 errhint("Drop the rule first, and make it anew afterwards.")));
		}
	relation_close(rel, NoLock);
}

static void
park(Oid view, Oid live, Oid about, Node *statement)
{
	MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);
	ParkedView *mine = palloc0(sizeof(ParkedView));

	mine->note = view_note(view, live);
	mine->note->about = about;
	mine->statement = statement;
	mine->cascade = says_cascade(statement);
	mine->subid = GetCurrentSubTransactionId();
	parked = lappend(parked, mine);
	MemoryContextSwitchTo(before);
}

/* Does the statement drop a column with CASCADE? */
static bool
says_cascade(Node *statement)
{
	ListCell   *lc;

	if (statement == NULL || !IsA(statement, AlterTableStmt))
		return false;
	foreach(lc, ((AlterTableStmt *) statement)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DropColumn && cmd->behavior == DROP_CASCADE)
			return true;
	}
	return false;
}

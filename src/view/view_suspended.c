/*
 * view_suspended.c
 *		Which views are put aside, for which command.
 *
 * It belongs to a command, and is forgotten when the transaction or subtransaction
 * ends in which the view was put aside; if that fails, the view was never touched.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "view/view.h"
#include "compat.h"

static List *suspended = NIL;		/* in TopTransactionContext */

static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);
static bool says_cascade(Node *statement);

void
view_suspended_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/* Returns true if the live table's view is suspended. */
bool
view_is_suspended(Oid live)
{
	ListCell   *lc;

	foreach(lc, suspended)
		if (((SuspendedView *) lfirst(lc))->live == live)
			return true;
	return false;
}

/* What was suspended for the statement is made again with the other one's. */
void
view_suspended_hand_over(Node *statement, Node *for_statement)
{
	ListCell   *lc;

	foreach(lc, suspended)
	{
		SuspendedView *view = lfirst(lc);

		if (view->statement == statement)
			view->statement = for_statement;
	}
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	/* it would be left without its query */
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		suspended != NIL)
		elog(ERROR, "view %u is still suspended",
			 ((SuspendedView *) linitial(suspended))->view);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		suspended = NIL;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	suspended = subxact_list_end(suspended, event, mine, parent);
}

/* Note a view before it gives way: its text too, if it is not ours. */
void
view_suspended_add(Oid view, Oid live, Oid about, Node *statement)
{
	MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);
	SuspendedView *mine = palloc0(sizeof(SuspendedView));

	mine->view = view;
	mine->live = live;
	mine->about = about;
	if (!OidIsValid(live))
	{
		mine->text = view_query_sql(view);
		mine->uses = view_meanings(view);
	}
	mine->statement = statement;
	mine->cascade = says_cascade(statement);
	mine->made_in.subid = GetCurrentSubTransactionId();
	suspended = lappend(suspended, mine);
	MemoryContextSwitchTo(before);
}

/* Returns true if the statement drops columns with CASCADE. */
static bool
says_cascade(Node *statement)
{
	ListCell   *lc;

	if (statement && IsA(statement, DropStmt))
		return ((DropStmt *) statement)->behavior == DROP_CASCADE;
	if (statement && IsA(statement, DropOwnedStmt))
		return ((DropOwnedStmt *) statement)->behavior == DROP_CASCADE;
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

/* Returns what was put aside for the statement, a list of SuspendedView, and forgets it. */
List *
view_suspended_take(Node *statement)
{
	List	   *mine = NIL;
	ListCell   *lc;

	foreach(lc, suspended)
	{
		SuspendedView *view = lfirst(lc);

		if (view->statement != statement)
			continue;
		mine = lappend(mine, view);
		suspended = foreach_delete_current(suspended, lc);
	}
	return mine;
}

/*
 * view_compare.c
 *		How the columns of a view differ from those that a query gives.
 *
 * Locks: ACCESS SHARE on the view, until the transaction ends.
 */
#include "postgres.h"

#include "access/relation.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "view/view.h"

static bool same_column(Form_pg_attribute a, Form_pg_attribute b);

/*
 * The change of a view to what the query, just read, gives.  names: what the
 * view's columns shall be thought to be called, by number - 1; NULL: what they are.
 * about: the live table.  cascade: what uses a column that goes may go.
 */
ViewChange *
view_change(Oid view, Oid about, Query *query, const char **names, bool cascade)
{
	ViewChange *change = palloc0(sizeof(ViewChange));
	Relation	rel = relation_open(view, AccessShareLock);
	ListCell   *lc;

	change->view = view;
	change->about = about;
	change->query = query;
	change->cascade = cascade;
	change->old = CreateTupleDescCopy(RelationGetDescr(rel));
	relation_close(rel, NoLock);
	change->new = CreateTemplateTupleDesc(ExecCleanTargetListLength(query->targetList));
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->resjunk)
			continue;
		TupleDescInitEntry(change->new, target->resno, target->resname,
						   exprType((Node *) target->expr),
						   exprTypmod((Node *) target->expr), 0);
		TupleDescInitEntryCollation(change->new, target->resno,
									exprCollation((Node *) target->expr));
	}
	view_compare_columns(change, names);
	return change;
}

/* Fill in which column is which, by names; names: see view_change. */
void
view_compare_columns(ViewChange *change, const char **names)
{
	int			nold = change->old->natts;
	int			i;
	int			j;

	change->map = palloc0(sizeof(AttrNumber) * Max(nold, 1));
	change->retyped = palloc0(sizeof(bool) * Max(nold, 1));
	change->from = palloc0(sizeof(AttrNumber) * Max(change->new->natts, 1));
	for (i = 0; i < nold; i++)
	{
		const char *name = names ? names[i] : NameStr(TupleDescAttr(change->old, i)->attname);

		for (j = 0; j < change->new->natts; j++)
			if (strcmp(NameStr(TupleDescAttr(change->new, j)->attname), name) == 0)
			{
				change->map[i] = j + 1;
				change->from[j] = i + 1;
				change->retyped[i] = !same_column(TupleDescAttr(change->old, i),
												  TupleDescAttr(change->new, j));
				change->any_retyped |= change->retyped[i];
			}
		change->renumbered |= change->map[i] != i + 1;
		change->renamed |= names && strcmp(name, NameStr(TupleDescAttr(change->old, i)->attname)) != 0;
	}
}

static bool
same_column(Form_pg_attribute a, Form_pg_attribute b)
{
	return a->atttypid == b->atttypid && a->atttypmod == b->atttypmod &&
		a->attcollation == b->attcollation;
}

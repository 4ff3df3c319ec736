/*
 * view_suspend.c
 *		X__with_history put aside while the columns that it shows are changed.
 *
 * PostgreSQL refuses to change or drop a column that a view shows.  So at the start
 * of such a command our view is suspended: its query gives way to one that depends on
 * no table.  The view itself stays where it is, with all that is put on it and on
 * it.  At the end of the command it gets its query again, and the columns that its
 * table has then (view_change.c).
 *
 * A user's view on a history table whose columns are to be widened is suspended, too,
 * with the text of its query.
 *
 * Which views are suspended is kept by view_suspended.c.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "view/view.h"
#include "compat.h"

static TupleDesc columns_of(Oid view);
static TupleDesc view_suspend_without(TupleDesc all, const Dependents *dropped);
static bool uses_columns(Oid view, List *tables, List *columns);
static ViewChange *back_in_place(const SuspendedView *view);

/*
 * Lock the views of these live tables.
 *
 * A reader locks the view before the tables that it shows.  Code that is about to
 * change a view locks it like this, before the tables, or a reader who comes in
 * between and the command wait for each other.
 */
void
view_lock_all(List *lives, LOCKMODE mode)
{
	ListCell   *lc;

	foreach(lc, view_list(lives))
		LockRelationOid(lfirst_oid(lc), mode);
}

/* The views of these live tables, by the OIDs of the tables, which are sorted. */
List *
view_list(List *lives)
{
	List	   *views = NIL;
	ListCell   *lc;

	list_sort(lives, list_oid_cmp);
	foreach(lc, lives)
	{
		Oid			view = view_of_table(lfirst_oid(lc));

		if (OidIsValid(view))
			views = lappend_oid(views, view);
	}
	return views;
}

/*
 * Lock the views on the views of these live tables against readers, for a command
 * that changes columns of the tables: the outermost first, before view_lock_all, as
 * a reader does.  deep: also those that stand on other views, whose columns
 * may get other types.
 */
void
view_lock_dependents(List *lives, bool deep)
{
	ListCell   *lc;

	list_sort(lives, list_oid_cmp);
	foreach(lc, lives)
	{
		Oid			view = view_of_table(lfirst_oid(lc));
		List	   *upon = OidIsValid(view) ? view_upon_rows(view) : NIL;
		List	   *views = upon == NIL ? NIL : view_dependents(list_make1_oid(view));

		for (; views != NIL; views = list_delete_last(views))
			if (list_member_oid(upon, llast_oid(views)))
				(void) view_lock_upon(llast_oid(views), view);
			else if (deep)
				LockRelationOid(llast_oid(views), AccessExclusiveLock);
	}
}

/* Those of them that are waited for, in that order; the tables are sorted. */
List *
view_dependents_to_lock(List *lives, bool deep)
{
	List	   *all = NIL;
	ListCell   *lc;

	list_sort(lives, list_oid_cmp);
	foreach(lc, lives)
	{
		Oid			view = view_of_table(lfirst_oid(lc));
		List	   *upon = OidIsValid(view) ? view_upon_rows(view) : NIL;
		List	   *views = upon == NIL ? NIL : view_dependents(list_make1_oid(view));

		for (; views != NIL; views = list_delete_last(views))
			if ((deep || list_member_oid(upon, llast_oid(views))) &&
				!view_is_strangers(llast_oid(views), view))
				all = list_append_unique_oid(all, llast_oid(views));
	}
	return all;
}

/*
 * Suspend the live table's view for the statement, if it has one.  The caller holds the
 * lock on the live table that the command takes.
 *
 * dropped: what the statement drops with CASCADE, or NULL.  Columns of a type that goes
 * leave the view at once, with the views that use them: the end of a type must not find
 * columns of a view to take along.
 */
void
view_suspend(Oid live, const Dependents *dropped, Node *statement)
{
	Oid			view = view_of_table(live);
	const char **names;
	TupleDesc	columns;
	ViewChange *change;
	int			i;

	Assert(relation_is_locked(live, ShareUpdateExclusiveLock));
	if (!OidIsValid(view) ||
		(view_is_suspended(live) && dropped == NULL))
		return;
	names = view_renamed_columns(view, live, false);
	columns = columns_of(view);
	for (i = 0; i < columns->natts; i++)
		namestrcpy(&TupleDescAttr(columns, i)->attname, names[i]);
	if (!view_is_suspended(live))
		view_suspended_add(view, live, live, statement);
	change = view_change(view, live, view_query_placeholder(view_suspend_without(columns, dropped)),
						 names, true);
	change->suspended = true;
	view_change_all(list_make1(change), NIL);
}

/*
 * Suspend the views on the tables, a history and those that inherit from it, until
 * view_resume(NULL): ours, and those that use one of the columns.
 */
void
view_suspend_dependents(List *tables, List *columns)
{
	Oid			about = registry_get_by_derived(linitial_oid(tables))->live;
	List	   *views = NIL;
	List	   *own = NIL;
	ListCell   *lc;

	foreach(lc, tables)
		views = list_concat_unique_oid(views, view_upon(lfirst_oid(lc)));
	foreach(lc, registry_all())
	{
		Oid			live = ((RegistryRow *) lfirst(lc))->live;
		Oid			view = get_rel_name(live) ? view_of_table(live) : InvalidOid;

		if (!OidIsValid(view) || !list_member_oid(views, view))
			continue;
		own = lappend_oid(own, view);
		view_suspend(live, NULL, NULL);
	}
	foreach(lc, list_difference_oid(views, own))
	{
		Oid			view = lfirst_oid(lc);

		if (get_rel_relkind(view) != RELKIND_VIEW || !uses_columns(view, tables, columns))
			continue;
		view_lock_upon_or_refuse(view, linitial_oid(tables), about);
		view_suspended_add(view, InvalidOid, about, NULL);
		view_query_store(view, view_query_placeholder(columns_of(view)), false);
	}
}

/* Returns true if the view uses a column of one of these names of one of the tables. */
static bool
uses_columns(Oid view, List *tables, List *columns)
{
	ListCell   *table;
	ListCell   *lc;

	foreach(table, tables)
	{
		bool	   *flags = palloc0(sizeof(bool) * MaxAttrNumber);

		foreach(lc, columns)
		{
			AttrNumber	attnum = get_attnum(lfirst_oid(table),
											((TableColumn *) lfirst(lc))->name);

			if (attnum > 0)
				flags[attnum - 1] = true;
		}
		if (view_uses_columns(view, lfirst_oid(table), flags))
			return true;
		pfree(flags);
	}
	return false;
}

static TupleDesc
columns_of(Oid view)
{
	Relation	rel = relation_open(view, AccessShareLock);
	TupleDesc	columns = CreateTupleDescCopy(RelationGetDescr(rel));

	relation_close(rel, NoLock);
	return columns;
}

/* The columns that are made of none of the types. */
static TupleDesc
view_suspend_without(TupleDesc all, const Dependents *dropped)
{
	TupleDesc	columns;
	List	   *stay = NIL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < all->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(all, i);

		if (dropped == NULL ||
			!dependents_type_goes(dropped, att->atttypid, att->attcollation))
			stay = lappend_int(stay, i + 1);
	}
	columns = CreateTemplateTupleDesc(list_length(stay));
	foreach(lc, stay)
		TupleDescCopyEntry(columns, foreach_current_index(lc) + 1, all, lfirst_int(lc));
	return columns;
}

/* Make again what was suspended for the statement. */
void
view_resume(Node *statement)
{
	List	   *changes = NIL;
	List	   *texts = NIL;
	ListCell   *lc;

	foreach(lc, view_suspended_take(statement))
	{
		const SuspendedView *view = lfirst(lc);
		ViewChange *change;

		/* with CASCADE it may have gone */
		if (get_rel_name(view->view) == NULL)
			continue;
		if (!OidIsValid(view->live))
		{
			ViewText   *text = palloc(sizeof(ViewText));

			*text = (ViewText) {view->view, view->about, view->text, view->uses};
			texts = lappend(texts, text);
		}
		else if ((change = back_in_place(view)) != NULL)
			changes = lappend(changes, change);
	}
	if (changes != NIL || texts != NIL)
		view_change_all(changes, texts);
}

/*
 * What becomes of our suspended view.  Where its table or history has gone, or cannot
 * be shown, as may be while tracking is disabled, it goes: NULL.
 */
static ViewChange *
back_in_place(const SuspendedView *view)
{
	RegistryRow *row = registry_get(view->live);

	if (row && view_is_possible(row))
	{
		ViewChange *change = view_change(view->view, view->live, view_query(row), NULL,
										 view->cascade);

		change->suspended = true;
		return change;
	}
	if (row && get_rel_name(row->live) != NULL)
		view_say_dropped(view->view, row);
	catalog_drop(RelationRelationId, view->view, view->cascade);
	return NULL;
}

/*
 * view_change.c
 *		Views that get other columns, and the views on them.
 *
 * X__with_history has the columns of its table, and changes with them.  It is
 * changed in place (view_columns.c) and gets its new query.  What is on it:
 *
 * A view that uses a column that is gone is dropped by CASCADE, and without it is
 * PostgreSQL's error; that is performDeletion's work, as for a column of a table.
 *
 * Any other view on it gets the new numbers of the columns in its query
 * (view_remap.c), which is not parsed, and nothing else of it is touched.  Where no
 * column has another number and none that it uses another type, not even that.
 *
 * A view that uses a column of another type now means another query, and its text
 * is read again: view_read.c.
 *
 * Locks: ACCESS EXCLUSIVE on each view that is changed.  Take them before that of the
 * live table (view_lock_all), as readers do.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "view/view.h"
#include "compat.h"

static bool changes_columns(const ViewChange *change);
static bool concerns_others(const ViewChange *change);
static ViewChange *view_change_split(ViewChange *change);
static void change_all(List *changes, List *texts);
static void drop_columns(const ViewChange *change);
static List *views_using(Oid view, const bool *columns);
static List *find_followers(List *changes, List *texts);
static bool any_renumbered(List *changes);
static ViewFollower *follower_of(Oid view, List *followers);
static ViewFollower *add_follower(Oid view, Oid about, List **followers);
static List *sort_followers(List *followers, List *changes);
static void view_change_apply(const ViewChange *change);

/* Returns true if the view's columns change, not only the query that gives them. */
static bool
changes_columns(const ViewChange *change)
{
	return concerns_others(change) || change->renamed ||
		change->new->natts != change->old->natts;
}

/*
 * Returns true if what depends on the view has to follow: not if it is only given other
 * names, or more columns at its end, as ALTER and CREATE OR REPLACE VIEW do.
 */
static bool
concerns_others(const ViewChange *change)
{
	return change->renumbered || change->any_retyped;
}

/* Returns true if the view gets nothing but more columns, and new names. */
bool
view_change_adds(const ViewChange *change)
{
	int			i;

	for (i = 0; i < change->old->natts; i++)
		if (change->map[i] == InvalidAttrNumber)
			return false;
	return !change->any_retyped;
}

/*
 * Make the changes, of views that may stand on each other's tables but not on each
 * other.  texts: of views whose text is to be read again in any case, ViewText.
 *
 * Columns get their new numbers first, and their new types in a second step.  Texts
 * are told in between: a list of column aliases in them goes by the columns' order.
 */
void
view_change_all(List *changes, List *texts)
{
	List	   *first = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		ViewChange *change = lfirst(lc);

		if (change->any_retyped &&
			(change->renumbered || change->renamed || change->new->natts != change->old->natts))
			first = lappend(first, view_change_split(change));
	}
	change_all(first, NIL);
	change_all(changes, texts);
}

/* Take out of a change what it changes but for types. */
static ViewChange *
view_change_split(ViewChange *change)
{
	ViewChange *first = palloc(sizeof(ViewChange));
	int			i;

	*first = *change;
	first->new = CreateTupleDescCopy(change->new);
	for (i = 0; i < first->new->natts; i++)
		if (change->from[i] != InvalidAttrNumber)
		{
			char	   *name = pstrdup(NameStr(TupleDescAttr(change->new, i)->attname));

			TupleDescCopyEntry(first->new, i + 1, change->old, change->from[i]);
			namestrcpy(&TupleDescAttr(first->new, i)->attname, name);
		}
	first->query = view_query_placeholder(first->new);
	first->suspended = change->suspended = true;
	first->retyped = palloc0(sizeof(bool) * Max(change->old->natts, 1));
	first->any_retyped = false;

	change->old = first->new;
	change->renumbered = change->renamed = change->any_retyped = false;
	view_compare_columns(change, NULL);
	return first;
}

static void
change_all(List *changes, List *texts)
{
	List	   *followed = NIL;
	List	   *followers;
	ListCell   *lc;

	foreach(lc, changes)
		if (concerns_others(lfirst(lc)))
			followed = lappend(followed, lfirst(lc));
	foreach(lc, followed)
		drop_columns(lfirst(lc));
	foreach(lc, followed)
		view_refuse_dependents(lfirst(lc));
	followers = find_followers(followed, texts);

	foreach(lc, changes)
		view_change_apply(lfirst(lc));
	foreach(lc, followers)
	{
		ViewFollower *follower = lfirst(lc);

		if (follower->query)
			view_query_store(follower->view, follower->query, true);
	}
	view_read_followers(followers);
}

/* Drop the columns that go, and with CASCADE what uses them. */
static void
drop_columns(const ViewChange *change)
{
	ObjectAddresses *columns = new_object_addresses();
	bool	   *goes = palloc0(sizeof(bool) * Max(change->old->natts, 1));
	MemoryContext before = CurrentMemoryContext;
	const char *commands;
	int			i;

	for (i = 0; i < change->old->natts; i++)
		if (change->map[i] == InvalidAttrNumber)
		{
			ObjectAddress column;

			ObjectAddressSubSet(column, RelationRelationId, change->view, i + 1);
			add_exact_object_address(&column, columns);
			goes[i] = true;
		}
	commands = view_drop_commands(views_using(change->view, goes));
	PG_TRY();
	{
		performMultipleDeletions(columns, change->cascade ? DROP_CASCADE : DROP_RESTRICT, 0);
	}
	PG_CATCH();
	{
		const char *dependents = ddl_dependents(before);

		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot change table \"%s\" because other objects depend on its history view",
						get_rel_name(change->about)),
				 errdetail("%s", dependents),
				 commands[0] == '\0' ? errhint("Drop them, run the command, and re-create them.") :
				 errhint("%s then run the command, and re-create what it still allows. DROP COLUMN ... CASCADE drops them, too.",
						 commands)));
	}
	PG_END_TRY();
	free_object_addresses(columns);
	CommandCounterIncrement();
}

/* The views on this one that use one of its columns, given as flags. */
static List *
views_using(Oid view, const bool *columns)
{
	List	   *using = NIL;
	ListCell   *lc;

	foreach(lc, view_upon(view))
		if (view_uses_columns(lfirst_oid(lc), view, columns))
			using = lappend_oid(using, lfirst_oid(lc));
	return using;
}

/*
 * The views on those that change: each after all of them that it depends on,
 * those with new numbers in their queries, and those that may have to be read
 * again with their texts, as long as these can be told.
 */
static List *
find_followers(List *changes, List *texts)
{
	List	   *followers = NIL;
	List	   *to_read = NIL;
	ListCell   *lc;
	ListCell   *cell;

	foreach(lc, texts)
	{
		ViewText   *text = lfirst(lc);
		ViewFollower *follower = add_follower(text->view, text->about, &followers);

		follower->text = text->sql;
		follower->uses = text->uses;
		follower->must_read = true;
		to_read = lappend_oid(to_read, text->view);
	}
	foreach(lc, changes)
	{
		const ViewChange *change = lfirst(lc);

		foreach(cell, view_upon_rows(change->view))
		{
			ViewFollower *follower;

			/* it may be dropped, or get another query, while we wait */
			view_lock_upon_or_refuse(lfirst_oid(cell), change->view, change->about);
			if (!OidIsValid(view_query_rule(lfirst_oid(cell))))
				continue;
			follower = add_follower(lfirst_oid(cell), change->about, &followers);
			if (change->any_retyped &&
				view_uses_columns(follower->view, change->view, change->retyped))
				follower->must_read = true;
		}
	}
	foreach(lc, followers)
	{
		ViewFollower *follower = lfirst(lc);

		if (!follower->must_read)
		{
			follower->query = view_query_of(follower->view);
			if (!view_remap(follower->query, changes))
			{
				/* in its text columns may be meant by their order */
				if (any_renumbered(changes))
					view_refuse_follower(follower, "It refers to rows of the history view in a way that cannot follow.");
				follower->query = NULL;
				follower->must_read = true;
			}
		}
		if (follower->must_read)
			to_read = list_append_unique_oid(to_read, follower->view);
	}
	foreach(lc, list_concat(view_dependents(to_read), to_read))
	{
		ViewFollower *follower;

		LockRelationOid(lfirst_oid(lc), AccessShareLock);
		if (!OidIsValid(view_query_rule(lfirst_oid(lc))))
			continue;
		follower = add_follower(lfirst_oid(lc), ((ViewFollower *) linitial(followers))->about,
								&followers);
		if (follower->text == NULL)
		{
			follower->text = view_query_sql(follower->view);
			follower->uses = view_meanings(follower->view);
		}
	}
	return sort_followers(followers, changes);
}

static bool
any_renumbered(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
		if (((ViewChange *) lfirst(lc))->renumbered)
			return true;
	return false;
}

static ViewFollower *
follower_of(Oid view, List *followers)
{
	ListCell   *lc;

	foreach(lc, followers)
		if (((ViewFollower *) lfirst(lc))->view == view)
			return lfirst(lc);
	return NULL;
}

static ViewFollower *
add_follower(Oid view, Oid about, List **followers)
{
	ViewFollower *follower = follower_of(view, *followers);

	if (follower == NULL)
	{
		follower = palloc0(sizeof(ViewFollower));
		follower->view = view;
		follower->about = about;
		*followers = lappend(*followers, follower);
	}
	return follower;
}

/* Change the view itself. */
static void
view_change_apply(const ViewChange *change)
{
	if (changes_columns(change))
		view_columns_replace(change->view, change->new, change->from);
	else if (!change->suspended && view_query_is(change->view, change->query))
		return;
	view_query_store(change->view, change->query, false);
}

/* The followers, each after all of them that it depends on. */
static List *
sort_followers(List *followers, List *changes)
{
	List	   *views = NIL;
	List	   *above;
	List	   *ordered = NIL;
	ListCell   *lc;

	foreach(lc, changes)
		views = lappend_oid(views, ((ViewChange *) lfirst(lc))->view);
	foreach(lc, followers)
		views = lappend_oid(views, ((ViewFollower *) lfirst(lc))->view);
	above = view_dependents(views);
	/* what is above none of the others stands on tables */
	foreach(lc, followers)
		if (!list_member_oid(above, ((ViewFollower *) lfirst(lc))->view))
			ordered = lappend(ordered, lfirst(lc));
	foreach(lc, above)
	{
		ViewFollower *follower = follower_of(lfirst_oid(lc), followers);

		if (follower)
			ordered = lappend(ordered, follower);
	}
	return ordered;
}

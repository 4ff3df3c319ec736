/*
 * view_read.c
 *		Views whose text is read again, since columns that they use have other types.
 *
 * With other types the text means another query: other operators, other types of the
 * view's own columns, which the views on it show in their turn.  It is read as the
 * view's owner.  Reading calls the input functions of constants' types, which
 * check domains.  Where that would run somebody's code, or where the text comes to
 * mean other functions, operators or tables than before (anybody may have put a
 * better match in a schema), the command fails, as PostgreSQL refuses to alter a column
 * that a view uses.
 *
 * Locks: ACCESS EXCLUSIVE on the views, ACCESS SHARE on what they show.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

#include "view/view.h"
#include "compat.h"

static ViewChange *read_again(ViewFollower *follower);
static void read_text(void *arg);
static void refuse_new_uses(const ViewFollower *follower);

/*
 * Read the texts of those that have to be read again: of whose columns, or of those of
 * views below them, some have other types.  Each comes after those that it depends on.
 */
void
view_read_followers(List *followers)
{
	List	   *retyped = NIL;
	ListCell   *lc;
	ListCell   *cell;

	foreach(lc, followers)
	{
		ViewFollower *follower = lfirst(lc);
		bool		read = follower->must_read;
		ViewChange *change;

		if (follower->text == NULL)
			continue;
		foreach(cell, retyped)
		{
			const ViewChange *below = lfirst(cell);

			read = read || view_uses_columns(follower->view, below->view, below->retyped);
		}
		if (!read)
			continue;
		change = read_again(follower);
		if (change->any_retyped)
			retyped = lappend(retyped, change);
	}
}

/* Give the view the meaning that its text has now. */
static ViewChange *
read_again(ViewFollower *follower)
{
	Oid			view = follower->view;
	ViewChange *change;
	char	   *message;
	int			i;

	LockRelationOid(view, AccessExclusiveLock);
	if (get_rel_relkind(view) != RELKIND_VIEW)
		view_refuse_follower(follower, "It is a materialized view, and holds values of the column's former type.");
	view_refuse_rules(view, follower->about);
	if (view_constants_run_code(view_query_of(view)))
		view_refuse_follower(follower, "It has constants of a type whose input runs code, so its definition cannot be read again.");
	if (!attempt_or_message(read_text, follower, &message))
		view_refuse_follower(follower, psprintf("The view's definition does not hold any more: %s.", message));

	change = view_change(view, follower->about, follower->read, NULL, false);
	if (change->renumbered || change->new->natts != change->old->natts)
		view_refuse_follower(follower, "The view's definition would give it other columns.");
	for (i = 0; i < change->new->natts; i++)
		if (type_is_collatable(TupleDescAttr(change->new, i)->atttypid) &&
			!OidIsValid(TupleDescAttr(change->new, i)->attcollation))
			view_refuse_follower(follower, psprintf("No collation could be derived for its column \"%s\".",
													NameStr(TupleDescAttr(change->new, i)->attname)));
	if (change->any_retyped)
	{
		view_refuse_dependents(change);
		view_columns_replace(view, change->new, change->from);
	}
	view_query_store(view, follower->read, false);
	refuse_new_uses(follower);
	return change;
}

static void
read_text(void *arg)
{
	ViewFollower *follower = arg;

	follower->read = view_query_read(security_owner_of(follower->view), follower->text);
}

/*
 * The text has the same names as before, but among several functions or operators
 * of a name the types decide.  That one fits better now may be somebody's trap.
 */
static void
refuse_new_uses(const ViewFollower *follower)
{
	ListCell   *lc;
	ListCell   *cell;

	foreach(lc, view_meanings(follower->view))
	{
		const ObjectAddress *now = lfirst(lc);
		bool		used = false;

		foreach(cell, follower->uses)
		{
			const ObjectAddress *before = lfirst(cell);

			used |= before->classId == now->classId && before->objectId == now->objectId;
		}
		if (!used)
			view_refuse_follower(follower, psprintf("The view's definition would come to use %s.",
													getObjectDescriptionCompat(now)));
	}
}

/* As PostgreSQL refuses to alter a column that a view uses. */
void
view_refuse_follower(const ViewFollower *follower, const char *reason)
{
	ObjectAddress view;

	ObjectAddressSet(view, RelationRelationId, follower->view);
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot change table \"%s\" because %s depends on its history view",
					get_rel_name(follower->about), getObjectDescriptionCompat(&view)),
			 errdetail("%s", reason),
			 errhint("%s then run the command, and re-create what it still allows.",
					 view_drop_commands(list_make1_oid(follower->view)))));
}

/*
 * followed.c
 *		Which tables are followed, and their views out of the way of a command.
 *
 * Locks: ACCESS EXCLUSIVE on views.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "storage/sinval.h"
#include "utils/lsyscache.h"

#include "follow/follow.h"

/*
 * Suspend the view of a registered table, which the caller has locked.  Also while
 * tracking is disabled: the view is in nobody's way.  dropped: what goes with CASCADE, or
 * NULL.
 */
void
followed_suspend_view(Oid live, const Dependents *dropped, Node *statement)
{
	RegistryRow *row = registered(live) ? registry_get(live) : NULL;

	Assert(relation_is_locked(live, ShareUpdateExclusiveLock));
	if (row && get_rel_name(row->history) &&
		settings_follow_ddl(security_owner_of(live)) &&
		registry_is_sound(row, security_owner_of(live)))
		view_suspend(live, dropped, statement);
}

/*
 * Lock the views of a table that is about to be dropped, and of its parents; see
 * followed_lock_views.
 */
List *
followed_lock_all_views(Oid relid)
{
	return followed_lock_views(relid, true, InvalidOid, COLUMNS_CHANGE_TYPE, DERIVED_BOTH);
}

/*
 * Lock what the command will keep readers out of: views on views that change, views,
 * the tables themselves where they are registered; derived: and what is derived from
 * them.  parents: also the views of those that it inherits from; new_parent: and of the one
 * that it is to inherit from, or InvalidOid.  Returns all that was locked.
 */
List *
followed_lock_views(Oid relid, bool parents, Oid new_parent, ColumnChange change,
					DerivedTables derived)
{
	List	   *all = NIL;
	List	   *related;
	List	   *changed = NIL;
	List	   *tables = NIL;
	uint64		known = SharedInvalidMessageCounter;
	ListCell   *lc;

	if ((get_rel_relkind(relid) != RELKIND_RELATION &&
		 get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE) ||
		get_rel_relispartition(relid))
		return NIL;
	related = lineage_below(relid);
	foreach(lc, related)
		if (registered(lfirst_oid(lc)))
			changed = lappend_oid(changed, lfirst_oid(lc));
	if (parents && registered(relid))
		related = list_concat_unique_oid(related, lineage_of(relid));
	if (OidIsValid(new_parent))
		related = list_concat_unique_oid(related, lineage_of(new_parent));
	foreach(lc, related)
		if (registered(lfirst_oid(lc)))
			tables = lappend_oid(tables, lfirst_oid(lc));
	if (tables == NIL)
		return NIL;

	if (list_member_oid(changed, relid))
		all = lappend_oid(all, relid);
	foreach(lc, changed)
	{
		RegistryRow *row;

		if (change != COLUMNS_STAY)
			all = list_append_unique_oid(all, lfirst_oid(lc));
		/* a session that writes to a partition locks that before the history */
		if (change != COLUMNS_STAY && derived != DERIVED_NONE &&
			get_rel_relkind(lfirst_oid(lc)) == RELKIND_PARTITIONED_TABLE)
			all = list_concat_unique_oid(all, lineage_below(lfirst_oid(lc)));
		if (derived == DERIVED_NONE || (change == COLUMNS_STAY && lfirst_oid(lc) != relid) ||
			!followed_row(lfirst_oid(lc), &row))
			continue;
		if (derived & DERIVED_HISTORY)
			all = list_append_unique_oid(all, row->history);
		if (OidIsValid(row->tracking) && (derived & DERIVED_TRACKING))
			all = list_append_unique_oid(all, row->tracking);
	}
	if (change != COLUMNS_STAY)
		all = list_concat_unique_oid(all, view_dependents_to_lock(changed, change == COLUMNS_CHANGE_TYPE));
	all = list_concat_unique_oid(all, view_list(tables));
	lock_order_together(all);
	if (known == SharedInvalidMessageCounter)
		return all;				/* nobody has changed anything */

	/* in case that others have come meanwhile */
	if (change != COLUMNS_STAY)
		view_lock_dependents(changed, change == COLUMNS_CHANGE_TYPE);
	view_lock_all(tables, AccessExclusiveLock);
	return all;
}

/*
 * Returns true if DDL on the table is to be followed: it is registered, and its triggers
 * exist. *row is NULL if it is not registered.
 */
bool
followed_row(Oid live, RegistryRow **row)
{
	*row = registry_get(live);
	return *row && get_rel_name(live) && get_rel_name((*row)->history) &&
		settings_follow_ddl(security_owner_of(live)) &&
		registry_is_sound(*row, security_owner_of(live)) &&
		triggers_there(*row, NULL);
}

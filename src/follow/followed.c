/*
 * followed.c
 *		Which tables are followed, and their views out of the way of a command.
 *
 * Locks: ACCESS EXCLUSIVE on views.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/lsyscache.h"

#include "follow/follow.h"

/*
 * Park the view of a registered table, which the caller has locked.  Also while
 * tracking is disabled: the view is in nobody's way.  dropped: what goes with CASCADE, or
 * NULL.
 */
void
make_room_park_view(Oid live, const Dependents *dropped, Node *statement)
{
	RegistryRow *row = registered(live) ? registry_get(live) : NULL;

	if (row && get_rel_name(row->history) &&
		settings_follow_ddl(security_owner_of(live)) &&
		registry_is_sound(row, security_owner_of(live)))
		views_park(live, dropped, statement);
}

/* The same before the table is dropped. */
void
make_room_lock_views(Oid relid)
{
	followed_lock_views(relid, true, COLUMNS_CHANGE_TYPE);
}

void
followed_lock_views(Oid relid, bool parents, ColumnChange change)
{
	List	   *related;
	List	   *changed = NIL;
	List	   *tables = NIL;
	ListCell   *lc;

	if ((get_rel_relkind(relid) != RELKIND_RELATION &&
		 get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE) ||
		get_rel_relispartition(relid))
		return;
	related = find_all_inheritors(relid, NoLock, NULL);
	foreach(lc, related)
		if (registered(lfirst_oid(lc)))
			changed = lappend_oid(changed, lfirst_oid(lc));
	if (change != COLUMNS_STAY)
		views_lock_upon(changed, change == COLUMNS_CHANGE_TYPE);
	if (parents && registered(relid))
		related = list_concat_unique_oid(related, lineage_of(relid));
	foreach(lc, related)
		if (registered(lfirst_oid(lc)))
			tables = lappend_oid(tables, lfirst_oid(lc));
	views_lock(tables, AccessExclusiveLock);
}

/*
 * Is DDL on the table to be followed: is it registered, and are its triggers
 * there?  The row is NULL if not registered.
 */
bool
follower_tracks(Oid live, RegistryRow **row)
{
	*row = registry_get(live);
	return *row && get_rel_name(live) && get_rel_name((*row)->history) &&
		settings_follow_ddl(security_owner_of(live)) &&
		registry_is_sound(*row, security_owner_of(live)) &&
		triggers_there(*row, NULL);
}

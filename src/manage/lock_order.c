/*
 * lock_order.c
 *		In which order functions lock live tables, and what hangs together with them.
 *
 * There is one order, for functions, followed commands and readers alike, so that no two
 * of them wait for each other crosswise:
 *
 *	1. views: those of users on history views, the outermost first, where they have to
 *	   follow (views_lock_upon); then history views, by the OIDs of their live
 *	   tables (views_lock).  A reader, too, locks a view before what it shows.
 *	2. live tables: hierarchies by the OID of the table at the top; in each the
 *	   parents before the children, as find_all_inheritors lists them, which
 *	   PostgreSQL's own commands go by; after a partitioned table its partitions.
 *	3. derived tables: history before tracking table, parents' before children's.
 *
 * Whoever looks first whether there is something to do lets go of all locks before
 * these are taken (in_order.c).  PostgreSQL's own commands on several tables lock
 * them as they are typed, and a few a child before its parent; that is theirs.
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

static List *lock_order_roots(List *tables);

/*
 * Lock the live tables, with their partitions, in the mode; and, if that is for
 * a change, their views and parents as far as they may be changed with them: readers are kept
 * out of the views only where they are of the tables.  Tables that are not there are passed over.
 * Whoever calls has checked their owners, and looks again whether they are there.
 */
void
lock_order_take(List *lives, LOCKMODE mode)
{
	List	   *tables = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, lives)
		if (get_rel_name(lfirst_oid(lc)) == NULL)
			continue;
		else if (mode < ShareUpdateExclusiveLock)
			tables = lappend_oid(tables, lfirst_oid(lc));
		else
			tables = list_concat_unique_oid(tables, lineage_of(lfirst_oid(lc)));
	if (mode >= ShareUpdateExclusiveLock)
		views_lock(list_copy(tables),
				   mode == AccessExclusiveLock ? mode : ShareUpdateExclusiveLock);

	foreach(lc, lock_order_roots(tables))
		foreach(lc2, find_all_inheritors(lfirst_oid(lc), NoLock, NULL))
		{
			Oid			table = lfirst_oid(lc2);

			if (!list_member_oid(tables, table))
				continue;
			if (!list_member_oid(lives, table))
				LockRelationOid(table, ShareUpdateExclusiveLock);
			else
			{
				LockRelationOid(table, mode);
				/* before any history: as who writes to a partition does */
				if (mode >= ShareRowExclusiveLock)
					(void) lineage_partition_tree(table, mode);
			}
		}
}

/* The tops of the hierarchies of the tables, by OID. */
static List *
lock_order_roots(List *tables)
{
	List	   *roots = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, tables)
		foreach(lc2, lineage_of(lfirst_oid(lc)))
			if (lineage_parents(lfirst_oid(lc2)) == NIL)
				roots = lappend_oid(roots, lfirst_oid(lc2));
	list_sort(roots, list_oid_cmp);
	list_deduplicate_oid(roots);
	return roots;
}

/*
 * lock_order.c
 *		In which order functions lock live tables, and what hangs together with them.
 *
 * There is one order, for functions, followed commands and readers alike, so that no two
 * of them wait for each other crosswise:
 *
 *	1. views: those of users on history views, the outermost first, where they have to
 *	   follow (view_lock_dependents); then history views, by the OIDs of their live
 *	   tables (view_lock_all).  A reader, too, locks a view before what it shows.
 *	2. live tables: hierarchies by the OID of the table at the top; in each the
 *	   parents before the children, as find_all_inheritors lists them, which
 *	   PostgreSQL's own commands go by; after a partitioned table its partitions.
 *	3. derived tables: history before tracking table, parents' before children's.
 *
 * A session that only reads takes ACCESS SHARE in an order of its own: the live table in
 * one statement and the view in the next, or the history first.  So a followed command
 * holds none of the locks that keep readers out while it waits for another one of them
 * (lock_order_together).
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
static Oid	lock_those_free(List *relids, Oid held);

/* after which it is more important that somebody gets on */
#define MOST_ROUNDS	20

/*
 * Lock the live tables, with their partitions, in the mode; and, if that is for
 * a change, their views and parents as far as they may be changed with them.  changing: those
 * of them whose views change, or go, while readers are kept out of the tables; out of
 * these views they are kept first.  Tables that are not there are passed over.
 * Whoever calls has checked their owners, and looks again whether they are there.
 */
void
lock_order_take(List *lives, LOCKMODE mode, List *changing)
{
	List	   *tables = NIL;
	List	   *closed = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, lives)
		if (get_rel_name(lfirst_oid(lc)) == NULL)
			continue;
		else if (mode < ShareUpdateExclusiveLock)
			tables = lappend_oid(tables, lfirst_oid(lc));
		else
			tables = list_concat_unique_oid(tables, lineage_of(lfirst_oid(lc)));
	foreach(lc, changing)
		if (get_rel_name(lfirst_oid(lc)) != NULL)
			closed = list_concat_unique_oid(closed, lineage_of(lfirst_oid(lc)));
	list_sort(tables, list_oid_cmp);
	foreach(lc, mode >= ShareUpdateExclusiveLock ? tables : NIL)
		view_lock_all(list_make1_oid(lfirst_oid(lc)),
					  list_member_oid(closed, lfirst_oid(lc)) ? AccessExclusiveLock :
					  ShareUpdateExclusiveLock);

	foreach(lc, lock_order_roots(tables))
		foreach(lc2, lineage_below(lfirst_oid(lc)))
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

/*
 * Lock all of these relations ACCESS EXCLUSIVE, the first one for choice, without holding one
 * while another is waited for.
 */
void
lock_order_together(List *relids)
{
	Oid			busy = relids == NIL ? InvalidOid : linitial_oid(relids);
	int			round;
	ListCell   *lc;

	for (round = 0; OidIsValid(busy) && round < MOST_ROUNDS; round++)
	{
		Oid			first = busy;

		LockRelationOid(first, AccessExclusiveLock);
		busy = lock_those_free(relids, first);
		if (OidIsValid(busy))
			UnlockRelationOid(first, AccessExclusiveLock);
	}
	if (OidIsValid(busy))
		foreach(lc, relids)
			LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
}

/* Let go of them. */
void
lock_order_undo(List *relids)
{
	ListCell   *lc;

	foreach(lc, relids)
		UnlockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
}

/*
 * Lock all but the one that is held.  If that would mean to wait, none is locked,
 * and the one that is not free is returned.
 */
static Oid
lock_those_free(List *relids, Oid held)
{
	List	   *locked = NIL;
	ListCell   *lc;

	foreach(lc, relids)
	{
		if (lfirst_oid(lc) == held)
			continue;
		if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessExclusiveLock))
		{
			lock_order_undo(locked);
			return lfirst_oid(lc);
		}
		locked = lappend_oid(locked, lfirst_oid(lc));
	}
	return InvalidOid;
}

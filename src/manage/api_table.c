/*
 * api_table.c
 *		The table that an SQL function is called for: who calls, and locks.
 *
 * Views are locked before the tables, as their readers do (view_lock_all), and a
 * table's parents with it, against others who manage the same hierarchy.
 */
#include "postgres.h"

#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

static void lock_table(Oid live, LOCKMODE mode, List *changing, int sqlstate);

/* The first argument, which must be there. */
Oid
api_table_argument(FunctionCallInfo fcinfo, int sqlstate)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("the table must not be NULL"),
				 errhint("Pass the table as regclass, like 'treenode'::regclass.")));
	return PG_GETARG_OID(0);
}

/*
 * Lock a table that the current user owns.  A trigger of the application's may be
 * what calls us: nothing of ours is open, then, that the table or its history would
 * be in use by.
 */
void
api_lock_table(Oid live, LOCKMODE mode, int sqlstate)
{
	lock_table(live, mode, NIL, sqlstate);
}

/*
 * Lock the table ACCESS EXCLUSIVE, and its history view before it: for functions that
 * change or drop that, too.
 */
void
api_lock_table_and_view(Oid live, int sqlstate)
{
	lock_table(live, AccessExclusiveLock, list_make1_oid(live), sqlstate);
}

/*
 * Lock the table in the mode; changing: the tables whose history views change, out of
 * which readers are kept first (see lock_order_take).
 */
void
api_lock_table_with(Oid live, LOCKMODE mode, List *changing, int sqlstate)
{
	lock_table(live, mode, changing, sqlstate);
}

static void
lock_table(Oid live, LOCKMODE mode, List *changing, int sqlstate)
{
	batch_let_go();
	if (get_rel_name(live) != NULL)
	{
		security_check_owner(live, sqlstate);
		lock_order_take(list_make1_oid(live), mode, changing);
	}
	if (get_rel_name(live) == NULL)
		ereport(ERROR,
				(errcode(sqlstate ? sqlstate : ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", live),
				 errhint("Name a table of this database.")));
	security_check_owner(live, sqlstate);
}

RegistryRow *
api_require_history(Oid live, int sqlstate)
{
	RegistryRow *row = registry_get(live);

	if (row == NULL)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("table \"%s\" has no history", get_rel_name(live)),
				 registry_hint_for_untracked(live)));
	registry_check_sound(row, sqlstate);
	return row;
}

/*
 * repair_history.c
 *		repair_history() and widen_history_table().
 *
 * Of several tables each is repaired in a subtransaction of its own: what one's owner
 * has put there does not keep the others from it.
 *
 * Locks: the views of the tables' hierarchies, before SHARE ROW EXCLUSIVE on the tables.
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "doctor/doctor.h"
#include "compat.h"

static List *repair_each(List *rows, DDLAction action, bool in_subxact);
static void repair_what_is_there(void *arg);
static void repair_the_rest(void *arg);
static void warn_of_the_rest(void *arg);
static void lock_views_of_hierarchies(List *rows);
static void forget_dropped(RegistryRow *row);
static RegistryRow *require_registered(Oid live);

PG_FUNCTION_INFO_V1(catmaid_history_repair_history);
PG_FUNCTION_INFO_V1(catmaid_history_widen_history_table);

/* repair_history(live): NULL for all */
Datum
catmaid_history_repair_history(PG_FUNCTION_ARGS)
{
	List	   *rows = PG_ARGISNULL(0) ? registry_all() :
		list_make1(require_registered(PG_GETARG_OID(0)));
	List	   *lives = NIL;
	List	   *there = NIL;
	ListCell   *lc;

	batch_let_go();
	lock_views_of_hierarchies(rows);
	foreach(lc, rows)
		lives = lappend_oid(lives, ((RegistryRow *) lfirst(lc))->live);
	lock_order_take(lives, ShareRowExclusiveLock, NIL);
	foreach(lc, rows)
	{
		RegistryRow *row = lfirst(lc);

		if (get_rel_name(row->live) == NULL)
			forget_dropped(row);
		else
		{
			security_check_owner(row->live, 0);
			row = registry_get(row->live);
			if (row)
				there = lappend(there, row);
		}
	}
	there = repair_each(repair_in_order(there), repair_what_is_there, PG_ARGISNULL(0));
	there = repair_each(there, repair_the_rest, PG_ARGISNULL(0));
	(void) repair_each(there, warn_of_the_rest, PG_ARGISNULL(0));
	PG_RETURN_VOID();
}

/*
 * Do it for each of the rows, and return those for which it went well.  Of several,
 * one that fails, by what its owner has put there, is told in a WARNING, and the
 * others go on.
 */
static List *
repair_each(List *rows, DDLAction action, bool in_subxact)
{
	List	   *done = NIL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		RegistryRow *row = lfirst(lc);
		char	   *message = NULL;

		if (!in_subxact)
			action(row);
		else
			message = attempt_for_one(action, row);
		if (message == NULL)
			done = lappend(done, row);
		else
			ereport(WARNING,
					(errmsg("the history of table %s cannot be repaired", naming_quoted(row->live)),
					 errdetail("%s.", message),
					 errhint("SELECT %s(%s::regclass) shows the error.",
							 hint_function("repair_history"),
							 hint_table(row->live))));
	}
	return done;
}

static void
repair_what_is_there(void *arg)
{
	repair_row(arg);
	repair_owners(arg, GetUserId());
	repair_missing(arg);
	derived_restore_names(arg);
}

static void
repair_the_rest(void *arg)
{
	RegistryRow *row = arg;
	Relation	live = table_open(row->live, NoLock);
	bool		tracked = row->triggers_installed || triggers_enabled(row->live, row);

	table_close(live, NoLock);
	repair_table(row, tracked, false);
}

static void
warn_of_the_rest(void *arg)
{
	Oid			live = ((RegistryRow *) arg)->live;
	RegistryRow *row = registry_get(live);

	if (row)
		check_warn(live, psprintf("the history of table %s is not in order", naming_quoted(live)),
				   check_table(row, CHECK_CATALOGS));
}

/* widen_history_table(live): what repair_history does without a rewrite */
Datum
catmaid_history_widen_history_table(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);
	RegistryRow *row;

	lock_views_of_hierarchies(list_make1(api_require_history(live, ERRCODE_UNDEFINED_OBJECT)));
	api_lock_table(live, ShareRowExclusiveLock, 0);
	row = api_require_history(live, ERRCODE_UNDEFINED_OBJECT);
	derived_check_there(row, 0);
	repair_widen(row, true);
	PG_RETURN_VOID();
}

/*
 * Lock, before any table, the views of these tables, of their parents and of their
 * children.  Mending locks derived tables ACCESS EXCLUSIVE, children's with them,
 * and not in the order in which a reader of such a view does.
 */
static void
lock_views_of_hierarchies(List *rows)
{
	List	   *lives = NIL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		Oid			live = ((RegistryRow *) lfirst(lc))->live;

		if (get_rel_name(live) == NULL)
			continue;
		security_check_owner(live, 0);
		lives = list_concat_unique_oid(lives, lineage_of(live));
		lives = list_concat_unique_oid(lives, lineage_below(live));
	}
	view_lock_all(lives, AccessExclusiveLock);
}

/* Remove a dropped table from the registry, keeping its history table. */
static void
forget_dropped(RegistryRow *row)
{
	char	   *history = get_rel_name(row->history);

	if (history && !relation_ownercheck_compat(row->history, GetUserId()))
		return;
	if (!registry_delete(row->live))
		return;
	retention_forget(row->live);
	ereport(NOTICE,
			(errmsg("removed the table with OID %u, which was dropped, from the registry", row->live),
			 history ? errdetail("Its history table %s is kept.", naming_quoted(row->history)) : 0));
}

static RegistryRow *
require_registered(Oid live)
{
	RegistryRow *row = registry_get(live);

	if (row == NULL)
	{
		/* what there is to say of a table that has none */
		api_lock_table(live, AccessShareLock, 0);
		return api_require_history(live, ERRCODE_UNDEFINED_OBJECT);
	}
	return row;
}

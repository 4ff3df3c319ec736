/*
 * api.c
 *		The SQL functions: check who calls and with what, lock, hand down.
 *
 * Functions for all tables lock every live table first, in the order of lock_order.c, so
 * that two of them never wait for each other crosswise; then they do what the
 * function for one table does.  Either all of it happens, or nothing.
 *
 * NULL for the table is an error.  Each returns void.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"
#include "compat.h"

static void refuse_derived(Oid live);
static RegistryRow *history_to_switch(FunctionCallInfo fcinfo, LOCKMODE mode, bool with_view);
static bool is_enabled(FunctionCallInfo fcinfo);
static List *owned_rows(int sqlstate);
static List *lock_these(List *lives, LOCKMODE mode, List *changing, int sqlstate);
static List *lives_of(List *rows);
static List *lock_all(LOCKMODE mode, int sqlstate);
static void drop_with_children(Oid live);
static RegistryRow *require_history_table(Oid target);
static void truncate_history(const RegistryRow *row);

PG_FUNCTION_INFO_V1(catmaid_history_create_history_table);
PG_FUNCTION_INFO_V1(catmaid_history_drop_history_table);
PG_FUNCTION_INFO_V1(catmaid_history_drop_history_table_keep_data);
PG_FUNCTION_INFO_V1(catmaid_history_drop_all_history_tables);
PG_FUNCTION_INFO_V1(catmaid_history_enable_for_table);
PG_FUNCTION_INFO_V1(catmaid_history_disable_for_table);
PG_FUNCTION_INFO_V1(catmaid_history_enable);
PG_FUNCTION_INFO_V1(catmaid_history_disable);
PG_FUNCTION_INFO_V1(catmaid_history_reload_for_table);
PG_FUNCTION_INFO_V1(catmaid_history_reload);
PG_FUNCTION_INFO_V1(catmaid_history_sync_tracking_table);
PG_FUNCTION_INFO_V1(catmaid_history_create_view);
PG_FUNCTION_INFO_V1(catmaid_history_drop_view);
PG_FUNCTION_INFO_V1(catmaid_history_initialize_new_history_table);
PG_FUNCTION_INFO_V1(catmaid_history_truncate_history_table);
PG_FUNCTION_INFO_V1(catmaid_history_truncate_all_history_tables);

/* create_history_table(live, time_column, txid_column, create_triggers, copy_inheritance, sync) */
Datum
catmaid_history_create_history_table(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_HISTORY_REFUSED);
	char	   *time_column = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *txid_column = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));

	batch_let_go();
	history_create(live, time_column, txid_column,
				   PG_ARGISNULL(3) || PG_GETARG_BOOL(3),
				   PG_ARGISNULL(4) || PG_GETARG_BOOL(4),
				   PG_ARGISNULL(5) || PG_GETARG_BOOL(5));
	PG_RETURN_VOID();
}

Datum
catmaid_history_drop_history_table(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);

	api_lock_table_and_view(live, 0);
	refuse_derived(live);
	history_drop(live, false);
	PG_RETURN_VOID();
}

Datum
catmaid_history_drop_history_table_keep_data(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);

	api_lock_table_and_view(live, 0);
	refuse_derived(live);
	history_drop(live, true);
	PG_RETURN_VOID();
}

Datum
catmaid_history_drop_all_history_tables(PG_FUNCTION_ARGS)
{
	List	   *lives = lives_of(owned_rows(0));
	ListCell   *lc;

	foreach(lc, lock_these(lives, AccessExclusiveLock, lives, 0))
		drop_with_children(((RegistryRow *) lfirst(lc))->live);
	PG_RETURN_VOID();
}

/* enable_history_tracking_for_table(live, history, sync) */
Datum
catmaid_history_enable_for_table(PG_FUNCTION_ARGS)
{
	if (!is_enabled(fcinfo))
		reconcile_enable(history_to_switch(fcinfo, ShareRowExclusiveLock, false),
						 PG_ARGISNULL(2) || PG_GETARG_BOOL(2));
	PG_RETURN_VOID();
}

/* disable_history_tracking_for_table(live, history) */
Datum
catmaid_history_disable_for_table(PG_FUNCTION_ARGS)
{
	reconcile_disable(history_to_switch(fcinfo, AccessExclusiveLock, false));
	PG_RETURN_VOID();
}

Datum
catmaid_history_enable(PG_FUNCTION_ARGS)
{
	List	   *rows = owned_rows(ERRCODE_HISTORY_REFUSED);
	ListCell   *lc;

	foreach(lc, lock_these(in_order_not(rows), ShareRowExclusiveLock, NIL, ERRCODE_HISTORY_REFUSED))
		reconcile_enable(lfirst(lc), true);
	PG_RETURN_VOID();
}

Datum
catmaid_history_disable(PG_FUNCTION_ARGS)
{
	ListCell   *lc;

	foreach(lc, lock_all(AccessExclusiveLock, ERRCODE_HISTORY_REFUSED))
		reconcile_disable(lfirst(lc));
	PG_RETURN_VOID();
}

Datum
catmaid_history_reload_for_table(PG_FUNCTION_ARGS)
{
	/* a view that is in order stays as it is */
	reconcile_reload(history_to_switch(fcinfo, AccessExclusiveLock, !is_enabled(fcinfo)));
	PG_RETURN_VOID();
}

Datum
catmaid_history_reload(PG_FUNCTION_ARGS)
{
	List	   *rows = owned_rows(ERRCODE_HISTORY_REFUSED);
	ListCell   *lc;

	foreach(lc, lock_these(lives_of(rows), AccessExclusiveLock, in_order_not(rows), ERRCODE_HISTORY_REFUSED))
		reconcile_reload(lfirst(lc));
	PG_RETURN_VOID();
}

/* sync_tracking_table(live, tracking) */
Datum
catmaid_history_sync_tracking_table(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);
	RegistryRow *row;

	api_lock_table(live, ShareRowExclusiveLock, 0);
	row = api_require_history(live, ERRCODE_UNDEFINED_OBJECT);
	if (!OidIsValid(row->tracking) ||
		(!PG_ARGISNULL(1) && PG_GETARG_OID(1) != row->tracking))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not the tracking table of table \"%s\"",
						PG_ARGISNULL(1) || get_rel_name(PG_GETARG_OID(1)) == NULL ? "this" :
						psprintf("\"%s\"", get_rel_name(PG_GETARG_OID(1))),
						get_rel_name(live)),
				 OidIsValid(row->tracking) ?
				 errhint("Its tracking table is %s.", naming_quoted(row->tracking)) :
				 errhint("The table has a time column and needs no tracking table.")));
	derived_check_there(row, 0);
	tracking_sync(row);
	PG_RETURN_VOID();
}

Datum
catmaid_history_create_view(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);

	api_lock_table(live, ShareUpdateExclusiveLock, 0);
	view_create(api_require_history(live, ERRCODE_UNDEFINED_OBJECT));
	PG_RETURN_VOID();
}

Datum
catmaid_history_drop_view(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);

	api_lock_table(live, ShareUpdateExclusiveLock, 0);
	if (OidIsValid(view_find(live)))
		view_drop(live, false);
	else
		ereport(NOTICE,
				(errmsg("table \"%s\" has no history view, nothing changed",
						get_rel_name(live))));
	PG_RETURN_VOID();
}

/* initialize_new_history_table(live, history, live_table_pkey_column) */
Datum
catmaid_history_initialize_new_history_table(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);
	RegistryRow *row;
	Relation	rel;

	api_lock_table(live, ShareRowExclusiveLock, 0);
	row = api_require_history(live, ERRCODE_UNDEFINED_OBJECT);
	if (PG_ARGISNULL(1) || PG_GETARG_OID(1) != row->history)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("this is not the history table of table \"%s\"", get_rel_name(live)),
				 errhint("Its history table is %s.", naming_quoted(row->history))));
	if (PG_ARGISNULL(2) ||
		strcmp(text_to_cstring(PG_GETARG_TEXT_PP(2)), linitial(row->key)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the primary key of table \"%s\" begins with column \"%s\"",
						get_rel_name(live), (char *) linitial(row->key)),
				 errhint("Pass %s as live_table_pkey_column.",
						 quote_literal_cstr(linitial(row->key)))));
	derived_check_there(row, 0);

	rel = table_open(live, NoLock);
	fit_check_key(row, 0);
	indexes_create(rel, row->history, row->key);
	table_close(rel, NoLock);
	view_create(row);
	PG_RETURN_VOID();
}

/*
 * truncate_history_table(target): a history table, and that alone.  While it waited
 * for the lock the history may have been dropped, or kept as a table of its own.
 */
Datum
catmaid_history_truncate_history_table(PG_FUNCTION_ARGS)
{
	Oid			target = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);
	RegistryRow *row;

	api_lock_table(require_history_table(target)->live, AccessShareLock, 0);
	row = require_history_table(target);
	registry_check_sound(row, 0);
	truncate_history(row);
	PG_RETURN_VOID();
}

Datum
catmaid_history_truncate_all_history_tables(PG_FUNCTION_ARGS)
{
	List	   *rows = lock_all(AccessShareLock, 0);
	List	   *histories = NIL;
	ListCell   *lc;

	/* readers of a parent's history read its children's, too, whose OIDs may be lower */
	foreach(lc, rows)
	{
		RegistryRow *row = lfirst(lc);

		if (get_rel_name(row->history) != NULL)
			histories = list_concat_unique_oid(histories, segments_and_head(row->history));
	}
	lock_order_together(histories);
	foreach(lc, rows)
	{
		RegistryRow *row = lfirst(lc);

		if (get_rel_name(row->history) != NULL)
			truncate_history(row);
	}
	PG_RETURN_VOID();
}

/* A history or tracking table has no history of its own to be dropped. */
static void
refuse_derived(Oid live)
{
	if (registry_get(live) == NULL && registry_get_by_derived(live) != NULL)
		(void) api_require_history(live, ERRCODE_UNDEFINED_OBJECT);
}

/*
 * What enable and disable are called for: (live, history or NULL), locked; with_view: ACCESS
 * EXCLUSIVE, with its view.
 */
static RegistryRow *
history_to_switch(FunctionCallInfo fcinfo, LOCKMODE mode, bool with_view)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_HISTORY_REFUSED);
	RegistryRow *row;

	if (with_view)
		api_lock_table_and_view(live, ERRCODE_HISTORY_REFUSED);
	else
		api_lock_table(live, mode, ERRCODE_HISTORY_REFUSED);
	row = api_require_history(live, ERRCODE_HISTORY_REFUSED);
	if (PG_NARGS() > 1 && !PG_ARGISNULL(1) && PG_GETARG_OID(1) != row->history)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("%s is not the history table of table \"%s\"",
						get_rel_name(PG_GETARG_OID(1)) == NULL ? "this" :
						psprintf("\"%s\"", get_rel_name(PG_GETARG_OID(1))),
						get_rel_name(live)),
				 errhint("Its history table is %s; NULL means that one.",
						 naming_quoted(row->history))));
	return row;
}

/* Returns true if there is nothing to be enabled for the function's table. */
static bool
is_enabled(FunctionCallInfo fcinfo)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_HISTORY_REFUSED);
	RegistryRow *row;

	if (get_rel_name(live) == NULL || !relation_ownercheck_compat(live, GetUserId()))
		return false;
	row = registry_get(live);
	return row && (PG_NARGS() < 2 || PG_ARGISNULL(1) || PG_GETARG_OID(1) == row->history) &&
		in_order(row);
}

/* The rows of the registered tables that are there, all of them the current user's. */
static List *
owned_rows(int sqlstate)
{
	List	   *rows = NIL;
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *row = lfirst(lc);

		if (get_rel_name(row->live) == NULL)
			continue;
		security_check_owner(row->live, sqlstate);
		rows = lappend(rows, row);
	}
	return rows;
}

/* The rows of the registry of these tables, by OID, which are locked; changing: see lock_order_take. */
static List *
lock_these(List *lives, LOCKMODE mode, List *changing, int sqlstate)
{
	List	   *locked = NIL;
	ListCell   *lc;

	batch_let_go();
	lock_order_take(lives, mode, changing);
	foreach(lc, lives)
	{
		RegistryRow *row;

		if (get_rel_name(lfirst_oid(lc)) == NULL)
			continue;
		security_check_owner(lfirst_oid(lc), sqlstate);

		/* as it is now that nobody else can change it */
		row = registry_get(lfirst_oid(lc));
		if (row == NULL)
			continue;
		registry_check_sound(row, sqlstate);
		locked = lappend(locked, row);
	}
	return locked;
}

/* All rows of the registry, their live tables locked. */
static List *
lock_all(LOCKMODE mode, int sqlstate)
{
	return lock_these(lives_of(owned_rows(sqlstate)), mode, NIL, sqlstate);
}

/* The OIDs of the live tables. */
static List *
lives_of(List *rows)
{
	List	   *lives = NIL;
	ListCell   *lc;

	foreach(lc, rows)
		lives = lappend_oid(lives, ((RegistryRow *) lfirst(lc))->live);
	return lives;
}

static void
drop_with_children(Oid live)
{
	RegistryRow *row = registry_get(live);
	ListCell   *lc;

	if (row == NULL)
		return;
	if (get_rel_name(row->history) != NULL)
		foreach(lc, find_inheritance_children(row->history, AccessExclusiveLock))
		{
			RegistryRow *child = registry_get_by_derived(lfirst_oid(lc));

			if (child && child->history == lfirst_oid(lc))
				drop_with_children(child->live);
		}
	history_drop(live, false);
}

/* The registry's row of a history table; an error if it is none. */
static RegistryRow *
require_history_table(Oid target)
{
	RegistryRow *row = get_rel_name(target) ? registry_get_by_derived(target) : NULL;
	RegistryRow *meant = row ? row : registry_get(target);

	if (row == NULL || row->history != target)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a history table",
						get_rel_name(target) ? psprintf("\"%s\"", get_rel_name(target)) : "this"),
				 meant && get_rel_name(meant->history) ?
				 errhint("Its history table is %s.", naming_quoted(meant->history)) :
				 errhint("Name a history table, as listed in %s.",
						 naming_quoted(extension_registry()))));
	return row;
}

static void
truncate_history(const RegistryRow *row)
{
	SecurityState before;
	ListCell   *lc;

	/* what is on other servers is emptied there when this has been committed: by maintain_history() */
	if (segments_on_servers(row->history) != NIL)
		LockRelationOid(row->history, AccessExclusiveLock);
	foreach(lc, segments_on_servers(row->history))
		left_take_off(lfirst_oid(lc), row->history);
	security_act_as(security_owner_of(row->history), ACT_TO_MANAGE, &before);
	foreach(lc, segments_here_and_head(row->history))
		tracking_truncate(lfirst_oid(lc));
	security_act_as_before(&before);
	reach_begin_at(row, GetCurrentTimestamp());
}

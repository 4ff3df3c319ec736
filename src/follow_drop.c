/*
 * follow_drop.c
 *		After a DDL command: live tables that are gone, and derived tables that
 *		somebody dropped or renamed by hand.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catmaid_history.h"

static bool cascades(Node *statement);
static void clear_up_after(Oid live, bool cascade);
static bool moved(Oid relid, const NameData *name, Oid namespace);
static bool bears(Oid relid, const char *name);
static bool beside(Oid live, Oid derived, const char *name);

/*
 * The live table has been dropped by the statement: so is its history, or it is
 * forgotten, or kept, as the settings of its owner have it.
 */
void
follow_drop(Oid live, Node *statement)
{
	clear_up_after(live, cascades(statement));
}

static bool
cascades(Node *statement)
{
	if (IsA(statement, DropStmt))
		return ((DropStmt *) statement)->behavior == DROP_CASCADE;
	return IsA(statement, DropOwnedStmt) &&
		((DropOwnedStmt *) statement)->behavior == DROP_CASCADE;
}

/* The live table has been dropped: so is its history, or it is forgotten. */
static void
clear_up_after(Oid live, bool cascade)
{
	RegistryRow *row = registry_get(live);
	TableSnapshot *before;
	ListCell   *lc;
	bool		stays;

	if (row == NULL)
		return;
	before = snapshot_copy(live);
	if (before == NULL || !registry_is_sound(row, before->owner))
	{
		registry_delete(live);
		return;
	}
	if (!settings_follow_ddl(before->owner))
		return;
	stays = settings_on_drop_table(before->owner) == ON_DROP_KEEP ||
		!row->triggers_installed;

	if (get_rel_name(row->history) != NULL)
		foreach(lc, find_inheritance_children(row->history, AccessExclusiveLock))
		{
			RegistryRow *child = registry_get_by_derived(lfirst_oid(lc));

			if (child && child->history == lfirst_oid(lc) &&
				get_rel_name(child->live) == NULL)
				clear_up_after(child->live, cascade);
		}

	registry_delete(live);
	if (OidIsValid(row->tracking) && get_rel_name(row->tracking) != NULL)
		derived_drop_with(row->tracking, cascade);
	if (get_rel_name(row->history) == NULL)
		return;
	if (stays)
	{
		ereport(NOTICE,
				(errmsg("history table %s stays", naming_quoted(row->history)),
				 errdetail("Its live table was dropped.")));
		return;
	}
	foreach(lc, find_inheritance_children(row->history, AccessExclusiveLock))
		catalog_disinherit(lfirst_oid(lc), row->history);
	derived_drop_with(row->history, cascade);
}

/*
 * Nobody takes the history or tracking table of a tracked table away by hand,
 * or renames it, but with the live table, as another session may have.  With tracking disabled a history table that was dropped takes
 * its registry row along.
 */
void
follow_check_derived(RegistryRow *row)
{
	TableSnapshot *before = snapshot_copy(row->live);
	char	   *history = get_rel_name(row->history);
	char	   *tracking = OidIsValid(row->tracking) ? get_rel_name(row->tracking) : NULL;
	bool		gone = history == NULL || (OidIsValid(row->tracking) && tracking == NULL);
	bool		renamed = !gone && before &&
		((moved(row->history, &before->history_name, before->history_namespace) &&
		  !beside(row->live, row->history, naming_history_table(row->live))) ||
		 (tracking &&
		  moved(row->tracking, &before->tracking_name, before->tracking_namespace) &&
		  !beside(row->live, row->tracking, naming_tracking_table(row->live))));
	Relation	live;

	if (!(gone || renamed))
		return;
	live = derived_open_at_once(row->live, AccessShareLock);
	if (live == NULL)
		return;
	table_close(live, NoLock);

	if (triggers_enabled(row->live, row))
		follow_refuse_by_hand(row->live, gone ? "drop" : "rename or move");
	if (history == NULL)
	{
		if (registry_is_sound(row, security_owner_of(row->live)))
			derived_drop(row->tracking);
		registry_delete(row->live);
	}
}

static bool
moved(Oid relid, const NameData *name, Oid namespace)
{
	return !bears(relid, NameStr(*name)) || get_rel_namespace(relid) != namespace;
}

/* It may have been dropped since it was looked at, and bears none then. */
static bool
bears(Oid relid, const char *name)
{
	char	   *current = get_rel_name(relid);

	return current && strcmp(current, name) == 0;
}

/* Has the derived table the name and the schema that it should? */
static bool
beside(Oid live, Oid derived, const char *name)
{
	return bears(derived, name) &&
		get_rel_namespace(derived) == get_rel_namespace(live);
}

void
follow_refuse_by_hand(Oid live, const char *verb)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot %s the history or tracking table of table \"%s\" while it is tracked",
					verb, get_rel_name(live)),
			 strcmp(verb, "drop") == 0 ?
			 errhint("SELECT %s(%s::regclass) ends tracking and keeps the history table, SELECT %s(%s::regclass) drops both.",
					 naming_quoted_in(registry_namespace(), "drop_history_table_keep_data"),
					 quote_literal_cstr(naming_quoted(live)),
					 naming_quoted_in(registry_namespace(), "drop_history_table"),
					 quote_literal_cstr(naming_quoted(live))) :
			 errhint("RENAME TO, SET SCHEMA and OWNER TO of table %s take them along; or SELECT %s(%s::regclass) first.",
					 naming_quoted(live),
					 naming_quoted_in(registry_namespace(),
									  "disable_history_tracking_for_table"),
					 quote_literal_cstr(naming_quoted(live)))));
}

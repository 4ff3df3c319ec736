/*
 * reconcile.c
 *		Make a registered table's history side match the live table.
 *
 * Enabling looks at what is really there (columns, key, indexes, triggers) and
 * mends what is missing, so it may be called at any time and any number of
 * times.  Disabling takes away the triggers, nothing else.
 *
 * The caller holds SHARE ROW EXCLUSIVE (ACCESS EXCLUSIVE to disable) on the
 * live table and has checked its owner.
 */
#include "postgres.h"

#include "access/table.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

static void enable(RegistryRow *row, bool sync, bool recorded);
static void remove_triggers(Oid relid);
static void rename_column(RegistryRow *row, Oid view, const char *from, const char *to);

/* See to everything that recording needs, and install the triggers. */
void
reconcile_enable(RegistryRow *row, bool sync)
{
	enable(row, sync, triggers_complete(row->live, row));
}

/* recorded: the triggers have been there until now */
static void
enable(RegistryRow *row, bool sync, bool recorded)
{
	Relation	live = table_open(row->live, NoLock);

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (get_rel_name(row->history) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("history table of table \"%s\" does not exist",
						RelationGetRelationName(live)),
				 errhint("SELECT %s(%s::regclass) begins a new one.",
						 hint_function("repair_history"),
						 naming_argument(row->live))));

	derived_check_tracking(row->live, row->tracking, ERRCODE_HISTORY_REFUSED);
	derived_restore_names(row);
	reconcile_renames(row);
	reconcile_columns(row);
	derived_add_maker(row);
	reconcile_key(row);
	row_security_raise(row);
	indexes_create(live, row->history, row->key);

	if (OidIsValid(row->tracking))
	{
		indexes_complete_tracking(live, row->tracking, row->key);
		derived_copy_persistence(row->live, row->tracking);
	}
	if (OidIsValid(row->tracking) && sync)
		tracking_sync(row);
	else if (OidIsValid(row->tracking) && fit_lacks_key(row))
		tracking_complete(row);

	view_refresh(row);
	triggers_install(live, row, ERRCODE_HISTORY_REFUSED);
	table_close(live, NoLock);
	reach_resume(row, recorded);

	row->triggers_installed = true;
	registry_update(row);
}

/*
 * Columns that were renamed while nobody followed: the view still shows them under
 * the names that the history has for them.  One name may have gone from one column to
 * the next.
 */
void
reconcile_renames(RegistryRow *row)
{
	Oid			view = view_of_table(row->live);
	bool		renamed = OidIsValid(view);

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	while (renamed)
	{
		const char **names = view_renamed_columns(view, row->live, true);
		char	   *shown;
		int			i;

		renamed = false;
		for (i = 0; !renamed && (shown = get_attname(view, i + 1, true)) != NULL; i++)
			renamed = strcmp(shown, names[i]) != 0 &&
				get_attnum(row->history, shown) != InvalidAttrNumber;
		if (renamed)
			rename_column(row, view, shown, names[i - 1]);
	}
}

static void
rename_column(RegistryRow *row, Oid view, const char *from, const char *to)
{
	Oid			origin = lineage_origin(row->history, from);

	if (get_attnum(row->history, to) == InvalidAttrNumber &&
		get_attnum(row->history, from) != InvalidAttrNumber &&
		security_owner_of(origin) == security_owner_of(row->history))
	{
		catalog_rename_column(origin, from, to);
		ereport(NOTICE,
				(errmsg("renamed column \"%s\" of history table \"%s\" to \"%s\"",
						from, get_rel_name(row->history), to),
				 errdetail("The column of table \"%s\" was renamed while its history was not tracked.",
						   get_rel_name(row->live))));
	}
	catalog_rename_column(view, from, to);
	registry_row_rename_column(row, from, to);
}

/*
 * The table's present primary key.  One that has lost its key and goes on without it
 * (rekey_loosen) does so; any other without a key is an error.
 */
void
reconcile_key(RegistryRow *row)
{
	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (!fit_goes_on(row))
		rekey(row, rekey_kept(row));
}

/*
 * Enable tracking with re-created triggers.  PostgreSQL makes none on a partition that is
 * being detached, whose rows are the table's until FINALIZE: then they are kept.
 */
void
reconcile_reload(RegistryRow *row)
{
	bool		recorded = triggers_complete(row->live, row);

	if (!lineage_is_detaching(row->live))
		remove_triggers(row->live);
	enable(row, true, recorded);
}

/* Take the triggers away. */
void
reconcile_disable(RegistryRow *row)
{
	bool		recorded = triggers_complete(row->live, row);

	remove_triggers(row->live);
	reach_pause(row, recorded);
	row->triggers_installed = false;
	registry_update(row);
}

static void
remove_triggers(Oid relid)
{
	Relation	live = table_open(relid, NoLock);

	Assert(relation_is_locked(relid, AccessExclusiveLock));
	triggers_remove(live);
	table_close(live, NoLock);
}

/*
 * Add to the history table the live columns that it lacks, with a NOTICE, and
 * refuse types that cannot hold the live ones.
 */
void
reconcile_columns(RegistryRow *row)
{
	Relation	live = table_open(row->live, NoLock);
	Relation	history;

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (columns_find(live, MAKER_COLUMN))
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("table \"%s\" has a column \"%s\", which its history table needs for itself",
						RelationGetRelationName(live), MAKER_COLUMN),
				 errhint("ALTER TABLE %s RENAME COLUMN %s TO ...;",
						 naming_quoted(row->live), MAKER_COLUMN)));

	derived_add_lacking_columns(row, true);
	history = table_open(row->history, NoLock);
	(void) history_map(live, row->live, history, ERRCODE_HISTORY_REFUSED);
	table_close(history, NoLock);
	table_close(live, NoLock);
}

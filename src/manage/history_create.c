/*
 * create.c
 *		Begin to keep a table's history, and cease to.
 *
 * Everything is checked before anything is made, for the table and for its
 * ancestors.  Locks go from the root of the hierarchy down, and from live to derived tables.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"
#include "compat.h"

typedef struct CreateOptions
{
	char	   *time_column;
	char	   *txid_column;
	bool		create_triggers;
	bool		copy_inheritance;
	bool		sync;
} CreateOptions;

static List *history_lineage(Oid live, const CreateOptions *options);
static Oid	create_one(Oid live, Oid parent_history, Oid parent_tracking,
					   const CreateOptions *options);
static void history_forget(const RegistryRow *row);
static void drop_derived(const RegistryRow *row, bool keep_data);
static void refute_claims(Oid live);
static void refute_life(Oid relid);
static void check_trackable(Oid live);
static void check_columns(Relation live, const CreateOptions *options, bool is_parent);
static bool is_convertible(Oid from, Oid to);
static void check_time_columns(Relation live, const CreateOptions *options, bool is_parent);
pg_noreturn static void refuse_time_column(Relation live, Difference *difference, bool is_parent,
										   const char *hint);
pg_noreturn static void refuse_generated(Relation live, const char *name, const char *hint);
static void check_names(Oid live);
static void check_free(Oid live, const char *name, bool replaceable);
static List *tracked_children(Oid history);

/*
 * Set up history for the table, and with copy_inheritance for its ancestors.
 * A table that has a history already is left as it is, with a NOTICE.
 *
 * Takes SHARE ROW EXCLUSIVE on the table and its ancestors.
 */
void
history_create(Oid live, char *time_column, char *txid_column,
			   bool create_triggers, bool copy_inheritance, bool sync)
{
	CreateOptions options = {time_column, txid_column, create_triggers,
	copy_inheritance, sync};
	List	   *tables = history_lineage(live, &options);
	ListCell   *lc;
	Oid			parent = InvalidOid;

	foreach(lc, tables)
		security_check_owner(lfirst_oid(lc), ERRCODE_HISTORY_REFUSED);
	view_lock_all(list_copy(tables), ShareUpdateExclusiveLock);
	foreach(lc, tables)
	{
		LockRelationOid(lfirst_oid(lc), ShareRowExclusiveLock);
		if (get_rel_name(lfirst_oid(lc)) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_HISTORY_REFUSED),
					 errmsg("table was dropped concurrently")));
		security_check_owner(lfirst_oid(lc), ERRCODE_HISTORY_REFUSED);
	}
	if (registry_get(live) != NULL)
	{
		registry_check_sound(registry_get(live), ERRCODE_HISTORY_REFUSED);
		ereport(NOTICE,
				(errmsg("table \"%s\" has a history already, nothing changed",
						get_rel_name(live))));
		return;
	}

	foreach(lc, tables)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		if (registry_get(lfirst_oid(lc)) != NULL)
			registry_check_sound(registry_get(lfirst_oid(lc)), ERRCODE_HISTORY_REFUSED);
		else
		{
			refute_claims(lfirst_oid(lc));
			check_trackable(lfirst_oid(lc));
			check_names(lfirst_oid(lc));
		}
		check_columns(rel, &options, lfirst_oid(lc) != live);
		table_close(rel, NoLock);
	}

	foreach(lc, tables)
	{
		RegistryRow *parent_row = OidIsValid(parent) ? registry_get(parent) : NULL;

		if (registry_get(lfirst_oid(lc)) == NULL)
			create_one(lfirst_oid(lc),
					   parent_row ? parent_row->history : InvalidOid,
					   parent_row ? parent_row->tracking : InvalidOid,
					   &options);
		parent = lfirst_oid(lc);
	}
}

/*
 * Cease to track the table.  keep_data: the history table and its rows stay,
 * without our indexes.  Without a history there is a NOTICE, and triggers that
 * a restore may have left are removed.
 *
 * Takes ACCESS EXCLUSIVE on the live table; the caller has checked its owner.
 */
void
history_drop(Oid live, bool keep_data)
{
	RegistryRow *row = registry_get(live);
	Relation	rel = table_open(live, NoLock);
	const char *name = pstrdup(RelationGetRelationName(rel));
	MemoryContext context = CurrentMemoryContext;
	List	   *children;
	bool		marked;

	if (row == NULL)
	{
		if (!triggers_remove(rel))
			ereport(NOTICE,
					(errmsg("table \"%s\" has no history, nothing changed",
							RelationGetRelationName(rel))));
		table_close(rel, NoLock);
		return;
	}

	/* what is marked is the table's, whatever the registry says */
	marked = registry_row_by_mark(row);
	if (keep_data && !registry_is_sound(row, security_owner_of(live)))
	{
		history_forget(row);
		(void) triggers_remove(rel);
		table_close(rel, NoLock);
		return;
	}
	registry_check_sound(row, 0);
	children = tracked_children(row->history);
	if (children != NIL && !keep_data)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop the history of table \"%s\" because its child table \"%s\" is tracked",
						RelationGetRelationName(rel), get_rel_name(linitial_oid(children))),
				 errhint("SELECT %s(%s::regclass) first; or, to keep its versions, SELECT %s(%s::regclass).",
						 drop_function_name(false),
						 naming_argument(linitial_oid(children)),
						 drop_function_name(true),
						 naming_argument(linitial_oid(children)))));

	triggers_remove(rel);
	table_close(rel, NoLock);
	if (!marked && OidIsValid(row->tracking) && !derived_serves_tracking(row->tracking))
		row->tracking = InvalidOid;
	PG_TRY();
	{
		drop_derived(row, keep_data);
	}
	PG_CATCH();
	{
		const char *dependents = ddl_dependents(context);

		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop the history of table \"%s\" because other objects depend on it",
						name),
				 errdetail("%s", dependents),
				 errhint("Drop them first.")));
	}
	PG_END_TRY();
}

/* Remove a row that is not sound; what it names is left alone. */
static void
history_forget(const RegistryRow *row)
{
	registry_delete(row->live);
	retention_forget(row->live);
	ereport(WARNING,
			(errmsg("table %s is no longer registered", naming_quoted(row->live)),
			 errdetail("The tables that the registry named as its history were not changed.")));
}

/* The view, the tracking table and, unless the data are kept, the history table. */
static void
drop_derived(const RegistryRow *row, bool keep_data)
{
	ListCell   *lc;

	view_drop(row->live, false);
	if (keep_data && get_rel_name(row->history) != NULL)
		reach_keep(row);
	registry_delete(row->live);
	retention_forget(row->live);

	if (OidIsValid(row->tracking) && get_rel_name(row->tracking) != NULL)
	{
		foreach(lc, find_inheritance_children(row->tracking, AccessExclusiveLock))
			catalog_disinherit(lfirst_oid(lc), row->tracking);
		derived_drop(row->tracking);
	}
	if (get_rel_name(row->history) == NULL)
		return;
	if (keep_data)
		indexes_drop(row->history, row->key);
	else
	{
		/* kept histories of children that are not tracked any more */
		foreach(lc, segments_others(row->history, AccessExclusiveLock))
			catalog_disinherit(lfirst_oid(lc), row->history);
		derived_drop(row->history);
	}
}

/*
 * The table and, with copy_inheritance, its ancestors, the root first.  What
 * cannot be tracked at all is refused here, before it is locked.
 */
static List *
history_lineage(Oid live, const CreateOptions *options)
{
	List	   *tables = list_make1_oid(live);

	check_trackable(live);
	while (options->copy_inheritance && get_rel_relkind(live) == RELKIND_RELATION)
	{
		List	   *parents = lineage_parents(live);

		if (list_length(parents) > 1)
			ereport(ERROR,
					(errcode(ERRCODE_HISTORY_REFUSED),
					 errmsg("table \"%s\" has more than one parent",
							get_rel_name(live)),
					 errdetail("Its history could follow only one of them."),
					 errhint("Use copy_inheritance => false to keep a history apart from the parents'.")));
		if (parents == NIL)
			break;
		live = linitial_oid(parents);
		tables = lcons_oid(live, tables);
	}
	return tables;
}

static Oid
create_one(Oid live, Oid parent_history, Oid parent_tracking,
		   const CreateOptions *options)
{
	Relation	rel = table_open(live, NoLock);
	RegistryRow row = {.live = live};
	bool		taken_up = false;
	Oid			old;
	ListCell   *lc;

	row.key = columns_key(rel);
	row.time_column = options->time_column ? options->time_column : EDITION_COLUMN;
	row.txid_column = options->txid_column ? options->txid_column : TRACKING_XID_COLUMN;

	/* what an earlier history has left */
	mark_clear(live);
	view_drop(live, false);
	old = derived_find(live, naming_tracking_table(live), RELKIND_RELATION);
	if (OidIsValid(old))
		foreach(lc, find_inheritance_children(old, AccessExclusiveLock))
			catalog_disinherit(lfirst_oid(lc), old);
	derived_drop(old);

	row.history = take_up_history(live);
	if (!OidIsValid(row.history))
		row.history = derived_create_history(rel, parent_history, options->time_column == NULL);
	else
	{
		reconcile_columns(&row);
		privileges_copy_select(live, row.history);
		row_security_raise(&row);
		taken_up = true;
	}
	if (options->time_column == NULL)
		row.tracking = derived_create_tracking(rel, row.key, false);
	derived_add_maker(&row);
	indexes_create(rel, row.history, row.key);
	registry_inherit_maker(&row);
	registry_insert(&row);
	mark_set(&row);
	if (taken_up)
		reach_take_up(&row);
	/* since when the rows are as they are went with the former tracking table */
	if (taken_up && OidIsValid(row.tracking))
		reach_begin_at(&row, GetCurrentTimestamp());

	if (OidIsValid(parent_history))
	{
		kept_columns_free_names(parent_history, row.history);
		derived_inherit(row.history, parent_history);
	}
	rekey_put_under_parents(&row);

	view_create(&row);
	comments_put(&row);
	if (OidIsValid(parent_history))
	{
		RegistryRow *parent = registry_get_by_derived(parent_history);

		/* the parent's view must look into this table's tables too */
		if (parent)
			view_renew(parent);
	}

	if (OidIsValid(row.tracking) && options->sync)
		tracking_sync(&row);
	if (!options->create_triggers)
		reach_pause(&row, true);
	else
	{
		triggers_install(rel, &row, ERRCODE_HISTORY_REFUSED);
		reach_resume(&row, true);
		row.triggers_installed = true;
		registry_update(&row);
	}
	table_close(rel, NoLock);
	return row.history;
}

/* Remove rows that are not sound and claim the table, or what is to be its history. */
static void
refute_claims(Oid live)
{
	Oid			history = derived_find(live, naming_history_table(live), RELKIND_RELATION);
	Oid			tracking = derived_find(live, naming_tracking_table(live), RELKIND_RELATION);

	registry_refute(live, InvalidOid);
	if (OidIsValid(history))
		registry_refute(history, InvalidOid);
	if (OidIsValid(tracking))
		registry_refute(tracking, InvalidOid);
	refute_life(history);
	refute_life(tracking);
}

/* Remove a row that is not sound and has the table as its live table. */
static void
refute_life(Oid relid)
{
	RegistryRow *row = OidIsValid(relid) ? registry_get(relid) : NULL;

	if (row && !registry_is_sound(row, security_owner_of(relid)))
		history_forget(row);
}

/* Refuse what cannot have a history, whatever its columns. */
static void
check_trackable(Oid live)
{
	const char *name = get_rel_name(live);
	char		relkind = get_rel_relkind(live);
	const char *what = NULL;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("relation with OID %u does not exist", live),
				 errhint("Name a table of this database.")));

	switch (relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			break;
		case RELKIND_VIEW:
			what = "a view";
			break;
		case RELKIND_MATVIEW:
			what = "a materialized view";
			break;
		case RELKIND_FOREIGN_TABLE:
			what = "a foreign table";
			break;
		case RELKIND_SEQUENCE:
			what = "a sequence";
			break;
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			what = "an index";
			break;
		default:
			what = "no ordinary table";
	}
	if (what == NULL && live < FirstNormalObjectId)
		what = "a system catalog";
	if (what == NULL && get_rel_persistence(live) == RELPERSISTENCE_TEMP)
		what = "a temporary table";
	if (what == NULL && live == extension_registry())
		what = "the registry of the histories itself";
	if (what == NULL && registry_is_derived(live))
		what = "a history or tracking table itself";
	if (what)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("cannot keep a history of \"%s\": it is %s", name, what),
				 errhint("Only permanent or unlogged tables and partitioned tables have a history.")));

	if (get_rel_relispartition(live))
	{
		Oid			root = lineage_root(live);

		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("cannot keep a history of \"%s\" alone: it is a partition of \"%s\"",
						name, get_rel_name(root)),
				 errhint("SELECT %s(%s::regclass) covers all partitions.",
						 hint_function("create_history_table"),
						 naming_argument(root))));
	}
	if (relkind == RELKIND_PARTITIONED_TABLE)
	{
		ListCell   *lc;

		foreach(lc, find_all_inheritors(live, AccessShareLock, NULL))
			if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
				ereport(ERROR,
						(errcode(ERRCODE_HISTORY_REFUSED),
						 errmsg("cannot keep a history of \"%s\": its partition \"%s\" is a foreign table",
								name, get_rel_name(lfirst_oid(lc))),
						 errhint("ALTER TABLE %s DETACH PARTITION %s;",
								 naming_quoted(linitial_oid(lineage_parents(lfirst_oid(lc)))),
								 naming_quoted(lfirst_oid(lc)))));
	}
}

/* Refuse a table without a key, with columns of ours, or without the named ones. */
static void
check_columns(Relation live, const CreateOptions *options, bool is_parent)
{
	const char *reserved[] = {PERIOD_COLUMN, XID_COLUMN, MAKER_COLUMN};
	int			i;

	for (i = 0; i < lengthof(reserved); i++)
		if (columns_find(live, reserved[i]))
			ereport(ERROR,
					(errcode(ERRCODE_HISTORY_REFUSED),
					 errmsg("table \"%s\" has a column \"%s\", which its history table needs for itself",
							RelationGetRelationName(live), reserved[i]),
					 errhint("ALTER TABLE %s RENAME COLUMN %s TO ...;",
							 naming_quoted(RelationGetRelid(live)), reserved[i])));

	if (columns_key(live) == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(live)),
				 errdetail("A history tells the versions of a row by its primary key."),
				 errhint("ALTER TABLE %s ADD PRIMARY KEY (...);",
						 naming_quoted(RelationGetRelid(live)))));

	if ((options->time_column == NULL) != (options->txid_column == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("time_column and txid_column of table \"%s\" must be given both, or neither",
						RelationGetRelationName(live)),
				 errhint("Give both columns, or neither to have a tracking table made.")));
	if (options->time_column)
		check_time_columns(live, options, is_parent);
}

/* Returns true if a column of the one type can simply be given the other. */
static bool
is_convertible(Oid from, Oid to)
{
	return (to == TIMESTAMPTZOID && from == TIMESTAMPOID) ||
		(to == INT8OID && (from == INT4OID || from == INT2OID));
}

static void
check_time_columns(Relation live, const CreateOptions *options, bool is_parent)
{
	Form_pg_attribute txid;
	const char *hint = is_parent ?
		"Use copy_inheritance => false to keep a history apart from the parent's." :
		"Name a column of the table, or none to have a tracking table made.";
	ListCell   *lc;

	foreach(lc, fit_time_columns(live, options->time_column, options->txid_column))
		refuse_time_column(live, lfirst(lc), is_parent, hint);

	/* its values are the transactions that edited the row */
	txid = columns_find(live, options->txid_column);
	if (txid->attidentity)
		refuse_generated(live, options->txid_column, hint);
}

static void
refuse_time_column(Relation live, Difference *difference, bool is_parent, const char *hint)
{
	const char *name = difference->name;

	if (difference->kind == TIME_COLUMN_MISSING)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("%s \"%s\" has no column \"%s\"",
						is_parent ? "parent table" : "table",
						RelationGetRelationName(live), name),
				 errhint("%s", hint)));
	if (difference->kind == TIME_COLUMN_OF_OTHER_TYPE)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("column \"%s\" of table \"%s\" has type %s, but must have type %s",
						name, RelationGetRelationName(live),
						format_type_be(difference->live.atttypid), format_type_be(difference->type)),
				 is_convertible(difference->live.atttypid, difference->type) ?
				 errhint("ALTER TABLE %s ALTER COLUMN %s TYPE %s;",
						 naming_quoted(RelationGetRelid(live)), quote_identifier(name),
						 format_type_be(difference->type)) :
				 errhint("%s", hint)));
	if (attribute_is_virtual_compat(&difference->live))
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("column \"%s\" of table \"%s\" is a virtual generated column, which is not stored",
						name, RelationGetRelationName(live)),
				 errhint("%s", hint)));
	refuse_generated(live, name, hint);
}

static void
refuse_generated(Relation live, const char *name, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_HISTORY_REFUSED),
			 errmsg("column \"%s\" of table \"%s\" is generated and cannot hold the transaction id",
					name, RelationGetRelationName(live)),
			 errhint("%s", hint)));
}

/* Refuse names that do not fit, or are taken by what is not ours. */
static void
check_names(Oid live)
{
	Oid			history;
	Oid			tracking;

	naming_check_room(get_rel_name(live), ERRCODE_HISTORY_REFUSED);

	history = derived_find(live, naming_history_table(live), RELKIND_RELATION);
	check_free(live, naming_history_table(live),
			   OidIsValid(history) && derived_has_history_defaults(history) &&
			   !get_rel_relispartition(history) &&
			   registry_get_by_derived(history) == NULL &&
			   registry_get(history) == NULL);

	tracking = derived_find(live, naming_tracking_table(live), RELKIND_RELATION);
	check_free(live, naming_tracking_table(live),
			   OidIsValid(tracking) && derived_is_tracking(tracking) &&
			   registry_get_by_derived(tracking) == NULL &&
			   registry_get(tracking) == NULL);

	check_free(live, naming_view(live), OidIsValid(view_find(live)));
}

static void
check_free(Oid live, const char *name, bool replaceable)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									   CStringGetDatum(name),
									   ObjectIdGetDatum(get_rel_namespace(live)));

	/* a relation has a type of its name; PostgreSQL moves array types away */
	if (OidIsValid(type) && !OidIsValid(get_typ_typrelid(type)) &&
		!OidIsValid(get_element_type(type)))
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("type \"%s\" already exists, table \"%s\" needs the name for its history",
						name, get_rel_name(live)),
				 errhint("Rename or drop the type %s.",
						 naming_quoted_in(get_rel_namespace(live), name))));
	if (OidIsValid(get_relname_relid(name, get_rel_namespace(live))) && !replaceable)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("relation \"%s\" already exists, table \"%s\" needs the name for its history",
						name, get_rel_name(live)),
				 errhint("Rename or drop %s.",
						 naming_quoted_in(get_rel_namespace(live), name))));
}

/* Live tables whose history is a child of this one. */
static List *
tracked_children(Oid history)
{
	List	   *children = NIL;
	ListCell   *lc;

	if (get_rel_name(history) == NULL)
		return NIL;
	foreach(lc, find_inheritance_children(history, AccessShareLock))
	{
		RegistryRow *row = registry_get_by_derived(lfirst_oid(lc));

		if (row)
			children = lappend_oid(children, row->live);
	}
	return children;
}

/*
 * follow_table.c
 *		What else may change of a live table, followed on the history side:
 *		names and owner, parents, partitions, the primary key.
 *
 * The caller holds on the live table the lock of the command.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catmaid_history.h"
#include "compat.h"

static void follow_name(Oid derived, const char *name,
						const TableState *before, const TableState *now);
static void follow_index_names(Oid live, Oid table);
static RegistryRow *sound_parent(Oid live);
static void cover_partition(RegistryRow *row, Oid leaf);
static void release_partition(RegistryRow *row, Oid leaf);
static void refuse_unfit(Oid live, const char *column, Oid type);
static bool has_columns(Oid relid, List *names);

/* RENAME TO, SET SCHEMA, OWNER TO. */
void
follow_identity(RegistryRow *row, const TableState *before,
				const TableState *now)
{
	Oid			view;

	if (strcmp(NameStr(before->name), NameStr(now->name)) == 0 &&
		before->namespace == now->namespace && before->owner == now->owner)
		return;

	naming_check_room(NameStr(now->name), ERRCODE_NAME_TOO_LONG);
	view = view_of_table_named(row->live,
							   psprintf("%s__with_history", NameStr(before->name)),
							   before->namespace, before->owner);
	if (OidIsValid(view))
		follow_name(view, naming_view(row->live), before, now);
	follow_name(row->history, naming_history_table(row->live), before, now);
	follow_index_names(row->live, row->history);
	if (OidIsValid(row->tracking))
	{
		follow_name(row->tracking, naming_tracking_table(row->live), before, now);
		follow_index_names(row->live, row->tracking);
	}
}

/* INHERIT and NO INHERIT. */
void
follow_hierarchy(RegistryRow *row, const TableState *before,
				 const TableState *now)
{
	ListCell   *lc;

	foreach(lc, before->parents)
	{
		RegistryRow *parent;

		if (list_member_oid(now->parents, lfirst_oid(lc)) ||
			(parent = sound_parent(lfirst_oid(lc))) == NULL)
			continue;
		if (list_member_oid(lineage_parents(row->history), parent->history))
			catalog_disinherit(row->history, parent->history);
		if (OidIsValid(row->tracking) && OidIsValid(parent->tracking) &&
			list_member_oid(lineage_parents(row->tracking), parent->tracking))
			catalog_disinherit(row->tracking, parent->tracking);
		view_renew(parent);
	}

	foreach(lc, now->parents)
	{
		RegistryRow *parent;

		if (list_member_oid(before->parents, lfirst_oid(lc)) ||
			(parent = sound_parent(lfirst_oid(lc))) == NULL)
			continue;
		if (list_length(now->parents) > 1)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table \"%s\" would have more than one parent, its history cannot follow",
							get_rel_name(row->live)),
					 errhint("SELECT %s(%s::regclass) first.",
							 naming_quoted_in(registry_namespace(),
											  "drop_history_table_keep_data"),
							 quote_literal_cstr(naming_quoted(row->live)))));
		follow_kept_make_room(parent->history, row->history);
		derived_inherit(row->history, parent->history);
		if (OidIsValid(row->tracking) && OidIsValid(parent->tracking))
			derived_inherit(row->tracking, parent->tracking);
		view_renew(parent);
	}
}

/*
 * The parent's row, or NULL; also where the registry sends its history to
 * somebody else's table (see registry_is_sound), which is not to be touched.
 */
static RegistryRow *
sound_parent(Oid live)
{
	RegistryRow *row = registry_get(live);

	return row && registry_is_sound(row, security_owner_of(live)) ? row : NULL;
}

/* Partitions that came, and partitions that left without being dropped. */
void
follow_partitions(RegistryRow *row, const TableState *before,
				  const TableState *now)
{
	ListCell   *lc;

	foreach(lc, now->leaves)
		if (!list_member_oid(before->leaves, lfirst_oid(lc)))
			cover_partition(row, lfirst_oid(lc));
	foreach(lc, before->leaves)
		if (!list_member_oid(now->leaves, lfirst_oid(lc)) &&
			get_rel_name(lfirst_oid(lc)) != NULL &&
			lineage_root(lfirst_oid(lc)) != row->live)
			release_partition(row, lfirst_oid(lc));
}

/*
 * The primary key, the time and the txid column: follow the key, refuse what
 * cannot be followed.
 *
 * A table that had no key and gets the one it is registered with is being
 * restored (pg_restore -j makes triggers before keys, too): its indexes are yet
 * to come.  A partitioned table's key is none until its partitions have it.
 */
void
follow_key(RegistryRow *row, const TableState *before, const TableState *now,
		   Node *statement)
{
	Relation	live = table_open(row->live, NoLock);
	List	   *key = columns_key(live);
	bool		remade = false;
	ListCell   *lc;

	if (!OidIsValid(before->key_index) &&
		(key == NIL || columns_same_names(key, row->key)))
	{
		table_close(live, NoLock);
		return;
	}
	if (key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" would be left without a primary key, but its history is tracked",
						RelationGetRelationName(live)),
				 errhint("Replace the key in one command: ALTER TABLE %s DROP CONSTRAINT ..., ADD PRIMARY KEY (...); or SELECT %s(%s::regclass) first.",
						 naming_quoted(row->live),
						 naming_quoted_in(registry_namespace(),
										  has_columns(row->live, row->key) ?
										  "disable_history_tracking_for_table" :
										  "drop_history_table_keep_data"),
						 quote_literal_cstr(naming_quoted(row->live)))));
	if (!OidIsValid(row->tracking))
	{
		Form_pg_attribute time = columns_find(live, row->time_column);
		Form_pg_attribute txid = columns_find(live, row->txid_column);

		if (time == NULL || time->atttypid != TIMESTAMPTZOID ||
			attribute_is_virtual_compat(time))
			refuse_unfit(row->live, row->time_column, TIMESTAMPTZOID);
		if (txid == NULL || txid->atttypid != INT8OID || txid->attgenerated)
			refuse_unfit(row->live, row->txid_column, INT8OID);
	}
	table_close(live, NoLock);

	foreach(lc, row->key)
	{
		AttrNumber	attnum = get_attnum(row->live, lfirst(lc));

		remade |= attnum > before->natts ||
			(attnum > 0 && (!before->columns[attnum - 1].exists ||
							follow_columns_computed(now, attnum, statement) ||
							follow_columns_regenerated(now, attnum, statement)));
	}
	derived_check_tracking(row->live, row->tracking, 0);
	reconcile_key(row, remade);
}

/* The time or the txid column would be gone, or have another type. */
static void
refuse_unfit(Oid live, const char *column, Oid type)
{
	/* the history view, too, would stand in the way of the command */
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("column \"%s\" of table \"%s\" must stay, with type %s: its history is tracked by it",
					column, get_rel_name(live), format_type_be(type)),
			 errhint("SELECT %s(%s::regclass) first; create_history_table takes up the history again afterwards.",
					 naming_quoted_in(registry_namespace(),
									  "drop_history_table_keep_data"),
					 quote_literal_cstr(naming_quoted(live)))));
}

static bool
has_columns(Oid relid, List *names)
{
	ListCell   *lc;

	foreach(lc, names)
		if (get_attnum(relid, lfirst(lc)) == InvalidAttrNumber)
			return false;
	return true;
}

static void
follow_name(Oid derived, const char *name,
			const TableState *before, const TableState *now)
{
	Oid			taken = get_relname_relid(name, now->namespace);
	char	   *current = get_rel_name(derived);

	/* while the command waited for the lock of another one, perhaps */
	if (current == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("history of table \"%s\" was dropped concurrently",
						NameStr(now->name)),
				 errhint("SELECT %s(%s::regclass) makes anew what is gone.",
						 naming_quoted_in(registry_namespace(), "repair_history"),
						 quote_literal_cstr(naming_quoted_in(before->namespace,
															 NameStr(before->name))))));
	if (OidIsValid(taken) && taken != derived)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists, table \"%s\" needs the name for its history",
						name, NameStr(now->name)),
				 errhint("Rename or drop %s, or use another name for the table.",
						 naming_quoted(taken))));
	if (strcmp(current, name) != 0)
		catalog_rename(derived, name);
	if (get_rel_namespace(derived) != now->namespace)
		catalog_move(derived, now->namespace);

	/* somebody else's view under the name is not handed to the new owner */
	if (security_owner_of(derived) != now->owner &&
		security_owner_of(derived) == before->owner)
		catalog_change_owner(derived, now->owner);
}

static void
follow_index_names(Oid live, Oid table)
{
	ListCell   *lc;

	foreach(lc, indexes_own(live, table))
	{
		OwnIndex   *own = lfirst(lc);
		char	   *clipped = naming_index(live, own->label);

		if (strcmp(get_rel_name(own->index), clipped) != 0)
			catalog_rename(own->index,
						   naming_free_index(live, get_rel_namespace(table), own->label));
	}
}

/* TRUNCATE of the partition itself, and the edition times of its rows. */
static void
cover_partition(RegistryRow *row, Oid leaf)
{
	Relation	rel = table_open(leaf, ShareRowExclusiveLock);

	triggers_install_truncate(rel, row, 0);
	if (OidIsValid(row->tracking))
		tracking_add_from(row, leaf);
	table_close(rel, NoLock);
}

/* The rows that left with the partition have ended. */
static void
release_partition(RegistryRow *row, Oid leaf)
{
	SecurityState state;
	Relation	rel = table_open(leaf, AccessExclusiveLock);

	if (triggers_covers_truncate(rel) && registry_get(leaf) == NULL)
	{
		security_act_as(security_owner_of(row->live),
						ACT_FOR_WRITER | ACT_TO_MANAGE, &state);
		truncate_store_rows(rel, cache_build_for(rel, row->live), TRACKING_FORGETS);
		security_act_as_before(&state);
		triggers_remove_truncate(rel);
	}
	table_close(rel, NoLock);
}

/*
 * follow_table.c
 *		What else may change of a live table, followed on the history side:
 *		names and owner, parents, partitions.  The primary key: follow_key.c.
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
		rekey_put_under_parents(row);
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
							 drop_function_name(true),
							 naming_argument(row->live))));
		follow_kept_make_room(parent->history, row->history);
		derived_inherit(row->history, parent->history);
		rekey_put_under_parents(row);
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
	RegistryRow *own = registry_get(leaf);

	if (triggers_covers_truncate(rel) && (own == NULL || !mark_is_set(own)))
	{
		security_act_as(security_owner_of(row->live),
						ACT_FOR_WRITER | ACT_TO_MANAGE, &state);
		truncate_store_rows(rel, cache_build_for(rel, row->live), TRACKING_FORGETS);
		security_act_as_before(&state);
		triggers_remove_truncate(rel);
	}
	table_close(rel, NoLock);
}

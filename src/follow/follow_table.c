/*
 * follow_table.c
 *		What else may change of a live table, followed on the history side:
 *		names and owner, parents, partitions.  The primary key: follow_key.c.
 *
 * The command holds SHARE UPDATE EXCLUSIVE or more on a live table of which that has
 * changed; where partitions have, perhaps on the one above them alone.
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

#include "follow/follow.h"
#include "compat.h"

static RegistryRow *sound_parent(Oid live);
static void cover_partition(RegistryRow *row, Oid leaf);
static void release_partition(RegistryRow *row, Oid leaf);

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
		Assert(relation_is_locked(row->live, ShareUpdateExclusiveLock));
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
		Assert(relation_is_locked(row->live, ShareUpdateExclusiveLock));
		if (list_length(now->parents) > 1)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table \"%s\" would have more than one parent, its history cannot follow",
							get_rel_name(row->live)),
					 errhint("SELECT %s(%s::regclass) first.",
							 drop_function_name(true),
							 naming_argument(row->live))));
		kept_columns_free_names(parent->history, row->history);
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

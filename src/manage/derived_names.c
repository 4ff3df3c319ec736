/*
 * derived_names.c
 *		History, tracking table, view and indexes are named as their live table is,
 *		and are in its schema and its owner's.
 *
 * Locks: ACCESS EXCLUSIVE on what gets another name, schema or owner.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

static void derived_follow_name(Oid derived, const char *name,
								const TableIdentity *before, const TableIdentity *now);
static void derived_follow_segment_names(Oid live, List *segments, const TableIdentity *before,
										 const TableIdentity *now);
static void derived_follow_index_names(Oid live, Oid table);
static bool derived_name_is_taken(const char *name, Oid namespace, Oid ours);

/*
 * The live table, which had another name, schema or owner before, has these now: so
 * have its derived tables and its view.
 */
void
derived_follow_identity(const RegistryRow *row, const TableIdentity *before,
						const TableIdentity *now)
{
	List	   *segments = segments_relids(row->history);
	Oid			view;

	if (strcmp(NameStr(before->name), NameStr(now->name)) == 0 &&
		before->namespace == now->namespace && before->owner == now->owner)
		return;

	naming_check_room(NameStr(now->name), ERRCODE_NAME_TOO_LONG);
	view = view_of_table_named(row->live,
							   psprintf("%s__with_history", NameStr(before->name)),
							   before->namespace, before->owner);
	if (OidIsValid(view))
		derived_follow_name(view, naming_view(row->live), before, now);
	derived_follow_name(row->history, naming_history_table(row->live), before, now);
	derived_follow_segment_names(row->live, segments, before, now);
	derived_follow_index_names(row->live, row->history);
	if (OidIsValid(row->tracking))
	{
		derived_follow_name(row->tracking, naming_tracking_table(row->live), before, now);
		derived_follow_index_names(row->live, row->tracking);
	}
}

static void
derived_follow_name(Oid derived, const char *name,
					const TableIdentity *before, const TableIdentity *now)
{
	Oid			taken = get_relname_relid(name, now->namespace);
	char	   *current = get_rel_name(derived);

	/* while the command waited for the lock of another one, perhaps */
	if (current == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("history of table \"%s\" was dropped concurrently",
						NameStr(now->name)),
				 errhint("SELECT %s(%s::regclass) re-creates what is missing.",
						 hint_function("repair_history"),
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

/*
 * The history's segments are called X__history_<n>; a name that the owner has given one of
 * them it keeps, as one does that would be too long.
 */
static void
derived_follow_segment_names(Oid live, List *segments, const TableIdentity *before,
							 const TableIdentity *now)
{
	char	   *prefix = psprintf("%s__history_", NameStr(before->name));
	ListCell   *lc;

	foreach(lc, segments)
	{
		char	   *name = get_rel_name(lfirst_oid(lc));
		char	   *own = name;

		if (name == NULL)
			continue;
		if (strncmp(name, prefix, strlen(prefix)) == 0)
			own = psprintf("%s_%s", naming_history_table(live), name + strlen(prefix));
		if (strlen(own) >= NAMEDATALEN)
			own = name;
		derived_follow_name(lfirst_oid(lc), own, before, now);
		derived_follow_segment_indexes(lfirst_oid(lc), name, own);
	}
}

/* Indexes that are called after the segment, as far as such names are free. */
void
derived_follow_segment_indexes(Oid segment, const char *before, const char *now)
{
	Relation	rel;
	List	   *indexes;
	ListCell   *lc;

	if (strcmp(before, now) == 0)
		return;
	rel = table_open(segment, NoLock);
	indexes = RelationGetIndexList(rel);
	table_close(rel, NoLock);
	foreach(lc, indexes)
	{
		char	   *name = get_rel_name(lfirst_oid(lc));
		char	   *own;

		if (name == NULL || strncmp(name, before, strlen(before)) != 0)
			continue;
		own = psprintf("%s%s", now, name + strlen(before));
		if (strlen(own) < NAMEDATALEN && !OidIsValid(get_relname_relid(own, get_rel_namespace(segment))))
			catalog_rename(lfirst_oid(lc), own);
	}
}

static void
derived_follow_index_names(Oid live, Oid table)
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

/*
 * History, tracking table and view get the names and the schema that they should
 * have, after a RENAME or SET SCHEMA that was not followed, unless one is taken.
 */
void
derived_restore_names(RegistryRow *row)
{
	TableIdentity now = {
		.namespace = get_rel_namespace(row->live),
		.owner = security_owner_of(row->live)
	};
	TableIdentity before = now;
	Oid			namespace = get_rel_namespace(row->history);
	char	   *history = get_rel_name(row->history);
	char	   *live = history ? naming_live_of(history) : NULL;

	/* renamed by hand, and not as a history is called */
	if (history && live == NULL && registry_is_sound(row, now.owner) &&
		!derived_name_is_taken(naming_history_table(row->live), namespace, InvalidOid))
	{
		catalog_rename(row->history, naming_history_table(row->live));
		live = get_rel_name(row->live);
	}
	if (live == NULL || !registry_is_sound(row, now.owner) ||
		(strcmp(live, get_rel_name(row->live)) == 0 && namespace == now.namespace) ||
		derived_name_is_taken(naming_history_table(row->live), now.namespace, row->history) ||
		derived_name_is_taken(naming_tracking_table(row->live), now.namespace, row->tracking) ||
		derived_name_is_taken(naming_view(row->live), now.namespace, InvalidOid))
		return;
	namestrcpy(&now.name, get_rel_name(row->live));
	namestrcpy(&before.name, live);
	before.namespace = namespace;
	derived_follow_identity(row, &before, &now);
}

static bool
derived_name_is_taken(const char *name, Oid namespace, Oid ours)
{
	Oid			relid = get_relname_relid(name, namespace);

	return OidIsValid(relid) && relid != ours;
}

/*
 * past_known.c
 *		Whose past a query asks for, and whether that is known.
 *
 * A silent present is the worst fault that the time machine could have: what it cannot tell
 * it refuses.
 *
 * Locks: none that stay; ACCESS SHARE on the registry and catalogs while they are read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "reach/reach.h"
#include "time_machine/time_machine.h"
#include "compat.h"

static bool is_ours(Oid relid);
static Oid	tracked_below(Oid relid);
static void say_uncertain(Oid relid, TimestampTz instant, const Reach *pause);
static void say_unknown(Oid relid, TimestampTz instant, const char *detail, const char *hint);

/*
 * What the relation is.  inh: it is read with what inherits from it.  *row: of a tracked
 * table, or of the root of a partition, palloc'd.  *child: of PAST_PARENT, one that is tracked.
 * The caller has locked it.
 */
PastKind
past_kind(Oid relid, bool inh, RegistryRow **row, Oid *child)
{
	char		relkind;
	Oid			live;

	*row = NULL;
	*child = InvalidOid;
	if (relid < FirstNormalObjectId)
		return PAST_NO_TABLE;
	relkind = get_rel_relkind(relid);
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_FOREIGN_TABLE && relkind != RELKIND_MATVIEW)
		return PAST_NO_TABLE;
	if (!OidIsValid(extension_registry_or_invalid()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot read the past: extension \"%s\" is not installed in this database",
						"catmaid_history"),
				 errhint("SET catmaid_history.as_of = ''; goes back to the present.")));

	live = registered_live(relid);
	if (live != relid && get_rel_relispartition(relid))
		live = registered(lineage_root(relid)) ? lineage_root(relid) : InvalidOid;
	else if (OidIsValid(live) && live != relid)
		return PAST_OURS;
	if (OidIsValid(live))
		*row = registry_get(live);
	if (*row)
	{
		if (!registry_is_sound(*row, security_owner_of(live)))
			registry_check_sound(*row, 0);
		derived_check_there(*row, 0);
		return live == relid ? PAST_TRACKED : PAST_PARTITION;
	}
	if (OidIsValid(segments_head(relid)) || is_ours(relid))
		return PAST_OURS;
	if (inh)
		*child = tracked_below(relid);
	return OidIsValid(*child) ? PAST_PARENT : PAST_UNTRACKED;
}

/* Returns true for a table of the extension. */
static bool
is_ours(Oid relid)
{
	return getExtensionOfObject(RelationRelationId, relid) ==
		get_extension_oid("catmaid_history", false);
}

/* A tracked table that inherits from the relation, or is a partition of it; or InvalidOid. */
static Oid
tracked_below(Oid relid)
{
	ListCell   *lc;

	if (!has_subclass(relid))
		return InvalidOid;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		if (lfirst_oid(lc) != relid && registered(lfirst_oid(lc)))
			return lfirst_oid(lc);
	return InvalidOid;
}

/* Error out if a table of which not all children are tracked may not be read with them. */
void
past_check_children(Oid relid, TimestampTz instant)
{
	ListCell   *lc;

	if (as_of_when_untracked() == AS_OF_UNTRACKED_PRESENT || !has_subclass(relid) ||
		get_rel_relkind(relid) != RELKIND_RELATION)
		return;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		if (!registered(lfirst_oid(lc)))
			past_check_untracked(PAST_UNTRACKED, lfirst_oid(lc), InvalidOid, instant);
}

/*
 * Error out, or warn, as catmaid_history.as_of_incomplete says, if what the table, or
 * partition, was at the instant is not known.
 */
void
past_check_known(const PastTable *table, TimestampTz instant)
{
	const char *wanted = "SET catmaid_history.as_of_incomplete = warning; shows what is known.";
	Oid			relid = table->key.relid;
	RegistryRow *row = table->row;
	Reach		reach;

	reach_check_instant(instant);
	reach = reach_between(row, instant, GetCurrentTimestamp());
	if (reach.gap == REACH_BEFORE_BEGIN)
		say_unknown(relid, instant, psprintf("Its history begins at %s.", as_of_shown(reach.until)), wanted);
	else if (reach.gap == REACH_PAUSED && reach.from > instant)
		say_uncertain(relid, instant, &reach);
	else if (reach.gap == REACH_PAUSED && reach.until != DT_NOEND)
		say_unknown(relid, instant, psprintf("Nothing was recorded from %s to %s.",
											 as_of_shown(reach.from), as_of_shown(reach.until)), wanted);
	else if (reach.gap == REACH_PAUSED || !table->enabled)
		say_unknown(relid, instant, "Its tracking is disabled, and what has changed since is not recorded.",
					psprintf("SELECT %s(%s::regclass); tracks it again; %s",
							 hint_function("enable_history_tracking_for_table"),
							 naming_argument(row->live), wanted));
}

/*
 * What was changed in a pause that came later is not known as it was before: that is said, once for
 * each table and instant.
 */
static void
say_uncertain(Oid relid, TimestampTz instant, const Reach *pause)
{
	static List *said = NIL;
	static TimestampTz said_for = 0;
	MemoryContext before;

	if (said_for != instant)
	{
		list_free(said);
		said = NIL;
		said_for = instant;
	}
	if (list_member_oid(said, relid))
		return;
	before = MemoryContextSwitchTo(TopMemoryContext);
	said = lappend_oid(said, relid);
	MemoryContextSwitchTo(before);
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("not all of the past of table \"%s\" is known at %s",
					get_rel_name(relid), as_of_shown(instant)),
			 pause->until == DT_NOEND ?
			 errdetail("Nothing has been recorded since %s: rows that were changed then are shown as they were found afterwards.",
					   as_of_shown(pause->from)) :
			 errdetail("Nothing was recorded from %s to %s: rows that were changed then are shown as they were found afterwards.",
					   as_of_shown(pause->from), as_of_shown(pause->until))));
}

static void
say_unknown(Oid relid, TimestampTz instant, const char *detail, const char *hint)
{
	if (as_of_when_incomplete() == AS_OF_INCOMPLETE_WARNING)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the past of table \"%s\" is not known at %s",
						get_rel_name(relid), as_of_shown(instant)),
				 errdetail("%s", detail)));
	else
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the past of table \"%s\" is not known at %s",
						get_rel_name(relid), as_of_shown(instant)),
				 errdetail("%s", detail),
				 errhint("%s", hint)));
}

/* Error out if a table that is not tracked may not be read. */
void
past_check_untracked(PastKind kind, Oid relid, Oid child, TimestampTz instant)
{
	if (kind == PAST_PARENT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot read table \"%s\" as of %s: it is not tracked, and table \"%s\" below it is",
						get_rel_name(relid), as_of_shown(instant), get_rel_name(child)),
				 errhint("Read ONLY %s, or %s, or track it: SELECT %s(%s::regclass);",
						 naming_quoted(relid), naming_quoted(child),
						 hint_function("create_history_table"), naming_argument(relid))));
	if (kind == PAST_UNTRACKED && as_of_when_untracked() == AS_OF_UNTRACKED_ERROR &&
		!isTempNamespace(get_rel_namespace(relid)) &&
		!IsCatalogNamespace(get_rel_namespace(relid)) &&
		strcmp(get_namespace_name(get_rel_namespace(relid)), "information_schema") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot read table \"%s\" as of %s: it is not tracked",
						get_rel_name(relid), as_of_shown(instant)),
				 errhint("SET catmaid_history.as_of_untracked = present; shows it as it is now.")));
}

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

static const char wanted[] = "SET catmaid_history.as_of_incomplete = warning; shows what is known.";

static bool is_ours(Oid relid);
static bool has_our_trigger(Oid relid);
static Oid	tracked_below(Oid relid);
static void check_child(Oid relid, Oid child, List *histories, TimestampTz instant);
static bool was_made_later(Oid relid, TimestampTz instant);
static void check_known(Oid relid, const RegistryRow *row, bool enabled, TimestampTz instant);
static void say_as_it_is(Oid relid, Oid child, TimestampTz instant);
static bool is_said(Oid relid, TimestampTz instant);
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
	if (has_our_trigger(lineage_root(relid)))
		return PAST_UNREGISTERED;
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

/* Returns true if the table has the trigger that stores versions. */
static bool
has_our_trigger(Oid relid)
{
	int			tracking;

	for (tracking = 0; tracking <= 1; tracking++)
	{
		Trigger    *trigger = triggers_find(relid, triggers_name_for(tracking, false));

		if (trigger && triggers_is_ours(trigger->tgfoid))
			return true;
	}
	return false;
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

/*
 * The same of the tables that are read with the table because they inherit from it; those
 * that are not tracked as catmaid_history.as_of_untracked says, and never in silence.
 */
void
past_check_children(const PastTable *table, TimestampTz instant)
{
	Oid			relid = table->key.relid;
	Since		changed = {.what = SINCE_CHILDREN};
	List	   *histories;
	ListCell   *lc;

	if (!table->key.inh || get_rel_relkind(relid) != RELKIND_RELATION)
		return;
	if (since_get(relid, &changed) && instant < changed.since)
		say_unknown(relid, instant, psprintf("What inherits from it has changed at %s.",
											 as_of_shown(changed.since)),
					psprintf("Read ONLY %s and its children one by one; or %s", naming_quoted(relid), wanted));
	if (!has_subclass(relid))
		return;
	histories = find_all_inheritors(table->row->history, NoLock, NULL);
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		if (lfirst_oid(lc) != relid)
			check_child(relid, lfirst_oid(lc), histories, instant);
}

static void
check_child(Oid relid, Oid child, List *histories, TimestampTz instant)
{
	Oid			grandchild;
	RegistryRow *row;
	PastKind	kind = past_kind(child, false, &row, &grandchild);

	if (row == NULL)
	{
		past_check_untracked(kind, child, InvalidOid, instant);
		say_as_it_is(relid, child, instant);
		return;
	}
	/* before it was made there were no rows, and so no history */
	if (!was_made_later(child, instant))
		check_known(child, row, triggers_enabled(child, row), instant);
	if (!list_member_oid(histories, row->history))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot read table \"%s\" as of %s with table \"%s\" below it, whose history is kept apart",
						get_rel_name(relid), as_of_shown(instant), get_rel_name(child)),
				 errhint("Read ONLY %s and its children one by one.", naming_quoted(relid))));
}

/* Returns true if the table had not been made at the instant. */
static bool
was_made_later(Oid relid, TimestampTz instant)
{
	Since		made = {.what = SINCE_MADE};

	return since_get(relid, &made) && instant < made.since;
}

/*
 * Error out, or warn, as catmaid_history.as_of_incomplete says, if what the table, or
 * partition, was at the instant is not known.
 */
void
past_check_known(const PastTable *table, TimestampTz instant)
{
	reach_check_instant(instant);
	check_known(table->key.relid, table->row, table->enabled, instant);
}

static void
check_known(Oid relid, const RegistryRow *row, bool enabled, TimestampTz instant)
{
	Reach		reach = reach_between(row, instant, GetCurrentTimestamp());

	if (OidIsValid(row->tracking) && fit_key(row) == KEY_GONE)
		say_unknown(relid, instant, "It has lost its primary key: since when its rows are as they are is not known.",
					psprintf("ALTER TABLE %s ADD PRIMARY KEY (...); its past is known from then on; %s",
							 naming_quoted(row->live), wanted));
	else if (reach.gap == REACH_BEFORE_BEGIN)
		say_unknown(relid, instant, psprintf("Its history begins at %s.", as_of_shown(reach.until)), wanted);
	else if (reach.gap == REACH_PAUSED && reach.from > instant)
		say_uncertain(relid, instant, &reach);
	else if (reach.gap == REACH_PAUSED && reach.until != DT_NOEND)
		say_unknown(relid, instant, psprintf("Nothing was recorded from %s to %s.",
											 as_of_shown(reach.from), as_of_shown(reach.until)), wanted);
	else if (reach.gap == REACH_PAUSED || !enabled)
		say_unknown(relid, instant, "Its tracking is disabled, and what has changed since is not recorded.",
					psprintf("SELECT %s(%s::regclass); tracks it again; %s",
							 hint_function("enable_history_tracking_for_table"),
							 naming_argument(row->live), wanted));
}

/* What was changed in a pause that came later is not known as it was before. */
static void
say_uncertain(Oid relid, TimestampTz instant, const Reach *pause)
{
	if (is_said(relid, instant))
		return;
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
say_as_it_is(Oid relid, Oid child, TimestampTz instant)
{
	if (is_said(child, instant))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("table \"%s\" below table \"%s\" is not tracked: its rows are shown as they are, not as of %s",
					get_rel_name(child), get_rel_name(relid), as_of_shown(instant)),
			 errhint("Read ONLY %s, or have table %s tracked as well.",
					 naming_quoted(relid), naming_quoted(child))));
}

/* Has the table's WARNING been given for the instant?  If not, it is about to be. */
static bool
is_said(Oid relid, TimestampTz instant)
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
		return true;
	before = MemoryContextSwitchTo(TopMemoryContext);
	said = lappend_oid(said, relid);
	MemoryContextSwitchTo(before);
	return false;
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
	if (kind == PAST_UNREGISTERED)
		say_unknown(relid, instant, "It has history triggers, but is not registered: its history begins with the next write.",
					psprintf("A write registers it, if its history exists; SELECT %s(%s::regclass) removes the triggers.",
							 drop_function_name(false), naming_argument(lineage_root(relid))));
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

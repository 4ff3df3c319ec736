/*
 * triggers.c
 *		The triggers on live tables, made and removed (trigger_state.c tells which
 *		there must be).
 *
 * Making or removing triggers runs nobody's code, and is done by the bootstrap
 * superuser: the owner need not have rights on the extension's schema.  Locks
 * are those of CREATE TRIGGER (SHARE ROW EXCLUSIVE) and DROP TRIGGER (ACCESS
 * EXCLUSIVE) on the live table.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "manage/manage.h"
#include "compat.h"

static Oid	trigger_function(const char *name);
static void triggers_install_one(Relation rel, const TriggerSpec *spec, const RegistryRow *row,
								 int sqlstate);
static void name_columns(Oid relid, const RegistryRow *row, int first);
static bool remove_from(Relation rel);
static bool remove_others(Relation rel, const RegistryRow *row);
static void drop_trigger(Oid relid, const char *name);

/*
 * Make sure that the table, and each partition of it, has the triggers it must
 * have, enabled, and none of the other kind's.  The caller holds SHARE ROW
 * EXCLUSIVE on it.  sqlstate is that of the error where a trigger of the site's
 * has the name of one, 0 for the fitting one.
 */
void
triggers_install(Relation live, const RegistryRow *row, int sqlstate)
{
	ListCell   *lc;
	int			i;

	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	/* first: before 15 a clone keeps the name when its root's trigger gets another */
	(void) remove_others(live, row);
	for (i = 0; i < TRIGGER_SPECS; i++)
		if (triggers_wanted(&trigger_specs[i], row))
			triggers_install_one(live, &trigger_specs[i], row, sqlstate);

	foreach(lc, lineage_leaf_partitions(RelationGetRelid(live), ShareRowExclusiveLock))
	{
		Relation	leaf = table_open(lfirst_oid(lc), NoLock);

		triggers_install_truncate(leaf, row, sqlstate);
		table_close(leaf, NoLock);
	}
	mark_set(row);
}

/* A partition's own triggers: those for each statement. */
void
triggers_install_truncate(Relation leaf, const RegistryRow *row, int sqlstate)
{
	int			i;

	Assert(CheckRelationLockedByMe(leaf, ShareRowExclusiveLock, true));
	for (i = FIRST_STATEMENT_SPEC; i < TRIGGER_SPECS; i++)
		if (triggers_wanted(&trigger_specs[i], row))
			triggers_install_one(leaf, &trigger_specs[i], row, sqlstate);
}

void
triggers_remove_truncate(Relation leaf)
{
	int			i;

	Assert(CheckRelationLockedByMe(leaf, ShareRowExclusiveLock, true));
	for (i = FIRST_STATEMENT_SPEC; i < TRIGGER_SPECS; i++)
	{
		Trigger    *trigger = triggers_find(RelationGetRelid(leaf), trigger_specs[i].name);

		if (trigger && !trigger->tgisclone && triggers_is_ours(trigger->tgfoid))
			drop_trigger(RelationGetRelid(leaf), trigger_specs[i].name);
	}
}

/*
 * The time or the txid column has another name now: so have the arguments of the
 * triggers that are there, which stay switched off where they are.
 */
void
triggers_follow_columns(const RegistryRow *row)
{
	ListCell   *lc;

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (OidIsValid(row->tracking))
		return;
	name_columns(row->live, row, 0);
	foreach(lc, lineage_leaf_partitions(row->live, ShareRowExclusiveLock))
		name_columns(lfirst_oid(lc), row, FIRST_STATEMENT_SPEC);
	mark_set(row);
}

/* From the first of the specs on. */
static void
name_columns(Oid relid, const RegistryRow *row, int first)
{
	int			i;

	for (i = first; i < TRIGGER_SPECS; i++)
	{
		Trigger    *trigger = triggers_find(relid, trigger_specs[i].name);
		Relation	rel;

		if (!triggers_wanted(&trigger_specs[i], row) || trigger == NULL ||
			!triggers_is_ours(trigger->tgfoid) || triggers_name_columns(trigger, row))
			continue;
		rel = table_open(relid, NoLock);
		triggers_install_one(rel, &trigger_specs[i], row, 0);
		table_close(rel, NoLock);
		if (trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN)
			catalog_switch_trigger(relid, trigger_specs[i].name, trigger->tgenabled);
	}
}

/* Remove our triggers.  Returns whether there were any. */
bool
triggers_remove(Relation live)
{
	bool		removed = remove_from(live);
	ListCell   *lc;

	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	foreach(lc, lineage_leaf_partitions(RelationGetRelid(live), ShareRowExclusiveLock))
	{
		Relation	leaf = table_open(lfirst_oid(lc), NoLock);

		removed |= remove_from(leaf);
		table_close(leaf, NoLock);
	}
	return removed;
}

static void
triggers_install_one(Relation rel, const TriggerSpec *spec, const RegistryRow *row, int sqlstate)
{
	Trigger    *trigger = triggers_find(RelationGetRelid(rel), spec->name);
	List	   *arguments = NIL;

	if (trigger && triggers_fit(trigger, spec, row) && triggers_clones_fit(RelationGetRelid(rel), spec, row))
		return;
	if (trigger)
	{
		if (!triggers_is_ours(trigger->tgfoid))
			ereport(ERROR,
					(errcode(sqlstate ? sqlstate : ERRCODE_DUPLICATE_OBJECT),
					 errmsg("table \"%s\" has a trigger \"%s\" that is not the history's",
							RelationGetRelationName(rel), spec->name),
					 errhint("ALTER TRIGGER %s ON %s RENAME TO ...; or drop it.",
							 spec->name, naming_quoted(RelationGetRelid(rel)))));
		drop_trigger(RelationGetRelid(rel), spec->name);
	}

	if (!OidIsValid(row->tracking))
		arguments = list_make2(row->time_column, row->txid_column);
	(void) catalog_create_trigger(RelationGetRelid(rel), spec->name, spec->type,
								  trigger_function(spec->function), arguments);
}

/* The OID of one of our trigger functions, found without asking for USAGE. */
static Oid
trigger_function(const char *name)
{
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										   CStringGetDatum(name),
										   PointerGetDatum(buildoidvector(NULL, 0)),
										   ObjectIdGetDatum(extension_namespace()));

	if (!OidIsValid(function))
		elog(ERROR, "function %s of extension \"%s\" is gone", name, "catmaid_history");
	return function;
}

/* Remove our triggers from the table, under whatever name they go. */
static bool
remove_from(Relation rel)
{
	return remove_others(rel, NULL);
}

/* Remove our triggers but those that row wants.  Returns whether there were any. */
static bool
remove_others(Relation rel, const RegistryRow *row)
{
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);
	List	   *names = NIL;
	ListCell   *lc;
	int			i;
	int			j;

	for (i = 0; triggers && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		bool		keep = false;

		for (j = 0; row && j < TRIGGER_SPECS; j++)
			keep |= triggers_wanted(&trigger_specs[j], row) &&
				strcmp(trigger_specs[j].name, trigger->tgname) == 0;

		/* a clone goes with the root's trigger */
		if (!keep && !trigger->tgisclone && triggers_is_ours(trigger->tgfoid))
			names = lappend(names, pstrdup(trigger->tgname));
	}
	foreach(lc, names)
		drop_trigger(RelationGetRelid(rel), lfirst(lc));
	return names != NIL;
}

static void
drop_trigger(Oid relid, const char *name)
{
	catalog_drop(TriggerRelationId, get_trigger_oid(relid, name, false), false);
}

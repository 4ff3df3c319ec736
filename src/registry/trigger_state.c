/*
 * trigger_state.c
 *		The triggers on live tables: which there must be, and which there are.
 *
 * With a time column: the old version after UPDATE and DELETE, the transaction
 * id into the row before UPDATE, TRUNCATE, before and after, and INSERT, once a statement,
 * for the log.  With a tracking table: the
 * old version after UPDATE and DELETE, the tracking row after INSERT, and
 * TRUNCATE.  A partitioned table's row triggers are cloned to its partitions
 * by PostgreSQL, those for each statement by us.
 *
 * Arguments name the time and txid column, never OIDs, so that a dump restores.
 *
 * Read from the catalogs: callers hold the locks that they need.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "registry/registry.h"
#include "compat.h"

const TriggerSpec trigger_specs[TRIGGER_SPECS] = {
	{REGULAR_TRIGGER, "catmaid_history_capture",
	TRIGGER_TYPE_ROW | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE, true, false},
	{REGULAR_TXID_TRIGGER, "catmaid_history_set_txid",
	TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_UPDATE, true, false},
	{TRACKING_TRIGGER, "catmaid_history_capture",
	TRIGGER_TYPE_ROW | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE, false, true},
	{TRACKING_INSERT_TRIGGER, "catmaid_history_capture",
	TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT, false, true},
	{TRACKING_INSERT_TRIGGER, "catmaid_history_log_insert",
	TRIGGER_TYPE_INSERT, true, false},
	{BEFORE_TRUNCATE_TRIGGER, "catmaid_history_truncate",
	TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_TRUNCATE, true, true},
	{AFTER_TRUNCATE_TRIGGER, "catmaid_history_truncate",
	TRIGGER_TYPE_TRUNCATE, true, true},
};

static bool triggers_on_all_partitions(Oid live, int i, const RegistryRow *row);
static bool fires_after(Oid relid, bool row_triggers);
static Trigger *find_trigger_as_of(Oid relid, const char *name, Snapshot snapshot);
static Trigger *trigger_from_tuple(HeapTuple tuple, TupleDesc desc);
static bool has_shape(const Trigger *trigger, const TriggerSpec *spec);

/*
 * Returns true if the table is tracked: the trigger that stores versions exists, be it
 * switched off.  By the snapshot, or now if that is NULL.
 */
bool
triggers_there(const RegistryRow *row, Snapshot snapshot)
{
	Trigger    *trigger =
		find_trigger_as_of(row->live, triggers_name_for(OidIsValid(row->tracking), false),
						   snapshot);

	return trigger && triggers_is_ours(trigger->tgfoid);
}

/* Returns true if versions are stored: the trigger exists and fires. */
bool
triggers_enabled(Oid live, const RegistryRow *row)
{
	Trigger    *trigger = triggers_find(live,
										triggers_name_for(OidIsValid(row->tracking), false));

	return trigger && triggers_is_ours(trigger->tgfoid) && triggers_fires(trigger);
}

/*
 * The trigger that has the mark of a live table (mark.c), whether it fires or not; NULL
 * if there is none, or none that is just as we make it.  Palloc'd; as of the
 * snapshot, NULL for now.
 */
Trigger *
triggers_for_mark(Oid live, Snapshot snapshot)
{
	Trigger    *trigger = find_trigger_as_of(live, trigger_specs[MARKED_SPEC].name, snapshot);

	return trigger && has_shape(trigger, &trigger_specs[MARKED_SPEC]) &&
		(trigger->tgnargs == 0 || trigger->tgnargs == 2) ? trigger : NULL;
}

/*
 * Error out unless a trigger that fires on the relation, and has the name of one of
 * ours, is just as we make it: with a condition it would leave versions out.
 */
void
triggers_check_exact(Relation rel, const Trigger *trigger)
{
	Oid			live = lineage_root(RelationGetRelid(rel));
	int			i;

	for (i = 0; i < TRIGGER_SPECS; i++)
		if (strcmp(trigger_specs[i].name, trigger->tgname) == 0 && has_shape(trigger, &trigger_specs[i]) &&
			trigger->tgisclone == (rel->rd_rel->relispartition && i < FIRST_STATEMENT_SPEC))
			return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("trigger \"%s\" of table \"%s\" is not the one that the history needs",
					trigger->tgname, RelationGetRelationName(rel)),
			 errhint("SELECT %s(%s::regclass) re-creates it.",
					 hint_function("repair_history"),
					 naming_argument(live))));
}

/* Returns true if it is the name of one of our triggers. */
bool
triggers_has_our_name(const char *name)
{
	int			i;

	for (i = 0; i < TRIGGER_SPECS; i++)
		if (strcmp(name, trigger_specs[i].name) == 0)
			return true;
	return false;
}

/* Returns true if it is the name of one of our trigger functions. */
bool
triggers_has_our_function(const char *name)
{
	int			i;

	for (i = 0; i < TRIGGER_SPECS; i++)
		if (strcmp(name, trigger_specs[i].function) == 0)
			return true;
	return false;
}

/* Returns true if one of our triggers on the relation was made, changed or dropped since the snapshot. */
bool
triggers_changed(Oid relid, Snapshot before)
{
	int			i;

	for (i = 0; i < TRIGGER_SPECS; i++)
	{
		Trigger    *then = find_trigger_as_of(relid, trigger_specs[i].name, before);
		Trigger    *now = triggers_find(relid, trigger_specs[i].name);

		if ((then && triggers_is_ours(then->tgfoid)) || (now && triggers_is_ours(now->tgfoid)))
			if (then == NULL || now == NULL || then->tgoid != now->tgoid ||
				then->tgfoid != now->tgfoid || then->tgenabled != now->tgenabled)
				return true;
	}
	return false;
}

/*
 * The state of the i-th of our triggers on the table, with its name; past the
 * last one the name is NULL.  Those of partitions count in triggers_complete.
 */
const char *
triggers_state(Oid live, const RegistryRow *row, int i, TriggerState *state)
{
	Trigger    *trigger;

	if (i >= TRIGGER_SPECS)
		return NULL;
	trigger = triggers_find(live, trigger_specs[i].name);
	if (!triggers_wanted(&trigger_specs[i], row))
		*state = TRIGGER_RIGHT;
	else if (trigger == NULL)
		*state = TRIGGER_MISSING;
	else if (!triggers_is_ours(trigger->tgfoid))
		*state = TRIGGER_FOREIGN;
	else if (!triggers_fires(trigger))
		*state = TRIGGER_SWITCHED_OFF;
	else if (triggers_fit(trigger, &trigger_specs[i], row) && triggers_clones_fit(live, &trigger_specs[i], row))
		*state = TRIGGER_RIGHT;
	else
		*state = TRIGGER_ALTERED;
	return trigger_specs[i].name;
}

/*
 * Returns true if the table, which is not partitioned, has all the triggers that it must
 * have.  The same as triggers_complete, by one scan.
 */
bool
triggers_obvious(Oid live, const RegistryRow *row)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	int			missing = 0;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			i;

	for (i = 0; i < TRIGGER_SPECS; i++)
		missing += triggers_wanted(&trigger_specs[i], row);
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(live));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		for (i = 0; i < TRIGGER_SPECS; i++)
			if (triggers_wanted(&trigger_specs[i], row) &&
				strcmp(trigger_specs[i].name, NameStr(((Form_pg_trigger) GETSTRUCT(tuple))->tgname)) == 0)
				missing -= triggers_fit(trigger_from_tuple(tuple, RelationGetDescr(triggers)), &trigger_specs[i], row);
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return missing == 0;
}

/* The tables with a trigger whose function is one of those. */
List *
triggers_tables(bool (*is_function) (Oid))
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *tables = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!form->tgisinternal && is_function(form->tgfoid))
			tables = list_append_unique_oid(tables, form->tgrelid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return tables;
}

/*
 * Returns true if all triggers that record exist and fire.  Read from the catalogs without
 * a lock: two sessions that alter a partition each must not wait for each other here.
 */
bool
triggers_complete(Oid live, const RegistryRow *row)
{
	int			i;

	for (i = 0; i < TRIGGER_SPECS; i++)
		if (i != LOG_SPEC && !triggers_on_all_partitions(live, i, row))
			return false;
	return true;
}

/*
 * Returns true if the trigger exists that tells the log of insertions.  Without it the
 * table is tracked all the same: tables of an earlier 1.0 have none.
 */
bool
triggers_log_inserts(Oid live, const RegistryRow *row)
{
	return triggers_on_all_partitions(live, LOG_SPEC, row);
}

/* Returns true if the trigger is on the table and, where it must be, on its partitions. */
static bool
triggers_on_all_partitions(Oid live, int i, const RegistryRow *row)
{
	const TriggerSpec *spec = &trigger_specs[i];
	ListCell   *lc;

	if (!triggers_wanted(spec, row))
		return true;
	if (!triggers_fit(triggers_find(live, spec->name), spec, row) ||
		!triggers_clones_fit(live, spec, row))
		return false;
	if (i < FIRST_STATEMENT_SPEC)
		return true;
	foreach(lc, lineage_leaf_partitions(live, NoLock))
		if (!triggers_fit(triggers_find(lfirst_oid(lc), spec->name), spec, row))
			return false;
	return true;
}

/* Returns true if our TRUNCATE trigger will fire for this table. */
bool
triggers_covers_truncate(Relation rel)
{
	Trigger    *trigger = triggers_find(RelationGetRelid(rel), BEFORE_TRUNCATE_TRIGGER);

	return trigger && triggers_is_ours(trigger->tgfoid) && triggers_fires(trigger);
}

/*
 * Returns true if no triggers of the application fire after ours, on the table or, for
 * each statement, on one above it.  Those of foreign keys may.
 *
 * The caller is a writer that holds a lock on the table: to lock one above it then would
 * be the reverse of the order in which hierarchies are locked.  So no table is opened.
 */
bool
triggers_let_inserts_wait(Relation rel, List *ancestors)
{
	ListCell   *lc;

	if (fires_after(RelationGetRelid(rel), true))
		return false;
	foreach(lc, ancestors)
		if (fires_after(lfirst_oid(lc), false))
			return false;
	return true;
}

static bool
fires_after(Oid relid, bool row_triggers)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	bool		found = false;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		found = TRIGGER_FOR_AFTER(form->tgtype) &&
			!TRIGGER_FOR_TRUNCATE(form->tgtype) &&
			(row_triggers || !TRIGGER_FOR_ROW(form->tgtype)) &&
			RI_FKey_trigger_type(form->tgfoid) == RI_TRIGGER_NONE &&
			!triggers_is_ours(form->tgfoid);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return found;
}

/* The name of the trigger that stores versions, or tracks insertions. */
const char *
triggers_name_for(bool tracking, bool on_insert)
{
	if (on_insert)
		return TRACKING_INSERT_TRIGGER;
	return tracking ? TRACKING_TRIGGER : REGULAR_TRIGGER;
}

/* Error out (39P01) unless a trigger function was called the right way. */
void
triggers_check_call(FunctionCallInfo fcinfo, const char *function, bool right)
{
	if (!right)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" serves the triggers of tracked tables only",
						function),
				 errhint("create_history_table makes these triggers; no others are needed.")));
}

bool
triggers_wanted(const TriggerSpec *spec, const RegistryRow *row)
{
	return OidIsValid(row->tracking) ? spec->with_tracking : spec->with_time_column;
}

/* Returns true if the trigger's clones on all partitions fire. */
bool
triggers_clones_fit(Oid relid, const TriggerSpec *spec, const RegistryRow *row)
{
	ListCell   *lc;

	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE ||
		!(spec->type & TRIGGER_TYPE_ROW))
		return true;
	foreach(lc, lineage_below(relid))
		if (!triggers_fit(triggers_find(lfirst_oid(lc), spec->name), spec, row))
			return false;
	return true;
}

/*
 * What triggers_fit() looks at of a trigger, from the catalog and palloc'd; NULL if the
 * table has none of that name.
 */
Trigger *
triggers_find(Oid relid, const char *name)
{
	return find_trigger_as_of(relid, name, NULL);
}

static Trigger *
find_trigger_as_of(Oid relid, const char *name, Snapshot snapshot)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	Trigger    *trigger = NULL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&key[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(name));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, snapshot, 2, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		trigger = trigger_from_tuple(tuple, RelationGetDescr(triggers));
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return trigger;
}

static Trigger *
trigger_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	Trigger    *trigger = palloc0(sizeof(Trigger));
	Datum		datum;
	bool		isnull;
	const char *argument;
	int			i;

	trigger->tgoid = form->oid;
	trigger->tgname = pstrdup(NameStr(form->tgname));
	trigger->tgconstraint = form->tgconstraint;
	trigger->tgisclone = OidIsValid(form->tgparentid);
	trigger->tgfoid = form->tgfoid;
	trigger->tgtype = form->tgtype;
	trigger->tgenabled = form->tgenabled;
	trigger->tgnattr = form->tgattr.dim1;
	datum = heap_getattr(tuple, Anum_pg_trigger_tgqual, desc, &isnull);
	if (!isnull)
		trigger->tgqual = TextDatumGetCString(datum);

	/* as RelationBuildTriggers reads them: one after the other, each with its \0 */
	datum = heap_getattr(tuple, Anum_pg_trigger_tgargs, desc, &isnull);
	if (isnull || form->tgnargs == 0)
		return trigger;
	argument = VARDATA_ANY(DatumGetByteaPCopy(datum));
	trigger->tgnargs = form->tgnargs;
	trigger->tgargs = palloc(sizeof(char *) * form->tgnargs);
	for (i = 0; i < form->tgnargs; i++)
	{
		trigger->tgargs[i] = pstrdup(argument);
		argument += strlen(argument) + 1;
	}
	return trigger;
}

/* By OID and name; looking names up would ask for USAGE on our schema. */
bool
triggers_is_ours(Oid function)
{
	char	   *name = get_func_name(function);

	return name && get_func_namespace(function) == extension_namespace() &&
		triggers_has_our_function(name);
}

bool
triggers_fit(const Trigger *trigger, const TriggerSpec *spec, const RegistryRow *row)
{
	if (trigger == NULL || !triggers_fires(trigger) || !has_shape(trigger, spec))
		return false;
	return triggers_name_columns(trigger, row);
}

/* Returns true if the arguments are as they must be. */
bool
triggers_name_columns(const Trigger *trigger, const RegistryRow *row)
{
	if (OidIsValid(row->tracking))
		return trigger->tgnargs == 0;
	return trigger->tgnargs == 2 &&
		strcmp(trigger->tgargs[0], row->time_column) == 0 &&
		strcmp(trigger->tgargs[1], row->txid_column) == 0;
}

/* Returns true if it fires, in a session that does not apply a publisher's changes. */
bool
triggers_fires(const Trigger *trigger)
{
	return trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
		trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

/* Returns true if all but the arguments is as we make it. (A constraint trigger may be deferred.) */
static bool
has_shape(const Trigger *trigger, const TriggerSpec *spec)
{
	return trigger->tgtype == spec->type && trigger->tgqual == NULL &&
		trigger->tgnattr == 0 && !OidIsValid(trigger->tgconstraint) &&
		triggers_is_ours(trigger->tgfoid) &&
		strcmp(get_func_name(trigger->tgfoid), spec->function) == 0;
}

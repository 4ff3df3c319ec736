/*
 * trigger_guard.c
 *		Who may make, change and drop the triggers of live tables.
 *
 * PostgreSQL lets whoever has the TRIGGER privilege on a table put triggers on it and
 * replace those that are there, and a partition's owner change the partition's.  A
 * trigger that calls one of our functions stores versions in a history that is
 * another role's; without one, or with a condition, versions stay out.  So after
 * CREATE TRIGGER, ALTER TRIGGER, ALTER TABLE ... ENABLE or DISABLE TRIGGER and DROP
 * TRIGGER the command is refused if it has changed one of our triggers and the current user lacks the rights of the owner of the live
 * table, or of the root of the partition.  No setting switches that off.
 *
 * Where she has them and has made a trigger of ours, the table is marked with the
 * history beside it (mark.c): this is how a restore brings the mark back.
 *
 * The statement tells only whether there is anything to look at, by names that
 * are ours; which objects it has changed tell PostgreSQL's lists for event triggers,
 * by OID.
 *
 * Locks: those of the command, and SHARE ROW EXCLUSIVE on a table that is marked.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "follow/follow.h"
#include "compat.h"

/* the columns of both of PostgreSQL's lists that are needed */
#define CLASS_COLUMN	1
#define OBJECT_COLUMN	2

static Snapshot as_before_command(void);
static void mark_upgraded(Node *statement);
static bool concerns_triggers(Node *statement);
static bool switches_triggers(AlterTableStmt *statement, bool on);
static List *listed_objects(Oid list_function, Oid class);
static void check_tables(List *tables);
static void check_new(Oid trigger, Snapshot before);
static void check_dropped(Oid trigger, Snapshot before);
static Oid	table_of_trigger(Oid trigger, Snapshot snapshot, Oid *function, NameData *name);
static bool may_change(Oid relid);
static void trigger_guard_refuse(Oid relid);

/* ddl_command_end, whatever the settings are. */
void
trigger_guard(Node *statement)
{
	Snapshot	before;
	List	   *triggers;
	ListCell   *lc;

	if (IsBinaryUpgrade)
	{
		mark_upgraded(statement);
		return;
	}
	if (!concerns_triggers(statement) || !OidIsValid(extension_registry_or_invalid()) ||
		(ddl_is_ours() && superuser()))
		return;
	if (IsA(statement, AlterTableStmt))
	{
		check_tables(listed_objects(F_PG_EVENT_TRIGGER_DDL_COMMANDS, RelationRelationId));
		return;
	}
	triggers = listed_objects(F_PG_EVENT_TRIGGER_DDL_COMMANDS, TriggerRelationId);
	before = as_before_command();
	foreach(lc, triggers)
		check_new(lfirst_oid(lc), before);
	UnregisterSnapshot(before);
}

/* sql_drop, likewise. */
void
trigger_guard_drop(Node *statement)
{
	Snapshot	before;
	ListCell   *lc;

	if (!IsA(statement, DropStmt) ||
		((DropStmt *) statement)->removeType != OBJECT_TRIGGER || superuser() ||
		!OidIsValid(extension_registry_or_invalid()))
		return;
	before = as_before_command();
	foreach(lc, listed_objects(F_PG_EVENT_TRIGGER_DROPPED_OBJECTS, TriggerRelationId))
		check_dropped(lfirst_oid(lc), before);
	UnregisterSnapshot(before);
}

/*
 * For reading catalogs as they were when the command began, with what others have
 * committed until now; registered.
 */
static Snapshot
as_before_command(void)
{
	return table_state_snapshot(ActiveSnapshotSet() ? GetActiveSnapshot()->curcid :
								InvalidCommandId);
}

/*
 * pg_upgrade makes the event triggers last, when all triggers are there, as the old
 * cluster had them, and then makes them the extension's members.
 */
static void
mark_upgraded(Node *statement)
{
	ListCell   *lc;

	if (!IsA(statement, AlterExtensionContentsStmt) ||
		((AlterExtensionContentsStmt *) statement)->objtype != OBJECT_EVENT_TRIGGER ||
		!OidIsValid(extension_registry_or_invalid()))
		return;
	foreach(lc, triggers_tables(triggers_is_ours))
		if (!get_rel_relispartition(lfirst_oid(lc)))
			trigger_guard_mark(lfirst_oid(lc));
}

/* Returns true if the command could have made or changed one of our triggers. */
static bool
concerns_triggers(Node *statement)
{
	ListCell   *lc;

	switch (nodeTag(statement))
	{
		case T_CreateTrigStmt:
			return triggers_has_our_name(((CreateTrigStmt *) statement)->trigname) ||
				triggers_has_our_function(strVal(llast(((CreateTrigStmt *) statement)->funcname)));
		case T_CreateSchemaStmt:
			foreach(lc, ((CreateSchemaStmt *) statement)->schemaElts)
				if (IsA(lfirst(lc), CreateTrigStmt) && concerns_triggers(lfirst(lc)))
					return true;
			return false;
		case T_RenameStmt:
			return ((RenameStmt *) statement)->renameType == OBJECT_TRIGGER &&
				(triggers_has_our_name(((RenameStmt *) statement)->subname) ||
				 triggers_has_our_name(((RenameStmt *) statement)->newname));
		case T_AlterObjectDependsStmt:
			return ((AlterObjectDependsStmt *) statement)->objectType == OBJECT_TRIGGER;
		case T_AlterTableStmt:
			return switches_triggers((AlterTableStmt *) statement, false);
		default:
			return false;
	}
}

/* Returns true if the statement switches triggers: on, or with "on" false, on or off. */
static bool
switches_triggers(AlterTableStmt *statement, bool on)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_EnableTrig:
			case AT_EnableAlwaysTrig:
			case AT_EnableReplicaTrig:
			case AT_EnableTrigAll:
			case AT_EnableTrigUser:
				return true;
			case AT_DisableTrig:
			case AT_DisableTrigAll:
			case AT_DisableTrigUser:
				if (!on)
					return true;
				break;
			default:
				break;
		}
	return false;
}

/*
 * ddl_command_end, when all else has been followed, whatever the settings are.
 *
 * While triggers were switched off a table without a primary key may have got rows
 * that have the same key as others.  Before they are recorded on, each has a tracking
 * row, so that none is taken for another.
 */
void
trigger_guard_switched(Node *statement)
{
	List	   *done = NIL;
	ListCell   *lc;

	if (!IsA(statement, AlterTableStmt) ||
		!switches_triggers((AlterTableStmt *) statement, true) ||
		!OidIsValid(extension_registry_or_invalid()))
		return;
	foreach(lc, listed_objects(F_PG_EVENT_TRIGGER_DDL_COMMANDS, RelationRelationId))
	{
		Oid			live = lineage_root(lfirst_oid(lc));
		RegistryRow *row = list_member_oid(done, live) ? NULL : registry_get(live);

		done = list_append_unique_oid(done, live);
		if (row && OidIsValid(row->tracking) && get_rel_name(live) != NULL &&
			registry_is_sound(row, security_owner_of(live)) && fit_lacks_key(row))
			tracking_complete(row);
	}
}

/*
 * The OIDs of the objects of a class that one of PostgreSQL's functions for event
 * triggers lists for the command.  They are called straight, so that nobody's
 * search_path and privileges matter.
 */
static List *
listed_objects(Oid list_function, Oid class)
{
	LOCAL_FCINFO(fcinfo, 0);
	FmgrInfo	flinfo;
	ReturnSetInfo result = {.type = T_ReturnSetInfo};
	TupleTableSlot *slot;
	List	   *objects = NIL;

	result.econtext = CreateStandaloneExprContext();
	result.allowedModes = SFRM_Materialize;
	fmgr_info(list_function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 0, InvalidOid, NULL, (Node *) &result);
	(void) FunctionCallInvoke(fcinfo);

	slot = MakeSingleTupleTableSlot(result.setDesc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(result.setResult, true, false, slot))
	{
		bool		isnull;

		if (DatumGetObjectId(slot_getattr(slot, CLASS_COLUMN, &isnull)) == class)
			objects = lappend_oid(objects,
								  DatumGetObjectId(slot_getattr(slot, OBJECT_COLUMN, &isnull)));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(result.setResult);
	FreeExprContext(result.econtext, true);
	return objects;
}

/*
 * ENABLE and DISABLE TRIGGER take ownership of the table: only with partitions it may
 * be another one's than the live table's.
 */
static void
check_tables(List *tables)
{
	Snapshot	before;
	ListCell   *lc;
	ListCell   *lc2;

	if (superuser())
		return;
	before = as_before_command();
	foreach(lc, tables)
		if (get_rel_relispartition(lfirst_oid(lc)) && !may_change(lfirst_oid(lc)))
			foreach(lc2, lineage_below(lfirst_oid(lc)))
				if (triggers_changed(lfirst_oid(lc2), before))
					trigger_guard_refuse(lfirst_oid(lc2));
	UnregisterSnapshot(before);
}

/* A trigger that the command has made, replaced, renamed or else changed. */
static void
check_new(Oid trigger, Snapshot before)
{
	Oid			function;
	Oid			former;
	NameData	name;
	NameData	former_name;
	Oid			relid = table_of_trigger(trigger, NULL, &function, &name);
	bool		ours;

	if (!OidIsValid(relid))
		return;
	(void) table_of_trigger(trigger, before, &former, &former_name);
	ours = triggers_is_ours(function) || (OidIsValid(former) && triggers_is_ours(former));

	/* another one under a name of ours keeps ours out */
	if (!ours &&
		(!triggers_has_our_name(NameStr(name)) ||
		 registry_get(lineage_root(relid)) == NULL))
		return;
	if (!may_change(relid))
		trigger_guard_refuse(relid);
	if (ours && lineage_root(relid) == relid)
		trigger_guard_mark(relid);
}

static void
check_dropped(Oid trigger, Snapshot before)
{
	Oid			function;
	NameData	name;
	Oid			relid = table_of_trigger(trigger, before, &function, &name);

	if (OidIsValid(relid) && get_rel_name(relid) != NULL &&
		triggers_is_ours(function) && !may_change(relid))
		trigger_guard_refuse(relid);
}

/*
 * The table, the function and the name of a trigger, as of the snapshot (NULL: now); InvalidOid
 * if it is not there.
 */
static Oid
table_of_trigger(Oid trigger, Snapshot snapshot, Oid *function, NameData *name)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			relid = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	*function = InvalidOid;
	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		*function = ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid;
		*name = ((Form_pg_trigger) GETSTRUCT(tuple))->tgname;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return relid;
}

/* Returns true if the current user has the rights of the owner of the table, or of its root. */
static bool
may_change(Oid relid)
{
	return has_privs_of_role(GetUserId(), security_owner_of(lineage_root(relid)));
}

static void
trigger_guard_refuse(Oid relid)
{
	Oid			live = lineage_root(relid);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("must be owner of table %s to change the history triggers of table \"%s\"",
					get_rel_name(live), get_rel_name(relid)),
			 errhint("Ask %s, or a role that is a member of it, to manage the history of %s.",
					 GetUserNameFromId(security_owner_of(live), false), naming_quoted(live))));
}

/*
 * The live table's owner has made the trigger for the mark by hand, as a restore
 * does: mark the history that is beside the table, if it can only be the table's.
 */
void
trigger_guard_mark(Oid live)
{
	RegistryRow *registered = registry_get(live);
	RegistryRow row = {.live = live};
	Mark		mark;

	if (!mark_read(live, NULL, &mark) || OidIsValid(mark.history))
		return;
	/* CREATE TRIGGER has it already */
	LockRelationOid(live, ShareRowExclusiveLock);
	row.history = derived_find(live, naming_history_table(live), RELKIND_RELATION);
	if (mark.with_tracking)
		row.tracking = derived_find(live, naming_tracking_table(live), RELKIND_RELATION);
	if (!OidIsValid(row.history) || !derived_has_history_defaults(row.history) ||
		(mark.with_tracking &&
		 (!OidIsValid(row.tracking) || !derived_is_tracking(row.tracking))) ||
		(registered && (registered->history != row.history ||
						registered->tracking != row.tracking)) ||
		!registry_is_sound(&row, security_owner_of(live)))
		return;
	mark_set(&row);
}

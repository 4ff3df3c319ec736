/*
 * dump.c
 *		The registry in dumps, and back from them.
 *
 * pg_dump takes an extension's table as it is, and a regclass that names a
 * table which the dump leaves out (-T) would fail the whole COPY of the registry
 * on restore.  So what is dumped is catmaid_history_table_by_name, in the schema
 * catmaid_history_internal: a table that never holds a row, with the registry's
 * columns, tables being text in them.  The condition with which it is marked for
 * pg_dump is "WHERE false UNION ALL SELECT ... FROM the registry"; pg_dump puts the
 * condition behind the table's name and so reads the registry, as it is then, by
 * name.
 *
 * On restore, a row trigger on that table enters in the registry what is there of
 * the tables, and keeps the row away, in session_replication_role = replica too.
 * pg_restore --disable-triggers switches that trigger off; the rows it leaves are
 * taken up when it switches triggers on again.
 *
 * Until there was that schema the table was beside the registry, and called
 * catmaid_history_dump: dumps from then restore into a view of that name.
 *
 * The condition names the schema of the registry, and is mended when that is
 * renamed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

#define DUMP_TABLE	"catmaid_history_table_by_name"
#define FORMER_DUMP_TABLE "catmaid_history_dump"
#define PAUSE_DUMP_TABLE "catmaid_history_pause_by_name"
#define SINCE_DUMP_TABLE "catmaid_history_since_by_name"

/* its columns, in the registry's order */
enum
{
	Anum_live = 1, Anum_history, Anum_installed, Anum_pkey, Anum_tracking,
	Anum_time, Anum_txid, Anum_created, Anum_key, Anum_key_since,
	Anum_maker_until, Anum_maker_snapshot
};

/* of the one for the pauses, besides Anum_live and Anum_history */
#define ANUM_PAUSED_FROM	3
#define ANUM_PAUSED_UNTIL	4

/* of the one for what is known since a time only */
enum
{
	Anum_since_relation = 1, Anum_since_what, Anum_since_column, Anum_since_since, Anum_since_snapshot
};

static bool is_dump_table(Oid relid);
static bool is_named(Oid relid, const char *name);
static bool is_pause_dump(Oid relid);
static bool is_since_dump(Oid relid);
static bool is_former_dump_table(Oid relid);
static bool switches_on_triggers(AlterTableStmt *statement);
static void take_up_rows(Oid relid);
static void take_up_retentions(Oid relid);
static bool is_retained(Relation retention, Oid live);
static void take_up_row(Oid relid, HeapTuple tuple, TupleDesc desc);
static void take_up_pause(HeapTuple tuple, TupleDesc desc);
static void take_up_since(HeapTuple tuple, TupleDesc desc);
static void take_up(HeapTuple tuple, TupleDesc desc);
static bool may_be_entered(const RegistryRow *row);
static Oid	table_named(HeapTuple tuple, TupleDesc desc, AttrNumber attnum);
static char *text_of(HeapTuple tuple, TupleDesc desc, AttrNumber attnum);
static List *key_of(HeapTuple tuple, TupleDesc desc);
static TimestampTz time_of(HeapTuple tuple, TupleDesc desc, AttrNumber attnum);
static void update_dump_condition(void);
static Datum dump_mended(ArrayType *conditions);

PG_FUNCTION_INFO_V1(catmaid_history_restore);

/*
 * Row trigger, BEFORE or INSTEAD OF INSERT: enters the row in the registry instead, if
 * the current user may (registry_guard.c).
 */
Datum
catmaid_history_restore(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		TRIGGER_FIRED_AFTER(data->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(data->tg_event) ||
		(!is_dump_table(RelationGetRelid(data->tg_relation)) &&
		 !is_pause_dump(RelationGetRelid(data->tg_relation)) &&
		 !is_since_dump(RelationGetRelid(data->tg_relation)) &&
		 !is_former_dump_table(RelationGetRelid(data->tg_relation))))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" serves a trigger of table \"%s\" only",
						"catmaid_history_restore", DUMP_TABLE)));
	take_up_row(RelationGetRelid(data->tg_relation), data->tg_trigtuple, RelationGetDescr(data->tg_relation));
	return PointerGetDatum(NULL);
}

/*
 * At the end of a command, ours or not, that may have switched on triggers of the table,
 * or renamed the schema of the registry.
 */
void
dump_follow_command(Node *statement)
{
	if (IsA(statement, RenameStmt) &&
		((RenameStmt *) statement)->renameType == OBJECT_SCHEMA &&
		OidIsValid(extension_registry_or_invalid()) &&
		strcmp(((RenameStmt *) statement)->newname,
			   get_namespace_name(extension_namespace())) == 0)
		update_dump_condition();
	else if (IsA(statement, AlterTableStmt) &&
			 switches_on_triggers((AlterTableStmt *) statement))
	{
		RangeVar   *name = ((AlterTableStmt *) statement)->relation;
		Oid			relid = RangeVarGetRelid(name, NoLock, true);

		if (is_dump_table(relid) || is_pause_dump(relid) || is_since_dump(relid))
			take_up_rows(relid);
		else if (OidIsValid(relid) && relid == retention_relid())
			take_up_retentions(relid);
		else
			log_dump_take_up_rows(relid);
	}
	else if (IsA(statement, AlterTableStmt))
		log_dump_check_command((AlterTableStmt *) statement);
}

static bool
switches_on_triggers(AlterTableStmt *statement)
{
	ListCell   *lc;

	if (statement->relation == NULL ||
		(strcmp(statement->relation->relname, DUMP_TABLE) != 0 &&
		 strcmp(statement->relation->relname, PAUSE_DUMP_TABLE) != 0 &&
		 strcmp(statement->relation->relname, SINCE_DUMP_TABLE) != 0 &&
		 strcmp(statement->relation->relname, "catmaid_history_retention") != 0 &&
		 !log_dump_is_named(statement->relation->relname)))
		return false;
	foreach(lc, statement->cmds)
	{
		AlterTableType action = lfirst_node(AlterTableCmd, lc)->subtype;

		if (action == AT_EnableTrigAll || action == AT_EnableTrigUser ||
			action == AT_EnableTrig)
			return true;
	}
	return false;
}

static bool
is_dump_table(Oid relid)
{
	return is_named(relid, DUMP_TABLE);
}

static bool
is_named(Oid relid, const char *name)
{
	return OidIsValid(relid) && OidIsValid(extension_registry_or_invalid()) &&
		relid == get_relname_relid(name, get_namespace_oid(INTERNAL_SCHEMA, true));
}

static bool
is_pause_dump(Oid relid)
{
	return is_named(relid, PAUSE_DUMP_TABLE);
}

static bool
is_since_dump(Oid relid)
{
	return is_named(relid, SINCE_DUMP_TABLE);
}

static bool
is_former_dump_table(Oid relid)
{
	return OidIsValid(extension_registry_or_invalid()) &&
		relid == get_relname_relid(FORMER_DUMP_TABLE, extension_namespace());
}

static void
take_up_rows(Oid relid)
{
	Relation	dump = table_open(relid, RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(dump, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		take_up_row(relid, tuple, RelationGetDescr(dump));
		CatalogTupleDelete(dump, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(dump, NoLock);

	/* ENABLE TRIGGER ALL takes ALWAYS away */
	catalog_switch_trigger(relid, "catmaid_history_restore", TRIGGER_FIRES_ALWAYS);
}

/*
 * What its trigger has not done meanwhile: the table is looked for by its name, and must
 * be the current user's.
 */
static void
take_up_retentions(Oid relid)
{
	Relation	retention = table_open(relid, RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(retention, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int			columns[] = {ANUM_RETENTION_LIVE, ANUM_RETENTION_NAME};
		Datum		values[] = {(Datum) 0, (Datum) 0};
		bool		nulls[] = {false, true};
		Oid			live;

		if (heap_attisnull(tuple, ANUM_RETENTION_NAME, RelationGetDescr(retention)))
			continue;
		live = table_named(tuple, RelationGetDescr(retention), ANUM_RETENTION_NAME);
		if (OidIsValid(live) && has_privs_of_role(GetUserId(), security_owner_of(live)) &&
			!is_retained(retention, live))
		{
			values[0] = ObjectIdGetDatum(live);
			tuple = heap_modify_tuple_by_cols(tuple, RelationGetDescr(retention), 2,
											  columns, values, nulls);
			CatalogTupleUpdate(retention, &tuple->t_self, tuple);
		}
		else
			CatalogTupleDelete(retention, &tuple->t_self);
		CommandCounterIncrement();
	}
	systable_endscan(scan);
	table_close(retention, NoLock);
	catalog_switch_trigger(relid, "catmaid_history_restore_retention", TRIGGER_FIRES_ALWAYS);
}

static bool
is_retained(Relation retention, Oid live)
{
	SysScanDesc scan = systable_beginscan(retention, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;
	bool		isnull;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = DatumGetObjectId(heap_getattr(tuple, ANUM_RETENTION_LIVE, RelationGetDescr(retention),
											  &isnull)) == live && !isnull;
	systable_endscan(scan);
	return found;
}

static void
take_up_row(Oid relid, HeapTuple tuple, TupleDesc desc)
{
	if (is_pause_dump(relid))
		take_up_pause(tuple, desc);
	else if (is_since_dump(relid))
		take_up_since(tuple, desc);
	else
		take_up(tuple, desc);
}

/* Enter the pause, if its history is there, and the current user's. */
static void
take_up_pause(HeapTuple tuple, TupleDesc desc)
{
	RegistryRow row = {.live = table_named(tuple, desc, Anum_live)};
	bool		isnull;
	TimestampTz from = DatumGetTimestampTz(heap_getattr(tuple, ANUM_PAUSED_FROM, desc, &isnull));

	row.history = table_named(tuple, desc, Anum_history);
	if (OidIsValid(row.history) && !isnull && derived_is_history(row.history) &&
		(superuser() || !OidIsValid(registry_guard_lacks(&row, GetUserId()))))
		reach_restore(row.live, row.history, from,
					  heap_attisnull(tuple, ANUM_PAUSED_UNTIL, desc) ? DT_NOEND :
					  time_of(tuple, desc, ANUM_PAUSED_UNTIL));
}

/* Note what the row says, if its table and column are there, and the current user's. */
static void
take_up_since(HeapTuple tuple, TupleDesc desc)
{
	RegistryRow row = {.live = table_named(tuple, desc, Anum_since_relation)};
	char	   *column = text_of(tuple, desc, Anum_since_column);
	char	   *what = text_of(tuple, desc, Anum_since_what);
	Since		since = {0};
	Datum		snapshot;
	bool		isnull;

	if (!OidIsValid(row.live) || what == NULL || heap_attisnull(tuple, Anum_since_since, desc) ||
		(!superuser() && OidIsValid(registry_guard_lacks(&row, GetUserId()))))
		return;
	if (column && (since.column = get_attnum(row.live, column)) == InvalidAttrNumber)
		return;
	since.since = time_of(tuple, desc, Anum_since_since);
	snapshot = heap_getattr(tuple, Anum_since_snapshot, desc, &isnull);
	if (!isnull)
		since.snapshot = DatumGetCString(DirectFunctionCall1(pg_snapshot_out, snapshot));
	since_restore(row.live, what, &since);
}

/*
 * Register the table of the row, if all its tables are there.  A table that is
 * registered (by its first write after a schema-only restore, say) keeps the
 * flag, which is the truth, and takes the rest.
 */
static void
take_up(HeapTuple tuple, TupleDesc desc)
{
	RegistryRow row = {.live = table_named(tuple, desc, Anum_live)};
	RegistryRow *present;
	bool		isnull;
	bool		has_tracking;

	row.history = table_named(tuple, desc, Anum_history);
	row.tracking = table_named(tuple, desc, Anum_tracking);
	has_tracking = text_of(tuple, desc, Anum_tracking) != NULL;
	if (!OidIsValid(row.live) || !OidIsValid(row.history) ||
		has_tracking != OidIsValid(row.tracking))
		return;

	row.triggers_installed =
		DatumGetBool(heap_getattr(tuple, Anum_installed, desc, &isnull)) && !isnull;
	row.key = key_of(tuple, desc);
	row.time_column = text_of(tuple, desc, Anum_time);
	row.txid_column = text_of(tuple, desc, Anum_txid);
	row.created =
		DatumGetTimestampTz(heap_getattr(tuple, Anum_created, desc, &isnull));
	if (row.key == NIL || row.time_column == NULL || row.txid_column == NULL || isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("a row of table \"%s\" is not complete", DUMP_TABLE),
				 errhint("The table is filled by restoring a dump, and by nothing else.")));

	row.key_since = time_of(tuple, desc, Anum_key_since);
	row.maker_snapshot = heap_getattr(tuple, Anum_maker_snapshot, desc, &isnull);
	row.maker_until = isnull ? 0 : time_of(tuple, desc, Anum_maker_until);
	if (!may_be_entered(&row))
		return;
	present = registry_get(row.live);
	if (present)
	{
		row.triggers_installed = present->triggers_installed;
		if (row.maker_until == 0)
		{
			row.maker_until = present->maker_until;
			row.maker_snapshot = present->maker_snapshot;
		}
		registry_delete(row.live);
	}
	registry_insert(&row);
	row_security_raise(&row);
}

/*
 * Returns true if the current user has the rights of the tables' owners, and the row
 * is sound.  Otherwise there is a WARNING: the rest of the dump is to be restored.
 */
static bool
may_be_entered(const RegistryRow *row)
{
	Oid			lacks = superuser() ? InvalidOid : registry_guard_lacks(row, GetUserId());

	if (!OidIsValid(lacks) && registry_is_sound(row, security_owner_of(row->live)))
		return true;
	ereport(WARNING,
			(errmsg("could not register table %s", naming_quoted(row->live)),
			 OidIsValid(lacks) ?
			 errdetail("Its entry names table %s, which belongs to %s.", naming_quoted(lacks),
					   security_role_sql(security_owner_of(lacks))) :
			 errdetail("%s", registry_fault(row)),
			 errhint("As its owner, SELECT %s(%s::regclass, ...) registers it and reuses its history table.",
					 hint_function("create_history_table"),
					 hint_table(row->live))));
	return false;
}

/* The table of which the column has the name; InvalidOid if there is none. */
static Oid
table_named(HeapTuple tuple, TupleDesc desc, AttrNumber attnum)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		result;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = heap_getattr(tuple, attnum, desc, &fcinfo->args[0].isnull);
	if (fcinfo->args[0].isnull)
		return InvalidOid;
	result = to_regclass(fcinfo);
	return fcinfo->isnull ? InvalidOid : DatumGetObjectId(result);
}

/* The column's value, or NULL. */
static char *
text_of(HeapTuple tuple, TupleDesc desc, AttrNumber attnum)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static List *
key_of(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_key, desc, &isnull);
	List	   *key = NIL;
	Datum	   *names;
	int			n;
	int			i;

	if (isnull)
	{
		char	   *name = text_of(tuple, desc, Anum_pkey);

		return name ? list_make1(name) : NIL;
	}
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, NULL, &n);
	for (i = 0; i < n; i++)
		key = lappend(key, TextDatumGetCString(names[i]));
	return key;
}

/* The column's value, or 0. */
static TimestampTz
time_of(HeapTuple tuple, TupleDesc desc, AttrNumber attnum)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, desc, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/* Make pg_dump's condition name the registry's schema as it is called now. */
static void
update_dump_condition(void)
{
	Relation	extensions = table_open(ExtensionRelationId, RowExclusiveLock);
	TupleDesc	desc = RelationGetDescr(extensions);
	int			column = Anum_pg_extension_extcondition;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull = true;
	Datum		conditions = (Datum) 0;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("catmaid_history"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		conditions = heap_getattr(tuple, column, desc, &isnull);
	if (!isnull)
	{
		conditions = dump_mended(DatumGetArrayTypeP(conditions));
		tuple = heap_modify_tuple_by_cols(tuple, desc, 1, &column, &conditions, &isnull);
		CatalogTupleUpdate(extensions, &tuple->t_self, tuple);
	}
	systable_endscan(scan);
	table_close(extensions, NoLock);
	CommandCounterIncrement();
}

/* The array with the ones that read the registry and the log mended. */
static Datum
dump_mended(ArrayType *conditions)
{
	Datum	   *elements;
	int			n;
	int			i;

	deconstruct_array(conditions, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (i = 0; i < n; i++)
	{
		char	   *condition = TextDatumGetCString(elements[i]);
		char	   *from = strstr(condition, " FROM ");
		char	   *log = strstr(condition, LOG_CONDITION_BEFORE);

		if (log)
		{
			log += strlen(LOG_CONDITION_BEFORE);
			elements[i] = CStringGetTextDatum(psprintf("%.*s%s%s", (int) (log - condition), condition,
													   naming_quoted(log_table_relid()),
													   strstr(log, LOG_CONDITION_AFTER)));
			continue;
		}
		if (strncmp(condition, "WHERE false UNION ALL ", 22) != 0 || from == NULL ||
			strstr(from, REACH_TABLE) != NULL || strstr(from, SINCE_TABLE) != NULL)
			continue;
		*from = '\0';
		elements[i] = CStringGetTextDatum(psprintf("%s FROM %s", condition,
												   naming_quoted(extension_registry())));
	}
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * check.c
 *		check_history(): what is wrong with histories, as rows; and as warnings.
 *
 * One row for each finding on a table that the caller owns, and on the registry
 * and the extension as a whole.  check_table.c looks at a table.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "doctor/doctor.h"
#include "compat.h"

/* see check_in_turn */
typedef struct Turn
{
	const RegistryRow *row;
	CheckDepth	depth;
	List	   *findings;
} Turn;

/* re-creates every function and trigger of the extension */
#define THERE_AND_BACK \
	"ALTER EXTENSION catmaid_history UPDATE TO 'unpackaged'; ALTER EXTENSION catmaid_history UPDATE;"

static List *check_all(CheckDepth depth);
static List *check_in_turn(const RegistryRow *row, CheckDepth depth);
static void take_turn(void *arg);
static List *check_one(Oid live, CheckDepth depth);
static List *check_unregistered(List *findings);
static bool is_found(List *findings, Oid live);
static List *check_unused_histories(List *findings);
static List *check_functions(List *findings);
static List *check_casts(List *findings);
static Oid	function_owner(Oid function);
static bool is_members_type(Oid type, Oid extension);
static void put_findings(FunctionCallInfo fcinfo, List *findings);

PG_FUNCTION_INFO_V1(catmaid_history_check_history);

/* check_history(target, scan_history): NULL for all tables */
Datum
catmaid_history_check_history(PG_FUNCTION_ARGS)
{
	CheckDepth	depth = PG_ARGISNULL(1) || PG_GETARG_BOOL(1) ? CHECK_HISTORY : CHECK_TRACKING;

	if (!registry_has_shape(extension_registry()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("registry table %s does not have the expected columns",
						naming_quoted(extension_registry())),
				 errhint("Re-create the table as documented and copy its rows.")));
	put_findings(fcinfo, PG_ARGISNULL(0) ? check_all(depth) :
				 check_one(PG_GETARG_OID(0), depth));
	return (Datum) 0;
}

static List *
check_all(CheckDepth depth)
{
	List	   *findings = check_functions(NIL);
	List	   *rows = registry_all();
	List	   *lives = NIL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		Oid			live = ((RegistryRow *) lfirst(lc))->live;

		if (get_rel_name(live) != NULL && relation_ownercheck_compat(live, GetUserId()))
			lives = lappend_oid(lives, live);
	}
	/* before all tables, as who changes views does */
	view_lock_all(lives, AccessShareLock);

	foreach(lc, rows)
	{
		RegistryRow *row = lfirst(lc);

		if (get_rel_name(row->live) == NULL ||
			relation_ownercheck_compat(row->live, GetUserId()))
			findings = list_concat(findings, check_in_turn(row, depth));
	}
	findings = check_unregistered(findings);
	return legacy_is_in_charge() ? findings : check_unused_histories(findings);
}

/* What is wrong with one of several tables; that it cannot be looked at, if nothing else. */
static List *
check_in_turn(const RegistryRow *row, CheckDepth depth)
{
	Turn		turn = {row, depth, NIL};
	char	   *message = attempt_for_one(take_turn, &turn);

	if (message == NULL)
		return turn.findings;
	return check_add(NIL, row->live, "error", "not_checkable", NULL,
					 psprintf("The table cannot be checked: %s.", message),
					 get_rel_name(row->live) == NULL ? NULL :
					 psprintf("SELECT * FROM %s(%s) shows the error.",
							  hint_function("check_history"),
							  hint_table(row->live)));
}

static void
take_turn(void *arg)
{
	Turn	   *turn = arg;

	turn->findings = check_table(turn->row, turn->depth);
}

static List *
check_one(Oid live, CheckDepth depth)
{
	RegistryRow *row = registry_get(live);

	if (get_rel_name(live) != NULL)
		security_check_owner(live, 0);
	if (row == NULL)
		ereport(ERROR,
				(errcode(get_rel_name(live) ? ERRCODE_UNDEFINED_OBJECT : ERRCODE_UNDEFINED_TABLE),
				 get_rel_name(live) ? errmsg("table \"%s\" has no history", get_rel_name(live)) :
				 errmsg("relation with OID %u does not exist", live),
				 get_rel_name(live) ? registry_hint_for_untracked(live) :
				 errhint("Name a table of this database.")));
	view_lock_all(list_make1_oid(live), AccessShareLock);
	return check_table(row, depth);
}

/* Tables with history triggers that the registry does not know. */
static List *
check_unregistered(List *findings)
{
	bool		legacy = legacy_is_in_charge();
	ListCell   *lc;

	foreach(lc, triggers_tables(legacy ? legacy_is_function : triggers_is_ours))
	{
		Oid			live = lineage_root(lfirst_oid(lc));

		if (registry_get(live) != NULL ||
			!relation_ownercheck_compat(live, GetUserId()))
			continue;
		findings = check_add(findings, live, "error", "not_registered", NULL,
							 "The table has history triggers, but is not registered.",
							 legacy ? "Drop the triggers, or call create_history_table to begin a new history." :
							 psprintf("A write registers it, if its history exists; SELECT %s(%s::regclass) removes the triggers.",
									  drop_function_name(false),
									  hint_table(live)));
	}
	return findings;
}

static bool
is_found(List *findings, Oid live)
{
	ListCell   *lc;

	foreach(lc, findings)
		if (((Finding *) lfirst(lc))->live == live)
			return true;
	return false;
}

/*
 * Histories beside tables that are not tracked: kept on purpose, or left by a dump
 * of a schema alone, which has no extension in it.
 */
static List *
check_unused_histories(List *findings)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(classes, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		char	   *name = form->relkind == RELKIND_RELATION ?
			naming_live_of(NameStr(form->relname)) : NULL;
		Oid			live = name ? get_relname_relid(name, form->relnamespace) : InvalidOid;

		if (!OidIsValid(live) || registry_get(live) != NULL ||
			security_owner_of(live) != form->relowner ||
			!relation_ownercheck_compat(form->oid, GetUserId()) ||
			!derived_has_history_defaults(form->oid) || registry_get_by_derived(form->oid) != NULL ||
			is_found(findings, live))
			continue;
		findings = check_add(findings, live, "info", "not_tracked", NameStr(form->relname),
							 psprintf("The table is not tracked, but there is a history of it: %s.",
									  naming_quoted(form->oid)),
							 psprintf("SELECT %s(%s::regclass) continues with it.",
									  hint_function("create_history_table"),
									  hint_table(live)));
	}
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return findings;
}

/* What is the extension's own and was changed by others, or is older than the library. */
static List *
check_functions(List *findings)
{
	int			keep_data;

	if (legacy_is_too_old())
		findings = check_add(findings, InvalidOid, "warning", "older_than_0096", NULL,
							 "CATMAID's migration 0096 has not been run: versions are stored, but adoption will be refused.",
							 "Run CATMAID's migrations first: manage.py migrate catmaid 0098, or a newer one.");
	if (legacy_is_in_charge())
		return findings;
	if (!registry_is_guarded())
		findings = check_add(findings, InvalidOid, "warning", "registry_unguarded", NULL,
							 psprintf("Table %s lacks the trigger that checks who may write which row.",
									  naming_quoted(extension_registry())),
							 THERE_AND_BACK);
	for (keep_data = 0; keep_data < 2; keep_data++)
	{
		const char *name = keep_data ? "drop_history_table_keep_data" : "drop_history_table";

		if (drop_function_altered(keep_data))
			findings = check_add(findings, InvalidOid, "warning", "function_replaced", name,
								 psprintf("Function %s is no longer the extension's.",
										  naming_quoted_in(extension_namespace(), name)),
								 THERE_AND_BACK);
	}
	return check_casts(findings);
}

/*
 * Casts of our types by functions of roles that are no superusers.  They run as
 * whoever has a row of ours written as text or as JSON.  Adoption refuses them, but cannot see one
 * that another session of the types' former owner makes in that moment.
 */
static List *
check_casts(List *findings)
{
	Oid			extension = get_extension_oid("catmaid_history", false);
	Relation	casts = table_open(CastRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(casts, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_cast form = (Form_pg_cast) GETSTRUCT(tuple);
		Oid			owner;
		char	   *name;

		if (form->oid < FirstNormalObjectId || !OidIsValid(form->castfunc) ||
			!OidIsValid(owner = function_owner(form->castfunc)) || superuser_arg(owner) ||
			!(is_members_type(form->castsource, extension) ||
			  is_members_type(form->casttarget, extension)))
			continue;
		name = psprintf("%s AS %s", format_type_be_qualified(form->castsource),
						format_type_be_qualified(form->casttarget));
		findings = check_add(findings, InvalidOid, "error", "foreign_cast", name,
							 psprintf("Function %s of role %s runs as any role that reads values of the extension's types as text or JSON.",
									  naming_quoted_in(get_func_namespace(form->castfunc), get_func_name(form->castfunc)),
									  quote_identifier(GetUserNameFromId(owner, false))),
							 psprintf("DROP CAST (%s);", name));
	}
	systable_endscan(scan);
	table_close(casts, AccessShareLock);
	return findings;
}

/* InvalidOid if the function is gone */
static Oid
function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/* Returns true if the type, or its element type, belongs to the extension. */
static bool
is_members_type(Oid type, Oid extension)
{
	Oid			element = get_element_type(type);
	Oid			relid;

	if (OidIsValid(element))
		type = element;
	relid = get_typ_typrelid(type);
	if (OidIsValid(relid))
		return getExtensionOfObject(RelationRelationId, relid) == extension;
	return getExtensionOfObject(TypeRelationId, type) == extension;
}

/* Return the findings as the rows of a set-returning function. */
static void
put_findings(FunctionCallInfo fcinfo, List *findings)
{
	ReturnSetInfo *result = result_set_begin(fcinfo);
	ListCell   *lc;

	foreach(lc, findings)
	{
		Finding    *finding = lfirst(lc);
		const char *texts[5];
		Datum		values[6];
		bool		nulls[6];
		int			i;

		texts[0] = finding->severity;
		texts[1] = finding->finding;
		texts[2] = finding->object;
		texts[3] = finding->detail;
		texts[4] = finding->hint;
		values[0] = ObjectIdGetDatum(finding->live);
		nulls[0] = !OidIsValid(finding->live);
		for (i = 0; i < lengthof(texts); i++)
		{
			nulls[i + 1] = texts[i] == NULL;
			values[i + 1] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
		}
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

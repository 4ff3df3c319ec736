/*
 * adopt.c
 *		Take over the tables of a database whose history the older PL/pgSQL
 *		implementation has kept until now.
 *
 * Called by the script from version 'unpackaged' to 1.0, when the functions have
 * been replaced.  Its triggers go and ours come, where versions were stored, or
 * were to be; what is damaged is mended as far as repair.c goes; the rest is
 * told, in one warning a table.  History rows are neither read nor written, so
 * the time grows with the number of tables, and with the rows of tracking
 * tables, not with the history.
 *
 * Who wrote the registry is believed no more than he has rights: a row counts if
 * each role that may have written it has those of the live table's owner.  In a
 * database that was ours before, what is marked (mark.c) counts, whatever the registry
 * says, and the rest is left as it is.
 *
 * Locks: ACCESS EXCLUSIVE on all live tables at first, by OID.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "adopt/adopt.h"
#include "compat.h"

typedef struct AdoptedTable
{
	RegistryRow *row;
	char	   *name;
	bool		tracked;		/* have versions been stored until now? */
	bool		switched_off;	/* or are our triggers there, but do not fire? */
	bool		has_gap;		/* some trigger did not fire */
} AdoptedTable;

/* What is to be told of all tables at the end, a line each. */
typedef struct Report
{
	StringInfoData gaps;
	StringInfoData readers;
} Report;

static void adopt_all(List *writers);
static List *believed_rows(List *writers);
static void tell_makers(List *rows);
static bool have_rights(List *writers, Oid owner);
static List *oids_of(ArrayType *array);
static bool is_marked(Oid live);
static bool can_be_live(Oid relid);
static void adopt_forget(RegistryRow *row, const char *why);
static void register_tracked(Oid live, List *writers);
static void tell_unregistered(Oid live);
static char *time_columns_like_others(Relation live, char **txid_column);
static void adopt_triggers(AdoptedTable *table, Report *report);
static void adopt_table(AdoptedTable *table, Report *report);
static void adopt_readers(RegistryRow *row, Oid view, Report *report);
static void tell_table(RegistryRow *row);
static void tell_functions(List *functions);
static void tell_report(const Report *report);
static void add_line(StringInfo text, const char *format,...) pg_attribute_printf(2, 3);
static void add_context(void *argument);

PG_FUNCTION_INFO_V1(catmaid_history_adopt);

/*
 * catmaid_history_adopt(writers, grants, dump_grants): the former owner of the
 * registry, first, and who else could write it, or nobody where it was ours before;
 * GRANTs and REVOKEs on members, in SQL; whether dumps shall have them
 */
Datum
catmaid_history_adopt(PG_FUNCTION_ARGS)
{
	ArrayType  *writers = PG_GETARG_ARRAYTYPE_P(0);
	char	   *grants = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (!creating_extension ||
		CurrentExtensionObject != get_extension_oid("catmaid_history", true))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("function \"%s\" serves the extension's scripts only",
						"catmaid_history_adopt")));

	/* indexes, triggers and views of the tables are no members */
	creating_extension = false;
	PG_TRY();
	{
		adopt_all(oids_of(writers));

		/* what is granted outside a script is the site's, and is dumped */
		creating_extension = !PG_GETARG_BOOL(2);
		if (grants[0] != '\0')
			ddl_execute(GetUserId(), "%s", grants);
	}
	PG_FINALLY();
	{
		creating_extension = true;
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}

static List *
oids_of(ArrayType *array)
{
	List	   *oids = NIL;
	Datum	   *elements;
	int			n;
	int			i;

	deconstruct_array(array, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &elements, NULL, &n);
	for (i = 0; i < n; i++)
		oids = lappend_oid(oids, DatumGetObjectId(elements[i]));
	return oids;
}

static void
adopt_all(List *writers)
{
	List	   *believed;
	List	   *tables = NIL;
	Report		report;
	ListCell   *lc;

	initStringInfo(&report.gaps);
	initStringInfo(&report.readers);
	foreach(lc, triggers_tables(legacy_is_function))
		register_tracked(lfirst_oid(lc), writers);

	believed = believed_rows(writers);
	if (writers != NIL)
		tell_makers(believed);
	foreach(lc, repair_in_order(believed))
	{
		AdoptedTable *table = palloc0(sizeof(AdoptedTable));

		table->row = lfirst(lc);
		table->name = get_rel_name(table->row->live);
		tables = lappend(tables, table);
		adopt_triggers(table, &report);
		repair_missing(table->row);
	}
	foreach(lc, tables)
		adopt_table(lfirst(lc), &report);
	tell_functions(legacy_drop_functions(writers ? linitial_oid(writers) : InvalidOid));
	foreach(lc, registry_all())
		tell_table(lfirst(lc));
	tell_report(&report);
}

/* The registry's rows that are worth adopting, their live tables locked. */
static List *
believed_rows(List *writers)
{
	List	   *believed = NIL;
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *row = lfirst(lc);

		if (get_rel_name(row->live) == NULL)
		{
			/* while its history is there, the row tells whose it is */
			if (get_rel_name(row->history) == NULL)
				registry_delete(row->live);
			continue;
		}
		if (!can_be_live(row->live))
		{
			adopt_forget(row, "cannot have a history");
			continue;
		}
		/* a stranger's table, which is left as it is, is not locked either */
		if (writers != NIL && !have_rights(writers, security_owner_of(row->live)) &&
			!is_marked(row->live))
		{
			adopt_forget(row, "was registered by a role that does not own it");
			continue;
		}
		LockRelationOid(row->live, AccessExclusiveLock);
		if (get_rel_name(row->live) == NULL)
		{
			registry_delete(row->live);
			continue;
		}
		/* as it is now: another table may have disproved it */
		row = registry_get(row->live);
		if (row == NULL)
			continue;
		repair_row(row);
		repair_owners_unmarked(row, writers);
		if (have_rights(writers, security_owner_of(row->live)) || mark_is_set(row))
			believed = lappend(believed, row);
		else if (writers != NIL)
			adopt_forget(row, "was registered by a role that does not own it");
	}
	return believed;
}

/*
 * The older implementation stores, where there is a tracking table, the transaction
 * that has made the version; we store the one that ends it.  Note until when, in each
 * row: the clock tells, now that no writer is left and none can come; but who began
 * before and waits will store with an end that is earlier, so who has committed is
 * noted as well.
 */
static void
tell_makers(List *rows)
{
	TimestampTz until = GetCurrentTimestamp();
	Datum		snapshot;
	ListCell   *lc;

	PushActiveSnapshot(GetLatestSnapshot());
	snapshot = DirectFunctionCall1(pg_current_snapshot, (Datum) 0);
	PopActiveSnapshot();
	foreach(lc, rows)
	{
		RegistryRow *row = lfirst(lc);

		if (!OidIsValid(row->tracking))
			continue;
		row->maker_until = until;
		row->maker_snapshot = snapshot;
		registry_update(row);
	}
}

/* Returns true if all the roles that may have written the registry have the owner's rights. */
static bool
have_rights(List *writers, Oid owner)
{
	ListCell   *lc;

	foreach(lc, writers)
		if (!has_privs_of_role(lfirst_oid(lc), owner))
			return false;
	return writers != NIL;
}

static bool
is_marked(Oid live)
{
	Mark		mark;

	return mark_read(live, NULL, &mark) && OidIsValid(mark.history);
}

static bool
can_be_live(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return relid >= FirstNormalObjectId &&
		(relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		get_rel_persistence(relid) != RELPERSISTENCE_TEMP &&
		!get_rel_relispartition(relid);
}

static void
adopt_forget(RegistryRow *row, const char *why)
{
	registry_delete(row->live);
	ereport(WARNING,
			(errmsg("table %s %s: it is not registered any more", naming_quoted(row->live), why),
			 errdetail("Neither it nor its history table have been changed."),
			 errhint("SELECT %s(...) registers a table.",
					 hint_function("create_history_table"))));
}

/*
 * A table with the older triggers that the registry does not know: if history
 * and tracking table are where they must be, it is registered, as its versions
 * have been stored until now.
 */
static void
register_tracked(Oid live, List *writers)
{
	RegistryRow row = {.live = live,.triggers_installed = true};
	Relation	rel;

	if (get_rel_name(live) == NULL || registry_get(live) != NULL)
		return;
	if (!have_rights(writers, security_owner_of(live)))
	{
		tell_unregistered(live);
		return;
	}
	LockRelationOid(live, AccessExclusiveLock);
	if (get_rel_name(live) == NULL || registry_get(live) != NULL)
		return;
	rel = table_open(live, NoLock);
	row.key = columns_key(rel);
	row.history = derived_find(live, naming_history_table(live), RELKIND_RELATION);
	row.tracking = derived_find(live, naming_tracking_table(live), RELKIND_RELATION);
	if (OidIsValid(row.tracking))
	{
		row.time_column = EDITION_COLUMN;
		row.txid_column = TRACKING_XID_COLUMN;
	}
	else
		row.time_column = time_columns_like_others(rel, &row.txid_column);

	if (have_rights(writers, security_owner_of(live)) &&
		legacy_tracks(rel) && row.key != NIL && row.time_column != NULL &&
		OidIsValid(row.history) && derived_is_history(row.history) &&
		registry_get_by_derived(row.history) == NULL &&
		(!OidIsValid(row.tracking) || derived_is_tracking(row.tracking)))
		registry_insert(&row);
	else
		tell_unregistered(live);
	table_close(rel, NoLock);
}

static void
tell_unregistered(Oid live)
{
	ereport(WARNING,
			(errmsg("table %s has triggers of the older implementation, but is not registered",
					naming_quoted(live)),
			 errdetail("They are left as they are."),
			 errhint("Drop the triggers, then SELECT %s(%s::regclass, ...);",
					 hint_function("create_history_table"),
					 hint_table(live))));
}

/* The time and txid column by which others are tracked, if only one pair fits. */
static char *
time_columns_like_others(Relation live, char **txid_column)
{
	char	   *found = NULL;
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *row = lfirst(lc);

		if (OidIsValid(row->tracking) ||
			fit_time_columns(live, row->time_column, row->txid_column) != NIL ||
			(found && strcmp(found, row->time_column) == 0 &&
			 strcmp(*txid_column, row->txid_column) == 0))
			continue;
		if (found)
			return NULL;
		found = row->time_column;
		*txid_column = row->txid_column;
	}
	return found;
}

/* Take the older triggers away, and note what they have not recorded. */
static void
adopt_triggers(AdoptedTable *table, Report *report)
{
	RegistryRow *row = table->row;
	Relation	live = table_open(row->live, NoLock);
	bool		ours = triggers_enabled(row->live, row);
	const char *name;
	TriggerState state;
	int			i;

	table->tracked = ours || legacy_tracks(live);
	table->switched_off = !table->tracked && triggers_there(row, NULL);
	if (row->triggers_installed && !table->tracked && !table->switched_off)
		add_line(&report->gaps, "%s: registered as tracked, but without triggers; it is registered as not tracked now.",
				 naming_quoted(row->live));
	for (i = 0; table->tracked && !ours &&
		 (name = legacy_trigger_state(live, row, i, &state)) != NULL; i++)
		if (state == TRIGGER_MISSING || state == TRIGGER_SWITCHED_OFF)
		{
			table->has_gap = true;
			add_line(&report->gaps, "%s: trigger \"%s\" was %s before adoption.", naming_quoted(row->live),
					 name, state == TRIGGER_MISSING ? "missing" : "disabled");
		}
	table_close(live, NoLock);
	if (get_rel_name(row->history) == NULL)
		add_line(&report->gaps, "%s: its history table did not exist, and was created.",
				 naming_quoted(row->live));
	(void) legacy_remove_triggers(row->live);
}

static void
adopt_table(AdoptedTable *table, Report *report)
{
	ErrorContextCallback context = {error_context_stack, add_context, table};
	Oid			view;
	bool		was_legacy;

	if (table->switched_off)
	{
		reach_pause(table->row, false);
		return;
	}
	error_context_stack = &context;
	view = view_of_name(table->row->live);
	was_legacy = OidIsValid(view) && view_find(table->row->live) != view;
	if (!table->tracked)
		reach_pause(table->row, false);
	repair_table(table->row, table->tracked, true);
	if (table->has_gap && table->row->triggers_installed)
		reach_resume(table->row, false);
	comments_put(table->row);
	if (was_legacy && OidIsValid(view_find(table->row->live)))
		adopt_readers(table->row, view_find(table->row->live), report);
	error_context_stack = context.previous;
}

/* From PostgreSQL 15 on our view is read with the rights of its reader. */
static void
adopt_readers(RegistryRow *row, Oid view, Report *report)
{
	List	   *others;
	ListCell   *lc;

	if (VIEW_OPTIONS_COMPAT == NIL)
		return;
	others = privileges_let_readers(view, row->live, row->history);
	if (OidIsValid(row->tracking))
		others = list_concat_unique_oid(others, privileges_let_readers(view, row->live, row->tracking));
	foreach(lc, others)
		add_line(&report->readers, "GRANT SELECT ON %s, %s%s%s TO %s;",
				 naming_quoted(row->live), naming_quoted(row->history),
				 OidIsValid(row->tracking) ? ", " : "",
				 OidIsValid(row->tracking) ? naming_quoted(row->tracking) : "",
				 security_role_sql(lfirst_oid(lc)));
}

static void
tell_table(RegistryRow *row)
{
	char	   *table = get_rel_name(row->live) ? naming_quoted(row->live) :
		psprintf("with OID %u", row->live);

	check_warn(row->live, psprintf("the history of table %s is not in order", table),
			   check_table(row, CHECK_CATALOGS));
}

/* Functions of the older implementation that something of the site's uses. */
static void
tell_functions(List *functions)
{
	ListCell   *lc;

	foreach(lc, functions)
		ereport(WARNING,
				(errmsg("trigger function %s() was not dropped",
						naming_quoted_function(lfirst_oid(lc))),
				 errdetail("Its name is one of the older implementation's, but it is used by an object other than the registered tables, or it belongs to another role."),
				 errhint("Drop it when it is no longer needed.")));
}

/* What check_history() will not tell, as it is over, or none of its business. */
static void
tell_report(const Report *report)
{
	if (report->gaps.len > 0)
		ereport(WARNING,
				(errmsg("some changes made before adoption were not recorded"),
				 errdetail("%s", report->gaps.data),
				 errhint("Use SELECT %s(...) to track a table.",
						 hint_function("enable_history_tracking_for_table"))));
	if (report->readers.len > 0)
		ereport(WARNING,
				(errmsg("history views now use the privileges of their readers, and some roles lack these privileges"),
				 errdetail("To let them read as before:\n%s", report->readers.data),
				 errhint("Grant the privileges that these roles should have.")));
}

static void
add_line(StringInfo text, const char *format,...)
{
	if (text->len > 0)
		appendStringInfoChar(text, '\n');
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(text, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(text, needed);
	}
}

/* (no place to look into catalogs: the error may be of looking into them) */
static void
add_context(void *argument)
{
	AdoptedTable *table = argument;

	errcontext("adopting the history of table \"%s\"", table->name);
}

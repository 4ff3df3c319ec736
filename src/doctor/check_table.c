/*
 * check_table.c
 *		What is wrong with the history of one table.
 *
 * Nothing is changed here.  The catalogs are looked at first, what a site has put on
 * derived tables among them (check_constraints.c), then how the tracking table agrees
 * with the live table, and last, if asked for, all rows of the history table
 * (check_rows.c), which takes as long as reading and sorting it.
 *
 * It serves a database that the older implementation is still in charge of as
 * well: there its triggers and its views are the right ones.
 *
 * Severities: error, where writes fail or versions are lost; warning, where
 * history tells less than it should, or maintenance will stumble; info.
 *
 * Locks: ACCESS SHARE on what is read.  Rows are read as the live table's owner.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "doctor/doctor.h"
#include "compat.h"

static bool check_tables(Check *check);
static void check_row_security(Check *check);
static void check_columns(Check *check);
static const char *widen_hint(Check *check, Difference *difference);
static void check_own_columns(Check *check);
static void check_time_columns(Check *check);
static bool check_key(Check *check, Relation live);
static void check_tracking(Check *check);
static bool check_tracking_key(Check *check);
static void check_indexes(Check *check);
static void check_segments(Check *check);
static bool is_called_segment(const char *name, const char *history);
static void check_view(Check *check);
static void check_triggers(Check *check, Relation live);
static void check_trigger(Check *check, const char *name, TriggerState state);
static const char *way_out(const RegistryRow *row);

/* The findings on a registered table, as a list of Finding. */
List *
check_table(const RegistryRow *row, CheckDepth depth)
{
	Check		check = {.row = row,.legacy = legacy_is_in_charge(),.depth = depth};
	Relation	live;

	if (!check_tables(&check))
		return check.findings;

	live = table_open(row->live, AccessShareLock);
	check.tracked = row->triggers_installed ||
		(check.legacy ? legacy_tracks(live) : triggers_enabled(row->live, row));
	check.differences = fit_differences(row, live);
	check_row_security(&check);
	check_own_columns(&check);
	check_columns(&check);
	check_time_columns(&check);
	if (check_key(&check, live))
	{
		if (OidIsValid(row->tracking))
			check_tracking(&check);
		check_indexes(&check);
		if (depth == CHECK_HISTORY && check.sound && fit_key(row) == KEY_HELD)
			check_periods(&check, live);
	}
	check_constraints(&check);
	if (get_rel_name(row->history) != NULL)
		check_segments(&check);
	check_view(&check);
	check_triggers(&check, live);
	table_close(live, NoLock);
	return check.findings;
}

/*
 * Check that the tables exist and who owns them.  Returns false if nothing else can be
 * checked.
 */
static bool
check_tables(Check *check)
{
	const RegistryRow *row = check->row;
	const char *history = get_rel_name(row->history);

	if (get_rel_name(row->live) == NULL)
	{
		check_finding(check, "warning", "live_table_gone", NULL, check_repair_hint(check),
					  "The table with OID %u was dropped but is still registered; %s.", row->live,
					  history ? psprintf("its history table %s exists", naming_quoted(row->history)) :
					  "its history table does not exist");
		return false;
	}
	if (history == NULL)
	{
		check_finding(check, "error", "history_table_gone", NULL, check_repair_hint(check),
					  "The table's history table does not exist.");
		return false;
	}
	check->sound = registry_is_sound(row, security_owner_of(row->live));
	if (!registry_owners_agree(row, security_owner_of(row->live)))
		check_finding(check, "error", "other_owner", history,
					  check->legacy ? check_repair_hint(check) : way_out(row),
					  "History and tracking table do not both belong to the table's owner.");
	else if (!check->sound && derived_is_history(row->history))
		check_finding(check, "error", "registry_differs", history,
					  check->legacy ? check_repair_hint(check) : way_out(row), "%s", registry_fault(row));
	/* what may be another table's history is not looked at */
	if (!check->sound && !check->legacy && derived_is_history(row->history))
		return false;
	if (!derived_is_history(row->history))
	{
		check_finding(check, "error", "not_a_history_table", history, NULL,
					  "%s has no columns %s tstzrange and %s bigint.",
					  naming_quoted(row->history), PERIOD_COLUMN, XID_COLUMN);
		return false;
	}
	if (strcmp(history, naming_history_table(row->live)) != 0 ||
		get_rel_namespace(row->history) != get_rel_namespace(row->live))
		check_finding(check, "warning", "name_differs", history, check_repair_hint(check),
					  "The history table should be %s.%s.",
					  quote_identifier(get_namespace_name(get_rel_namespace(row->live))),
					  quote_identifier(naming_history_table(row->live)));
	return true;
}

/* Check that the derived tables are as protected as the live one. */
static void
check_row_security(Check *check)
{
	const RegistryRow *row = check->row;
	Oid			derived[] = {row->history, row->tracking};
	int			i;

	for (i = 0; i < lengthof(derived); i++)
		if (OidIsValid(derived[i]) && row_security_lacks(row->live, derived[i]))
			check_finding(check, "error", "row_security_missing", get_rel_name(derived[i]), check_repair_hint(check),
						  "Policies hide rows of the table, but %s lacks its row-level security.",
						  naming_quoted(derived[i]));
}

/* Check that the history table has a column for each live one, with room for its values. */
static void
check_columns(Check *check)
{
	char	   *history = naming_quoted(check->row->history);
	ListCell   *lc;

	foreach(lc, check->differences)
	{
		Difference *difference = lfirst(lc);

		switch (difference->kind)
		{
			case HISTORY_LACKS_COLUMN:
				check_finding(check, "error", "column_missing", difference->name, check_repair_hint(check),
							  "History table %s has no column \"%s\".", history, difference->name);
				break;
			case HISTORY_COLUMN_NARROW:
				check_finding(check, "error", "column_too_narrow", difference->name,
							  widen_hint(check, difference),
							  "Column \"%s\" has type %s, in history table %s type %s.",
							  difference->name,
							  format_type_with_typemod(difference->type, difference->typmod), history,
							  format_type_with_typemod(difference->held.atttypid, difference->held.atttypmod));
				break;
			case HISTORY_COLUMN_NOT_NULL:
				if (difference->live.attnotnull)
					check_finding(check, "info", "column_not_null", difference->name,
								  psprintf("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL;", history,
										   quote_identifier(difference->name)),
								  "Column \"%s\" of history table %s is NOT NULL: writes fail by it when the table's no longer is.",
								  difference->name, history);
				else
					check_finding(check, "error", "column_not_null", difference->name, check_repair_hint(check),
								  "Column \"%s\" may be NULL, but not in history table %s.",
								  difference->name, history);
				break;
			default:
				break;
		}
	}
}

static const char *
widen_hint(Check *check, Difference *difference)
{
	if (!check->legacy)
		return history_map_widen_hint(check->row->live, check->row->history, &difference->held,
									  difference->type, difference->typmod);
	return types_widen_in_place(&difference->held, difference->type, difference->typmod) ?
		check_repair_hint(check) : "Adopt the database, then see this hint again.";
}

/* The history's own columns: the defaults, on which migrations rely; who made a version. */
static void
check_own_columns(Check *check)
{
	if (!derived_has_history_defaults(check->row->history))
		check_finding(check, "warning", "default_missing", NULL, check_repair_hint(check),
					  "Columns %s and %s of history table %s have no defaults.",
					  PERIOD_COLUMN, XID_COLUMN, naming_quoted(check->row->history));
	if (!check->legacy && derived_lacks_maker(check->row))
		check_finding(check, "warning", "maker_missing", MAKER_COLUMN, check_repair_hint(check),
					  "History table %s has no column %s: who makes a version is not recorded.",
					  naming_quoted(check->row->history), MAKER_COLUMN);
}

/* The columns that tell who edited a row when. */
static void
check_time_columns(Check *check)
{
	ListCell   *lc;

	foreach(lc, check->differences)
	{
		Difference *difference = lfirst(lc);
		bool		missing = difference->kind == TIME_COLUMN_MISSING ||
			difference->kind == TIME_COLUMN_OF_OTHER_TYPE;
		const char *hint;

		if (!missing && difference->kind != TIME_COLUMN_COMPUTED)
			continue;
		hint = psprintf("%s; or track the table by other columns: SELECT %s(%s::regclass), then create_history_table.",
						missing ? "Add the column" : "Make it an ordinary column",
						drop_function_name(true), hint_table(check->row->live));
		if (missing)
			check_finding(check, "error", "time_column_unfit", difference->name, hint,
						  "The table has no column \"%s\" of type %s.", difference->name,
						  format_type_be(difference->type));
		else
			check_finding(check, "error", "time_column_unfit", difference->name, hint,
						  "Column \"%s\" is a generated column.", difference->name);
	}
}

/* Returns whether rows can be told by the registered key. */
static bool
check_key(Check *check, Relation live)
{
	KeyState	state = fit_key(check->row);
	bool		goes_on = !check->legacy && check->tracked && fit_goes_on(check->row);
	char	   *add_key = psprintf("ALTER TABLE %s ADD PRIMARY KEY (...);",
								   naming_quoted(check->row->live));

	if (state == KEY_REPLACED || (state == KEY_HELD && columns_key(live) == NIL))
		check_finding(check, "error", "key_changed", linitial(fit_primary_key(check->row->live)),
					  check_repair_hint(check), "The table's primary key is not the registered one.");
	else if (goes_on)
		check_finding(check, "warning", "no_primary_key", NULL, add_key,
					  "The table has no primary key; rows that came since may have no known start.");
	else if (state != KEY_HELD)
		check_finding(check, "error", "no_primary_key", NULL, add_key,
					  "The table has no primary key.");
	return state == KEY_HELD || (goes_on && state == KEY_LOOSE);
}

static void
check_tracking(Check *check)
{
	Oid			tracking = check->row->tracking;

	if (get_rel_name(tracking) == NULL)
	{
		check_finding(check, "error", "tracking_table_gone", NULL, check_repair_hint(check),
					  "The table's tracking table does not exist.");
		return;
	}
	if (!derived_serves_tracking(tracking))
	{
		check_finding(check, "error", "not_a_tracking_table", get_rel_name(tracking),
					  check->legacy ? NULL : derived_tracking_hint(check->row->live, tracking),
					  "%s does not have the columns of a tracking table.", naming_quoted(tracking));
		return;
	}
	if (!check_tracking_key(check))
		return;
	if (!check->legacy && !indexes_there_tracking(tracking, check->row->key))
		check_finding(check, "error", "index_missing", get_rel_name(tracking), check_repair_hint(check),
					  "Tracking table %s has no unique index on its key.", naming_quoted(tracking));

	/* while nothing is tracked they part by themselves */
	if (check->sound && (fit_key(check->row) == KEY_HELD || fit_lacks_key(check->row)) &&
		check->tracked && check->depth != CHECK_CATALOGS)
		check_tracking_rows(check);
}

/* Returns whether the tracking rows can be compared with the live ones. */
static bool
check_tracking_key(Check *check)
{
	bool		comparable = true;
	ListCell   *lc;

	foreach(lc, check->differences)
	{
		Difference *difference = lfirst(lc);
		KeyColumn  *column = difference->column;

		if (difference->kind == TRACKING_OF_LONGER_KEY)
			check_finding(check, "error", "tracking_key_unfit", get_rel_name(check->row->tracking),
						  check_repair_hint(check), "Tracking table %s is that of a longer key.",
						  naming_quoted(check->row->tracking));
		else if (difference->kind == TRACKING_COLUMN_UNFIT && column->fit != COLUMN_HOLDS)
			check_finding(check, "error", "tracking_key_unfit", column->held_by, check_repair_hint(check),
						  "Key column \"%s\" has type %s, in tracking table %s it has %s.",
						  column->name, format_type_with_typemod(column->type, column->typmod),
						  naming_quoted(check->row->tracking), column->fit == COLUMN_MISSING ? "no column" :
						  psprintf("type %s", format_type_with_typemod(column->held_type, column->held_typmod)));
		comparable = comparable && difference->kind != TRACKING_OF_LONGER_KEY &&
			(difference->kind != TRACKING_COLUMN_UNFIT || column->fit <= COLUMN_CONVERTS);
	}
	return comparable;
}

static void
check_indexes(Check *check)
{
	bool		there[3];
	const char *columns[3];
	int			i;

	columns[0] = linitial(check->row->key);
	columns[1] = PERIOD_COLUMN;
	columns[2] = XID_COLUMN;
	indexes_there(check->row->history, check->row->key, &there[0], &there[1], &there[2]);
	for (i = 0; i < lengthof(there); i++)
		if (!there[i] && columns[i])
			check_finding(check, "warning", "index_missing", columns[i],
						  check->legacy ? psprintf("CREATE INDEX CONCURRENTLY ON %s, or repair_history or enabling after adoption.",
												   naming_quoted(check->row->history)) : check_repair_hint(check),
						  "History table %s has no index on \"%s\".",
						  naming_quoted(check->row->history), columns[i]);
}

/* What inherits from the history, or did, and is called a segment of it. */
static void
check_segments(Check *check)
{
	Oid			history = check->row->history;
	ListCell   *lc;

	foreach(lc, segments_of(history))
	{
		Segment    *segment = lfirst(lc);

		if (segment->bound == DT_NOEND)
			check_finding(check, "warning", "segment_without_bound", get_rel_name(segment->relid),
						  psprintf("ALTER TABLE %s DROP CONSTRAINT %s, %s;", naming_quoted(segment->relid),
								   SEGMENT_CONSTRAINT, segments_constraint_sql(GetCurrentTimestamp())),
						  "Constraint \"%s\" of segment %s does not say by when its versions had ended, so no query leaves it out.",
						  SEGMENT_CONSTRAINT, naming_quoted(segment->relid));
	}
	foreach(lc, segments_others(history, NoLock))
	{
		Oid			child = lfirst_oid(lc);

		if (registry_get_by_derived(child) != NULL)
			continue;
		if (OidIsValid(get_relation_constraint_oid(child, SEGMENT_CONSTRAINT, true)))
			check_finding(check, "error", "segment_of_another_owner", get_rel_name(child),
						  psprintf("As a superuser, ALTER TABLE %s OWNER TO %s;", naming_quoted(child),
								   security_role_sql(security_owner_of(history))),
						  "Table %s is no segment of %s while another role owns it.",
						  naming_quoted(child), naming_quoted(history));
		else if (is_called_segment(get_rel_name(child), get_rel_name(history)))
			check_finding(check, "error", "segment_without_constraint", get_rel_name(child),
						  psprintf("ALTER TABLE %s %s;", naming_quoted(child),
								   segments_constraint_sql(GetCurrentTimestamp())),
						  "Table %s is no segment of %s without constraint \"%s\": its versions are missing.",
						  naming_quoted(child), naming_quoted(history), SEGMENT_CONSTRAINT);
	}
	foreach(lc, segments_apart(history))
	{
		Oid			apart = lfirst_oid(lc);

		if (is_called_segment(get_rel_name(apart), get_rel_name(history)))
			check_finding(check, "error", "segment_apart", get_rel_name(apart),
						  psprintf("ALTER TABLE %s INHERIT %s;", naming_quoted(apart), naming_quoted(history)),
						  "Table %s does not inherit from %s any more: its versions are missing.",
						  naming_quoted(apart), naming_quoted(history));
	}
}

/* Returns true for X__history_<n>, as segments are called. */
static bool
is_called_segment(const char *name, const char *history)
{
	size_t		n = strlen(history);

	return strncmp(name, history, n) == 0 && name[n] == '_' && name[n + 1] != '\0' &&
		strspn(name + n + 1, "0123456789") == strlen(name + n + 1);
}

static void
check_view(Check *check)
{
	Oid			view = get_relname_relid(naming_view(check->row->live),
										 get_rel_namespace(check->row->live));

	if (!OidIsValid(view))
		return;
	if (get_rel_relkind(view) != RELKIND_VIEW)
		check_finding(check, "warning", "view_name_taken", get_rel_name(view),
					  "Rename it, to have a history view.", "%s is not a view.", naming_quoted(view));
	else if (security_owner_of(view) != security_owner_of(check->row->live))
		check_finding(check, "warning", "view_name_taken", get_rel_name(view),
					  psprintf("Rename or drop %s, or ALTER VIEW %s OWNER TO %s if you trust its definition.",
							   naming_quoted(view), naming_quoted(view),
							   security_role_sql(security_owner_of(check->row->live))),
					  "View %s belongs to role %s, which does not own the table, and may show anything.",
					  naming_quoted(view), security_role_sql(security_owner_of(view)));
	else if (!check->legacy && view_shows_hidden(view, check->row->live))
		check_finding(check, "error", "view_shows_hidden_rows", get_rel_name(view), check_repair_hint(check),
					  "Policies hide rows of the table from readers, but view %s is read with its owner's rights.",
					  naming_quoted(view));
	else if (!view_fits(check->row, check->legacy))
		check_finding(check, "warning", "view_outdated", get_rel_name(view), check_repair_hint(check),
					  "View %s does not show the columns of the table%s.", naming_quoted(view),
					  check->legacy ? "" : " and its history, as it should");
}

static void
check_triggers(Check *check, Relation live)
{
	const RegistryRow *row = check->row;
	const char *name;
	TriggerState state;
	bool		right = true;
	bool		installed;
	Mark		mark;
	int			i;

	/* a foreign one stands in the way even of a table that is not tracked */
	for (i = 0; (name = check->legacy ? legacy_trigger_state(live, row, i, &state) :
				 triggers_state(row->live, row, i, &state)) != NULL; i++)
		if (check->tracked || state == TRIGGER_FOREIGN)
		{
			check_trigger(check, name, state);
			right = right && state == TRIGGER_RIGHT;
		}
	if (!check->legacy && check->sound && mark_read(row->live, NULL, &mark) &&
		!OidIsValid(mark.history))
		check_finding(check, "error", "not_marked", NULL, check_repair_hint(check),
					  "The table's triggers are not marked with its history.");
	installed = check->legacy ? legacy_tracks(live) : triggers_complete(row->live, row);
	if (right && row->triggers_installed && !installed)
		check_finding(check, "error", "trigger_missing", NULL, check_repair_hint(check),
					  "A partition of the table lacks a history trigger.");
	if (!row->triggers_installed && !installed && reach_paused_since(row) != DT_NOEND)
		check_finding(check, "info", "paused", NULL, psprintf("SELECT %s(%s::regclass);",
															  hint_function("enable_history_tracking_for_table"),
															  hint_table(row->live)),
					  "Nothing has been recorded since %s.",
					  timestamptz_to_str(reach_paused_since(row)));
	if (!row->triggers_installed && installed)
		check_finding(check, "warning", "flag_differs", "triggers_installed", check_repair_hint(check),
					  "The table is registered as not tracked, but its triggers exist.");
}

static void
check_trigger(Check *check, const char *name, TriggerState state)
{
	Oid			live = check->row->live;

	if (state == TRIGGER_MISSING)
		check_finding(check, "error", "trigger_missing", name, check_repair_hint(check),
					  "Trigger \"%s\" does not exist, so changes are not recorded.", name);
	else if (state == TRIGGER_SWITCHED_OFF)
		check_finding(check, "error", "trigger_disabled", name, check_repair_hint(check),
					  "Trigger \"%s\" is disabled, so changes are not recorded.", name);
	else if (state == TRIGGER_ALTERED)
		check_finding(check, "error", "trigger_altered", name, check_repair_hint(check),
					  "Trigger \"%s\" is not as it must be.", name);
	else if (state == TRIGGER_FOREIGN)
		check_finding(check, "error", "trigger_foreign", name,
					  psprintf("ALTER TRIGGER %s ON %s RENAME TO ...; or drop it; then enable tracking.",
							   quote_identifier(name), naming_quoted(live)),
					  "Trigger \"%s\" is not the history's, but has its name: the table cannot be tracked.",
					  name);
}

/* Of an entry that is not sound. */
static const char *
way_out(const RegistryRow *row)
{
	bool		by_superuser;
	bool		forgets;
	char	   *command = registry_way_out(row, &by_superuser, &forgets);

	return psprintf("%s;%s", command, by_superuser ? " as a superuser." : "");
}

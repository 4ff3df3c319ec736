/*
 * view_sql.c
 *		What X__with_history shows: the live rows and all versions before them.
 *
 * live UNION ALL history, both with the same column types, so that the planner
 * flattens it and each side uses its own indexes.  The last two columns are
 * the period and the ending transaction.
 *
 * With a tracking table the period of a live row comes from there.  A LEFT
 * JOIN on its unique key is removed by the planner from queries that do not
 * ask for the period.  A parent in a hierarchy has its children's tracking
 * tables below its own, where no unique key spans them all: there a scalar
 * sub-select, which is not planned either unless asked for, looks in the table
 * that belongs to the row's own, and a function (live_start.c) for rows that
 * have none there.
 *
 * A live row's period has no end: that is said by a function, which the planner
 * evaluates, and so loads this library; see planner.c.
 *
 * The caller holds a lock on the live table.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "view/view.h"
#include "compat.h"

static char *view_sql(const RegistryRow *row, Relation live);
static char *period_sql(const RegistryRow *row, Relation live, char **join);
static const char *condition_sql(Relation live);
static bool has_condition(Node *node, void *context);
static Form_pg_attribute missing_column(const RegistryRow *row, Relation live);
static bool types_fit(const RegistryRow *row);
static bool shows_column(Form_pg_attribute shown, Form_pg_attribute live,
						 Form_pg_attribute history);

/*
 * The query of the view as it should be, of the tables that the row says.
 */
Query *
view_query(const RegistryRow *row)
{
	Relation	live = table_open(row->live, AccessShareLock);
	Query	   *query = view_query_read_own(view_sql(row, live),
											list_make4_oid(row->live, row->history,
														   row->tracking, registry_relid()));

	table_close(live, NoLock);
	return query;
}

/* Returns true if history has all columns of the live table. */
bool
view_has_columns(const RegistryRow *row)
{
	Relation	live = table_open(row->live, AccessShareLock);
	bool		has = missing_column(row, live) == NULL;

	table_close(live, NoLock);
	return has;
}

/*
 * Returns true if the view can show live and history table: they are there, history
 * has all columns, and its types hold the live ones, or tracking sees to that.
 */
bool
view_is_possible(const RegistryRow *row)
{
	if (get_rel_name(row->live) == NULL || get_rel_name(row->history) == NULL ||
		(OidIsValid(row->tracking) && get_rel_name(row->tracking) == NULL))
		return false;
	return view_has_columns(row) && (triggers_enabled(row->live, row) || types_fit(row));
}

/* Returns true if history has all columns, with types to which the live ones can be cast. */
bool
view_is_castable(const RegistryRow *row)
{
	Relation	live;
	bool		can = view_has_columns(row);
	int			i;

	live = table_open(row->live, AccessShareLock);
	for (i = 0; can && i < RelationGetDescr(live)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(live), i);
		Oid			held;
		Oid			function;

		if (att->attisdropped)
			continue;
		held = get_atttype(row->history, get_attnum(row->history, NameStr(att->attname)));
		can = held == att->atttypid ||
			find_coercion_pathway(getBaseType(held), getBaseType(att->atttypid),
								  COERCION_EXPLICIT, &function) != COERCION_PATH_NONE;
	}
	table_close(live, NoLock);
	return can;
}

static bool
types_fit(const RegistryRow *row)
{
	Relation	live = table_open(row->live, AccessShareLock);
	Relation	history = table_open(row->history, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(live);
	bool		fit = true;
	int			i;

	for (i = 0; fit && i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Form_pg_attribute target = att->attisdropped ? NULL :
			columns_find(history, NameStr(att->attname));

		fit = target == NULL || types_hold(att->atttypid, att->atttypmod,
										   target->atttypid, target->atttypmod);
	}
	table_close(history, NoLock);
	table_close(live, NoLock);
	return fit;
}

static char *
view_sql(const RegistryRow *row, Relation live)
{
	TupleDesc	desc = RelationGetDescr(live);
	StringInfoData live_columns;
	StringInfoData history_columns;
	char	   *join;
	char	   *period;
	const char *condition = condition_sql(live);
	const char *only = "";
	const char *filter;
	Form_pg_attribute missing;
	int			i;

	derived_check_there(row, 0);
	period = period_sql(row, live, &join);
	missing = missing_column(row, live);
	if (missing)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("history table \"%s\" has no column \"%s\" of table \"%s\"",
						get_rel_name(row->history),
						NameStr(missing->attname), RelationGetRelationName(live)),
				 errhint("SELECT %s(%s::regclass) adds it.",
						 hint_function("repair_history"),
						 naming_argument(row->live))));

	initStringInfo(&live_columns);
	initStringInfo(&history_columns);
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = quote_identifier(NameStr(att->attname));
		Relation	history;
		Form_pg_attribute target;

		if (att->attisdropped)
			continue;

		/* both sides must have the history's type, or nothing is flattened */
		history = table_open(row->history, AccessShareLock);
		target = columns_find(history, NameStr(att->attname));
		if (target->atttypid == att->atttypid)
			appendStringInfo(&live_columns, "l.%s, ", name);
		else
			appendStringInfo(&live_columns, "l.%s::%s AS %s, ", name,
							 format_type_extended(target->atttypid, target->atttypmod,
												  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
							 name);
		appendStringInfo(&history_columns, "h.%s, ", name);
		table_close(history, NoLock);
	}

	/* what others have put under the history table is no history of ours */
	if (find_inheritance_children(row->history, NoLock) == NIL)
	{
		only = "ONLY ";
		filter = condition;
	}
	else
		filter = psprintf("%s%sh.tableoid OPERATOR(pg_catalog.=) ANY "
						  "(ARRAY(SELECT r.history_table::pg_catalog.oid FROM %s r))",
						  condition, condition[0] ? " AND " : " WHERE ",
						  naming_quoted(registry_relid()));

	return psprintf("SELECT %s%s AS %s, NULL::pg_catalog.int8 AS %s FROM %s l%s%s "
					"UNION ALL SELECT %sh.%s, h.%s FROM %s%s h%s",
					live_columns.data, period, PERIOD_COLUMN, XID_COLUMN,
					naming_quoted(row->live), join, condition,
					history_columns.data, PERIOD_COLUMN, XID_COLUMN,
					only, naming_quoted(row->history), filter);
}

/*
 * Where a view cannot be read with its reader's rights, who is subject to the table's
 * policies sees nothing in it.  (It is the planner's burden for such tables alone.)
 */
static const char *
condition_sql(Relation live)
{
	if (VIEW_OPTIONS_COMPAT != NIL || !live->rd_rel->relrowsecurity)
		return "";
	/* the name goes into dumps, the OID is what it means */
	return psprintf(" WHERE NOT pg_catalog.row_security_active('%u'::pg_catalog.regclass)",
					RelationGetRelid(live));
}

/* Returns true if the view shows rows of the live table that policies hide from its reader. */
bool
view_shows_hidden(Oid view, Oid live)
{
	Relation	rel;
	bool		is_readers;

	if (!row_security_is_enabled(live))
		return false;
	rel = relation_open(view, AccessShareLock);
	is_readers = view_is_readers_compat(rel);
	relation_close(rel, AccessShareLock);
	return !is_readers && !view_is_conditional(view);
}

/* Returns true if it shows nothing to readers who are subject to policies. */
bool
view_is_conditional(Oid view)
{
	return has_condition((Node *) view_query_of(view), NULL);
}

static bool
has_condition(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_condition, context, 0);
	if (IsA(node, FuncExpr) &&
		strcmp(get_func_name(((FuncExpr *) node)->funcid), "row_security_active") == 0)
		return true;
	return expression_tree_walker(node, has_condition, context);
}

/*
 * The period of the live row l.  join: what is to be joined with it.
 *
 * Of a hierarchy the tracking tables of children whose rows are found by the parent's
 * key are below the parent's; the starts of other rows are looked up by a function.
 */
static char *
period_sql(const RegistryRow *row, Relation live, char **join)
{
	char	   *no_end = hint_function("catmaid_history_no_end");
	bool		is_parent = find_inheritance_children(row->history, NoLock) != NIL;
	ColumnFit	worst = COLUMN_MISSING;
	char	   *start;

	*join = "";
	if (!OidIsValid(row->tracking))
		return psprintf("pg_catalog.tstzrange(l.%s, %s())",
						quote_identifier(row->time_column), no_end);

	if (get_rel_name(row->tracking) != NULL && fit_key(row) != KEY_GONE)
		(void) fit_tracking(row, live, &worst);
	if (worst > COLUMN_CONVERTS)
		start = "NULL::pg_catalog.timestamptz";
	else if (is_parent || fit_is_loose(row->tracking))
		start = psprintf("(SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 "
						 "THEN pg_catalog.min(t.edition_time) END FROM %s%s t WHERE %s%s)",
						 is_parent ? "" : "ONLY ", naming_quoted(row->tracking),
						 tracking_match_sql(row, live), !is_parent ? "" :
						 psprintf(" AND t.tableoid OPERATOR(pg_catalog.=) "
								  "(SELECT r.tracking_table::pg_catalog.oid FROM %s r "
								  "WHERE r.live_table::pg_catalog.oid OPERATOR(pg_catalog.=) l.tableoid)",
								  naming_quoted(registry_relid())));
	else
	{
		*join = psprintf(" LEFT JOIN ONLY %s t ON %s", naming_quoted(row->tracking),
						 tracking_match_sql(row, live));
		start = "t.edition_time";
	}
	if (is_parent)
		start = psprintf("COALESCE(%s, %s(l.tableoid, l.ctid, l.*))", start,
						 hint_function("catmaid_history_live_start"));
	return psprintf("pg_catalog.tstzrange(NULLIF(%s, '-infinity'::pg_catalog.timestamptz), %s())",
					start, no_end);
}

/* The first column of the live table that its history lacks, or NULL. */
static Form_pg_attribute
missing_column(const RegistryRow *row, Relation live)
{
	int			i;

	for (i = 0; i < RelationGetDescr(live)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(live), i);

		if (!att->attisdropped &&
			get_attnum(row->history, NameStr(att->attname)) == InvalidAttrNumber)
			return att;
	}
	return NULL;
}

/*
 * Returns true if the view has the columns, with the types, that it should have.
 * any_order: those of the live table need not be in its order, which a restore
 * changes for a table that inherits.
 */
bool
view_shows_table(Oid view, const RegistryRow *row, bool any_order)
{
	Relation	live = table_open(row->live, AccessShareLock);
	Relation	history = table_open(row->history, AccessShareLock);
	Relation	rel = relation_open(view, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(live);
	int			column = 0;
	bool		same = true;
	int			i;

	for (i = 0; same && i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Form_pg_attribute shown;

		if (att->attisdropped)
			continue;
		shown = any_order ? columns_find(rel, NameStr(att->attname)) :
			column < RelationGetNumberOfAttributes(rel) ?
			TupleDescAttr(RelationGetDescr(rel), column) : NULL;
		same = shown && shows_column(shown, att, columns_find(history, NameStr(att->attname)));
		column++;
	}
	same = same && RelationGetNumberOfAttributes(rel) == column + 2;
	relation_close(rel, AccessShareLock);
	table_close(history, AccessShareLock);
	table_close(live, AccessShareLock);
	return same;
}

/* Returns true if the view has the names of the live table's columns, and no more. */
bool
view_has_names_of(Oid view, Oid live)
{
	Relation	rel = table_open(live, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	int			column = 0;
	bool		same = true;
	int			i;

	for (i = 0; same && i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
		{
			char	   *name = get_attname(view, ++column, true);

			same = name && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0;
		}
	table_close(rel, NoLock);
	return same && get_attname(view, column + 1, true) == NULL;
}

/* See view_sql, and for the modifier select_common_typmod: of both sides, or none. */
static bool
shows_column(Form_pg_attribute shown, Form_pg_attribute live,
			 Form_pg_attribute history)
{
	int32		typmod;

	if (history == NULL)
		return false;
	typmod = history->atttypmod;
	if (history->atttypid == live->atttypid && live->atttypmod != typmod)
		typmod = -1;
	return strcmp(NameStr(shown->attname), NameStr(live->attname)) == 0 &&
		shown->atttypid == history->atttypid && shown->atttypmod == typmod &&
		(live->attcollation != history->attcollation ||
		 shown->attcollation == history->attcollation);
}

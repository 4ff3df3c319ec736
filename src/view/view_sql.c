/*
 * view_sql.c
 *		What X__with_history shows: the live rows and all versions before them.
 *
 * live UNION ALL history, both with the same column types.  The last columns are the
 * period, the ending transaction, and the one that made the version.
 *
 * The planner shall flatten it, or no join or condition reaches an index.  It pulls up an
 * arm of UNION ALL only if that reads one table and has no WHERE at all
 * (is_safe_append_member); so what else belongs to an arm stands in its columns, as
 * scalar sub-selects, which are not planned unless asked for, and what filters rows
 * stands above the union, where it is pulled up with the view and pushed down.
 *
 * With a tracking table the period and the maker of a live row come from there.  A parent
 * in a hierarchy has its children's tracking tables below its own: the sub-select looks in
 * the table that belongs to the row's own, which a function says (live_start.c), and another
 * function for rows that have none there.
 *
 * A parent's history is read with all that inherits from it; which of that is history of
 * ours is a filter, for which the history's rows bring their table along.  Segments of a
 * history are children of it, too, and read with it (segments.c).
 *
 * Of a history that was adopted, the older versions have who made them in the place of who
 * ended them: there the arm's last columns are expressions.
 *
 * A live row's period has no end: that is said by a function, which the planner
 * evaluates, and so loads this library; see planner.c.
 *
 * The caller holds a lock on the live table.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "view/view.h"
#include "compat.h"

/* What is known of the live row l, as SQL. */
typedef struct LiveOrigin
{
	char	   *start;
	char	   *maker;
} LiveOrigin;

/* The parts of its query; what is built is for one query. */
typedef struct ViewParts
{
	bool		has_maker;		/* there is a column for it */
	char	   *table;			/* the column that says which history a version is in, or NULL */
	StringInfoData names;		/* of the columns of both arms */
	StringInfoData columns;		/* they, of v */
	StringInfoData live_columns;	/* the table's own, of l */
	StringInfoData history_columns; /* all, of h */
	StringInfoData filter;		/* of v; may be empty */
} ViewParts;

/* What the tracking table says: see tracking.c. */
#define START_SQL(edition)	"NULLIF(" edition ", '-infinity'::pg_catalog.timestamptz)"
#define MAKER_SQL(txid)		"NULLIF(GREATEST(" txid ", 0::pg_catalog.int8), 0::pg_catalog.int8)"

static void view_parts(const RegistryRow *row, Relation live, bool is_parent, ViewParts *parts);
static char *live_arm_sql(const ViewParts *parts, const LiveOrigin *origin);
static char *live_source(Relation live, bool only);
static char *filtered_sql(const ViewParts *parts, char *sql);
static const char *column_sql(Form_pg_attribute att, Form_pg_attribute target);
static void live_origin(const RegistryRow *row, Relation live, bool is_parent,
						LiveOrigin *origin);
static char *tracked_sql(const RegistryRow *row, Relation live, bool is_parent,
						 const char *column, const char *function);
static const char *history_makers_sql(const RegistryRow *row, bool has_maker);
static const char *history_maker_sql(const RegistryRow *row);
static const char *former_sql(const RegistryRow *row);
static const char *condition_sql(Relation live);
static char *rows_sql(const RegistryRow *row, Relation live, bool only, const char *condition);
static bool is_flat(Query *query);
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
	List	   *relations = list_make4_oid(row->live, row->history, row->tracking,
										   extension_registry());
	Query	   *query = view_query_read_own(rows_sql(row, live, false, condition_sql(live)),
											lappend_oid(relations, segments_view()));

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

/* Returns true if history's types hold those of all live columns that it has. */
static bool
types_fit(const RegistryRow *row)
{
	Relation	live = table_open(row->live, AccessShareLock);
	Relation	history = table_open(row->history, AccessShareLock);
	bool		fit = !fit_differs(fit_history(live, history), HISTORY_COLUMN_NARROW);

	table_close(history, NoLock);
	table_close(live, NoLock);
	return fit;
}

/*
 * A SELECT of what the view shows, for queries that run with their reader's rights.  only: without
 * what inherits from the table, for queries that ask for children by themselves.
 */
char *
view_rows_sql(const RegistryRow *row, Relation live, bool only)
{
	return rows_sql(row, live, only, NULL);
}

/* The same with a condition, or NULL. */
static char *
rows_sql(const RegistryRow *row, Relation live, bool only, const char *condition)
{
	bool		is_parent;
	ViewParts	parts;
	LiveOrigin	origin;

	derived_check_there(row, 0);
	is_parent = !only && segments_others(row->history, NoLock) != NIL;
	view_parts(row, live, is_parent, &parts);
	if (condition)
		appendStringInfo(&parts.filter, "%s%s", parts.filter.len > 0 ? " AND " : "", condition);
	live_origin(row, live, is_parent, &origin);
	return filtered_sql(&parts, psprintf("SELECT %s FROM %s UNION ALL SELECT %s FROM %s h",
										 live_arm_sql(&parts, &origin), live_source(live, only),
										 parts.history_columns.data,
										 is_parent ? naming_quoted(row->history) :
										 segments_source(row->history)));
}

/* A SELECT of what view_rows_sql with "only" shows of former versions alone. */
char *
view_former_rows_sql(const RegistryRow *row, Relation live)
{
	ViewParts	parts;

	view_parts(row, live, false, &parts);
	return psprintf("SELECT %s FROM (SELECT %s FROM %s h) v (%s)%s%s", parts.columns.data,
					parts.history_columns.data, segments_source(row->history), parts.names.data,
					parts.filter.len > 0 ? " WHERE " : "", parts.filter.data);
}

/*
 * A SELECT of what it shows of live rows alone, which begins with the tracking table: for
 * conditions on what that says.  NULL if there is none, or only the view knows how to ask it;
 * and under row-level security, which is the table's and not the tracking table's.
 */
char *
view_tracked_rows_sql(const RegistryRow *row, Relation live)
{
	ColumnFit	worst = COLUMN_MISSING;
	ViewParts	parts;
	LiveOrigin	origin = {START_SQL("t." EDITION_COLUMN), MAKER_SQL("t." TRACKING_XID_COLUMN)};

	if (!OidIsValid(row->tracking) || get_rel_name(row->tracking) == NULL ||
		fit_key(row) != KEY_HELD || live->rd_rel->relrowsecurity ||
		indexes_tracking_is_loose(row->tracking))
		return NULL;
	(void) fit_tracking(row, live, &worst);
	if (worst > COLUMN_CONVERTS)
		return NULL;
	view_parts(row, live, false, &parts);
	return psprintf("SELECT %s FROM ONLY %s t JOIN %s ON %s", live_arm_sql(&parts, &origin),
					naming_quoted(row->tracking), live_source(live, true),
					tracking_match_sql(row, live));
}

/* The columns of both arms, and what filters them.  Errors out if history lacks a column. */
static void
view_parts(const RegistryRow *row, Relation live, bool is_parent, ViewParts *parts)
{
	TupleDesc	desc = RelationGetDescr(live);
	Relation	history;
	Form_pg_attribute missing;
	int			i;

	derived_check_there(row, 0);
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

	parts->has_maker = columns_find(live, MAKER_COLUMN) == NULL;
	parts->table = is_parent ? naming_free_column(row->live, row->history, "history_table", false) : NULL;
	initStringInfo(&parts->names);
	initStringInfo(&parts->columns);
	initStringInfo(&parts->live_columns);
	initStringInfo(&parts->history_columns);
	initStringInfo(&parts->filter);
	history = table_open(row->history, AccessShareLock);
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = quote_identifier(NameStr(att->attname));

		if (att->attisdropped)
			continue;
		appendStringInfo(&parts->live_columns, "%s,",
						 column_sql(att, columns_find(history, NameStr(att->attname))));
		appendStringInfo(&parts->history_columns, "h.%s, ", name);
		appendStringInfo(&parts->names, "%s, ", name);
		appendStringInfo(&parts->columns, "v.%s, ", name);
	}
	table_close(history, NoLock);
	appendStringInfo(&parts->history_columns, "h.%s, %s", PERIOD_COLUMN,
					 history_makers_sql(row, parts->has_maker));
	appendStringInfo(&parts->columns, "v.%s, v.%s", PERIOD_COLUMN, XID_COLUMN);
	appendStringInfo(&parts->names, "%s, %s", PERIOD_COLUMN, XID_COLUMN);
	if (parts->has_maker)
	{
		appendStringInfo(&parts->columns, ", v.%s", MAKER_COLUMN);
		appendStringInfo(&parts->names, ", %s", MAKER_COLUMN);
	}

	/* what others have put under the history table is no history of ours */
	if (is_parent)
	{
		appendStringInfoString(&parts->history_columns, ", h.tableoid");
		appendStringInfo(&parts->filter, "(v.%s IS NULL OR %s(v.%s))", quote_identifier(parts->table),
						 hint_function("catmaid_history_is_history"), quote_identifier(parts->table));
	}
}

/* The columns of the live arm, if that is known of its rows. */
static char *
live_arm_sql(const ViewParts *parts, const LiveOrigin *origin)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%s pg_catalog.tstzrange(%s, %s()) AS %s, NULL::pg_catalog.int8 AS %s",
					 parts->live_columns.data, origin->start,
					 hint_function("catmaid_history_no_end"), PERIOD_COLUMN, XID_COLUMN);
	if (parts->has_maker)
		appendStringInfo(&sql, ", %s AS %s", origin->maker, MAKER_COLUMN);
	if (parts->table)
		appendStringInfo(&sql, ", NULL::pg_catalog.oid AS %s", quote_identifier(parts->table));
	return sql.data;
}

static char *
live_source(Relation live, bool only)
{
	return psprintf("%s%s l", only && live->rd_rel->relkind == RELKIND_RELATION ? "ONLY " : "",
					naming_quoted(RelationGetRelid(live)));
}

static char *
filtered_sql(const ViewParts *parts, char *sql)
{
	return parts->filter.len == 0 ? sql :
		psprintf("SELECT %s FROM (%s) v WHERE %s", parts->columns.data, sql, parts->filter.data);
}

/* The live column as a column of the view: both arms must have the history's type. */
static const char *
column_sql(Form_pg_attribute att, Form_pg_attribute target)
{
	const char *name = quote_identifier(NameStr(att->attname));

	if (target->atttypid == att->atttypid)
		return psprintf("l.%s", name);
	return psprintf("l.%s::%s AS %s", name,
					format_type_extended(target->atttypid, target->atttypmod,
										 FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
					name);
}

/*
 * A condition where a view cannot be read with its reader's rights: who is subject to the
 * table's policies sees nothing in it.  (It is the planner's burden for such tables
 * alone.)  Or NULL.
 */
static const char *
condition_sql(Relation live)
{
	if (VIEW_OPTIONS_COMPAT != NIL || !live->rd_rel->relrowsecurity)
		return NULL;
	/* the name goes into dumps, the OID is what it means */
	return psprintf("NOT pg_catalog.row_security_active('%u'::pg_catalog.regclass)",
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
 * Since when the live row l is as it is, and who made it so.
 *
 * Of a hierarchy the tracking tables of children whose rows are found by the parent's
 * key are below the parent's; other rows are looked up by a function.
 */
static void
live_origin(const RegistryRow *row, Relation live, bool is_parent, LiveOrigin *origin)
{
	ColumnFit	worst = COLUMN_MISSING;

	if (!OidIsValid(row->tracking))
	{
		origin->start = psprintf("l.%s", quote_identifier(row->time_column));
		origin->maker = psprintf("l.%s", quote_identifier(row->txid_column));
		return;
	}

	if (get_rel_name(row->tracking) != NULL && fit_key(row) != KEY_GONE)
		(void) fit_tracking(row, live, &worst);
	if (worst > COLUMN_CONVERTS && !is_parent)
	{
		origin->start = "NULL::pg_catalog.timestamptz";
		origin->maker = "NULL::pg_catalog.int8";
		return;
	}
	origin->start = psprintf(START_SQL("%s"),
							 tracked_sql(row, live, is_parent, worst > COLUMN_CONVERTS ? NULL :
										 EDITION_COLUMN, "catmaid_history_live_start"));
	origin->maker = psprintf(MAKER_SQL("%s"),
							 tracked_sql(row, live, is_parent, worst > COLUMN_CONVERTS ? NULL :
										 TRACKING_XID_COLUMN, "catmaid_history_live_maker"));
}

/*
 * The column of the live row's tracking row; NULL: where the tracking table is not fit to
 * be asked.  function: what tells it where that does not.
 */
static char *
tracked_sql(const RegistryRow *row, Relation live, bool is_parent, const char *column,
			const char *function)
{
	char	   *sql = NULL;

	if (column && (is_parent || indexes_tracking_is_loose(row->tracking)))
		sql = psprintf("(SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 "
					   "THEN pg_catalog.min(t.%s) END FROM %s%s t WHERE %s%s)", column,
					   is_parent ? "" : "ONLY ", naming_quoted(row->tracking),
					   tracking_match_sql(row, live), !is_parent ? "" :
					   psprintf(" AND t.tableoid OPERATOR(pg_catalog.=) %s(l.tableoid)",
								hint_function("catmaid_history_tracking_of")));
	else if (column)
		sql = psprintf("(SELECT t.%s FROM ONLY %s t WHERE %s)", column,
					   naming_quoted(row->tracking), tracking_match_sql(row, live));
	if (!is_parent)
		return sql;
	function = psprintf("%s(l.tableoid, l.ctid, l.*)",
						hint_function(function));
	return sql ? psprintf("COALESCE(%s, %s)", sql, function) : unconstify(char *, function);
}

/* The transactions that ended and, with has_maker, made the version h of history. */
static const char *
history_makers_sql(const RegistryRow *row, bool has_maker)
{
	const char *maker = history_maker_sql(row);

	if (row->maker_until == 0)
		return has_maker ? psprintf("h.%s, %s", XID_COLUMN, maker) : psprintf("h.%s", XID_COLUMN);
	return psprintf(has_maker ? "CASE WHEN %s THEN NULL ELSE h.%s END, CASE WHEN %s THEN h.%s ELSE %s END" :
					"CASE WHEN %s THEN NULL ELSE h.%s END",
					former_sql(row), XID_COLUMN, former_sql(row), XID_COLUMN, maker);
}

/*
 * An expression that is true of a version h where the older implementation has stored the
 * maker in place of the transaction that ended it.  See adopt.c: tell_makers.
 */
static const char *
former_sql(const RegistryRow *row)
{
	return psprintf("(pg_catalog.isempty(h.%s) OR pg_catalog.upper(h.%s) OPERATOR(pg_catalog.<=) "
					"'%s'::pg_catalog.timestamptz) AND pg_catalog.pg_visible_in_snapshot("
					"h.%s::pg_catalog.text::pg_catalog.xid8, '%s'::pg_catalog.pg_snapshot)",
					PERIOD_COLUMN, PERIOD_COLUMN, timestamptz_to_str(row->maker_until), XID_COLUMN,
					DatumGetCString(DirectFunctionCall1(pg_snapshot_out, row->maker_snapshot)));
}

/* Who made the version h of history. */
static const char *
history_maker_sql(const RegistryRow *row)
{
	const char *column = OidIsValid(row->tracking) ? MAKER_COLUMN : row->txid_column;
	AttrNumber	attnum = get_attnum(row->history, column);

	if (attnum == InvalidAttrNumber)
		return "NULL::pg_catalog.int8";
	return psprintf(get_atttype(row->history, attnum) == INT8OID ? "h.%s" :
					"h.%s::pg_catalog.int8", quote_identifier(column));
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
 * Returns true if the view has the columns, with the types, that it should have, and a
 * query that the planner can flatten.
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
	if (same && columns_find(live, MAKER_COLUMN) == NULL)
		same = columns_find(rel, MAKER_COLUMN) != NULL &&
			columns_find(rel, MAKER_COLUMN)->attnum == column++ + 3;
	same = same && RelationGetNumberOfAttributes(rel) == column + 2;
	relation_close(rel, AccessShareLock);
	table_close(history, AccessShareLock);
	table_close(live, AccessShareLock);
	return same && is_flat(view_query_of(view));
}

/* Returns true if the planner pulls up the arms of all UNION ALLs in it (see above). */
static bool
is_flat(Query *query)
{
	ListCell   *lc;

	if (query == NULL)
		return false;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, lc);

		if (entry->rtekind != RTE_SUBQUERY || entry->subquery == NULL)
			continue;
		if (query->setOperations && entry->subquery->setOperations == NULL &&
			(entry->subquery->jointree->quals != NULL ||
			 list_length(entry->subquery->jointree->fromlist) != 1 ||
			 !IsA(linitial(entry->subquery->jointree->fromlist), RangeTblRef)))
			return false;
		if (!is_flat(entry->subquery))
			return false;
	}
	return true;
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

/*
 * history_map.c
 *		Which column of a history table holds which column of the live table.
 *
 * Columns belong together by name.  A history column has the live column's
 * type with domains replaced by their base types; it may be wider, as long as
 * every value of the live type is a value of its type (types_hold).
 * That is decided by the types, never by the data.
 *
 * Callers hold locks on the relations they pass.
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "registry/registry.h"
#include "compat.h"

/* How a live value becomes a history value where the types differ. */
typedef struct HistoryCast
{
	bool		by_text;		/* through output and input, else by function */
	FmgrInfo	function;		/* the cast, or the output function */
	FmgrInfo	input;
	Oid			input_param;
	int32		typmod;
} HistoryCast;

static Bitmapset *left_out_columns(HistoryMap *map, Relation source, Oid live,
								   Relation history, int sqlstate);
pg_noreturn static void refuse_difference(Difference *difference, Oid live, Relation history,
										  int sqlstate);
static void map_column(HistoryMap *map, Relation source, Oid live, Form_pg_attribute att,
					   Form_pg_attribute target);
static void map_own_columns(HistoryMap *map, Oid live, Relation history, int sqlstate);
static Node *virtual_expression(Relation source, Oid live, Form_pg_attribute att);
static HistoryCast *cast_between(Oid from, Oid to, int32 to_mod);
static bool narrows_integer(Oid from, Oid to);
static bool calls_users_function(const HistoryCast *cast);

/*
 * Map the history table's columns to those of source (the live table, or what is
 * or was a partition of it).  Result in the current memory context.
 *
 * Errors out when the history table lacks a column, or has it with a type that
 * cannot hold the live one: a version is stored whole or not at all.  sqlstate
 * is the error's, 0 (capture) for the fitting one; with HISTORY_MAP_INCOMPLETE the
 * map says that it is not complete, and no version may be stored by it.
 */
HistoryMap *
history_map(Relation source, Oid live, Relation history, int sqlstate)
{
	TupleDesc	from = RelationGetDescr(source);
	TupleDesc	to = RelationGetDescr(history);
	HistoryMap *map = palloc0(sizeof(HistoryMap));
	Bitmapset  *left_out;
	int			i;

	map->natts = to->natts;
	map->source = palloc0(sizeof(AttrNumber) * to->natts);
	map->cast = palloc0(sizeof(HistoryCast *) * to->natts);
	map->computed = palloc0(sizeof(Node *) * to->natts);
	map->complete = true;

	left_out = left_out_columns(map, source, live, history, sqlstate);
	for (i = 0; i < from->natts; i++)
		if (!TupleDescAttr(from, i)->attisdropped && !bms_is_member(i + 1, left_out))
			map_column(map, source, live, TupleDescAttr(from, i),
					   columns_find(history, NameStr(TupleDescAttr(from, i)->attname)));
	map_own_columns(map, live, history, sqlstate);
	return map;
}

/*
 * The columns of source that the history has no room for, by attribute number.  An error
 * unless that may be: of a partition that has left, or is about to, and does not follow
 * any more what becomes of its root; or where sqlstate says so.
 */
static Bitmapset *
left_out_columns(HistoryMap *map, Relation source, Oid live, Relation history, int sqlstate)
{
	Bitmapset  *left_out = NULL;
	bool		leaves = RelationGetRelid(source) != live &&
		(lineage_root(RelationGetRelid(source)) != live ||
		 lineage_is_being_detached(RelationGetRelid(source)));
	bool		is_writing = sqlstate == 0 || sqlstate == HISTORY_MAP_INCOMPLETE;
	ListCell   *lc;

	foreach(lc, fit_history(source, history))
	{
		Difference *difference = lfirst(lc);
		bool		lacks = difference->kind == HISTORY_LACKS_COLUMN;

		if (difference->kind == HISTORY_COLUMN_NOT_NULL ||
			(!lacks && is_writing &&
			 narrows_integer(difference->type, getBaseType(difference->held.atttypid))))
			continue;
		left_out = bms_add_member(left_out, difference->live.attnum);
		if (leaves && (!lacks || get_attnum(live, difference->name) == InvalidAttrNumber))
			continue;
		if (sqlstate != HISTORY_MAP_INCOMPLETE)
			refuse_difference(difference, live, history, sqlstate);
		map->complete = false;
	}
	return left_out;
}

static void
refuse_difference(Difference *difference, Oid live, Relation history, int sqlstate)
{
	if (difference->kind == HISTORY_LACKS_COLUMN)
		ereport(ERROR,
				(errcode(sqlstate ? sqlstate : ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("history table \"%s\" has no column \"%s\" of table \"%s\"",
						RelationGetRelationName(history), difference->name, get_rel_name(live)),
				 errdetail("The write was refused, because its history would be incomplete."),
				 errhint("SELECT %s(%s::regclass) brings the history table in line.",
						 hint_function("enable_history_tracking_for_table"),
						 naming_argument(live))));
	ereport(ERROR,
			(errcode(sqlstate ? sqlstate : ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of history table \"%s\" has type %s, which cannot hold type %s of table \"%s\"",
					difference->name, RelationGetRelationName(history),
					format_type_with_typemod(difference->held.atttypid, difference->held.atttypmod),
					format_type_with_typemod(difference->type, difference->typmod),
					get_rel_name(live)),
			 errhint("%s", history_map_widen_hint(live, RelationGetRelid(history), &difference->held,
												  difference->type, difference->typmod))));
}

static void
map_column(HistoryMap *map, Relation source, Oid live, Form_pg_attribute att,
		   Form_pg_attribute target)
{
	int			j = target->attnum - 1;
	Oid			type = getBaseType(att->atttypid);
	Oid			target_type = getBaseType(target->atttypid);

	map->source[j] = att->attnum;
	if (attribute_is_virtual_compat(att))
		map->computed[j] = virtual_expression(source, live, att);
	if (type != target_type && !IsBinaryCoercible(type, target_type))
		map->cast[j] = cast_between(type, target_type, target->atttypmod);
}

/* The columns that history has for itself; an error without the two that it must have. */
static void
map_own_columns(HistoryMap *map, Oid live, Relation history, int sqlstate)
{
	TupleDesc	to = RelationGetDescr(history);
	int			j;

	for (j = 0; j < to->natts; j++)
	{
		Form_pg_attribute target = TupleDescAttr(to, j);

		if (target->attisdropped)
			continue;
		if (strcmp(NameStr(target->attname), PERIOD_COLUMN) == 0 &&
			target->atttypid == TSTZRANGEOID)
			map->period = target->attnum;
		else if (strcmp(NameStr(target->attname), XID_COLUMN) == 0 &&
				 target->atttypid == INT8OID)
			map->xid = target->attnum;
		else if (strcmp(NameStr(target->attname), MAKER_COLUMN) == 0 &&
				 target->atttypid == INT8OID && map->source[j] == 0)
			map->maker = target->attnum;
	}
	if (map->period == 0 || map->xid == 0)
		ereport(ERROR,
				(errcode(sqlstate && sqlstate != HISTORY_MAP_INCOMPLETE ? sqlstate :
						 ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not a history table",
						RelationGetRelationName(history)),
				 errdetail("A history table has the columns %s tstzrange and %s bigint.",
						   PERIOD_COLUMN, XID_COLUMN),
				 errhint("SELECT %s(%s::regclass) ends tracking table %s and leaves this one as it is.",
						 drop_function_name(true),
						 naming_argument(live), naming_quoted(live))));
}

/*
 * The expression, on rows of source, of a virtual generated column.  It is the
 * table named in a query that says what is read, so that of a partition is its
 * root's.  It is taken from the catalogs: to lock what is above a partition while
 * it is written would be the other way round than all who lock a hierarchy.
 */
static Node *
virtual_expression(Relation source, Oid live, Form_pg_attribute att)
{
	Node	   *expression;
	AttrMap    *map;
	bool		whole_row;
	int			natts = 0;
	int			i;

	if (live == RelationGetRelid(source))
		return build_generation_expression_compat(source, att->attnum);

	expression = columns_default_expression(live, get_attnum(live, NameStr(att->attname)));
	if (expression == NULL)
		elog(ERROR, "column \"%s\" of relation %u has no generation expression",
			 NameStr(att->attname), live);
	while (get_attname(live, natts + 1, true) != NULL)
		natts++;
	map = make_attrmap(natts);
	for (i = 0; i < natts; i++)
		map->attnums[i] = get_attnum(RelationGetRelid(source),
									 get_attname(live, i + 1, false));
	return map_variable_attnos(expression, 1, 0, map, InvalidOid, &whole_row);
}

Datum
history_map_cast(HistoryCast *cast, Datum value)
{
	if (cast->by_text)
		return InputFunctionCall(&cast->input,
								 OutputFunctionCall(&cast->function, value),
								 cast->input_param, cast->typmod);
	if (cast->function.fn_nargs == 3)
		return FunctionCall3(&cast->function, value,
							 Int32GetDatum(cast->typmod), BoolGetDatum(false));
	if (cast->function.fn_nargs == 2)
		return FunctionCall2(&cast->function, value, Int32GetDatum(cast->typmod));
	return FunctionCall1(&cast->function, value);
}

static HistoryCast *
cast_between(Oid from, Oid to, int32 to_mod)
{
	HistoryCast *cast = palloc0(sizeof(HistoryCast));
	CoercionPathType path;
	Oid			function;

	cast->typmod = to_mod;
	path = find_coercion_pathway(to, from, COERCION_EXPLICIT, &function);
	if (path == COERCION_PATH_FUNC)
		fmgr_info(function, &cast->function);
	else if (path == COERCION_PATH_COERCEVIAIO)
	{
		Oid			output;
		Oid			input;
		bool		varlena;

		cast->by_text = true;
		getTypeOutputInfo(from, &output, &varlena);
		fmgr_info(output, &cast->function);
		getTypeInputInfo(to, &input, &cast->input_param);
		fmgr_info(input, &cast->input);
	}
	else
		elog(ERROR, "no cast from type %u to type %u", from, to);
	return cast;
}

/*
 * From one integer type to a smaller one.  A value that does not fit is an
 * error, so capture may store those that do: a database that was adopted may
 * have such histories.
 */
static bool
narrows_integer(Oid from, Oid to)
{
	return (from == INT8OID && (to == INT4OID || to == INT2OID)) ||
		(from == INT4OID && to == INT2OID);
}

/* Returns true if the cast calls a function that is not PostgreSQL's own. */
static bool
calls_users_function(const HistoryCast *cast)
{
	return cast->function.fn_oid >= FirstNormalObjectId ||
		(cast->by_text && cast->input.fn_oid >= FirstNormalObjectId);
}

/*
 * Returns true if all values of a history row are columns of the old row, cast by
 * PostgreSQL, or constants.
 */
bool
history_map_runs_no_code(const HistoryMap *map)
{
	int			i;

	for (i = 0; i < map->natts; i++)
		if (map->computed[i] || (map->cast[i] && calls_users_function(map->cast[i])))
			return false;
	return true;
}

/*
 * The hint that gives the history's column the type, as it can be typed; palloc'd.
 *
 * Where values may not convert, they stay under another name: where the column
 * was inherited from, as PostgreSQL renames it.  A history that is just taken up has
 * no table yet that it could be repaired for.
 */
char *
history_map_widen_hint(Oid live, Oid history, Form_pg_attribute column, Oid type, int32 typmod)
{
	const char *name = NameStr(column->attname);
	const char *argument = quote_literal_cstr(naming_quoted_before(live));
	const char *repair = hint_function("repair_history");
	Oid			from;
	int32		from_mod;

	types_below_domains(column, &from, &from_mod);
	if (registry_get(live) == NULL)
		return psprintf("ALTER TABLE %s RENAME COLUMN %s TO %s; then call %s again, which adds one of type %s.",
						naming_quoted(history), quote_identifier(name),
						quote_identifier(naming_free_column(history, InvalidOid, name, false)),
						hint_function("create_history_table"),
						format_type_with_typemod(type, typmod));
	if (types_widen_in_place(column, type, typmod))
		return psprintf("SELECT %s(%s::regclass);", repair, argument);

	if (types_hold(from, from_mod, type, typmod))
		return psprintf("SELECT %s(%s::regclass); this rewrites the history table.",
						hint_function("widen_history_table"),
						argument);

	/* a history that is being taken up is not registered yet */
	if (registry_get(live) == NULL)
		repair = hint_function("create_history_table");
	history = lineage_origin(history, name);
	return psprintf("ALTER TABLE %s RENAME COLUMN %s TO %s; then SELECT %s(%s::regclass) adds one of type %s.",
					naming_quoted(history), quote_identifier(name),
					quote_identifier(naming_free_column(history, InvalidOid, name, false)),
					repair, argument, format_type_with_typemod(type, typmod));
}

/*
 * columns.c
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
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
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

#include "catmaid_history.h"
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

static Node *virtual_expression(Relation source, Oid live, Form_pg_attribute att);
static Node *default_of(Oid relid, AttrNumber attnum);
static bool calls_users_function(const HistoryCast *cast);
static HistoryCast *cast_between(Oid from, Oid to, int32 to_mod);
static bool narrows_integer(Oid from, Oid to);

/*
 * Map the history table's columns to those of source (the live table, or what is
 * or was a partition of it).  Result in the current memory context.
 *
 * Errors out when the history table lacks a column, or has it with a type that
 * cannot hold the live one: a version is stored whole or not at all.  sqlstate
 * is the error's, 0 (capture) for the fitting one; with COLUMNS_MAP_INCOMPLETE the
 * map says that it is not complete, and no version may be stored by it.
 */
HistoryMap *
columns_map(Relation source, Oid live, Relation history, int sqlstate)
{
	TupleDesc	from = RelationGetDescr(source);
	TupleDesc	to = RelationGetDescr(history);
	HistoryMap *map = palloc0(sizeof(HistoryMap));
	bool		leaves;
	int			i;
	int			j;

	map->natts = to->natts;
	map->source = palloc0(sizeof(AttrNumber) * to->natts);
	map->cast = palloc0(sizeof(HistoryCast *) * to->natts);
	map->computed = palloc0(sizeof(Node *) * to->natts);
	map->complete = true;

	/* no more, or not for long: then it does not follow what becomes of its root */
	leaves = RelationGetRelid(source) != live &&
		(lineage_root(RelationGetRelid(source)) != live ||
		 lineage_is_being_detached(RelationGetRelid(source)));

	for (i = 0; i < from->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(from, i);
		Form_pg_attribute target = NULL;
		Oid			type;
		Oid			target_type;
		int32		typmod;

		if (att->attisdropped)
			continue;
		for (j = 0; j < to->natts; j++)
		{
			target = TupleDescAttr(to, j);
			if (!target->attisdropped &&
				strcmp(NameStr(att->attname), NameStr(target->attname)) == 0)
				break;
		}
		if (j == to->natts && leaves &&
			get_attnum(live, NameStr(att->attname)) == InvalidAttrNumber)
			continue;
		if (j == to->natts && sqlstate == COLUMNS_MAP_INCOMPLETE)
		{
			map->complete = false;
			continue;
		}
		if (j == to->natts)
			ereport(ERROR,
					(errcode(sqlstate ? sqlstate : ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("history table \"%s\" has no column \"%s\" of table \"%s\"",
							RelationGetRelationName(history),
							NameStr(att->attname),
							get_rel_name(live)),
					 errdetail("The write was refused, because its history would be incomplete."),
					 errhint("SELECT %s(%s::regclass) brings the history table in line.",
							 naming_quoted_in(registry_namespace(),
											  "enable_history_tracking_for_table"),
							 naming_argument(live))));

		columns_base_type(att, &type, &typmod);
		target_type = getBaseType(target->atttypid);
		if (!types_hold(type, typmod, target->atttypid, target->atttypmod) &&
			((sqlstate != 0 && sqlstate != COLUMNS_MAP_INCOMPLETE) ||
			 !narrows_integer(type, target_type)))
		{
			if (leaves)
				continue;
			if (sqlstate == COLUMNS_MAP_INCOMPLETE)
			{
				map->complete = false;
				continue;
			}
			ereport(ERROR,
					(errcode(sqlstate ? sqlstate : ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of history table \"%s\" has type %s, which cannot hold type %s of table \"%s\"",
							NameStr(att->attname),
							RelationGetRelationName(history),
							format_type_with_typemod(target->atttypid, target->atttypmod),
							format_type_with_typemod(type, typmod),
							get_rel_name(live)),
					 errhint("%s", types_widen_hint(live, RelationGetRelid(history),
													  target, type, typmod))));
		}

		map->source[j] = att->attnum;
		if (attribute_is_virtual_compat(att))
			map->computed[j] = virtual_expression(source, live, att);
		if (type != target_type && !IsBinaryCoercible(type, target_type))
			map->cast[j] = cast_between(type, target_type, target->atttypmod);
	}

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
	}
	if (map->period == 0 || map->xid == 0)
		ereport(ERROR,
				(errcode(sqlstate && sqlstate != COLUMNS_MAP_INCOMPLETE ? sqlstate :
						 ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not a history table",
						RelationGetRelationName(history)),
				 errdetail("A history table has the columns %s tstzrange and %s bigint.",
						   PERIOD_COLUMN, XID_COLUMN),
				 errhint("SELECT %s(%s::regclass) ends tracking table %s and leaves this one as it is.",
						 drop_function_name(true),
						 naming_argument(live), naming_quoted(live))));
	return map;
}

/*
 * The expression, upon rows of source, of a virtual generated column.  It is the
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

	expression = default_of(live, get_attnum(live, NameStr(att->attname)));
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

/* The column's default, or generation expression; NULL if it has none. */
static Node *
default_of(Oid relid, AttrNumber attnum)
{
	Relation	defaults = table_open(AttrDefaultRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Node	   *expression = NULL;

	ScanKeyInit(&key[0], Anum_pg_attrdef_adrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&key[1], Anum_pg_attrdef_adnum, BTEqualStrategyNumber, F_INT2EQ,
				Int16GetDatum(attnum));
	scan = systable_beginscan(defaults, AttrDefaultIndexId, true, NULL, 2, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		datum = heap_getattr(tuple, Anum_pg_attrdef_adbin,
										 RelationGetDescr(defaults), &isnull);

		expression = stringToNode(TextDatumGetCString(datum));
	}
	systable_endscan(scan);
	table_close(defaults, AccessShareLock);
	return expression;
}

/*
 * The column's default, or generation expression, as SQL with every name qualified;
 * NULL if it has none.
 */
char *
columns_default_sql(Oid relid, AttrNumber attnum)
{
	Node	   *expression = default_of(relid, attnum);
	int			nestlevel;
	char	   *sql;

	if (expression == NULL)
		return NULL;
	nestlevel = naming_begin_qualified();
	sql = TextDatumGetCString(DirectFunctionCall2(pg_get_expr,
												  CStringGetTextDatum(nodeToString(expression)),
												  ObjectIdGetDatum(relid)));
	AtEOXact_GUC(true, nestlevel);
	return sql;
}

Datum
columns_cast(HistoryCast *cast, Datum value)
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

/* A column's type and modifier below all domains. */
void
columns_base_type(Form_pg_attribute att, Oid *type, int32 *typmod)
{
	*typmod = att->atttypmod;
	*type = getBaseTypeAndTypmod(att->atttypid, typmod);
}

/*
 * The names of the primary key's columns, without the INCLUDE columns; NIL
 * without a primary key.
 */
List *
columns_key(Relation rel)
{
	Oid			index = columns_primary_key_index(rel);
	Relation	index_rel;
	List	   *names = NIL;
	int			i;

	if (!OidIsValid(index))
		return NIL;

	index_rel = index_open(index, AccessShareLock);
	for (i = 0; i < IndexRelationGetNumberOfKeyAttributes(index_rel); i++)
		names = lappend(names,
						get_attname(RelationGetRelid(rel),
									index_rel->rd_index->indkey.values[i],
									false));
	index_close(index_rel, AccessShareLock);
	return names;
}

/* Are these the same names in the same order? */
bool
columns_same_names(List *a, List *b)
{
	ListCell   *left;
	ListCell   *right;

	if (list_length(a) != list_length(b))
		return false;
	forboth(left, a, right, b)
		if (strcmp(lfirst(left), lfirst(right)) != 0)
			return false;
	return true;
}

/*
 * The index of the primary key, deferrable or not: RelationGetPrimaryKeyIndex
 * before PostgreSQL 18 leaves deferrable ones out.
 */
Oid
columns_primary_key_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	Oid			found = InvalidOid;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		form = (Form_pg_index) GETSTRUCT(tuple);
		if (form->indisprimary && form->indisvalid)
			found = lfirst_oid(lc);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/*
 * Has the table two such columns, of the types that tracking needs?  A row must
 * hold the time, and the transaction be put into it.
 */
bool
columns_are_time_columns(Relation live, const char *time_column, const char *txid_column)
{
	Form_pg_attribute time = columns_find(live, time_column);
	Form_pg_attribute txid = columns_find(live, txid_column);

	return time && time->atttypid == TIMESTAMPTZOID && !attribute_is_virtual_compat(time) &&
		txid && txid->atttypid == INT8OID && !txid->attgenerated;
}

/*
 * The btree operator class by which a key column is compared: the primary key's
 * own, or the type's default one without an index or where it is no btree (a key
 * WITHOUT OVERLAPS).
 */
Oid
columns_key_opclass(Relation index, int column, Oid type)
{
	oidvector  *classes;
	bool		isnull;

	if (index == NULL || index->rd_rel->relam != BTREE_AM_OID)
		return GetDefaultOpClass(type, BTREE_AM_OID);

	classes = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID,
															index->rd_indextuple,
															Anum_pg_index_indclass,
															&isnull));
	return classes->values[column];
}

/* The equality operator of that class. */
Oid
columns_key_equality(Relation index, int column, Oid type)
{
	Oid			opclass = columns_key_opclass(index, column, type);
	Oid			input;
	Oid			operator;

	if (!OidIsValid(opclass))
		elog(ERROR, "type %u of a key column has no btree operator class", type);
	input = get_opclass_input_type(opclass);
	operator = get_opfamily_member(get_opclass_family(opclass), input, input,
								   BTEqualStrategyNumber);
	if (!OidIsValid(operator))
		elog(ERROR, "operator class %u has no equality operator", opclass);
	return operator;
}

/* "schema.type(mod) COLLATE schema.collation" of the history's column. */
char *
columns_type_sql(Form_pg_attribute att)
{
	Oid			type;
	int32		typmod;
	char	   *sql;

	columns_base_type(att, &type, &typmod);
	sql = format_type_extended(type, typmod,
							   FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);

	if (OidIsValid(att->attcollation) &&
		att->attcollation != get_typcollation(type))
		sql = psprintf("%s COLLATE %s", sql, columns_collation_sql(att->attcollation));
	return sql;
}

/* "schema.collation" */
char *
columns_collation_sql(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *sql;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	sql = quote_qualified_identifier(get_namespace_name(form->collnamespace),
									 NameStr(form->collname));
	ReleaseSysCache(tuple);
	return sql;
}

/* The column of that name, or NULL; points into the relation's descriptor. */
Form_pg_attribute
columns_find(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att;
	}
	return NULL;
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

/* Where the tuple has the column's value, which must be of a fixed length; NULL
 * if it is null or not there. */
char *
columns_address(HeapTuple tuple, TupleDesc desc, AttrNumber attnum)
{
	char	   *data = (char *) tuple->t_data + tuple->t_data->t_hoff;
	bool		has_nulls = HeapTupleHasNulls(tuple);
	uint32		offset = 0;
	int			i;

	if (attnum > HeapTupleHeaderGetNatts(tuple->t_data) ||
		(has_nulls && att_isnull(attnum - 1, tuple->t_data->t_bits)))
		return NULL;
	for (i = 0;; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (has_nulls && att_isnull(i, tuple->t_data->t_bits))
			continue;
		offset = att_align_pointer(offset, att->attalign, att->attlen, data + offset);
		if (i == attnum - 1)
			return data + offset;
		offset = att_addlength_pointer(offset, att->attlen, data + offset);
	}
}

/* Has somebody made the function, or is it PostgreSQL's own? */
static bool
calls_users_function(const HistoryCast *cast)
{
	return cast->function.fn_oid >= FirstNormalObjectId ||
		(cast->by_text && cast->input.fn_oid >= FirstNormalObjectId);
}

/* Are all values of a history row columns of the old row, cast by PostgreSQL, or constants? */
bool
columns_map_is_simple(const HistoryMap *map)
{
	int			i;

	for (i = 0; i < map->natts; i++)
		if (map->computed[i] || (map->cast[i] && calls_users_function(map->cast[i])))
			return false;
	return true;
}

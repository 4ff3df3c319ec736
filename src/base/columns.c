/*
 * columns.c
 *		Columns and keys of a relation, as the catalogs have them.
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

#include "base/base.h"
#include "compat.h"

/* The column's default, or generation expression; NULL if it has none. */
Node *
columns_default_expression(Oid relid, AttrNumber attnum)
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
	Node	   *expression = columns_default_expression(relid, attnum);
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

/* Returns true if these are the same names in the same order. */
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

	types_below_domains(att, &type, &typmod);
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

/* Returns true if the relation has columns of all these names. */
bool
columns_all_exist(Oid relid, List *names)
{
	ListCell   *lc;

	foreach(lc, names)
		if (get_attnum(relid, lfirst(lc)) == InvalidAttrNumber)
			return false;
	return true;
}

/* Returns true if the relation's column has that type, modifier and collation. */
bool
columns_have_type(Oid relid, AttrNumber attnum, Oid type, int32 typmod, Oid collation)
{
	Oid			column_type;
	int32		column_typmod;
	Oid			column_collation;

	get_atttypetypmodcoll(relid, attnum, &column_type, &column_typmod, &column_collation);
	return column_type == type && column_typmod == typmod && column_collation == collation;
}

/*
 * remote_columns.c
 *		The columns of a segment on another server, and those of its table there.
 *
 * Each column of the foreign table says by its option column_name which column of the other
 * side it is: so what is renamed or dropped here stays there as it is, and the other
 * server need not be asked.  A column that is added here is NULL in all versions that are there.
 * The table there has such columns ready, one of each of the usual types, called
 * "absent:<type>": conditions on them, which postgres_fdw has evaluated there, are of the
 * right type.
 *
 * A type that changes in place changes on the other side, too, by the same cast, since
 * conditions are evaluated there: that takes the server to be there.
 *
 * Types that postgres_fdw does not evaluate anything of, those that are not PostgreSQL's own, nor of
 * an extension that the server's option "extensions" names, are text there.  Text of
 * a collation is of the same one there, or the segment cannot go there.
 *
 * Locks: none; the caller holds ACCESS EXCLUSIVE on the history and what is below it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_database.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "manage/manage.h"
#include "compat.h"

#define ABSENT	"absent:"

/*
 * What a collation is, as text that is the same on every server: of a row of pg_collation or
 * pg_database, whose columns have changed their names.  Spellings of a locale's encoding differ.
 */
#define LOCALE_SQL(name) \
	"CASE pg_catalog.lower(pg_catalog.replace(x." name ", '-', '')) WHEN 'posix' THEN 'c' " \
	"ELSE pg_catalog.lower(pg_catalog.replace(x." name ", '-', '')) END"
#define FIELD_SQL(name)	"(pg_catalog.to_jsonb(x) OPERATOR(pg_catalog.->>) '" name "')"
#define IDENTITY_SQL(provider, collate, ctype, locale, deterministic) \
	"(CASE COALESCE(" provider ", 'c') WHEN 'c' THEN pg_catalog.jsonb_build_array('c', " LOCALE_SQL(collate) ", " \
	LOCALE_SQL(ctype) ", " deterministic ") ELSE pg_catalog.jsonb_build_array(" provider ", " locale ", " \
	deterministic ") END)::pg_catalog.text"
#define COLLATION_SQL \
	IDENTITY_SQL(FIELD_SQL("collprovider"), "collcollate", "collctype", \
				 "COALESCE(" FIELD_SQL("colllocale") ", " FIELD_SQL("colliculocale") ", x.collcollate)", "x.collisdeterministic")
#define OF_DATABASE_SQL \
	"SELECT " IDENTITY_SQL(FIELD_SQL("datlocprovider"), "datcollate", "datctype", \
						   "COALESCE(" FIELD_SQL("datlocale") ", " FIELD_SQL("daticulocale") ")", "true") \
	" FROM pg_catalog.pg_database x WHERE x.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"

/* by their names in pg_type */
static const char *const absent_types[] = {
	"text", "bool", "int2", "int4", "int8", "float4", "float8", "numeric", "varchar", "bpchar", "char", "name",
	"bytea", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb", "uuid",
	"inet", "cidr", "macaddr", "bit", "varbit", "oid", "xml", "tsvector", "point", "box", "polygon", "path", "circle", "lseg",
	"int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange",
	"_text", "_bool", "_int2", "_int4", "_int8", "_float4", "_float8", "_numeric", "_varchar", "_bpchar",
	"_date", "_timestamp", "_timestamptz", "_uuid", "_json", "_jsonb", "_bytea", "_interval"
};

static bool is_of_extension(Oid server, Oid type);
static const char *cannot_go(Oid type);
static List *foreign_below(Oid history);
static char *absent_column(Oid type);
static bool is_absent(const char *column);
static void retype(Oid relid, const TableColumn *column);
static bool prints_alike(Oid relid, const TableColumn *column);

/*
 * The type that the column has on the server, as SQL; palloc'd.  NULL, and *why in words, if
 * there is none.
 */
char *
remote_type_sql(Oid server, Oid type, int32 typmod, const char **why)
{
	*why = cannot_go(type);
	if (*why)
		return NULL;
	if (type >= FirstNormalObjectId && !is_of_extension(server, type))
		return pstrdup("pg_catalog.text");
	return format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* Is it of an extension that the server's option says to be the same there? */
static bool
is_of_extension(Oid server, Oid type)
{
	Oid			extension = getExtensionOfObject(TypeRelationId, type);
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, OidIsValid(extension) ? GetForeignServer(server)->options : NIL)
	{
		DefElem    *option = lfirst(lc);
		List	   *names;

		if (strcmp(option->defname, "extensions") != 0 ||
			!SplitIdentifierString(pstrdup(defGetString(option)), ',', &names))
			continue;
		foreach(lc2, names)
			if (get_extension_oid(lfirst(lc2), true) == extension)
				return true;
	}
	return false;
}

/* Why values of the type are not the same elsewhere, or not for long, as a sentence; or NULL. */
static const char *
cannot_go(Oid type)
{
	Oid			element = get_base_element_type(type);
	Oid			base = getBaseType(OidIsValid(element) ? element : type);

	switch (base)
	{
		case MONEYOID:
			return "What such a value is written as depends on lc_monetary";
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGROLEOID:
		case REGTYPEOID:
			return "Such a value is an object of this database";
		default:
			break;
	}
	if (get_typtype(base) == TYPTYPE_COMPOSITE || base == RECORDOID)
		return "A row type may be altered";
	return NULL;
}

/*
 * " COLLATE ..." for a column there, so that it compares as here; "" where that is so without;
 * palloc'd.  An error if the server has no such collation.
 */
char *
remote_collation_sql(Remote *remote, Oid collation)
{
	char	   *here;
	char	   *found;

	if (!OidIsValid(collation))
		return pstrdup("");
	if (collation == DEFAULT_COLLATION_OID)
		here = ddl_query_text(remote->owner, list_make1_oid(DatabaseRelationId), OF_DATABASE_SQL);
	else
		here = ddl_query_text(remote->owner, list_make1_oid(CollationRelationId),
							  psprintf("SELECT " COLLATION_SQL " FROM pg_catalog.pg_collation x WHERE x.oid OPERATOR(pg_catalog.=) %u::pg_catalog.oid",
									   collation));
	found = remote_ask(remote, OF_DATABASE_SQL);
	if (here && found && strcmp(here, found) == 0)
		return pstrdup("");
	found = here == NULL ? NULL :
		remote_ask(remote, psprintf("SELECT pg_catalog.format('%%I.%%I', n.nspname, x.collname) FROM pg_catalog.pg_collation x "
									"JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) x.collnamespace "
									"WHERE " COLLATION_SQL " OPERATOR(pg_catalog.=) %s AND (x.collencoding OPERATOR(pg_catalog.=) '-1'::pg_catalog.int4 OR x.collencoding OPERATOR(pg_catalog.=) "
									"(SELECT d.encoding FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())) "
									"ORDER BY n.nspname OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.name DESC, x.collname LIMIT 1",
									quote_literal_cstr(here)));
	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("server \"%s\" has no collation like %s",
						GetForeignServer(remote->server)->servername,
						collation == DEFAULT_COLLATION_OID ? "that of this database" : get_collation_name(collation)),
				 errdetail("It is %s. Conditions on text that are evaluated there would find other versions.", here ? here : "unknown"),
				 errhint("CREATE COLLATION there, or choose a database with this locale.")));
	return psprintf(" COLLATE %s", found);
}

/* The columns for what is absent, as part of CREATE TABLE; palloc'd. */
char *
remote_absent_columns_sql(void)
{
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	for (i = 0; i < lengthof(absent_types); i++)
		appendStringInfo(&sql, "%s%s pg_catalog.%s", i > 0 ? ", " : "",
						 quote_identifier(psprintf(ABSENT "%s", absent_types[i])),
						 quote_identifier(absent_types[i]));
	return sql.data;
}

/* The column of the other side that has NULLs of the type, or of text. */
static char *
absent_column(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	const char *name = "text";
	int			i;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	for (i = 0; type < FirstNormalObjectId && i < lengthof(absent_types); i++)
		if (strcmp(absent_types[i], NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname)) == 0)
			name = absent_types[i];
	ReleaseSysCache(tuple);
	return psprintf(ABSENT "%s", name);
}

static bool
is_absent(const char *column)
{
	return strncmp(column, ABSENT, strlen(ABSENT)) == 0;
}

/* What the column of a foreign table is called there; palloc'd.  NULL if that is not said. */
char *
remote_column_name(Oid relid, const char *column)
{
	ListCell   *lc;

	foreach(lc, GetForeignColumnOptions(relid, get_attnum(relid, column)))
		if (strcmp(lfirst_node(DefElem, lc)->defname, "column_name") == 0)
			return pstrdup(defGetString(lfirst_node(DefElem, lc)));
	return NULL;
}

/* The segments on other servers among what inherits from the history. */
static List *
foreign_below(Oid history)
{
	List	   *relids = NIL;
	ListCell   *lc;

	if (!has_subclass(history))
		return NIL;
	foreach(lc, find_all_inheritors(history, NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE && OidIsValid(segments_head(lfirst_oid(lc))))
			relids = lappend_oid(relids, lfirst_oid(lc));
	return relids;
}

/* Columns have been added to the history, and to what inherits from it: they are absent there. */
void
remote_columns_follow(Oid history)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, foreign_below(history))
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		List	   *names = NIL;
		int			i;

		for (i = 0; i < RelationGetNumberOfAttributes(rel); i++)
			if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
				names = lappend(names, pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname)));
		table_close(rel, NoLock);
		foreach(lc2, names)
			if (remote_column_name(lfirst_oid(lc), lfirst(lc2)) == NULL)
				catalog_set_column_option(lfirst_oid(lc), lfirst(lc2), "column_name",
										  absent_column(get_atttype(lfirst_oid(lc), get_attnum(lfirst_oid(lc), lfirst(lc2)))));
	}
}

/* A new column, text, is what another one is there, if that is text there. */
void
remote_columns_take_over(Oid history, const char *column, const char *from)
{
	ListCell   *lc;

	remote_columns_follow(history);
	foreach(lc, foreign_below(history))
	{
		char	   *name = remote_column_name(lfirst_oid(lc), from);
		Oid			type = get_atttype(lfirst_oid(lc), get_attnum(lfirst_oid(lc), from));

		if (name && !is_absent(name) && type >= FirstNormalObjectId &&
			!is_of_extension(GetForeignServerIdByRelId(lfirst_oid(lc)), type))
			catalog_set_column_option(lfirst_oid(lc), column, "column_name", name);
	}
}

/*
 * The column of the history, and of all that inherit it, is about to get another type, by a cast:
 * so does that of the other side.  An error if the server is away.
 */
void
remote_columns_retype(Oid history, const TableColumn *column)
{
	ListCell   *lc;

	foreach(lc, foreign_below(history))
		if (get_attnum(lfirst_oid(lc), column->name) != InvalidAttrNumber)
			retype(lfirst_oid(lc), column);
}

static void
retype(Oid relid, const TableColumn *column)
{
	char	   *name = remote_column_name(relid, column->name);
	Oid			server = GetForeignServerIdByRelId(relid);
	const char *why;
	char	   *type;
	Remote	   *remote;

	if (name && is_absent(name))
	{
		catalog_set_column_option(relid, column->name, "column_name", absent_column(column->type));
		return;
	}
	if (name == NULL || prints_alike(relid, column))
		return;
	type = remote_type_sql(server, column->type, column->typmod, &why);
	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of segment \"%s\" cannot have type %s on another server",
						column->name, get_rel_name(relid), format_type_be(column->type)),
				 errdetail("%s.", why),
				 errhint("CALL %s(%s::regclass); brings the segment back first.",
						 hint_function("move_history_segment"), naming_argument(relid))));
	remote = remote_open(server, security_owner_of(relid), get_rel_namespace(relid));
	remote_do(remote, psprintf("SET LOCAL TimeZone = %s; SET LOCAL DateStyle = %s; SET LOCAL IntervalStyle = %s; "
							   "ALTER TABLE %s ALTER COLUMN %s TYPE %s%s USING %s::%s",
							   quote_literal_cstr(GetConfigOption("TimeZone", false, false)),
							   quote_literal_cstr(GetConfigOption("DateStyle", false, false)),
							   quote_literal_cstr(GetConfigOption("IntervalStyle", false, false)),
							   remote_table_name(relid), quote_identifier(name), type,
							   remote_collation_sql(remote, column->collation),
							   quote_identifier(name), type));
	remote_close(remote);
}

/* The other side need not know: text stays text. */
static bool
prints_alike(Oid relid, const TableColumn *column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relid, get_attnum(relid, column->name), &type, &typmod, &collation);
	if (type >= FirstNormalObjectId && !is_of_extension(GetForeignServerIdByRelId(relid), type))
		return column->type == TEXTOID || (column->type == VARCHAROID && column->typmod == -1) ||
			column->type >= FirstNormalObjectId;
	return (type == TEXTOID || type == VARCHAROID) && (column->type == TEXTOID || column->type == VARCHAROID) &&
		collation == column->collation;
}

/*
 * Values of the column are about to be converted by an expression, which is evaluated here: those
 * on other servers stay as they are, under the name that the column will have, and the new column is
 * NULL there.  An error for a column of the key, without which a version could not be found.
 */
void
remote_columns_stay(Oid history, const char *column, bool is_key)
{
	ListCell   *lc;

	foreach(lc, foreign_below(history))
	{
		char	   *name = get_attnum(lfirst_oid(lc), column) == InvalidAttrNumber ? NULL :
			remote_column_name(lfirst_oid(lc), column);

		if (name == NULL || is_absent(name))
			continue;
		if (is_key)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of segment \"%s\" cannot be converted on server \"%s\"", column,
							get_rel_name(lfirst_oid(lc)),
							GetForeignServer(GetForeignServerIdByRelId(lfirst_oid(lc)))->servername),
					 errdetail("It is in the primary key."),
					 errhint("CALL %s(%s::regclass); brings the segment back first.",
							 hint_function("move_history_segment"), naming_argument(lfirst_oid(lc)))));
		ereport(NOTICE,
				(errmsg("values of column \"%s\" in segment \"%s\" were not converted", column,
						get_rel_name(lfirst_oid(lc))),
				 errdetail("They are on server \"%s\". They are kept under another name.",
						   GetForeignServer(GetForeignServerIdByRelId(lfirst_oid(lc)))->servername)));
	}
}

/*
 * changes.c
 *		history_changes(): what transactions did, row by row.
 *
 * A version that a transaction has ended, and not made, is what it found; one that it
 * has made, and not ended, is what it left.  Both of one key: UPDATE; the first alone:
 * DELETE; the second alone: INSERT.  What it has made and ended nobody else saw.  So
 * nothing depends on the order of times, whatever overlapped.
 *
 * Where it is not known who made a version (it is older than start_transaction_id), the
 * next version is the one that begins when this one ends.  Likewise in a history that was
 * adopted, where who ended a version is not known.
 *
 * A row that gets another key is one that goes and one that comes: the two are one UPDATE
 * if they agree in all other columns, and there is one of each.
 *
 * One query does it, for all tables, which the caller runs: with its privileges and what
 * policies show it.  It begins with what the arguments leave: by the indexes on
 * exec_transaction_id and sys_period, and from there by key.
 *
 * Locks: ACCESS SHARE on what is read.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "read/read.h"

/* the arguments, as parameters of the query, too */
enum
{
	ARG_TABLES, ARG_SINCE, ARG_UNTIL, ARG_TRANSACTIONS, ARG_KEY, NARGS
};

/* A table whose changes are asked for, as SQL spells it. */
typedef struct Source
{
	Oid			relid;			/* that is named; of a kept history its own */
	char	   *rows;			/* a SELECT of all its versions */
	List	   *columns;
	List	   *key;
	List	   *silent;			/* columns that every change changes */
	Relation	rel;			/* that has the columns' types: the history */
	bool		former;			/* some versions do not say who ended them */
	TimestampTz since;			/* what is from before is none of our business; 0 */
} Source;

static char *changes_sql(FunctionCallInfo fcinfo);
static void check_arguments(FunctionCallInfo fcinfo);
static List *tables_asked_for(FunctionCallInfo fcinfo);
static List *all_tables(void);
static List *with_children(List *tables);
static bool may_read(const RegistryRow *row);
static void require_readable(Oid relid);
static Source *source_of(Oid relid);
static Source *source_of_kept(Oid history);
static List *columns_of(Relation rel, bool of_history);
static bool has_key(const Source *source, FunctionCallInfo fcinfo);
static List *keys_given(FunctionCallInfo fcinfo);
static char *table_sql(const Source *source, FunctionCallInfo fcinfo);
static char *versions_sql(const Source *source);
static char *began_sql(const char *versions, const char *transaction);
static List *kept_key(Relation history);
static char *key_given_sql(const Source *source, const char *versions);
static char *log_sql(const char *changes);
static char *array_sql(List *names, List *but);
static char *list_sql(List *names);

PG_FUNCTION_INFO_V1(catmaid_history_changes);

/* history_changes(tables, since, until, transactions, key) */
Datum
catmaid_history_changes(PG_FUNCTION_ARGS)
{
	static const Oid types[NARGS] = {REGCLASSARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	INT8ARRAYOID, JSONBOID};
	Datum		values[NARGS];
	char		nulls[NARGS + 1] = {0};
	int			i;

	for (i = 0; i < NARGS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	return stream_rows(fcinfo, changes_sql, NARGS, types, values, nulls);
}

/* The query for the arguments. */
static char *
changes_sql(FunctionCallInfo fcinfo)
{
	List	   *tables;
	StringInfoData sql;
	ListCell   *lc;

	check_arguments(fcinfo);
	tables = tables_asked_for(fcinfo);
	initStringInfo(&sql);
	foreach(lc, tables)
	{
		Source	   *source = source_of(lfirst_oid(lc));

		if (PG_ARGISNULL(ARG_KEY) || has_key(source, fcinfo))
			appendStringInfo(&sql, "%s(%s)", sql.len > 0 ? " UNION ALL " : "",
							 table_sql(source, fcinfo));
		table_close(source->rel, NoLock);
	}
	if (sql.len == 0 && !PG_ARGISNULL(ARG_KEY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no table that is asked for has a primary key of the columns %s",
						list_sql(keys_given(fcinfo))),
				 errhint("Give all columns of the key and no others, as '{\"id\": 3}'.")));
	if (sql.len == 0)
		appendStringInfoString(&sql, "SELECT NULL::pg_catalog.timestamptz AS changed_at, NULL::pg_catalog.int8 AS t, "
							   "NULL::pg_catalog.regclass AS tbl, NULL::pg_catalog.text AS change, NULL::pg_catalog.jsonb AS key, "
							   "NULL::pg_catalog.jsonb AS old_r, NULL::pg_catalog.jsonb AS new_r, NULL::pg_catalog.text[] AS cols WHERE false");
	return psprintf("SELECT c.changed_at, c.t, c.tbl, c.change, c.key, c.old_r, c.new_r, c.cols, "
					"%s WHERE ($2 IS NULL OR c.changed_at OPERATOR(pg_catalog.>=) $2) AND ($3 IS NULL OR c.changed_at OPERATOR(pg_catalog.<) $3) "
					"AND ($4 IS NULL OR c.t OPERATOR(pg_catalog.=) ANY ($4)) "
					"ORDER BY c.changed_at NULLS FIRST, c.t NULLS FIRST, c.tbl::pg_catalog.oid, c.key",
					log_sql(sql.data));
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(ARG_SINCE) && !PG_ARGISNULL(ARG_UNTIL) &&
		PG_GETARG_TIMESTAMPTZ(ARG_SINCE) > PG_GETARG_TIMESTAMPTZ(ARG_UNTIL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"since\" is later than \"until\""),
				 errhint("Exchange the two.")));
}

/* The tables named, with those that inherit from them, or all that may be read. */
static List *
tables_asked_for(FunctionCallInfo fcinfo)
{
	List	   *tables = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			i;

	if (PG_ARGISNULL(ARG_TABLES))
		return all_tables();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARG_TABLES), REGCLASSOID, sizeof(Oid), true,
					  TYPALIGN_INT, &elements, &nulls, &n);
	for (i = 0; i < n; i++)
		if (!nulls[i])
		{
			require_readable(DatumGetObjectId(elements[i]));
			tables = list_append_unique_oid(tables, DatumGetObjectId(elements[i]));
		}
	return with_children(tables);
}

static List *
all_tables(void)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *row = lfirst(lc);

		if (get_rel_name(row->live) != NULL && view_has_columns(row) && may_read(row))
			tables = lappend_oid(tables, row->live);
	}
	return tables;
}

/* As a query on the parent reads them; those that may not be read are left out. */
static List *
with_children(List *tables)
{
	List	   *all = NIL;
	ListCell   *lc;
	ListCell   *below;

	foreach(lc, tables)
	{
		all = list_append_unique_oid(all, lfirst_oid(lc));
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_RELATION)
			continue;
		foreach(below, find_all_inheritors(lfirst_oid(lc), AccessShareLock, NULL))
		{
			RegistryRow *row = registry_get(lfirst_oid(below));

			if (row && lfirst_oid(below) != lfirst_oid(lc) && may_read(row))
				all = list_append_unique_oid(all, lfirst_oid(below));
		}
	}
	return all;
}

/* May the caller read the table, and what is derived from it? */
static bool
may_read(const RegistryRow *row)
{
	return pg_class_aclcheck(row->live, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		get_rel_name(row->history) != NULL &&
		pg_class_aclcheck(row->history, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		(!OidIsValid(row->tracking) ||
		 (get_rel_name(row->tracking) != NULL &&
		  pg_class_aclcheck(row->tracking, GetUserId(), ACL_SELECT) == ACLCHECK_OK));
}

/* Error out if it is no table with a history, or not the caller's to read. */
static void
require_readable(Oid relid)
{
	RegistryRow *row;
	Oid			all[3];
	int			i;

	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	row = registry_get(relid);
	if (row == NULL && !(derived_has_history_defaults(relid) && registry_get_by_derived(relid) == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no history", get_rel_name(relid)),
				 registry_hint_for_untracked(relid)));
	all[0] = relid;
	all[1] = row ? row->history : InvalidOid;
	all[2] = row ? row->tracking : InvalidOid;
	for (i = 0; i < lengthof(all); i++)
		if (OidIsValid(all[i]) && get_rel_name(all[i]) != NULL &&
			pg_class_aclcheck(all[i], GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(all[i]));
}

static Source *
source_of(Oid relid)
{
	RegistryRow *row = registry_get(relid);
	Source	   *source;
	Relation	live;

	if (row == NULL)
		return source_of_kept(relid);
	source = palloc0(sizeof(Source));
	live = table_open(row->live, AccessShareLock);
	source->relid = relid;
	source->rows = view_rows_sql(row, live, true);
	source->columns = columns_of(live, false);
	source->key = row->key;
	if (!OidIsValid(row->tracking))
	{
		source->silent = list_make2(row->time_column, row->txid_column);
		source->since = row->created;
	}
	source->former = row->maker_until != 0;
	source->rel = table_open(row->history, AccessShareLock);
	table_close(live, NoLock);
	if (!columns_all_exist(relid, row->key))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no column by which its rows can be told",
						get_rel_name(relid)),
				 errhint("ALTER TABLE %s ADD PRIMARY KEY (...);", naming_quoted(relid))));
	return source;
}

/* A history that was kept, of a table that is gone or not tracked any more. */
static Source *
source_of_kept(Oid history)
{
	Source	   *source = palloc0(sizeof(Source));
	AttrNumber	maker = get_attnum(history, MAKER_COLUMN);
	StringInfoData columns;
	ListCell   *lc;

	source->relid = history;
	source->rel = table_open(history, AccessShareLock);
	source->columns = columns_of(source->rel, true);
	source->key = kept_key(source->rel);
	if (source->key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("it is not known by which columns the rows of history table \"%s\" are told",
						RelationGetRelationName(source->rel)),
				 errdetail("It was kept when its table ceased to be tracked, without its indexes."),
				 errhint("CREATE INDEX %s ON %s (...), on the columns of the former primary key.",
						 quote_identifier(psprintf("%s_live_pk_index", RelationGetRelationName(source->rel))),
						 naming_quoted(history))));
	initStringInfo(&columns);
	foreach(lc, source->columns)
		appendStringInfo(&columns, "h.%s, ", quote_identifier(lfirst(lc)));
	source->rows = psprintf("SELECT %sh.%s, h.%s, %s AS %s FROM ONLY %s h", columns.data,
							PERIOD_COLUMN, XID_COLUMN,
							maker != InvalidAttrNumber ? "h." MAKER_COLUMN : "NULL::pg_catalog.int8",
							MAKER_COLUMN, naming_quoted(history));
	return source;
}

/* The names of the columns, of_history: without those that are history's own. */
static List *
columns_of(Relation rel, bool of_history)
{
	List	   *columns = NIL;
	int			i;

	for (i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		char	   *name = NameStr(att->attname);

		if (!att->attisdropped &&
			!(of_history && (strcmp(name, PERIOD_COLUMN) == 0 || strcmp(name, XID_COLUMN) == 0 ||
							 strcmp(name, MAKER_COLUMN) == 0)))
			columns = lappend(columns, pstrdup(name));
	}
	return columns;
}

/* Is the key that is given one of the table's? */
static bool
has_key(const Source *source, FunctionCallInfo fcinfo)
{
	List	   *given = keys_given(fcinfo);
	bool		same = list_length(source->key) == list_length(given);
	ListCell   *lc;
	ListCell   *other;

	foreach(lc, source->key)
	{
		bool		found = false;

		foreach(other, given)
			found |= strcmp(lfirst(lc), lfirst(other)) == 0;
		same &= found;
	}
	return same;
}

/* The names of the columns in the key that is given. */
static List *
keys_given(FunctionCallInfo fcinfo)
{
	Jsonb	   *key = PG_GETARG_JSONB_P(ARG_KEY);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	List	   *names = NIL;

	if (!JB_ROOT_IS_OBJECT(key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"key\" is no JSON object"),
				 errhint("Give the columns of the primary key, as '{\"id\": 3}'.")));
	iterator = JsonbIteratorInit(&key->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
			names = lappend(names, pnstrdup(value.val.string.val, value.val.string.len));
	return names;
}

/* The columns of the index that a history has had on the key, if it is there still. */
static List *
kept_key(Relation history)
{
	Oid			index = get_relname_relid(psprintf("%s_live_pk_index", RelationGetRelationName(history)),
										  RelationGetNamespace(history));
	List	   *key = NIL;
	char	   *name;
	int			i;

	if (!OidIsValid(index) || !list_member_oid(RelationGetIndexList(history), index))
		return NIL;
	for (i = 1; (name = get_attname(index, i, true)) != NULL; i++)
		key = lappend(key, name);
	return columns_all_exist(RelationGetRelid(history), key) ? key : NIL;
}

/*
 * The changes of one table.  "pre" is a version that a transaction has found and ended,
 * "post" one that it has made and left.
 */
static char *
table_sql(const Source *source, FunctionCallInfo fcinfo)
{
	bool		by_transaction = !PG_ARGISNULL(ARG_TRANSACTIONS) && !source->former;
	bool		by_time = !PG_ARGISNULL(ARG_SINCE) || !PG_ARGISNULL(ARG_UNTIL);
	char	   *versions = versions_sql(source);
	char	   *same_key = changes_key_equal_sql(source->rel, source->key, "pre", "post");
	StringInfoData pre;
	StringInfoData post;
	StringInfoData linked;
	StringInfoData pre_keys;
	StringInfoData post_keys;
	StringInfoData key_json;
	char	   *events;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&pre);
	initStringInfo(&post);
	initStringInfo(&linked);
	initStringInfo(&pre_keys);
	initStringInfo(&post_keys);
	initStringInfo(&key_json);
	foreach(lc, source->key)
	{
		i++;
		appendStringInfo(&pre_keys, "pre.k%d, ", i);
		appendStringInfo(&post_keys, "post.k%d, ", i);
		appendStringInfo(&key_json, "%sk%d AS %s", i > 1 ? ", " : "", i,
						 quote_identifier(lfirst(lc)));
	}

	appendStringInfoString(&pre, "((pre.ender IS NOT NULL AND (pre.ender OPERATOR(pg_catalog.=) pre.maker) IS NOT TRUE "
						   "AND NOT (pre.maker IS NULL AND pg_catalog.isempty(pre.p)))");
	if (source->former)
		appendStringInfoString(&pre, " OR (pre.ender IS NULL AND NOT pg_catalog.isempty(pre.p) AND NOT pg_catalog.upper_inf(pre.p))");
	appendStringInfoChar(&pre, ')');
	appendStringInfoString(&linked, "((post.maker OPERATOR(pg_catalog.=) pre.ender AND (post.ender OPERATOR(pg_catalog.=) post.maker) IS NOT TRUE) "
						   "OR (post.maker IS NULL AND NOT pg_catalog.isempty(post.p) AND pg_catalog.lower(post.p) OPERATOR(pg_catalog.=) pg_catalog.upper(pre.p))");
	if (source->former)
		appendStringInfoString(&linked, " OR (pre.ender IS NULL AND NOT pg_catalog.isempty(post.p) AND pg_catalog.lower(post.p) OPERATOR(pg_catalog.=) pg_catalog.upper(pre.p))");
	appendStringInfoChar(&linked, ')');
	appendStringInfoString(&post, "post.maker IS NOT NULL AND (post.ender OPERATOR(pg_catalog.=) post.maker) IS NOT TRUE");
	if (source->since != 0)
		appendStringInfo(&post, " AND (pg_catalog.isempty(post.p) OR pg_catalog.lower(post.p) OPERATOR(pg_catalog.>=) '%s'::pg_catalog.timestamptz)",
						 timestamptz_to_str(source->since));

	/* what the arguments leave, by the indexes; the rest is done with the result */
	if (by_transaction)
	{
		appendStringInfoString(&pre, " AND pre.ender OPERATOR(pg_catalog.=) ANY ($4)");
		appendStringInfo(&post, " AND post.maker OPERATOR(pg_catalog.=) ANY ($4) AND (post.p OPERATOR(pg_catalog.&&) pg_catalog.tstzrange("
						 "(SELECT CASE WHEN pg_catalog.bool_and(b.began IS NOT NULL) THEN pg_catalog.min(b.began) END "
						 "FROM (SELECT %s AS began FROM pg_catalog.unnest($4) t (t)) b), NULL) OR post.p OPERATOR(pg_catalog.=) 'empty'::pg_catalog.tstzrange)",
						 began_sql(versions, "t.t"));
	}
	if (by_time)
	{
		appendStringInfoString(&pre, " AND (pre.p OPERATOR(pg_catalog.&&) pg_catalog.tstzrange($2 OPERATOR(pg_catalog.-) '1 us'::pg_catalog.interval, $3, '[]') OR pre.p OPERATOR(pg_catalog.=) 'empty'::pg_catalog.tstzrange)");
		appendStringInfoString(&post, " AND (post.p OPERATOR(pg_catalog.&&) pg_catalog.tstzrange($2, $3, '[]') OR post.p OPERATOR(pg_catalog.=) 'empty'::pg_catalog.tstzrange)");
	}

	events = psprintf("SELECT %s pre.ender, post.maker, pre.p AS old_p, pre.r AS old_r, post.p AS new_p, post.r AS new_r "
					  "FROM %s pre LEFT JOIN %s post ON %s AND %s WHERE %s "
					  "UNION ALL SELECT %s NULL, post.maker, NULL, NULL, post.p, post.r FROM %s post WHERE %s "
					  "AND NOT EXISTS (SELECT FROM %s pre WHERE %s AND pre.ender OPERATOR(pg_catalog.=) post.maker AND (pre.maker OPERATOR(pg_catalog.=) pre.ender) IS NOT TRUE)%s",
					  pre_keys.data, versions, versions, same_key, linked.data, pre.data,
					  post_keys.data, versions, post.data, versions, same_key,
					  !source->former ? "" :
					  psprintf(" AND NOT EXISTS (SELECT FROM %s pre WHERE %s AND pre.ender IS NULL "
							   "AND NOT pg_catalog.isempty(pre.p) AND pg_catalog.upper(pre.p) OPERATOR(pg_catalog.=) pg_catalog.lower(post.p))", versions, same_key));
	if (!PG_ARGISNULL(ARG_KEY))
		events = psprintf("SELECT * FROM (%s) e WHERE %s", events, key_given_sql(source, "e"));

	/* the two halves of a changed key are beside each other: DELETE comes before INSERT */
	return psprintf("SELECT CASE WHEN g.old_r IS NULL THEN COALESCE(pg_catalog.lower(g.new_p), %s) "
					"ELSE COALESCE(pg_catalog.upper(g.old_p), %s, pg_catalog.lower(g.new_p)) END AS changed_at, g.t, "
					"%u::pg_catalog.oid::pg_catalog.regclass AS tbl, CASE WHEN g.half THEN 'UPDATE' ELSE g.change END AS change, "
					"CASE WHEN g.half THEN g.other_key ELSE g.key END AS key, "
					"CASE WHEN g.half THEN g.other_r ELSE g.old_r END AS old_r, g.new_r, "
					"CASE WHEN g.half OR g.change OPERATOR(pg_catalog.=) 'UPDATE' THEN ARRAY(SELECT u.c FROM pg_catalog.unnest(%s::pg_catalog.text[]) WITH ORDINALITY u (c, n) "
					"WHERE ((CASE WHEN g.half THEN g.other_r ELSE g.old_r END OPERATOR(pg_catalog.->) u.c)::pg_catalog.text "
					"OPERATOR(pg_catalog.=) (g.new_r OPERATOR(pg_catalog.->) u.c)::pg_catalog.text) IS NOT TRUE "
					"ORDER BY u.n) END AS cols "
					"FROM (SELECT f.*, f.change OPERATOR(pg_catalog.=) 'INSERT' AND f.n OPERATOR(pg_catalog.=) 2 AND f.other_r IS NOT NULL AS half, "
					"f.change OPERATOR(pg_catalog.=) 'DELETE' AND f.n OPERATOR(pg_catalog.=) 2 AND (f.following OPERATOR(pg_catalog.=) 'INSERT') IS TRUE AS other_half FROM ("
					"SELECT e.*, pg_catalog.lag(e.old_r) OVER w AS other_r, pg_catalog.lag(e.key) OVER w AS other_key, pg_catalog.lead(e.change) OVER w AS following, "
					"pg_catalog.count(*) OVER (PARTITION BY e.t, e.rest) AS n FROM ("
					"SELECT d.*, CASE WHEN d.change OPERATOR(pg_catalog.=) 'UPDATE' THEN d.key ELSE COALESCE(d.old_r, d.new_r) OPERATOR(pg_catalog.-) %s::pg_catalog.text[] END AS rest "
					"FROM (SELECT COALESCE(c.ender, c.maker) AS t, c.old_p, c.old_r, c.new_p, c.new_r, "
					"CASE WHEN c.old_r IS NULL THEN 'INSERT' WHEN c.new_r IS NULL THEN 'DELETE' ELSE 'UPDATE' END AS change, "
					"(SELECT pg_catalog.to_jsonb(k.*) FROM (SELECT %s) k) AS key FROM (%s) c) d) e "
					"WINDOW w AS (PARTITION BY e.t, e.rest ORDER BY e.change)) f) g WHERE NOT g.other_half",
					began_sql(versions, "g.t"), began_sql(versions, "g.t"), source->relid,
					quote_literal_cstr(array_sql(source->columns, source->silent)),
					quote_literal_cstr(array_sql(list_concat_copy(source->key, source->silent), NIL)),
					key_json.data, events);
}

/* When a transaction began, by the versions of the table that it has ended. */
static char *
began_sql(const char *versions, const char *transaction)
{
	return psprintf("(SELECT pg_catalog.min(pg_catalog.upper(x.p)) FROM %s x "
					"WHERE x.ender OPERATOR(pg_catalog.=) %s)", versions, transaction);
}

/* All versions of the table: key, who ended and made it, its period, its row as JSON. */
static char *
versions_sql(const Source *source)
{
	StringInfoData keys;
	StringInfoData columns;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&keys);
	initStringInfo(&columns);
	foreach(lc, source->key)
		appendStringInfo(&keys, "v.%s AS k%d, ", quote_identifier(lfirst(lc)), ++i);
	foreach(lc, source->columns)
		appendStringInfo(&columns, "%sv.%s", columns.len > 0 ? ", " : "", quote_identifier(lfirst(lc)));
	return psprintf("(SELECT %sv.%s AS ender, v.%s AS maker, v.%s AS p, "
					"(SELECT pg_catalog.to_jsonb(x.*) FROM (SELECT %s) x) AS r FROM (%s) v)",
					keys.data, XID_COLUMN, MAKER_COLUMN, PERIOD_COLUMN, columns.data, source->rows);
}

/*
 * "a and b have one key", by the operators of the types that the relation's columns have;
 * the key's columns are called k1, k2, ... in both.
 */
char *
changes_key_equal_sql(Relation rel, List *key, const char *a, const char *b)
{
	StringInfoData sql;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&sql);
	foreach(lc, key)
	{
		Oid			type = columns_find(rel, lfirst(lc))->atttypid;

		if (i++ > 0)
			appendStringInfoString(&sql, " AND ");
		generate_operator_clause(&sql, psprintf("%s.k%d", a, i), type,
								 columns_key_equality(NULL, -1, getBaseType(type)),
								 psprintf("%s.k%d", b, i), type);
	}
	return sql.data;
}

/* The rows with the key that is given. */
static char *
key_given_sql(const Source *source, const char *versions)
{
	StringInfoData sql;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&sql);
	foreach(lc, source->key)
	{
		Oid			type = columns_find(source->rel, lfirst(lc))->atttypid;

		if (i++ > 0)
			appendStringInfoString(&sql, " AND ");
		generate_operator_clause(&sql, psprintf("%s.k%d", versions, i), type,
								 columns_key_equality(NULL, -1, getBaseType(type)),
								 psprintf("(SELECT g.%s FROM pg_catalog.jsonb_populate_record(NULL::%s, $5) g)",
										  quote_identifier(lfirst(lc)),
										  naming_quoted(RelationGetRelid(source->rel))), type);
	}
	return sql.data;
}

/*
 * What the log says of a transaction, as far as the caller may read it: of entries with
 * one id, as there are after a restore into another cluster, the one nearest in time.
 */
static char *
log_sql(const char *changes)
{
	Oid			log = get_relname_relid("catmaid_transaction_info", extension_namespace());

	if (!OidIsValid(log) || pg_class_aclcheck(log, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return psprintf("NULL::pg_catalog.int4, NULL::pg_catalog.text, NULL::pg_catalog.jsonb FROM (%s) c",
						changes);
	return psprintf("i.user_id, i.label, i.context FROM (%s) c LEFT JOIN LATERAL ("
					"SELECT o.user_id, o.label, %s AS context FROM %s o WHERE o.transaction_id OPERATOR(pg_catalog.=) c.t "
					"ORDER BY pg_catalog.abs(pg_catalog.date_part('epoch', o.execution_time OPERATOR(pg_catalog.-) c.changed_at)) LIMIT 1) i ON true",
					changes, get_attnum(log, "context") != InvalidAttrNumber ? "o.context" : "NULL::pg_catalog.jsonb",
					naming_quoted(log));
}

/* An array of text, as its input function reads it, of the names but the others. */
static char *
array_sql(List *names, List *but)
{
	StringInfoData sql;
	ListCell   *lc;
	ListCell   *other;

	initStringInfo(&sql);
	appendStringInfoChar(&sql, '{');
	foreach(lc, names)
	{
		bool		leave = false;
		const char *at;

		foreach(other, but)
			leave |= strcmp(lfirst(lc), lfirst(other)) == 0;
		if (leave)
			continue;
		appendStringInfoString(&sql, sql.len > 1 ? ",\"" : "\"");
		for (at = lfirst(lc); *at; at++)
		{
			if (*at == '"' || *at == '\\')
				appendStringInfoChar(&sql, '\\');
			appendStringInfoChar(&sql, *at);
		}
		appendStringInfoChar(&sql, '"');
	}
	appendStringInfoChar(&sql, '}');
	return sql.data;
}

static char *
list_sql(List *names)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, names)
		appendStringInfo(&text, "%s\"%s\"", text.len > 0 ? ", " : "", (char *) lfirst(lc));
	return text.data;
}

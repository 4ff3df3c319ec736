/*
 * changes.c
 *		history_changes(): what transactions did, row by row.
 *
 * Here are the tables that are asked for, and what the log says.  What is sought in each
 * table is told in changes_sql.c.
 *
 * One query does it, for all tables, which the caller runs: with its privileges and what
 * policies show it.
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

static void changes_query(FunctionCallInfo fcinfo, StreamQuery *query);
static char *changes_sql(FunctionCallInfo fcinfo, StreamQuery *query);
static void check_arguments(FunctionCallInfo fcinfo);
static List *tables_asked_for(FunctionCallInfo fcinfo);
static List *all_tables(void);
static List *with_children(List *tables);
static bool may_read(const RegistryRow *row);
static void require_readable(Oid relid);
static ChangesSource *source_of(Oid relid);
static ChangesSource *source_of_kept(Oid history);
static List *columns_of(Relation rel, bool of_history);
static bool has_key(const ChangesSource *source, FunctionCallInfo fcinfo);
static List *keys_given(FunctionCallInfo fcinfo);
static List *kept_key(Relation history);
static char *log_sql(const char *changes);
static char *list_sql(List *names);

PG_FUNCTION_INFO_V1(catmaid_history_changes);

/* history_changes(tables, since, until, transactions, key) */
Datum
catmaid_history_changes(PG_FUNCTION_ARGS)
{
	return stream_rows(fcinfo, changes_query);
}

static void
changes_query(FunctionCallInfo fcinfo, StreamQuery *query)
{
	static const Oid types[NARGS] = {REGCLASSARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	INT8ARRAYOID, JSONBOID};
	Datum	   *values = palloc(sizeof(Datum) * NARGS);
	bool	   *nulls = palloc(sizeof(bool) * NARGS);
	int			i;

	for (i = 0; i < NARGS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i);
	}
	/* (how much lies between two times it is good to know beforehand) */
	query->repeats = (!PG_ARGISNULL(ARG_TRANSACTIONS) || !PG_ARGISNULL(ARG_KEY)) &&
		PG_ARGISNULL(ARG_SINCE) && PG_ARGISNULL(ARG_UNTIL);
	query->form = changed_columns_form;
	query->sql = changes_sql(fcinfo, query);
	query->nargs = NARGS;
	query->types = types;
	query->values = values;
	query->nulls = nulls;
}

/* The query for the arguments; and whether that repeats, and what forms its rows. */
static char *
changes_sql(FunctionCallInfo fcinfo, StreamQuery *query)
{
	List	   *tables;
	StringInfoData sql;
	ListCell   *lc;

	check_arguments(fcinfo);
	tables = tables_asked_for(fcinfo);
	initStringInfo(&sql);
	foreach(lc, tables)
	{
		ChangesSource *source = source_of(lfirst_oid(lc));

		if (PG_ARGISNULL(ARG_KEY) || has_key(source, fcinfo))
		{
			query->arg = changed_columns_add(query->arg, source);
			if (query->repeats && !PG_ARGISNULL(ARG_TRANSACTIONS))
				query->repeats = !frequent_transactions(RelationGetRelid(source->rel),
														PG_GETARG_ARRAYTYPE_P(ARG_TRANSACTIONS));
			appendStringInfo(&sql, "%s(%s)", sql.len > 0 ? " UNION ALL " : "",
							 changes_table_sql(source, !PG_ARGISNULL(ARG_TRANSACTIONS),
											   !PG_ARGISNULL(ARG_SINCE) || !PG_ARGISNULL(ARG_UNTIL),
											   !PG_ARGISNULL(ARG_KEY)));
		}
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
							   "NULL::pg_catalog.jsonb AS old_r, NULL::pg_catalog.jsonb AS new_r, "
							   "NULL::pg_catalog.timestamptz AS turn, 0 AS depth WHERE false");
	return psprintf("SELECT c.changed_at, c.t, c.tbl, c.change, c.key, c.old_r, c.new_r, "
					"%s WHERE ($2 IS NULL OR c.changed_at OPERATOR(pg_catalog.>=) $2) AND ($3 IS NULL OR c.changed_at OPERATOR(pg_catalog.<) $3) "
					"AND ($4 IS NULL OR c.t OPERATOR(pg_catalog.=) ANY ($4)) "
					"ORDER BY c.turn NULLS FIRST, c.depth, c.t NULLS FIRST, c.tbl::pg_catalog.oid, c.key",
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

/* Returns true if the caller may read the table, and what is derived from it. */
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

static ChangesSource *
source_of(Oid relid)
{
	RegistryRow *row = registry_get(relid);
	ChangesSource *source;
	Relation	live;

	if (row == NULL)
		return source_of_kept(relid);
	source = palloc0(sizeof(ChangesSource));
	live = table_open(row->live, AccessShareLock);
	source->relid = relid;
	source->rows = view_rows_sql(row, live, true);
	source->former = view_former_rows_sql(row, live);
	source->tracked = view_tracked_rows_sql(row, live);
	source->columns = columns_of(live, false);
	source->key = row->key;
	if (!OidIsValid(row->tracking))
	{
		source->silent = list_make2(row->time_column, row->txid_column);
		source->since = row->created;
	}
	source->ends_unknown = row->maker_until != 0;
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
static ChangesSource *
source_of_kept(Oid history)
{
	ChangesSource *source = palloc0(sizeof(ChangesSource));
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
	source->rows = psprintf("SELECT %sh.%s, h.%s, %s AS %s FROM %s h", columns.data,
							PERIOD_COLUMN, XID_COLUMN,
							maker != InvalidAttrNumber ? "h." MAKER_COLUMN : "NULL::pg_catalog.int8",
							MAKER_COLUMN, segments_source(history));
	source->former = source->rows;
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

/* Returns true if the key that is given is one of the table's. */
static bool
has_key(const ChangesSource *source, FunctionCallInfo fcinfo)
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

/*
 * diff.c
 *		history_diff(): how a table differs between two instants.
 *
 * Of all its versions those count that held at the one and not at the other: what
 * held at both is the same row.  They are found by what was written in between: former
 * versions by the index on sys_period, and rows that are live by their start, in the
 * tracking table or the time column; so nothing is compared that has not changed.  Rows
 * that have been changed and changed back are compared, byte by byte, and left out.
 *
 * Of an inheritance parent the rows of its children are in it, as in the parent.
 *
 * One query does it, which the caller runs: with its privileges and what policies
 * show it.
 *
 * Locks: ACCESS SHARE on what is read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "read/read.h"

static void diff_query(FunctionCallInfo fcinfo, StreamQuery *query);
static HeapTuple form_row(void *arg, TupleDesc desc, Datum *values, bool *nulls);
static Datum typed_row(TupleDesc type, HeapTupleHeader record);
static char *diff_sql(FunctionCallInfo fcinfo);
static Oid	table_of_row(FunctionCallInfo fcinfo);
static char *rows_sql(const RegistryRow *row, Relation live, const char *at, const char *not_at);
static char *columns_sql(Relation live, const char *alias);
static char *live_rows_sql(const RegistryRow *row, Relation live);
static char *record_sql(Relation live, Relation history, const char *alias);

PG_FUNCTION_INFO_V1(catmaid_history_diff);

/* history_diff(row_type, before, after) */
Datum
catmaid_history_diff(PG_FUNCTION_ARGS)
{
	return stream_rows(fcinfo, diff_query);
}

static void
diff_query(FunctionCallInfo fcinfo, StreamQuery *query)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	static const bool nulls[] = {false, false};
	Datum	   *values = palloc(sizeof(Datum) * lengthof(types));
	int			i;

	for (i = 0; i < lengthof(types); i++)
		values[i] = PG_GETARG_DATUM(i + 1);
	query->sql = diff_sql(fcinfo);
	query->nargs = lengthof(types);
	query->types = types;
	query->values = values;
	query->nulls = nulls;
	query->form = form_row;
	query->arg = lookup_rowtype_tupdesc_copy(get_rel_type_id(table_of_row(fcinfo)), -1);
}

/* change, old and new: the records of the query as rows of the table's type */
static HeapTuple
form_row(void *arg, TupleDesc desc, Datum *values, bool *nulls)
{
	int			i;

	for (i = 1; i <= 2; i++)
		if (!nulls[i])
			values[i] = typed_row(arg, DatumGetHeapTupleHeader(values[i]));
	return heap_form_tuple(desc, values, nulls);
}

/*
 * A row of the table's type with the values of the record, which has no dropped columns.
 * (A cast would refuse what a domain allowed once, and cut what is too long by now.)
 */
static Datum
typed_row(TupleDesc type, HeapTupleHeader record)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record),
											  HeapTupleHeaderGetTypMod(record));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(record),.t_data = record};
	Datum	   *values = palloc0(sizeof(Datum) * type->natts);
	bool	   *nulls = palloc(sizeof(bool) * type->natts);
	int			from = 0;
	int			i;

	ItemPointerSetInvalid(&tuple.t_self);
	for (i = 0; i < type->natts; i++)
	{
		nulls[i] = true;
		if (TupleDescAttr(type, i)->attisdropped)
			continue;
		from++;					/* (heap_getattr is a macro on PostgreSQL 13) */
		values[i] = heap_getattr(&tuple, from, desc, &nulls[i]);
	}
	Assert(from == desc->natts);
	ReleaseTupleDesc(desc);
	return HeapTupleGetDatum(heap_form_tuple(type, values, nulls));
}

static char *
diff_sql(FunctionCallInfo fcinfo)
{
	Oid			relid = table_of_row(fcinfo);
	RegistryRow *row = registry_get(relid);
	Relation	live;
	Relation	history;
	StringInfoData keys;
	ListCell   *lc;
	int			i = 0;
	char	   *sql;

	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no history", get_rel_name(relid)),
				 registry_hint_for_untracked(relid)));
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"before\" and \"after\" must not be null")));
	if (PG_GETARG_TIMESTAMPTZ(1) > PG_GETARG_TIMESTAMPTZ(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"before\" is later than \"after\""),
				 errhint("Exchange the two.")));
	if (!columns_all_exist(relid, row->key))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no column by which its rows can be told",
						get_rel_name(relid)),
				 errhint("ALTER TABLE %s ADD PRIMARY KEY (...);", naming_quoted(relid))));

	live = table_open(relid, AccessShareLock);
	history = table_open(row->history, AccessShareLock);
	initStringInfo(&keys);
	foreach(lc, row->key)
		appendStringInfo(&keys, "v.%s AS k%d, ", quote_identifier(lfirst(lc)), ++i);
	sql = psprintf("SELECT CASE WHEN b.r IS NULL THEN 'INSERT' WHEN a.r IS NULL THEN 'DELETE' ELSE 'UPDATE' END, b.r, a.r "
				   "FROM (SELECT %s%s AS r FROM (%s) v) b FULL JOIN (SELECT %s%s AS r FROM (%s) v) a ON %s "
				   "WHERE NOT pg_catalog.record_image_eq(b.r, a.r) OR b.r IS NULL OR a.r IS NULL",
				   keys.data, record_sql(live, history, "v"), rows_sql(row, live, "$1", "$2"),
				   keys.data, record_sql(live, history, "v"), rows_sql(row, live, "$2", "$1"),
				   changes_key_equal_sql(history, row->key, "b", "a"));
	table_close(history, NoLock);
	table_close(live, NoLock);
	return sql;
}

/* The table whose row type the first argument has. */
static Oid
table_of_row(FunctionCallInfo fcinfo)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			relid = OidIsValid(type) ? get_typ_typrelid(getBaseType(type)) : InvalidOid;

	if (!OidIsValid(relid) || get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("\"row_type\" is not of the type of a table's rows"),
				 errhint("SELECT * FROM %s(NULL::t, before, after) compares table t.",
						 hint_function("history_diff"))));
	return relid;
}

/*
 * The versions that held at the one instant and not at the other, parameters of the
 * query.
 */
static char *
rows_sql(const RegistryRow *row, Relation live, const char *at, const char *not_at)
{
	char	   *all = view_rows_sql(row, live, false);
	char	   *condition = psprintf("v.%s OPERATOR(pg_catalog.@>) %s AND NOT v.%s OPERATOR(pg_catalog.@>) %s",
									 PERIOD_COLUMN, at, PERIOD_COLUMN, not_at);
	bool		ends_known = row->maker_until == 0;
	char	   *live_rows;
	char	   *former;

	/* a row that is live holds from its start on: at the later instant, or at both */
	former = psprintf("SELECT %s FROM (%s) v WHERE %s%s", columns_sql(live, "v"), all, condition,
					  ends_known ? " AND v." XID_COLUMN " IS NOT NULL" : "");
	if (strcmp(at, "$1") == 0)
		return former;
	live_rows = live_rows_sql(row, live);
	if (live_rows == NULL || !ends_known)
		return psprintf("SELECT %s FROM (%s) v WHERE %s", columns_sql(live, "v"), all, condition);
	return psprintf("%s UNION ALL %s", former, live_rows);
}

/*
 * The live rows that began between the two instants, by what tells when they began; NULL
 * where only the view knows how to ask that.
 */
static char *
live_rows_sql(const RegistryRow *row, Relation live)
{
	ColumnFit	worst = COLUMN_MISSING;

	if (!OidIsValid(row->tracking))
		return psprintf("SELECT %s FROM %s l WHERE l.%s OPERATOR(pg_catalog.>) $1 "
						"AND l.%s OPERATOR(pg_catalog.<=) $2", columns_sql(live, "l"),
						naming_quoted(row->live), quote_identifier(row->time_column),
						quote_identifier(row->time_column));
	if (get_rel_name(row->tracking) != NULL && fit_key(row) == KEY_HELD)
		(void) fit_tracking(row, live, &worst);
	if (worst > COLUMN_CONVERTS || live->rd_rel->relrowsecurity || indexes_tracking_is_loose(row->tracking) ||
		segments_others(row->history, NoLock) != NIL)
		return NULL;
	return psprintf("SELECT %s FROM ONLY %s t JOIN %s l ON %s WHERE t.edition_time OPERATOR(pg_catalog.>) $1 "
					"AND t.edition_time OPERATOR(pg_catalog.<=) $2", columns_sql(live, "l"),
					naming_quoted(row->tracking), naming_quoted(row->live),
					tracking_match_sql(row, live));
}

/* The table's columns, of the relation of that alias. */
static char *
columns_sql(Relation live, const char *alias)
{
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	for (i = 0; i < RelationGetNumberOfAttributes(live); i++)
		if (!TupleDescAttr(RelationGetDescr(live), i)->attisdropped)
			appendStringInfo(&sql, "%s%s.%s", sql.len > 0 ? ", " : "", alias,
							 quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(live), i)->attname)));
	return sql.data;
}

/*
 * They as a record, with the types of the table's columns, but for domains, which what was
 * there before they were made need not meet.
 */
static char *
record_sql(Relation live, Relation history, const char *alias)
{
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	for (i = 0; i < RelationGetNumberOfAttributes(live); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(live), i);
		Oid			type;

		if (att->attisdropped)
			continue;
		type = getBaseType(att->atttypid);
		appendStringInfo(&sql, "%s%s.%s", sql.len > 0 ? ", " : "", alias,
						 quote_identifier(NameStr(att->attname)));
		if (columns_find(history, NameStr(att->attname))->atttypid != type)
			appendStringInfo(&sql, "::%s",
							 format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	}
	return psprintf("ROW(%s)", sql.data);
}

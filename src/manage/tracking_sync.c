/*
 * tracking_sync.c
 *		Tracking tables as a whole: made to agree with the live table, emptied,
 *		carried over to another key.  Row by row see tracking.c.
 *
 * SQL does it, as the live table's owner; the caller has locked the live table
 * against writers.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_operator.h"
#include "commands/tablecmds.h"
#include "lib/stringinfo.h"
#include "parser/parse_oper.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "manage/manage.h"
#include "compat.h"

/* see key_sql */
typedef struct KeySql
{
	Oid			owner;
	char	   *match;
	char	   *columns;
	char	   *values;
	char	   *filter;			/* "" or " WHERE ..." */
	bool		shared;			/* several live rows may have one key, and can be counted by it */
	char	   *read;			/* the columns of a live row r */
	char	   *held;			/* and of a tracking row o */
} KeySql;

/* the start of a row that is added */
typedef enum AddedStart
{
	ADD_NOW,
	ADD_UNKNOWN
} AddedStart;

/* see carry_columns */
typedef struct Carrying
{
	const RegistryRow *row;
	Oid			old;
	List	   *kept;
	int			n;				/* that are not NULL */
	char	   *match;
	char	   *live_columns;
	char	   *old_columns;
	char	   *group;
	char	   *count;
} Carrying;

/* how a tracking row says that its start is unknown: see tracking.c */
#define UNKNOWN_START_SQL	"'-infinity'::pg_catalog.timestamptz"

static void key_sql(const RegistryRow *row, KeySql *key);
static void start_after_last_end(const RegistryRow *row, const KeySql *key);
static char *last_end_sql(const RegistryRow *row, Relation history);
static bool can_be_grouped(Oid type);
static void doubt_shared(const RegistryRow *row, const KeySql *key);
static void add_rows(const RegistryRow *row, const KeySql *key, Oid read, const char *source,
					 AddedStart start, bool all);
static char *lacking_sql(const RegistryRow *row, const KeySql *key, const char *source,
						 const char *columns, AddedStart start);
static void carry_columns(Carrying *carrying);

/*
 * Make the tracking table have one row for each live row: rows that appeared
 * get the current time, or that at which the last version of their key ended, if it
 * is later; rows that went are removed, the others stay.  Who made those that appeared
 * is unknown (see tracking.c: txid).
 *
 * Rows of a partition that is being detached are the table's until FINALIZE, though
 * no query on it shows them: then none is removed.  Nothing is done without columns
 * to tell rows by.
 *
 * The caller has locked the live table against writers.  Runs as the owner,
 * who may be subject to forced row security otherwise (security_act_as).
 */
void
tracking_sync(const RegistryRow *row)
{
	KeySql		key;

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (fit_key(row) == KEY_GONE)
		return;
	key_sql(row, &key);
	if (!lineage_is_detaching(row->live))
		ddl_execute_query(key.owner, list_make2_oid(row->tracking, row->live),
						  psprintf("DELETE FROM ONLY %s t WHERE NOT EXISTS (SELECT FROM %s l WHERE %s)",
								   naming_quoted(row->tracking), leaf_rows_source(row->live), key.match));
	add_rows(row, &key, row->live, leaf_rows_source(row->live),
			 ADD_NOW, false);
	doubt_shared(row, &key);
}

/*
 * A row for each live row that has none, with an unknown start: whoever finds a key
 * that no tracking row has knows that no live row has it; and in a table without a
 * primary key what is known of a row is not taken for another's that has its key
 * (tracking_loose.c).
 */
void
tracking_complete(const RegistryRow *row)
{
	KeySql		key;

	/* where triggers of a partition are switched on, that is locked alone */
	Assert(get_rel_relkind(row->live) == RELKIND_PARTITIONED_TABLE ||
		   relation_is_locked(row->live, ShareRowExclusiveLock));
	key_sql(row, &key);
	add_rows(row, &key, row->live, leaf_rows_source(row->live),
			 ADD_UNKNOWN, false);
	doubt_shared(row, &key);
}

/*
 * A tracking table that can have but one row for a key, though several live rows
 * have it, as nobody has followed how the primary key went: that row is of none of them.
 */
static void
doubt_shared(const RegistryRow *row, const KeySql *key)
{
	if (!key->shared || indexes_tracking_is_loose(row->tracking))
		return;
	ddl_execute_query(key->owner, list_make2_oid(row->tracking, row->live),
					  psprintf("UPDATE ONLY %s t SET edition_time = %s "
							   "FROM (SELECT %s FROM %s r GROUP BY %s "
							   "HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1) l WHERE %s",
							   naming_quoted(row->tracking), UNKNOWN_START_SQL, key->read,
							   leaf_rows_source(row->live), key->read, key->match));
}

/*
 * Count the tracking rows without a live row, and the live rows without a
 * tracking row.
 */
void
tracking_count_differences(const RegistryRow *row, int64 *orphaned, int64 *missing)
{
	KeySql		key;
	int64		numbers[2];
	bool		detaching;

	key_sql(row, &key);
	detaching = lineage_is_detaching(row->live);
	ddl_query_numbers(key.owner, list_make2_oid(row->tracking, row->live),
					  psprintf("SELECT (SELECT pg_catalog.count(*) FROM ONLY %s t WHERE NOT EXISTS (SELECT FROM %s l WHERE %s)), "
							   "(SELECT pg_catalog.count(*) FROM (%s) l)",
							   naming_quoted(row->tracking), leaf_rows_source(row->live), key.match,
							   lacking_sql(row, &key, leaf_rows_source(row->live), "", ADD_UNKNOWN)),
					  numbers, lengthof(numbers));
	/* they may be a partition's that is being detached (tracking_sync) */
	*orphaned = detaching ? 0 : numbers[0];
	*missing = numbers[1];
}

/* Rows of a table that became a partition of the live one have appeared. */
void
tracking_add_from(const RegistryRow *row, Oid source)
{
	KeySql		key;

	Assert(relation_is_locked(source, ShareRowExclusiveLock));
	if (fit_key(row) == KEY_GONE)
		return;
	key_sql(row, &key);
	if (security_owner_of(source) == key.owner)
		add_rows(row, &key, source, psprintf("ONLY %s", naming_quoted(source)),
				 ADD_NOW, indexes_tracking_is_loose(row->tracking));
	else
		/* the live table's owner may read it through the live table only, and all of that */
		add_rows(row, &key, row->live,
				 psprintf("(SELECT * FROM %s r WHERE r.tableoid OPERATOR(pg_catalog.=) %u::pg_catalog.oid)",
						  leaf_rows_source(row->live), source),
				 ADD_NOW, indexes_tracking_is_loose(row->tracking));
}

/*
 * Take starts over from the tracking table of an older key.  kept: for each of that
 * one's columns the live column that has its values now, or NULL.
 *
 * With all of them, and no two rows alike, a row that had no start has none.
 * Otherwise each row gets one: as many live rows as tracking rows have the same
 * values, and these have one start, or it is unknown.
 */
void
tracking_carry_over(const RegistryRow *row, Oid old, List *kept)
{
	KeySql		key;
	Carrying	carrying = {row, old, kept};
	bool		whole = !list_member_ptr(kept, NULL) && !indexes_tracking_is_loose(old);

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	carry_columns(&carrying);
	key_sql(row, &key);
	if (carrying.n == 0)
		ddl_execute_query(key.owner, list_make2_oid(row->tracking, row->live),
						  psprintf("INSERT INTO %s (%s edition_time, txid) SELECT %s %s, 0 FROM %s l%s",
								   naming_quoted(row->tracking), key.columns, key.values,
								   UNKNOWN_START_SQL, leaf_rows_source(row->live), key.filter));
	else if (whole)
		ddl_execute_query(key.owner, list_make3_oid(row->tracking, row->live, old),
						  psprintf("INSERT INTO %s (%s edition_time, txid) "
								   "SELECT %s t.edition_time, t.txid FROM %s l JOIN ONLY %s t ON %s",
								   naming_quoted(row->tracking), key.columns, key.values,
								   leaf_rows_source(row->live), naming_quoted(old), carrying.match));
	else
		ddl_execute_query(key.owner, list_make3_oid(row->tracking, row->live, old),
						  psprintf("INSERT INTO %s (%s edition_time, txid) "
								   "SELECT %s CASE WHEN l.%s OPERATOR(pg_catalog.=) t.n AND t.first OPERATOR(pg_catalog.=) t.last "
								   "THEN t.first ELSE %s END, CASE WHEN l.%s OPERATOR(pg_catalog.=) t.n "
								   "AND t.txid OPERATOR(pg_catalog.=) t.other THEN t.txid ELSE 0 END FROM "
								   "(SELECT r.*, pg_catalog.count(*) OVER (PARTITION BY %s) AS %s FROM %s r) l "
								   "LEFT JOIN (SELECT %s pg_catalog.count(*) AS n, pg_catalog.min(o.edition_time) AS first, "
								   "pg_catalog.max(o.edition_time) AS last, pg_catalog.max(o.txid) AS txid, "
								   "pg_catalog.min(o.txid) AS other "
								   "FROM ONLY %s o GROUP BY %s) t ON %s%s",
								   naming_quoted(row->tracking), key.columns, key.values,
								   carrying.count, UNKNOWN_START_SQL, carrying.count,
								   carrying.live_columns, carrying.count, leaf_rows_source(row->live),
								   carrying.old_columns, naming_quoted(old),
								   carrying.group, carrying.match, key.filter));
}

/* The columns by which rows are found in the older tracking table, as SQL spells them. */
static void
carry_columns(Carrying *carrying)
{
	Relation	live = table_open(carrying->row->live, NoLock);
	int			n = list_length(carrying->kept);
	StringInfoData match;
	StringInfoData live_columns;
	StringInfoData old_columns;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&match);
	initStringInfo(&live_columns);
	initStringInfo(&old_columns);
	carrying->group = "";
	foreach(lc, carrying->kept)
	{
		char	   *held_by = naming_key_column(n, i++);
		Form_pg_attribute att = lfirst(lc) ? columns_find(live, lfirst(lc)) : NULL;

		if (att == NULL)
			continue;
		if (carrying->n++ > 0)
		{
			appendStringInfoString(&match, " AND ");
			appendStringInfoString(&live_columns, ", ");
		}
		key_match_append(&match, NULL, -1, att, carrying->old, held_by);
		appendStringInfo(&live_columns, "r.%s", quote_identifier(lfirst(lc)));
		appendStringInfo(&old_columns, "o.%s, ", held_by);
	}
	carrying->match = match.data;
	carrying->live_columns = live_columns.data;
	carrying->old_columns = old_columns.data;
	if (old_columns.len > 0)
		carrying->group = pnstrdup(old_columns.data, old_columns.len - 2);
	carrying->count = naming_free_column(carrying->row->live, InvalidOid, "catmaid_history_count",
										 false);
	table_close(live, NoLock);
}

/*
 * The key as SQL spells it, of the live table l and the tracking table t.  (Whoever makes
 * a partition of a partition has not locked the live table; the query will.)
 */
static void
key_sql(const RegistryRow *row, KeySql *key)
{
	Relation	live = table_open(row->live, AccessShareLock);
	int			n = list_length(row->key);
	StringInfoData columns;
	StringInfoData values;
	StringInfoData filter;
	StringInfoData read;
	StringInfoData held;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&columns);
	initStringInfo(&values);
	initStringInfo(&filter);
	initStringInfo(&read);
	initStringInfo(&held);
	key->shared = !OidIsValid(columns_primary_key_index(live));
	foreach(lc, row->key)
	{
		char	   *tracking_column = naming_key_column(n, i++);

		appendStringInfo(&columns, "%s, ", tracking_column);
		appendStringInfo(&values, "l.%s, ", quote_identifier(lfirst(lc)));
		appendStringInfo(&read, "%sr.%s", i == 1 ? "" : ", ", quote_identifier(lfirst(lc)));
		appendStringInfo(&held, "%so.%s", i == 1 ? "" : ", ", tracking_column);
		/* only a primary key has a value in every row */
		if (!OidIsValid(columns_primary_key_index(live)))
			appendStringInfo(&filter, "%s l.%s IS NOT NULL", i == 1 ? " WHERE" : " AND",
							 quote_identifier(lfirst(lc)));
		key->shared = key->shared && can_be_grouped(get_atttype(row->live, get_attnum(row->live, lfirst(lc))));
	}
	key->owner = live->rd_rel->relowner;
	key->match = tracking_match_sql(row, live);
	key->columns = columns.data;
	key->values = values.data;
	key->filter = filter.data;
	key->read = read.data;
	key->held = held.data;
	table_close(live, NoLock);
}

/* (A primary key may be by an operator class that is not the type's default.) */
static bool
can_be_grouped(Oid type)
{
	return OidIsValid(lookup_type_cache(getBaseType(type), TYPECACHE_LT_OPR)->lt_opr);
}

/* Rows of the source that have none; with "all" those that have one, too. */
static void
add_rows(const RegistryRow *row, const KeySql *key, Oid read, const char *source,
		 AddedStart start, bool all)
{
	uint64		added;

	added = ddl_execute_query(key->owner, list_make2_oid(row->tracking, read),
							  psprintf("INSERT INTO %s (%s edition_time, txid) %s",
									   naming_quoted(row->tracking), key->columns,
									   all ? psprintf("SELECT %s CURRENT_TIMESTAMP, OPERATOR(pg_catalog.-) pg_catalog.txid_current() FROM %s l%s",
													  key->values, source, key->filter) :
									   lacking_sql(row, key, source, key->values, start)));
	if (added > 0 && start == ADD_NOW)
		start_after_last_end(row, key);
}

/*
 * SELECT of the columns, a start and a transaction, of the source's rows for which there is
 * no tracking row.  Of live rows that have one key as many have none as are more
 * than the tracking rows with it; which ones is not known, nor is then their start.
 * Where the tracking table can have but one for them, they all have that.
 */
static char *
lacking_sql(const RegistryRow *row, const KeySql *key, const char *source,
			const char *columns, AddedStart start)
{
	static const char *const starts[] = {
		"CURRENT_TIMESTAMP, OPERATOR(pg_catalog.-) pg_catalog.txid_current()", UNKNOWN_START_SQL ", 0"
	};
	bool		loose = indexes_tracking_is_loose(row->tracking);
	char	   *number;

	if (!key->shared)
		return psprintf("SELECT %s %s FROM %s l%s NOT EXISTS (SELECT FROM ONLY %s t WHERE %s)",
						columns, starts[start], source,
						key->filter[0] == '\0' ? " WHERE" :
						psprintf("%s AND", key->filter),
						naming_quoted(row->tracking), key->match);

	number = naming_free_column(row->live, InvalidOid, "catmaid_history_number", false);
	return psprintf("SELECT %s %s FROM "
					"(SELECT %s, pg_catalog.row_number() OVER (PARTITION BY %s) AS %s FROM %s r) l "
					"LEFT JOIN (SELECT %s, pg_catalog.count(*) AS %s FROM ONLY %s o GROUP BY %s) t ON %s"
					"%s AND %s",
					columns,
					start == ADD_UNKNOWN ? starts[ADD_UNKNOWN] :
					psprintf("CASE WHEN t.%s IS NULL THEN CURRENT_TIMESTAMP ELSE %s END, "
							 "CASE WHEN t.%s IS NULL THEN OPERATOR(pg_catalog.-) pg_catalog.txid_current() ELSE 0 END",
							 number, UNKNOWN_START_SQL, number),
					key->read, key->read, number, source,
					key->held, number, naming_quoted(row->tracking), key->held, key->match,
					key->filter,
					loose ? psprintf("l.%s OPERATOR(pg_catalog.>) COALESCE(t.%s, 0)", number, number) :
					psprintf("l.%s OPERATOR(pg_catalog.=) 1 AND t.%s IS NULL", number, number));
}

/*
 * A key that comes back goes on where its last version ended, which may be later
 * than the begin of this transaction (history_last_end): tracking rows that it has made.
 */
static void
start_after_last_end(const RegistryRow *row, const KeySql *key)
{
	Relation	history;
	char	   *last_end = NULL;

	if (get_rel_name(row->history) == NULL)
		return;
	history = table_open(row->history, AccessShareLock);
	if (RelationGetNumberOfBlocks(history) > 0 || segments_of(row->history) != NIL)
		last_end = last_end_sql(row, history);
	table_close(history, NoLock);
	if (last_end)
		ddl_execute_query(key->owner, list_make2_oid(row->tracking, row->history),
						  psprintf("UPDATE ONLY %s t SET edition_time = %s "
								   "WHERE t.txid OPERATOR(pg_catalog.=) OPERATOR(pg_catalog.-) pg_catalog.txid_current() "
								   "AND t.edition_time OPERATOR(pg_catalog.<) %s",
								   naming_quoted(row->tracking), last_end, last_end));
}

/*
 * When the last version of the tracking row t's key ended, as SQL; NULL where history has
 * other types.
 */
static char *
last_end_sql(const RegistryRow *row, Relation history)
{
	int			n = list_length(row->key);
	StringInfoData match;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&match);
	foreach(lc, row->key)
	{
		char	   *name = naming_key_column(n, i++);
		Form_pg_attribute held = columns_find(history, lfirst(lc));
		AttrNumber	attnum = get_attnum(row->tracking, name);
		Oid			equal;
		Oid			type;
		int32		typmod;
		Oid			collation;

		if (held == NULL || attnum == InvalidAttrNumber)
			return NULL;
		get_atttypetypmodcoll(row->tracking, attnum, &type, &typmod, &collation);
		equal = columns_key_equality(NULL, -1, type);
		if (getBaseType(held->atttypid) != type || !key_match_can_be_written(equal, type))
			return NULL;
		if (match.len > 0)
			appendStringInfoString(&match, " AND ");
		name = psprintf("t.%s", name);
		if (held->attcollation != collation)
			name = psprintf("%s COLLATE %s", name, columns_collation_sql(held->attcollation));
		generate_operator_clause(&match, psprintf("h.%s", quote_identifier(lfirst(lc))),
								 held->atttypid, equal, name, type);
	}
	return psprintf("(SELECT pg_catalog.max(pg_catalog.upper(h.%s)) FROM %s h "
					"WHERE %s AND NOT pg_catalog.upper_inf(h.%s))",
					PERIOD_COLUMN, segments_source(row->history), match.data, PERIOD_COLUMN);
}

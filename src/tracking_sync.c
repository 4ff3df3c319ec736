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
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

/* see key_sql */
typedef struct KeySql
{
	Oid			owner;
	const char *only;
	char	   *match;
	char	   *columns;
	char	   *values;
} KeySql;

static void key_sql(const RegistryRow *row, KeySql *key);
static void add_rows(const RegistryRow *row, const KeySql *key, const char *source);
static bool can_be_written(Oid equal, Oid type);

/* The name of the i-th of n key columns in a tracking table; palloc'd. */
char *
tracking_key_column(int nkeys, int i)
{
	return nkeys == 1 ? pstrdup("live_pk") : psprintf("live_pk_%d", i + 1);
}

/*
 * Is the tracking table open in this session, or has it pending trigger events, so
 * that TRUNCATE of it would be refused?  Takes the lock that TRUNCATE takes.
 */
bool
tracking_is_in_use(Oid relid)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	bool		in_use = rel->rd_refcnt > 1 || AfterTriggerPendingOnRel(relid);

	table_close(rel, NoLock);
	return in_use;
}

/*
 * Empty a tracking or history table, as TRUNCATE ONLY does, without asking for
 * rights.  Triggers that a site has put on it fire as the current user.
 */
void
tracking_truncate(Oid relid)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	List	   *relids = list_make1_oid(relid);

	CheckTableNotInUse(rel, "TRUNCATE");
	ExecuteTruncateGutsCompat(list_make1(rel), relids,
							  RelationIsLogicallyLogged(rel) ? relids : NIL);
	table_close(rel, NoLock);
}

/*
 * Make the tracking table have one row for each live row: rows that appeared
 * get the current time, rows that went are removed, the others stay.
 *
 * The caller has locked the live table against writers.  Runs as the owner,
 * who may be subject to forced row security otherwise (security_act_as).
 */
void
tracking_sync(const RegistryRow *row)
{
	KeySql		key;

	key_sql(row, &key);
	ddl_execute_query(key.owner, list_make2_oid(row->tracking, row->live),
					  psprintf("DELETE FROM ONLY %s t WHERE NOT EXISTS (SELECT FROM %s%s l WHERE %s)",
							   naming_quoted(row->tracking), key.only,
							   naming_quoted(row->live), key.match));
	add_rows(row, &key, psprintf("%s%s", key.only, naming_quoted(row->live)));
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

	key_sql(row, &key);
	ddl_query_numbers(key.owner, list_make2_oid(row->tracking, row->live),
					  psprintf("SELECT (SELECT pg_catalog.count(*) FROM ONLY %s t WHERE NOT EXISTS (SELECT FROM %s%s l WHERE %s)), "
							   "(SELECT pg_catalog.count(*) FROM %s%s l WHERE NOT EXISTS (SELECT FROM ONLY %s t WHERE %s))",
							   naming_quoted(row->tracking), key.only,
							   naming_quoted(row->live), key.match, key.only,
							   naming_quoted(row->live),
							   naming_quoted(row->tracking), key.match),
					  numbers, lengthof(numbers));
	*orphaned = numbers[0];
	*missing = numbers[1];
}

/* Rows of a table that became a partition of the live one have appeared. */
void
tracking_add_from(const RegistryRow *row, Oid source)
{
	KeySql		key;

	key_sql(row, &key);
	/* through the live table: its owner need not own the partition */
	add_rows(row, &key,
			 psprintf("(SELECT * FROM %s r WHERE r.tableoid OPERATOR(pg_catalog.=) %u::pg_catalog.oid)",
					  naming_quoted(row->live), source));
}

/*
 * Take edition times over from the tracking table of an older key, where the
 * live table still has columns of the old key's names.  Values are compared as
 * text, since their type may have changed.  Returns whether every row of the
 * old table has found its live row.
 */
bool
tracking_carry_over(const RegistryRow *row, Oid old, List *old_key)
{
	KeySql		key;
	int64		carried;
	int64		were;
	StringInfoData match;
	ListCell   *lc;
	int			i = 0;

	if (old_key == NIL)
		return false;
	initStringInfo(&match);
	foreach(lc, old_key)
	{
		if (get_attnum(row->live, lfirst(lc)) == InvalidAttrNumber)
			return false;
		appendStringInfo(&match,
						 "%sl.%s::pg_catalog.text OPERATOR(pg_catalog.=) o.%s::pg_catalog.text",
						 i ? " AND " : "", quote_identifier(lfirst(lc)),
						 tracking_key_column(list_length(old_key), i));
		i++;
	}
	key_sql(row, &key);
	carried = ddl_execute_query(key.owner, list_make3_oid(row->tracking, row->live, old),
					  psprintf("INSERT INTO %s (%s edition_time, txid) "
							   "SELECT %s o.edition_time, o.txid FROM %s%s l JOIN ONLY %s o ON %s",
							   naming_quoted(row->tracking), key.columns, key.values,
							   key.only, naming_quoted(row->live),
							   naming_quoted(old), match.data));
	ddl_query_numbers(key.owner, list_make1_oid(old),
					  psprintf("SELECT pg_catalog.count(*) FROM ONLY %s",
							   naming_quoted(old)), &were, 1);
	return carried == were;
}

/*
 * "The live row l and the tracking row t have the same key", by the operators
 * of the primary key; palloc'd.
 */
char *
tracking_match_sql(const RegistryRow *row, Relation live)
{
	Relation	index;
	int			n = list_length(row->key);
	StringInfoData sql;
	ListCell   *lc;
	int			i = 0;

	columns_check_key(row, live);
	index = index_open(columns_primary_key_index(live), AccessShareLock);
	initStringInfo(&sql);
	foreach(lc, row->key)
	{
		Oid			equal;
		char	   *live_sql;
		char	   *tracking_sql;
		Form_pg_attribute att = columns_find(live, lfirst(lc));
		Oid			type;
		int32		typmod;

		columns_base_type(att, &type, &typmod);
		if (i > 0)
			appendStringInfoString(&sql, " AND ");
		equal = columns_key_equality(index, i, type);
		live_sql = psprintf("l.%s", quote_identifier(lfirst(lc)));
		tracking_sql = psprintf("t.%s", tracking_key_column(n, i));
		if (can_be_written(equal, type))
			generate_operator_clause(&sql, live_sql, att->atttypid, equal,
									 tracking_sql, type);
		else
			appendStringInfo(&sql, "%s(%s, %s)",
							 naming_quoted_function(get_opcode(equal)),
							 live_sql, tracking_sql);
		i++;
	}
	index_close(index, AccessShareLock);
	return sql.data;
}

/*
 * Does the operator's name, between values of the type, mean the operator?
 * Implicit casts of the type's owner may have made it ambiguous.
 */
static bool
can_be_written(Oid equal, Oid type)
{
	HeapTuple	form = SearchSysCache1(OPEROID, ObjectIdGetDatum(equal));
	HeapTuple	found;
	List	   *name;
	bool		same;

	if (!HeapTupleIsValid(form))
		elog(ERROR, "cache lookup failed for operator %u", equal);
	name = list_make2(makeString(get_namespace_name(((Form_pg_operator) GETSTRUCT(form))->oprnamespace)),
					  makeString(get_opname(equal)));
	ReleaseSysCache(form);

	if (OidIsValid(OpernameGetOprid(name, type, type)))
		return true;
	found = oper(NULL, name, type, type, true, -1);
	if (found == NULL)
		return false;
	same = oprid(found) == equal;
	ReleaseSysCache(found);
	return same;
}

/* The key as SQL spells it, of the live table l and the tracking table t. */
static void
key_sql(const RegistryRow *row, KeySql *key)
{
	Relation	live = table_open(row->live, NoLock);
	int			n = list_length(row->key);
	StringInfoData columns;
	StringInfoData values;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&columns);
	initStringInfo(&values);
	foreach(lc, row->key)
	{
		char	   *tracking_column = tracking_key_column(n, i++);

		appendStringInfo(&columns, "%s, ", tracking_column);
		appendStringInfo(&values, "l.%s, ", quote_identifier(lfirst(lc)));
	}
	key->owner = live->rd_rel->relowner;
	key->only = live->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ";
	key->match = tracking_match_sql(row, live);
	key->columns = columns.data;
	key->values = values.data;
	table_close(live, NoLock);
}

static void
add_rows(const RegistryRow *row, const KeySql *key, const char *source)
{
	ddl_execute_query(key->owner, list_make2_oid(row->tracking, row->live),
					  psprintf("INSERT INTO %s (%s edition_time, txid) "
							   "SELECT %s CURRENT_TIMESTAMP, pg_catalog.txid_current() FROM %s l "
							   "WHERE NOT EXISTS (SELECT FROM ONLY %s t WHERE %s)",
							   naming_quoted(row->tracking), key->columns,
							   key->values, source,
							   naming_quoted(row->tracking), key->match));
}

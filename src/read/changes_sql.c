/*
 * changes_sql.c
 *		What transactions did to the rows of a table, as a query.
 *
 * A version that a transaction has ended, and not made, is what it found ("pre"); one that
 * it has made, and not ended, is what it left ("post").  Both of one key: UPDATE; the first
 * alone: DELETE; the second alone: INSERT.  What it has made and ended nobody else saw.  So
 * nothing depends on the order of times, whatever overlapped.
 *
 * Where it is not known who made a version (it is older than start_transaction_id), the
 * next version is the one that begins when this one ends.  Likewise in a history that was
 * adopted, where who ended a version is not known.
 *
 * A row that gets another key is one that goes and one that comes: the two are one UPDATE
 * if they agree in all other columns, and there is one of each.  If one key is asked for,
 * the other half is sought among what the same transaction did.
 *
 * The query begins with what the arguments leave: by the indexes on exec_transaction_id and
 * sys_period, and from there by key.
 *
 * Order: what happened to one row comes in the order in which it did.  Times tell, but for
 * a version with an empty period, whose transaction was ended by one that had begun before:
 * what ended it comes after what made it, and so on back to a version that has a period
 * ("turn", and "depth" where that is equal).
 */
#include "postgres.h"

#include "catalog/pg_attribute.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "read/read.h"

/* how far back a row is followed; more are not made before the first of them is committed */
#define DEEPEST		"1000"

/* The parts of the query for a table. */
typedef struct Parts
{
	const ChangesSource *source;
	char	   *versions;		/* all of them */
	char	   *former;			/* that have ended */
	char	   *same_key;		/* pre and post are of one row */
	char	   *pre;			/* a version that a transaction has found */
	char	   *post;			/* that it has left */
	char	   *linked;			/* post is what has become of pre */
	char	   *pre_keys;		/* k1, k2, ..., of pre, with commas behind them */
	char	   *post_keys;
	char	   *key_json;		/* of c */
} Parts;

static void parts_of(const ChangesSource *source, Parts *parts);
static char *effects_sql(const Parts *parts, bool by_transaction, bool by_time, char **with);
static char *paired_sql(const Parts *parts, const char *events, bool by_key);
static char *found_asked_sql(bool by_transaction, bool by_time);
static char *left_asked_sql(const Parts *parts, bool by_transaction, bool by_time);
static char *all_events_sql(const Parts *parts, bool by_transaction, bool by_time);
static char *events_of_key_sql(const Parts *parts, bool by_transaction, bool by_time);
static char *found_sql(const Parts *parts, const char *condition);
static char *left_sql(const Parts *parts, const char *transactions, const char *condition);
static char *made_sql(const Parts *parts, const char *transactions);
static char *left_by_sql(const Parts *parts, const char *transactions);
static char *with_change_sql(const Parts *parts, const char *events);
static char *chain_sql(const Parts *parts);
static char *began_sql(const char *former, const char *transaction);
static char *earliest_sql(const char *former, const char *transaction);
static char *versions_sql(const ChangesSource *source, const char *rows);
static char *json_sql(List *names, List *expressions);
static char *key_given_sql(const ChangesSource *source, const char *versions);
static char *array_sql(List *names, List *but);

/*
 * The changes of the table: changed_at, t, tbl, change, key, old_r, new_r, turn, depth.
 * Parameters of the query: $2 and $3 the times, if by_time, $4 the transactions, $5 the key.
 * What the arguments rule out may still be in it, but for the key.
 */
char *
changes_table_sql(const ChangesSource *source, bool by_transaction, bool by_time, bool by_key)
{
	Parts		parts;
	char	   *effects;
	char	   *with = "";

	parts_of(source, &parts);
	by_transaction &= !source->ends_unknown;
	if (by_key)
		effects = paired_sql(&parts, events_of_key_sql(&parts, by_transaction, by_time), true);
	else
		effects = effects_sql(&parts, by_transaction, by_time, &with);

	/* (OFFSET 0: what has been computed is not to be written out wherever it is used) */
	return psprintf("%sSELECT i.changed_at, i.t, %u::pg_catalog.oid::pg_catalog.regclass AS tbl, i.change, i.key, i.old_r, i.new_r, "
					"GREATEST(i.changed_at, i.chain[1]::pg_catalog.timestamptz) AS turn, COALESCE(i.chain[2]::pg_catalog.int4, 0) AS depth "
					"FROM (SELECT h.*, %s AS chain, COALESCE(CASE WHEN h.old_r IS NOT NULL THEN pg_catalog.upper(h.old_p) "
					"ELSE pg_catalog.lower(h.new_p) END, %s, pg_catalog.lower(h.new_p)) AS changed_at "
					"FROM (%s) h OFFSET 0) i",
					with, source->relid, chain_sql(&parts), began_sql(parts.former, "h.t"), effects);
}

/*
 * The effects: t, new_p, new_r, change, key, old_r, old_p, before, k1, k2, ...  with: what is to
 * stand before the query.  Updates, mostly the greater part, do not go by paired_sql.
 */
static char *
effects_sql(const Parts *parts, bool by_transaction, bool by_time, char **with)
{
	char	   *keys = "";
	int			i;

	for (i = 1; i <= list_length(parts->source->key); i++)
		keys = psprintf("%s, c.k%d", keys, i);
	*with = psprintf("WITH found AS MATERIALIZED (%s) ", found_sql(parts, found_asked_sql(by_transaction, by_time)));
	return psprintf("SELECT c.t, c.new_p, c.new_r, 'UPDATE' AS change, %s AS key, c.own_r AS old_r, c.old_p, c.before%s "
					"FROM found c WHERE c.new_r IS NOT NULL UNION ALL %s",
					parts->key_json, keys,
					paired_sql(parts,
							   with_change_sql(parts, psprintf("SELECT * FROM found n WHERE n.new_r IS NULL UNION ALL %s",
															   left_asked_sql(parts, by_transaction, by_time))),
							   false));
}

/*
 * They, of events in which DELETE and INSERT of a row that has got another key are two.  If
 * a key is asked for, what is "mine", and what has become of that.
 *
 * The two are beside each other: DELETE comes before INSERT.  (The hash comes first, as it tells
 * most rows from others.)
 */
static char *
paired_sql(const Parts *parts, const char *events, bool by_key)
{
	char	   *keys = "";
	char	   *lag = "";
	int			i;

	for (i = 1; i <= list_length(parts->source->key); i++)
	{
		lag = psprintf("%s, pg_catalog.lag(e.k%d) OVER w AS other_k%d", lag, i, i);
		keys = psprintf("%s, CASE WHEN g.new_half THEN g.other_k%d ELSE g.k%d END AS k%d", keys, i, i, i);
	}
	return psprintf("SELECT g.t, g.new_p, g.new_r, CASE WHEN g.new_half THEN 'UPDATE' ELSE g.kind END AS change, "
					"CASE WHEN g.new_half THEN g.other_key ELSE g.own_key END AS key, "
					"CASE WHEN g.new_half THEN g.other_r ELSE g.own_r END AS old_r, "
					"CASE WHEN g.new_half THEN g.other_p ELSE g.old_p END AS old_p, "
					"CASE WHEN g.new_half THEN g.other_before ELSE g.before END AS before%s "
					"FROM (SELECT f.*, f.kind OPERATOR(pg_catalog.=) 'INSERT' AND f.n OPERATOR(pg_catalog.=) 2 AND f.other_r IS NOT NULL AND f.t IS NOT NULL AS new_half, "
					"f.kind OPERATOR(pg_catalog.=) 'DELETE' AND f.n OPERATOR(pg_catalog.=) 2 AND (f.following OPERATOR(pg_catalog.=) 'INSERT') IS TRUE AND f.t IS NOT NULL AS old_half FROM ("
					"SELECT e.*, pg_catalog.lag(e.own_r) OVER w AS other_r, pg_catalog.lag(e.own_key) OVER w AS other_key, pg_catalog.lag(e.old_p) OVER w AS other_p, "
					"pg_catalog.lag(e.before) OVER w AS other_before, pg_catalog.lead(e.kind) OVER w AS following%s%s, "
					"pg_catalog.count(*) OVER (PARTITION BY e.rest_hash, e.t, e.rest) AS n FROM (%s) e "
					"WINDOW w AS (PARTITION BY e.rest_hash, e.t, e.rest ORDER BY e.kind)) f) g WHERE NOT g.old_half%s",
					keys, by_key ? ", pg_catalog.lag(e.mine) OVER w AS other_mine" : "", lag, events,
					by_key ? " AND (g.mine OR (g.new_half AND g.other_mine))" : "");
}

static void
parts_of(const ChangesSource *source, Parts *parts)
{
	StringInfoData pre;
	StringInfoData post;
	StringInfoData linked;
	List	   *columns = NIL;
	int			i;

	parts->source = source;
	parts->versions = versions_sql(source, source->rows);
	parts->former = versions_sql(source, source->former);
	parts->same_key = changes_key_equal_sql(source->rel, source->key, "pre", "post");

	initStringInfo(&pre);
	initStringInfo(&post);
	initStringInfo(&linked);
	appendStringInfoString(&pre, "((pre.ender IS NOT NULL AND (pre.ender OPERATOR(pg_catalog.=) pre.maker) IS NOT TRUE "
						   "AND NOT (pre.maker IS NULL AND pg_catalog.isempty(pre.p)))");
	if (source->ends_unknown)
		appendStringInfoString(&pre, " OR (pre.ender IS NULL AND NOT pg_catalog.isempty(pre.p) AND NOT pg_catalog.upper_inf(pre.p))");
	appendStringInfoChar(&pre, ')');
	appendStringInfoString(&linked, "((post.maker OPERATOR(pg_catalog.=) pre.ender AND (post.ender OPERATOR(pg_catalog.=) post.maker) IS NOT TRUE) "
						   "OR (post.maker IS NULL AND NOT pg_catalog.isempty(post.p) AND pg_catalog.lower(post.p) OPERATOR(pg_catalog.=) pg_catalog.upper(pre.p))");
	if (source->ends_unknown)
		appendStringInfoString(&linked, " OR (pre.ender IS NULL AND NOT pg_catalog.isempty(post.p) AND pg_catalog.lower(post.p) OPERATOR(pg_catalog.=) pg_catalog.upper(pre.p))");
	appendStringInfoChar(&linked, ')');
	appendStringInfoString(&post, "post.maker IS NOT NULL AND (post.ender OPERATOR(pg_catalog.=) post.maker) IS NOT TRUE");
	if (source->since != 0)
		appendStringInfo(&post, " AND (pg_catalog.isempty(post.p) OR pg_catalog.lower(post.p) OPERATOR(pg_catalog.>=) '%s'::pg_catalog.timestamptz)",
						 timestamptz_to_str(source->since));
	parts->pre = pre.data;
	parts->post = post.data;
	parts->linked = linked.data;
	parts->pre_keys = parts->post_keys = "";
	for (i = 1; i <= list_length(source->key); i++)
	{
		parts->pre_keys = psprintf("%spre.k%d, ", parts->pre_keys, i);
		parts->post_keys = psprintf("%spost.k%d, ", parts->post_keys, i);
		columns = lappend(columns, psprintf("c.k%d", i));
	}
	parts->key_json = json_sql(source->key, columns);
}

static char *
all_events_sql(const Parts *parts, bool by_transaction, bool by_time)
{
	return psprintf("%s UNION ALL %s", found_sql(parts, found_asked_sql(by_transaction, by_time)),
					left_asked_sql(parts, by_transaction, by_time));
}

/*
 * What the arguments leave, by the indexes; the rest is done with the result.  (Of <@ 'empty'
 * BRIN knows which blocks have such, of = 'empty' it does not.)
 */
static char *
found_asked_sql(bool by_transaction, bool by_time)
{
	return psprintf("%s%s", by_transaction ? " AND pre.ender OPERATOR(pg_catalog.=) ANY ($4)" : "",
					by_time ? " AND (pre.p OPERATOR(pg_catalog.&&) pg_catalog.tstzrange($2 OPERATOR(pg_catalog.-) '1 us'::pg_catalog.interval, $3, '[]') "
					"OR pre.p OPERATOR(pg_catalog.<@) 'empty'::pg_catalog.tstzrange)" : "");
}

static char *
left_asked_sql(const Parts *parts, bool by_transaction, bool by_time)
{
	return left_sql(parts, by_transaction ? "$4" : NULL,
					by_time ? " AND (post.p OPERATOR(pg_catalog.&&) pg_catalog.tstzrange($2, $3, '[]') "
					"OR post.p OPERATOR(pg_catalog.<@) 'empty'::pg_catalog.tstzrange)" : "");
}

/*
 * What happened to the row with the key that is given ("mine"), and what the transactions
 * that took or gave it the key did to rows that are otherwise alike.  What they left is in
 * no index, so it is sought only if there may be something.
 */
static char *
events_of_key_sql(const Parts *parts, bool by_transaction, bool by_time)
{
	const char *transactions = "ARRAY(SELECT m.t FROM mine m WHERE m.kind OPERATOR(pg_catalog.<>) 'UPDATE' AND m.t IS NOT NULL)";
	const char *alike = "EXISTS (SELECT FROM mine m WHERE m.t OPERATOR(pg_catalog.=) o.t AND m.rest OPERATOR(pg_catalog.=) o.rest "
		"AND m.kind OPERATOR(pg_catalog.<>) 'UPDATE')";
	const char *other = key_given_sql(parts->source, "o");
	const char *mine = psprintf("SELECT * FROM (%s) o WHERE %s", all_events_sql(parts, by_transaction, by_time), other);
	const char *found = found_sql(parts, psprintf(" AND pre.ender OPERATOR(pg_catalog.=) ANY (%s)", transactions));
	const char *left = left_sql(parts, transactions,
								" AND (EXISTS (SELECT FROM mine m WHERE m.kind OPERATOR(pg_catalog.=) 'DELETE') OR EXISTS (SELECT FROM gone))");

	return psprintf("WITH mine AS MATERIALIZED (%s), "
					"gone AS MATERIALIZED (SELECT * FROM (%s) o WHERE o.kind OPERATOR(pg_catalog.=) 'DELETE' AND %s AND (%s) IS NOT TRUE), "
					"come AS (SELECT * FROM (%s) o WHERE %s AND (%s) IS NOT TRUE) "
					"SELECT *, true AS mine FROM mine UNION ALL SELECT *, false FROM gone UNION ALL SELECT *, false FROM come",
					with_change_sql(parts, mine), with_change_sql(parts, found), alike, other,
					with_change_sql(parts, left), alike, other);
}

/* What transactions have found, and what has become of it. */
static char *
found_sql(const Parts *parts, const char *condition)
{
	return psprintf("SELECT %s COALESCE(pre.ender, post.maker) AS t, pre.maker AS before, pre.p AS old_p, pre.r AS own_r, post.p AS new_p, post.r AS new_r "
					"FROM %s pre LEFT JOIN %s post ON %s AND %s WHERE %s%s",
					parts->pre_keys, parts->former, parts->versions, parts->same_key, parts->linked,
					parts->pre, condition);
}

/*
 * What they have left where they had found nothing; with "transactions", an array, only these.
 */
static char *
left_sql(const Parts *parts, const char *transactions, const char *condition)
{
	return psprintf("SELECT %s post.maker AS t, NULL::pg_catalog.int8 AS before, NULL::pg_catalog.tstzrange AS old_p, NULL::pg_catalog.jsonb AS own_r, post.p AS new_p, post.r AS new_r "
					"FROM %s post WHERE %s%s%s "
					"AND NOT EXISTS (SELECT FROM %s pre WHERE %s AND pre.ender OPERATOR(pg_catalog.=) post.maker AND (pre.maker OPERATOR(pg_catalog.=) pre.ender) IS NOT TRUE)%s",
					parts->post_keys, made_sql(parts, transactions), parts->post,
					transactions ? left_by_sql(parts, transactions) : "", condition,
					parts->former, parts->same_key,
					!parts->source->ends_unknown ? "" :
					psprintf(" AND NOT EXISTS (SELECT FROM %s pre WHERE %s AND pre.ender IS NULL "
							 "AND NOT pg_catalog.isempty(pre.p) AND pg_catalog.upper(pre.p) OPERATOR(pg_catalog.=) pg_catalog.lower(post.p))",
							 parts->former, parts->same_key));
}

/*
 * The versions of which it is known who made them.  Live rows are sought from the tracking table,
 * which is smaller, and may have an index of its owner's.
 */
static char *
made_sql(const Parts *parts, const char *transactions)
{
	const ChangesSource *source = parts->source;

	if (source->tracked == NULL)
		return parts->versions;
	return versions_sql(source, psprintf("%s UNION ALL %s%s", source->former, source->tracked,
										 transactions == NULL ? "" :
										 psprintf(" WHERE t." TRACKING_XID_COLUMN " OPERATOR(pg_catalog.=) ANY (%s)", transactions)));
}

/* Only what these transactions have left, which is not from before they began. */
static char *
left_by_sql(const Parts *parts, const char *transactions)
{
	return psprintf(" AND post.maker OPERATOR(pg_catalog.=) ANY (%s) AND (post.p OPERATOR(pg_catalog.&&) pg_catalog.tstzrange("
					"(SELECT CASE WHEN pg_catalog.bool_and(b.began IS NOT NULL) THEN pg_catalog.min(b.began) END "
					"FROM (SELECT %s AS began FROM pg_catalog.unnest(%s) t (t)) b), NULL) OR post.p OPERATOR(pg_catalog.<@) 'empty'::pg_catalog.tstzrange)",
					transactions, earliest_sql(parts->former, "t.t"), transactions);
}

/*
 * The events with what kind of change they are, the key as JSON, and what must be equal
 * where a row has got another key.
 */
static char *
with_change_sql(const Parts *parts, const char *events)
{
	List	   *but = list_concat_copy(parts->source->key, parts->source->silent);

	return psprintf("SELECT r.*, pg_catalog.jsonb_hash_extended(r.rest, 0) AS rest_hash FROM (SELECT q.*, "
					"CASE WHEN q.kind OPERATOR(pg_catalog.=) 'UPDATE' THEN q.own_key ELSE COALESCE(q.own_r, q.new_r) OPERATOR(pg_catalog.-) %s::pg_catalog.text[] END AS rest "
					"FROM (SELECT c.*, CASE WHEN c.own_r IS NULL THEN 'INSERT' WHEN c.new_r IS NULL THEN 'DELETE' ELSE 'UPDATE' END AS kind, "
					"%s AS own_key FROM (%s) c) q OFFSET 0) r",
					quote_literal_cstr(array_sql(but, NIL)), parts->key_json, events);
}

/*
 * Of the transactions that made what change h found, as far back as to a version that has a
 * period: when the last of them began, and how many there are, as text.  NULL if what it
 * found has one itself.
 */
static char *
chain_sql(const Parts *parts)
{
	return psprintf("CASE WHEN pg_catalog.isempty(h.old_p) THEN (WITH RECURSIVE c (maker, n) AS ("
					"SELECT h.before, 1 UNION ALL SELECT v.maker, c.n OPERATOR(pg_catalog.+) 1 FROM c, %s v WHERE %s "
					"AND v.ender OPERATOR(pg_catalog.=) c.maker AND v.maker OPERATOR(pg_catalog.<>) v.ender AND pg_catalog.isempty(v.p) "
					"AND c.n OPERATOR(pg_catalog.<) " DEEPEST ") "
					"SELECT ARRAY[pg_catalog.max(%s)::pg_catalog.text, pg_catalog.max(c.n)::pg_catalog.text] FROM c) END",
					parts->former,
					changes_key_equal_sql(parts->source->rel, parts->source->key, "v", "h"),
					began_sql(parts->former, "c.maker"));
}

/*
 * When a transaction began, by the versions of the table that it has ended; all of them tell
 * the same.  (After a restore into another cluster one id may be that of two.)
 */
static char *
began_sql(const char *former, const char *transaction)
{
	return psprintf("(SELECT pg_catalog.upper(x.p) FROM %s x WHERE x.ender OPERATOR(pg_catalog.=) %s "
					"AND NOT pg_catalog.isempty(x.p) LIMIT 1)", former, transaction);
}

/* The earliest time at which one of this id did, or NULL. */
static char *
earliest_sql(const char *former, const char *transaction)
{
	return psprintf("(SELECT pg_catalog.min(pg_catalog.upper(x.p)) FROM %s x "
					"WHERE x.ender OPERATOR(pg_catalog.=) %s)", former, transaction);
}

/* Versions of the table, of these rows: key, who ended and made it, its period, its row as JSON. */
static char *
versions_sql(const ChangesSource *source, const char *rows)
{
	StringInfoData keys;
	List	   *columns = NIL;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&keys);
	foreach(lc, source->key)
		appendStringInfo(&keys, "v.%s AS k%d, ", quote_identifier(lfirst(lc)), ++i);
	foreach(lc, source->columns)
		columns = lappend(columns, psprintf("v.%s", quote_identifier(lfirst(lc))));
	return psprintf("(SELECT %sv.%s AS ender, v.%s AS maker, v.%s AS p, %s AS r FROM (%s) v)",
					keys.data, XID_COLUMN, MAKER_COLUMN, PERIOD_COLUMN,
					json_sql(source->columns, columns), rows);
}

/* A JSON object of these names and expressions; to_jsonb of a row of them would be a sub-select. */
static char *
json_sql(List *names, List *expressions)
{
	StringInfoData sql;
	ListCell   *name;
	ListCell   *expression;
	int			n = 0;

	initStringInfo(&sql);
	forboth(name, names, expression, expressions)
	{
		/* a function has so many arguments at most */
		if (n > 0 && n % (FUNC_MAX_ARGS / 2) == 0)
			appendStringInfoString(&sql, ") OPERATOR(pg_catalog.||) ");
		appendStringInfo(&sql, "%s%s, %s", n % (FUNC_MAX_ARGS / 2) == 0 ? "pg_catalog.jsonb_build_object(" : ", ",
						 quote_literal_cstr(lfirst(name)), (char *) lfirst(expression));
		n++;
	}
	appendStringInfoChar(&sql, ')');
	return psprintf("(%s)", sql.data);
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
key_given_sql(const ChangesSource *source, const char *versions)
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

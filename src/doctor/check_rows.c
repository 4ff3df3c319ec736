/*
 * check_rows.c
 *		What is wrong with the rows of a tracking table or a history.
 *
 * Rows are counted by SQL, as the live table's owner.  Nothing is locked but what is
 * read (ACCESS SHARE).
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "doctor/doctor.h"

static bool can_be_sorted(Oid history, const char *column);
static char *live_rows_sql(Check *check, Relation live);
static bool live_rows_comparable(Check *check, Relation live);
static void check_future(Check *check, const char *versions, int64 ends, int64 starts);

/* Check that the tracking rows agree with the live rows, and lie in the past. */
void
check_tracking_rows(Check *check)
{
	char	   *tracking = naming_quoted(check->row->tracking);
	int64		orphaned;
	int64		missing;
	int64		ahead;

	tracking_count_differences(check->row, &orphaned, &missing);
	if (orphaned > 0)
		check_finding(check, "warning", "tracking_rows_orphaned",
					  get_rel_name(check->row->tracking), check_repair_hint(check),
					  INT64_FORMAT " tracking rows have no live row.", orphaned);
	if (missing > 0)
		check_finding(check, "warning", "tracking_rows_missing",
					  get_rel_name(check->row->tracking), check_repair_hint(check),
					  INT64_FORMAT " live rows have no tracking row, so their start time is unknown.",
					  missing);

	ddl_query_numbers(security_owner_of(check->row->live), list_make1_oid(check->row->tracking),
					  psprintf("SELECT pg_catalog.count(*) FROM ONLY %s t"
							   " WHERE t.%s OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
							   tracking, EDITION_COLUMN),
					  &ahead, 1);
	if (ahead > 0)
		check_finding(check, "warning", "starts_in_future", EDITION_COLUMN,
					  psprintf("UPDATE %s SET %s = CURRENT_TIMESTAMP WHERE %s > CURRENT_TIMESTAMP;",
							   tracking, EDITION_COLUMN, EDITION_COLUMN),
					  INT64_FORMAT " live rows begin in the future, as after a clock that was ahead: until then no query as of a time finds them.",
					  ahead);
}

/*
 * Check that the periods of all rows of the history table itself make sense, by themselves
 * and beside the live rows.
 */
void
check_periods(Check *check, Relation live)
{
	enum
	{
		ENDLESS, EMPTY, OVERLAPPING, LIVE_OVERLAPPING, ENDS_AHEAD, STARTS_AHEAD, ALL, N
	};
	const char *history = naming_quoted(check->row->history);
	const char *source = segments_source(check->row->history);
	List	   *relids = list_make2_oid(check->row->history, check->row->live);
	StringInfoData key;
	StringInfoData keyless;
	const char *before = "false";	/* the key was another one */
	ListCell   *lc;
	int64		counts[N];

	initStringInfo(&key);
	initStringInfo(&keyless);
	if (check->row->key_since != 0)
		before = psprintf("COALESCE(pg_catalog.upper(h.%s) OPERATOR(pg_catalog.<=) %s::pg_catalog.timestamptz, false)",
						  PERIOD_COLUMN,
						  quote_literal_cstr(timestamptz_to_str(check->row->key_since)));
	foreach(lc, check->row->key)
	{
		if (!can_be_sorted(check->row->history, lfirst(lc)))
			return;
		appendStringInfo(&key, "h.%s, ", quote_identifier(lfirst(lc)));
		/* nothing says that versions without a key are of one row, nor what an unknown start is */
		appendStringInfo(&keyless, " OR h.%s IS NULL", quote_identifier(lfirst(lc)));
	}

	if (OidIsValid(check->row->tracking) && live_rows_comparable(check, live))
		relids = lappend_oid(relids, check->row->tracking);

	/* of rows in the order of their starts, neighbours overlap if any do */
	ddl_query_numbers(security_owner_of(check->row->live), relids,
					  psprintf("SELECT pg_catalog.count(*) FILTER (WHERE NOT is_live AND pg_catalog.upper_inf(p)), "
							   "pg_catalog.count(*) FILTER (WHERE NOT is_live AND pg_catalog.isempty(p)), "
							   "pg_catalog.count(*) FILTER (WHERE NOT is_live AND NOT live_follows AND p OPERATOR(pg_catalog.&&) following), "
							   "pg_catalog.count(*) FILTER (WHERE NOT is_live AND live_follows AND NOT pg_catalog.upper_inf(p) AND p OPERATOR(pg_catalog.&&) following), "
							   "pg_catalog.count(*) FILTER (WHERE NOT is_live AND pg_catalog.upper(p) OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()), "
							   "pg_catalog.count(*) FILTER (WHERE is_live AND pg_catalog.lower(p) OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()), "
							   "pg_catalog.count(*) FILTER (WHERE NOT is_live) FROM "
							   "(SELECT h.%s AS p, h.is_live, CASE WHEN %s OR pg_catalog.lower_inf(h.%s)%s THEN NULL "
							   "ELSE pg_catalog.lead(h.%s) OVER w END AS following, "
							   "pg_catalog.lead(h.is_live) OVER w AS live_follows FROM "
							   "(SELECT %s h.%s, false AS is_live FROM %s h UNION ALL %s) h "
							   "WINDOW w AS (PARTITION BY %s %s, pg_catalog.isempty(h.%s), pg_catalog.lower_inf(h.%s) "
							   "ORDER BY pg_catalog.lower(h.%s), h.is_live)) periods",
							   PERIOD_COLUMN, before, PERIOD_COLUMN, keyless.data, PERIOD_COLUMN, key.data,
							   PERIOD_COLUMN, source, live_rows_sql(check, live), key.data, before,
							   PERIOD_COLUMN, PERIOD_COLUMN, PERIOD_COLUMN),
					  counts, N);
	if (counts[ENDLESS] > 0)
		check_finding(check, "warning", "periods_without_end", PERIOD_COLUMN,
					  "Only someone who knows when these versions ended can correct them.",
					  INT64_FORMAT " versions in %s have a period without an end, as if they were live.",
					  counts[ENDLESS], history);
	if (counts[OVERLAPPING] > 0)
		check_finding(check, "warning", "periods_overlap", PERIOD_COLUMN,
					  "Only someone who knows which version was valid at which time can correct them.",
					  INT64_FORMAT " versions in %s overlap with the next version of their row.",
					  counts[OVERLAPPING], history);
	/* a time column is the application's, which need not move it on */
	if (counts[LIVE_OVERLAPPING] > 0 && OidIsValid(check->row->tracking))
		check_finding(check, "warning", "periods_overlap_live", PERIOD_COLUMN,
					  "Only someone who knows when these versions ended can correct them.",
					  INT64_FORMAT " versions in %s overlap with the live row, so that a query as of such a time finds both.",
					  counts[LIVE_OVERLAPPING], history);
	check_future(check, history, counts[ENDS_AHEAD],
				 OidIsValid(check->row->tracking) ? 0 : counts[STARTS_AHEAD]);
	if (counts[ALL] > 0 && counts[EMPTY] == counts[ALL])
		check_finding(check, "info", "periods_all_empty", PERIOD_COLUMN, NULL,
					  "All " INT64_FORMAT " versions in %s have an empty period: no query as of a time finds them.",
					  counts[ALL], history);
}

/*
 * The live rows in the shape of versions: the key, the period, and true.  Those of a
 * table that is not tracked, or not by this key, say nothing.
 */
static char *
live_rows_sql(Check *check, Relation live)
{
	const RegistryRow *row = check->row;
	const char *from = psprintf("%s l", leaf_rows_source(row->live));
	bool		comparable = live_rows_comparable(check, live);
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	foreach(lc, row->key)
	{
		AttrNumber	attnum = get_attnum(row->history, lfirst(lc));

		if (comparable)
			appendStringInfo(&sql, "l.%s, ", quote_identifier(lfirst(lc)));
		else
			appendStringInfo(&sql, "NULL::%s, ",
							 format_type_extended(get_atttype(row->history, attnum), -1,
												  FORMAT_TYPE_FORCE_QUALIFY));
	}
	if (!comparable)
		appendStringInfo(&sql, "NULL::pg_catalog.tstzrange, true FROM %s WHERE false", from);
	else if (OidIsValid(row->tracking))
		appendStringInfo(&sql, "pg_catalog.tstzrange(NULLIF(t.%s, '-infinity'::pg_catalog.timestamptz), NULL), true FROM %s JOIN ONLY %s t ON %s",
						 EDITION_COLUMN, from, naming_quoted(row->tracking),
						 tracking_match_sql(row, live));
	else
		appendStringInfo(&sql, "pg_catalog.tstzrange(l.%s, NULL), true FROM %s WHERE l.%s IS NOT NULL",
						 quote_identifier(row->time_column), from,
						 quote_identifier(row->time_column));
	return sql.data;
}

static bool
live_rows_comparable(Check *check, Relation live)
{
	const RegistryRow *row = check->row;
	ListCell   *lc;

	if (!check->tracked || check->legacy)
		return false;
	foreach(lc, row->key)
	{
		Form_pg_attribute att = columns_find(live, lfirst(lc));
		Oid			type;
		int32		typmod;
		Oid			collation;

		get_atttypetypmodcoll(row->history, get_attnum(row->history, lfirst(lc)),
							  &type, &typmod, &collation);
		if (att == NULL || getBaseType(att->atttypid) != type || att->attcollation != collation)
			return false;
	}
	if (OidIsValid(row->tracking))
		return get_rel_name(row->tracking) && derived_serves_tracking(row->tracking) &&
			fit_is_right(row);
	return fit_time_columns(live, row->time_column, row->txid_column) == NIL;
}

static void
check_future(Check *check, const char *history, int64 ends, int64 starts)
{
	if (ends > 0)
		check_finding(check, "warning", "ends_in_future", PERIOD_COLUMN,
					  psprintf("If they have ended: UPDATE %s SET %s = tstzrange(LEAST(lower(%s), CURRENT_TIMESTAMP), CURRENT_TIMESTAMP) WHERE upper(%s) > CURRENT_TIMESTAMP;",
							   history, PERIOD_COLUMN, PERIOD_COLUMN, PERIOD_COLUMN),
					  INT64_FORMAT " versions in %s end in the future, as after a clock that was ahead: a query as of now finds them.",
					  ends, history);
	if (starts > 0)
		check_finding(check, "warning", "starts_in_future", check->row->time_column,
					  "The time column is the application's: set it to the time of the last change.",
					  INT64_FORMAT " live rows begin in the future, as after a clock that was ahead: until then no query as of a time finds them.",
					  starts);
}

static bool
can_be_sorted(Oid history, const char *column)
{
	AttrNumber	attnum = get_attnum(history, column);

	return attnum != InvalidAttrNumber &&
		OidIsValid(lookup_type_cache(get_atttype(history, attnum),
									 TYPECACHE_LT_OPR)->lt_opr);
}

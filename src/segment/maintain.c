/*
 * maintain.c
 *		How long a history is kept, and in what pieces: set_history_retention(), and
 *		maintain_history(), which sees to it.
 *
 * maintain_history() is meant to be called again and again.  For each table that somebody has
 * said something of and that the caller owns it verifies the bounds of segments, rotates what is
 * due, drops segments whose versions all ended longer ago than they are kept, and of histories
 * that are not cut deletes such versions.  Each step is a transaction of its own, if the
 * procedure is not called in one; what cannot be done, as the table is in use, is told in a
 * WARNING and tried again the next time.  Each step looks again at what is due when it has
 * its locks, so two of them at a time do nothing twice.
 *
 * Locks: see rotate.c; ACCESS EXCLUSIVE on a segment that is dropped, SHARE UPDATE EXCLUSIVE
 * on one that is verified, ROW EXCLUSIVE on a history whose versions are deleted.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "segment/segment.h"
#include "compat.h"

typedef struct Retention
{
	Oid			live;
	Interval   *keep;			/* or NULL: for ever */
	Interval   *segment;		/* or NULL: in one piece */
} Retention;

/* One thing to be done for a table, in a transaction. */
typedef struct Step
{
	const Retention *retention;
	void		(*act) (const Retention *retention);
	const char *name;
} Step;

static List *retentions(void);
static List *with_copies(List *all);
static char *interval_sql(FunctionCallInfo fcinfo, int i);
static bool is_positive(Interval *interval);
static TimestampTz ago(Interval *interval);
static void take_step(void *arg);
static void verify_segments(const Retention *retention);
static void verify_segment(void *arg);
static void bound_anew(void *arg);
static bool lock_segment(Segment *segment, LOCKMODE mode);
static void tell_failure(const Retention *retention, const char *step, const char *message);
static void rotate_if_due(const Retention *retention);
static bool is_due(const RegistryRow *row, Interval *every);
static void drop_expired(const Retention *retention);
static void remove_copies(const Retention *retention);
static void begins_no_sooner(const RegistryRow *row, TimestampTz time);
static bool has_expired(const RegistryRow *row, TimestampTz until);
static void delete_expired(const Retention *retention);
static RegistryRow *history_of(const Retention *retention);

PG_FUNCTION_INFO_V1(catmaid_history_set_retention);
PG_FUNCTION_INFO_V1(catmaid_history_maintain);

/* set_history_retention(live_table, keep, segment) */
Datum
catmaid_history_set_retention(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);
	Oid			table = retention_relid();
	char	   *keep = interval_sql(fcinfo, 1);
	char	   *segment = interval_sql(fcinfo, 2);

	api_lock_table(live, ShareUpdateExclusiveLock, 0);
	(void) api_require_history(live, ERRCODE_UNDEFINED_OBJECT);
	(void) ddl_execute_query(BOOTSTRAP_SUPERUSERID, list_make1_oid(table),
							 psprintf("DELETE FROM %s r WHERE r.live_table::pg_catalog.oid OPERATOR(pg_catalog.=) %u",
									  naming_quoted(table), live));
	if (keep || segment)
		(void) ddl_execute_query(BOOTSTRAP_SUPERUSERID, list_make1_oid(table),
								 psprintf("INSERT INTO %s (live_table, keep, segment) VALUES (%u::pg_catalog.oid::pg_catalog.regclass, "
										  "%s::pg_catalog.interval, %s::pg_catalog.interval)",
										  naming_quoted(table), live, keep ? keep : "NULL",
										  segment ? segment : "NULL"));
	PG_RETURN_VOID();
}

/* CALL maintain_history() */
Datum
catmaid_history_maintain(PG_FUNCTION_ARGS)
{
	static const Step steps[] = {
		{NULL, verify_segments, "verifying segments"},
		{NULL, rotate_if_due, "rotating"},
		{NULL, verify_segments, "verifying segments"},
		{NULL, drop_expired, "dropping segments"},
		{NULL, delete_expired, "deleting versions"},
		{NULL, remove_copies, "removing what is no segment any more"},
	};
	bool		atomic = !(fcinfo->context && IsA(fcinfo->context, CallContext) &&
						   !((CallContext *) fcinfo->context)->atomic);
	ListCell   *lc;
	int			i;

	SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
	foreach(lc, with_copies(retentions()))
	{
		Retention  *retention = lfirst(lc);

		if (get_rel_name(retention->live) == NULL ||
			!relation_ownercheck_compat(retention->live, GetUserId()))
			continue;
		for (i = 0; i < lengthof(steps); i++)
		{
			Step		step = steps[i];
			char	   *message;

			step.retention = retention;
			PushActiveSnapshot(GetTransactionSnapshot());
			message = attempt_for_one(take_step, &step);
			if (message)
				tell_failure(retention, step.name, message);
			PopActiveSnapshot();
			if (!atomic)
				SPI_commit();
		}
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* And the tables of which nobody has said anything, but copies are to be removed. */
static List *
with_copies(List *all)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, registry_all())
	{
		RegistryRow *row = lfirst(lc);
		Retention  *retention;
		bool		there = false;

		foreach(lc2, all)
			there = there || ((Retention *) lfirst(lc2))->live == row->live;
		if (there || get_rel_name(row->history) == NULL || left_of(row->history) == NIL)
			continue;
		retention = palloc0(sizeof(Retention));
		retention->live = row->live;
		all = lappend(all, retention);
	}
	return all;
}

static void
tell_failure(const Retention *retention, const char *step, const char *message)
{
	ereport(WARNING,
			(errmsg("maintaining the history of table %s: %s failed",
					naming_quoted(retention->live), step),
			 errdetail("%s", message),
			 errhint("It is tried again by the next call.")));
}

static void
take_step(void *arg)
{
	Step	   *step = arg;

	step->act(step->retention);
}

/* What has been said of tables, by their OIDs. */
static List *
retentions(void)
{
	Relation	rel = table_open(retention_relid(), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *all = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Retention  *retention = palloc0(sizeof(Retention));
		bool		isnull;
		Datum		value = heap_getattr(tuple, ANUM_RETENTION_LIVE, desc, &isnull);

		if (isnull)
			continue;
		retention->live = DatumGetObjectId(value);
		value = heap_getattr(tuple, ANUM_RETENTION_KEEP, desc, &isnull);
		if (!isnull)
			retention->keep = memcpy(palloc(sizeof(Interval)), DatumGetIntervalP(value), sizeof(Interval));
		value = heap_getattr(tuple, ANUM_RETENTION_SEGMENT, desc, &isnull);
		if (!isnull)
			retention->segment = memcpy(palloc(sizeof(Interval)), DatumGetIntervalP(value), sizeof(Interval));
		all = lappend(all, retention);
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	return all;
}

/* The argument as a literal, or NULL; an error unless it is a time to come. */
static char *
interval_sql(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i))
		return NULL;
	if (!is_positive(PG_GETARG_INTERVAL_P(i)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("how long a history is kept, and in what pieces, must be positive intervals"),
				 errhint("Pass them like '10 years' and '1 month'; NULL means for ever, and in one piece.")));
	return quote_literal_cstr(DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(i))));
}

static bool
is_positive(Interval *interval)
{
	Interval	none = {0};

	return DatumGetBool(DirectFunctionCall2(interval_gt, IntervalPGetDatum(interval),
											IntervalPGetDatum(&none)));
}

static TimestampTz
ago(Interval *interval)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()),
												   IntervalPGetDatum(interval)));
}

/* The registry's row, if there is a sound one, and the history is there; else NULL. */
static RegistryRow *
history_of(const Retention *retention)
{
	RegistryRow *row = get_rel_name(retention->live) ? registry_get(retention->live) : NULL;

	return row && registry_is_sound(row, security_owner_of(row->live)) &&
		get_rel_name(row->history) ? row : NULL;
}

/* That all versions had ended by then is found true, or made true, of each segment by itself. */
static void
verify_segments(const Retention *retention)
{
	RegistryRow *row = retention->keep || retention->segment ? history_of(retention) : NULL;
	ListCell   *lc;

	foreach(lc, row ? segments_of(row->history) : NIL)
	{
		Segment    *segment = lfirst(lc);
		char	   *message;

		if (segment->verified || segment->bound == DT_NOEND || OidIsValid(segment->server) ||
			attempt_for_one(verify_segment, segment) == NULL)
			continue;
		message = attempt_for_one(bound_anew, segment);
		if (message)
			tell_failure(retention, psprintf("verifying segment %s", naming_quoted(segment->relid)),
						 message);
	}
}

static void
verify_segment(void *arg)
{
	Segment    *segment = arg;

	if (lock_segment(segment, ShareUpdateExclusiveLock))
		ddl_alter_table(segment->relid, false, "VALIDATE CONSTRAINT " SEGMENT_CONSTRAINT);
}

/* Versions ended later than the clock said: the bound is what they say. */
static void
bound_anew(void *arg)
{
	Segment    *segment = arg;
	TimestampTz last;

	if (!lock_segment(segment, AccessExclusiveLock))
		return;
	last = rows_last_end(segment->relid);
	ddl_alter_table(segment->relid, false,
					psprintf("DROP CONSTRAINT %s, %s", SEGMENT_CONSTRAINT,
							 segments_constraint_sql(Max(last, segment->bound))));
	ddl_alter_table(segment->relid, false, "VALIDATE CONSTRAINT " SEGMENT_CONSTRAINT);
}

/*
 * Lock the segment.  Returns false if it is none of this history's any more, or needs
 * nothing: whoever owns it may have changed it meanwhile.
 */
static bool
lock_segment(Segment *segment, LOCKMODE mode)
{
	Oid			history = segment->history;

	patience_lock(segment->relid, mode);
	return segments_read(segment->relid, segment) && segment->history == history &&
		!segment->verified && segment->bound != DT_NOEND && derived_is_history(segment->relid);
}

static void
rotate_if_due(const Retention *retention)
{
	RegistryRow *row = history_of(retention);

	if (row == NULL || retention->segment == NULL || !is_due(row, retention->segment))
		return;
	row = rotate_lock(retention->live);
	if (is_due(row, retention->segment))
		(void) rotate(row);
}

/* Returns true if the history has been going on for so long, and is not empty. */
static bool
is_due(const RegistryRow *row, Interval *every)
{
	TimestampTz since = row->created;
	Relation	rel;
	bool		empty;
	ListCell   *lc;

	/* a bound to come is of versions that end then: no time of a rotation */
	foreach(lc, segments_of(row->history))
		if (((Segment *) lfirst(lc))->bound <= GetCurrentTimestamp())
			since = Max(since, ((Segment *) lfirst(lc))->bound);
	if (since > ago(every))
		return false;
	rel = table_open(row->history, AccessShareLock);
	empty = RelationGetNumberOfBlocks(rel) == 0;
	table_close(rel, NoLock);
	return !empty;
}

/* Segments all of whose versions ended longer ago. */
static void
drop_expired(const Retention *retention)
{
	RegistryRow *row = history_of(retention);
	TimestampTz	until;
	ListCell   *lc;

	if (row == NULL || retention->keep == NULL)
		return;
	until = ago(retention->keep);
	if (!has_expired(row, until))
		return;
	api_lock_table(row->live, ShareUpdateExclusiveLock, 0);
	row = history_of(retention);
	foreach(lc, row ? segments_of(row->history) : NIL)
	{
		Segment    *segment = lfirst(lc);
		Segment		now;

		if (!segment->verified || segment->bound >= until)
			continue;
		if (OidIsValid(segment->server))
			patience_lock_all(list_make2_oid(row->history, segment->relid), AccessExclusiveLock);
		else
			patience_lock(segment->relid, AccessExclusiveLock);
		if (segments_read(segment->relid, &now) && now.history == row->history && now.verified &&
			now.bound < until && now.server == segment->server)
		{
			/* one on another server goes there only when it is certain that it is no history any more */
			if (OidIsValid(now.server))
				left_take_off(segment->relid, row->history);
			else
				catalog_drop(RelationRelationId, segment->relid, false);
			begins_no_sooner(row, now.bound);
		}
	}
}

/* What moves of segments have left, and those that were taken off, here and on other servers. */
static void
remove_copies(const Retention *retention)
{
	RegistryRow *row = history_of(retention);

	if (row && left_of(row->history) != NIL && left_lock(row->history, false))
		far_table_remove_copies(row->history);
}

/* What had ended before the time is gone from it. */
static void
begins_no_sooner(const RegistryRow *row, TimestampTz time)
{
	if (time > reach_begin(row))
		reach_begin_at(row, time);
}

static bool
has_expired(const RegistryRow *row, TimestampTz until)
{
	ListCell   *lc;

	foreach(lc, segments_of(row->history))
		if (((Segment *) lfirst(lc))->verified && ((Segment *) lfirst(lc))->bound < until)
			return true;
	return false;
}

/* Of a history that is not cut. */
static void
delete_expired(const Retention *retention)
{
	RegistryRow *row = history_of(retention);
	TimestampTz until;

	if (row == NULL || retention->keep == NULL || retention->segment != NULL)
		return;
	until = ago(retention->keep);
	api_lock_table(row->live, ShareUpdateExclusiveLock, 0);
	row = history_of(retention);
	if (row && rows_delete_ended(row->history, until) > 0)
		begins_no_sooner(row, until);
}

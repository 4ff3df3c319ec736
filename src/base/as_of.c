/*
 * as_of.c
 *		Which instant queries of this session see: the setting catmaid_history.as_of.
 *
 * What is in force is not always what is set:
 *
 *	- Code that acts with other rights than those of the role that has set the instant sees the
 *	  present (as_of_begin_present): rights do not travel in time.  A value that is set
 *	  within is in force there, and one that was set outside is not; so each value
 *	  remembers how deep in such code it was set.
 *	- A query goes on in the instant for which it was planned, whatever has been set since
 *	  it began (as_of_run_in); what is set while it runs is in force for others.
 *	- Referential integrity, and what the extension itself does as a table's owner, sees
 *	  the present.  Both are told by SECURITY_NOFORCE_RLS, which nothing else sets.
 *
 * Plans are made for one instant.  So whenever another one comes into force, all plans of
 * the session are discarded (as with session_replication_role).
 *
 * A value that is typed is read at once, and kept in UTC, as parallel workers read it again.
 * One that comes with the connection, or from a configuration, is read when the first query
 * is planned: the time zone is known by then, and a wrong one must end in an error, where
 * PostgreSQL would warn and go on with the present.
 *
 * No locks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "compat.h"

static const struct config_enum_entry incomplete_options[] = {
	{"error", AS_OF_INCOMPLETE_ERROR, false},
	{"warning", AS_OF_INCOMPLETE_WARNING, false},
	{NULL, 0, false}
};

static const struct config_enum_entry untracked_options[] = {
	{"present", AS_OF_UNTRACKED_PRESENT, false},
	{"error", AS_OF_UNTRACKED_ERROR, false},
	{NULL, 0, false}
};

/* What PostgreSQL keeps with each value of the setting. */
typedef struct AsOfValue
{
	bool		set;			/* or else the present */
	bool		known;			/* instant is, or that there is none: bad */
	bool		bad;
	bool		fixed;			/* every session reads it alike */
	TimestampTz instant;
	int			depth;			/* in which it was set */
	uint64		number;			/* no two have the same */
} AsOfValue;

static char *as_of_text;
static int	as_of_incomplete = AS_OF_INCOMPLETE_ERROR;
static int	as_of_untracked = AS_OF_UNTRACKED_PRESENT;

static AsOfValue *value = NULL;
static uint64 last_number = 0;
static bool ever_set = false;

/* how many functions and commands that see the present are under way, one in another */
static int	present_depth = 0;

/*
 * The queries that are running, the innermost last, of the transaction that has this id.  Those that an
 * error has ended are taken away when its (sub)transaction is over, or by the query around.
 */
static AsOfRun *runs = NULL;
static int	nruns = 0;
static int	runs_size = 0;
static LocalTransactionId runs_of = InvalidLocalTransactionId;

as_of_may_change_type as_of_may_change = NULL;
void		(*as_of_at_first) (void) = NULL;

static void refuse_late(void);
static bool check_as_of(char **text, void **extra, GucSource source);
static void assign_as_of(const char *text, void *extra);
static bool read_instant(const char *text, TimestampTz *instant, bool *fixed);
static bool in_force(TimestampTz *instant);
static void runs_grow(void);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);
static void plans_are_for(bool past, TimestampTz instant);

void
as_of_init(void)
{
	refuse_late();
	DefineCustomStringVariable("catmaid_history.as_of",
							   "The instant that queries on tracked tables see; empty: the present.",
							   NULL, &as_of_text, "", PGC_USERSET, 0,
							   check_as_of, assign_as_of, NULL);
	DefineCustomEnumVariable("catmaid_history.as_of_incomplete",
							 "What happens when a table's past is asked for that its history does not know.",
							 "error: the query is refused. warning: what is there is shown.",
							 &as_of_incomplete, AS_OF_INCOMPLETE_ERROR, incomplete_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("catmaid_history.as_of_untracked",
							 "What happens when a table that is not tracked is read as of an instant.",
							 "present: it is read as it is. error: the query is refused.",
							 &as_of_untracked, AS_OF_UNTRACKED_PRESENT, untracked_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/*
 * A value that was set when nobody knew the setting has been without effect until now, and
 * would come into force in the middle of the session: whoever has set it believes to have
 * read the past.
 */
static void
refuse_late(void)
{
	const char *set = GetConfigOption("catmaid_history.as_of", true, false);

	if (set && set[0] != '\0' && debug_query_string && MyBackendType == B_BACKEND)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("parameter \"%s\" was set before library \"%s\" was loaded",
						"catmaid_history.as_of", "catmaid_history"),
				 errdetail("Queries have shown the present."),
				 errhint("SET catmaid_history.as_of = ''; then call read_as_of(); or have the library loaded when sessions begin, by session_preload_libraries.")));
}

/* What happens where a history does not know the past, and to tables that have none. */
AsOfIncomplete
as_of_when_incomplete(void)
{
	return as_of_incomplete;
}

AsOfUntracked
as_of_when_untracked(void)
{
	return as_of_untracked;
}

/* Returns true if an instant is set, in force or not. */
bool
as_of_is_set(void)
{
	return ever_set && value && value->set;
}

/*
 * Returns true if parallel workers, which read the text of the setting again, read the
 * instant, which as_of_past has told.
 */
bool
as_of_is_fixed(TimestampTz instant)
{
	/* (a cursor's own instant is not the one that is set) */
	return value->set && value->known && value->fixed && value->instant == instant;
}

/* Returns true if one has ever been set in this session. */
bool
as_of_was_ever_set(void)
{
	return ever_set;
}

/*
 * Returns true, with the instant, if the past is to be seen here and now; false: the
 * present.  Errors: the value is not a time.
 */
bool
as_of_past(TimestampTz *instant)
{
	if (!ever_set || InNoForceRLSOperation() || !in_force(instant))
		return false;
	if (value->bad)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"%s\": \"%s\"",
						"catmaid_history.as_of", as_of_text),
				 errhint("SET catmaid_history.as_of = ''; goes back to the present.")));
	return true;
}

/* Error out if the past is to be seen, where the table, which is tracked, is about to be written. */
void
as_of_check_write(Oid relid)
{
	TimestampTz instant;

	if (as_of_past(&instant))
		as_of_refuse_write(relid, instant);
}

void
as_of_refuse_write(Oid relid, TimestampTz instant)
{
	ereport(ERROR,
			(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
			 errmsg("cannot write table \"%s\" while the session reads the past, as of %s",
					get_rel_name(relid), as_of_shown(instant)),
			 errhint("SET catmaid_history.as_of = ''; goes back to the present.")));
}

/* An instant as messages show it; palloc'd. */
char *
as_of_shown(TimestampTz instant)
{
	return pstrdup(timestamptz_to_str(instant));
}

/* An instant as SQL that every session reads alike; palloc'd. */
char *
as_of_written(TimestampTz instant)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(instant, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	return psprintf("%04d-%02d-%02d %02d:%02d:%02d.%06d+00%s",
					tm.tm_year > 0 ? tm.tm_year : 1 - tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec, tm.tm_year > 0 ? "" : " BC");
}

/*
 * Until as_of_end_present, which is to be called on errors as well, the present is seen.
 */
void
as_of_begin_present(void)
{
	TimestampTz instant = 0;
	bool		past = ever_set && in_force(&instant);

	present_depth++;
	plans_are_for(past, instant);
}

void
as_of_end_present(void)
{
	TimestampTz instant = 0;
	bool		past = ever_set && in_force(&instant);

	Assert(present_depth > 0);
	present_depth--;
	/* what has been set within, and stays, is not to be in force in the next one */
	if (value && value->depth > present_depth)
		value->depth = present_depth;
	plans_are_for(past, instant);
}

/*
 * A query begins, or goes on, to run, until as_of_end_run, in what is in force or what as_of_run_in
 * says.  Returns which run it is.  This is called for every query, whether the past is ever read
 * or not: should an instant be set for the first time while it runs, it is to be known of.
 */
int
as_of_begin_run(void *query)
{
	AsOfRun    *run;

	if (runs_of != local_transaction_compat())
	{
		nruns = 0;
		runs_of = local_transaction_compat();
	}
	if (nruns == runs_size)
		runs_grow();
	run = &runs[nruns];
	run->query = query;
	run->subid = GetCurrentSubTransactionId();
	run->depth = present_depth;
	run->number = value->number;
	run->differs = false;
	return nruns++;
}

static void
runs_grow(void)
{
	int			size = runs_size == 0 ? 16 : 2 * runs_size;

	runs = runs_size == 0 ? MemoryContextAlloc(TopMemoryContext, size * sizeof(AsOfRun)) :
		repalloc(runs, size * sizeof(AsOfRun));
	runs_size = size;
}

/*
 * The run, which has just begun, is of a query that was planned for the instant (past), or the
 * present: that is in force, as_of_end_run must be called on errors as well, and it returns true
 * if it is another one than before.
 */
bool
as_of_run_in(int run, bool past, TimestampTz instant)
{
	TimestampTz was_instant = 0;
	bool		was_past = in_force(&was_instant);

	Assert(run == nruns - 1);
	runs[run].past = past;
	runs[run].instant = instant;
	runs[run].differs = was_past != past || was_instant != instant;
	if (runs[run].differs)
		plans_are_for(was_past, was_instant);
	return runs[run].differs;
}

/* (What an error has left above is over as well.) */
void
as_of_end_run(int run)
{
	TimestampTz instant = 0;
	bool		past;

	if (!ever_set)
	{
		nruns = run;
		return;
	}
	past = in_force(&instant);
	nruns = run;
	plans_are_for(past, instant);
}

/* One of the queries that are running, 0 the outermost; NULL: there are not so many. */
const AsOfRun *
as_of_running(int run)
{
	return runs_of == local_transaction_compat() && run < nruns ? &runs[run] : NULL;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (as_of_running(0) && runs[nruns - 1].subid >= mine)
			as_of_end_run(nruns - 1);
}

/* The instant that is in force, but for what SECURITY_NOFORCE_RLS means; none if it is bad. */
static bool
in_force(TimestampTz *instant)
{
	int			run = runs_of == local_transaction_compat() ? nruns : 0;

	while (run > 0 && runs[run - 1].number == value->number && runs[run - 1].depth == present_depth)
		if (runs[--run].differs)
		{
			*instant = runs[run].instant;
			return runs[run].past;
		}
	if (value == NULL || !value->set || value->depth < present_depth)
		return false;
	if (!value->known)
	{
		value->bad = !read_instant(as_of_text, &value->instant, &value->fixed);
		value->known = true;
	}
	*instant = value->instant;
	return true;
}

/* Something has changed: are the session's plans for another instant than before? */
static void
plans_are_for(bool past, TimestampTz instant)
{
	TimestampTz now_instant = 0;
	bool		now_past = ever_set && in_force(&now_instant);

	if (now_past != past || now_instant != instant)
		ResetPlanCache();
}

static bool
check_as_of(char **text, void **extra, GucSource source)
{
	AsOfValue  *new = guc_malloc_compat(sizeof(AsOfValue));

	if (new == NULL)
		return false;
	memset(new, 0, sizeof(AsOfValue));
	new->depth = present_depth;
	new->number = ++last_number;
	new->set = (*text)[0] != '\0';
	*extra = new;

	/* values from elsewhere are read later */
	if (source < PGC_S_INTERACTIVE)
		return true;
	if (as_of_may_change && as_of_running(0) && !as_of_may_change())
	{
		guc_free_compat(new);
		*extra = NULL;
		return false;
	}
	if (new->set)
	{
		char	   *canonical;
		char	   *copy;

		if (!read_instant(*text, &new->instant, &new->fixed))
		{
			GUC_check_errdetail("It is neither empty nor a time, as in '2024-05-31 12:00:00+00'.");
			guc_free_compat(new);
			*extra = NULL;
			return false;
		}
		new->known = new->fixed = true;
		canonical = as_of_written(new->instant);
		copy = guc_malloc_compat(strlen(canonical) + 1);
		if (copy == NULL)
		{
			guc_free_compat(new);
			*extra = NULL;
			return false;
		}
		strcpy(copy, canonical);
		guc_free_compat(*text);
		*text = copy;
	}
	return true;
}

static void
assign_as_of(const char *text, void *extra)
{
	AsOfValue  *before = value;

	value = extra;
	/* one that was set within, and comes back, is not to be in force in the next one either */
	if (value && value->depth > present_depth)
		value->depth = present_depth;
	if (!ever_set && value && value->set)
	{
		ever_set = true;
		if (as_of_at_first)
			as_of_at_first();
	}
	/* (the old value's memory may have gone already, so it is not looked into) */
	if (before && ever_set)
		ResetPlanCache();
}

/*
 * Read a time; what is later than any or earlier than any is none.  *fixed: its time zone and
 * the order of the date are written there, so that no setting changes what it means.
 */
static bool
read_instant(const char *text, TimestampTz *instant, bool *fixed)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	int			dtype;
	int			nf;
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	char		workbuf[MAXDATELEN + MAXDATEFIELDS];
	int			i;

	if (ParseDateTime(text, workbuf, sizeof(workbuf), field, ftype, MAXDATEFIELDS, &nf) != 0 ||
		DecodeDateTimeCompat(field, ftype, nf, &dtype, &tm, &fsec, &tz) != 0 ||
		dtype != DTK_DATE || tm2timestamp(&tm, fsec, &tz, instant) != 0)
		return false;
	*fixed = false;
	for (i = 0; i < nf; i++)
		*fixed |= ftype[i] == DTK_TZ || strcmp(field[i], "z") == 0;
	/* nor by DateStyle */
	*fixed &= strspn(text, "0123456789") == 4 && text[4] == '-';
	return true;
}

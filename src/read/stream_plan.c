/*
 * stream_plan.c
 *		Plans of our queries, kept for the next call in the session.
 *
 * A query of history_changes has ten times the parts of what it is asked for mostly: the ten
 * rows of a transaction, or one row's past.  Then planning is nearly all that it costs.  So
 * the plans of such are kept, in PostgreSQL's plan cache, which makes another one when a
 * table, a policy, the role under policies, or the instant that the session reads has
 * changed.  Other queries depend on their arguments, and are planned with them.
 *
 * The text of the query is what a plan is found by: it names every table by its present
 * name and its OID.
 *
 * Only so many are kept; what is dropped while it is run ends with its execution.
 *
 * Locks: those of the query.
 */
#include "postgres.h"

#include "jit/jit.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "read/read.h"
#include "compat.h"

#define NKEPT	8

bool		stream_plan_is_for_few = false;

/* The last one used comes first. */
static CachedPlanSource *kept[NKEPT];

static PlannedStmt *plan_once(const StreamQuery *wanted, ParamListInfo params);
static CachedPlan *plan_kept(CachedPlanSource *source, ParamListInfo params);
static CachedPlanSource *find_kept(const char *sql);
static CachedPlanSource *keep(const StreamQuery *wanted);
static void put_first(CachedPlanSource *source, int from);

/*
 * The plan of the query.  *held: what is to be given to stream_plan_release when it has
 * been run; NULL if that is not needed.  It belongs to the current resource owner.
 */
PlannedStmt *
stream_plan(const StreamQuery *wanted, ParamListInfo params, CachedPlan **held)
{
	CachedPlanSource *source;
	PlannedStmt *planned;

	*held = NULL;
	if (!wanted->repeats)
		planned = plan_once(wanted, params);
	else
	{
		source = find_kept(wanted->sql);
		if (source == NULL)
			source = keep(wanted);
		*held = plan_kept(source, params);
		planned = linitial_node(PlannedStmt, (*held)->stmt_list);
	}
	/* hundreds of expressions, most of which few rows come by */
	planned->jitFlags = PGJIT_NONE;
	return planned;
}

void
stream_plan_release(CachedPlan *held, ResourceOwner owner)
{
	if (held)
		release_cached_plan_compat(held, owner);
}

static PlannedStmt *
plan_once(const StreamQuery *wanted, ParamListInfo params)
{
	List	   *raw = pg_parse_query(wanted->sql);
	List	   *queries = analyze_and_rewrite_compat(linitial_node(RawStmt, raw), wanted->sql,
													 unconstify(Oid *, wanted->types),
													 wanted->nargs);

	return pg_plan_query(linitial_node(Query, queries), wanted->sql, 0, params);
}

/* The plan, which is for any arguments: so transactions are taken for small ones. */
static CachedPlan *
plan_kept(CachedPlanSource *source, ParamListInfo params)
{
	CachedPlan *plan;

	stream_plan_is_for_few = true;
	PG_TRY();
	{
		plan = get_cached_plan_compat(source, params, CurrentResourceOwner);
	}
	PG_FINALLY();
	{
		stream_plan_is_for_few = false;
	}
	PG_END_TRY();
	return plan;
}

static CachedPlanSource *
find_kept(const char *sql)
{
	int			i;

	for (i = 0; i < NKEPT && kept[i]; i++)
		if (strcmp(kept[i]->query_string, sql) == 0)
		{
			put_first(kept[i], i);
			return kept[0];
		}
	return NULL;
}

static CachedPlanSource *
keep(const StreamQuery *wanted)
{
	List	   *raw = pg_parse_query(wanted->sql);
	RawStmt    *statement = linitial_node(RawStmt, raw);
	CachedPlanSource *source = CreateCachedPlan(statement, wanted->sql, CMDTAG_SELECT);
	List	   *queries = analyze_and_rewrite_compat(statement, wanted->sql,
													 unconstify(Oid *, wanted->types),
													 wanted->nargs);

	CompleteCachedPlan(source, queries, NULL, unconstify(Oid *, wanted->types), wanted->nargs,
					   NULL, NULL, CURSOR_OPT_GENERIC_PLAN, true);
	SaveCachedPlan(source);
	if (kept[NKEPT - 1])
		DropCachedPlan(kept[NKEPT - 1]);
	kept[NKEPT - 1] = NULL;
	put_first(source, NKEPT - 1);
	return source;
}

/* Those before "from" move back. */
static void
put_first(CachedPlanSource *source, int from)
{
	memmove(&kept[1], &kept[0], sizeof(kept[0]) * from);
	kept[0] = source;
}

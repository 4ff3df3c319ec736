/*
 * read.h
 *		What is done with the past: what changed, and how views are planned.
 */
#ifndef CATMAID_HISTORY_READ_H
#define CATMAID_HISTORY_READ_H

#include "utils/array.h"
#include "utils/plancache.h"

#include "manage/manage.h"

#pragma GCC visibility push(hidden)

/* A query of ours, with parameters. */
typedef struct StreamQuery
{
	char	   *sql;
	int			nargs;
	const Oid  *types;
	const Datum *values;
	const bool *nulls;
	bool		repeats;		/* the plan is to be kept: it is as good for other arguments */
	/* what makes the function's row of the query's, or NULL */
	HeapTuple	(*form) (void *arg, TupleDesc desc, Datum *values, bool *nulls);
	void	   *arg;
} StreamQuery;

/* stream.c: the rows of a query */
extern Datum stream_rows(FunctionCallInfo fcinfo,
						 void (*make_query) (FunctionCallInfo fcinfo, StreamQuery *query));

/* stream_plan.c: its plan; while it is made for transactions of few rows */
extern bool stream_plan_is_for_few;
extern PlannedStmt *stream_plan(const StreamQuery *wanted, ParamListInfo params, CachedPlan **held);
extern void stream_plan_release(CachedPlan *held, ResourceOwner owner);

/* rows_scan.c: they in FROM */
extern void rows_scan_init(void);

/* A table whose changes are asked for, as SQL spells it. */
typedef struct ChangesSource
{
	Oid			relid;			/* that is named; of a kept history its own */
	char	   *rows;			/* a SELECT of all its versions */
	char	   *former;			/* of those that have ended */
	char	   *tracked;		/* of live rows, t being the tracking table; or NULL */
	List	   *columns;
	List	   *key;
	List	   *silent;			/* columns that every change changes */
	Relation	rel;			/* that has the columns' types: the history */
	bool		ends_unknown;	/* some versions do not say who ended them */
	TimestampTz since;			/* what is from before is none of our business; 0 */
} ChangesSource;

/* changed_columns.c: the rows of history_changes() */
extern List *changed_columns_add(List *tables, const ChangesSource *source);
extern HeapTuple changed_columns_form(void *arg, TupleDesc desc, Datum *values, bool *nulls);

/* frequent.c: which transactions have changed much */
extern bool frequent_transactions(Oid history, ArrayType *array);

/* changes_sql.c: what transactions did to the rows of a table */
extern char *changes_table_sql(const ChangesSource *source, bool by_transaction, bool by_time,
							   bool by_key);
extern char *changes_key_equal_sql(Relation rel, List *key, const char *a, const char *b);

/* estimate.c: what the planner should expect of a history view */
struct PlannerInfo;
struct RelOptInfo;
struct VariableStatData;
extern bool estimate_column(struct PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
							struct VariableStatData *vardata);
extern bool estimate_few(RangeTblEntry *rte, AttrNumber attnum, struct VariableStatData *vardata);
extern bool estimate_is_history(Oid relid);
extern void estimate_periods(struct PlannerInfo *root, Oid relid, struct RelOptInfo *rel);

/* prune.c: leaves segments out of queries as of a time after all their versions had ended */
extern void prune_init(void);
extern void prune_relation(struct PlannerInfo *root, Oid relid, struct RelOptInfo *rel);

/* unused_columns.c: what a query does not ask a view for is not planned */
extern void unused_columns_init(void);

/* the setting of unreachable.c */
#define UNREACHABLE_SETTING	"catmaid_history.unreachable_segments"

/* unreachable.c: segments of a server that is away: an error, or left out with a WARNING */
extern void unreachable_init(void);
extern bool unreachable_is(Oid relid);

/* tracking_scan.c: how history views read a tracking table */
extern void tracking_scan_init(void);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_READ_H */

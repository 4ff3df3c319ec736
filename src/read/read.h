/*
 * read.h
 *		What is done with the past: what changed, and how views are planned.
 */
#ifndef CATMAID_HISTORY_READ_H
#define CATMAID_HISTORY_READ_H

#include "manage/manage.h"

#pragma GCC visibility push(hidden)

/* stream.c: the rows of a query */
extern Datum stream_rows(FunctionCallInfo fcinfo, char *(*make_sql) (FunctionCallInfo fcinfo),
						 int nargs, const Oid *types, const Datum *values, const char *nulls);

/* changes.c: what transactions did */
extern char *changes_key_equal_sql(Relation rel, List *key, const char *a, const char *b);

/* estimate.c: what the planner should expect of a history view */
struct PlannerInfo;
struct RelOptInfo;
struct VariableStatData;
extern bool estimate_column(struct PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
							struct VariableStatData *vardata);
extern void estimate_periods(struct PlannerInfo *root, Oid relid, struct RelOptInfo *rel);

/* tracking_scan.c: how history views read a tracking table */
extern void tracking_scan_init(void);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_READ_H */

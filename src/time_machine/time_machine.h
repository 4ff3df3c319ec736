/*
 * time_machine.h
 *		The past, for queries that know nothing of it.
 */
#ifndef CATMAID_HISTORY_TIME_MACHINE_H
#define CATMAID_HISTORY_TIME_MACHINE_H

#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "manage/manage.h"

#pragma GCC visibility push(hidden)

/* What a relation is to the time machine. */
typedef enum PastKind
{
	PAST_NO_TABLE,				/* a catalog, a view, a sequence, … */
	PAST_OURS,					/* a history, a tracking table, the registry, the log, … */
	PAST_UNTRACKED,
	PAST_UNREGISTERED,			/* has our triggers, as a dump of the tables alone leaves it */
	PAST_TRACKED,
	PAST_PARTITION,				/* of a tracked table */
	PAST_PARENT					/* untracked, with tracked tables below it */
} PastKind;

typedef struct PastTableKey
{
	Oid			relid;
	bool		inh;
} PastTableKey;

/* What is known of a relation; see past_table.c. */
/* A column that was added while its table was tracked. */
typedef struct PastColumn
{
	AttrNumber	attnum;
	TimestampTz added;
} PastColumn;

typedef struct PastTable
{
	PastTableKey key;
	bool		valid;
	uint64		registry_changes;
	MemoryContext context;		/* of all that follows */
	PastKind	kind;
	Oid			child;			/* see past_kind */
	RegistryRow *row;			/* of a tracked table, or a partition's root; or NULL */
	bool		enabled;		/* its triggers are there */
	List	   *depends;		/* relations */
	List	   *to_lock;
	Query	   *rows[2];		/* see past_rows.c; NULL: not read yet */
	List	   *constraint;		/* of a partition */
	List	   *added;			/* of PastColumn; set with rows */
} PastTable;

/* What came of a query's change. */
typedef struct PastQuery
{
	bool		depends_on_role;
	List	   *inval_items;	/* of functions that were inlined */
} PastQuery;

/* past_command.c: commands that are no queries */
extern void past_command_at_first(void);

/* past_known.c: whose past it is, and whether it is known */
extern PastKind past_kind(Oid relid, bool inh, RegistryRow **row, Oid *child);
extern void past_check_known(const PastTable *table, TimestampTz instant);
extern void past_check_children(const PastTable *table, TimestampTz instant);
extern void past_check_untracked(PastKind kind, Oid relid, Oid child, TimestampTz instant);

/* past_plan.c: the planner's and the executor's hooks */
extern void past_plan_init(void);

/* past_policy.c: policies see the present */
extern Node *past_policy(Node *expression);
extern void past_policy_query(Query *query);

/* past_query.c: a query that reads tables as they are becomes one that reads their past */
extern void past_query(Query *query, TimestampTz instant, ParamListInfo params,
					   PastQuery *result);

/* past_rights.c: who may read the past, and which functions see the present */
extern void past_rights_init(void);
extern bool past_is_granted(void);
pg_noreturn extern void past_refuse_reader(Oid relid);

/* past_rows.c: the rows that a table had */
extern Query *past_rows(PastTable *table, Query *outer, RangeTblEntry *rte, bool with_table,
						TimestampTz instant);

/* past_target.c: what writing a table that is not tracked runs besides the query itself */
extern void past_check_target(Oid relid, CmdType command, Query *query, List *given,
							  TimestampTz instant);

/* past_table.c: what is known of the relations whose past is asked for */
extern void past_table_init(void);
extern PastTable *past_table(Oid relid, bool inh);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_TIME_MACHINE_H */

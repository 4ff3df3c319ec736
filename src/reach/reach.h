/*
 * reach.h
 *		What of a table's past its history knows.
 */
#ifndef CATMAID_HISTORY_REACH_H
#define CATMAID_HISTORY_REACH_H

#include "registry/registry.h"

#pragma GCC visibility push(hidden)

/* in the schema catmaid_history_internal */
#define REACH_TABLE	"catmaid_history_pause"

#define SINCE_TABLE	"catmaid_history_since"

typedef enum ReachGap
{
	REACH_KNOWN,
	REACH_BEFORE_BEGIN,			/* the history begins later */
	REACH_PAUSED				/* nothing was recorded then */
} ReachGap;

/* A time that the history does not know: from <= t < until. */
typedef struct Reach
{
	ReachGap	gap;
	TimestampTz from;			/* DT_NOBEGIN: since ever */
	TimestampTz until;			/* DT_NOEND: for now */
} Reach;

/* What is known since a time only; see since.c. */
typedef enum SinceWhat
{
	SINCE_COLUMN,				/* of a history, was added */
	SINCE_CHILDREN,				/* of a live table, have come or gone */
	SINCE_MADE,					/* the table was, as a child of a tracked one */
	SINCE_KINDS
} SinceWhat;

typedef struct Since
{
	SinceWhat	what;
	AttrNumber	column;			/* of the history; or 0 */
	TimestampTz since;
	char	   *snapshot;		/* of a column: of the transactions that may lack it; or NULL */
} Since;

/* horizon.c: the last instant of which a transaction can know anything */
extern void reach_check_instant(TimestampTz instant);

/* reach.c: when a history begins, and its pauses: what it cannot know */
extern Oid	reach_relid(void);
extern Reach reach_between(const RegistryRow *row, TimestampTz from, TimestampTz until);
extern TimestampTz reach_begin(const RegistryRow *row);
extern void reach_begin_at(const RegistryRow *row, TimestampTz begin);
extern TimestampTz reach_paused_since(const RegistryRow *row);
extern void reach_pause(const RegistryRow *row, bool recorded);
extern void reach_resume(const RegistryRow *row, bool recorded);
extern void reach_keep(const RegistryRow *row);
extern void reach_take_up(const RegistryRow *row);
extern void reach_forget(Oid history);
extern void reach_restore(Oid live, Oid history, TimestampTz from, TimestampTz until);

/* since.c: what is known since a time only: columns that were added, children that came or went */
extern Oid	since_relid(void);
extern bool since_get(Oid relation, Since *since);
extern void since_note(Oid relation, const Since *since);
extern void since_copy_column(Oid history, AttrNumber from, AttrNumber to);
extern void since_forget(Oid relation);
extern void since_restore(Oid relation, const char *what, Since *since);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_REACH_H */

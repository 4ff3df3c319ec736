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

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_REACH_H */

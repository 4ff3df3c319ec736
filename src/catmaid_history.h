/*
 * catmaid_history.h
 *		For the files of src/ itself, which may use everything.  Each folder has a
 *		header of its own, which includes those of the folders below.
 */
#ifndef CATMAID_HISTORY_H
#define CATMAID_HISTORY_H

#include "adopt/adopt.h"
#include "follow/follow.h"
#include "read/read.h"
#include "segment/segment.h"
#include "time_machine/time_machine.h"
#include "undo/undo.h"

#pragma GCC visibility push(hidden)

/* planner.c: lets the planner see what the index on sys_period is worth */
extern void planner_init(void);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_H */

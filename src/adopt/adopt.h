/*
 * adopt.h
 *		The older PL/pgSQL implementation, taken over.
 */
#ifndef CATMAID_HISTORY_ADOPT_H
#define CATMAID_HISTORY_ADOPT_H

#include "doctor/doctor.h"

#pragma GCC visibility push(hidden)

/* older_remove.c: takes its triggers and functions away */
extern bool older_remove_triggers(Oid live);
extern List *older_drop_functions(Oid registrar);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_ADOPT_H */

/*
 * adopt.h
 *		The older PL/pgSQL implementation, taken over.
 */
#ifndef CATMAID_HISTORY_ADOPT_H
#define CATMAID_HISTORY_ADOPT_H

#include "doctor/doctor.h"

#pragma GCC visibility push(hidden)

/* legacy_remove.c: takes its triggers and functions away */
extern bool legacy_remove_triggers(Oid live);
extern List *legacy_drop_functions(Oid registrar);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_ADOPT_H */

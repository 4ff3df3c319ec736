/*
 * segment.h
 *		Histories larger than a machine: cut into segments, pruned, erased.
 */
#ifndef CATMAID_HISTORY_SEGMENT_H
#define CATMAID_HISTORY_SEGMENT_H

#include "manage/manage.h"

#pragma GCC visibility push(hidden)

/* rotate.c: a history goes on with an empty head */
extern Oid	rotate(RegistryRow *row);
extern RegistryRow *rotate_lock(Oid live);

/* rows.c: versions are taken out of a history */
extern int64 rows_delete_key(Oid relid, List *names, const Datum *values);
extern int64 rows_delete_ended(Oid relid, TimestampTz time);
extern TimestampTz rows_last_end(Oid relid);

/* storage.c: a table like another, and their storage exchanged */
extern Oid	storage_table_like(Oid relid, const char *name, List **indexes);
extern void storage_exchange(Oid relid, Oid other, List *indexes);

/* patience.c: a lock that keeps nobody waiting for long */
extern void patience_lock(Oid relid, LOCKMODE mode);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_SEGMENT_H */

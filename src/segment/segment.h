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

/* far_table.c: the table of a segment on another server */
extern Oid	far_table_create(Oid history, Oid segment, Oid server);
extern void far_table_fill(Oid relid, Oid from, const RegistryRow *row);
extern char *far_table_checksum(Oid relid);
extern char *far_table_checksum_here(Oid relid, Oid like);
extern void far_table_check_columns(Oid relid, Oid like);
extern char *far_table_columns(Oid relid);
extern void far_table_check_ours(Oid relid);
extern void far_table_remove_copies(Oid history);

/* storage.c: a table like another, and their storage exchanged */
extern void storage_copy_statistics(Oid from, Oid to);
extern Oid	storage_table_like(Oid relid, const char *name, List **indexes);
extern void storage_exchange(Oid relid, Oid other, List *indexes);

/* patience.c: a lock that keeps nobody waiting for long */
extern void patience_lock(Oid relid, LOCKMODE mode);
extern void patience_lock_all(List *relids, LOCKMODE mode);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_SEGMENT_H */

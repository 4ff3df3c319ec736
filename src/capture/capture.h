/*
 * capture.h
 *		The row and TRUNCATE triggers: versions are written.  No DDL.
 */
#ifndef CATMAID_HISTORY_CAPTURE_H
#define CATMAID_HISTORY_CAPTURE_H

#include "log/log.h"

#pragma GCC visibility push(hidden)

/* What the triggers know of the relation they fire on; see cache.c. */
typedef struct CaptureRelation
{
	Oid			relid;			/* hash key */
	bool		valid;
	MemoryContext context;		/* holds everything below */
	Oid			live;			/* relid, or its root when relid is a partition */
	Oid			registry;
	Oid			history;
	Oid			tracking;		/* or InvalidOid */
	Oid			owner;			/* of live and history, whose rights we use */
	HistoryMap *map;
	AttrNumber	time_column;	/* of relid; 0 with a tracking table */
	AttrNumber	txid_column;
	int			nkeys;
	AttrNumber *key;			/* of relid */
	Oid			live_index;		/* primary key of relid */
	bool		live_index_is_btree;
	bool		keyless;		/* relid has no primary key, nor goes on without one */
	bool		loose;			/* several rows may have one key: tracking_loose.c */
	bool		one_each;		/* but of tracking rows only one has */
	bool		deferrable;		/* is it */
	Oid			history_index;	/* X__history_live_pk_index; may be missing */
	Oid			tracking_index;
	ScanKey		live_scankey;	/* sk_argument is filled in by the user */
	ScanKey		history_scankey;
	ScanKey		tracking_scankey;
	AttrNumber	edition_column; /* of the tracking table */
	AttrNumber	edition_txid_column;
	RelationShape *history_shape;
	RelationShape *tracking_shape;	/* or NULL */
	bool		bypass_executor; /* both are plain (relation_writer.c) */
	bool		may_defer_inserts;	/* nobody's triggers fire after ours */
	List	   *segments;		/* of history: Segments */
	List	   *ancestors;		/* parents, whose triggers are meant too */
	FullTransactionId attached_by;	/* as a partition, if by the transaction that was asked */
} CaptureRelation;

typedef struct HistoryWriter HistoryWriter;

typedef struct TrackingTable TrackingTable;

typedef struct TrackingRow TrackingRow;

/* How a version came about. */
typedef struct VersionOrigin
{
	bool		known;			/* its start is */
	TimestampTz start;
	int64		maker;			/* the transaction that made it; 0: unknown */
} VersionOrigin;

/* A table whose row triggers fire, with what they write; see batch.c. */
typedef struct CaptureTable
{
	Oid			relid;
	Oid			trigger[2];		/* known as ours: on INSERT, or otherwise */
	CaptureRelation *capture;
	HistoryWriter *history;		/* NULL: not opened yet */
	TrackingTable *tracking;
	bool		let_go;			/* both are closed, but for rows that wait */
	struct Batch *batch;		/* NULL: open for this row only */
} CaptureTable;

/* shared by these two */
struct TrackingRow
{
	ItemPointerData tid;
	TimestampTz edition;		/* UNKNOWN_START */
	int64		txid;			/* see tracking.c */
	bool		modified_by_this_xact;
};

struct TrackingTable
{
	CaptureRelation *capture;
	bool		may_wait;
	Relation	rel;
	Lookup	   *keys;
	Relation	history;		/* both opened when asked for */
	Lookup	   *history_keys;
	bool		writing;		/* the writer has been opened */
	RelationWriter writer;
};

/* edition_time of a row of which nobody knows since when it is as it is */
#define UNKNOWN_START	DT_NOBEGIN

typedef struct PostponedKey
{
	SubxactEntry made_in;
	Oid			relid;			/* the live table or its partition */
	Oid			tracking;
	int			nkeys;
	Datum	   *key;
	TimestampTz min_edition_time;			/* see tracking_written */
} PostponedKey;

/* what becomes of the tracking table, of those rows */
typedef enum TruncatedTracking
{
	TRACKING_FORGETS,			/* others stay */
	TRACKING_IS_EMPTIED,		/* there are no others */
	TRACKING_STAYS				/* it is about to go itself */
} TruncatedTracking;

typedef struct KeyScan KeyScan;

/* batch.c: what stays open while the row triggers of a statement fire */
extern void batch_init(void);
extern CaptureTable *batch_table(Relation rel, Trigger *trigger);
extern HistoryWriter *batch_history(CaptureTable *table);
extern TrackingTable *batch_tracking(CaptureTable *table);
extern void batch_reopen(CaptureTable *table, Relation rel, Trigger *trigger);
extern void batch_release(CaptureTable *table);
extern void batch_end(void);
extern void batch_let_go(void);

/* cache.c: what the triggers know of a relation, looked up once */
extern CaptureRelation *cache_lookup(Relation rel, Trigger *trigger);
extern CaptureRelation *cache_peek(Relation rel);
extern CaptureRelation *cache_build_for(Relation rel, Oid live);
extern void cache_init(void);

/* cache_key.c: the part of it that tells rows by their key */
extern bool cache_key_is_held(Relation rel, Relation history, List *key);
extern void cache_key_build(CaptureRelation *entry, Relation rel, RegistryRow *row,
							Relation history, Relation tracking);

/* deferrable.c: keys that several transactions may have at a time: settled at commit */
extern bool deferrable_postpone(CaptureRelation *capture, Relation rel,
								const Datum *key, TimestampTz min_edition_time);
extern bool deferrable_postponed(CaptureRelation *capture, const Datum *key,
								 TimestampTz *min_edition_time);
extern List *deferrable_take(void);
extern bool deferrable_is_any(void);
extern void deferrable_init(void);

/* history.c: writes versions, single or in bulk */
extern HistoryWriter *history_writer_open(CaptureRelation *capture, bool may_wait,
										  bool bulk);
extern void history_writer_put(HistoryWriter *writer, TupleTableSlot *old,
							   const VersionOrigin *origin);
extern void history_writer_close(HistoryWriter *writer);
extern RelationWriter *history_writer_target(HistoryWriter *writer);
extern TimestampTz history_last_end(Relation history, Lookup *scan,
									const Datum *key, AttrNumber period_column);

/* key_scan.c: the live rows that have a key */
extern KeyScan *key_scan_begin(CaptureRelation *capture, Relation rel,
							   const Datum *key, Snapshot snapshot);
extern HeapTuple key_scan_next(KeyScan *scan);
extern void key_scan_end(KeyScan *scan);

/* row.c: a live row's key, and whether this transaction has made it */
extern bool row_key(CaptureRelation *capture, TupleTableSlot *slot,
					Datum *key);
extern bool row_keys_equal(CaptureRelation *capture, const Datum *a,
						   const Datum *b);
extern bool row_wrote(Relation rel, HeapTupleHeader version);
extern bool row_attached_here(CaptureRelation *capture);
extern bool row_inserted_by_this_xact(CaptureRelation *capture, Relation rel,
									  TupleTableSlot *slot);

/* settle.c: before the commit: tracking rows of deferrable keys */
extern void settle_init(void);

/* tracking.c: who edited a row when */
extern void tracking_origin(TrackingTable *tracking, const Datum *key,
							bool rewritten, VersionOrigin *origin);
extern bool tracking_take(TrackingTable *tracking, const Datum *key,
						  const Datum *new_key, VersionOrigin *origin);
extern void tracking_written(TrackingTable *tracking, Relation rel,
							 const Datum *key, bool new_key,
							 TimestampTz min_edition_time, bool superseded);
extern void tracking_settle(TrackingTable *tracking, Relation rel,
							const Datum *key, TimestampTz min_edition_time);
extern TimestampTz tracking_edition(TrackingTable *tracking, const Datum *key,
									bool inserted_by_this_xact);
extern void tracking_deleted(TrackingTable *tracking, Relation rel,
							 const Datum *key, bool inserted_by_this_xact);
extern void tracking_forget(TrackingTable *tracking, const Datum *key);

/* tracking_loose.c: the same in a table that has lost its primary key */
extern void tracking_loose_origin(TrackingTable *tracking, const Datum *key,
								  bool rewritten, VersionOrigin *origin);
extern void tracking_loose_written(TrackingTable *tracking, const Datum *key,
								   TimestampTz min_edition_time);
extern void tracking_loose_replaced(TrackingTable *tracking, const Datum *key,
									bool inserted_by_this_xact, bool rewritten);
extern TimestampTz tracking_loose_deleted(TrackingTable *tracking, const Datum *key,
										  bool inserted_by_this_xact, bool rewritten);

/* tracking_table.c: a tracking table, open for single rows */
extern TrackingTable *tracking_open(CaptureRelation *capture, bool may_wait);
extern void tracking_close(TrackingTable *tracking);
extern void tracking_let_go(TrackingTable *tracking);
extern RelationWriter *tracking_target(TrackingTable *tracking);
extern void tracking_flush(TrackingTable *tracking);
extern void tracking_read_row(TrackingTable *tracking, HeapTuple tuple, TrackingRow *row);
extern bool tracking_wrote(const TrackingRow *row);
extern TimestampTz tracking_last_end(TrackingTable *tracking, const Datum *key);
extern void tracking_put_row(TrackingTable *tracking, const Datum *key,
							 TimestampTz edition, int64 txid, const TrackingRow *old,
							 bool may_wait);
extern void tracking_delete_row(TrackingTable *tracking, const TrackingRow *old);
extern bool tracking_is_in_use(Oid relid);
extern void tracking_truncate(Oid relid);

/* truncate.c: the TRUNCATE triggers: every row that goes */
extern void truncate_store_rows(Relation rel, CaptureRelation *capture,
								TruncatedTracking tracking);

/* truncation.c: which tables are being truncated, and which have been */
extern bool truncation_is_going_on(Relation rel);
extern bool truncation_has_emptied(Relation rel);
extern void truncation_relation_changed(Oid relid);
extern void truncation_init(void);
extern void truncation_begin(Relation rel);
extern void truncation_end(Relation rel);

/* version.c: when a version began */
extern void version_origin(CaptureRelation *capture, TrackingTable *tracking,
						   Relation rel, TupleTableSlot *old, const Datum *key,
						   VersionOrigin *origin);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_CAPTURE_H */

/*
 * registry.h
 *		Which tables belong together, whether that is to be believed, and whether they
 *		fit.
 */
#ifndef CATMAID_HISTORY_REGISTRY_H
#define CATMAID_HISTORY_REGISTRY_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

#define PERIOD_COLUMN	"sys_period"
#define XID_COLUMN		"exec_transaction_id"
#define MAKER_COLUMN	"start_transaction_id"
#define EDITION_COLUMN	"edition_time"
#define TRACKING_XID_COLUMN "txid"

/* The triggers on live tables; the names are an interface. */
#define REGULAR_TRIGGER			"on_change_update_history_regular"
#define REGULAR_TXID_TRIGGER	"on_change_update_history_txid_regular"
#define TRACKING_TRIGGER		"on_change_history_trackingtable"
#define TRACKING_INSERT_TRIGGER "on_change_update_tracking_table"
#define BEFORE_TRUNCATE_TRIGGER		"on_truncate_handle_live_table_truncate"
#define AFTER_TRUNCATE_TRIGGER		"on_truncate_truncate_tracking_table"

/* A row of the registry. */
typedef struct RegistryRow
{
	Oid			live;
	Oid			history;
	Oid			tracking;		/* InvalidOid: the live table has a time column */
	bool		triggers_installed;
	List	   *key;			/* names of the key columns, in key order */
	char	   *time_column;	/* in the live, or else the tracking table */
	char	   *txid_column;
	TimestampTz created;		/* on insertion 0 means now */
	TimestampTz key_since;		/* 0: it has always been the key */
	TimestampTz maker_until;	/* 0: exec_transaction_id ended the version, ever */
	Datum		maker_snapshot; /* pg_snapshot; set if maker_until is */
} RegistryRow;

/* Where the values of a history row come from; see history_map.c. */
typedef struct HistoryMap
{
	int			natts;			/* of the history table */
	AttrNumber *source;			/* live attribute for each, 0: none */
	struct HistoryCast **cast;	/* NULL: the value as it is */
	Node	  **computed;		/* of a virtual generated column: its expression */
	bool		complete;		/* nothing of the live table is missing */
	AttrNumber	period;
	AttrNumber	xid;
	AttrNumber	maker;			/* 0: history has no column for it */
} HistoryMap;

/* What only we can say of a live table; see mark.c. */
typedef struct Mark
{
	Oid			trigger;		/* that has it */
	bool		with_tracking;
	char	   *time_column;	/* as in the registry, by the trigger's arguments */
	char	   *txid_column;
	Oid			history;		/* InvalidOid: there is no mark */
	Oid			tracking;
} Mark;

typedef struct Dependents Dependents;

typedef struct DependentColumn
{
	Oid			relid;
	AttrNumber	attnum;
	bool		goes;			/* its type does; or else it is altered */
} DependentColumn;

#define KEY_NO_COLUMN	""		/* registered, when no column of the key is left */

typedef enum KeyState
{
	KEY_HELD,					/* the primary key is the registered one */
	KEY_LOOSE,					/* there is none; rows are told by the former one */
	KEY_GONE,					/* there is none, nor the columns of the former one */
	KEY_DROPPED,				/* there is none, and nobody has followed that */
	KEY_REPLACED				/* it is another one */
} KeyState;

typedef enum ColumnFit
{
	COLUMN_FITS,
	COLUMN_HOLDS,				/* the type, with another modifier or collation */
	COLUMN_NARROW,				/* likewise, with less room */
	COLUMN_CONVERTS,			/* all its values are values of the key's type */
	COLUMN_UNFIT,
	COLUMN_MISSING
} ColumnFit;

/* A column of the key, and that of the tracking table, which is "held" */
typedef struct KeyColumn
{
	char	   *name;
	Oid			type;			/* below domains */
	int32		typmod;
	Oid			collation;
	char	   *held_by;
	Oid			held_type;
	int32		held_typmod;
	Oid			held_collation;
	ColumnFit	fit;
	Node	   *using;			/* by which it is to be converted, or NULL */
} KeyColumn;

typedef enum DifferenceKind
{
	HISTORY_LACKS_COLUMN,
	HISTORY_COLUMN_NARROW,		/* its type cannot hold the live one's values */
	HISTORY_COLUMN_NOT_NULL,
	TIME_COLUMN_MISSING,
	TIME_COLUMN_OF_OTHER_TYPE,
	TIME_COLUMN_COMPUTED,		/* by PostgreSQL, so that the value cannot be kept, or put in */
	KEY_NOT_HELD,				/* see KeyState */
	TRACKING_COLUMN_UNFIT,		/* see ColumnFit */
	TRACKING_OF_LONGER_KEY
} DifferenceKind;

/* A way in which a history, or what is registered of its table, does not fit the table. */
typedef struct Difference
{
	DifferenceKind kind;
	char	   *name;			/* of the live table's column, or NULL */
	FormData_pg_attribute live; /* that column, if there is one */
	FormData_pg_attribute held; /* that of the history, if there is one */
	Oid			type;			/* that there should be, below domains */
	int32		typmod;
	KeyState	key;
	KeyColumn  *column;			/* of the tracking table */
} Difference;

typedef struct OwnIndex
{
	Oid			index;
	const char *label;			/* as for naming_index */
} OwnIndex;

/* the labels at the end of the indexes' names */
#define KEY_INDEX		"_history_live_pk_index"
#define PERIOD_INDEX	"_history_sys_period"
#define XID_INDEX		"_history_exec_transaction_id"
#define TRACKING_INDEX	"_tracking_live_pk_index"

/* the CHECK by which a table is known as a segment of a history; see segments.c */
#define SEGMENT_CONSTRAINT	"catmaid_history_segment"

/* A table that holds versions of a history that ended long ago. */
typedef struct Segment
{
	Oid			relid;
	Oid			history;		/* the head, which goes on */
	TimestampTz bound;			/* all ended by then; DT_NOEND: unknown */
	bool		verified;		/* and it is true of every row */
	Oid			server;			/* which has the versions, or InvalidOid: they are here */
} Segment;

typedef struct TriggerSpec
{
	const char *name;
	const char *function;
	int16		type;			/* as pg_trigger says it */
	bool		with_time_column;
	bool		with_tracking;
} TriggerSpec;

/* in trigger_specs[] */
#define TRIGGER_SPECS		7

/* those for each statement, which partitions have of their own */
#define FIRST_STATEMENT_SPEC	4
/* it records nothing: it is for the log (log_insert.c) */
#define LOG_SPEC			4

/* the one that has the mark */
#define MARKED_SPEC			6

typedef enum TriggerState
{
	TRIGGER_RIGHT,
	TRIGGER_MISSING,
	TRIGGER_SWITCHED_OFF,
	TRIGGER_ALTERED,			/* ours, but not as it must be */
	TRIGGER_FOREIGN				/* a user-defined one has the name */
} TriggerState;

#define HISTORY_MAP_INCOMPLETE	(-1)

/* dependents.c: what goes with what a command drops */
extern bool dependents_use_row_type(Oid type);
extern Dependents *dependents_of_command(bool cascade);
extern bool dependents_cascade(const Dependents *dependents);
extern void dependents_drop(Dependents *dependents, const ObjectAddress *object);
extern void dependents_drop_owned(Dependents *dependents, Oid role);
extern void dependents_alter(Dependents *dependents, Oid type);
extern void dependents_find(Dependents *dependents);
extern List *dependents_relations(const Dependents *dependents);
extern bool dependents_drops(const Dependents *dependents, Oid relid);
extern bool dependents_type_goes(const Dependents *dependents, Oid type, Oid collation);
extern List *dependents_columns(const Dependents *dependents);
extern const DependentColumn *dependents_column(const Dependents *dependents, Oid relid,
												AttrNumber attnum);
extern List *dependents_typed_tables(const Dependents *dependents);
extern List *dependents_held_back(const Dependents *dependents);

/* derived_shape.c: whether a table looks like a history or a tracking table */
extern Oid	derived_find(Oid live, const char *name, char relkind);
extern bool derived_is_history(Oid relid);
extern bool derived_has_history_defaults(Oid relid);
extern bool derived_is_tracking(Oid relid);
extern bool derived_serves_tracking(Oid relid);
extern void derived_check_tracking(Oid live, Oid tracking, int sqlstate);
extern void derived_check_there(const RegistryRow *row, int sqlstate);
pg_noreturn extern void derived_refuse_gone(Oid live, bool tracking, int sqlstate);
extern char *derived_tracking_hint(Oid live, Oid tracking);

/* fit.c: how what there is of a history differs from what its table needs: one answer for everybody who asks */
extern KeyState fit_key(const RegistryRow *row);
extern void fit_check_key(const RegistryRow *row, int sqlstate);
extern List *fit_primary_key(Oid relid);
extern List *fit_tracking(const RegistryRow *row, Relation live, ColumnFit *worst);
extern bool fit_is_right(const RegistryRow *row);
extern bool fit_goes_on(const RegistryRow *row);
extern bool fit_lacks_key(const RegistryRow *row);
extern ColumnFit fit_types(Oid held_type, int32 held_typmod, Oid held_collation,
						   Oid type, int32 typmod, Oid collation);
extern bool fit_records(ColumnFit fit);
extern bool fit_alike(const RegistryRow *child, const RegistryRow *parent);

extern List *fit_differences(const RegistryRow *row, Relation live);

/* fit_columns.c: how the columns of a history, and those that tell of edits, differ from what is needed */
extern bool fit_holds(Form_pg_attribute live, Form_pg_attribute held);
extern List *fit_history(Relation live, Relation history);
extern List *fit_time_columns(Relation live, const char *time_column,
							  const char *txid_column);
extern bool fit_differs(const List *differences, DifferenceKind kind);

/* history_map.c: which history column holds which live column */
extern char *history_map_widen_hint(Oid live, Oid history, Form_pg_attribute column,
									Oid type, int32 typmod);
extern HistoryMap *history_map(Relation source, Oid live, Relation history,
							   int sqlstate);
extern Datum history_map_cast(struct HistoryCast *cast, Datum value);
extern bool history_map_runs_no_code(const HistoryMap *map);

/* index_state.c: which indexes a history or tracking table has */
extern bool indexes_tracking_is_loose(Oid tracking);
extern bool indexes_any_unique(Oid relid);
extern Oid	indexes_named_key(Oid live, Oid history);
extern List *indexes_former_key(Oid live, Oid history);
extern void indexes_there(Oid history, List *key, bool *has_key,
						  bool *has_period, bool *has_xid);
extern bool indexes_there_tracking(Oid tracking, List *key);
extern List *indexes_own(Oid live, Oid table);
extern Oid	indexes_find_on_column(Relation rel, const char *column, Oid am);
extern Oid	indexes_find_period(Relation rel);
extern List *indexes_tracking_columns(List *key);
extern Oid	indexes_find_key(Relation rel, List *columns, bool unique,
							 ScanKey scankey);

/* key_match.c: how live rows and tracking rows belong together, as SQL */
extern void key_match_append(StringInfo sql, Relation index, int i, Form_pg_attribute att,
							 Oid tracking, const char *held_by);
extern bool key_match_can_be_written(Oid equal, Oid type);
extern char *tracking_match_sql(const RegistryRow *row, Relation live);

/* mark.c: which tables are a live table's history, by what only the extension can say */
extern bool mark_read(Oid live, Snapshot snapshot, Mark *mark);
extern bool mark_agrees(const Mark *mark, const RegistryRow *row);
extern bool mark_is_set(const RegistryRow *row);
extern void mark_set(const RegistryRow *row);
extern void mark_clear(Oid live);

/* registered.c: which relations belong to a registered table, as the session has found */
extern Oid	registered_live(Oid relid);
extern bool registered(Oid relid);

/* registry.c: the registry table and its invalidation */
extern void registry_row_rename_column(RegistryRow *row, const char *from, const char *to);
extern RegistryRow *registry_get(Oid live);
extern RegistryRow *registry_any_by_derived(Oid relid);
extern Oid	registry_live_of(Oid relid);
extern bool registry_is_history(Oid relid, Snapshot snapshot);
extern List *registry_all(void);
extern bool registry_has_shape(Oid relid);
extern void registry_insert(const RegistryRow *row);
extern void registry_inherit_maker(RegistryRow *row);
extern void registry_update(const RegistryRow *row);
extern bool registry_delete(Oid live);
extern void registry_lock_row(Oid live);
extern void registry_tables_of(HeapTuple tuple, TupleDesc desc, RegistryRow *row);

/* registry_guard.c: who may write the registry by hand */
extern Oid	registry_guard_lacks(const RegistryRow *row, Oid role);
extern bool registry_is_guarded(void);

/* registry_trust.c: which rows of the registry may be believed */
extern RegistryRow *registry_get_by_derived(Oid relid);
extern int	registry_hint_for_untracked(Oid live);
extern bool registry_is_sound(const RegistryRow *row, Oid owner);
extern bool registry_is_sound_by(const RegistryRow *row, const Mark *mark);
extern bool registry_owners_agree(const RegistryRow *row, Oid owner);
extern void registry_check_sound(const RegistryRow *row, int sqlstate);
extern char *registry_fault(const RegistryRow *row);
extern char *registry_way_out(const RegistryRow *row, bool *by_superuser, bool *forgets);
extern RegistryRow *registry_best_row(RegistryRow *row, Oid relid);
extern bool registry_is_derived(Oid relid);
extern bool registry_register_again(Oid live);
extern bool registry_row_by_mark(RegistryRow *row);
extern void registry_refute(Oid relid, Oid live);

/* its columns */
#define ANUM_RETENTION_LIVE		1
#define ANUM_RETENTION_NAME		2	/* in a dump */
#define ANUM_RETENTION_KEEP		3
#define ANUM_RETENTION_SEGMENT	4

/* retention.c: the table that says how long histories are kept */
extern Oid	retention_relid(void);
extern void retention_forget(Oid live);

/* segments.c: which tables hold a history's older versions, and how old these are */
extern List *segments_of(Oid history);
extern List *segments_relids(Oid history);
extern List *segments_here(Oid history);
extern List *segments_and_head(Oid history);
extern List *segments_here_and_head(Oid history);
extern List *segments_on_servers(Oid history);
extern List *segments_others(Oid history, LOCKMODE mode);
extern List *segments_apart(Oid history);
extern Oid	segments_head(Oid relid);
extern bool segments_read(Oid relid, Segment *segment);
extern bool segments_valid_bound(Relation rel, TimestampTz *bound);
extern char *segments_source(Oid history);
extern Oid	segments_view(void);
extern char *segments_constraint_sql(TimestampTz bound);

/* trigger_state.c: the triggers that live tables must have, and have */
extern const TriggerSpec trigger_specs[TRIGGER_SPECS];
extern bool triggers_wanted(const TriggerSpec *spec, const RegistryRow *row);
extern bool triggers_clones_fit(Oid relid, const TriggerSpec *spec, const RegistryRow *row);
extern bool triggers_fires(const Trigger *trigger);
extern Trigger *triggers_find(Oid relid, const char *name);
extern bool triggers_fit(const Trigger *trigger, const TriggerSpec *spec, const RegistryRow *row);
extern bool triggers_name_columns(const Trigger *trigger, const RegistryRow *row);
extern const char *triggers_state(Oid live, const RegistryRow *row,
								  int i, TriggerState *state);
extern bool triggers_there(const RegistryRow *row, Snapshot snapshot);
extern bool triggers_enabled(Oid live, const RegistryRow *row);
extern Trigger *triggers_for_mark(Oid live, Snapshot snapshot);
extern void triggers_check_exact(Relation rel, const Trigger *trigger);
extern bool triggers_is_ours(Oid function);
extern bool triggers_has_our_name(const char *name);
extern bool triggers_has_our_function(const char *name);
extern bool triggers_changed(Oid relid, Snapshot before);
extern List *triggers_tables(bool (*is_function) (Oid));
extern bool triggers_complete(Oid live, const RegistryRow *row);
extern bool triggers_log_inserts(Oid live, const RegistryRow *row);
extern bool triggers_obvious(Oid live, const RegistryRow *row);
extern bool triggers_covers_truncate(Relation rel);
extern const char *triggers_name_for(bool tracking, bool on_insert);
extern bool triggers_let_inserts_wait(Relation rel, List *ancestors);
extern void triggers_check_call(FunctionCallInfo fcinfo, const char *function,
								bool right);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_REGISTRY_H */

/*
 * catmaid_history.h
 *		Who offers what to whom, a paragraph a file, from the doors downwards.
 *
 * Timestamps are PostgreSQL's: microseconds, and "now" is the transaction's
 * start.  Transaction ids are the 64-bit ones.  Lists of names are Lists of
 * palloc'd char *.
 */
#ifndef CATMAID_HISTORY_H
#define CATMAID_HISTORY_H

#include "access/skey.h"
#include "catalog/objectaddress.h"
#include "commands/trigger.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapshot.h"

/* PostgreSQL 18's way to mark a function that does not return. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/*
 * What follows is the library's own: PostgreSQL up to 15 loads libraries with
 * RTLD_GLOBAL, so an exported function would be replaced by one of that name in
 * a library loaded before.  From 16 on everything is hidden but what is declared
 * PGDLLEXPORT, by PGXS.
 */
#pragma GCC visibility push(hidden)

/* What existing callers test for: PL/pgSQL's RAISE EXCEPTION. */
#define ERRCODE_HISTORY_REFUSED ERRCODE_RAISE_EXCEPTION

/* where the extension has what is not documented */
#define INTERNAL_SCHEMA "catmaid_history_internal"

#define PERIOD_COLUMN	"sys_period"
#define XID_COLUMN		"exec_transaction_id"
#define EDITION_COLUMN	"edition_time"
#define TRACKING_XID_COLUMN "txid"

/* The triggers on live tables; the names are an interface. */
#define REGULAR_TRIGGER			"on_change_update_history_regular"
#define REGULAR_TXID_TRIGGER	"on_change_update_history_txid_regular"
#define TRACKING_TRIGGER		"on_change_history_trackingtable"
#define TRACKING_INSERT_TRIGGER "on_change_update_tracking_table"
#define TRUNCATE_TRIGGER		"on_truncate_handle_live_table_truncate"
#define TRUNCATED_TRIGGER		"on_truncate_truncate_tracking_table"

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

/* Where the values of a history row come from; see columns.c. */
typedef struct HistoryMap
{
	int			natts;			/* of the history table */
	AttrNumber *source;			/* live attribute for each, 0: none */
	struct HistoryCast **cast;	/* NULL: the value as it is */
	Node	  **computed;		/* of a virtual generated column: its expression */
	bool		complete;		/* nothing of the live table is missing */
	AttrNumber	period;
	AttrNumber	xid;
} HistoryMap;

/* What relwriter.c knows of a table that it writes. */
typedef struct RelationShape RelationShape;

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
	bool		plain;			/* both are plain (relwriter.c) */
	bool		alone;			/* nobody's triggers fire after ours */
	List	   *ancestors;		/* parents, whose triggers are meant too */
	FullTransactionId attached_by;	/* as a partition, if by the transaction that was asked */
} CaptureRelation;

/* A relation opened for writing rows, with its indexes; see relwriter.c. */
typedef struct RelationWriter
{
	RelationShape *shape;
	Oid			relid;
	Relation	rel;			/* NULL: let go, see relation_writer_let_go */
	TupleTableSlot **slots;		/* rows that wait, then the one to write */
	int			nslots;
	int			nwaiting;
	Size		bytes;			/* of those that wait */
	CommandId	cid;			/* as of which they are stored */
	struct BulkInsertStateData *bistate;	/* or NULL */
	MemoryContext context;		/* the slots' */
	MemoryContext scratch;		/* or NULL */
	Relation   *indexes;		/* of a plain one; NULL: none opened yet */
	struct IndexInfo **infos;
	bool		all_open;		/* all of them are */
	EState	   *estate;			/* of any other */
	ResultRelInfo *result_rel;
	TriggerDesc *at_once;		/* on insertion, at its end */
	TriggerDesc *deferred;		/* those that may wait for the commit, or NULL */
} RelationWriter;

typedef struct Lookup Lookup;
typedef struct HistoryWriter HistoryWriter;
typedef struct TrackingTable TrackingTable;
typedef struct TrackingRow TrackingRow;

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

/* A column of a table that is to be made, or of a type to be given. */
typedef struct TableColumn
{
	char	   *name;
	Oid			type;			/* a base type */
	int32		typmod;
	Oid			collation;
	const char *constraints;	/* "" or SQL, with a space in front */
} TableColumn;

/* How a registered table looks, or looked; see table_state.c. */
typedef struct ColumnState
{
	bool		exists;
	NameData	name;
	Oid			type;			/* below domains */
	int32		typmod;
	Oid			declared_type;
	Oid			collation;
} ColumnState;

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

typedef struct DerivedState
{
	bool		exists;			/* if not, the rest is zero */
	NameData	name;
	Oid			namespace;
	Oid			owner;
	int			natts;
} DerivedState;

/* A table's name, schema and owner. */
typedef struct TableIdentity
{
	NameData	name;
	Oid			namespace;
	Oid			owner;
} TableIdentity;

typedef struct TableState
{
	Oid			live;
	NameData	name;
	Oid			namespace;
	Oid			owner;
	char		persistence;
	int			natts;
	ColumnState *columns;		/* by attribute number - 1 */
	DerivedState history;
	DerivedState tracking;
	bool		owners_agree;	/* see registry_owners_agree */
	bool		tracked;		/* see triggers_there */
	Oid			key_index;		/* primary key */
	List	   *parents;
	List	   *leaves;			/* partitions that hold rows */
} TableState;

/* On what occasion; see security_act_as. */
#define ACT_FOR_WRITER	0x01
#define ACT_TO_MANAGE	0x02

typedef struct SecurityState
{
	Oid			user;
	int			context;
	int			guc_level;		/* 0: settings are not put back */
	ErrorContextCallback callback;
	bool		hides;
} SecurityState;

/* check.c: what is wrong with a history; check_table.c: of one table */
typedef struct Finding
{
	Oid			live;			/* or InvalidOid */
	const char *severity;
	const char *finding;
	const char *object;			/* or NULL */
	const char *detail;
	const char *hint;			/* or NULL */
} Finding;

/* how much is read: the catalogs, tracking and live tables too, history too */
typedef enum CheckDepth
{
	CHECK_CATALOGS,
	CHECK_TRACKING,
	CHECK_HISTORY
} CheckDepth;

/* what is known of the table that is being looked at */
typedef struct Check
{
	const RegistryRow *row;
	bool		older;			/* the older implementation is in charge */
	bool		tracked;
	bool		sound;
	CheckDepth	depth;
	List	   *findings;
} Check;

extern void check_finding(Check *check, const char *severity, const char *finding,
						  const char *object, const char *hint,
						  const char *format,...) pg_attribute_printf(6, 7);
extern const char *check_mend(Check *check);

/* check_rows.c: of its rows */
extern void check_tracking_rows(Check *check);
extern void check_periods(Check *check, Relation live);

/* check_constraints.c: of what a site has put on its derived tables */
extern void check_constraints(Check *check);

extern List *check_table(const RegistryRow *row, CheckDepth depth);
extern List *check_add(List *findings, Oid live, const char *severity,
					   const char *finding, const char *object,
					   const char *detail, const char *hint);
extern void check_warn(Oid live, const char *what, List *findings);

/* api_table.c: the table that an SQL function is called for */
extern Oid	api_table_argument(FunctionCallInfo fcinfo, int sqlstate);
extern void api_lock_table(Oid live, LOCKMODE mode, int sqlstate);
extern RegistryRow *api_require_history(Oid live, int sqlstate);

/* derived_names.c: derived tables are named as their live table is */
extern void derived_follow_identity(const RegistryRow *row, const TableIdentity *before,
									const TableIdentity *now);

/* repair.c: mend what can be */
extern void repair_row(RegistryRow *row);
extern void repair_owners(const RegistryRow *row, Oid on_behalf_of);
extern void repair_owners_unmarked(const RegistryRow *row, List *writers);
extern void repair_missing(RegistryRow *row);
extern void repair_names(RegistryRow *row);
extern void repair_widen(RegistryRow *row, bool rewrite);
extern void repair_table(RegistryRow *row, bool tracked, bool adopting);
extern List *repair_in_order(List *rows);

/* follower.c: the event triggers */
/* What a command does to columns, as far as views upon our views are concerned. */
typedef enum ColumnChange
{
	COLUMNS_STAY,
	COLUMNS_COME_AND_GO,		/* which gives them other numbers */
	COLUMNS_CHANGE_TYPE			/* which views upon views show, too */
} ColumnChange;

extern void followed_lock_views(Oid relid, bool parents, ColumnChange change);
extern bool follower_tracks(Oid live, RegistryRow **row);

/* dependents.c: what goes with what a command drops */
typedef struct Dependents Dependents;

typedef struct DependentColumn
{
	Oid			relid;
	AttrNumber	attnum;
	bool		goes;			/* its type does; or else it is altered */
} DependentColumn;

extern bool dependents_use_row_type(Oid type);
extern Dependents *dependents_of_command(bool cascade);
extern bool dependents_cascade(const Dependents *dependents);
extern void dependents_drop(Dependents *dependents, const ObjectAddress *object);
extern void dependents_drop_owned(Dependents *dependents, Oid role);
extern void dependents_alter(Dependents *dependents, Oid type);
extern void dependents_find(Dependents *dependents);
extern List *dependents_relations(const Dependents *dependents);
extern bool dependents_goes(const Dependents *dependents, Oid relid);
extern bool dependents_type_goes(const Dependents *dependents, Oid type, Oid collation);
extern List *dependents_columns(const Dependents *dependents);
extern const DependentColumn *dependents_column(const Dependents *dependents, Oid relid,
												AttrNumber attnum);
extern List *dependents_typed_tables(const Dependents *dependents);
extern List *dependents_held_back(const Dependents *dependents);

/* make_room.c: before a DDL command */
extern void make_room(Node *statement);
extern void make_room_park_view(Oid live, const Dependents *dropped, Node *statement);
extern void make_room_lock_views(Oid relid);

/* make_room_drop.c: the same before one that drops something */
extern void make_room_for_drop(DropStmt *statement);
extern void make_room_for_drop_owned(DropOwnedStmt *statement);
extern void make_room_for_type(Oid type, Node *statement);

/* follow_columns.c: column changes */
extern bool follow_columns_changed(const TableState *before,
								   const TableState *now, Node *statement);
extern bool follow_columns_concern_key(const RegistryRow *row, const TableState *before,
									   const TableState *now, Node *statement);
extern bool follow_columns_taken(const TableState *before, const TableState *now);
extern bool follow_columns_computed(const TableState *now, AttrNumber attnum,
									Node *statement);
extern bool follow_columns_regenerated(const TableState *now, AttrNumber attnum,
									   Node *statement);
extern void follow_column_name(RegistryRow *row, const char *from, const char *to);
extern Node *follow_columns_using(const TableState *now, AttrNumber attnum,
								  Node *statement);
extern AttrNumber *follow_columns_held(const RegistryRow *row,
									   const TableState *before);
extern void follow_columns(RegistryRow *row, const TableState *before,
						   const TableState *now, const AttrNumber *held,
						   Node *statement, bool keep_dropped);

/* follow_kept.c: kept columns give way */
extern void follow_kept_free_name(Oid history, const char *name);
extern void kept_columns_move(Oid history, const char *name, Oid other);
extern void follow_kept_make_room(Oid history, Oid child);

/* follow_table.c: everything but columns, of a table that still is there */
extern void follow_hierarchy(RegistryRow *row, const TableState *before,
							 const TableState *now);
extern void follow_partitions(RegistryRow *row, const TableState *before,
							  const TableState *now);

/* follow_key.c: its primary key */
extern void follow_key(RegistryRow *row, const TableState *before,
					   const TableState *now, Node *statement);

/* kept_types.c: kept columns outlive their types */
extern void kept_types_give_up(const Dependents *dependents, Node *statement);
extern void kept_types_before_alter(AlterTableStmt *statement);
extern void kept_types_before_alter_domain(AlterDomainStmt *statement);

/* follow_drop.c: live and derived tables that are gone */
extern bool follow_drop_keeps(Oid owner, bool tracked);
extern void follow_drop_notice(Oid history);
extern void follow_drop(const RegistryRow *row, const TableState *before,
						Node *statement);
extern void follow_check_derived(const RegistryRow *row, const TableState *before,
								 const TableState *now);
extern void follow_refuse_by_hand(Oid live, const char *verb);

/* view_park.c: views put aside while what they show is changed */
extern void views_park_upon(List *tables, List *columns);
extern void views_park(Oid live, const Dependents *dropped, Node *statement);
extern void views_lock(List *lives, LOCKMODE mode);
extern void views_lock_upon(List *lives, bool deep);
/* view_parked.c: which views are put aside */
typedef struct ParkedView
{
	Oid			view;
	Oid			live;			/* of our own view, else InvalidOid */
	Oid			about;			/* the live table */
	char	   *text;			/* of a user's view, with what it uses */
	List	   *uses;
	bool		cascade;		/* what uses a column that goes may go */
	Node	   *statement;		/* the command that it makes room for */
	SubTransactionId subid;
} ParkedView;

extern void views_note_parked(Oid view, Oid live, Oid about, Node *statement);
extern List *views_take_parked(Node *statement);
extern bool views_parked(Oid live);
extern void views_unpark(Node *statement);
extern void views_leave_parked(Node *statement, Node *for_statement);
extern void views_park_init(void);

/* view_change.c: views that get other columns, and the views upon them */
typedef struct ViewChange
{
	Oid			view;
	Oid			about;			/* the live table */
	bool		cascade;		/* what uses a column that goes may go */
	Query	   *query;			/* that it gets */
	TupleDesc	old;			/* its columns, and what they become */
	TupleDesc	new;
	AttrNumber *map;			/* the new number by the old one - 1; 0: gone */
	AttrNumber *from;			/* the old number by the new one - 1; 0: new */
	bool	   *retyped;		/* by the old number - 1 */
	bool		any_retyped;
	bool		renumbered;		/* columns that were there go, or have other numbers */
	bool		renamed;
} ViewChange;

/* A view whose text is to be read again. */
typedef struct ViewText
{
	Oid			view;
	Oid			about;			/* the live table */
	char	   *sql;
	List	   *uses;			/* see view_meanings */
} ViewText;

extern ViewChange *view_change(Oid view, Oid about, Query *query, const char **names,
							   bool cascade);
extern void view_compare_columns(ViewChange *change, const char **names);
extern void view_change_all(List *changes, List *texts);

/* view_read.c: views whose text is read again */
typedef struct ViewFollower
{
	Oid			view;
	Oid			about;			/* the live table */
	Query	   *query;			/* with new numbers, or NULL */
	char	   *text;			/* as it may have to be read again, or NULL */
	List	   *uses;			/* with the text: see view_meanings */
	bool		must_read;		/* it has to, whatever views below it become */
	Query	   *read;			/* what it means now */
} ViewFollower;

extern void view_read_followers(List *followers);
pg_noreturn extern void view_refuse_follower(const ViewFollower *follower, const char *reason);

/* view_dependents.c: what depends on a view */
extern List *view_dependents(List *relations);
extern List *view_upon(Oid relid);
extern List *view_upon_rows(Oid view);
extern bool view_uses_columns(Oid view, Oid relid, const bool *columns);
extern char *view_drop_commands(List *views);
extern bool view_shows(Oid view, List *relations);
extern List *view_references(Oid view, Oid class);
extern List *view_meanings(Oid view);
extern void view_refuse_dependents(const ViewChange *change);
extern void view_refuse_rules(Oid view, Oid about);

/* view_remap.c: a query upon views whose columns have other numbers */
extern bool view_remap(Query *query, List *changes);

/* view_constants.c: whether the text of a view can be read without running code */
extern bool view_constants_run_code(Query *query);

/* view_columns.c: a view's columns */
extern void view_columns_replace(Oid view, TupleDesc new, const AttrNumber *from);

/* view_query.c: a view's query */
extern Query *view_query_of(Oid view);
extern Oid	view_query_rule(Oid view);
extern char *view_query_sql(Oid view);
extern Query *view_query_read(Oid role, const char *sql);
extern Query *view_query_read_own(const char *sql, List *relations);
extern Oid	view_query_create(Oid namespace, const char *name, Oid owner, Query *query);
extern void view_query_store(Oid view, Query *query, bool stored);
extern bool view_query_is(Oid view, Query *query);
extern Query *view_query_placeholder(TupleDesc columns);

/* settings.c: what the follower is told to do, for tables of which owner */
typedef enum OnDrop
{
	ON_DROP_DROP,
	ON_DROP_KEEP
} OnDrop;

extern void settings_init(void);
extern bool settings_follow_any(void);
extern bool settings_follow_ddl(Oid owner);
extern OnDrop settings_on_drop_column(Oid owner);
extern OnDrop settings_on_drop_table(Oid owner);

/* row_security.c: a history is never less protected than its table */
extern void row_security_follow_command(Node *statement);
extern void row_security_raise(const RegistryRow *row);
extern void row_security_raise_one(Oid live, Oid derived);
typedef struct RowSecurityFlags
{
	bool		enabled;
	bool		forced;
} RowSecurityFlags;

extern bool row_security_flags(Oid relid, RowSecurityFlags *flags);
extern bool row_security_lacks(Oid live, Oid derived);
extern bool row_security_is_enabled(Oid relid);

/* command.c: the DDL commands that are being executed, and what they touch */
extern void command_init(void);
extern void command_begin(Node *statement, bool follows);
extern void command_is_innermost(Node *statement);
extern List *command_touched(void);
extern void command_drops_unrelated(List *relids);
extern bool command_sets_aside(Oid live);
extern CommandId command_since(Oid live);
extern Node *command_waiting(void);
extern void command_end(void);

/* table_state.c: how one table looks, and looked */
extern void table_state_compare(const RegistryRow *row, CommandId since,
								TableState **before, TableState **now);
extern TableState *table_state_before(const RegistryRow *row, CommandId since);
extern TableState *table_state_now(const RegistryRow *row);
extern Snapshot table_state_snapshot(CommandId curcid);
extern bool table_state_equal(const TableState *a, const TableState *b);
extern bool table_state_same_column(const ColumnState *a, const ColumnState *b);
extern bool table_state_has_type(Oid relid, AttrNumber attnum,
								 const ColumnState *column);

/* create.c: make a table's history, and take it away */
extern void history_create(Oid live, char *time_column, char *txid_column,
						   bool create_triggers, bool copy_inheritance,
						   bool sync);
extern void history_drop(Oid live, bool keep_data);

/* take_up.c: a history that was kept is used again */
extern Oid	take_up_history(Oid live);

/* reconcile.c: make a history fit the live table, with triggers or without */
extern void reconcile_enable(RegistryRow *row, bool sync);
extern void reconcile_reload(RegistryRow *row);
extern void reconcile_disable(RegistryRow *row);
extern void reconcile_columns(RegistryRow *row);
extern void reconcile_renames(RegistryRow *row);
extern void reconcile_key(RegistryRow *row);

/* rekey.c: registry, key index and tracking table follow the primary key */
extern void rekey(RegistryRow *row, List *kept);
extern bool rekey_loosen(RegistryRow *row, List *kept);
extern List *rekey_kept(const RegistryRow *row);
extern void rekey_put_under_parents(const RegistryRow *row);

/* fit.c: does what is registered of a table's key fit the key that it has? */
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

extern KeyState fit_key(const RegistryRow *row);
extern void fit_check_key(const RegistryRow *row, int sqlstate);
extern List *fit_primary_key(Oid relid);
extern bool fit_has_columns(Oid relid, List *names);
extern bool fit_is_loose(Oid tracking);
extern List *fit_tracking(const RegistryRow *row, Relation live, ColumnFit *worst);
extern bool fit_is_right(const RegistryRow *row);
extern bool fit_goes_on(const RegistryRow *row);
extern bool fit_lacks_key(const RegistryRow *row);
extern ColumnFit fit_types(Oid held_type, int32 held_typmod, Oid held_collation,
						   Oid type, int32 typmod, Oid collation);
extern bool fit_records(ColumnFit fit);
extern bool fit_alike(const RegistryRow *child, const RegistryRow *parent);


/* lock_order.c: the one order of locks */
extern void lock_order_take(List *lives, LOCKMODE mode);

/* in_order.c: is there nothing to be done for recording? */
extern bool in_order(const RegistryRow *row);
extern List *in_order_not(List *rows);

/* indexes.c: their indexes */
typedef struct OwnIndex
{
	Oid			index;
	const char *label;			/* as for naming_index */
} OwnIndex;

extern void indexes_create_tracking(Relation live, Oid tracking, List *key);
extern void indexes_complete_tracking(Relation live, Oid tracking, List *key);
extern void indexes_loosen_tracking(Relation live, Oid tracking, List *key);
extern bool indexes_any_unique(Oid relid);
extern void indexes_create(Relation live, Oid history, List *key);
extern Oid	indexes_named_key(Oid live, Oid history);
extern List *indexes_former_key(Oid live, Oid history);
extern void indexes_there(Oid history, List *key, bool *has_key,
						  bool *has_period, bool *has_xid);
extern bool indexes_there_tracking(Oid tracking, List *key);
extern void indexes_drop(Oid history, List *key);
extern void indexes_drop_key(Oid history, List *key);
extern List *indexes_own(Oid live, Oid table);
/* the labels at the end of the indexes' names */
#define KEY_INDEX		"_history_live_pk_index"
#define PERIOD_INDEX	"_history_sys_period"
#define XID_INDEX		"_history_exec_transaction_id"
#define TRACKING_INDEX	"_tracking_live_pk_index"

extern Oid	indexes_find_simple(Relation rel, const char *column, Oid am);
extern Oid	indexes_find_period(Relation rel);
extern List *indexes_tracking_columns(List *key);
extern Oid	indexes_find_key(Relation rel, List *columns, bool unique,
								   ScanKey scankey);

/* comments.c: what \d+ says of the tables that belong to a live table */
extern void comments_put(const RegistryRow *row);
extern void comments_put_tracking(Oid tracking, int n);

/* derived.c: the tables that belong to a live table */
extern Oid	derived_create_history(Relation live, Oid parent);
extern Oid	derived_create_tracking(Relation live, List *key, bool loose);
extern void derived_drop(Oid relid);
extern void derived_drop_with(Oid relid, bool cascade);
extern TableColumn *derived_column_like(Form_pg_attribute att, char *name,
										const char *constraints);
extern bool derived_is_locked(Oid relid, LOCKMODE mode);
extern void derived_copy_persistence(Oid live, Oid tracking);
extern void derived_add_column(Oid relid, Form_pg_attribute att);
extern void derived_copy_storage(Oid relid, Form_pg_attribute att, const char *name);
extern Oid	derived_find(Oid live, const char *name, char relkind);
extern bool derived_is_history(Oid relid);
extern bool derived_was_history(Oid relid);
extern bool derived_is_tracking(Oid relid);
extern bool derived_serves_tracking(Oid relid);
extern void derived_check_tracking(Oid live, Oid tracking, int sqlstate);
extern void derived_check_there(const RegistryRow *row, int sqlstate);
pg_noreturn extern void derived_refuse_gone(Oid live, bool tracking, int sqlstate);
extern char *derived_tracking_hint(Oid live, Oid tracking);

/* derived_hierarchy.c: they inherit as their live tables do */
extern void derived_inherit(Oid child, Oid parent);
extern void derived_for_each_owner(Oid relid, void (*action) (Oid relid, void *arg),
								   void *arg);

/* lineage.c: what a table inherits from, and the partitions below it */
extern bool lineage_column_is_inherited(Oid relid, AttrNumber attnum);
extern List *lineage_parents(Oid relid);
extern int	lineage_depth(Oid relid);
extern Oid	lineage_origin(Oid relid, const char *column);
extern List *lineage_of(Oid relid);
extern Oid	lineage_root(Oid relid);
extern bool lineage_attached_here(Oid relid);
extern List *lineage_partition_tree(Oid root, LOCKMODE mode);
extern List *lineage_ancestors(Oid relid);
extern bool lineage_is_detaching(Oid root);
extern bool lineage_is_being_detached(Oid relid);

/* older.c: what the older implementation has left */
/* trigger_state.c: the triggers that live tables must have, and have */
typedef struct TriggerSpec
{
	const char *name;
	const char *function;
	int16		type;			/* as pg_trigger says it */
	bool		with_time_column;
	bool		with_tracking;
} TriggerSpec;

/* in trigger_specs[] */
#define TRIGGER_SPECS		6
/* the TRUNCATE triggers, which partitions have of their own */
#define FIRST_TRUNCATE_SPEC	4
/* the one that has the mark */
#define MARKED_SPEC			5

extern const TriggerSpec trigger_specs[TRIGGER_SPECS];

typedef enum TriggerState
{
	TRIGGER_RIGHT,
	TRIGGER_MISSING,
	TRIGGER_SWITCHED_OFF,
	TRIGGER_ALTERED,			/* ours, but not as it must be */
	TRIGGER_FOREIGN				/* somebody's own bears the name */
} TriggerState;

extern bool older_is_in_charge(void);
extern bool older_is_function(Oid function);
extern const char *older_trigger_state(Relation live, const RegistryRow *row,
									   int i, TriggerState *state);
extern bool older_tracks(Relation live);
extern bool older_remove_triggers(Oid live);
extern List *older_drop_functions(Oid registrar);
extern bool older_is_too_old(void);

/* mark.c: which tables are a live table's, by what only we can say */
extern bool mark_read(Oid live, Snapshot snapshot, Mark *mark);
extern bool mark_agrees(const Mark *mark, const RegistryRow *row);
extern bool mark_is_set(const RegistryRow *row);
extern void mark_set(const RegistryRow *row);
extern void mark_take(Oid live);
extern void mark_clear(Oid live);

/* trigger_guard.c: who may make, change and drop them */
extern void trigger_guard(Node *statement);
extern void trigger_guard_drop(Node *statement);
extern void trigger_guard_switched(Node *statement);

/* triggers.c: the triggers on live tables */
extern bool triggers_wanted(const TriggerSpec *spec, const RegistryRow *row);
extern bool triggers_clones_fit(Oid relid, const TriggerSpec *spec, const RegistryRow *row);
extern Trigger *triggers_find(Oid relid, const char *name);
extern bool triggers_fit(const Trigger *trigger, const TriggerSpec *spec, const RegistryRow *row);
extern bool triggers_name_columns(const Trigger *trigger, const RegistryRow *row);
extern const char *triggers_state(Oid live, const RegistryRow *row,
								  int i, TriggerState *state);
extern void triggers_install(Relation live, const RegistryRow *row,
							 int sqlstate);
extern void triggers_follow_columns(const RegistryRow *row);
extern bool triggers_remove(Relation live);
extern bool triggers_there(const RegistryRow *row, Snapshot snapshot);
extern bool triggers_enabled(Oid live, const RegistryRow *row);
extern Trigger *triggers_for_mark(Oid live, Snapshot snapshot);
extern void triggers_check_exact(Relation rel, const Trigger *trigger);
extern bool triggers_is_ours(Oid function);
extern bool triggers_has_our_name(const char *name);
extern bool triggers_has_our_function(const char *name);
extern bool triggers_changed(Oid relid, Snapshot before);
extern List *triggers_tables(bool (*is_function) (Oid));
extern List *lineage_leaf_partitions(Oid root, LOCKMODE mode);
extern void triggers_install_truncate(Relation leaf, const RegistryRow *row,
							 int sqlstate);
extern void triggers_remove_truncate(Relation leaf);
extern bool triggers_complete(Oid live, const RegistryRow *row);
extern bool triggers_obvious(Oid live, const RegistryRow *row);
extern bool triggers_covers_truncate(Relation rel);
extern const char *triggers_name_for(bool tracking, bool on_insert);
extern bool triggers_alone(Relation rel, List *ancestors);
extern void triggers_check_call(FunctionCallInfo fcinfo, const char *function,
								bool right);

/* views.c: X__with_history */
extern void view_create(const RegistryRow *row);
extern void view_update(const RegistryRow *row);
extern bool view_fits(const RegistryRow *row, bool older);
extern void view_refresh(const RegistryRow *row);
extern void view_renew(const RegistryRow *row);
extern void view_protect(const RegistryRow *row);
extern void view_take_over(const RegistryRow *row);
extern void view_drop(Oid live, bool cascade);
extern const char **view_renamed_columns(Oid view, Oid live, bool thorough);
#define VIEW_COMMENT \
	"The rows of the table and all their former versions, each with its period."

extern Oid	view_of_name(Oid live);
extern Oid	view_find(Oid live);
extern Oid	view_of_table(Oid live);
extern Oid	view_of_table_named(Oid live, const char *name, Oid namespace, Oid owner);

/* view_sql.c: what it shows */
extern Query *view_query(const RegistryRow *row);
extern bool view_has_columns(const RegistryRow *row);
extern bool view_is_possible(const RegistryRow *row);
extern bool view_is_castable(const RegistryRow *row);
extern bool view_shows_table(Oid view, const RegistryRow *row,
							 bool any_order);
extern bool view_has_names_of(Oid view, Oid live);
extern Oid	view_of_table_before(Oid live);
extern void view_leave_tracking(const RegistryRow *row);
extern void view_say_dropped(Oid view, const RegistryRow *row);
extern bool view_shows_hidden(Oid view, Oid live);
extern bool view_is_conditional(Oid view);

/* cache.c: what capture knows of a relation */
extern CaptureRelation *cache_lookup(Relation rel, Trigger *trigger);
extern CaptureRelation *cache_peek(Relation rel);
extern CaptureRelation *cache_build_for(Relation rel, Oid live);
extern void cache_init(void);

/* batch.c: what stays open while row triggers fire */
extern void batch_init(void);
extern CaptureTable *batch_table(Relation rel, Trigger *trigger);
extern HistoryWriter *batch_history(CaptureTable *table);
extern TrackingTable *batch_tracking(CaptureTable *table);
extern void batch_reopen(CaptureTable *table, Relation rel, Trigger *trigger);
extern void batch_release(CaptureTable *table);
extern void batch_end(void);
extern void batch_let_go(void);

/* history.c: writes versions */
extern HistoryWriter *history_writer_open(CaptureRelation *capture, bool may_wait,
										  bool bulk);
extern void history_writer_put(HistoryWriter *writer, TupleTableSlot *old,
							   bool start_known, TimestampTz start);
extern void history_writer_close(HistoryWriter *writer);
extern RelationWriter *history_writer_target(HistoryWriter *writer);
extern TimestampTz history_last_end(Relation history, Lookup *scan,
									const Datum *key, AttrNumber period_column);

/* tracking.c: who edited a row when */
extern TrackingTable *tracking_open(CaptureRelation *capture, bool may_wait);
extern void tracking_close(TrackingTable *tracking);
extern void tracking_let_go(TrackingTable *tracking);
extern RelationWriter *tracking_target(TrackingTable *tracking);
extern bool tracking_start(TrackingTable *tracking, const Datum *key,
						   bool rewritten, TimestampTz *start);
extern bool tracking_take(TrackingTable *tracking, const Datum *key,
						  const Datum *new_key, TimestampTz *start);
extern void tracking_written(TrackingTable *tracking, Relation rel,
							 const Datum *key, bool new_key,
							 TimestampTz floor, bool superseded);
extern void tracking_settle(TrackingTable *tracking, Relation rel,
							const Datum *key, TimestampTz floor);
extern TimestampTz tracking_edition(TrackingTable *tracking, const Datum *key,
									bool made_here);
extern void tracking_deleted(TrackingTable *tracking, Relation rel,
							 const Datum *key, bool made_here);
extern void tracking_forget(TrackingTable *tracking, const Datum *key);

/* shared by these two */
struct TrackingRow
{
	ItemPointerData tid;
	TimestampTz edition;		/* UNKNOWN_START */
	int64		txid;
	bool		touched;		/* written by this transaction */
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

extern void tracking_flush(TrackingTable *tracking);
extern void tracking_read_row(TrackingTable *tracking, HeapTuple tuple, TrackingRow *row);
extern TimestampTz tracking_last_end(TrackingTable *tracking, const Datum *key);
extern void tracking_put_row(TrackingTable *tracking, const Datum *key,
							 TimestampTz edition, int64 txid, const TrackingRow *old,
							 bool may_wait);
extern void tracking_delete_row(TrackingTable *tracking, const TrackingRow *old);

/* tracking_loose.c: the same where several rows may have one key */
extern TimestampTz tracking_loose_start(TrackingTable *tracking, const Datum *key,
										bool rewritten);
extern void tracking_loose_written(TrackingTable *tracking, const Datum *key,
								   TimestampTz floor);
extern void tracking_loose_replaced(TrackingTable *tracking, const Datum *key,
									bool made_here, bool rewritten);
extern TimestampTz tracking_loose_deleted(TrackingTable *tracking, const Datum *key,
										  bool made_here, bool rewritten);

/* tracking_sync.c: tracking tables as a whole */
extern bool tracking_is_in_use(Oid relid);
extern void tracking_truncate(Oid relid);
extern void key_match_append(StringInfo sql, Relation index, int i, Form_pg_attribute att,
							 Oid tracking, const char *held_by);
extern bool key_match_can_be_written(Oid equal, Oid type);
extern char *tracking_match_sql(const RegistryRow *row, Relation live);
extern char *tracking_key_column(int nkeys, int i);
extern void tracking_sync(const RegistryRow *row);
extern void tracking_count_differences(const RegistryRow *row, int64 *orphaned,
									   int64 *missing);
extern void tracking_complete(const RegistryRow *row);
extern void tracking_carry_over(const RegistryRow *row, Oid old, List *kept);
extern void tracking_add_from(const RegistryRow *row, Oid source);

/* deferrable.c: keys that several transactions may have at a time */
extern bool deferrable_postpone(CaptureRelation *capture, Relation rel,
								const Datum *key, TimestampTz floor);
extern bool deferrable_postponed(CaptureRelation *capture, const Datum *key,
								 TimestampTz *floor);
typedef struct PostponedKey
{
	Oid			relid;			/* the live table or its partition */
	Oid			tracking;
	int			nkeys;
	Datum	   *key;
	TimestampTz floor;			/* see tracking_written */
	SubTransactionId subid;
} PostponedKey;

extern List *deferrable_take(void);
extern bool deferrable_is_any(void);
extern void deferrable_init(void);

/* settle.c: before the commit */
extern void settle_init(void);

/* capture.c: the row triggers; shared with truncate.c */
extern bool capture_key(CaptureRelation *capture, TupleTableSlot *slot,
						Datum *key);
extern bool capture_start(CaptureRelation *capture, TrackingTable *tracking,
						  Relation rel, TupleTableSlot *old, const Datum *key,
						  TimestampTz *start);
extern bool capture_keys_equal(CaptureRelation *capture, const Datum *a,
							   const Datum *b);
extern bool capture_wrote(Relation rel, HeapTupleHeader version);
extern bool capture_attached_here(CaptureRelation *capture);
extern bool capture_made_here(CaptureRelation *capture, Relation rel,
							  TupleTableSlot *slot);

/* planner.c: what the index on sys_period is worth */
extern void planner_init(void);

/* truncate.c: the TRUNCATE trigger */
extern bool truncate_is_going_on(Relation rel);
extern bool truncate_has_emptied(Relation rel);
extern void truncate_relation_changed(Oid relid);
extern void truncate_init(void);
extern void truncation_begin(Relation rel);
extern void truncation_end(Relation rel);
/* what becomes of the tracking table, of those rows */
typedef enum TruncatedTracking
{
	TRACKING_FORGETS,			/* others stay */
	TRACKING_IS_EMPTIED,		/* there are no others */
	TRACKING_STAYS				/* it is about to go itself */
} TruncatedTracking;

extern void truncate_store_rows(Relation rel, CaptureRelation *capture,
								TruncatedTracking tracking);

/* registry.c: the registry table */
extern Oid	registry_relid(void);
extern Oid	registry_relid_or_invalid(void);
extern Oid	registry_namespace(void);
extern RegistryRow *registry_get(Oid live);
extern RegistryRow *registry_get_by_derived(Oid relid);
extern RegistryRow *registry_any_by_derived(Oid relid);
extern Oid	registry_live_of(Oid relid);
extern uint64 registry_changes(void);
extern List *registry_all(void);
extern bool registry_has_shape(Oid relid);
extern void registry_insert(const RegistryRow *row);
extern void registry_inherit_maker(RegistryRow *row);
extern void registry_update(const RegistryRow *row);
extern bool registry_delete(Oid live);
extern void registry_forget_relid(Oid relid);
extern void registry_lock_row(Oid live);
extern int	registry_hint_for_untracked(Oid live);
extern void registry_tables_of(HeapTuple tuple, TupleDesc desc, RegistryRow *row);

/* registry_trust.c: which of its rows may be believed */
extern bool registry_is_sound(const RegistryRow *row, Oid owner);
extern bool registry_is_sound_by(const RegistryRow *row, const Mark *mark);
extern bool registry_owners_agree(const RegistryRow *row, Oid owner);
extern void registry_check_sound(const RegistryRow *row, int sqlstate);
extern char *registry_fault(const RegistryRow *row);
extern char *registry_way_out(const RegistryRow *row, bool *by_superuser, bool *forgets);
extern RegistryRow *registry_best_row(RegistryRow *row, Oid relid);
extern bool registry_is_derived(Oid relid);
extern bool registry_adopt(Oid live);
extern bool registry_row_by_mark(RegistryRow *row);
extern void registry_refute(Oid relid, Oid live);

/* registry_guard.c: who may write it by hand */
extern Oid	registry_guard_lacks(const RegistryRow *row, Oid role);
extern bool registry_is_guarded(void);

/* registered.c: which relations belong to a registered table */
extern Oid	registered_live(Oid relid);
extern bool registered(Oid relid);

/* dump.c: the registry as pg_dump takes it */
extern void dump_follow_command(Node *statement);

/* keyscan.c: the live rows that have a key */
typedef struct KeyScan KeyScan;

extern KeyScan *key_scan_begin(CaptureRelation *capture, Relation rel,
							   const Datum *key, Snapshot snapshot);
extern HeapTuple key_scan_next(KeyScan *scan);
extern void key_scan_end(KeyScan *scan);

/* lookup.c: look keys up in a table, one after another */
extern Lookup *lookup_open(Relation rel, Oid index, const ScanKeyData *keys,
							 int nkeys);
extern void lookup_start(Lookup *scan, const Datum *key, Snapshot snapshot);
extern HeapTuple lookup_next(Lookup *scan);
extern void lookup_stop(Lookup *scan);
extern void lookup_close(Lookup *scan);

/* relwriter.c: rows into a table and its indexes, from C */
extern RelationShape *relation_shape(Relation rel, int not_null, int defaults,
									 bool simple);
extern bool relation_shape_is_plain(const RelationShape *shape);
extern void relation_writer_open(RelationWriter *writer, Oid relid,
								 RelationShape *shape);
extern TupleTableSlot *relation_writer_slot(RelationWriter *writer);
extern void relation_writer_insert(RelationWriter *writer, bool may_wait);
extern void relation_writer_flush(RelationWriter *writer);
extern void relation_writer_lend(RelationWriter *writer, ResourceOwner owner);
extern void relation_writer_forget(RelationWriter *writer);
extern void relation_writer_let_go(RelationWriter *writer);
extern void relation_writer_update(RelationWriter *writer, ItemPointer tid);
extern void relation_writer_delete(RelationWriter *writer, ItemPointer tid);
extern void relation_writer_close(RelationWriter *writer);

/* relwriter_executor.c: where a site has put something on the table */
extern void executor_open(RelationWriter *writer);
extern void executor_insert(RelationWriter *writer, TupleTableSlot *slot, CommandId cid);
extern void executor_update(RelationWriter *writer, ItemPointer tid, TupleTableSlot *slot);
extern void executor_delete(RelationWriter *writer, ItemPointer tid);
extern void executor_close(RelationWriter *writer);

/* types.c: which type holds all values of another */
extern char *types_widen_hint(Oid live, Oid history, Form_pg_attribute column,
								Oid type, int32 typmod);
extern bool types_widen_in_place(Form_pg_attribute column, Oid type, int32 typmod);
extern bool types_hold(Oid from, int32 from_mod, Oid to, int32 to_mod);
extern bool types_print_exactly(Oid type);

/* columns.c: live column to history column */
#define COLUMNS_MAP_INCOMPLETE	(-1)
extern HistoryMap *columns_map(Relation source, Oid live, Relation history,
							   int sqlstate);
extern Node *columns_default_expression(Oid relid, AttrNumber attnum);
extern char *columns_default_sql(Oid relid, AttrNumber attnum);
extern Datum columns_cast(struct HistoryCast *cast, Datum value);
extern void columns_base_type(Form_pg_attribute att, Oid *type, int32 *typmod);
extern List *columns_key(Relation rel);
extern bool columns_are_time_columns(Relation live, const char *time_column,
									 const char *txid_column);
extern bool columns_same_names(List *a, List *b);
extern char *columns_type_sql(Form_pg_attribute att);
extern char *columns_collation_sql(Oid collation);
extern bool columns_map_is_simple(const HistoryMap *map);
extern char *columns_address(HeapTuple tuple, TupleDesc desc, AttrNumber attnum);
extern bool columns_have_type(Oid relid, AttrNumber attnum, Oid type, int32 typmod, Oid collation);
extern Form_pg_attribute columns_find(Relation rel, const char *name);
extern Oid	columns_primary_key_index(Relation rel);
extern Oid	columns_key_opclass(Relation index, int column, Oid type);
extern Oid	columns_key_equality(Relation index, int column, Oid type);

/* leaf_rows.c: the rows of a table whose partitions belong to several owners */
extern char *leaf_rows_source(Oid live);
extern List *leaf_rows_lend(List **relids);

/* ddl.c: what may run somebody's code, as the owner */
typedef enum DDLSearchPath
{
	DDL_PLAIN_SEARCH_PATH,		/* pg_catalog */
	DDL_SESSION_SEARCH_PATH
} DDLSearchPath;

extern bool ddl_is_ours(void);
extern void ddl_execute(Oid role, const char *format,...) pg_attribute_printf(2, 3);
extern uint64 ddl_execute_query(Oid role, List *relids, const char *sql);
extern void ddl_query_numbers(Oid role, List *relids, const char *sql,
							  int64 *numbers, int n);
extern void ddl_add_column(Oid relid, const TableColumn *column);
extern void ddl_alter_table(Oid relid, bool recurse, const char *actions);
extern void ddl_alter_table_cmds(Oid role, Oid relid, List *cmds, bool recurse,
								 DDLSearchPath search_path);
extern void ddl_set_for_command(const char *name, const char *value);
typedef void (*DDLAction) (void *arg);
extern ErrorData *ddl_attempt(DDLAction action, void *arg);
extern char *ddl_attempt_one(DDLAction action, void *arg);
extern char *ddl_dependents(MemoryContext context);

/* catalog_change.c: single changes of the catalogs, by OID */
extern Oid	catalog_create_table(Oid namespace, const char *name, Oid owner,
								 char persistence, List *columns, List *options);
extern void catalog_add_column(Oid relid, const char *name, Oid type, int32 typmod,
							   Oid collation);
extern void catalog_drop_column(Oid relid, const char *name, bool recurse, bool cascade);
extern void catalog_set_column_storage(Oid relid, const char *name, const char *storage);
extern void catalog_set_column_compression(Oid relid, const char *name,
										   const char *method);
extern void catalog_rename_column(Oid relid, const char *from, const char *to);
extern void catalog_lock(Oid relid, LOCKMODE mode);
extern void catalog_check_meant(Oid meant, Oid found);
extern void catalog_inherit(Oid child, Oid parent);
extern void catalog_disinherit(Oid child, Oid parent);
extern void catalog_change_owner(Oid relid, Oid owner);
extern void catalog_rename(Oid relid, const char *name);
extern void catalog_move(Oid relid, Oid namespace);
extern void catalog_drop(Oid class, Oid object, bool cascade);
extern Oid	catalog_create_index(Oid relid, const char *name, bool unique,
								 const char *method, List *columns, List *opclasses,
								 List *options);
extern Oid	catalog_create_trigger(Oid relid, const char *name, int16 type,
								   Oid function, List *arguments);
extern void catalog_switch_trigger(Oid relid, const char *name, char fires);
extern void catalog_comment(Oid class, Oid object, AttrNumber column, const char *comment);
extern void catalog_grant_select(Oid relid, Oid grantee, bool grant_option);
extern void catalog_set_row_security(Oid relid, bool enabled, bool forced);
extern void catalog_revoke_all(Oid relid, Oid grantee);

/* convert.c: old values into a column of a new type */
extern bool may_be_swallowed(int sqlstate);
extern bool convert_attempt(DDLAction action, void *arg, char **message);
extern void convert_rows(Oid history, const TableColumn *column, const char *from,
						 Node *using, bool volatile_too);
extern void convert_type(Oid relid, const TableColumn *column);
extern bool convert_type_try(Oid relid, const TableColumn *column);

/* convert_text.c: a column becomes text, whatever its type */
extern bool convert_to_text(Oid relid, const char *column, bool cascade);

/* shared by these: not the name of any table that an expression may mean */
#define CONVERT_ROWS_ALIAS	"catmaid_history old rows"

extern AlterTableCmd *convert_type_command(const TableColumn *column);
extern bool convert_strip_qualifiers(Node *node, void *context);

/* convert_key.c: the key of a tracking table */
extern bool convert_key_possible(Oid tracking, List *columns, KeyColumn *column);
extern bool convert_key_try(Oid tracking, List *columns, List *conversions);

/* naming.c: derived names */
extern char *naming_history_table(Oid live);
extern char *naming_tracking_table(Oid live);
extern char *naming_view(Oid live);
extern char *naming_view_for(const char *live);
extern char *naming_live_of(const char *history);
extern char *naming_live_of_tracking(const char *tracking);
extern char *naming_free_column(Oid relid, Oid other, const char *name, bool moving);
extern char *naming_index(Oid live, const char *label);
extern char *naming_free_index(Oid live, Oid namespace, const char *label);
extern void naming_check_room(const char *name, int sqlstate);
extern int	naming_begin_qualified(void);
extern char *naming_quoted(Oid relid);
extern char *naming_quoted_before(Oid relid);
extern char *naming_argument(Oid relid);
extern char *naming_quoted_function(Oid function);
extern char *naming_quoted_in(Oid namespace, const char *name);
extern List *naming_opclass(Oid opclass);

/* drop_functions.c: those that are the database owner's */
extern char *drop_function_name(bool keep_data);
extern bool drop_function_altered(bool keep_data);
extern void drop_functions_let_go(Node *statement);
extern void drop_functions_take_back(void);

/* security.c: rights */
extern void security_check_owner(Oid relid, int sqlstate);
extern Oid	security_owner_of(Oid relid);
extern Oid	security_owner_or_invalid(Oid relid);
extern void security_act_as(Oid role, int how, SecurityState *before);
extern void security_act_as_before(const SecurityState *before);
extern int	security_begin_code(Oid history, bool plain);
extern void security_end_code(int level);
extern void security_clear_privileges(Oid relid, bool owners_too);
extern void security_copy_select(Oid live, Oid derived);
extern List *security_let_readers(Oid view, Oid live, Oid derived);
extern char *security_role_sql(Oid role);
extern Acl *security_relation_acl(Oid relid);
extern bool security_may_use_default_tablespace(void);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_H */

/*
 * follow.h
 *		The event triggers: history follows DDL.
 */
#ifndef CATMAID_HISTORY_FOLLOW_H
#define CATMAID_HISTORY_FOLLOW_H

#include "manage/manage.h"

#pragma GCC visibility push(hidden)

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

typedef struct DerivedState
{
	bool		exists;			/* if not, the rest is zero */
	NameData	name;
	Oid			namespace;
	Oid			owner;
	int			natts;
} DerivedState;

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

/* What a command does to columns, as far as views on our views are concerned. */
typedef enum ColumnChange
{
	COLUMNS_STAY,
	COLUMNS_COME_AND_GO,		/* which gives them other numbers */
	COLUMNS_CHANGE_TYPE			/* which views on views show, too */
} ColumnChange;

/* command.c: the DDL commands that are being executed, and which tables they have touched */
extern void command_init(void);
extern void command_begin(Node *statement, bool follows);
extern void command_is_innermost(Node *statement);
extern List *command_invalidated(void);
extern List *command_touched(bool *more);
extern void command_drops_unrelated(List *relids);
extern bool command_sets_aside(Oid live);
extern CommandId command_since(Oid live);
extern Node *command_waiting(void);
extern void command_end(void);

/* follow_children.c: what inherits from tracked tables, noted */
extern void follow_children(Node *statement);

/* follow_columns.c: column changes, followed */
extern bool follow_columns_changed(const TableState *before,
								   const TableState *now, Node *statement);
extern bool follow_columns_concern_key(const RegistryRow *row, const TableState *before,
									   const TableState *now, Node *statement);
extern bool follow_columns_taken(const TableState *before, const TableState *now);
extern bool follow_columns_computed(const TableState *now, AttrNumber attnum,
									Node *statement);
extern bool follow_columns_regenerated(const TableState *now, AttrNumber attnum,
									   Node *statement);
extern Node *follow_columns_using(const TableState *now, AttrNumber attnum,
								  Node *statement);
extern AttrNumber *follow_columns_held(const RegistryRow *row,
									   const TableState *before);
extern void follow_columns(RegistryRow *row, const TableState *before,
						   const TableState *now, const AttrNumber *held,
						   Node *statement, bool keep_dropped);

/* follow_drop.c: live and derived tables that are gone */
extern bool follow_drop_keeps(Oid owner, bool tracked);
extern void follow_drop_notice(Oid history);
extern void follow_drop(const RegistryRow *row, const TableState *before,
						Node *statement);
extern void follow_check_derived(const RegistryRow *row, const TableState *before,
								 const TableState *now);
extern void follow_refuse_by_hand(Oid live, const char *verb);

/* follow_kept.c: kept columns give way where their names are needed */
extern void follow_kept_free_name(Oid history, const char *name);

/* follow_key.c: the primary key, followed */
extern void follow_key(RegistryRow *row, const TableState *before,
					   const TableState *now, Node *statement);

/* follow_table.c: names, owner, parents, partitions, followed */
extern void follow_hierarchy(RegistryRow *row, const TableState *before,
							 const TableState *now);
extern void follow_partitions(RegistryRow *row, const TableState *before,
							  const TableState *now);

/* followed.c: which tables are followed, and their views out of the way */
/* what is derived from a table and changes with it */
typedef enum DerivedTables
{
	DERIVED_NONE = 0,
	DERIVED_HISTORY = 1,
	DERIVED_TRACKING = 2,
	DERIVED_BOTH = DERIVED_HISTORY | DERIVED_TRACKING
} DerivedTables;

extern List *followed_lock_views(Oid relid, bool parents, Oid new_parent, ColumnChange change,
								 DerivedTables derived);
extern bool followed_row(Oid live, RegistryRow **row);
extern void followed_suspend_view(Oid live, const Dependents *dropped, Node *statement);
extern List *followed_lock_all_views(Oid relid);

/* kept_types.c: kept columns outlive their types, and become text */
extern void kept_types_give_up(const Dependents *dependents, Node *statement);
extern void kept_types_before_alter(AlterTableStmt *statement);
extern void kept_types_before_alter_domain(AlterDomainStmt *statement);

/* before_command.c: before a DDL command: views in its way */
extern void before_command(Node *statement);

/* before_drop.c: before one that drops something: views, rows that go, what stays */
extern void before_drop(DropStmt *statement);
extern void before_drop_owned(DropOwnedStmt *statement);
extern void before_alter_type(Oid type, Node *statement);

/* segment_guard.c: nobody takes a segment away from a history that is being kept */
extern void segment_guard_check(Node *statement);

/* table_state.c: how a table looks, now and before a command */
extern void table_state_compare(const RegistryRow *row, CommandId since,
								TableState **before, TableState **now);
extern TableState *table_state_before(const RegistryRow *row, CommandId since);
extern TableState *table_state_now(const RegistryRow *row);
extern bool table_state_existed(Oid relid, CommandId since);
extern List *table_state_parents(Oid relid, CommandId since);
extern List *table_state_children(Oid relid, CommandId since);
extern Snapshot table_state_snapshot(CommandId curcid);
extern bool table_state_equal(const TableState *a, const TableState *b);
extern bool table_state_same_column(const ColumnState *a, const ColumnState *b);
extern bool table_state_has_type(Oid relid, AttrNumber attnum,
								 const ColumnState *column);

/* trigger_guard.c: who may make, change and drop the history triggers */
extern void trigger_guard_mark(Oid live);
extern void trigger_guard(Node *statement);
extern void trigger_guard_drop(Node *statement);
extern void trigger_guard_switched(Node *statement);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_FOLLOW_H */

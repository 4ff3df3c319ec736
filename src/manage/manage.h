/*
 * manage.h
 *		A table's history is begun, changed and ended: tables, indexes, triggers, rows.
 */
#ifndef CATMAID_HISTORY_MANAGE_H
#define CATMAID_HISTORY_MANAGE_H

#include "capture/capture.h"
#include "reach/reach.h"
#include "view/view.h"

#pragma GCC visibility push(hidden)

/* What existing callers test for: PL/pgSQL's RAISE EXCEPTION. */
#define ERRCODE_HISTORY_REFUSED ERRCODE_RAISE_EXCEPTION

/* A table's name, schema and owner. */
typedef struct TableIdentity
{
	NameData	name;
	Oid			namespace;
	Oid			owner;
} TableIdentity;

/* A server that statements are run on; see remote.c. */
typedef struct Remote
{
	Oid			server;
	Oid			owner;			/* as whom */
	Oid			door;			/* a foreign table */
} Remote;

/* shared by these: not the name of any table that an expression may mean */
#define CONVERT_ROWS_ALIAS	"catmaid_history old rows"

/* api_table.c: the table that an SQL function is called for: who calls, and locks */
extern Oid	api_table_argument(FunctionCallInfo fcinfo, int sqlstate);
extern void api_lock_table(Oid live, LOCKMODE mode, int sqlstate);
extern void api_lock_table_with(Oid live, LOCKMODE mode, List *changing, int sqlstate);
extern void api_lock_table_and_view(Oid live, int sqlstate);
extern RegistryRow *api_require_history(Oid live, int sqlstate);

/* comments.c: what \d+ says of history tables, tracking tables and views */
extern void comments_put(const RegistryRow *row);
extern void comments_put_tracking(Oid tracking, int n);
extern void comments_put_added(Oid history, const char *column, const Since *since);
extern bool comments_added(Oid history, AttrNumber attnum, Since *since);

/* convert.c: old values into a column of a new type */
extern void convert_rows(Oid history, const TableColumn *column, const char *from,
						 Node *using, bool volatile_too);
extern void convert_type(Oid relid, const TableColumn *column);
extern bool convert_type_try(Oid relid, const TableColumn *column);
extern AlterTableCmd *convert_type_command(const TableColumn *column);
extern bool convert_strip_qualifiers(Node *node, void *context);

/* convert_key.c: the key columns of a tracking table, converted as those of the live table were */
extern bool convert_key_possible(Oid tracking, List *columns, KeyColumn *column);
extern bool convert_key_try(Oid tracking, List *columns, List *conversions);

/* convert_text.c: a column becomes text, whatever its type */
extern bool convert_to_text(Oid relid, const char *column, bool cascade);

/* create.c: begin to keep a table's history, and cease to */
extern void history_create(Oid live, char *time_column, char *txid_column,
						   bool create_triggers, bool copy_inheritance,
						   bool sync);
extern void history_drop(Oid live, bool keep_data);

/* derived.c: the tables that belong to a live table */
extern Oid	derived_create_history(Relation live, Oid parent, bool with_maker);
extern bool derived_lacks_maker(const RegistryRow *row);
extern void derived_add_maker(const RegistryRow *row);
extern Oid	derived_create_tracking(Relation live, List *key, bool loose);
extern void derived_drop(Oid relid);
extern void derived_drop_with(Oid relid, bool cascade);
extern List *derived_columns_to_widen(Oid live, Oid history,
									  bool (*only) (Form_pg_attribute column, Oid type, int32 typmod));
extern TableColumn *derived_column_like(Form_pg_attribute att, char *name,
										const char *constraints);
extern void derived_copy_persistence(Oid live, Oid tracking);
extern void derived_add_lacking_columns(const RegistryRow *row, bool tell);
extern void derived_add_column(Oid relid, Form_pg_attribute att);
extern void derived_copy_storage(Oid relid, Form_pg_attribute att, const char *name);

/* derived_hierarchy.c: derived tables inherit as their live tables do, whoever owns which */
extern void derived_inherit(Oid child, Oid parent);
extern void derived_for_each_owner(Oid relid, void (*action) (Oid relid, void *arg),
								   void *arg);

/* derived_names.c: derived tables are named as their live table is */
extern void derived_follow_identity(const RegistryRow *row, const TableIdentity *before,
									const TableIdentity *now);
extern void derived_restore_names(RegistryRow *row);
extern void derived_follow_segment_indexes(Oid segment, const char *before, const char *now);

/* dump.c: the registry in dumps, and back from them */
extern void dump_follow_command(Node *statement);

/* in_order.c: is there nothing to be done for recording: what enabling asks first */
extern bool in_order(const RegistryRow *row);
extern List *in_order_not(List *rows);

/* indexes.c: the indexes of history and tracking tables */
extern void indexes_create_tracking(Relation live, Oid tracking, List *key);
extern void indexes_complete_tracking(Relation live, Oid tracking, List *key);
extern void indexes_loosen_tracking(Relation live, Oid tracking, List *key);
extern void indexes_create(Relation live, Oid history, List *key);
extern void indexes_create_on_segments(Relation live, Oid history, List *key);
extern void indexes_drop_on_segments(Oid history, List *key);
extern void indexes_drop(Oid history, List *key);
extern void indexes_drop_key(Oid history, List *key);

/* kept_columns.c: kept columns give way */
extern void kept_columns_move(Oid history, const char *name, Oid other);
extern void kept_columns_free_names(Oid history, Oid child);

/* left.c: what moving a segment has begun or ended with, and is no segment */
extern void left_mark(Oid relid, Oid history);
extern void left_unmark(Oid relid, Oid history);
extern List *left_of(Oid history);
extern void left_take_off(Oid segment, Oid history);
extern char *left_name(Oid segment);
extern void left_notice(Oid history);
extern bool left_lock(Oid history, bool session);
extern void left_unlock(Oid history);

/* lock_order.c: one order of locks: views, hierarchies from the top, derived tables */
extern void lock_order_take(List *lives, LOCKMODE mode, List *changing);
extern void lock_order_together(List *relids);
extern void lock_order_undo(List *relids);

/* reconcile.c: make a table's history side match the table: serves functions and follower */
extern void reconcile_enable(RegistryRow *row, bool sync);
extern void reconcile_reload(RegistryRow *row);
extern void reconcile_disable(RegistryRow *row);
extern void reconcile_columns(RegistryRow *row);
extern void reconcile_renames(RegistryRow *row);
extern void reconcile_key(RegistryRow *row);

/* rekey.c: registry, key index and tracking table take another key, or go on without one */
extern void rekey(RegistryRow *row, List *kept);
extern bool rekey_loosen(RegistryRow *row, List *kept);
extern List *rekey_kept(const RegistryRow *row);
extern void rekey_put_under_parents(const RegistryRow *row);

/* remote.c: the other server of a segment, and statements that are run there */
extern void remote_check_server(Oid server, Oid owner);
extern Remote *remote_open(Oid server, Oid owner, Oid namespace);
extern void remote_do(Remote *remote, const char *sql);
extern char *remote_ask(Remote *remote, const char *sql);
extern void remote_close(Remote *remote);
extern char *remote_table_name(Oid relid);
extern char *remote_claim(void);

/* remote_columns.c: the columns of a segment on another server, and those of its table there */
extern char *remote_type_sql(Oid server, Oid type, int32 typmod, const char **why);
extern char *remote_collation_sql(Remote *remote, Oid collation);
extern char *remote_absent_columns_sql(void);
extern char *remote_column_name(Oid relid, const char *column);
extern void remote_columns_follow(Oid history);
extern void remote_columns_take_over(Oid history, const char *column, const char *from);
extern void remote_columns_retype(Oid history, const TableColumn *column);
extern void remote_columns_stay(Oid history, const char *column, bool is_key);

/* row_security.c: row-level security of history and tracking table: never less than the live table's */
extern void row_security_follow_command(Node *statement);
extern void row_security_raise(const RegistryRow *row);
extern void row_security_raise_one(Oid live, Oid derived);

/* take_up.c: a history that was kept is used again */
extern Oid	take_up_history(Oid live);

/* tracking_sync.c: tracking tables as a whole: synced, emptied, carried over */
extern void tracking_sync(const RegistryRow *row);
extern void tracking_count_differences(const RegistryRow *row, int64 *orphaned,
									   int64 *missing);
extern void tracking_complete(const RegistryRow *row);
extern void tracking_carry_over(const RegistryRow *row, Oid old, List *kept);
extern void tracking_add_from(const RegistryRow *row, Oid source);

/* triggers.c: the triggers on live tables, made and removed */
extern void triggers_install(Relation live, const RegistryRow *row,
							 int sqlstate);
extern void triggers_follow_columns(const RegistryRow *row);
extern bool triggers_remove(Relation live);
extern void triggers_install_truncate(Relation leaf, const RegistryRow *row,
									  int sqlstate);
extern void triggers_remove_truncate(Relation leaf);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_MANAGE_H */

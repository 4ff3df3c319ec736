/*
 * base.h
 *		What does not know of histories: commands and catalogs, names, types, columns,
 *		rights, rows.
 *
 * Timestamps are PostgreSQL's: microseconds, and "now" is the transaction's
 * start.  Transaction ids are the 64-bit ones.  Lists of names are Lists of
 * palloc'd char *.
 */
#ifndef CATMAID_HISTORY_BASE_H
#define CATMAID_HISTORY_BASE_H

#include "access/skey.h"
#include "access/xact.h"
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

/* where the extension has what is not documented */
#define INTERNAL_SCHEMA "catmaid_history_internal"

/* What relation_writer.c knows of a table that it writes. */
typedef struct RelationShape RelationShape;

/* A relation opened for writing rows, with its indexes; see relation_writer.c. */
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
	ResourceOwner owner;		/* of what is open */
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

/* A column of a table that is to be made, or of a type to be given. */
typedef struct TableColumn
{
	char	   *name;
	Oid			type;			/* a base type */
	int32		typmod;
	Oid			collation;
	const char *constraints;	/* "" or SQL, with a space in front */
} TableColumn;

/* On what occasion; see security_act_as. */
#define ACT_FOR_WRITER	0x01
#define ACT_TO_MANAGE	0x02

typedef struct SecurityState
{
	Oid			role;			/* as whom it is acted */
	Oid			user;			/* and what was before */
	int			context;
	int			guc_level;		/* 0: settings are not put back */
	ErrorContextCallback callback;
	bool		hides;
} SecurityState;

typedef enum OnDrop
{
	ON_DROP_DROP,
	ON_DROP_KEEP
} OnDrop;

typedef struct RowSecurityFlags
{
	bool		enabled;
	bool		forced;
} RowSecurityFlags;

typedef enum DDLSearchPath
{
	DDL_PLAIN_SEARCH_PATH,		/* pg_catalog */
	DDL_SESSION_SEARCH_PATH
} DDLSearchPath;

typedef void (*DDLAction) (void *arg);

typedef enum AsOfIncomplete
{
	AS_OF_INCOMPLETE_ERROR,
	AS_OF_INCOMPLETE_WARNING
} AsOfIncomplete;

typedef enum AsOfUntracked
{
	AS_OF_UNTRACKED_PRESENT,
	AS_OF_UNTRACKED_ERROR
} AsOfUntracked;

/* A query that is running; see as_of.c. */
typedef struct AsOfRun
{
	void	   *query;			/* QueryDesc */
	SubTransactionId subid;
	int			depth;
	uint64		number;			/* of the value that was set when it began */
	bool		differs;		/* from what was in force */
	bool		past;
	TimestampTz instant;
} AsOfRun;

/* May another instant be set while queries run?  If not, the GUC_check_err… are set. */
typedef bool (*as_of_may_change_type) (void);

/* as_of.c: which instant queries of this session see */
extern as_of_may_change_type as_of_may_change;
extern void (*as_of_at_first) (void);
extern void as_of_init(void);
extern bool as_of_is_set(void);
extern bool as_of_is_fixed(TimestampTz instant);
extern bool as_of_was_ever_set(void);
extern bool as_of_past(TimestampTz *instant);
extern void as_of_check_write(Oid relid);
pg_noreturn extern void as_of_refuse_write(Oid relid, TimestampTz instant);
extern AsOfIncomplete as_of_when_incomplete(void);
extern AsOfUntracked as_of_when_untracked(void);
extern char *as_of_shown(TimestampTz instant);
extern char *as_of_written(TimestampTz instant);
extern void as_of_begin_present(void);
extern void as_of_end_present(void);
extern int	as_of_begin_run(void *query);
extern bool as_of_run_in(int run, bool past, TimestampTz instant);
extern void as_of_end_run(int run);
extern const AsOfRun *as_of_running(int run);

/* attempt.c: what may fail, in a subtransaction of its own */
extern ErrorData *attempt_or_error(DDLAction action, void *arg);
extern ErrorData *attempt_dry(DDLAction action, void *arg);
extern char *attempt_for_one(DDLAction action, void *arg);
extern bool attempt_may_swallow(int sqlstate);
extern bool attempt_or_message(DDLAction action, void *arg, char **message);

/* catalog_change.c: single changes of the catalogs, by OID, that evaluate nothing: with view_query.c the only place with a superuser's rights */
extern Oid	catalog_create_table(Oid namespace, const char *name, Oid owner,
								 char persistence, List *columns, List *options);
extern Oid	catalog_create_foreign_table(Oid namespace, const char *name, Oid owner,
										 List *columns, const char *server, List *options);
extern void catalog_set_column_option(Oid relid, const char *column, const char *option,
									  const char *value);
extern void catalog_add_column(Oid relid, const char *name, Oid type, int32 typmod,
							   Oid collation);
extern void catalog_drop_column(Oid relid, const char *name, bool recurse, bool cascade);
extern void catalog_set_column_storage(Oid relid, const char *name, const char *storage);
extern void catalog_set_column_compression(Oid relid, const char *name,
										   const char *method);
extern void catalog_rename_column(Oid relid, const char *from, const char *to);
extern void catalog_inherit(Oid child, Oid parent);
extern void catalog_disinherit(Oid child, Oid parent);
extern void catalog_columns_are_inherited(Oid relid);
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

/* columns.c: columns and keys of a relation */
extern bool columns_all_exist(Oid relid, List *names);
extern Node *columns_default_expression(Oid relid, AttrNumber attnum);
extern char *columns_default_sql(Oid relid, AttrNumber attnum);
extern List *columns_key(Relation rel);
extern bool columns_same_names(List *a, List *b);
extern char *columns_type_sql(Form_pg_attribute att);
extern char *columns_collation_sql(Oid collation);
extern bool columns_have_type(Oid relid, AttrNumber attnum, Oid type, int32 typmod, Oid collation);
extern Form_pg_attribute columns_find(Relation rel, const char *name);
extern Oid	columns_primary_key_index(Relation rel);
extern Oid	columns_key_opclass(Relation index, int column, Oid type);
extern Oid	columns_key_equality(Relation index, int column, Oid type);

/* ddl.c: what may run somebody's code: ALTER TABLE and queries as the owner; the guard against our event triggers */
extern bool ddl_is_ours(void);
extern void ddl_execute(Oid role, const char *format,...) pg_attribute_printf(2, 3);
extern uint64 ddl_execute_query(Oid role, List *relids, const char *sql);
extern void ddl_query_numbers(Oid role, List *relids, const char *sql,
							  int64 *numbers, int n);
extern char *ddl_query_text(Oid role, List *relids, const char *sql);
extern void ddl_add_column(Oid relid, const TableColumn *column);
extern void ddl_alter_table(Oid relid, bool recurse, const char *actions);
extern void ddl_alter_table_cmds(Oid role, Oid relid, List *cmds, bool recurse,
								 DDLSearchPath search_path);
extern char *ddl_dependents(MemoryContext context);

/* hint.c: what a hint names */
extern char *hint_function(const char *name);
extern char *hint_table(Oid relid);

/* drop_functions.c: the two functions that the database's owner may replace, in hints and checks */
extern char *drop_function_name(bool keep_data);
extern bool drop_function_altered(bool keep_data);
extern void drop_functions_let_go(Node *statement);
extern void drop_functions_take_back(Node *statement);

/* extension.c: the extension's schema and registry, found through the extension */
extern Oid	extension_registry(void);
extern Oid	extension_registry_or_invalid(void);
extern Oid	extension_namespace(void);
extern uint64 extension_registry_changes(void);
extern void extension_forget_registry(Oid relid);

/* leaf_rows.c: the rows of a table whose partitions belong to several owners, for our queries */
extern char *leaf_rows_source(Oid live);
extern List *leaf_rows_register(List **relids);

/* lineage.c: what a table inherits from, and the partitions below it */
extern bool lineage_column_is_inherited(Oid relid, AttrNumber attnum);
extern List *lineage_parents(Oid relid);
extern int	lineage_depth(Oid relid);
extern Oid	lineage_origin(Oid relid, const char *column);
extern List *lineage_of(Oid relid);
extern List *lineage_below(Oid relid);
extern bool lineage_may_have_below(Oid relid);
extern Oid	lineage_root(Oid relid);
extern bool lineage_attached_here(Oid relid);
extern List *lineage_partition_tree(Oid root, LOCKMODE mode);
extern List *lineage_ancestors(Oid relid);
extern bool lineage_is_detaching(Oid root);
extern bool lineage_is_being_detached(Oid relid);
extern List *lineage_leaf_partitions(Oid root, LOCKMODE mode);

/* lookup.c: keys looked up in a table, one after another */
extern Lookup *lookup_open(Relation rel, Oid index, const ScanKeyData *keys,
						   int nkeys);
extern void lookup_start(Lookup *scan, const Datum *key, Snapshot snapshot);
extern HeapTuple lookup_next(Lookup *scan);
extern void lookup_stop(Lookup *scan);
extern void lookup_close(Lookup *scan);

/* naming.c: derived names, quoting */
extern char *naming_key_column(int nkeys, int i);
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

/* privileges.c: who may read a history: those who may read its table */
extern void privileges_clear(Oid relid, bool owners_too);
extern void privileges_copy_select(Oid live, Oid derived);
extern List *privileges_let_readers(Oid view, Oid live, Oid derived);

/* relation.c: a relation by OID: locked, and the one that was meant */
extern bool relation_is_locked(Oid relid, LOCKMODE mode);
extern void relation_lock(Oid relid, LOCKMODE mode);
extern void relation_check_meant(Oid meant, Oid found);

/* result_set.c: the rows of a set-returning function */
extern ReturnSetInfo *result_set_begin(FunctionCallInfo fcinfo);

/* relation_writer.c: rows into a table and its indexes, from C */
extern RelationShape *relation_shape(Relation rel, int not_null, int defaults,
									 bool simple);
extern bool relation_shape_bypasses_executor(const RelationShape *shape);
extern void relation_writer_open(RelationWriter *writer, Oid relid,
								 RelationShape *shape);
extern TupleTableSlot *relation_writer_slot(RelationWriter *writer);
extern void relation_writer_insert(RelationWriter *writer, bool may_wait);
extern void relation_writer_insert_as_of(RelationWriter *writer, CommandId cid);
extern void relation_writer_flush(RelationWriter *writer);
extern void relation_writer_flush_into_subxact(RelationWriter *writer, ResourceOwner owner);
extern void relation_writer_forget(RelationWriter *writer);
extern void relation_writer_let_go(RelationWriter *writer);
extern void relation_writer_update(RelationWriter *writer, ItemPointer tid);
extern void relation_writer_delete(RelationWriter *writer, ItemPointer tid);
extern void relation_writer_close(RelationWriter *writer);

/* relation_writer_executor.c: the same where a site has put triggers, constraints or expressions on it */
extern void executor_open(RelationWriter *writer);
extern void executor_insert(RelationWriter *writer, TupleTableSlot *slot, CommandId cid);
extern void executor_update(RelationWriter *writer, ItemPointer tid, TupleTableSlot *slot);
extern void executor_delete(RelationWriter *writer, ItemPointer tid);
extern void executor_close(RelationWriter *writer);

/* row_security_flags.c: whether a table has row-level security */
extern bool row_security_flags(Oid relid, RowSecurityFlags *flags);
extern bool row_security_lacks(Oid live, Oid derived);
extern bool row_security_is_enabled(Oid relid);

/* security.c: ownership, acting as the owner */
extern void security_set_for_command(const char *name, const char *value);
extern void security_check_owner(Oid relid, int sqlstate);
extern Oid	security_owner_of(Oid relid);
extern Oid	security_owner_or_invalid(Oid relid);
extern void security_act_as(Oid role, int how, SecurityState *before);
extern void security_act_as_before(const SecurityState *before);
extern int	security_begin_code(Oid history, bool bypass_executor);
extern void security_end_code(int level);
extern char *security_role_sql(Oid role);
extern Acl *security_relation_acl(Oid relid);
extern bool security_may_use_default_tablespace(void);

/* settings.c: the follower's settings, and for whose tables they count */
extern void settings_init(void);
extern bool settings_follow_any(void);
extern bool settings_follow_ddl(Oid owner);
extern OnDrop settings_on_drop_column(Oid owner);
extern OnDrop settings_on_drop_table(Oid owner);

/* subxact_list.c: lists whose entries belong to a subtransaction */
typedef struct SubxactEntry
{
	SubTransactionId subid;
} SubxactEntry;

extern List *subxact_list_end(List *list, SubXactEvent event, SubTransactionId mine,
							  SubTransactionId parent);

/* types.c: which type holds all values of another: what counts as lossless */
extern bool types_widen_in_place(Form_pg_attribute column, Oid type, int32 typmod);
extern bool types_hold(Oid from, int32 from_mod, Oid to, int32 to_mod);
extern bool types_print_exactly(Oid type);
extern void types_below_domains(Form_pg_attribute att, Oid *type, int32 *typmod);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_BASE_H */

/*
 * undo.h
 *		Taking back what transactions did, and bringing tables back to an instant.
 *
 * A call is a Run: over its tables it finds what was there before (find.c), locks the
 * rows (lock.c), judges what is to be done (judge.c, references.c), and writes it
 * (write.c); conflict.c puts into words what is in the way.  Each step is one query a
 * table, whose result is kept in a Store, by whose name the next step reads it.
 */
#ifndef CATMAID_HISTORY_UNDO_H
#define CATMAID_HISTORY_UNDO_H

#include "read/read.h"

#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#pragma GCC visibility push(hidden)

typedef enum OnConflict
{
	CONFLICT_ERROR,
	CONFLICT_SKIP,
	CONFLICT_FORCE
} OnConflict;

/* The rows of a query, to which later ones refer by its name. */
typedef struct Store
{
	char	   *name;
	Tuplestorestate *tuples;
	TupleDesc	desc;
	uint64		count;
	EphemeralNamedRelationData enr;
} Store;

/* A column of a live table. */
typedef struct UndoColumn
{
	AttrNumber	attnum;
	char	   *name;			/* as SQL spells it */
	char	   *plain;
	char	   *alias;			/* in stores: c<attnum> */
	Oid			type;			/* the history's, which holds the live one */
	char	   *type_sql;
	bool		same_type;
	bool		is_key;
	bool		is_silent;		/* every change changes it: time and txid column */
	bool		is_generated;
	bool		is_identity;	/* GENERATED ALWAYS: an UPDATE cannot set it */
	char	   *added;			/* when, and the snapshot; NULL: it was always there */
	char	   *added_after;
	char	   *default_sql;	/* or NULL */
	bool		is_referred;	/* a foreign key refers to it, and it is no key's */
} UndoColumn;

/* What is to be done with a row; in stores "U" for UPDATE and so on. */
#define ACT_INSERT	'I'
#define ACT_UPDATE	'U'
#define ACT_DELETE	'D'

/* Why it cannot be; in stores, as conflict.c puts into words. */
#define KIND_CHANGED	"changed"	/* since, by another transaction */
#define KIND_DELETED	"deleted"	/* likewise */
#define KIND_TAKEN		"taken" /* there is another row of that key */
#define KIND_BETWEEN	"between"	/* another transaction came between */
#define KIND_UNKNOWN	"unknown"	/* it is not known what was there */

/* A table whose rows are to be undone. */
typedef struct UndoTable
{
	Oid			relid;
	int			number;
	RegistryRow *row;
	Relation	live;
	Relation	history;
	char	   *name;			/* as FROM has it, with ONLY */
	List	   *columns;		/* of UndoColumn */
	Store	   *found;
	Store	   *plan;
	Store	   *blocked;		/* rows of the plan that cannot be, and why */
	Store	   *told;			/* conflicts in words */
	bool		stale;			/* a row was changed before it was locked */
	bool		has_repeated;	/* found: several of one key, or an unknown one */
	bool		erased;			/* versions of its rows were erased since */
	uint64		planned[3];		/* rows to delete, update, insert; without the blocked ones */
	uint64		nconflicts;		/* rows of the plan with a kind */
	uint64		nunmade;		/* versions found of which it is not known who made them */
	uint64		ndelete;		/* rows found that may have to be deleted */
	bool		replace;		/* delete and insert in place of an update */
	List	   *park;			/* columns that are NULL until they are written */
	char	   *unknown;		/* why its past cannot be known, or NULL */
	int			order;			/* parents have higher numbers */
} UndoTable;

/* A foreign key between two tables, of which one at least is to be undone. */
typedef struct UndoReference
{
	Oid			constraint;
	char	   *name;
	Oid			child;
	Oid			parent;
	UndoTable  *child_table;	/* or NULL */
	UndoTable  *parent_table;	/* or NULL */
	int			nkeys;
	AttrNumber *child_columns;
	AttrNumber *parent_columns;
	bool		by_key;			/* the parent's columns are its key's */
	bool		spreads;		/* ON DELETE CASCADE and the like */
	bool		no_action;		/* neither that nor RESTRICT */
	Oid		   *operators;		/* parent = child */
} UndoReference;

typedef struct UndoRun
{
	bool		restore;		/* as of an instant; or else transactions */
	Datum		params[3];		/* of the queries: transactions, instant, keys */
	char		nulls[4];
	int			ntransactions;
	OnConflict	on_conflict;
	bool		dry_run;
	bool		judge_only;		/* nothing may be written */
	bool		one_by_one;		/* a statement a table */
	bool		stale;			/* what was found has changed until it was locked */
	List	   *tables;			/* of UndoTable, by OID */
	List	   *references;		/* of UndoReference */
	List	   *stores;
	int			retries;
	ErrorData  *first;			/* what made it be tried in another way */
	MemoryContext context;
	ResourceOwner owner;
} UndoRun;

/* conflict.c: what is in the way, in words */
extern void conflict_tell(UndoRun *run);
extern bool conflict_any(const UndoRun *run);
pg_noreturn extern void conflict_refuse(UndoRun *run);
extern void conflict_put_rows(UndoRun *run, ReturnSetInfo *result);

/* find.c: what was there before */
extern void find_rows(UndoRun *run, UndoTable *table);

/* judge.c: what is to be done */
extern void judge_rows(UndoRun *run, UndoTable *table);

/* known.c: what cannot be known */
extern void known_check(UndoRun *run);

/* lock.c: the rows, in one order */
extern void lock_rows(UndoRun *run, UndoTable *table);

/* plan.c: which rows are to be written */
extern char *plan_active_sql(const UndoRun *run, const UndoTable *table, const char *alias);
extern char *plan_rows_sql(const UndoRun *run, const UndoTable *table, const char *acts);

/* references.c: foreign keys and unique values, to a fixpoint */
extern void references_find(UndoRun *run);
extern char *references_columns_sql(const UndoRun *run, const UndoTable *table, bool names_only);
extern void references_judge(UndoRun *run);
extern bool references_let_replace(const UndoRun *run, const UndoTable *table);

/* store.c: results that later queries read */
extern Store *store_query(UndoRun *run, const char *prefix, const UndoTable *table, const char *sql,
						  void (*see) (UndoTable *table, HeapTuple tuple, TupleDesc desc));
extern uint64 store_add(UndoRun *run, Store *store, const char *sql);
extern uint64 store_execute(UndoRun *run, const char *sql);
extern void store_forget_all(UndoRun *run);

/* table.c: the tables, and the SQL of their columns and keys */
extern void tables_open(UndoRun *run, ArrayType *tables);
extern void tables_close(UndoRun *run);
extern UndoTable *table_of(const UndoRun *run, Oid relid);
extern UndoColumn *table_column_of(const UndoTable *table, AttrNumber attnum);
extern void table_equal_sql(StringInfo sql, const char *a, Oid a_type, Oid equal, const char *b, Oid b_type);
extern bool table_has_operators(const UndoTable *table);
extern char *table_lost_sql(const UndoTable *table, const char *version);
extern char *table_absent_sql(const UndoRun *run, const UndoColumn *column, const char *version);
extern char *table_live_sql(const UndoColumn *column, const char *alias);
extern char *table_keys_equal_sql(const UndoTable *table, const char *a, const char *b);
extern char *table_live_equal_sql(const UndoTable *table, const char *live, const char *b);
extern char *table_row_sql(const UndoTable *table, const char *alias, bool live);
extern char *table_list_sql(const UndoTable *table, const char *format, bool keys_only);

/* write.c: it is done */
extern void write_rows(UndoRun *run);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_UNDO_H */

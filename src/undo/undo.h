/*
 * undo.h
 *		Taking back what transactions did, and bringing tables back to an instant.
 *
 * A call is a Run: over its tables it finds what was there before (find.c), judges what is
 * to be done (judge.c), locks the rows (lock.c), judges what they refer to (references.c),
 * and writes it (write.c); conflict.c puts into words what is in the way.  What is to be
 * done is kept in a Store, by whose name the queries of the next steps read it.
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
	ExprState  *default_value;	/* of one that was added; NULL: there is none, or it has another type */
	bool		is_referred;	/* a foreign key refers to it, and it is no key's */
	int			image_length;	/* typlen and typbyval, to compare byte by byte */
	bool		image_by_value;
	bool		differs;		/* an UPDATE of the plan changes it */
	int			absent_at;		/* in what find.c finds: was it added later than before, and than left */
} UndoColumn;

/* Rows by where they are, so that two sets can be compared: how many, and a sum of hashes. */
typedef struct UndoPlaces
{
	uint64		count;
	uint64		sum;
} UndoPlaces;

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
	ExprContext *econtext;		/* for defaults, or NULL */
	Store	   *rest;			/* rows found, whose live row is not told yet */
	Store	   *plan;
	Store	   *blocked;		/* rows of the plan that cannot be, and why */
	Store	   *told;			/* conflicts in words */
	Store	   *places;			/* where the rows are before they are written */
	bool		several;		/* there may be several versions of a key to choose from */
	bool		erased;			/* versions of its rows were erased since */
	bool		keyless;		/* there are versions without a value of today's key */
	bool		is_incomplete;	/* erased or keyless, as the plan has it */
	TimestampTz first;			/* of what was found, the first change; DT_NOEND: none is known */
	uint64		nfound;
	UndoPlaces	made;			/* live rows that the transactions made, or that are younger */
	UndoPlaces	judged;			/* live rows that the plan is about */
	uint64		acts[3];		/* rows of the plan to delete, update, insert; all of them */
	uint64		planned[3];		/* likewise, without conflicts and the blocked ones */
	uint64		nconflicts;		/* rows of the plan with a kind */
	bool		replace;		/* delete and insert in place of an update */
	List	   *park;			/* columns that are NULL until they are written */
	List	   *park_for;		/* where one of these changes */
	Oid			strict;			/* an index whose values cannot be exchanged */
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
	List	   *own_columns;	/* of the child's table, of UndoColumn */
	bool		by_key;			/* the parent's columns are its key's */
	bool		delete_acts;	/* ON DELETE is not NO ACTION */
	bool		update_acts;	/* ON UPDATE is not NO ACTION */
	Oid		   *operators;		/* parent = child */
	uint64		ndiffer;		/* rows of the child's plan that come, or will refer to another row */
} UndoReference;

/* A transaction that is to be undone, and when it has ended versions, and made them. */
typedef struct UndoTransaction
{
	int64		id;
	TimestampTz first;			/* DT_NOEND: it has ended none */
	TimestampTz last;
	TimestampTz first_made;		/* likewise, of rows that it inserted into tables with a tracking table */
	TimestampTz last_made;
} UndoTransaction;

/*
 * What was found of a row, as judge.c is given it: columns of find.c's query, of which
 * FOUND_COLUMNS come before those of the table, two for each: before, and as it was left;
 * and the live row.
 */
typedef struct FoundRow
{
	const Datum *values;
	const bool *isnull;
	const Datum *live;
	const bool *live_isnull;
	int			live_step;		/* from one column to the next */
	bool		is_live;
	ItemPointer place;
	Oid			part;
} FoundRow;

#define FOUND_SIDE		0		/* what was found; null: nothing was there */
#define FOUND_LEFT		1		/* what was left; null: nothing */
#define FOUND_PLACE		2		/* of the live row that was left */
#define FOUND_PART		3
#define FOUND_PENDER	4
#define FOUND_PENDED	5
#define FOUND_QENDER	6
#define FOUND_QENDED	7
#define FOUND_QMAKER	8
#define FOUND_QBEGAN	9
#define FOUND_DOUBT		10
#define FOUND_LOST		11
#define FOUND_REPEATED	12
#define FOUND_FIRST		13
#define FOUND_UNMADE	14
#define FOUND_INSERTED	15		/* the first of the transactions had found nothing */
#define FOUND_COLUMNS	16

#define SIDE_FOUND		1
#define SIDE_LEFT		2
#define SIDE_LIVE		3
#define SIDE_DOUBTFUL	4
#define SIDE_INNER		5

typedef struct UndoRun
{
	bool		restore;		/* as of an instant; or else transactions */
	Datum		params[3];		/* of the queries: transactions, instant, keys */
	char		nulls[4];
	int			ntransactions;
	UndoTransaction *transactions;	/* by id, each once */
	OnConflict	on_conflict;
	bool		dry_run;
	bool		judge_only;		/* nothing may be written */
	bool		one_by_one;		/* a statement a table */
	List	   *tables;			/* of UndoTable, by OID */
	List	   *references;		/* of UndoReference */
	List	   *stores;
	int			retries;
	int			store_mem;		/* kB that a store may have before it goes to disk */
	ErrorData  *first;			/* what made it be tried in another way */
	UndoTable  *first_table;	/* that of its constraint */
	Oid			first_index;
	MemoryContext context;
	ResourceOwner owner;
} UndoRun;

/* chain.c: rows of a table that refers to itself */
extern uint64 chain_judge(UndoRun *run, UndoTable *table, const char *match, const char *same,
						  const char *why_stays, const char *why_away);

/* conflict.c: what is in the way, in words */
extern void conflict_tell(UndoRun *run);
extern bool conflict_any(const UndoRun *run);
pg_noreturn extern void conflict_refuse(UndoRun *run);
pg_noreturn extern void conflict_refuse_changing(void);
extern void conflict_put_rows(UndoRun *run, ReturnSetInfo *result);

/* find.c: what was there before */
extern bool find_rows(UndoRun *run, UndoTable *table);

/* judge.c: what is to be done */
extern void judge_begin(UndoRun *run, UndoTable *table, TupleDesc found);
extern void judge_row(UndoRun *run, UndoTable *table, const FoundRow *row);

/* known.c: what cannot be known */
extern void known_transactions(UndoRun *run, ArrayType *ids);
extern void known_note(UndoRun *run, int64 ender, TimestampTz ended);
extern void known_note_made(UndoRun *run, int64 maker, TimestampTz began);
extern bool known_check(UndoRun *run);

/* live.c: live rows that are to be judged */
extern char *live_from_sql(const UndoRun *run, const UndoTable *table);
extern char *live_start_sql(const UndoTable *table);

/* lock.c: the rows, in one order */
extern void lock_note(UndoPlaces *places, ItemPointer place, Oid part);
extern bool lock_rows(UndoRun *run, UndoTable *table);

/* plan.c: which rows are to be written */
extern char *plan_active_sql(const UndoRun *run, const UndoTable *table, const char *alias);
extern char *plan_condition_sql(const UndoRun *run, const UndoTable *table, const char *alias, const char *acts);
extern char *plan_rows_sql(const UndoRun *run, const UndoTable *table, const char *acts);

/* references.c: foreign keys and unique values, to a fixpoint */
extern void references_find(UndoRun *run);
extern void references_judge(UndoRun *run);
extern bool references_act(const UndoRun *run);
extern bool references_let_replace(const UndoRun *run, const UndoTable *table);

/* store.c: results that later queries read */
typedef void (*StoreSee) (void *arg, TupleTableSlot *slot);
typedef void (*StoreSeeDesc) (void *arg, TupleDesc desc);
extern void store_see(UndoRun *run, const char *sql, StoreSeeDesc begin, StoreSee see, void *arg);
extern Store *store_make(UndoRun *run, const char *prefix, const UndoTable *table, TupleDesc desc);
extern void store_put(Store *store, const Datum *values, const bool *isnull);
extern void store_put_slot(Store *store, TupleTableSlot *slot);
extern Store *store_query(UndoRun *run, const char *prefix, const UndoTable *table, const char *sql);
extern uint64 store_add(UndoRun *run, Store *store, const char *sql);
extern uint64 store_execute(UndoRun *run, const char *sql);
extern void store_forget_all(UndoRun *run);

/* table.c: the tables, and the SQL of their columns and keys */
extern void tables_open(UndoRun *run, ArrayType *tables);
extern void tables_close(UndoRun *run);
extern UndoTable *table_of(const UndoRun *run, Oid relid);
extern UndoColumn *table_column_of(const UndoTable *table, AttrNumber attnum);
extern void table_equal_sql(StringInfo sql, const char *a, Oid a_type, Oid equal, const char *b, Oid b_type);
extern bool table_lets_go(const UndoTable *table);
extern bool table_has_operators(const UndoTable *table);
extern char *table_lost_sql(const UndoTable *table, const char *version);
extern char *table_absent_sql(const UndoRun *run, const UndoColumn *column, const char *version);
extern char *table_live_sql(const UndoColumn *column, const char *alias);
extern char *table_keys_equal_sql(const UndoTable *table, const char *a, const char *b);
extern char *table_live_equal_sql(const UndoTable *table, const char *live, const char *b);
extern char *table_row_sql(const UndoTable *table, const char *alias, bool live);
extern char *table_list_sql(const UndoTable *table, const char *format, bool keys_only);

/* unique.c: unique values and exclusion constraints */
extern uint64 unique_judge(UndoRun *run, UndoTable *table);
extern List *unique_columns(const UndoTable *table, Relation index, List **plain);

/* write.c: it is done */
extern void write_rows(UndoRun *run);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_UNDO_H */

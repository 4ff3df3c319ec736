/*
 * log_table.c
 *		The log, catmaid_transaction_info: whether this transaction is in it, and
 *		its entry put there and taken away again.
 *
 * It is written as its owner, as versions are as the owner of the live table: who
 * writes a tracked table needs no right on the log, and what a site has put on the log
 * (a column with a default, a trigger, a constraint) runs with the rights of whoever
 * owns it, in a security-restricted operation where the session is another's.  With
 * nothing of the kind there, rows go straight to the table and its indexes.
 *
 * A transaction's entry is told by its id and the time that it began: ids come again
 * where a dump is restored into another cluster.
 *
 * What is known of the table is kept until it changes (the relcache callback only
 * marks).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "log/log.h"
#include "compat.h"

/* what is known of it */
static struct
{
	Oid			relid;			/* or InvalidOid */
	bool		valid;			/* the rest is so */
	MemoryContext context;
	Oid			owner;
	Oid			type;			/* of change_type */
	AttrNumber	attnum[LOG_NCOLUMNS];	/* 0: there is no such column */
	Oid			key_index;		/* on the first two; or InvalidOid */
	RelationShape *shape;
	bool		bypass_executor;
}			log_table;

/* see begin_writing */
typedef struct LogWriting
{
	RelationWriter writer;
	MemoryContext context;		/* that of before */
	SecurityState before;
	int			settings;
} LogWriting;

static const char *const column_names[LOG_NCOLUMNS] = {
	"transaction_id", "execution_time", "user_id", "project_id", "change_type", "label", "context"
};

static void add_context(void *argument);
static bool begin_writing(LogWriting *log);
static void end_writing(LogWriting *log);
static void log_table_forget(Datum arg, Oid relid);
static void log_table_know(void);
static bool log_table_is_ours_only(Relation rel);
static Oid	key_index(Relation rel);
static bool has_entry(Relation rel);
static void log_table_fill(TupleTableSlot *slot, const LogEntry *entry);
static void log_table_put(TupleTableSlot *slot, LogColumn column, Datum value);
static void fill_others(RelationWriter *writer, TupleTableSlot *slot);
static Datum change_type_datum(int change_type);

void
log_table_init(void)
{
	CacheRegisterRelcacheCallback(log_table_forget, (Datum) 0);
}

/* The log, or InvalidOid if the extension is not there. */
Oid
log_table_relid(void)
{
	if (!OidIsValid(log_table.relid) && OidIsValid(extension_registry_or_invalid()))
		log_table.relid = get_relname_relid(LOG_TABLE, extension_namespace());
	return log_table.relid;
}

/*
 * Put the entry in the log, unless this transaction has one that it sees.  Returns
 * whether it has been put there, and where.  Errors: those of what a site has put on
 * the log.
 */
bool
log_table_complete(const LogEntry *entry, ItemPointer at)
{
	LogWriting	log;
	ErrorContextCallback callback = {.callback = add_context};
	bool		done = false;

	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (begin_writing(&log))
	{
		if (!has_entry(log.writer.rel))
		{
			TupleTableSlot *slot = relation_writer_slot(&log.writer);

			log_table_fill(slot, entry);
			if (!log_table.bypass_executor)
				fill_others(&log.writer, slot);
			ExecStoreVirtualTuple(slot);
			relation_writer_insert_as_of(&log.writer, entry->cid);
			done = ItemPointerIsValid(&slot->tts_tid);
			*at = slot->tts_tid;
		}
		end_writing(&log);
	}
	error_context_stack = callback.previous;
	return done;
}

static void
add_context(void *argument)
{
	errcontext("the entry of the transaction in table \"%s\"", LOG_TABLE);
}

/* Take the entry away that was put there. */
void
log_table_delete(ItemPointer at)
{
	LogWriting	log;

	if (!begin_writing(&log))
		return;
	relation_writer_delete(&log.writer, at);
	end_writing(&log);
}

/* Returns true for the name of a column of ours. */
bool
log_table_is_ours(const char *column)
{
	int			i;

	for (i = 0; i < LOG_NCOLUMNS; i++)
		if (strcmp(column, column_names[i]) == 0)
			return true;
	return false;
}

/* Put a row in the log that a dump has brought, with a value for each of its columns. */
void
log_table_restore(const Datum *values, const bool *isnull)
{
	LogWriting	log;
	TupleTableSlot *slot;
	int			natts;

	if (!begin_writing(&log))
		elog(ERROR, "table \"%s\" is not there", LOG_TABLE);
	slot = relation_writer_slot(&log.writer);
	natts = slot->tts_tupleDescriptor->natts;
	memcpy(slot->tts_values, values, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, isnull, sizeof(bool) * natts);
	ExecStoreVirtualTuple(slot);
	relation_writer_insert_as_of(&log.writer, GetCurrentCommandId(true));
	end_writing(&log);
}

/*
 * Open the log for writing, as its owner, with memory of its own, until end_writing.
 * Returns false, and has done nothing, if there is no log.
 */
static bool
begin_writing(LogWriting *log)
{
	log_table_know();
	if (!log_table.valid)
		return false;
	log->context = MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext,
															   "catmaid_history log",
															   ALLOCSET_SMALL_SIZES));
	security_act_as(log_table.owner, ACT_FOR_WRITER, &log->before);
	log->settings = security_begin_code(log_table.relid, log_table.bypass_executor);
	relation_writer_open(&log->writer, log_table.relid, log_table.shape);
	return true;
}

static void
end_writing(LogWriting *log)
{
	relation_writer_close(&log->writer);
	security_end_code(log->settings);
	security_act_as_before(&log->before);
	MemoryContextDelete(MemoryContextSwitchTo(log->context));
}

/*
 * Returns true if something that a site has put on the log may have been left for the
 * transaction's end.
 */
bool
log_table_may_defer(void)
{
	return log_table.valid && !log_table.bypass_executor;
}

static void
log_table_forget(Datum arg, Oid relid)
{
	if (OidIsValid(relid) && relid != log_table.relid)
		return;
	log_table.relid = InvalidOid;
	log_table.valid = false;
}

/* Lock the log as for writing, and look at it, if it has changed. */
static void
log_table_know(void)
{
	MemoryContext context;
	MemoryContext before;
	Relation	rel;
	int			i;

	if (!OidIsValid(log_table_relid()))
		return;
	/* takes in what has been changed; it may have been another table's name, too */
	LockRelationOid(log_table.relid, RowExclusiveLock);
	if (log_table.valid || !OidIsValid(log_table_relid()))
		return;

	rel = table_open(log_table.relid, RowExclusiveLock);
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an ordinary table, which the transaction log must be",
						RelationGetRelationName(rel))));
	context = AllocSetContextCreate(CurrentMemoryContext, "catmaid_history log",
									ALLOCSET_SMALL_SIZES);
	before = MemoryContextSwitchTo(context);
	for (i = 0; i < LOG_NCOLUMNS; i++)
	{
		Form_pg_attribute att = columns_find(rel, column_names[i]);

		log_table.attnum[i] = att ? att->attnum : 0;
		if (i == LOG_CHANGE_TYPE)
			log_table.type = att ? att->atttypid : InvalidOid;
	}
	log_table.owner = rel->rd_rel->relowner;
	log_table.key_index = key_index(rel);
	log_table.shape = relation_shape(rel, LOG_NCOLUMNS, LOG_NCOLUMNS, log_table_is_ours_only(rel));
	log_table.bypass_executor = relation_shape_bypasses_executor(log_table.shape);
	MemoryContextSwitchTo(before);
	table_close(rel, NoLock);

	/* who is writing to it up the stack may look at what was known */
	if (log_table.context)
		MemoryContextSetParent(log_table.context, TopTransactionContext);
	MemoryContextSetParent(context, CacheMemoryContext);
	log_table.context = context;
	log_table.valid = true;
}

/* Returns true if no column but ours has a default, or must have a value. */
static bool
log_table_is_ours_only(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			i;
	int			j;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		for (j = 0; j < LOG_NCOLUMNS; j++)
			if (log_table.attnum[j] == att->attnum)
				break;
		if (!att->attisdropped && j == LOG_NCOLUMNS &&
			(att->attnotnull || att->atthasdef || att->attidentity || att->attgenerated ||
			 get_typtype(att->atttypid) == TYPTYPE_DOMAIN))
			return false;
	}
	return true;
}

/* The primary key's index, if it is on transaction_id and execution_time. */
static Oid
key_index(Relation rel)
{
	Oid			relid = columns_primary_key_index(rel);
	Relation	index;
	bool		right;

	if (!OidIsValid(relid))
		return InvalidOid;
	index = index_open(relid, AccessShareLock);
	right = IndexRelationGetNumberOfKeyAttributes(index) == 2 &&
		index->rd_index->indkey.values[0] == log_table.attnum[LOG_TRANSACTION] &&
		index->rd_index->indkey.values[1] == log_table.attnum[LOG_TIME];
	index_close(index, AccessShareLock);
	return right ? relid : InvalidOid;
}

/*
 * Returns true if this transaction is in the log.  Without the key's index all of it is
 * read.
 */
static bool
has_entry(Relation rel)
{
	ScanKeyData key[2];
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key[0], log_table.attnum[LOG_TRANSACTION], BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum((int64) U64FromFullTransactionId(GetTopFullTransactionId())));
	/* (what compares timestamptz, too; 13 has no other name for it) */
	ScanKeyInit(&key[1], log_table.attnum[LOG_TIME], BTEqualStrategyNumber, F_TIMESTAMP_EQ,
				TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	scan = systable_beginscan(rel, log_table.key_index, OidIsValid(log_table.key_index),
							  SnapshotSelf, 2, key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	return found;
}

/* Our columns; the others are NULL. */
static void
log_table_fill(TupleTableSlot *slot, const LogEntry *entry)
{
	int			natts = slot->tts_tupleDescriptor->natts;

	memset(slot->tts_values, 0, sizeof(Datum) * natts);
	memset(slot->tts_isnull, true, sizeof(bool) * natts);
	log_table_put(slot, LOG_TRANSACTION,
				  Int64GetDatum((int64) U64FromFullTransactionId(GetTopFullTransactionId())));
	log_table_put(slot, LOG_TIME, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	if (entry->has_user)
		log_table_put(slot, LOG_USER, Int32GetDatum(entry->user_id));
	if (entry->has_project)
		log_table_put(slot, LOG_PROJECT, Int32GetDatum(entry->project_id));
	log_table_put(slot, LOG_CHANGE_TYPE, change_type_datum(entry->change_type));
	log_table_put(slot, LOG_LABEL, CStringGetTextDatum(entry->label));
	if (entry->context)
		log_table_put(slot, LOG_CONTEXT, PointerGetDatum(entry->context));
}

static void
log_table_put(TupleTableSlot *slot, LogColumn column, Datum value)
{
	AttrNumber	attnum = log_table.attnum[column];

	if (attnum == 0)
		return;
	slot->tts_values[attnum - 1] = value;
	slot->tts_isnull[attnum - 1] = false;
}

/* Columns of the site's own get their defaults, as in an INSERT that does not name them. */
static void
fill_others(RelationWriter *writer, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(writer->rel);
	ExprContext *econtext = GetPerTupleExprContext(writer->estate);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Node	   *expression;
		int			j;

		for (j = 0; j < LOG_NCOLUMNS; j++)
			if (log_table.attnum[j] == att->attnum)
				break;
		if (att->attisdropped || att->attgenerated || j < LOG_NCOLUMNS)
			continue;
		expression = build_column_default(writer->rel, att->attnum);
		if (expression == NULL)
			continue;
		slot->tts_values[i] =
			ExecEvalExprSwitchContext(ExecPrepareExpr((Expr *) expression, writer->estate),
									  econtext, &slot->tts_isnull[i]);
	}
}

/* The enum's label of that name. */
static Datum
change_type_datum(int change_type)
{
	static const char *const labels[] = {"", "Backend", "Migration", "External"};
	Oid			label = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
										ObjectIdGetDatum(log_table.type),
										CStringGetDatum(labels[change_type]));

	if (!OidIsValid(label))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("type %s has no label \"%s\"", format_type_be(log_table.type),
						labels[change_type])));
	return ObjectIdGetDatum(label);
}

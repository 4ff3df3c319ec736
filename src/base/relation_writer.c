/*
 * relation_writer.c
 *		Rows into a table and its indexes, from C.
 *
 * A table is plain if nothing of a site's is on it that wants more than its
 * columns and simple indexes: then rows go straight to the table and index
 * access methods, and no executor state is needed.  What is known of the table
 * for that (RelationShape) is kept in the cache.
 *
 * Any other is left to relation_writer_executor.c.
 *
 * Opening takes ROW EXCLUSIVE on the table, kept until the transaction ends,
 * as INSERT does.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "base/base.h"
#include "compat.h"

/* rows that may wait, as in copyfrom.c */
#define FIRST_ROWS	16
#define MAX_ROWS	1000
#define MAX_BYTES	65535

struct RelationShape
{
	bool		bypass_executor;
	int			nindexes;
	Oid		   *indexes;
	IndexInfo **infos;
};

static bool calls_users_function(Relation index);
static bool relation_shape_can_bypass(Relation rel, int not_null, int defaults);
static void store_waiting(RelationWriter *writer);
static void take_back(RelationWriter *writer);
static void open_indexes(RelationWriter *writer);
static void close_indexes(RelationWriter *writer);
static void put_in_indexes(RelationWriter *writer, TupleTableSlot **slots,
						   int nslots, NewEntries which, bool key_unchanged);

/*
 * What to know of the table for writing it, in the current memory context.
 * not_null, defaults: how many columns of these kinds are ours; simple: no
 * expressions are needed to make a row.
 */
RelationShape *
relation_shape(Relation rel, int not_null, int defaults, bool simple)
{
	RelationShape *shape = palloc0(sizeof(RelationShape));
	List	   *indexes;
	ListCell   *lc;

	shape->bypass_executor = simple && relation_shape_can_bypass(rel, not_null, defaults);
	if (!shape->bypass_executor)
		return shape;

	indexes = RelationGetIndexList(rel);
	shape->indexes = palloc(sizeof(Oid) * (list_length(indexes) + 1));
	shape->infos = palloc(sizeof(IndexInfo *) * (list_length(indexes) + 1));
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		/*
		 * BuildIndexInfo evaluates what is constant in expressions, with the
		 * current user's rights: not before it is known that there are none.
		 */
		if (!heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
			!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) ||
			index->rd_index->indisexclusion || !index->rd_index->indimmediate ||
			calls_users_function(index))
			shape->bypass_executor = false;
		else
		{
			shape->indexes[shape->nindexes] = lfirst_oid(lc);
			shape->infos[shape->nindexes++] = BuildIndexInfo(index);
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return shape;
}

/*
 * Operator classes are superusers' work, but a range type's difference of two values, for
 * which GiST asks, is anybody's.
 */
static bool
calls_users_function(Relation index)
{
	int			i;

	for (i = 0; i < IndexRelationGetNumberOfAttributes(index); i++)
	{
		Oid			type = getBaseType(TupleDescAttr(RelationGetDescr(index), i)->atttypid);

		if (OidIsValid(get_multirange_range_compat(type)))
			type = get_multirange_range_compat(type);
		if (type_is_range(type) &&
			lookup_type_cache(type, TYPECACHE_RANGE_INFO)->rng_subdiff_finfo.fn_oid >= FirstNormalObjectId)
			return true;
	}
	return false;
}

/*
 * Returns true if rows go to the table past the executor, and so may wait and be stored
 * together.
 */
bool
relation_shape_bypasses_executor(const RelationShape *shape)
{
	return shape->bypass_executor;
}

/*
 * Open the table for writing, in the current memory context.  It belongs to the
 * resource owner that is current now, which must be so while it is used.
 */
void
relation_writer_open(RelationWriter *writer, Oid relid, RelationShape *shape)
{
	memset(writer, 0, sizeof(RelationWriter));
	writer->shape = shape;
	writer->context = CurrentMemoryContext;
	writer->owner = CurrentResourceOwner;
	writer->relid = relid;
	writer->rel = table_open(relid, RowExclusiveLock);
	if (!shape->bypass_executor)
		executor_open(writer);
}

/* Where to put the row that is to be written next: an empty slot. */
TupleTableSlot *
relation_writer_slot(RelationWriter *writer)
{
	MemoryContext before;

	if (writer->nwaiting < writer->nslots)
	{
		ExecClearTuple(writer->slots[writer->nwaiting]);
		return writer->slots[writer->nwaiting];
	}

	/* the caller may be in a context of one row */
	before = MemoryContextSwitchTo(writer->context);
	if (writer->nslots == 0)
		writer->slots = palloc(sizeof(TupleTableSlot *) * FIRST_ROWS);
	else if (writer->nslots == FIRST_ROWS)
		writer->slots = repalloc(writer->slots, sizeof(TupleTableSlot *) * MAX_ROWS);
	writer->slots[writer->nslots++] = table_slot_create(writer->rel, NULL);
	MemoryContextSwitchTo(before);
	return writer->slots[writer->nwaiting];
}

/*
 * Insert the row in the slot; unless it may wait, its after triggers have run
 * on return.  Rows of a plain table do wait, for relation_writer_flush.
 */
void
relation_writer_insert(RelationWriter *writer, bool may_wait)
{
	TupleTableSlot *slot = writer->slots[writer->nwaiting];
	CommandId	cid = GetCurrentCommandId(true);

	Assert(CurrentResourceOwner == writer->owner);
	Assert(writer->nwaiting < writer->nslots);

	if (!writer->shape->bypass_executor)
	{
		executor_insert(writer, slot, cid);
		return;
	}
	if (!may_wait)
	{
		table_tuple_insert(writer->rel, slot, cid, 0, NULL);
		put_in_indexes(writer, &slot, 1, NEW_ENTRIES_ALL, false);
		return;
	}

	if (writer->nwaiting > 0 && writer->cid != cid)
	{
		/* the others first, and this one in their place */
		TupleTableSlot *first = writer->slots[0];
		int			place = writer->nwaiting;

		ExecMaterializeSlot(slot);
		relation_writer_flush(writer);
		writer->slots[0] = slot;
		writer->slots[place] = first;
	}
	ExecMaterializeSlot(slot);
	writer->cid = cid;
	writer->nwaiting++;
	writer->bytes += ExecFetchSlotHeapTuple(slot, false, NULL)->t_len;
	if (writer->nwaiting == MAX_ROWS || writer->bytes >= MAX_BYTES)
		relation_writer_flush(writer);
}

/* Insert the row in the slot at once, as of an earlier command of this transaction. */
void
relation_writer_insert_as_of(RelationWriter *writer, CommandId cid)
{
	TupleTableSlot *slot = writer->slots[writer->nwaiting];

	if (!writer->shape->bypass_executor)
	{
		executor_insert(writer, slot, cid);
		return;
	}
	table_tuple_insert(writer->rel, slot, cid, 0, NULL);
	put_in_indexes(writer, &slot, 1, NEW_ENTRIES_ALL, false);
}

/* Store the rows that wait. */
void
relation_writer_flush(RelationWriter *writer)
{
	Assert(CurrentResourceOwner == writer->owner);

	store_waiting(writer);
	relation_writer_forget(writer);
}

/*
 * Store the waiting rows in an inner subtransaction, whose outcome decides whether they
 * are kept: if it fails they wait as before, otherwise the caller must call
 * relation_writer_forget.
 */
void
relation_writer_flush_into_subxact(RelationWriter *writer, ResourceOwner owner)
{
	IndexInfo **infos;
	int			i;

	if (writer->nwaiting == 0)
		return;
	Assert(writer->bistate == NULL);
	Assert(CurrentResourceOwner != owner);

	/* they stay open, whatever becomes of the subtransaction ... */
	if (!writer->all_open)
	{
		ResourceOwner current = CurrentResourceOwner;

		CurrentResourceOwner = owner;
		take_back(writer);
		open_indexes(writer);
		CurrentResourceOwner = current;
	}

	/* ... but what access methods keep, buffers for one, is the subtransaction's */
	infos = writer->infos;
	writer->infos = palloc(sizeof(IndexInfo *) * Max(writer->shape->nindexes, 1));
	for (i = 0; i < writer->shape->nindexes; i++)
	{
		writer->infos[i] = makeNode(IndexInfo);
		*writer->infos[i] = *infos[i];
		writer->infos[i]->ii_AmCache = NULL;
		writer->infos[i]->ii_Context = CurrentMemoryContext;
	}
	PG_TRY();
	{
		store_waiting(writer);
		for (i = 0; i < writer->shape->nindexes; i++)
			index_insert_cleanup_compat(writer->indexes[i], writer->infos[i]);
	}
	PG_FINALLY();
	{
		writer->infos = infos;
	}
	PG_END_TRY();
}

/* The rows that waited have been stored. */
void
relation_writer_forget(RelationWriter *writer)
{
	int			i;

	for (i = 0; i < writer->nwaiting; i++)
		ExecClearTuple(writer->slots[i]);
	writer->nwaiting = 0;
	writer->bytes = 0;
}

/*
 * Close a plain table and its indexes, for the current resource owner, which
 * opened them; rows go on waiting.
 */
void
relation_writer_let_go(RelationWriter *writer)
{
	Assert(writer->shape->bypass_executor && writer->bistate == NULL);
	if (writer->rel == NULL)
		return;
	if (writer->indexes)
		close_indexes(writer);
	writer->indexes = NULL;
	writer->all_open = false;
	table_close(writer->rel, NoLock);
	writer->rel = NULL;
}

/* The rows that wait, and then their index entries. */
static void
store_waiting(RelationWriter *writer)
{
	MemoryContext before = CurrentMemoryContext;
	int			n = writer->nwaiting;

	if (n == 0)
		return;
	take_back(writer);

	/* neither the table access method nor those of indexes tidy up */
	if (n > 1 && writer->scratch == NULL)
		writer->scratch = AllocSetContextCreate(writer->context,
												"catmaid_history rows",
												ALLOCSET_DEFAULT_SIZES);
	if (writer->scratch)
		MemoryContextSwitchTo(writer->scratch);

	if (n == 1)
		table_tuple_insert(writer->rel, writer->slots[0], writer->cid, 0,
						   writer->bistate);
	else
		table_multi_insert(writer->rel, writer->slots, n, writer->cid, 0,
						   writer->bistate);
	put_in_indexes(writer, writer->slots, n, NEW_ENTRIES_ALL, false);

	MemoryContextSwitchTo(before);
	if (writer->scratch)
		MemoryContextReset(writer->scratch);
}

/* Open a table that was let go: it is what it was when the rows came that wait. */
static void
take_back(RelationWriter *writer)
{
	if (writer->rel == NULL)
		writer->rel = table_open(writer->relid, RowExclusiveLock);
}

/*
 * Replace the row at tid by the one in the slot, which has the same key.
 * Nobody else may be writing the row, and it must not be a work of the current
 * command (CommandCounterIncrement first where it may be).
 */
void
relation_writer_update(RelationWriter *writer, ItemPointer tid)
{
	TupleTableSlot *slot = writer->slots[writer->nwaiting];

	if (writer->shape->bypass_executor)
	{
		put_in_indexes(writer, &slot, 1,
					   simple_table_tuple_update_compat(writer->rel, tid, slot), true);
		return;
	}
	executor_update(writer, tid, slot);
}

/* Delete the row at tid, under the same conditions. */
void
relation_writer_delete(RelationWriter *writer, ItemPointer tid)
{
	if (writer->shape->bypass_executor)
	{
		simple_table_tuple_delete(writer->rel, tid, SnapshotAny);
		return;
	}
	executor_delete(writer, tid);
}

/* Store what waits, and close. */
void
relation_writer_close(RelationWriter *writer)
{
	int			i;

	relation_writer_flush(writer);
	for (i = 0; i < writer->nslots; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	if (writer->scratch)
		MemoryContextDelete(writer->scratch);
	if (writer->indexes)
		close_indexes(writer);
	if (!writer->shape->bypass_executor)
		executor_close(writer);
	if (writer->rel)
		table_close(writer->rel, NoLock);
}

/*
 * Neither triggers nor constraints but NOT NULL on columns that are ours, and
 * are filled in always, nor columns to be computed.
 */
static bool
relation_shape_can_bypass(Relation rel, int not_null, int defaults)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TupleConstr *constr = desc->constr;
	int			i;

	for (i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && TupleDescAttr(desc, i)->attnotnull)
			not_null--;

	return not_null >= 0 && rel->trigdesc == NULL &&
		!rel->rd_rel->relispartition &&
		(constr == NULL ||
		 (constr->num_check == 0 && !constr->has_generated_stored &&
		  constr->num_defval <= defaults));
}

/*
 * Open those that are not.  If that fails, for want of a lock, say, it may be tried
 * again: by the transaction around the subtransaction that it failed in.
 */
static void
open_indexes(RelationWriter *writer)
{
	RelationShape *shape = writer->shape;
	MemoryContext before = MemoryContextSwitchTo(writer->context);
	int			i;

	if (writer->indexes == NULL)
	{
		writer->infos = palloc0(sizeof(IndexInfo *) * (shape->nindexes + 1));
		writer->indexes = palloc0(sizeof(Relation) * (shape->nindexes + 1));
	}
	for (i = 0; i < shape->nindexes; i++)
	{
		IndexInfo  *info;
		Relation	index;

		if (writer->indexes[i])
			continue;
		info = palloc(sizeof(IndexInfo));
		index = index_open(shape->indexes[i], RowExclusiveLock);
		*info = *shape->infos[i];
		/* CREATE INDEX CONCURRENTLY and its like change this by and by */
		info->ii_ReadyForInserts = index->rd_index->indisready &&
			index->rd_index->indislive;
		/* for the access method, while the index is open */
		info->ii_AmCache = NULL;
		info->ii_Context = CurrentMemoryContext;
		writer->infos[i] = info;
		writer->indexes[i] = index;
	}
	writer->all_open = true;
	MemoryContextSwitchTo(before);
}

static void
close_indexes(RelationWriter *writer)
{
	int			i;

	for (i = 0; i < writer->shape->nindexes; i++)
	{
		if (writer->indexes[i] == NULL)
			continue;
		index_insert_cleanup_compat(writer->indexes[i], writer->infos[i]);
		index_close(writer->indexes[i], NoLock);
		pfree(writer->infos[i]);
	}
	pfree(writer->infos);
	pfree(writer->indexes);
}

/*
 * Index entries for the rows, one index after the other: its upper pages stay
 * in the processor's cache.
 */
static void
put_in_indexes(RelationWriter *writer, TupleTableSlot **slots, int nslots,
			   NewEntries which, bool key_unchanged)
{
	int			i;
	int			j;

	if (which == NEW_ENTRIES_NONE)
		return;
	if (!writer->all_open)
		open_indexes(writer);
	for (i = 0; i < writer->shape->nindexes; i++)
	{
		Relation	index = writer->indexes[i];
		IndexInfo  *info = writer->infos[i];

		if (!info->ii_ReadyForInserts ||
			(which == NEW_ENTRIES_SUMMARIZING && !index_summarizes_compat(info)))
			continue;
		for (j = 0; j < nslots; j++)
		{
			Datum		values[INDEX_MAX_KEYS];
			bool		isnull[INDEX_MAX_KEYS];

			FormIndexDatum(info, slots[j], NULL, values, isnull);
			index_insert_compat(index, values, isnull, &slots[j]->tts_tid,
								writer->rel,
								index->rd_index->indisunique ?
								UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
								key_unchanged, info);
		}
	}
}

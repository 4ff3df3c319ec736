/*
 * relation_writer_executor.c
 *		Rows into a table on which a site has put something, from C.
 *
 * A small frame around execReplication.c's ExecSimpleRelation functions, which do what
 * the executor does: triggers, constraints, indexes.  They check no privileges, which
 * is why a writer of a live table needs none on its history, and they run whatever
 * a site has put on the table with the rights of the current user, which capture.c
 * sets.
 *
 * Nothing of that is left for the end of the transaction, when somebody else may be
 * the current user: triggers that a site has made deferrable, and exclusion constraints
 * with expressions, count as immediate.  Keys of columns evaluate nothing, and foreign
 * keys act as the owners of their tables by themselves: they stay deferred.
 *
 * For relation_writer.c alone, which takes the locks.  See worker.c: create_edata_for_relation.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_index.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "compat.h"

static void part_triggers(RelationWriter *writer);
static bool may_wait(Trigger *trigger);
static void insert_statement(RelationWriter *writer, TupleTableSlot *slot);
static void defer_constraints(RelationWriter *writer, TupleTableSlot *slot);
static List *deferrable_indexes(ResultRelInfo *rel);
static TupleTableSlot *fetch_old(RelationWriter *writer, ItemPointer tid);
static void forget_row(RelationWriter *writer);

/* The frame that the executor's functions want, in the current memory context. */
void
executor_open(RelationWriter *writer)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	writer->estate = CreateExecutorState();
	writer->estate->es_output_cid = GetCurrentCommandId(true);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(writer->rel);
	rte->relkind = writer->rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	ExecInitRangeTableCompat(writer->estate, rte);

	writer->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->result_rel, writer->rel, 1, NULL, 0);
	estate_set_result_relation_compat(writer->estate, writer->result_rel);
	ExecOpenIndices(writer->result_rel, false);
	part_triggers(writer);
}

/*
 * Which triggers fire when.  Those that are deferrable in the executor's copy are no more
 * so unless they may wait; in another's session than the owner's, which is security-
 * restricted, these are kept apart for insertions.
 */
static void
part_triggers(RelationWriter *writer)
{
	TriggerDesc *all = writer->result_rel->ri_TrigDesc;
	int			i;

	for (i = 0; all && i < all->numtriggers; i++)
		if (all->triggers[i].tgdeferrable && !may_wait(&all->triggers[i]))
			all->triggers[i].tgdeferrable = false;

	writer->at_once = all;
	if (all == NULL || !InSecurityRestrictedOperation())
		return;
	for (i = 0; i < all->numtriggers; i++)
	{
		if (!all->triggers[i].tgdeferrable)
			continue;
		if (writer->deferred == NULL)
		{
			writer->at_once = CopyTriggerDesc(all);
			writer->deferred = CopyTriggerDesc(all);
		}
		writer->at_once->triggers[i].tgenabled = TRIGGER_DISABLED;
	}
	for (i = 0; writer->deferred && i < all->numtriggers; i++)
	{
		if (!all->triggers[i].tgdeferrable)
			writer->deferred->triggers[i].tgenabled = TRIGGER_DISABLED;
		all->triggers[i].tgdeferrable = false;
	}
}

/* Returns true if the trigger evaluates no user-defined code as the current user. */
static bool
may_wait(Trigger *trigger)
{
	HeapTuple	tuple;
	bool		bypass_executor;

	if (trigger->tgfoid != F_UNIQUE_KEY_RECHECK)
		return RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_NONE;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(trigger->tgconstrindid));
	if (!HeapTupleIsValid(tuple))
		return false;
	bypass_executor = heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	ReleaseSysCache(tuple);
	return bypass_executor;
}

/* As an INSERT of the row in the slot alone; its after triggers have run on return. */
void
executor_insert(RelationWriter *writer, TupleTableSlot *slot, CommandId cid)
{
	writer->estate->es_output_cid = cid;
	insert_statement(writer, slot);
	forget_row(writer);
}

/*
 * ExecSimpleRelationInsert leaves triggers for
 * each statement to its caller, and knows of no transition tables: triggers
 * after the row are fired here, with them.
 */
static void
insert_statement(RelationWriter *writer, TupleTableSlot *slot)
{
	ResultRelInfo *rel = writer->result_rel;
	TriggerDesc *triggers = rel->ri_TrigDesc;
	TriggerDesc none_after = {0};
	TransitionCaptureState *transition;
	bool		stored;

	if (triggers)
		none_after = *triggers;
	none_after.trig_insert_after_row = false;

	AfterTriggerBeginQuery();
	ExecBSInsertTriggers(writer->estate, rel);
	transition = MakeTransitionCaptureState(triggers, RelationGetRelid(writer->rel),
											CMD_INSERT);
	rel->ri_TrigDesc = triggers ? &none_after : NULL;
	ExecSimpleRelationInsertCompat(rel, writer->estate, slot);
	rel->ri_TrigDesc = triggers;

	/* unless a trigger has suppressed the row */
	stored = ItemPointerIsValid(&slot->tts_tid);
	if (stored)
	{
		rel->ri_TrigDesc = writer->at_once;
		ExecARInsertTriggers(writer->estate, rel, slot, deferrable_indexes(rel),
							 transition);
		rel->ri_TrigDesc = triggers;
	}
	ExecASInsertTriggers(writer->estate, rel, transition);
	AfterTriggerEndQuery(writer->estate);
	if (stored && writer->deferred)
		defer_constraints(writer, slot);
	rel->ri_TrigDesc = triggers;
}

/*
 * The triggers of constraints that may wait: nothing can be deferred in a security-
 * restricted operation, and they need none.
 */
static void
defer_constraints(RelationWriter *writer, TupleTableSlot *slot)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(user, context & ~SECURITY_RESTRICTED_OPERATION);
	writer->result_rel->ri_TrigDesc = writer->deferred;
	AfterTriggerBeginQuery();
	ExecARInsertTriggers(writer->estate, writer->result_rel, slot,
						 deferrable_indexes(writer->result_rel), NULL);
	AfterTriggerEndQuery(writer->estate);
	SetUserIdAndSecContext(user, context);
}

/* Those of which not all is known yet: what is to be checked again, at the end. */
static List *
deferrable_indexes(ResultRelInfo *rel)
{
	List	   *indexes = NIL;
	int			i;

	for (i = 0; i < rel->ri_NumIndices; i++)
		if (!rel->ri_IndexRelationDescs[i]->rd_index->indimmediate)
			indexes = lappend_oid(indexes,
								  RelationGetRelid(rel->ri_IndexRelationDescs[i]));
	return indexes;
}

/* As an UPDATE of the row at tid; see relation_writer_update. */
void
executor_update(RelationWriter *writer, ItemPointer tid, TupleTableSlot *slot)
{
	TupleTableSlot *old = fetch_old(writer, tid);
	EPQState	epq;

	AfterTriggerBeginQuery();
	EvalPlanQualInitCompat(&epq, writer->estate);
	ExecSimpleRelationUpdateCompat(writer->result_rel, writer->estate, &epq,
								   old, slot);
	EvalPlanQualEnd(&epq);
	AfterTriggerEndQuery(writer->estate);
	ExecDropSingleTupleTableSlot(old);
	forget_row(writer);
}

/* As a DELETE of the row at tid. */
void
executor_delete(RelationWriter *writer, ItemPointer tid)
{
	TupleTableSlot *old = fetch_old(writer, tid);
	EPQState	epq;

	AfterTriggerBeginQuery();
	EvalPlanQualInitCompat(&epq, writer->estate);
	ExecSimpleRelationDeleteCompat(writer->result_rel, writer->estate, &epq,
								   old);
	EvalPlanQualEnd(&epq);
	AfterTriggerEndQuery(writer->estate);
	ExecDropSingleTupleTableSlot(old);
	forget_row(writer);
}

/* The row at tid, in a slot of its own. */
static TupleTableSlot *
fetch_old(RelationWriter *writer, ItemPointer tid)
{
	TupleTableSlot *old = table_slot_create(writer->rel, NULL);

	if (!table_tuple_fetch_row_version(writer->rel, tid, SnapshotAny, old))
		elog(ERROR, "row to change in \"%s\" is gone",
			 RelationGetRelationName(writer->rel));
	return old;
}

/*
 * What expressions and triggers have left of a row, which has been stored.  The
 * caller's expressions for it were computed there, too.
 */
static void
forget_row(RelationWriter *writer)
{
	ResetPerTupleExprContext(writer->estate);
}

void
executor_close(RelationWriter *writer)
{
	ExecCloseIndices(writer->result_rel);
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	ExecCloseResultRelationsCompat(writer->estate);
	FreeExecutorState(writer->estate);
}

/*
 * relwriter.c
 *		Rows into a table and its indexes, from C.
 *
 * A small frame around execReplication.c's ExecSimpleRelation functions, which
 * do what the executor does: triggers, constraints, indexes.  They check no
 * privileges, which is why a writer of a live table needs none on its history,
 * and they run whatever a site has put on the table (triggers, expression
 * indexes) with the rights of the current user, which capture.c sets.
 *
 * Opening takes ROW EXCLUSIVE on the table, kept until the transaction ends,
 * as INSERT does.  See worker.c: create_edata_for_relation.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/snapmgr.h"

#include "catmaid_history.h"
#include "compat.h"

void
relation_writer_open(RelationWriter *writer, Oid relid)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	writer->rel = table_open(relid, RowExclusiveLock);
	writer->estate = CreateExecutorState();
	writer->estate->es_output_cid = GetCurrentCommandId(true);

	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = writer->rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	ExecInitRangeTableCompat(writer->estate, rte);

	writer->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->result_rel, writer->rel, 1, NULL, 0);
	estate_set_result_relation_compat(writer->estate, writer->result_rel);
	ExecOpenIndices(writer->result_rel, false);

	writer->slot = table_slot_create(writer->rel,
									 &writer->estate->es_tupleTable);
}

/* Insert the row in writer->slot; its after triggers have run on return. */
void
relation_writer_insert(RelationWriter *writer)
{
	AfterTriggerBeginQuery();
	ExecSimpleRelationInsertCompat(writer->result_rel, writer->estate,
								   writer->slot);
	AfterTriggerEndQuery(writer->estate);
}

/*
 * Replace the row at tid by the one in writer->slot.  Nobody else may be
 * writing the row, and it must not be a work of the current command
 * (CommandCounterIncrement first where it may be).
 */
void
relation_writer_update(RelationWriter *writer, ItemPointer tid)
{
	EPQState	epq;
	TupleTableSlot *old = table_slot_create(writer->rel, NULL);

	if (!table_tuple_fetch_row_version(writer->rel, tid, SnapshotAny, old))
		elog(ERROR, "row to update in \"%s\" is gone",
			 RelationGetRelationName(writer->rel));

	AfterTriggerBeginQuery();
	EvalPlanQualInitCompat(&epq, writer->estate);
	ExecSimpleRelationUpdateCompat(writer->result_rel, writer->estate, &epq,
								   old, writer->slot);
	EvalPlanQualEnd(&epq);
	AfterTriggerEndQuery(writer->estate);
	ExecDropSingleTupleTableSlot(old);
}

/* Delete the row at tid, under the same conditions. */
void
relation_writer_delete(RelationWriter *writer, ItemPointer tid)
{
	EPQState	epq;
	TupleTableSlot *old = table_slot_create(writer->rel,
											&writer->estate->es_tupleTable);

	if (!table_tuple_fetch_row_version(writer->rel, tid, SnapshotAny, old))
		elog(ERROR, "row to delete in \"%s\" is gone",
			 RelationGetRelationName(writer->rel));

	AfterTriggerBeginQuery();
	EvalPlanQualInitCompat(&epq, writer->estate);
	ExecSimpleRelationDeleteCompat(writer->result_rel, writer->estate, &epq,
								   old);
	EvalPlanQualEnd(&epq);
	AfterTriggerEndQuery(writer->estate);
}

void
relation_writer_close(RelationWriter *writer)
{
	ExecCloseIndices(writer->result_rel);
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	ExecCloseResultRelationsCompat(writer->estate);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
}

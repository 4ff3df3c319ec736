/*
 * log_insert.c
 *		The trigger that sees rows come into a table with a time column, which has no
 *		other trigger for that.
 *
 * Once a statement, as one for each row would make bulk loads pay for what they do not
 * use.  PostgreSQL does not tell such a trigger whether rows have come; its counts do.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "pgstat.h"
#include "utils/rel.h"

#include "log/log.h"
#include "compat.h"

static bool has_new_rows(Relation rel);
static bool has_inserted(Relation rel);

PG_FUNCTION_INFO_V1(catmaid_history_log_insert);

/*
 * AFTER INSERT, FOR EACH STATEMENT, on tables with a time column, which store nothing
 * then: tells the log that rows have come.  Result: none.
 */
Datum
catmaid_history_log_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	triggers_check_call(fcinfo, "catmaid_history_log_insert",
						CALLED_AS_TRIGGER(fcinfo) &&
						TRIGGER_FIRED_AFTER(trigdata->tg_event) &&
						TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) &&
						TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event));
	if (log_wanted && !log_noted && has_new_rows(trigdata->tg_relation))
		log_note();
	return PointerGetDatum(NULL);
}

/* Returns true if this transaction has put rows into the table, or a partition of it. */
static bool
has_new_rows(Relation rel)
{
	bool		found = false;
	ListCell   *lc;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return has_inserted(rel);
	foreach(lc, lineage_below(RelationGetRelid(rel)))
	{
		Relation	leaf;

		/* what the command has put rows into, it has locked */
		if (found || lfirst_oid(lc) == RelationGetRelid(rel) ||
			!relation_is_locked(lfirst_oid(lc), RowExclusiveLock))
			continue;
		leaf = table_open(lfirst_oid(lc), NoLock);
		found = leaf->rd_rel->relkind != RELKIND_PARTITIONED_TABLE && has_inserted(leaf);
		table_close(leaf, NoLock);
	}
	return found;
}

/*
 * By the counts that go to the statistics when the transaction ends.  Where nobody
 * counts (track_counts), an INSERT counts as one of rows.
 */
static bool
has_inserted(Relation rel)
{
	PgStat_TableStatus *counts = rel->pgstat_info;

	if (!pgstat_track_counts || counts == NULL)
		return !pgstat_track_counts;
	return counts->trans != NULL && counts->trans->tuples_inserted > 0;
}

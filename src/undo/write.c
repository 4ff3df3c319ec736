/*
 * write.c
 *		It is done: ordinary writes by the caller.
 *
 * One statement writes all tables: rows go, children first, rows are changed, rows come,
 * parents first, each part after the one before.  Foreign keys are checked at its end, so
 * that cycles of them need not be deferrable, and a row that is replaced keeps what refers
 * to it.  Rules allow no such statement: a table that has some is written by statements of
 * its own, and so are all the others then.
 *
 * Unique values that are swapped are in each other's way for a moment; then rows are
 * deleted and inserted in place of being changed, or the columns are NULL for a moment
 * (undo.c decides that).
 *
 * The time column is set as an application does, to the transaction's time: the old time
 * would make two versions valid at once.
 *
 * Triggers of the application fire.  What they have changed of rows that had been written
 * is written once more (a counter of children, say), and not more often.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "undo/undo.h"

#define PARTS_AT_ONCE	500

/* What a part of the statement does to a table. */
typedef struct WritePart
{
	UndoTable  *table;
	char		act;
	uint64		planned;
	char	   *name;
} WritePart;

static void write_choose(UndoRun *run, UndoTable *table);
static List *write_parts(UndoRun *run);
static void write_add_parts(UndoRun *run, List **parts, char act, bool parents_first);
static uint64 write_planned(const UndoTable *table, char act);
static bool write_has_rules(const UndoRun *run);
static bool write_replaces(const UndoRun *run);
static void write_at_once(UndoRun *run, List *parts);
static void write_one_by_one(UndoRun *run, List *parts);
static char *write_part_sql(UndoRun *run, const WritePart *part, const char *after);
static char *write_delete_sql(UndoRun *run, const UndoTable *table, const char *condition);
static char *write_update_sql(UndoRun *run, const UndoTable *table, const char *acts, const char *condition);
static char *write_insert_sql(UndoRun *run, const UndoTable *table, const char *condition);
static char *write_value_sql(const UndoTable *table, const UndoColumn *column);
static void write_park(UndoRun *run, UndoTable *table);
static void write_check_ours(UndoRun *run, UndoTable *table);
static void write_see_maker(void *arg, TupleTableSlot *slot);
static void write_note_places(UndoRun *run, UndoTable *table);
static void write_check_places(UndoRun *run, UndoTable *table);
static void write_verify(UndoRun *run);
static void write_tell_other_values(UndoRun *run, UndoTable *table);
static void write_check(const UndoTable *table, uint64 planned, uint64 written);
static void write_settle(UndoRun *run, CommandId cid);
static bool write_fires_triggers(UndoRun *run);

/* Write the plans of all tables. */
void
write_rows(UndoRun *run)
{
	List	   *parts;
	CommandId	cid;
	ListCell   *lc;

	foreach(lc, run->tables)
		write_choose(run, lfirst(lc));
	parts = write_parts(run);
	if (parts == NIL)
		return;
	foreach(lc, run->tables)
		write_park(run, lfirst(lc));
	CommandCounterIncrement();
	cid = GetCurrentCommandId(false);
	if (run->one_by_one || write_has_rules(run) || list_length(parts) > PARTS_AT_ONCE)
	{
		foreach(lc, run->tables)
			write_note_places(run, lfirst(lc));
		write_one_by_one(run, parts);
		foreach(lc, run->tables)
			write_check_ours(run, lfirst(lc));
		write_settle(run, InvalidCommandId);
		foreach(lc, run->tables)
			write_check_places(run, lfirst(lc));
		write_verify(run);
		return;
	}
	if (list_length(parts) == 1)
	{
		WritePart  *part = linitial(parts);

		write_check(part->table, part->planned, store_execute(run, write_part_sql(run, part, NULL)));
	}
	else
		write_at_once(run, parts);
	if (write_fires_triggers(run))
		write_settle(run, cid);
	if (write_fires_triggers(run) || references_act(run))
		write_verify(run);
}

/* Where an identity column is to be changed, which UPDATE cannot, rows are replaced. */
static void
write_choose(UndoRun *run, UndoTable *table)
{
	StringInfoData differ;
	UndoColumn *identity = NULL;
	ListCell   *lc;

	if (table->planned[1] == 0 || table->replace)
		return;
	initStringInfo(&differ);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_identity && !column->is_key && column->differs)
			identity = column;
		if (column->is_identity && !column->is_key)
			appendStringInfo(&differ, "%sNOT pg_catalog.record_image_eq(ROW(%s), ROW(p.%s))",
							 differ.len > 0 ? " OR " : "", table_live_sql(column, "l"), column->alias);
	}
	if (identity == NULL ||
		store_execute(run, psprintf("SELECT pg_catalog.count(*) FROM (%s) p JOIN %s l ON %s WHERE %s",
									plan_rows_sql(run, table, "U"), table->name,
									table_live_equal_sql(table, "l", "p"), differ.data)) == 0)
		return;
	if (!references_let_replace(run, table))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an identity column of table \"%s\" cannot be brought back", RelationGetRelationName(table->live)),
				 errdetail("Its rows would have to be deleted and inserted, and foreign keys refer to them that are not ON DELETE NO ACTION."),
				 errhint("ALTER TABLE %s ALTER COLUMN %s SET GENERATED BY DEFAULT; for the time being.",
						 naming_quoted(table->relid), identity->name)));
	table->replace = true;
}

/* What is to be written, in its order. */
static List *
write_parts(UndoRun *run)
{
	List	   *parts = NIL;

	/*
	 * Of statements of their own, those that take away come last, so that children have
	 * moved by then; unless values are to be free for others first.
	 */
	if (write_has_rules(run) && !run->one_by_one && !write_replaces(run))
	{
		write_add_parts(run, &parts, ACT_INSERT, true);
		write_add_parts(run, &parts, ACT_UPDATE, false);
		write_add_parts(run, &parts, ACT_DELETE, false);
		return parts;
	}
	write_add_parts(run, &parts, ACT_DELETE, false);
	write_add_parts(run, &parts, ACT_UPDATE, false);
	write_add_parts(run, &parts, ACT_INSERT, true);
	return parts;
}

static bool
write_has_rules(const UndoRun *run)
{
	ListCell   *lc;

	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);

		if (table->live->rd_rules != NULL && table->planned[0] + table->planned[1] + table->planned[2] > 0)
			return true;
	}
	return false;
}

static bool
write_replaces(const UndoRun *run)
{
	ListCell   *lc;

	foreach(lc, run->tables)
		if (((UndoTable *) lfirst(lc))->replace)
			return true;
	return false;
}

static void
write_add_parts(UndoRun *run, List **parts, char act, bool parents_first)
{
	int			highest = 0;
	int			level;
	ListCell   *lc;

	foreach(lc, run->tables)
		highest = Max(highest, ((UndoTable *) lfirst(lc))->order);
	for (level = 0; level <= highest; level++)
		foreach(lc, run->tables)
		{
			UndoTable  *table = lfirst(lc);
			WritePart  *part;

			if (table->order != (parents_first ? highest - level : level) || write_planned(table, act) == 0)
				continue;
			part = palloc(sizeof(WritePart));
			part->table = table;
			part->act = act;
			part->planned = write_planned(table, act);
			part->name = psprintf("%c_%d", act == ACT_DELETE ? 'd' : act == ACT_UPDATE ? 'u' : 'i', table->number);
			*parts = lappend(*parts, part);
		}
}

static uint64
write_planned(const UndoTable *table, char act)
{
	if (act == ACT_UPDATE)
		return table->replace ? 0 : table->planned[1];
	return table->planned[act == ACT_DELETE ? 0 : 2] + (table->replace ? table->planned[1] : 0);
}

static void
write_at_once(UndoRun *run, List *parts)
{
	StringInfoData sql;
	StringInfoData counts;
	const char *after = NULL;
	ListCell   *lc;
	int			code;
	int			i = 0;

	initStringInfo(&sql);
	initStringInfo(&counts);
	foreach(lc, parts)
	{
		WritePart  *part = lfirst(lc);

		appendStringInfo(&sql, "%s%s AS (%s RETURNING 1 AS one)", after ? ", " : "WITH ", part->name,
						 write_part_sql(run, part, after));
		appendStringInfo(&counts, "%s(SELECT pg_catalog.count(*) FROM %s)", after ? ", " : " SELECT ", part->name);
		after = part->name;
	}
	appendStringInfoString(&sql, counts.data);
	code = SPI_execute(sql.data, false, 0);
	if (code != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute returned %s for %s", SPI_result_code_string(code), sql.data);
	foreach(lc, parts)
	{
		WritePart  *part = lfirst(lc);
		bool		isnull;

		write_check(part->table, part->planned,
					DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, ++i, &isnull)));
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Triggers may have done by now what is to be done: what comes in their wake is settled. */
static void
write_one_by_one(UndoRun *run, List *parts)
{
	ListCell   *lc;

	foreach(lc, parts)
		(void) store_execute(run, write_part_sql(run, lfirst(lc), NULL));
}

/*
 * Rows that were to come, and are there, must be ours: of a trigger, or of what has been
 * inserted; not another one's who took the key meanwhile.
 */
static void
write_check_ours(UndoRun *run, UndoTable *table)
{
	bool		ours = true;

	if (table->planned[2] == 0)
		return;
	store_see(run, psprintf("SELECT l.xmin FROM (%s) p JOIN %s l ON %s", plan_rows_sql(run, table, "I"), table->name,
							table_live_equal_sql(table, "l", "p")), NULL, write_see_maker, &ours);
	if (!ours)
		conflict_refuse_changing();
}

static void
write_see_maker(void *arg, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	if (!TransactionIdIsCurrentTransactionId(DatumGetTransactionId(slot->tts_values[0])))
		*(bool *) arg = false;
}

/* Where the rows are that are to be written, as what is counted says little where there are rules. */
static void
write_note_places(UndoRun *run, UndoTable *table)
{
	if (table->plan->count > 0)
		table->places = store_query(run, "places", table,
									psprintf("SELECT p.n, l.ctid AS place, l.tableoid AS part FROM (%s) p JOIN %s l ON %s",
											 plan_rows_sql(run, table, "DU"), table->name, table_live_equal_sql(table, "l", "p")));
}

/* Rows that are still there as they were, or are still not there, have not been written. */
static void
write_check_places(UndoRun *run, UndoTable *table)
{
	uint64		planned = table->planned[0] + table->planned[1] + table->planned[2];
	uint64		left;

	if (planned == 0)
		return;
	left = store_execute(run, psprintf("SELECT pg_catalog.count(*) FROM (%s) p LEFT JOIN %s b ON b.n OPERATOR(pg_catalog.=) p.n LEFT JOIN %s l ON %s "
									   "WHERE CASE WHEN l.ctid IS NULL THEN p.act OPERATOR(pg_catalog.<>) 'D' ELSE p.act OPERATOR(pg_catalog.<>) 'I' "
									   "AND l.ctid OPERATOR(pg_catalog.=) b.place AND l.tableoid OPERATOR(pg_catalog.=) b.part END",
									   plan_rows_sql(run, table, "DUI"), table->places->name, table->name,
									   table_live_equal_sql(table, "l", "p")));
	write_check(table, planned, planned - left);
}

/* after: the part that must have been done, or NULL where each is a statement. */
static char *
write_part_sql(UndoRun *run, const WritePart *part, const char *after)
{
	char	   *condition = after == NULL ? "true" :
		psprintf("(SELECT pg_catalog.count(*) FROM %s) IS NOT NULL", after);

	switch (part->act)
	{
		case ACT_DELETE:
			return write_delete_sql(run, part->table, condition);
		case ACT_UPDATE:
			return write_update_sql(run, part->table, "U", condition);
		default:
			if (run->one_by_one)
				condition = psprintf("NOT EXISTS (SELECT FROM %s l WHERE %s)", part->table->name,
									 table_live_equal_sql(part->table, "l", "p"));
			return write_insert_sql(run, part->table, condition);
	}
}

static char *
write_delete_sql(UndoRun *run, const UndoTable *table, const char *condition)
{
	return psprintf("DELETE FROM %s l USING %s p WHERE %s AND %s AND %s",
					table->name, table->plan->name, plan_condition_sql(run, table, "p", table->replace ? "DU" : "D"), table_live_equal_sql(table, "l", "p"), condition);
}

static char *
write_update_sql(UndoRun *run, const UndoTable *table, const char *acts, const char *condition)
{
	StringInfoData set;
	ListCell   *lc;

	initStringInfo(&set);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);
		char	   *value = write_value_sql(table, column);

		/* the trigger writes the txid column */
		if ((column->is_key && !column->differs) || column->is_identity || value == NULL ||
			(column->is_silent && strcmp(column->plain, table->row->txid_column) == 0))
			continue;
		appendStringInfo(&set, "%s%s = %s", set.len > 0 ? ", " : "", column->name, value);
	}
	return psprintf("UPDATE %s l SET %s FROM %s p WHERE %s AND %s AND %s",
					table->name, set.data, table->plan->name, plan_condition_sql(run, table, "p", acts), table_live_equal_sql(table, "l", "p"), condition);
}

static char *
write_insert_sql(UndoRun *run, const UndoTable *table, const char *condition)
{
	StringInfoData names;
	StringInfoData values;
	ListCell   *lc;

	initStringInfo(&names);
	initStringInfo(&values);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);
		char	   *value = write_value_sql(table, column);

		if (value == NULL)
			continue;
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", column->name);
		appendStringInfo(&values, "%s%s", values.len > 0 ? ", " : "", value);
	}
	return psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s p WHERE %s AND %s",
					naming_quoted(table->relid), names.data, values.data, table->plan->name,
					plan_condition_sql(run, table, "p", table->replace ? "IU" : "I"), condition);
}

/* What the column gets; NULL: it is computed. */
static char *
write_value_sql(const UndoTable *table, const UndoColumn *column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	char	   *absent = NULL;
	char	   *value;

	if (column->is_generated)
		return NULL;
	if (column->is_silent)
		return strcmp(column->plain, table->row->time_column) == 0 ? "pg_catalog.now()" : "pg_catalog.txid_current()";
	/* of a row that comes back */
	if (column->added && column->default_sql)
		absent = psprintf("WHEN p.absent_%s AND p.act OPERATOR(pg_catalog.=) 'I' THEN %s", column->alias, column->default_sql);
	if (column->same_type)
		return absent ? psprintf("CASE %s ELSE p.%s END", absent, column->alias) : psprintf("p.%s", column->alias);
	get_atttypetypmodcoll(table->relid, column->attnum, &type, &typmod, &collation);
	value = psprintf("p.%s::%s", column->alias,
					 format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	return absent ? psprintf("CASE %s ELSE %s END", absent, value) : value;
}

/* The columns are NULL until they are written. */
static void
write_park(UndoRun *run, UndoTable *table)
{
	StringInfoData set;
	StringInfoData now;
	StringInfoData then;
	ListCell   *lc;

	if (table->park == NIL || table->planned[1] == 0)
		return;
	initStringInfo(&set);
	initStringInfo(&now);
	initStringInfo(&then);
	foreach(lc, table->park)
		appendStringInfo(&set, "%s%s = NULL", set.len > 0 ? ", " : "", ((UndoColumn *) lfirst(lc))->name);
	foreach(lc, table->park_for)
	{
		UndoColumn *column = lfirst(lc);

		appendStringInfo(&now, "%s%s", now.len > 0 ? ", " : "", table_live_sql(column, "l"));
		appendStringInfo(&then, "%sp.%s", then.len > 0 ? ", " : "", column->alias);
	}
	(void) store_execute(run, psprintf("UPDATE %s l SET %s FROM %s p WHERE %s AND %s "
									   "AND NOT pg_catalog.record_image_eq(ROW(%s), ROW(%s))",
									   table->name, set.data, table->plan->name, plan_condition_sql(run, table, "p", "U"),
									   table_live_equal_sql(table, "l", "p"), now.data, then.data));
}

/*
 * Are the rows there that were to be, and none that were not?  Triggers and foreign keys may
 * have done otherwise.  Values that triggers have given to rows are told.
 */
static void
write_verify(UndoRun *run)
{
	ListCell   *lc;

	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);
		uint64		planned = table->planned[0] + table->planned[1] + table->planned[2];

		if (planned == 0)
			continue;
		write_check(table, planned, planned -
					store_execute(run, psprintf("SELECT pg_catalog.count(*) FROM (%s) p LEFT JOIN %s l ON %s "
												"WHERE (l.ctid IS NULL) OPERATOR(pg_catalog.<>) (p.act OPERATOR(pg_catalog.=) 'D')",
												plan_rows_sql(run, table, "DUI"), table->name, table_live_equal_sql(table, "l", "p"))));
		if (table->planned[1] + table->planned[2] > 0)
			write_tell_other_values(run, table);
	}
}

static void
write_tell_other_values(UndoRun *run, UndoTable *table)
{
	StringInfoData columns;
	char	   *names;
	char	   *count;
	bool		isnull;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (!column->is_silent && !column->is_generated)
			appendStringInfo(&columns, "%s pg_catalog.max(CASE WHEN NOT pg_catalog.record_image_eq(ROW(%s), ROW(p.%s)) THEN %s::pg_catalog.text END)",
							 columns.len > 0 ? "," : "", table_live_sql(column, "l"), column->alias,
							 quote_literal_cstr(column->name));
	}
	if (columns.len == 0)
		return;
	(void) SPI_execute(psprintf("SELECT pg_catalog.count(*)::pg_catalog.text, pg_catalog.array_to_string(ARRAY[%s]::pg_catalog.text[], ', ') "
								"FROM (%s) p JOIN %s l ON %s WHERE NOT pg_catalog.record_image_eq(%s, %s)",
								columns.data, plan_rows_sql(run, table, "UI"), table->name, table_live_equal_sql(table, "l", "p"),
								table_row_sql(table, "l", true), table_row_sql(table, "p", false)), false, 0);
	(void) SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	count = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	names = isnull ? "" : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	SPI_freetuptable(SPI_tuptable);
	if (strcmp(count, "0") != 0)
		ereport(NOTICE,
				(errmsg("triggers of table \"%s\" have given %s rows other values than they had",
						RelationGetRelationName(table->live), count),
				 errdetail("Columns: %s.", names)));
}

static void
write_check(const UndoTable *table, uint64 planned, uint64 written)
{
	if (written == planned)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("only %s of %s rows of table \"%s\" could be written", psprintf(UINT64_FORMAT, written),
					psprintf(UINT64_FORMAT, planned), RelationGetRelationName(table->live)),
			 errdetail("A trigger or a rule of the table has suppressed the others, or written them itself."),
			 errhint("Look at the triggers of the table: SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal;",
					 hint_table(table->relid))));
}

/*
 * Write once more what triggers have changed after the command that has written it;
 * InvalidCommandId: after any.
 */
static void
write_settle(UndoRun *run, CommandId cid)
{
	ListCell   *lc;

	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);
		char	   *condition;

		if (table->planned[1] + table->planned[2] == 0)
			continue;
		condition = psprintf("NOT pg_catalog.record_image_eq(%s, %s)", table_row_sql(table, "l", true),
							 table_row_sql(table, "p", false));
		if (cid != InvalidCommandId)
			condition = psprintf("NOT l.cmin OPERATOR(pg_catalog.=) '%u'::pg_catalog.cid AND %s", cid, condition);
		(void) store_execute(run, write_update_sql(run, table, "IU", condition));
	}
}

/*
 * Returns true if one of the tables has triggers other than ours and those of constraints.
 */
static bool
write_fires_triggers(UndoRun *run)
{
	ListCell   *lc;
	int			i;

	foreach(lc, run->tables)
	{
		TriggerDesc *triggers = ((UndoTable *) lfirst(lc))->live->trigdesc;

		for (i = 0; triggers && i < triggers->numtriggers; i++)
			if (!triggers->triggers[i].tgisinternal && !triggers_is_ours(triggers->triggers[i].tgfoid))
				return true;
	}
	return false;
}

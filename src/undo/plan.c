/*
 * plan.c
 *		Which rows of a table's plan are to be written.
 *
 * Those without a conflict, and with "force" those whose conflict can be overwritten; but
 * none that would break a foreign key or a unique constraint (references.c), and none of
 * which it is not known what was there.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "undo/undo.h"

/* "The row of the plan, called so, is to be written." */
char *
plan_active_sql(const UndoRun *run, const UndoTable *table, const char *alias)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (table->nconflicts == 0)
		appendStringInfoString(&sql, "true");
	else if (run->on_conflict == CONFLICT_FORCE)
		appendStringInfo(&sql, "(%s.kind IS NULL OR %s.kind OPERATOR(pg_catalog.<>) '" KIND_UNKNOWN "')", alias, alias);
	else
		appendStringInfo(&sql, "%s.kind IS NULL", alias);
	if (table->blocked && table->blocked->count > 0)
		appendStringInfo(&sql, " AND NOT EXISTS (SELECT FROM %s bl WHERE bl.n OPERATOR(pg_catalog.=) %s.n)",
						 table->blocked->name, alias);
	return sql.data;
}

/* The rows of the plan that are to be written in one of these ways. */
char *
plan_rows_sql(const UndoRun *run, const UndoTable *table, const char *acts)
{
	return psprintf("SELECT p.* FROM %s p WHERE p.act OPERATOR(pg_catalog.=) ANY ('%s') AND %s",
					table->plan->name, acts, plan_active_sql(run, table, "p"));
}

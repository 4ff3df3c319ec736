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
		appendStringInfo(&sql, "NOT %s.is_unknown", alias);
	else
		appendStringInfo(&sql, "%s.is_free", alias);
	if (table->blocked && table->blocked->count > 0)
		appendStringInfo(&sql, " AND NOT EXISTS (SELECT FROM %s bl WHERE bl.n OPERATOR(pg_catalog.=) %s.n)",
						 table->blocked->name, alias);
	return sql.data;
}

/*
 * "The row of the plan, called so, is to be written in one of these ways", each a letter.  What
 * is true of all rows is left out, so that PostgreSQL knows how many there are.
 */
char *
plan_condition_sql(const UndoRun *run, const UndoTable *table, const char *alias, const char *acts)
{
	static const char all[] = {ACT_DELETE, ACT_UPDATE, ACT_INSERT};
	static const char *const names[] = {"is_d", "is_u", "is_i"};
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	for (i = 0; i < lengthof(all); i++)
		if (table->acts[i] > 0 && strchr(acts, all[i]) == NULL)
			appendStringInfo(&sql, "NOT %s.%s AND ", alias, names[i]);
	appendStringInfoString(&sql, plan_active_sql(run, table, alias));
	return sql.data;
}

/* The rows of the plan that are to be written in one of these ways. */
char *
plan_rows_sql(const UndoRun *run, const UndoTable *table, const char *acts)
{
	return psprintf("SELECT p.* FROM %s p WHERE %s", table->plan->name, plan_condition_sql(run, table, "p", acts));
}

/*
 * lock.c
 *		Locks on the rows that are to be judged.
 *
 * Without them a writer's change that is committed in between would be lost.  They are
 * taken in the order of the tables' OIDs and of the keys, the same in all calls, so that
 * two of them do not wait for each other.  Where rows may have to be deleted the lock is
 * FOR UPDATE, as a weaker one lets others refer to them.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "undo/undo.h"

/* Lock the live rows of the keys that were found. */
void
lock_rows(UndoRun *run, UndoTable *table)
{
	char	   *sql;

	if (table->found->count == 0)
		return;
	sql = psprintf("SELECT pg_catalog.count(*) FROM (SELECT FROM %s l WHERE EXISTS "
				   "(SELECT FROM (SELECT %s FROM %s f OFFSET 0) f WHERE %s) ORDER BY %s FOR %s OF l) x",
				   table->name, table_list_sql(table, "f.%a", true), table->found->name,
				   table_live_equal_sql(table, "l", "f"), table_list_sql(table, "l.%n", true),
				   table->ndelete > 0 ? "UPDATE" : "NO KEY UPDATE");
	(void) store_execute(run, sql);
}

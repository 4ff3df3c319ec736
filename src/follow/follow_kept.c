/*
 * follow_kept.c
 *		Kept columns give way to a new column of the live table's (kept_columns.c).
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_authid.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "follow/follow.h"

static bool held_by_live(Oid history, const char *name);

/*
 * The history table is about to get a column of this name, and with it all that
 * inherit from it: kept columns of that name move to the next free one.
 */
void
follow_kept_free_name(Oid history, const char *name)
{
	ListCell   *lc;

	foreach(lc, lineage_below(history))
	{
		Oid			relid = lfirst_oid(lc);

		if (get_attnum(relid, name) != InvalidAttrNumber &&
			(relid == history || !held_by_live(relid, name)))
			kept_columns_move(relid, name, InvalidOid);
	}
}

/*
 * Returns true if the column of a history further down is no kept one, but the live
 * table's, with which a new column of the parent is merged.
 */
static bool
held_by_live(Oid history, const char *name)
{
	RegistryRow *row = registry_get_by_derived(history);
	TableState *before = row ?
		table_state_before(row, command_since(row->live)) : NULL;
	int			i;

	if (before == NULL)
		return true;
	for (i = 0; i < before->natts; i++)
		if (before->columns[i].exists &&
			strcmp(NameStr(before->columns[i].name), name) == 0)
			return true;
	return false;
}

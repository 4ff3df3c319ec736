/*
 * take_up.c
 *		A history that was kept is used again.
 *
 * drop_history_table_keep_data leaves it, DROP TABLE too where on_drop_table says so,
 * and a table of the name of its own may come with other columns.  Those that history
 * lacks are added as by enabling (reconcile.c).  One whose type is too narrow becomes
 * wide enough, as it would have, had the table been altered; one that cannot hold what
 * the table has is an error, with a hint at what keeps the old values.
 *
 * Locks: ACCESS EXCLUSIVE on a history that is widened.  The caller holds SHARE ROW
 * EXCLUSIVE on the live table.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

static bool is_widened_by(Form_pg_attribute column, Oid type, int32 typmod);
static void widen_columns(Oid live, Oid history);

/* The history table of the right name and owner, or InvalidOid. */
Oid
take_up_history(Oid live)
{
	Oid			history = derived_find(live, naming_history_table(live), RELKIND_RELATION);

	Assert(relation_is_locked(live, ShareRowExclusiveLock));
	if (!OidIsValid(history))
		return InvalidOid;
	ereport(NOTICE,
			(errmsg("reusing history table \"%s\", which was kept for table \"%s\"",
					get_rel_name(history), get_rel_name(live))));
	widen_columns(live, history);
	return history;
}

/* Returns true if the type holds all values that the column has. */
static bool
is_widened_by(Form_pg_attribute column, Oid type, int32 typmod)
{
	return types_hold(column->atttypid, column->atttypmod, type, typmod);
}

/* Where that fails, reconcile_columns says what is wrong. */
static void
widen_columns(Oid live, Oid history)
{
	List	   *columns;
	ListCell   *lc;

	LockRelationOid(history, ShareRowExclusiveLock);
	columns = derived_columns_to_widen(live, history, is_widened_by);
	foreach(lc, columns)
	{
		TableColumn *column = lfirst(lc);

		if (convert_type_try(history, column))
			ereport(NOTICE,
					(errmsg("column \"%s\" of history table \"%s\" has been widened to %s",
							column->name, get_rel_name(history),
							format_type_with_typemod(column->type, column->typmod)),
					 errdetail("Table \"%s\" has the column with this type.",
							   get_rel_name(live))));
	}
}

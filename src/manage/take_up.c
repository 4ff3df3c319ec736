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
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

static void widen_columns(Oid live, Oid history);

/* The history table of the right name and owner, or InvalidOid. */
Oid
take_up_history(Oid live)
{
	Oid			history = derived_find(live, naming_history_table(live), RELKIND_RELATION);

	if (!OidIsValid(history))
		return InvalidOid;
	ereport(NOTICE,
			(errmsg("taking up history table \"%s\", which was kept for table \"%s\"",
					get_rel_name(history), get_rel_name(live))));
	widen_columns(live, history);
	return history;
}

/* Where that fails, reconcile_columns says what is wrong. */
static void
widen_columns(Oid live, Oid history)
{
	Relation	live_rel = table_open(live, NoLock);
	Relation	history_rel = table_open(history, ShareRowExclusiveLock);
	TupleDesc	desc = RelationGetDescr(live_rel);
	List	   *columns = NIL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Form_pg_attribute target = att->attisdropped ? NULL :
			columns_find(history_rel, NameStr(att->attname));
		Oid			type;
		int32		typmod;

		if (target == NULL)
			continue;
		columns_base_type(att, &type, &typmod);
		if (!types_hold(type, typmod, target->atttypid, target->atttypmod) &&
			types_hold(target->atttypid, target->atttypmod, type, typmod))
			columns = lappend(columns,
							  derived_column_like(att, pstrdup(NameStr(att->attname)), ""));
	}
	table_close(history_rel, NoLock);
	table_close(live_rel, NoLock);

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

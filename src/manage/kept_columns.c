/*
 * kept_columns.c
 *		Kept columns give way.
 *
 * A history keeps what the live table has dropped, or changed with loss.  Where
 * a column of the live table's, or of a parent's history, needs the name of a
 * kept one, that takes the next free name: in the history that it comes from, and
 * so in all that inherit it.
 */
#include "postgres.h"

#include "access/table.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "manage/manage.h"

/*
 * The history child is about to inherit from history: of columns that have one
 * name and are different things, the kept one moves.  Locks history as the
 * inheriting will; the child's live table must be locked.
 */
void
kept_columns_free_names(Oid history, Oid child)
{
	RegistryRow *parent = registry_get_by_derived(history);
	RegistryRow *row = registry_get_by_derived(child);
	Relation	rel;
	List	   *above = NIL;
	List	   *below = NIL;
	ListCell   *lc;
	int			i;

	if (parent == NULL || row == NULL)
		return;
	Assert(relation_is_locked(row->live, ShareUpdateExclusiveLock));
	rel = table_open(history, ShareUpdateExclusiveLock);
	for (i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		char	   *name = NameStr(att->attname);
		AttrNumber	attnum;

		if (att->attisdropped || strcmp(name, PERIOD_COLUMN) == 0 ||
			strcmp(name, XID_COLUMN) == 0 || strcmp(name, MAKER_COLUMN) == 0 ||
			get_attnum(parent->live, name) != InvalidAttrNumber)
			continue;
		attnum = get_attnum(child, name);
		if (get_attnum(row->live, name) != InvalidAttrNumber)
			above = lappend(above, pstrdup(name));
		else if (attnum != InvalidAttrNumber && !columns_have_type(child, attnum, att->atttypid, att->atttypmod, att->attcollation))
			below = lappend(below, pstrdup(name));
	}
	table_close(rel, NoLock);		/* keep the lock */
	foreach(lc, above)
		kept_columns_move(history, lfirst(lc), child);
	foreach(lc, below)
		kept_columns_move(child, lfirst(lc), history);
}

/* To the next name that is free, also in other if that is not InvalidOid. */
void
kept_columns_move(Oid history, const char *name, Oid other)
{
	List	   *parents;

	/* an inherited one moves where it comes from, and all the way down */
	while (lineage_column_is_inherited(history, get_attnum(history, name)) &&
		   (parents = lineage_parents(history)) != NIL)
		history = linitial_oid(parents);

	catalog_rename_column(history, name, naming_free_column(history, other, name, true));
}

/*
 * follow_kept.c
 *		Kept columns give way.
 *
 * A history keeps what the live table has dropped, or changed with loss.  Where
 * a column of the live table's, or of a parent's history, needs the name of a
 * kept one, that takes the next free name: in the history that it comes from, and
 * so in all that inherit it.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catmaid_history.h"

static bool held_by_live(Oid history, const char *name);
static void move_kept(Oid history, const char *name, Oid other);

/*
 * The history table is about to get a column of this name, and with it all that
 * inherit from it: kept columns that bear the name move to the next free one.
 */
void
follow_kept_free_name(Oid history, const char *name)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(history, NoLock, NULL))
	{
		Oid			relid = lfirst_oid(lc);

		if (get_attnum(relid, name) != InvalidAttrNumber &&
			(relid == history || !held_by_live(relid, name)))
			move_kept(relid, name, InvalidOid);
	}
}

/*
 * The history child is about to inherit from history: of columns that have one
 * name and are different things, the kept one moves.  Locks history as the
 * inheriting will, child must be locked.
 */
void
follow_kept_make_room(Oid history, Oid child)
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
	rel = table_open(history, ShareUpdateExclusiveLock);
	for (i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		char	   *name = NameStr(att->attname);
		AttrNumber	attnum;
		ColumnState column = {.type = att->atttypid,.typmod = att->atttypmod,
		.collation = att->attcollation};

		if (att->attisdropped || strcmp(name, PERIOD_COLUMN) == 0 ||
			strcmp(name, XID_COLUMN) == 0 ||
			get_attnum(parent->live, name) != InvalidAttrNumber)
			continue;
		attnum = get_attnum(child, name);
		if (get_attnum(row->live, name) != InvalidAttrNumber)
			above = lappend(above, pstrdup(name));
		else if (attnum != InvalidAttrNumber && !table_state_has_type(child, attnum, &column))
			below = lappend(below, pstrdup(name));
	}
	table_close(rel, NoLock);		/* keep the lock */
	foreach(lc, above)
		move_kept(history, lfirst(lc), child);
	foreach(lc, below)
		move_kept(child, lfirst(lc), history);
}

/*
 * Is the column of a history further down no kept one, but that of the live
 * table, with which a new column of the parent is merged?
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

/* To the next name that is free, also in other if that is not InvalidOid. */
static void
move_kept(Oid history, const char *name, Oid other)
{
	List	   *parents;

	/* an inherited one moves where it comes from, and all the way down */
	while (lineage_column_is_inherited(history, get_attnum(history, name)) &&
		   (parents = lineage_parents(history)) != NIL)
		history = linitial_oid(parents);

	catalog_rename_column(history, name, naming_free_column(history, other, name, true));
}

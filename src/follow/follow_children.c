/*
 * follow_children.c
 *		Tables begin to inherit from tracked tables, or cease to, be they tracked or not.
 *
 * Of a table that is not tracked nothing else tells; and of one that is, its rows were not
 * those of its new parent's before, and go from its former one's past.  So it is noted when that
 * was (since.c): the time machine does not know the parent with its children as of
 * instants before.  A table that the command has made had no rows before, which is
 * noted as well.
 *
 * Partitions are followed in another way (follow_table.c).
 *
 * Locks: none; the command holds those on the children.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "follow/follow.h"

static void note_made(const CreateStmt *statement);
static List *changed_parents(Oid relid, List *parents);
static List *with_tracked_above(List *tables, List *parents);
static void note(Oid relid, SinceWhat what);

/* Note what the command has done. */
void
follow_children(Node *statement)
{
	bool		too_many;
	List	   *touched = command_touched(&too_many);
	List	   *parents = NIL;
	ListCell   *lc;

	if (IsA(statement, CreateStmt) || IsA(statement, CreateForeignTableStmt))
	{
		note_made((CreateStmt *) statement);
		return;
	}
	if (too_many)
		foreach(lc, registry_all())
		{
			Oid			live = ((RegistryRow *) lfirst(lc))->live;

			if (!equal(table_state_children(live, command_since(live)),
					   table_state_children(live, InvalidCommandId)))
				parents = with_tracked_above(parents, list_make1_oid(live));
		}
	foreach(lc, touched)
		parents = changed_parents(lfirst_oid(lc), parents);
	foreach(lc, parents)
		note(lfirst_oid(lc), SINCE_CHILDREN);
	foreach(lc, parents ? touched : NIL)
		if (get_rel_name(lfirst_oid(lc)) == NULL)
			since_forget(lfirst_oid(lc));
}

/* The table, if the command has made it below a tracked one. */
static void
note_made(const CreateStmt *statement)
{
	Oid			relid;

	if (statement->inhRelations == NIL || statement->partbound != NULL)
		return;
	relid = RangeVarGetRelid(statement->relation, NoLock, true);
	if (OidIsValid(relid) && !table_state_existed(relid, command_since(relid)) &&
		with_tracked_above(NIL, lineage_parents(relid)) != NIL)
		note(relid, SINCE_MADE);
}

/* Add to the tables those tracked ones that the relation has been put under, or taken from. */
static List *
changed_parents(Oid relid, List *parents)
{
	List	   *before = table_state_parents(relid, command_since(relid));
	List	   *now = table_state_parents(relid, InvalidCommandId);

	if (!table_state_existed(relid, command_since(relid)))
		return parents;
	parents = with_tracked_above(parents, list_difference_oid(before, now));
	return with_tracked_above(parents, list_difference_oid(now, before));
}

/* Add to the tables those of the parents, and of what is above them, that are tracked. */
static List *
with_tracked_above(List *tables, List *parents)
{
	ListCell   *lc;

	foreach(lc, parents)
	{
		Oid			parent = lfirst_oid(lc);

		if (get_rel_relkind(parent) != RELKIND_RELATION)
			continue;
		if (registered_live(parent) == parent)
			tables = list_append_unique_oid(tables, parent);
		tables = with_tracked_above(tables, lineage_parents(parent));
	}
	return tables;
}

static void
note(Oid relid, SinceWhat what)
{
	Since		since = {.what = what,.since = GetCurrentTimestamp()};

	since_note(relid, &since);
}

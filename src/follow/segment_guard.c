/*
 * segment_guard.c
 *		Nobody takes a segment away from a history that is being kept.
 *
 * A table is a segment while it inherits from the history and has the constraint
 * (segments.c).  Without either its versions would be gone from every query, and nobody
 * would know: so the commands that take these away are refused while the table is
 * tracked, as DROP TABLE of the segment is.  A command that makes the constraint again is
 * not.
 *
 * No locks.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "utils/lsyscache.h"

#include "follow/follow.h"
#include "compat.h"

static RangeVar *loses_segment(Node *statement);

/* Error out if the command would make a table no segment any more; before it is executed. */
void
segment_guard_check(Node *statement)
{
	RangeVar   *name = loses_segment(statement);
	Oid			relid = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;
	Oid			history = OidIsValid(relid) ? segments_head(relid) : InvalidOid;
	RegistryRow *row = OidIsValid(history) ? registry_get_by_derived(history) : NULL;

	if (row && followed_row(row->live, &row))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot take segment \"%s\" away from the history of table \"%s\" while it is tracked",
						get_rel_name(relid), get_rel_name(row->live)),
				 errdetail("Queries of the past would not find its versions."),
				 errhint("SELECT %s(%s::regclass) first.",
						 hint_function("disable_history_tracking_for_table"),
						 naming_argument(row->live))));
}

/* The table that the command takes the parent or the constraint from, or NULL. */
static RangeVar *
loses_segment(Node *statement)
{
	bool		loses = false;
	bool		has_it_again = false;
	ListCell   *lc;

	if (IsA(statement, RenameStmt))
	{
		RenameStmt *rename = (RenameStmt *) statement;

		return rename->renameType == OBJECT_TABCONSTRAINT &&
			strcmp(rename->subname, SEGMENT_CONSTRAINT) == 0 ? rename->relation : NULL;
	}
	if (!IsA(statement, AlterTableStmt))
		return NULL;
	foreach(lc, ((AlterTableStmt *) statement)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Constraint *constraint = (Constraint *) cmd->def;

		if (cmd->subtype == AT_DropInherit)
			return ((AlterTableStmt *) statement)->relation;
		if (cmd->subtype == AT_DropConstraint && strcmp(cmd->name, SEGMENT_CONSTRAINT) == 0)
			loses = true;
		if (cmd->subtype == AT_AddConstraint && constraint->conname &&
			strcmp(constraint->conname, SEGMENT_CONSTRAINT) == 0)
			has_it_again = true;
	}
	return loses && !has_it_again ? ((AlterTableStmt *) statement)->relation : NULL;
}

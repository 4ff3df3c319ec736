/*
 * before_command.c
 *		Before a DDL command: what PostgreSQL would refuse because of our views is
 *		moved out of the way.
 *
 * This is where statements are looked at, since the catalogs would come too
 * late.  A role that may not run the command gets PostgreSQL's own error.
 * Commands that drop something are in before_drop.c.
 *
 * Locks: those that the command is about to take, on tables whose history is kept
 * and on their families; before them, on their views, as readers do.  A name that
 * means another relation when its lock is had is looked up again.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "follow/follow.h"
#include "compat.h"

static void lock_views(RangeVar *name, bool parents, RangeVar *new_parent, ColumnChange change,
					   DerivedTables derived);
static ColumnChange column_change(AlterTableStmt *statement);
static bool concerns_history(AlterTableStmt *statement);
static DerivedTables derived_tables_changed(AlterTableStmt *statement);
static DerivedTables derived_tables_changed_by(AlterTableCmd *cmd, Oid relid);
static RangeVar *new_parent(AlterTableStmt *statement);
static bool serves_key(const char *column, Oid relid);
static bool concerns_parents(AlterTableStmt *statement);
static void refuse_tracked_partition(AlterTableStmt *statement);
static bool takes_columns(AlterTableStmt *statement);
static void before_alter(AlterTableStmt *statement);
static Oid	lock_to_alter(RangeVar *name, LOCKMODE mode);

/* ddl_command_start */
void
before_command(Node *statement)
{
	segment_guard_check(statement);
	if (IsA(statement, RenameStmt))
		lock_views(((RenameStmt *) statement)->relation, true, NULL, COLUMNS_STAY,
				   ((RenameStmt *) statement)->renameType == OBJECT_TABLE ? DERIVED_BOTH :
				   ((RenameStmt *) statement)->renameType == OBJECT_COLUMN ? DERIVED_HISTORY :
				   DERIVED_NONE);
	else if (IsA(statement, AlterObjectSchemaStmt))
		lock_views(((AlterObjectSchemaStmt *) statement)->relation, true, NULL, COLUMNS_STAY,
				   DERIVED_BOTH);
	else if (IsA(statement, AlterTableStmt))
		before_alter((AlterTableStmt *) statement);
	else if (IsA(statement, AlterDomainStmt))
		kept_types_before_alter_domain((AlterDomainStmt *) statement);
	else if (IsA(statement, DropStmt))
		before_drop((DropStmt *) statement);
	else if (IsA(statement, DropOwnedStmt))
		before_drop_owned((DropOwnedStmt *) statement);
}

/*
 * Lock the views of what the command will lock against readers, before it does
 * (see view_lock_all): of the table and those that inherit from it; and of those
 * from which it inherits, if the command changes what their readers look into.
 * The view of a partitioned table looks into none of its partitions.  Views on these
 * views are locked only if they have to follow.
 */
static void
lock_views(RangeVar *name, bool parents, RangeVar *new_parent, ColumnChange change,
		   DerivedTables derived)
{
	while (name)
	{
		Oid			relid = RangeVarGetRelid(name, NoLock, true);
		List	   *locked;

		if (!OidIsValid(relid) || !relation_ownercheck_compat(relid, GetUserId()))
			return;
		locked = followed_lock_views(relid, parents,
									 new_parent ? RangeVarGetRelid(new_parent, NoLock, true) : InvalidOid,
									 change, derived);
		if (RangeVarGetRelid(name, NoLock, true) == relid)
			return;
		/* somebody else's table has the name by now */
		lock_order_undo(locked);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Returns true if something in the command may concern the view, or what is derived from the table. */
static bool
concerns_history(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		switch (cmd->subtype)
		{
			case AT_ColumnDefault:
			case AT_SetNotNull:
			case AT_DropNotNull:
			case AT_SetStatistics:
			case AT_SetOptions:
			case AT_ResetOptions:
			case AT_SetStorage:
			case AT_ValidateConstraint:
			case AT_AlterConstraint:
			case AT_ClusterOn:
			case AT_DropCluster:
			case AT_SetTableSpace:
			case AT_SetRelOptions:
			case AT_ResetRelOptions:
			case AT_ReplicaIdentity:
			case AT_AddIdentity:
			case AT_SetIdentity:
			case AT_DropIdentity:
				break;
			case AT_AddConstraint:
				if (((Constraint *) cmd->def)->contype == CONSTR_PRIMARY)
					return true;
				break;
			default:
				return true;
		}
	}
	return false;
}

/*
 * The tables derived from the one that is altered that are altered with it, so that their
 * readers have to be waited for.
 */
static DerivedTables
derived_tables_changed(AlterTableStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);
	DerivedTables all = DERIVED_NONE;
	ListCell   *lc;

	foreach(lc, statement->cmds)
		all |= derived_tables_changed_by(lfirst_node(AlterTableCmd, lc), relid);
	return all;
}

static DerivedTables
derived_tables_changed_by(AlterTableCmd *cmd, Oid relid)
{
	HeapTuple	tuple;
	ListCell   *lc;
	bool		key;

	switch (cmd->subtype)
	{
		case AT_ChangeOwner:
		case AT_EnableRowSecurity:
		case AT_DisableRowSecurity:
		case AT_ForceRowSecurity:
		case AT_NoForceRowSecurity:
			return DERIVED_BOTH;
		case AT_SetLogged:
		case AT_SetUnLogged:
			return DERIVED_TRACKING;
		case AT_AddInherit:
		case AT_DropInherit:
			return DERIVED_HISTORY;
		case AT_AddConstraint:
			return ((Constraint *) cmd->def)->contype == CONSTR_PRIMARY ? DERIVED_BOTH : DERIVED_NONE;
		case AT_DropConstraint:
			tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(
																OidIsValid(relid) ? get_relation_constraint_oid(relid, cmd->name, true) : InvalidOid));
			key = HeapTupleIsValid(tuple) &&
				((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_PRIMARY;
			if (HeapTupleIsValid(tuple))
				ReleaseSysCache(tuple);
			return key ? DERIVED_TRACKING : DERIVED_NONE;
		case AT_DropColumn:
		case AT_AlterColumnType:
			return serves_key(cmd->name, relid) ? DERIVED_BOTH : DERIVED_HISTORY;
		case AT_AddColumn:
			foreach(lc, ((ColumnDef *) cmd->def)->constraints)
				if (lfirst_node(Constraint, lc)->contype == CONSTR_PRIMARY)
					return DERIVED_BOTH;
			return DERIVED_HISTORY;
		default:
			return DERIVED_NONE;
	}
}

/* From which table the command has this one inherit, or NULL. */
static RangeVar *
new_parent(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddInherit)
			return (RangeVar *) cmd->def;
	}
	return NULL;
}

/* Returns true if the column is one of those by which the table's rows are told. */
static bool
serves_key(const char *column, Oid relid)
{
	RegistryRow *row = registered(relid) ? registry_get(relid) : NULL;
	ListCell   *lc;

	if (row)
		foreach(lc, row->key)
			if (strcmp(lfirst(lc), column) == 0)
				return true;
	return false;
}

/*
 * Returns true if the command may change the hierarchy, or a tracking table under a
 * parent's.
 */
static bool
concerns_parents(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AddInherit:
			case AT_DropInherit:
			case AT_ChangeOwner:
			case AT_DropConstraint:
			case AT_DropColumn:
			case AT_AlterColumnType:
				return true;
			default:
				break;
		}
	}
	return false;
}

/*
 * ALTER TABLE that takes columns away or changes types: suspend the views of the
 * table and of all that inherit the change.
 */
static void
before_alter(AlterTableStmt *statement)
{
	LOCKMODE	mode = AlterTableGetLockLevel(statement->cmds);
	Oid			relid;
	ListCell   *lc;

	refuse_tracked_partition(statement);
	kept_types_before_alter(statement);
	if (mode == AccessExclusiveLock && concerns_history(statement))
		lock_views(statement->relation, concerns_parents(statement), new_parent(statement),
				   column_change(statement), derived_tables_changed(statement));
	if (statement->relation == NULL || !takes_columns(statement))
		return;
	relid = lock_to_alter(statement->relation, mode);
	if (!OidIsValid(relid))
		return;
	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		before_alter_type(get_rel_type_id(relid), (Node *) statement);
	else
		foreach(lc, find_all_inheritors(relid, mode, NULL))
			followed_suspend_view(lfirst_oid(lc), NULL, (Node *) statement);
}

/*
 * Lock what ALTER will lock first, if its user may run it: whoever has waited for
 * that finds what the other one did.  Else InvalidOid.
 */
static Oid
lock_to_alter(RangeVar *name, LOCKMODE mode)
{
	for (;;)
	{
		Oid			relid = RangeVarGetRelid(name, NoLock, true);
		char		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

		if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
			 relkind != RELKIND_COMPOSITE_TYPE) ||
			!relation_ownercheck_compat(relid, GetUserId()))
			return InvalidOid;
		LockRelationOid(relid, mode);
		if (RangeVarGetRelid(name, NoLock, true) == relid)
			return relid;
		UnlockRelationOid(relid, mode);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ATTACH PARTITION of a table that has a history of its own. */
static void
refuse_tracked_partition(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Oid			partition;

		if (cmd->subtype != AT_AttachPartition)
			continue;
		partition = RangeVarGetRelid(((PartitionCmd *) cmd->def)->name, NoLock, true);
		if (OidIsValid(partition) && registered(partition) &&
			relation_ownercheck_compat(partition, GetUserId()) &&
			settings_follow_ddl(security_owner_of(partition)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot attach table \"%s\" as a partition: it has a history of its own",
							get_rel_name(partition)),
					 errhint("SELECT %s(%s::regclass) first.",
							 drop_function_name(true),
							 naming_argument(partition))));
	}
}

static bool
takes_columns(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DropColumn || cmd->subtype == AT_AlterColumnType)
			return true;
	}
	return false;
}

static ColumnChange
column_change(AlterTableStmt *statement)
{
	ColumnChange change = COLUMNS_STAY;
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AlterColumnType)
			return COLUMNS_CHANGE_TYPE;
		if (cmd->subtype == AT_DropColumn || cmd->subtype == AT_AddColumn)
			change = COLUMNS_COME_AND_GO;
	}
	return change;
}

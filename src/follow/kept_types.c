/*
 * kept_types.c
 *		What histories have kept outlives its type.
 *
 * A history keeps columns that its table has dropped or given another type, a kept
 * history all of its columns.  Nothing but old values is of the type then, and these
 * stop nobody who drops the type, or its collation, or alters the table whose row
 * type it is: before the command the columns become text, as the type prints the
 * values (convert_to_text).  So does the column of a live one that goes with CASCADE,
 * where dropped columns are kept; follow_columns.c gives it its new name.
 *
 * Histories that were kept are in no registry: they are found by what depends on the
 * type, and known by the defaults that a history has (derived_has_history_defaults).  A site's
 * own table that looks the same has the same done to it, by its owner.
 *
 * Where it cannot be done, PostgreSQL does as it does with any column.
 *
 * Locks: ACCESS EXCLUSIVE on the histories that have such columns.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "follow/follow.h"
#include "compat.h"

static bool alters_row_type(AlterTableStmt *statement);
static bool kept_types_cascades(AlterTableStmt *statement);
static void drop_columns(Dependents *dependents, Oid relid, AlterTableStmt *statement);
static bool gives_up(const Dependents *dependents, const DependentColumn *column);
static bool history_gives_up(const Dependents *dependents, const RegistryRow *row,
							 const FormData_pg_attribute *att);
static bool tracking_gives_up(const Dependents *dependents, const RegistryRow *row);
static bool read_column(const DependentColumn *column, FormData_pg_attribute *att);
static void give_up(const Dependents *dependents, const DependentColumn *column,
					Node *statement);
static void park_view(const Dependents *dependents, const RegistryRow *row,
					  const char *column, Node *statement);
static bool kept_types_stays(const Dependents *dependents, const RegistryRow *row);

/* Before a command drops what is in dependents, or alters it. */
void
kept_types_give_up(const Dependents *dependents, Node *statement)
{
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, dependents_columns(dependents))
		if (gives_up(dependents, lfirst(lc)))
			columns = lappend(columns, lfirst(lc));
	foreach(lc, columns)
		give_up(dependents, lfirst(lc), statement);
}

/* ALTER TABLE, ALTER TYPE of a composite type: the row type is another one. */
void
kept_types_before_alter(AlterTableStmt *statement)
{
	Dependents *dependents;
	Oid			relid;
	ListCell   *lc;

	if (statement->relation == NULL || !alters_row_type(statement))
		return;
	relid = RangeVarGetRelid(statement->relation, NoLock, true);
	if (!OidIsValid(relid) || !relation_ownercheck_compat(relid, GetUserId()))
		return;
	if (!kept_types_cascades(statement) && !lineage_may_have_below(relid) &&
		!dependents_use_row_type(get_rel_type_id(relid)))
		return;					/* as it is with most tables */
	dependents = dependents_of_command(kept_types_cascades(statement));
	foreach(lc, lineage_below(relid))
	{
		dependents_alter(dependents, get_rel_type_id(lfirst_oid(lc)));
		if (dependents_cascade(dependents))
			drop_columns(dependents, lfirst_oid(lc), statement);
	}
	dependents_find(dependents);
	kept_types_give_up(dependents, (Node *) statement);
}

/* Or rewritten, which PostgreSQL takes for the same (ATRewriteTables). */
static bool
alters_row_type(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		switch (cmd->subtype)
		{
			case AT_AddColumn:
			case AT_DropColumn:
			case AT_AlterColumnType:
			case AT_SetLogged:
			case AT_SetUnLogged:
				return true;
			default:
				if (sets_expression_compat(cmd) || sets_access_method_compat(cmd))
					return true;
		}
	}
	return false;
}

/* Is there a DROP COLUMN ... CASCADE? */
static bool
kept_types_cascades(AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DropColumn && cmd->behavior == DROP_CASCADE)
			return true;
	}
	return false;
}

/* Which may take types along, those of views on the column. */
static void
drop_columns(Dependents *dependents, Oid relid, AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		AttrNumber	attnum;
		ObjectAddress column;

		if (cmd->subtype != AT_DropColumn || cmd->behavior != DROP_CASCADE)
			continue;
		attnum = get_attnum(relid, cmd->name);
		if (attnum <= 0)
			continue;
		ObjectAddressSubSet(column, RelationRelationId, relid, attnum);
		dependents_drop(dependents, &column);
	}
}

/* ALTER DOMAIN looks at all values of the domain, which may be inside of others. */
void
kept_types_before_alter_domain(AlterDomainStmt *statement)
{
	Type		tuple = LookupTypeName(NULL, makeTypeNameFromNameList(statement->typeName),
									   NULL, true);
	Dependents *dependents;
	Oid			type;

	if (tuple == NULL)
		return;
	type = typeTypeId(tuple);
	ReleaseSysCache(tuple);
	if (!type_ownercheck_compat(type, GetUserId()))
		return;
	dependents = dependents_of_command(false);
	dependents_alter(dependents, type);
	dependents_find(dependents);
	kept_types_give_up(dependents, (Node *) statement);
}

/* Returns true for a column of ours that is to become text. */
static bool
gives_up(const Dependents *dependents, const DependentColumn *column)
{
	Oid			relid = column->relid;
	FormData_pg_attribute att;
	RegistryRow *row;

	/* an inherited one becomes text with the parent's */
	if (get_rel_relkind(relid) != RELKIND_RELATION ||
		dependents_drops(dependents, relid) ||
		!settings_follow_ddl(security_owner_of(relid)) ||
		!read_column(column, &att) || att.attinhcount > 0)
		return false;

	row = registry_get_by_derived(relid);
	if (row == NULL)
		return registry_get(relid) == NULL && derived_has_history_defaults(relid);
	if (get_rel_name(row->live) == NULL)
		return row->history == relid;
	if (!registry_is_sound(row, security_owner_of(row->live)))
		return false;
	return row->history == relid ? history_gives_up(dependents, row, &att) :
		tracking_gives_up(dependents, row);
}

/*
 * One that its live table does not have; or that the live table has without
 * depending on what goes; or the one of a live column that goes and is to be kept.
 */
static bool
history_gives_up(const Dependents *dependents, const RegistryRow *row,
				 const FormData_pg_attribute *att)
{
	AttrNumber	attnum = get_attnum(row->live, NameStr(att->attname));
	bool		cascade = dependents_cascade(dependents);
	bool		tracked = triggers_there(row, NULL);
	const DependentColumn *live;
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (dependents_drops(dependents, row->live))
		return !cascade || kept_types_stays(dependents, row);
	if (attnum == InvalidAttrNumber)
		return true;

	live = dependents_column(dependents, row->live, attnum);
	if (live)
		return cascade && live->goes &&
			(!tracked ||
			 settings_on_drop_column(security_owner_of(row->live)) == ON_DROP_KEEP);

	get_atttypetypmodcoll(row->live, attnum, &type, &typmod, &collation);
	type = getBaseTypeAndTypmod(type, &typmod);
	return type != att->atttypid &&
		(!tracked || types_hold(type, typmod, TEXTOID, -1));
}

/* A column of the tracking table: if its live table keeps all of its own. */
static bool
tracking_gives_up(const Dependents *dependents, const RegistryRow *row)
{
	ListCell   *lc;

	if (dependents_drops(dependents, row->live))
		return !dependents_cascade(dependents);
	foreach(lc, dependents_columns(dependents))
		if (((DependentColumn *) lfirst(lc))->relid == row->live)
			return false;
	return true;
}

static bool
read_column(const DependentColumn *column, FormData_pg_attribute *att)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(column->relid),
										Int16GetDatum(column->attnum));

	if (!HeapTupleIsValid(tuple))
		return false;
	memcpy(att, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
	ReleaseSysCache(tuple);
	return !att->attisdropped;
}

static void
give_up(const Dependents *dependents, const DependentColumn *column, Node *statement)
{
	FormData_pg_attribute before;
	FormData_pg_attribute att;
	RegistryRow *row = registry_get_by_derived(column->relid);
	bool		is_history = row == NULL || row->history == column->relid;

	if (!read_column(column, &before))
		return;
	if (row && is_history && get_rel_name(row->live) &&
		!dependents_drops(dependents, row->live))
		park_view(dependents, row, NameStr(before.attname), statement);
	LockRelationOid(column->relid, AccessExclusiveLock);

	/* who waited for the lock may find that somebody else has done it */
	if (!read_column(column, &att) || att.atttypid != before.atttypid ||
		att.attcollation != before.attcollation)
		return;
	if (!convert_to_text(column->relid, NameStr(att.attname),
						 dependents_cascade(dependents) && column->goes))
		return;
	if (is_history && kept_types_stays(dependents, row))
		ereport(NOTICE,
				(errmsg("column \"%s\" of history table \"%s\" has become text",
						NameStr(att.attname), get_rel_name(column->relid)),
				 errdetail("It keeps values of a type that is dropped or altered.")));
}

/* Our view, if it shows the column, which the live table has as well. */
static void
park_view(const Dependents *dependents, const RegistryRow *row, const char *column,
		  Node *statement)
{
	if (get_attnum(row->live, column) == InvalidAttrNumber)
		return;
	view_lock_dependents(list_make1_oid(row->live), true);
	view_lock_all(list_make1_oid(row->live), AccessExclusiveLock);
	LockRelationOid(row->live, ShareUpdateExclusiveLock);
	followed_suspend_view(row->live, dependents, statement);
}

/* Returns true if the history will exist after the command. */
static bool
kept_types_stays(const Dependents *dependents, const RegistryRow *row)
{
	return row == NULL || !dependents_drops(dependents, row->live) ||
		follow_drop_keeps(security_owner_of(row->live), triggers_there(row, NULL));
}

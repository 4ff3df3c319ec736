/*
 * row_security.c
 *		A history is never less protected than its table.
 *
 * Where a live table has row-level security, enabled or forced, its history and
 * tracking table have it too.  There are no policies on them: only the owner, unless
 * it is forced, and who bypasses policies reads past rows.
 *
 * The two flags are copied from the catalogs as they are now, whatever they were
 * before, and upwards only: what an owner has put on his history stays.  A command
 * that takes them off the live table takes them off the history; one that takes them
 * off the history alone is refused.  Both are seen to at the end of the command,
 * whether tracking is enabled or not and whatever the settings are.
 *
 * The flags are set by OID (catalog_change.c), for which the owner of the table need
 * not have USAGE on its schema.  What is not the live table's owner's, or no history or
 * tracking table, is left alone: a registry may name any table.
 *
 * Locks: ACCESS EXCLUSIVE on a history or tracking table that is changed.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "manage/manage.h"

static bool changes_flags(AlterTableStmt *statement, bool *lowers);
static Oid	altered_table(void);
static void refuse_less(Oid live, Oid derived);
static void row_security_raise_table(Oid live, Oid derived);
static void row_security_give(Oid live, Oid derived, bool lower);
static bool is_owners(Oid live, Oid derived);

/*
 * At the end of a command, ours or not, that may have changed the row-level security of a
 * live table, or of what belongs to one.
 */
void
row_security_follow_command(Node *statement)
{
	bool		lowers;
	Oid			relid;
	RegistryRow *row;
	ListCell   *lc;

	if (!IsA(statement, AlterTableStmt) ||
		!changes_flags((AlterTableStmt *) statement, &lowers) ||
		!OidIsValid(extension_registry_or_invalid()))
		return;
	relid = altered_table();
	row = registry_get(relid);
	if (row)
	{
		/* what is marked, whatever the registry says */
		(void) registry_row_by_mark(row);
		if (!registry_is_sound(row, security_owner_of(relid)))
			return;
		/* whoever changes those of the history at this moment will have done so */
		row_security_give(row->live, row->history, lowers);
		foreach(lc, segments_here(row->history))
			row_security_give(row->live, lfirst_oid(lc), lowers);
		row_security_give(row->live, row->tracking, lowers);
		view_protect(row);
	}
	else if (lowers && ((row = registry_get_by_derived(relid)) != NULL ||
						(row = registry_get_by_derived(segments_head(relid))) != NULL))
		refuse_less(row->live, relid);
}

static bool
changes_flags(AlterTableStmt *statement, bool *lowers)
{
	bool		changes = false;
	ListCell   *lc;

	*lowers = false;
	foreach(lc, statement->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_DisableRowSecurity:
			case AT_NoForceRowSecurity:
				*lowers = true;
				/* FALLTHROUGH */
			case AT_EnableRowSecurity:
			case AT_ForceRowSecurity:
				changes = true;
				break;
			default:
				break;
		}
	}
	return changes;
}

/* Which table the command has altered: its name may be another's by now. */
static Oid
altered_table(void)
{
	int64		relid;

	ddl_query_numbers(GetUserId(), NIL,
					  psprintf("SELECT COALESCE(pg_catalog.max(objid::pg_catalog.int8), 0::pg_catalog.int8)"
							   " FROM pg_catalog.pg_event_trigger_ddl_commands()"
							   " WHERE classid OPERATOR(pg_catalog.=) %u::pg_catalog.oid"
							   " AND command_tag OPERATOR(pg_catalog.=) 'ALTER TABLE'::pg_catalog.text",
							   RelationRelationId),
					  &relid, 1);
	return (Oid) relid;
}

static void
refuse_less(Oid live, Oid derived)
{
	RowSecurityFlags		have;
	bool		disabled;

	if (!is_owners(live, derived) || !row_security_lacks(live, derived))
		return;
	disabled = row_security_flags(derived, &have) && !have.enabled;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot take row-level security off \"%s\": table \"%s\" has it",
					get_rel_name(derived), get_rel_name(live)),
			 errdetail("A history is as protected as its table."),
			 errhint("ALTER TABLE %s %s ROW LEVEL SECURITY;",
					 naming_quoted(live), disabled ? "DISABLE" : "NO FORCE")));
}

/*
 * Give history and tracking table the row-level security that the live table has and
 * they lack: as the live table is now.  A command that gives it more sees to it itself.
 */
void
row_security_raise(const RegistryRow *row)
{
	row_security_raise_one(row->live, row->history);
	row_security_raise_one(row->live, row->tracking);
}

/*
 * Give one derived table, which may be InvalidOid or dropped, and its segments, the row-level
 * security that they lack.
 */
void
row_security_raise_one(Oid live, Oid derived)
{
	ListCell   *lc;

	row_security_raise_table(live, derived);
	foreach(lc, segments_here(derived))
		row_security_raise_table(live, lfirst_oid(lc));
}

static void
row_security_raise_table(Oid live, Oid derived)
{
	RowSecurityFlags		want;
	RowSecurityFlags		have;

	if (is_owners(live, derived) && row_security_flags(live, &want) && row_security_flags(derived, &have) &&
		((want.enabled && !have.enabled) || (want.forced && !have.forced)))
		row_security_give(live, derived, false);
}

/* What the live table has; lower: no more than that.  Looks when it has the lock. */
static void
row_security_give(Oid live, Oid derived, bool lower)
{
	RowSecurityFlags		want;
	RowSecurityFlags		have;

	/* no weaker lock before this one: pg_restore makes indexes at the same time */
	if (!is_owners(live, derived))
		return;
	LockRelationOid(derived, AccessExclusiveLock);
	if (!is_owners(live, derived) ||
		!(derived_is_history(derived) || derived_serves_tracking(derived)) ||
		!row_security_flags(live, &want) || !row_security_flags(derived, &have))
		return;
	if (!lower)
	{
		want.enabled |= have.enabled;
		want.forced |= have.forced;
	}
	if (want.enabled != have.enabled || want.forced != have.forced)
		catalog_set_row_security(derived, want.enabled, want.forced);
}

/* Returns true if the derived table exists and belongs to the live table's owner. */
static bool
is_owners(Oid live, Oid derived)
{
	return OidIsValid(derived) && get_rel_name(derived) != NULL &&
		get_rel_name(live) != NULL &&
		security_owner_of(derived) == security_owner_of(live);
}

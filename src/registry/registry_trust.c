/*
 * registry_trust.c
 *		Which rows of the registry may be believed.
 *
 * The database's owner may write the registry, to restore dumps, and must reach no
 * table through it; and what he wrote before registry_guard.c asked him may still be
 * there.  So a row is data, not authority.  It is sound if its tables belong to the
 * owner of the live table and are marked as its history (mark.c).  Where nothing is
 * marked (the table is not tracked, or has been since before there were marks), they
 * must have the columns and the names of its history, and be nobody else's.  Tables
 * that are gone do no harm.
 *
 * What a row names that is not sound is never dropped, altered, given away or written
 * to.  Where there is a mark the row is put right by it (registry_row_by_mark).
 *
 * Locks: those of reading and writing the registry.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "registry/registry.h"

static bool unmarked_is_sound(const RegistryRow *row);
static bool names_agree(const RegistryRow *row);
static bool is_used_by_others(const RegistryRow *row, Oid relid);
static char *registry_names(const RegistryRow *row);
static bool is_sound(const RegistryRow *row);

/* Returns true if the row is sound, given who owns (or owned) the live table. */
bool
registry_is_sound(const RegistryRow *row, Oid owner)
{
	Mark		mark;

	(void) mark_read(row->live, NULL, &mark);
	return registry_owners_agree(row, owner) && registry_is_sound_by(row, &mark);
}

/* Returns true if it is sound but for the owners, given a mark that may be of the past. */
bool
registry_is_sound_by(const RegistryRow *row, const Mark *mark)
{
	return OidIsValid(mark->history) ? mark_agrees(mark, row) : unmarked_is_sound(row);
}

/* Returns true if those of the row's tables that are there belong to the role. */
bool
registry_owners_agree(const RegistryRow *row, Oid owner)
{
	return (get_rel_name(row->history) == NULL ||
			security_owner_of(row->history) == owner) &&
		(!OidIsValid(row->tracking) || get_rel_name(row->tracking) == NULL ||
		 security_owner_of(row->tracking) == owner);
}

static bool
unmarked_is_sound(const RegistryRow *row)
{
	bool		history = get_rel_name(row->history) != NULL;
	bool		tracking = OidIsValid(row->tracking) && get_rel_name(row->tracking) != NULL;

	if (history && !derived_is_history(row->history))
		return false;
	if ((history || tracking) && !names_agree(row))
		return false;
	return !is_used_by_others(row, row->history) &&
		(!OidIsValid(row->tracking) || !is_used_by_others(row, row->tracking));
}

/*
 * Returns true if the tables have the names and the schema of the live table's, or of
 * those of a table that does not exist, as after a RENAME that was not followed.
 */
static bool
names_agree(const RegistryRow *row)
{
	char	   *history = get_rel_name(row->history);
	char	   *tracking = OidIsValid(row->tracking) ? get_rel_name(row->tracking) : NULL;
	Oid			namespace = get_rel_namespace(history ? row->history : row->tracking);
	char	   *name = history ? naming_live_of(history) : naming_live_of_tracking(tracking);
	Oid			other;

	if (name == NULL ||
		(history && tracking &&
		 (get_rel_namespace(row->tracking) != namespace ||
		  naming_live_of_tracking(tracking) == NULL ||
		  strcmp(naming_live_of_tracking(tracking), name) != 0)))
		return false;
	other = get_relname_relid(name, namespace);
	return !OidIsValid(other) || other == row->live;
}

/* Returns true if another row has the table, in whatever column, or this one has it twice. */
static bool
is_used_by_others(const RegistryRow *row, Oid relid)
{
	Relation	registry = table_open(extension_registry(), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(registry);
	SysScanDesc scan = systable_beginscan(registry, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		used = false;

	while (!used && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		RegistryRow other;

		registry_tables_of(tuple, desc, &other);
		used = other.live == relid ||
			(other.live == row->live ? other.history == other.tracking :
			 other.history == relid || other.tracking == relid);
	}
	systable_endscan(scan);
	table_close(registry, NoLock);
	return used;
}

/* The history and the tracking table, as a list in SQL; palloc'd. */
static char *
registry_names(const RegistryRow *row)
{
	char	   *names = get_rel_name(row->history) == NULL ? NULL : naming_quoted(row->history);
	char	   *tracking = !OidIsValid(row->tracking) ||
		get_rel_name(row->tracking) == NULL ? NULL : naming_quoted(row->tracking);

	return names && tracking ? psprintf("%s and %s", names, tracking) :
		names ? names : tracking ? tracking : "no existing table";
}

/* Error out unless the row is sound; sqlstate 0 for the fitting one. */
void
registry_check_sound(const RegistryRow *row, int sqlstate)
{
	char	   *command;
	bool		by_superuser;
	bool		forgets;

	if (registry_is_sound(row, security_owner_of(row->live)))
		return;
	command = registry_way_out(row, &by_superuser, &forgets);
	ereport(ERROR,
			(errcode(sqlstate ? sqlstate : ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the tables registered as the history of table \"%s\" do not belong to it",
					get_rel_name(row->live)),
			 errdetail("%s", registry_fault(row)),
			 forgets ?
			 errhint("%s removes the registry entry and does not change those tables.", command) :
			 errhint("%s%s corrects the registry entry.", by_superuser ? "As a superuser, " : "", command)));
}

/* Returns what is wrong with a row that is not sound, as a sentence; palloc'd. */
char *
registry_fault(const RegistryRow *row)
{
	Mark		mark;

	if (!registry_owners_agree(row, security_owner_of(row->live)))
		return psprintf("The registry names tables of another owner: %s.",
						registry_names(row));
	if (mark_read(row->live, NULL, &mark) && OidIsValid(mark.history))
	{
		RegistryRow marked = {.history = mark.history,.tracking = mark.tracking};

		return psprintf("The registry names %s; the table's triggers are marked with %s.",
						registry_names(row), registry_names(&marked));
	}
	return psprintf("Nothing but the registry says that %s belongs to it.",
					registry_names(row));
}

/*
 * Returns the command that leads out of it, without a semicolon; palloc'd.  Nobody is
 * sent to give a table away that may be another role's: only what is marked is given
 * back, by a superuser where owners differ (*by_superuser); otherwise the entry is
 * removed (*forgets).
 */
char *
registry_way_out(const RegistryRow *row, bool *by_superuser, bool *forgets)
{
	Oid			owner = security_owner_of(row->live);
	Mark		mark;

	*forgets = !mark_read(row->live, NULL, &mark) || !OidIsValid(mark.history);
	*by_superuser = !*forgets &&
		(security_owner_of(mark.history) != owner ||
		 (OidIsValid(mark.tracking) && security_owner_of(mark.tracking) != owner));
	return psprintf("SELECT %s(%s::regclass)", *forgets ? drop_function_name(true) :
					hint_function("repair_history"),
					hint_table(row->live));
}

/*
 * Register a table whose triggers are there but whose row is not, as after a
 * schema-only restore: with the tables that are marked as its history, if nothing
 * stands against it.  Without a mark there is none: its triggers may be forged.
 *
 * Several sessions may find the table at once: one registers it, the others
 * wait until that one's transaction has ended, by a lock on the row to be (no
 * relation's, which would block writers of other tables).
 *
 * Returns false if there is no such history.
 */
bool
registry_register_again(Oid live)
{
	RegistryRow row = {.live = live,.triggers_installed = true};
	Relation	rel;

	registry_lock_row(live);
	if (registry_get(live) != NULL)
		return true;
	if (!registry_row_by_mark(&row) ||
		!registry_owners_agree(&row, security_owner_of(live)) ||
		!derived_is_history(row.history) ||
		(OidIsValid(row.tracking) && !derived_is_tracking(row.tracking)))
		return false;

	/* another table's row may have led here, or a partition of the table */
	rel = table_open(live, AccessShareLock);
	row.key = columns_key(rel);
	table_close(rel, NoLock);
	if (row.key == NIL && (!OidIsValid(row.tracking) || indexes_tracking_is_loose(row.tracking)))
		row.key = indexes_former_key(live, row.history);
	if (row.key == NIL)
		return false;
	registry_refute(row.history, live);
	if (OidIsValid(row.tracking))
		registry_refute(row.tracking, live);
	if (is_used_by_others(&row, row.history) ||
		(OidIsValid(row.tracking) && is_used_by_others(&row, row.tracking)))
		return false;
	registry_inherit_maker(&row);
	registry_insert(&row);
	return true;
}

/*
 * Put into the row what the mark of its live table says: the tables, and by the
 * trigger's arguments the columns.  Returns whether there is a mark.
 */
bool
registry_row_by_mark(RegistryRow *row)
{
	Mark		mark;

	if (!mark_read(row->live, NULL, &mark) || !OidIsValid(mark.history))
		return false;
	row->history = mark.history;
	row->tracking = mark.tracking;
	row->time_column = mark.time_column;
	row->txid_column = mark.txid_column;
	return true;
}

/*
 * Rows that call the relation a history or tracking table of another table than this
 * one and are not sound would stand in the way: remove them.  A table that has a
 * mark itself is registered by that; of others a WARNING tells.
 */
void
registry_refute(Oid relid, Oid live)
{
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *other = lfirst(lc);
		bool		there = get_rel_name(other->live) != NULL;

		if (other->live == live ||
			(other->history != relid && other->tracking != relid) || is_sound(other))
			continue;
		registry_delete(other->live);
		if (!there || !registry_register_again(other->live))
			ereport(WARNING,
					(errmsg("table %s is no longer registered",
							there ? naming_quoted(other->live) :
							psprintf("with OID %u", other->live)),
					 errdetail("The registry named table %s for it, which is not its history.",
							   naming_quoted(relid))));
	}
}

/*
 * Of the rows that name relid as a history or tracking table, of which this is one:
 * returns one that is sound, or else this one.
 */
RegistryRow *
registry_best_row(RegistryRow *row, Oid relid)
{
	ListCell   *lc;

	if (is_sound(row))
		return row;
	foreach(lc, registry_all())
	{
		RegistryRow *other = lfirst(lc);

		if ((other->history == relid || other->tracking == relid) && is_sound(other))
			return other;
	}
	return row;
}

/* Returns true if a row that is sound names relid as a history or tracking table. */
bool
registry_is_derived(Oid relid)
{
	RegistryRow *row = registry_get_by_derived(relid);

	if (row == NULL)
		row = registry_get_by_derived(segments_head(relid));
	return row && is_sound(row);
}

/* Returns true if the row is sound, and its live table is there. */
static bool
is_sound(const RegistryRow *row)
{
	return get_rel_name(row->live) != NULL &&
		registry_is_sound(row, security_owner_of(row->live));
}

/*
 * Returns the row of which relid is the history or tracking table, or NULL; if several
 * say so, the one that is sound.
 */
RegistryRow *
registry_get_by_derived(Oid relid)
{
	RegistryRow *row = registry_any_by_derived(relid);

	return row == NULL ? NULL : registry_best_row(row, relid);
}

/*
 * In ereport: a hint which table is meant instead of one without a history, or how to
 * begin one.
 */
int
registry_hint_for_untracked(Oid live)
{
	RegistryRow *row = registry_get_by_derived(live);
	char		relkind = get_rel_relkind(live);
	Oid			root = get_rel_relispartition(live) ? lineage_root(live) : live;

	if (row != NULL && get_rel_name(row->live) != NULL)
		return errhint("It belongs to the history of table %s: name that table.",
					   naming_quoted(row->live));
	if (registry_get(root) != NULL)
		return errhint("It is a partition: name table %s, whose history covers it.",
					   naming_quoted(root));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return errhint("Only permanent or unlogged tables and partitioned tables have a history.");
	return errhint("SELECT %s(%s::regclass);",
				   hint_function("create_history_table"),
				   hint_table(root));
}

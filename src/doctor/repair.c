/*
 * repair.c
 *		Mend a table's history, as far as that takes no change of a history row.
 *
 * Serves adoption and repair_history().  What cannot be mended is left as it is,
 * for check_table.c to tell.  Nothing here reads the history table: columns are
 * widened only where PostgreSQL need not rewrite it, unless it is empty; and on
 * adoption no index is built on it, as that takes as long as it is large.
 *
 * Statements that the site's own objects may stand in the way of run in
 * subtransactions.
 *
 * Locks: the caller holds SHARE ROW EXCLUSIVE on the live table; ACCESS
 * EXCLUSIVE on history and tracking table is taken where they are changed.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "doctor/doctor.h"

/* the columns of a history table that get other types */
typedef struct Widening
{
	Oid			history;
	List	   *columns;		/* TableColumn */
} Widening;

/* a column of a history table */
typedef struct OwnColumn
{
	Oid			relid;
	const char *name;
} OwnColumn;

static bool is_history_beside(const RegistryRow *row);
static bool is_tracking_beside(const RegistryRow *row);
static void give_to_owner(const RegistryRow *row, Oid derived, Oid on_behalf_of);
static void make_history_anew(RegistryRow *row);
static RegistryRow *parent_of(const RegistryRow *row);
static bool has_own_tracking(const RegistryRow *row);
static bool is_empty(Oid relid);
static void repair_widen_step(void *arg);
static void repair_own_columns(const RegistryRow *row);
static void drop_not_null(void *arg);
static bool demanded_above(Oid relid, const char *column);
static void repair_tracking(RegistryRow *row, bool tracked);
static void demand_values(const RegistryRow *row);
static void set_not_null(Oid relid, void *column);
static void repair_triggers(RegistryRow *row, bool tracked, bool was_recorded);
static bool can_be_tracked(const RegistryRow *row);

/*
 * What the mark of the live table says is so, whatever somebody has written into the
 * registry, and those who claim its tables are refuted.  Without a mark the row
 * stays as it is.
 */
void
repair_row(RegistryRow *row)
{
	RegistryRow marked = *row;

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (!registry_row_by_mark(&marked))
		return;
	registry_refute(marked.history, row->live);
	if (OidIsValid(marked.tracking))
		registry_refute(marked.tracking, row->live);
	*row = marked;
	registry_update(row);
}

/*
 * History and tracking table belong to the owner of the live table.  Where they do
 * not, they are given to him, if there is no doubt that they are his table's: they
 * are marked, and on_behalf_of has the rights of their owner.
 */
void
repair_owners(const RegistryRow *row, Oid on_behalf_of)
{
	if (!mark_is_set(row))
		return;
	give_to_owner(row, row->history, on_behalf_of);
	if (OidIsValid(row->tracking))
		give_to_owner(row, row->tracking, on_behalf_of);
}

/*
 * Give the derived tables to the live table's owner on adoption, when nothing is marked
 * yet: if they have the right names, and each of the roles that may have written the row
 * has the rights of both owners.
 */
void
repair_owners_unmarked(const RegistryRow *row, List *writers)
{
	ListCell   *lc;
	Oid			on_behalf_of = InvalidOid;
	bool		history = is_history_beside(row);
	bool		tracking = is_tracking_beside(row);

	foreach(lc, writers)
	{
		on_behalf_of = lfirst_oid(lc);
		if (!has_privs_of_role(on_behalf_of, security_owner_of(row->live)) ||
			(history && !has_privs_of_role(on_behalf_of, security_owner_of(row->history))) ||
			(tracking && !has_privs_of_role(on_behalf_of, security_owner_of(row->tracking))))
			return;
	}
	if (!OidIsValid(on_behalf_of))
		return;
	if (history)
		give_to_owner(row, row->history, on_behalf_of);
	if (tracking)
		give_to_owner(row, row->tracking, on_behalf_of);
}

static bool
is_history_beside(const RegistryRow *row)
{
	return get_relname_relid(naming_history_table(row->live),
							 get_rel_namespace(row->live)) == row->history &&
		derived_has_history_defaults(row->history);
}

static bool
is_tracking_beside(const RegistryRow *row)
{
	return OidIsValid(row->tracking) &&
		get_relname_relid(naming_tracking_table(row->live),
						  get_rel_namespace(row->live)) == row->tracking &&
		derived_is_tracking(row->tracking);
}

static void
give_to_owner(const RegistryRow *row, Oid derived, Oid on_behalf_of)
{
	Oid			owner = security_owner_of(row->live);

	if (security_owner_of(derived) != owner &&
		has_privs_of_role(on_behalf_of, security_owner_of(derived)))
		catalog_change_owner(derived, owner);
}

/*
 * A history table that was dropped is re-created, and columns that it lacks are added.
 * Parents first, and before all else: views of children are looked at with them.
 */
void
repair_missing(RegistryRow *row)
{
	bool		sound = registry_is_sound(row, security_owner_of(row->live));

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (sound && get_rel_name(row->history) == NULL)
		make_history_anew(row);
	if (sound && derived_is_history(row->history))
		reconcile_renames(row);
	if (sound && derived_is_history(row->history))
		derived_add_lacking_columns(row, false);
}

/*
 * Mend the rest.  tracked: versions shall be stored afterwards.  adopting: no
 * index is built on a history table that is not empty.  row is brought up to
 * date, and so is the registry.
 */
void
repair_table(RegistryRow *row, bool tracked, bool adopting)
{
	Relation	live;
	List	   *key;

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	/* what is no history, or not this table's, is not for us to change */
	if (!registry_is_sound(row, security_owner_of(row->live)))
		return;
	if (!derived_is_history(row->history))
	{
		repair_triggers(row, false, true);
		registry_update(row);
		return;
	}
	row_security_raise(row);
	repair_widen(row, false);
	repair_own_columns(row);

	live = table_open(row->live, NoLock);
	key = columns_key(live);
	if ((key != NIL || fit_goes_on(row)) && has_own_tracking(row))
	{
		if (!columns_same_names(key, row->key))
			reconcile_key(row);
		if (!adopting || is_empty(row->history))
			indexes_create(live, row->history, row->key);
		if (OidIsValid(row->tracking))
			repair_tracking(row, tracked);
	}
	table_close(live, NoLock);
	view_take_over(row);
	view_protect(row);
	repair_triggers(row, tracked, adopting);
	registry_update(row);
}

static int
compare_depth(const ListCell *a, const ListCell *b)
{
	return lineage_depth(((RegistryRow *) lfirst(a))->live) -
		lineage_depth(((RegistryRow *) lfirst(b))->live);
}

/* Rows of the registry, parents before their children. */
List *
repair_in_order(List *rows)
{
	list_sort(rows, compare_depth);
	return rows;
}

static void
make_history_anew(RegistryRow *row)
{
	Relation	live;
	RegistryRow *parent;
	List	   *key;

	if (OidIsValid(get_relname_relid(naming_history_table(row->live),
									 get_rel_namespace(row->live))))
		return;
	live = table_open(row->live, NoLock);
	parent = parent_of(row);
	if (parent && get_rel_name(parent->history) == NULL)
		parent = NULL;
	row->history = derived_create_history(live, parent ? parent->history : InvalidOid,
										  OidIsValid(row->tracking));
	comments_put(row);
	key = columns_key(live);
	table_close(live, NoLock);
	registry_update(row);
	reach_begin_at(row, GetCurrentTimestamp());
	if (parent)
		derived_inherit(row->history, parent->history);

	/* the view shows rows by their keys, from the tracking table too */
	if (key == NIL || !has_own_tracking(row))
		return;
	if (!columns_same_names(key, row->key) ||
		(OidIsValid(row->tracking) && get_rel_name(row->tracking) == NULL))
		reconcile_key(row);
	if (!OidIsValid(get_relname_relid(naming_view(row->live), get_rel_namespace(row->live))))
		view_create(row);
}

/* Returns false if the registered tracking table does not have the columns of one. */
static bool
has_own_tracking(const RegistryRow *row)
{
	return !OidIsValid(row->tracking) || get_rel_name(row->tracking) == NULL ||
		derived_serves_tracking(row->tracking);
}

/* The live table's parent, if it is registered. */
static RegistryRow *
parent_of(const RegistryRow *row)
{
	List	   *parents = lineage_parents(row->live);

	return list_length(parents) == 1 ? registry_get(linitial_oid(parents)) : NULL;
}

/* Returns true if the table has no page.  (Deleted rows may have left some.) */
static bool
is_empty(Oid relid)
{
	ListCell   *lc;

	LockRelationOid(relid, AccessShareLock);	/* before its children */
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);
		bool		empty = rel->rd_rel->relkind == RELKIND_RELATION &&
			RelationGetNumberOfBlocks(rel) == 0;

		table_close(rel, NoLock);
		if (!empty)
			return false;
	}
	return true;
}

/*
 * Change the type of history columns that cannot hold the live one, where
 * PostgreSQL need not rewrite the table, or with rewrite in any case.
 */
void
repair_widen(RegistryRow *row, bool rewrite)
{
	Widening	widening = {row->history, NIL};

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	widening.columns = derived_columns_to_widen(row->live, row->history,
												rewrite || is_empty(row->history) ? NULL : types_widen_in_place);
	if (widening.columns == NIL)
		return;
	if (rewrite)
		repair_widen_step(&widening);
	else
		(void) attempt_or_message(repair_widen_step, &widening, NULL);
}

/* With the views out of the way that show the columns. */
static void
repair_widen_step(void *arg)
{
	Widening   *widening = arg;
	ListCell   *lc;

	LockRelationOid(widening->history, AccessExclusiveLock);
	view_suspend_dependents(find_all_inheritors(widening->history, AccessExclusiveLock, NULL),
							widening->columns);
	foreach(lc, widening->columns)
		convert_type(widening->history, lfirst(lc));
	view_resume(NULL);
}

/*
 * The two columns of history have their defaults, the others may be NULL, and
 * the table can be published.
 */
static void
repair_own_columns(const RegistryRow *row)
{
	Relation	live = table_open(row->live, NoLock);
	Relation	history = table_open(row->history, AccessExclusiveLock);
	char		identity = history->rd_rel->relreplident;
	List	   *differences = fit_history(live, history);
	ListCell   *lc;

	table_close(history, NoLock);
	table_close(live, NoLock);

	foreach(lc, differences)
	{
		Difference *difference = lfirst(lc);

		if (difference->kind == HISTORY_COLUMN_NOT_NULL &&
			!demanded_above(row->history, difference->name))
			(void) attempt_or_message(drop_not_null,
									  &(OwnColumn) {row->history, difference->name}, NULL);
	}
	if (!derived_has_history_defaults(row->history))
		ddl_alter_table(row->history, false,
						"ALTER COLUMN " PERIOD_COLUMN " SET DEFAULT pg_catalog.tstzrange(CURRENT_TIMESTAMP, NULL), "
						"ALTER COLUMN " XID_COLUMN " SET DEFAULT pg_catalog.txid_current()");
	derived_add_maker(row);
	if (identity == REPLICA_IDENTITY_DEFAULT)
		ddl_alter_table(row->history, false, "REPLICA IDENTITY FULL");
}

static void
drop_not_null(void *arg)
{
	OwnColumn  *column = arg;

	ddl_alter_table(column->relid, true, psprintf("ALTER COLUMN %s DROP NOT NULL",
												  quote_identifier(column->name)));
}

/* Returns true if the column is NOT NULL in a table that this one inherits from. */
static bool
demanded_above(Oid relid, const char *column)
{
	ListCell   *lc;

	foreach(lc, lineage_parents(relid))
	{
		HeapTuple	tuple = SearchSysCacheAttName(lfirst_oid(lc), column);
		bool		demanded;

		if (!HeapTupleIsValid(tuple))
			continue;
		demanded = ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
		ReleaseSysCache(tuple);
		if (demanded)
			return true;
	}
	return false;
}

static void
repair_tracking(RegistryRow *row, bool tracked)
{
	Relation	live;

	if (!fit_is_right(row))
		reconcile_key(row);
	if (!derived_is_tracking(row->tracking))
		return;

	demand_values(row);
	live = table_open(row->live, NoLock);
	indexes_complete_tracking(live, row->tracking, row->key);
	table_close(live, NoLock);
	rekey_put_under_parents(row);
	if (tracked)
		tracking_sync(row);
}

/* No column of a tracking table is NULL: such a row tells nothing. */
static void
demand_values(const RegistryRow *row)
{
	Relation	tracking = table_open(row->tracking, AccessExclusiveLock);
	List	   *columns = NIL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < RelationGetNumberOfAttributes(tracking); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(tracking), i);

		if (!att->attisdropped && !att->attnotnull)
			columns = lappend(columns, pstrdup(NameStr(att->attname)));
	}
	table_close(tracking, NoLock);
	foreach(lc, columns)
	{
		(void) ddl_execute_query(security_owner_of(row->tracking), list_make1_oid(row->tracking),
								 psprintf("DELETE FROM ONLY %s WHERE %s IS NULL",
										  naming_quoted(row->tracking), quote_identifier(lfirst(lc))));
		derived_for_each_owner(row->tracking, set_not_null, lfirst(lc));
	}
}

/* PostgreSQL looks whether CHECKs of the table imply it, and folds them. */
static void
set_not_null(Oid relid, void *column)
{
	ddl_alter_table(relid, true, psprintf("ALTER COLUMN %s SET NOT NULL",
										  quote_identifier(column)));
}

/* was_recorded: until now, by other triggers */
static void
repair_triggers(RegistryRow *row, bool tracked, bool was_recorded)
{
	Relation	live;
	bool		recorded;

	/* those that are switched off are for who did it to switch on again */
	if (!tracked && triggers_there(row, NULL))
		return;
	live = table_open(row->live, NoLock);
	tracked = tracked && can_be_tracked(row);
	recorded = was_recorded || triggers_complete(row->live, row);
	if (tracked)
		triggers_install(live, row, 0);
	else
		(void) triggers_remove(live);
	table_close(live, NoLock);
	if (tracked)
		reach_resume(row, recorded);
	else
		reach_pause(row, recorded);
	row->triggers_installed = tracked;
}

/* Returns true if nothing keeps our triggers from being made, or from working. */
static bool
can_be_tracked(const RegistryRow *row)
{
	Relation	live = table_open(row->live, NoLock);
	TriggerState state;
	bool		can = columns_key(live) != NIL || fit_goes_on(row);
	int			i;

	for (i = 0; triggers_state(row->live, row, i, &state) != NULL; i++)
		can = can && state != TRIGGER_FOREIGN;
	if (OidIsValid(row->tracking))
		can = can && get_rel_name(row->tracking) != NULL;
	else
		can = can && fit_time_columns(live, row->time_column, row->txid_column) == NIL;
	table_close(live, NoLock);
	return can;
}

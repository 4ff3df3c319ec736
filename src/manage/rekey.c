/*
 * rekey.c
 *		Registry, key index and tracking table follow the primary key.
 *
 * A tracking table has the columns of the key, in its order.  Where the key's
 * columns are the same and only their types have changed, the tracking table's are
 * converted in place (follow_key.c, where the command's USING is known; here, where a
 * cast loses nothing).  Otherwise the tracking table is re-created, and rows that
 * still have the values of their old key, in whatever columns, keep their
 * starts.  "kept" tells where: for each column of the registered key the column of
 * the live table that has its values, or NULL.  Starts that cannot be told are
 * unknown (UNKNOWN_START), never now.
 *
 * A table without a primary key is recorded by what is left of the former one:
 * see fit.c.
 *
 * The caller holds on the live table a lock against writers.  Takes ACCESS
 * EXCLUSIVE on the tracking table where it is changed, and on its children.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* see rekey_make_unique */
typedef struct UniqueIndex
{
	Relation	live;
	const RegistryRow *row;
} UniqueIndex;

/* see rekey_fill_versions */
typedef struct SuccessorColumn
{
	const RegistryRow *row;
	const char *from;
	const char *to;
} SuccessorColumn;

static bool rekey_made_fit(Relation live, RegistryRow *row);
static bool rekey_convert(Oid tracking, List *columns);
static bool rekey_lacks_starts(const RegistryRow *row);
static void rekey_make_unique(void *arg);
static void rekey_replace(Relation live, RegistryRow *row, List *kept, bool loose);
static void rekey_put_descendants(const RegistryRow *row);
static void rekey_leave_others(const RegistryRow *row, const RegistryRow *parent);
static void rekey_forget_starts(const RegistryRow *row);
static void rekey_versions(const RegistryRow *row, List *kept);
static bool rekey_is_among(List *names, const char *name);
static void rekey_fill_versions(void *arg);

/*
 * Take the table's present primary key; an error if it has none.  row is brought up
 * to date, and so is the registry.
 */
void
rekey(RegistryRow *row, List *kept)
{
	Relation	live = table_open(row->live, NoLock);
	List	   *key = columns_key(live);
	List	   *old_key = row->key;
	bool		renamed = !columns_same_names(key, old_key);
	bool		was_loose;

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(live)),
				 errhint("ALTER TABLE %s ADD PRIMARY KEY (...);",
						 naming_quoted(row->live))));

	was_loose = OidIsValid(row->tracking) && indexes_tracking_is_loose(row->tracking);
	/* versions from before may be of rows that this key does not tell apart */
	if (renamed || was_loose || list_member_ptr(kept, NULL))
		row->key_since = GetCurrentTransactionStartTimestamp();
	if (renamed)
	{
		if (get_rel_name(row->history) != NULL)
		{
			indexes_drop_key(row->history, old_key);
			indexes_drop_on_segments(row->history, old_key);
		}
		row->key = key;
	}
	indexes_create(live, row->history, row->key);
	indexes_create_on_segments(live, row->history, row->key);

	if (OidIsValid(row->tracking) &&
		(renamed || list_member_ptr(kept, NULL) || !rekey_made_fit(live, row)))
		rekey_replace(live, row, kept, false);
	else if (was_loose)
		view_renew(row);
	table_close(live, NoLock);
	registry_update(row);
	if (OidIsValid(row->tracking) && (was_loose || list_member_ptr(kept, NULL)) && rekey_lacks_starts(row))
		reach_begin_at(row, GetCurrentTimestamp());
	rekey_put_descendants(row);
	if (renamed)
		rekey_versions(row, kept);
}

/*
 * Record the table on by what is left of its former key, as it has none.  Returns
 * whether anything was changed; row and the registry are brought up to date.
 */
bool
rekey_loosen(RegistryRow *row, List *kept)
{
	Relation	live = table_open(row->live, NoLock);
	bool		tracked = OidIsValid(row->tracking) && get_rel_name(row->tracking) != NULL;
	List	   *old_key = row->key;
	List	   *left = NIL;
	bool		all;
	ListCell   *lc;

	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	foreach(lc, kept)
		if (lfirst(lc))
			left = lappend(left, lfirst(lc));
	all = columns_same_names(left, old_key);
	if (left == NIL)
		left = list_make1(pstrdup(KEY_NO_COLUMN));
	if ((all && (!tracked || indexes_tracking_is_loose(row->tracking))) ||
		columns_same_names(left, old_key) != all)
	{
		/* a column of another type is another one of the history's */
		if (all && get_rel_name(row->history) != NULL)
		{
			indexes_create(live, row->history, row->key);
			indexes_create_on_segments(live, row->history, row->key);
		}
		table_close(live, NoLock);
		registry_update(row);	/* a column may have another name */
		return false;
	}

	row->key = left;
	if (!all)
	{
		indexes_drop_key(row->history, old_key);
		indexes_drop_on_segments(row->history, old_key);
		indexes_create(live, row->history, row->key);
		indexes_create_on_segments(live, row->history, row->key);
	}
	if (tracked && all)
	{
		indexes_loosen_tracking(live, row->tracking, row->key);
		tracking_complete(row);
	}
	else if (tracked && fit_key(row) == KEY_GONE)
	{
		rekey_forget_starts(row);
		indexes_loosen_tracking(live, row->tracking, old_key);
	}
	else if (tracked)
		rekey_replace(live, row, kept, true);
	table_close(live, NoLock);
	registry_update(row);
	if (tracked && !all)
		reach_begin_at(row, GetCurrentTimestamp());
	rekey_put_descendants(row);
	view_renew(row);
	return true;
}

/*
 * Returns true if rows have no start: they are of any time until now, as far as can be told, and so
 * nothing is known of the past before.
 */
static bool
rekey_lacks_starts(const RegistryRow *row)
{
	int64		numbers[2];

	ddl_query_numbers(security_owner_of(row->tracking), list_make2_oid(row->tracking, row->history),
					  psprintf("SELECT (SELECT pg_catalog.count(*) FROM (SELECT FROM ONLY %s t "
							   "WHERE t.edition_time OPERATOR(pg_catalog.=) '-infinity' LIMIT 1) x), "
							   "(SELECT pg_catalog.count(*) FROM (SELECT FROM ONLY %s h WHERE pg_catalog.lower_inf(h.%s) LIMIT 1) y)",
							   naming_quoted(row->tracking), naming_quoted(row->history), PERIOD_COLUMN),
					  numbers, lengthof(numbers));
	return numbers[0] > 0 || numbers[1] > 0;
}

/*
 * What is kept of the registered key, as far as names and types tell, for a key
 * that nobody has followed.  Rows may have come and gone meanwhile, so either each
 * row has its whole old key, or none is known by it.
 */
List *
rekey_kept(const RegistryRow *row)
{
	Relation	live = table_open(row->live, NoLock);
	List	   *kept = NIL;
	ColumnFit	worst = COLUMN_FITS;
	ListCell   *lc;

	if (OidIsValid(row->tracking))
		(void) fit_tracking(row, live, &worst);
	foreach(lc, row->key)
		kept = lappend(kept, get_attnum(row->live, lfirst(lc)) != InvalidAttrNumber &&
					   worst <= COLUMN_CONVERTS ? lfirst(lc) : NULL);
	table_close(live, NoLock);
	return kept;
}

/*
 * Returns true if the tracking table fits, or has been made to, with all its rows; false
 * if it was dropped.
 */
static bool
rekey_made_fit(Relation live, RegistryRow *row)
{
	ColumnFit	worst;
	List	   *columns = fit_tracking(row, live, &worst);

	if (worst > COLUMN_CONVERTS ||
		(worst > COLUMN_FITS && !rekey_convert(row->tracking, columns)))
		return false;
	return !indexes_tracking_is_loose(row->tracking) ||
		attempt_or_message(rekey_make_unique, &(UniqueIndex) {live, row}, NULL);
}

/* Give the columns the types of the key's. */
static bool
rekey_convert(Oid tracking, List *columns)
{
	ListCell   *lc;

	foreach(lc, columns)
	{
		KeyColumn  *column = lfirst(lc);
		TableColumn type = {column->held_by, column->type, column->typmod, column->collation, ""};

		if (column->fit != COLUMN_FITS && !convert_type_try(tracking, &type))
			return false;
	}
	return true;
}

/* The primary key is there again: if no two tracking rows have one key, all is told. */
static void
rekey_make_unique(void *arg)
{
	UniqueIndex *index = arg;

	indexes_create_tracking(index->live, index->row->tracking, index->row->key);
}

/* A new tracking table, with the starts that can still be told. */
static void
rekey_replace(Relation live, RegistryRow *row, List *kept, bool loose)
{
	Oid			old = row->tracking;
	bool		gone = get_rel_name(old) == NULL;
	List	   *children = gone ? NIL : find_inheritance_children(old, AccessExclusiveLock);
	ListCell   *lc;

	if (!gone)
	{
		foreach(lc, lineage_parents(old))
			catalog_disinherit(old, lfirst_oid(lc));
		foreach(lc, children)
			catalog_disinherit(lfirst_oid(lc), old);
		catalog_rename(old, naming_free_index(row->live, RelationGetNamespace(live),
											  "_tracking_old"));
	}
	row->tracking = derived_create_tracking(live, row->key, loose);
	if (gone)
		tracking_sync(row);
	else
		tracking_carry_over(row, old, kept);
	registry_update(row);

	foreach(lc, children)
	{
		RegistryRow *child = registry_get_by_derived(lfirst_oid(lc));

		/* one of another key is replaced in its turn, and comes back then */
		if (child && fit_alike(child, row))
			derived_inherit(lfirst_oid(lc), row->tracking);
	}
	if (gone)
		return;
	view_leave_tracking(row);
	mark_set(row);
	derived_drop(old);
}

/* The table's place among the tracking tables is another one, and so of those below. */
static void
rekey_put_descendants(const RegistryRow *row)
{
	ListCell   *lc;

	if (get_rel_name(row->history) == NULL)
		return;
	foreach(lc, lineage_below(row->history))
	{
		RegistryRow *other = registry_get_by_derived(lfirst_oid(lc));

		if (other && other->history == lfirst_oid(lc))
			rekey_put_under_parents(other);
	}
}

/*
 * Put the tracking table under that of the nearest parent whose rows are found by
 * the same columns, and under no other.
 */
void
rekey_put_under_parents(const RegistryRow *row)
{
	RegistryRow *parent = NULL;
	List	   *above = list_make1_oid(row->history);

	if (!OidIsValid(row->tracking) || get_rel_name(row->tracking) == NULL ||
		get_rel_name(row->history) == NULL)
		return;
	while (parent == NULL && (above = lineage_parents(linitial_oid(above))) != NIL)
	{
		parent = registry_get_by_derived(linitial_oid(above));
		if (parent && (!registry_is_sound(parent, security_owner_of(parent->live)) ||
					   !fit_alike(row, parent)))
			parent = NULL;
	}
	rekey_leave_others(row, parent);
	if (parent && !list_member_oid(lineage_parents(row->tracking), parent->tracking))
		derived_inherit(row->tracking, parent->tracking);
}

/* Leave the tracking tables above that are not the parent's, which may be NULL. */
static void
rekey_leave_others(const RegistryRow *row, const RegistryRow *parent)
{
	ListCell   *lc;

	foreach(lc, lineage_parents(row->tracking))
	{
		RegistryRow *other = registry_get_by_derived(lfirst_oid(lc));

		if (other && other->tracking == lfirst_oid(lc) &&
			(parent == NULL || other->live != parent->live))
			catalog_disinherit(row->tracking, lfirst_oid(lc));
	}
}

/* No column of the key is left: nothing tells whose starts these are. */
static void
rekey_forget_starts(const RegistryRow *row)
{
	SecurityState before;

	security_act_as(security_owner_of(row->tracking), ACT_TO_MANAGE, &before);
	tracking_truncate(row->tracking);
	security_act_as_before(&before);
}

/*
 * Versions from before the new key's columns were there have no key.  Where another
 * column has taken the place of one of the old key's (a bigint that an int was copied
 * to), they get its values: where the two are equal in every live row, and there is
 * one.
 */
static void
rekey_versions(const RegistryRow *row, List *kept)
{
	ListCell   *lc;
	ListCell   *old;

	if (list_length(kept) != list_length(row->key) || get_rel_name(row->history) == NULL)
		return;
	forboth(lc, row->key, old, kept)
		if (lfirst(old) && !rekey_is_among(kept, lfirst(lc)) &&
			!rekey_is_among(row->key, lfirst(old)))
			(void) attempt_or_message(rekey_fill_versions,
									  &(SuccessorColumn) {row, lfirst(old), lfirst(lc)}, NULL);
}

static bool
rekey_is_among(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
		if (lfirst(lc) && strcmp(lfirst(lc), name) == 0)
			return true;
	return false;
}

static void
rekey_fill_versions(void *arg)
{
	SuccessorColumn *column = arg;
	const RegistryRow *row = column->row;
	Oid			owner = security_owner_of(row->live);
	AttrNumber	from = get_attnum(row->history, column->from);
	AttrNumber	to = get_attnum(row->history, column->to);
	Oid			function;
	Oid			type;
	int32		typmod;
	Oid			collation;
	char	   *value;
	int64		numbers[2];
	ListCell   *lc;

	if (from == InvalidAttrNumber || to == InvalidAttrNumber)
		return;
	get_atttypetypmodcoll(row->history, to, &type, &typmod, &collation);
	if (find_coercion_pathway(type, get_atttype(row->history, from), COERCION_ASSIGNMENT,
							  &function) == COERCION_PATH_NONE)
		return;
	value = psprintf("r.%s::%s", quote_identifier(column->from),
					 format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN |
										  FORMAT_TYPE_FORCE_QUALIFY));
	/* as text: any two values that print alike are the same key */
	ddl_query_numbers(owner, list_make1_oid(row->live),
					  psprintf("SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER "
							   "(WHERE (%s)::pg_catalog.text OPERATOR(pg_catalog.=) r.%s::pg_catalog.text) "
							   "FROM %s r", value, quote_identifier(column->to),
							   leaf_rows_source(row->live)),
					  numbers, lengthof(numbers));
	if (numbers[0] == 0 || numbers[0] != numbers[1])
		return;
	foreach(lc, segments_here_and_head(row->history))
		(void) ddl_execute_query(owner, list_make1_oid(lfirst_oid(lc)),
								 psprintf("UPDATE ONLY %s r SET %s = %s WHERE r.%s IS NULL AND r.%s IS NOT NULL",
										  naming_quoted(lfirst_oid(lc)), quote_identifier(column->to), value,
										  quote_identifier(column->to), quote_identifier(column->from)));
}

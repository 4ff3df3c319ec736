/*
 * reconcile.c
 *		Make a registered table's history side match the live table.
 *
 * Enabling looks at what is really there (columns, key, indexes, triggers) and
 * mends what is missing, so it may be called at any time and any number of
 * times.  Disabling takes away the triggers, nothing else.
 *
 * The caller holds SHARE ROW EXCLUSIVE (ACCESS EXCLUSIVE to disable) on the
 * live table and has checked its owner.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catmaid_history.h"

static void replace_tracking(Relation live, RegistryRow *row, List *old_key);
static List *tracking_of_parents(const RegistryRow *row);
static bool keys_alike(Oid one, Oid other);

/* See to everything that recording needs, and install the triggers. */
void
reconcile_enable(RegistryRow *row, bool sync)
{
	Relation	live = table_open(row->live, NoLock);

	if (get_rel_name(row->history) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("history table of table \"%s\" is gone",
						RelationGetRelationName(live)),
				 errhint("SELECT %s(%s::regclass) begins a new one.",
						 naming_quoted_in(registry_namespace(), "repair_history"),
						 quote_literal_cstr(naming_quoted(row->live)))));

	derived_check_tracking(row->live, row->tracking, ERRCODE_HISTORY_REFUSED);
	reconcile_columns(row);
	reconcile_key(row, false);
	row_security_raise(row);
	indexes_create(live, row->history, row->key);

	if (OidIsValid(row->tracking))
	{
		indexes_create_tracking(live, row->tracking, row->key);
		derived_copy_persistence(row->live, row->tracking);
	}
	if (OidIsValid(row->tracking) && sync)
		tracking_sync(row);

	view_refresh(row);
	triggers_install(live, row, ERRCODE_HISTORY_REFUSED);
	table_close(live, NoLock);

	row->triggers_installed = true;
	registry_update(row);
}

/* Take the triggers away. */
void
reconcile_disable(RegistryRow *row)
{
	Relation	live = table_open(row->live, NoLock);

	triggers_remove(live);
	table_close(live, NoLock);
	row->triggers_installed = false;
	registry_update(row);
}

/*
 * Add to the history table the live columns that it lacks, with a NOTICE, and
 * refuse types that cannot hold the live ones.
 */
void
reconcile_columns(RegistryRow *row)
{
	Relation	live = table_open(row->live, NoLock);
	Relation	history = table_open(row->history, ShareRowExclusiveLock);
	TupleDesc	desc = RelationGetDescr(live);
	List	   *missing = NIL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped &&
			columns_find(history, NameStr(att->attname)) == NULL)
			missing = lappend(missing, memcpy(palloc(sizeof(FormData_pg_attribute)),
											  att, ATTRIBUTE_FIXED_PART_SIZE));
	}
	table_close(history, NoLock);

	foreach(lc, missing)
	{
		Form_pg_attribute att = lfirst(lc);

		derived_add_column(row->history, att);
		ereport(NOTICE,
				(errmsg("added column \"%s\" to history table \"%s\"",
						NameStr(att->attname), get_rel_name(row->history)),
				 errdetail("Table \"%s\" has the column; older versions have NULL in it.",
						   RelationGetRelationName(live))));
	}

	history = table_open(row->history, NoLock);
	(void) columns_map(live, row->live, history, ERRCODE_HISTORY_REFUSED);
	table_close(history, NoLock);
	table_close(live, NoLock);
}

/*
 * Make registry, key index and tracking table follow the live table's primary
 * key, where that has changed.  remade: its columns have the names of the old
 * ones, but are others.
 */
void
reconcile_key(RegistryRow *row, bool remade)
{
	Relation	live = table_open(row->live, NoLock);
	List	   *key = columns_key(live);
	List	   *old_key = row->key;
	bool		renamed;

	if (key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_HISTORY_REFUSED),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(live)),
				 errhint("ALTER TABLE %s ADD PRIMARY KEY (...);",
						 naming_quoted(row->live))));

	renamed = !columns_same_names(key, row->key);
	if (renamed)
	{
		if (get_rel_name(row->history) != NULL)
			indexes_drop_key(row->history, row->key);
		row->key = key;
	}
	indexes_create(live, row->history, row->key);

	if (OidIsValid(row->tracking) &&
		(renamed || remade || !reconcile_tracking_fits(live, row)))
		replace_tracking(live, row, remade && !renamed ? NIL : old_key);
	table_close(live, NoLock);
	registry_update(row);
}

/*
 * A new tracking table for the new key.  Rows that bear their old key still,
 * in columns of the old names, keep their edition times; the others have
 * appeared now, or had none, if all that there were have been kept.
 */
static void
replace_tracking(Relation live, RegistryRow *row, List *old_key)
{
	Oid			old = row->tracking;
	Oid			namespace = RelationGetNamespace(live);
	List	   *parents = NIL;
	ListCell   *lc;

	if (get_rel_name(old) != NULL)
	{
		parents = lineage_parents(old);
		foreach(lc, parents)
			catalog_disinherit(old, lfirst_oid(lc));
		catalog_rename(old, naming_free_index(row->live, namespace, "_tracking_old"));
	}
	row->tracking = derived_create_tracking(live, row->key);
	if (get_rel_name(old) == NULL || !tracking_carry_over(row, old, old_key))
		tracking_sync(row);

	if (get_rel_name(old) != NULL)
	{
		List	   *children = find_inheritance_children(old, AccessExclusiveLock);

		foreach(lc, children)
		{
			catalog_disinherit(lfirst_oid(lc), old);
			/* one of another key is replaced in its turn, and comes back then */
			if (keys_alike(lfirst_oid(lc), row->tracking))
				derived_inherit(lfirst_oid(lc), row->tracking);
		}
		/* the view looks into the new one, before the old one goes */
		view_update(row);
		mark_set(row);
		derived_drop(old);
	}
	if (parents == NIL)
		parents = tracking_of_parents(row);
	foreach(lc, parents)
		if (keys_alike(row->tracking, lfirst_oid(lc)))
			derived_inherit(row->tracking, lfirst_oid(lc));
}

/* The tracking tables of the histories that this one inherits from. */
static List *
tracking_of_parents(const RegistryRow *row)
{
	List	   *tracking = NIL;
	ListCell   *lc;

	foreach(lc, lineage_parents(row->history))
	{
		RegistryRow *parent = registry_get_by_derived(lfirst_oid(lc));

		if (parent && OidIsValid(parent->tracking) &&
			get_rel_name(parent->tracking) != NULL)
			tracking = lappend_oid(tracking, parent->tracking);
	}
	return tracking;
}

/* Have two tracking tables the same key columns? */
static bool
keys_alike(Oid one, Oid other)
{
	AttrNumber	attnum;
	char	   *name;

	/* ADD COLUMN is never run on them: the key comes first, then two more */
	for (attnum = 1; (name = get_attname(one, attnum, true)) != NULL; attnum++)
		if (get_attnum(other, name) == InvalidAttrNumber ||
			get_atttype(other, get_attnum(other, name)) != get_atttype(one, attnum))
			return false;
	return true;
}

/* Is the tracking table there, with columns of the key's types, varchar(40) among them? */
bool
reconcile_tracking_fits(Relation live, const RegistryRow *row)
{
	int			n = list_length(row->key);
	ListCell   *lc;
	int			i = 0;

	if (get_rel_name(row->tracking) == NULL)
		return false;
	foreach(lc, row->key)
	{
		Form_pg_attribute att = columns_find(live, lfirst(lc));
		AttrNumber	attno = get_attnum(row->tracking, tracking_key_column(n, i++));
		Oid			want;
		Oid			type;
		int32		want_typmod;
		int32		typmod;
		Oid			collation;

		if (attno == InvalidAttrNumber)
			return false;
		columns_base_type(att, &want, &want_typmod);
		get_atttypetypmodcoll(row->tracking, attno, &type, &typmod, &collation);
		type = getBaseTypeAndTypmod(type, &typmod);
		if (type != want || typmod != want_typmod || collation != att->attcollation)
			return false;
	}
	return get_attnum(row->tracking, tracking_key_column(n + 1, n)) == InvalidAttrNumber;
}

/*
 * fit.c
 *		How what there is of a table's history differs from what the table needs
 *		(columns: fit_columns.c), above all by its key.
 *
 * Versions of a row belong together, and tracking rows to live rows, by the
 * columns of the registered key.  That is the primary key, as long as every
 * change of it is followed.  A table whose primary key has been dropped is
 * recorded by the columns of the former one, while they are there, though
 * nothing keeps their values unique any more: its tracking table is loose, with
 * a row for each live row, of which several may have one key
 * (tracking_loose.c).  Such a tracking table is known by its index, which is not
 * unique, and so cannot be its replica identity, which is FULL.  (While a dump is
 * being restored it has no index yet, but no such replica identity either.)
 *
 * Everybody who asks gets the answer here: cache.c before a row is written, check_table.c,
 * the functions that repair (repair.c, reconcile.c), and the follower (follow_key.c).
 *
 * Read from the catalogs: callers hold the locks that they need.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "registry/registry.h"
#include "compat.h"

static KeyColumn *fit_column(const RegistryRow *row, Relation live, const char *name,
							 int i);
static List *fit_tracking_differences(const RegistryRow *row, Relation live, KeyState key);
static Difference *fit_key_difference(DifferenceKind kind, KeyState key, KeyColumn *column);
static bool fit_collations_agree(Oid one, Oid other);
static List *fit_index_columns(Oid relid, Form_pg_index index);

/* How the registered key stands to the primary key. */
KeyState
fit_key(const RegistryRow *row)
{
	List	   *key = fit_primary_key(row->live);

	if (key != NIL)
		return columns_same_names(key, row->key) ? KEY_HELD : KEY_REPLACED;
	if (!columns_all_exist(row->live, row->key))
		return KEY_GONE;
	if (!OidIsValid(row->tracking) || indexes_tracking_is_loose(row->tracking))
		return KEY_LOOSE;
	return KEY_DROPPED;
}

/*
 * Error out if rows cannot be told by the registered key: it is not the table's, or
 * its columns are gone.  sqlstate 0 for the fitting one.
 */
void
fit_check_key(const RegistryRow *row, int sqlstate)
{
	KeyState	state = fit_key(row);

	if (sqlstate == 0)
		sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	if (state == KEY_REPLACED)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("the primary key of table \"%s\" has changed while its history was not tracked",
						get_rel_name(row->live)),
				 errhint("SELECT %s(%s::regclass) takes the present primary key.",
						 hint_function("enable_history_tracking_for_table"),
						 naming_argument(row->live))));
	if (state == KEY_GONE)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("table \"%s\" has no primary key", get_rel_name(row->live)),
				 errhint("ALTER TABLE %s ADD PRIMARY KEY (...);",
						 naming_quoted_before(row->live))));
}

/*
 * The names of the primary key's columns, without the INCLUDE columns, also where
 * it is not valid yet: that of a partitioned table whose partitions are still to get
 * theirs.  NIL if there is none.  The relation need not be open.
 */
List *
fit_primary_key(Oid relid)
{
	Relation	indexes = table_open(IndexRelationId, AccessShareLock);
	List	   *names = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(indexes, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (names == NIL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

		if (index->indisprimary)
			names = fit_index_columns(relid, index);
	}
	systable_endscan(scan);
	table_close(indexes, AccessShareLock);
	return names;
}

static List *
fit_index_columns(Oid relid, Form_pg_index index)
{
	List	   *names = NIL;
	int			i;

	for (i = 0; i < index->indnkeyatts; i++)
		names = lappend(names, get_attname(relid, index->indkey.values[i], false));
	return names;
}

/*
 * What the tracking table has for each column of the registered key, as a list of
 * KeyColumn; worst: of all of them.
 */
List *
fit_tracking(const RegistryRow *row, Relation live, ColumnFit *worst)
{
	int			n = list_length(row->key);
	List	   *columns = NIL;
	ListCell   *lc;

	*worst = COLUMN_FITS;
	foreach(lc, row->key)
	{
		KeyColumn  *column = fit_column(row, live, lfirst(lc), list_length(columns));

		*worst = Max(*worst, column->fit);
		columns = lappend(columns, column);
	}
	/* it is that of a longer key */
	if (get_rel_name(row->tracking) != NULL &&
		get_attnum(row->tracking, naming_key_column(n + 1, n)) != InvalidAttrNumber)
		*worst = COLUMN_MISSING;
	return columns;
}

static KeyColumn *
fit_column(const RegistryRow *row, Relation live, const char *name, int i)
{
	KeyColumn  *column = palloc0(sizeof(KeyColumn));
	Form_pg_attribute att = columns_find(live, name);
	AttrNumber	attnum;

	column->name = pstrdup(name);
	column->held_by = naming_key_column(list_length(row->key), i);
	column->fit = COLUMN_MISSING;
	if (att == NULL)
		return column;
	types_below_domains(att, &column->type, &column->typmod);
	column->collation = att->attcollation;

	attnum = get_rel_name(row->tracking) == NULL ? InvalidAttrNumber :
		get_attnum(row->tracking, column->held_by);
	if (attnum == InvalidAttrNumber)
		return column;
	get_atttypetypmodcoll(row->tracking, attnum, &column->held_type,
						  &column->held_typmod, &column->held_collation);
	column->held_type = getBaseTypeAndTypmod(column->held_type, &column->held_typmod);
	column->fit = fit_types(column->held_type, column->held_typmod, column->held_collation,
							column->type, column->typmod, column->collation);
	return column;
}

/*
 * All the ways in which history, tracking table, key, time and txid column of a
 * registered table do not fit it, as a list of Difference.  History and tracking table
 * are there and have the columns of such tables (derived_shape.c).  Takes ACCESS SHARE on
 * the history and keeps it; live is locked.
 */
List *
fit_differences(const RegistryRow *row, Relation live)
{
	Relation	history = table_open(row->history, AccessShareLock);
	List	   *differences = fit_history(live, history);
	KeyState	key = fit_key(row);

	table_close(history, NoLock);
	if (!OidIsValid(row->tracking))
		differences = list_concat(differences,
								  fit_time_columns(live, row->time_column, row->txid_column));
	if (key != KEY_HELD)
		differences = lappend(differences, fit_key_difference(KEY_NOT_HELD, key, NULL));
	if (OidIsValid(row->tracking) && get_rel_name(row->tracking) != NULL)
		differences = list_concat(differences, fit_tracking_differences(row, live, key));
	return differences;
}

static List *
fit_tracking_differences(const RegistryRow *row, Relation live, KeyState key)
{
	List	   *differences = NIL;
	ColumnFit	worst;
	bool		missing = false;
	ListCell   *lc;

	foreach(lc, fit_tracking(row, live, &worst))
	{
		KeyColumn  *column = lfirst(lc);

		missing = column->fit == COLUMN_MISSING;
		if (column->fit != COLUMN_FITS)
			differences = lappend(differences,
								  fit_key_difference(TRACKING_COLUMN_UNFIT, key, column));
	}
	if (worst == COLUMN_MISSING && row->key != NIL && !missing)
		differences = lappend(differences, fit_key_difference(TRACKING_OF_LONGER_KEY, key, NULL));
	return differences;
}

static Difference *
fit_key_difference(DifferenceKind kind, KeyState key, KeyColumn *column)
{
	Difference *difference = palloc0(sizeof(Difference));

	difference->kind = kind;
	difference->key = key;
	difference->column = column;
	difference->name = column ? column->name : NULL;
	return difference;
}

/* Returns true if there is nothing to be done about the key. */
bool
fit_is_right(const RegistryRow *row)
{
	Relation	live;
	ColumnFit	worst = COLUMN_FITS;

	if (fit_key(row) != KEY_HELD)
		return false;
	if (!OidIsValid(row->tracking))
		return true;
	live = table_open(row->live, NoLock);
	(void) fit_tracking(row, live, &worst);
	table_close(live, NoLock);
	return worst == COLUMN_FITS && !indexes_tracking_is_loose(row->tracking);
}

/*
 * Returns true if the table has lost its primary key and is tracked without it, as that
 * was followed.
 */
bool
fit_goes_on(const RegistryRow *row)
{
	KeyState	state = fit_key(row);

	return state == KEY_LOOSE ||
		(state == KEY_GONE && strcmp(linitial(row->key), KEY_NO_COLUMN) == 0);
}

/*
 * Returns true if the table has no primary key, and its rows are told by columns that the
 * tracking table, which exists, has as well.
 */
bool
fit_lacks_key(const RegistryRow *row)
{
	KeyState	state = fit_key(row);
	ColumnFit	worst;
	Relation	live;

	if ((state != KEY_LOOSE && state != KEY_DROPPED) || get_rel_name(row->tracking) == NULL)
		return false;
	live = table_open(row->live, AccessShareLock);
	(void) fit_tracking(row, live, &worst);
	table_close(live, NoLock);
	return fit_records(worst);
}

/* How a column of a tracking table, "held", serves for one of the key. */
ColumnFit
fit_types(Oid held_type, int32 held_typmod, Oid held_collation,
		  Oid type, int32 typmod, Oid collation)
{
	if (held_type == type && held_typmod == typmod && held_collation == collation)
		return COLUMN_FITS;
	if (held_type == type && fit_collations_agree(held_collation, collation))
		return types_hold(type, typmod, held_type, held_typmod) ?
			COLUMN_HOLDS : COLUMN_NARROW;
	if (types_hold(held_type, held_typmod, type, -1))
		return COLUMN_CONVERTS;
	return COLUMN_UNFIT;
}

/* Returns true if the same values are equal by both collations. */
static bool
fit_collations_agree(Oid one, Oid other)
{
	return one == other ||
		(OidIsValid(one) && OidIsValid(other) &&
		 get_collation_isdeterministic(one) && get_collation_isdeterministic(other));
}

/* Returns true if rows can be written while the tracking table fits no better than this. */
bool
fit_records(ColumnFit fit)
{
	return fit <= COLUMN_NARROW;
}

/*
 * Returns true if rows of the one table, seen as rows of the other, its parent, are found
 * in the tracking table by the same columns.  Only then may the one's tracking table be
 * below the other's.
 */
bool
fit_alike(const RegistryRow *child, const RegistryRow *parent)
{
	int			n = list_length(parent->key);
	int			i;

	if (!OidIsValid(child->tracking) || !OidIsValid(parent->tracking) ||
		!columns_same_names(child->key, parent->key) ||
		get_rel_name(child->tracking) == NULL || get_rel_name(parent->tracking) == NULL)
		return false;
	for (i = 0; i <= n; i++)
	{
		/* one more: neither is that of a longer key */
		char	   *name = naming_key_column(i < n ? n : n + 1, i);
		AttrNumber	mine = get_attnum(child->tracking, name);
		AttrNumber	theirs = get_attnum(parent->tracking, name);
		Oid			types[2];
		int32		typmods[2];
		Oid			collations[2];

		if ((mine == InvalidAttrNumber) != (theirs == InvalidAttrNumber) ||
			(i < n) != (mine != InvalidAttrNumber))
			return false;
		if (i == n)
			break;
		get_atttypetypmodcoll(child->tracking, mine, &types[0], &typmods[0], &collations[0]);
		get_atttypetypmodcoll(parent->tracking, theirs, &types[1], &typmods[1], &collations[1]);
		if (types[0] != types[1] || typmods[0] != typmods[1] || collations[0] != collations[1])
			return false;
	}
	return true;
}

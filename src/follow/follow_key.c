/*
 * follow_key.c
 *		The primary key of a live table, followed.
 *
 * What the command has done to the columns of the registered key is read off two
 * snapshots.  A column that got another type is converted in the tracking table as
 * it was in the live one, by the command's USING expression or a cast, as the owner:
 * where the expression looks at the key alone.  One that was computed in another way
 * tells no more which row was which, nor does one that is gone.  With what is left
 * of the old key the tracking table then follows the new one, or goes on without one
 * (rekey.c).
 *
 * The caller holds on the live table the lock of the command, and its columns have
 * been followed.  ALTER INDEX ... ATTACH PARTITION, which may complete a key, has not
 * locked the table against writers: then that is done here.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "follow/follow.h"
#include "compat.h"

static bool follow_key_is_restored(const RegistryRow *row, const TableState *before);
static List *follow_key_columns(const RegistryRow *row, const TableState *before,
								const TableState *now, Node *statement);
static bool follow_key_is_same(const KeyColumn *column, const TableState *before,
							   const TableState *now, AttrNumber attnum);
static bool follow_key_came_down(const RegistryRow *row, const KeyColumn *column);
static char *follow_key_names(List *key);
static void follow_key_warn(const RegistryRow *row);
static void check_time_columns(const RegistryRow *row);
static void refuse_unfit(Oid live, const char *column, Oid type);

/*
 * The primary key, the time and the txid column: follow the key, refuse what
 * cannot be followed.
 */
void
follow_key(RegistryRow *row, const TableState *before, const TableState *now,
		   Node *statement)
{
	Relation	live;
	bool		has_key;
	List	   *kept;

	if (follow_key_is_restored(row, before))
	{
		registry_update(row);	/* a column may have another name */
		return;
	}
	if (!relation_is_locked(row->live, ShareRowExclusiveLock))
	{
		LockRelationOid(row->live, ShareRowExclusiveLock);
		(void) lineage_partition_tree(row->live, ShareRowExclusiveLock);
	}
	check_time_columns(row);
	derived_check_tracking(row->live, row->tracking, 0);

	live = table_open(row->live, NoLock);
	has_key = columns_key(live) != NIL;
	table_close(live, NoLock);

	kept = follow_key_columns(row, before, now, statement);
	if (has_key)
		rekey(row, kept);
	else if (rekey_loosen(row, kept))
		follow_key_warn(row);
}

/*
 * A table that had no key and gets the one it is registered with, or still has
 * none, and whose tracking table knows of no key dropped, is being restored (pg_restore
 * -j makes triggers before keys, too): its indexes are yet to come.  A
 * partitioned table's key is none until its partitions have it.
 */
static bool
follow_key_is_restored(const RegistryRow *row, const TableState *before)
{
	List	   *key = fit_primary_key(row->live);

	if (OidIsValid(before->key_index) ||
		strcmp(linitial(row->key), KEY_NO_COLUMN) == 0)
		return false;
	if (!OidIsValid(row->tracking))
		return key != NIL && columns_same_names(key, row->key);
	return (key == NIL || columns_same_names(key, row->key)) &&
		!indexes_tracking_is_loose(row->tracking);
}

/*
 * For each column of the registered key the live column that has its values still,
 * or NULL.  The tracking table has them with the live one's type then.
 */
static List *
follow_key_columns(const RegistryRow *row, const TableState *before,
				   const TableState *now, Node *statement)
{
	bool		tracked = OidIsValid(row->tracking) && get_rel_name(row->tracking) != NULL;
	Relation	live = table_open(row->live, NoLock);
	ColumnFit	worst;
	List	   *columns = tracked ? fit_tracking(row, live, &worst) : NIL;
	List	   *conversions = NIL;
	List	   *kept = NIL;
	bool		converted;
	ListCell   *lc;

	table_close(live, NoLock);
	foreach(lc, columns)
	{
		KeyColumn  *column = lfirst(lc);
		AttrNumber	attnum = get_attnum(row->live, column->name);
		bool		computed;

		if (!follow_key_is_same(column, before, now, attnum) ||
			follow_columns_regenerated(now, attnum, statement))
		{
			column->fit = COLUMN_MISSING;
			continue;
		}
		computed = follow_columns_computed(now, attnum, statement);
		if (column->fit == COLUMN_FITS && (!computed || follow_key_came_down(row, column)))
			continue;
		column->using = follow_columns_using(now, attnum, statement);
		column->fit = convert_key_possible(row->tracking, columns, column) ?
			COLUMN_CONVERTS : COLUMN_MISSING;
		if (column->fit == COLUMN_CONVERTS)
			conversions = lappend(conversions, column);
	}
	converted = conversions == NIL || convert_key_try(row->tracking, columns, conversions);

	foreach(lc, row->key)
	{
		KeyColumn  *column = columns ? list_nth(columns, list_length(kept)) : NULL;
		AttrNumber	attnum = get_attnum(row->live, lfirst(lc));

		if (column ? column->fit == COLUMN_FITS || (column->fit == COLUMN_CONVERTS && converted) :
			attnum != InvalidAttrNumber && attnum <= before->natts)
			kept = lappend(kept, lfirst(lc));
		else
			kept = lappend(kept, NULL);
	}
	return kept;
}

/* Returns true if it is the column that it was, and not another one of its name. */
static bool
follow_key_is_same(const KeyColumn *column, const TableState *before,
				   const TableState *now, AttrNumber attnum)
{
	return attnum != InvalidAttrNumber && attnum <= before->natts &&
		before->columns[attnum - 1].exists && column->fit != COLUMN_MISSING;
}

/* Returns true if the tracking column has been converted with the parent's. */
static bool
follow_key_came_down(const RegistryRow *row, const KeyColumn *column)
{
	return lineage_column_is_inherited(row->tracking,
									   get_attnum(row->tracking, column->held_by));
}

static char *
follow_key_names(List *key)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, key)
		appendStringInfo(&names, "%s%s", names.len ? ", " : "", quote_identifier(lfirst(lc)));
	return names.data;
}

/* The table has lost its key, or more of what it is recorded by. */
static void
follow_key_warn(const RegistryRow *row)
{
	bool		gone = fit_key(row) == KEY_GONE;

	ereport(WARNING,
			(errmsg("table \"%s\" has no primary key, but its history is tracked",
					get_rel_name(row->live)),
			 !OidIsValid(row->tracking) ?
			 errdetail("Versions are recorded, but nothing tells which of them are of one row.") :
			 gone ?
			 errdetail("No column of its former key is left, so the start time of its rows is unknown.") :
			 errdetail("Its rows are told apart by the columns of its former key (%s) as long as their values are unique.",
					   follow_key_names(row->key)),
			 errhint("ALTER TABLE %s ADD PRIMARY KEY (...);", naming_quoted(row->live))));
}

static void
check_time_columns(const RegistryRow *row)
{
	Relation	live;
	ListCell   *lc;

	if (OidIsValid(row->tracking))
		return;
	live = table_open(row->live, NoLock);
	foreach(lc, fit_time_columns(live, row->time_column, row->txid_column))
		refuse_unfit(row->live, ((Difference *) lfirst(lc))->name, ((Difference *) lfirst(lc))->type);
	table_close(live, NoLock);
}

/* The time or the txid column would be gone, or have another type. */
static void
refuse_unfit(Oid live, const char *column, Oid type)
{
	/* the history view, too, would stand in the way of the command */
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot drop or alter column \"%s\" of table \"%s\" because history tracking depends on it",
					column, get_rel_name(live)),
			 errdetail("The column must keep type %s.", format_type_be(type)),
			 errhint("SELECT %s(%s::regclass) first; create_history_table will reuse the history table afterwards.",
					 drop_function_name(true),
					 naming_argument(live))));
}

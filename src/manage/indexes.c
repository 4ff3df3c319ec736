/*
 * indexes.c
 *		The indexes of history and tracking tables.
 *
 * Which there are is told by index_state.c.  The key's indexes compare as the live
 * table's primary key does.
 *
 * The index on sys_period is a BRIN index: history is appended in the order in
 * which versions end, and a GiST index would cost several times all the rest of
 * a write.  doc/performance.md has the figures; planner.c makes the planner use
 * it.
 *
 * Locks are those of CREATE INDEX and DROP INDEX, after the one on the live table
 * that the caller holds.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "manage/manage.h"

static void drop_stale_key_index(Oid live, Oid history);
static Oid	create_key_index(Relation live, Oid table, bool unique,
							 const char *label, List *columns);
static bool is_of_key(Relation primary, Relation live, int i, Oid type);

/*
 * Make the unique index, the table's replica identity, unless it is there; the
 * other one, of a table that was loose, goes.
 */
void
indexes_create_tracking(Relation live, Oid tracking, List *key)
{
	Relation	rel = table_open(tracking, ShareLock);
	List	   *names = indexes_tracking_columns(key);
	Oid			index = indexes_find_key(rel, names, true, NULL);
	Oid			loose = indexes_find_key(rel, names, false, NULL);

	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	table_close(rel, NoLock);
	if (OidIsValid(index))
		return;

	if (OidIsValid(loose))
		catalog_drop(RelationRelationId, loose, false);
	index = create_key_index(live, tracking, true, TRACKING_INDEX, names);
	ddl_alter_table(tracking, false, psprintf("REPLICA IDENTITY USING INDEX %s",
											  quote_identifier(get_rel_name(index))));
}

/* Make the index that the tracking table should have, if it is a key's. */
void
indexes_complete_tracking(Relation live, Oid tracking, List *key)
{
	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	if (!columns_all_exist(RelationGetRelid(live), key))
		return;
	if (indexes_tracking_is_loose(tracking))
		indexes_loosen_tracking(live, tracking, key);
	else
		indexes_create_tracking(live, tracking, key);
}

/* Make the tracking table one of which several rows may have one key (indexes_tracking_is_loose). */
void
indexes_loosen_tracking(Relation live, Oid tracking, List *key)
{
	Relation	rel = table_open(tracking, AccessExclusiveLock);
	List	   *names = indexes_tracking_columns(key);
	Oid			unique = indexes_find_key(rel, names, true, NULL);
	Oid			loose = indexes_find_key(rel, names, false, NULL);

	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	table_close(rel, NoLock);
	ddl_alter_table(tracking, false, "REPLICA IDENTITY FULL");
	if (OidIsValid(unique))
		catalog_drop(RelationRelationId, unique, false);
	if (!OidIsValid(loose))
		(void) create_key_index(live, tracking, false, TRACKING_INDEX, names);
}

/*
 * Make those of the three indexes that the history table does not have.  Of a key
 * whose columns are gone there is none.
 */
void
indexes_create(Relation live, Oid history, List *key)
{
	Oid			relid = RelationGetRelid(live);
	bool		has_key;
	bool		has_period;
	bool		has_xid;

	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	LockRelationOid(history, ShareLock);
	indexes_there(history, key, &has_key, &has_period, &has_xid);

	if (!has_key && columns_all_exist(relid, key) && columns_all_exist(history, key))
	{
		drop_stale_key_index(relid, history);
		(void) create_key_index(live, history, false, KEY_INDEX, key);
	}
	if (!has_period)
		(void) catalog_create_index(history,
									naming_free_index(relid, RelationGetNamespace(live), PERIOD_INDEX),
									false, "brin", list_make1(PERIOD_COLUMN), NIL,
									list_make2(makeDefElem("pages_per_range", (Node *) makeInteger(32), -1),
											   makeDefElem("autosummarize", (Node *) makeString("on"), -1)));
	if (!has_xid)
		(void) catalog_create_index(history,
									naming_free_index(relid, RelationGetNamespace(live), XID_INDEX),
									false, "btree", list_make1(XID_COLUMN), NIL, NIL);
}

/*
 * The index of the name that is the key's, which is on other columns: those of a key
 * that was replaced, or renamed, while nobody followed.
 */
static void
drop_stale_key_index(Oid live, Oid history)
{
	Oid			index = indexes_named_key(live, history);

	if (OidIsValid(index))
	{
		LockRelationOid(history, AccessExclusiveLock);
		catalog_drop(RelationRelationId, index, false);
	}
}

/* Make the key's index on the history's segments, where it is not there. */
void
indexes_create_on_segments(Relation live, Oid history, List *key)
{
	ListCell   *lc;

	foreach(lc, segments_here(history))
	{
		Oid			segment = lfirst_oid(lc);
		Relation	rel = table_open(segment, ShareLock);
		bool		has = OidIsValid(indexes_find_key(rel, key, false, NULL));

		table_close(rel, NoLock);
		if (!has && columns_all_exist(segment, key))
			(void) create_key_index(live, segment, false, KEY_INDEX, key);
	}
}

/* Drop it there. */
void
indexes_drop_on_segments(Oid history, List *key)
{
	ListCell   *lc;

	foreach(lc, segments_here(history))
		indexes_drop_key(lfirst_oid(lc), key);
}

/* Drop the three indexes. */
void
indexes_drop(Oid history, List *key)
{
	Relation	rel = table_open(history, AccessExclusiveLock);
	Oid			indexes[2];
	int			i;

	indexes[0] = indexes_find_period(rel);
	indexes[1] = indexes_find_on_column(rel, XID_COLUMN, BTREE_AM_OID);
	table_close(rel, NoLock);

	indexes_drop_key(history, key);
	for (i = 0; i < lengthof(indexes); i++)
		if (OidIsValid(indexes[i]))
			catalog_drop(RelationRelationId, indexes[i], false);
}

void
indexes_drop_key(Oid history, List *key)
{
	Relation	rel = table_open(history, AccessExclusiveLock);
	Oid			index = indexes_find_key(rel, key, false, NULL);

	table_close(rel, NoLock);
	if (OidIsValid(index))
		catalog_drop(RelationRelationId, index, false);
}

/*
 * An index on the key, comparing as columns_key_opclass has it; where history has
 * another type than the key, as that does (see cache.c), and without a primary key as
 * values of the type do.
 */
static Oid
create_key_index(Relation live, Oid table, bool unique, const char *label, List *columns)
{
	Oid			primary_oid = columns_primary_key_index(live);
	Relation	primary = OidIsValid(primary_oid) ? index_open(primary_oid, AccessShareLock) : NULL;
	List	   *opclasses = NIL;
	ListCell   *lc;
	int			i = 0;

	foreach(lc, columns)
	{
		Oid			column_type = getBaseType(get_atttype(table, get_attnum(table, lfirst(lc))));

		opclasses = lappend_oid(opclasses,
								columns_key_opclass(is_of_key(primary, live, i, column_type) ?
													primary : NULL, i, column_type));
		i++;
	}
	if (primary)
		index_close(primary, AccessShareLock);

	return catalog_create_index(table, naming_free_index(RelationGetRelid(live),
														 RelationGetNamespace(live), label),
								unique, "btree", columns, opclasses, NIL);
}

/* Returns true if the i-th column of the primary key exists and has the type. */
static bool
is_of_key(Relation primary, Relation live, int i, Oid type)
{
	Oid			key_type;
	int32		typmod;

	if (primary == NULL || i >= IndexRelationGetNumberOfKeyAttributes(primary))
		return false;
	types_below_domains(TupleDescAttr(RelationGetDescr(live),
									  primary->rd_index->indkey.values[i] - 1),
						&key_type, &typmod);
	return key_type == type;
}

/*
 * indexes.c
 *		The indexes of history and tracking tables.
 *
 * They are known by what they index, never by their names, which are clipped
 * where they would be too long.  The key's indexes compare as the live table's
 * primary key does.
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

#include "catmaid_history.h"

#define KEY_INDEX		"_history_live_pk_index"
#define PERIOD_INDEX	"_history_sys_period"
#define XID_INDEX		"_history_exec_transaction_id"
#define TRACKING_INDEX	"_tracking_live_pk_index"

static void drop_stale_key_index(Oid live, Oid history);
static Oid	create_key_index(Relation live, Oid table, bool unique,
							 const char *label, List *columns);
static bool is_of_key(Relation primary, Relation live, int i, Oid type);
static Oid	find_simple_index(Relation rel, const char *column, Oid am);
static bool index_is(Relation index, Relation rel, List *columns, Oid am);
static List *add_own(List *own, Oid index, const char *label);
static Oid	find_period_index(Relation rel);
static List *tracking_key_names(List *key);

/*
 * Make the unique index, the table's replica identity, unless it is there; the
 * other one, of a table that was loose, goes.
 */
void
indexes_create_tracking(Relation live, Oid tracking, List *key)
{
	Relation	rel = table_open(tracking, ShareLock);
	List	   *names = tracking_key_names(key);
	Oid			index = indexes_find_key(rel, names, true, NULL);
	Oid			loose = indexes_find_key(rel, names, false, NULL);

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
	if (!fit_has_columns(RelationGetRelid(live), key))
		return;
	if (fit_is_loose(tracking))
		indexes_loosen_tracking(live, tracking, key);
	else
		indexes_create_tracking(live, tracking, key);
}

/* Make the tracking table one of which several rows may have one key (fit_is_loose). */
void
indexes_loosen_tracking(Relation live, Oid tracking, List *key)
{
	Relation	rel = table_open(tracking, AccessExclusiveLock);
	List	   *names = tracking_key_names(key);
	Oid			unique = indexes_find_key(rel, names, true, NULL);
	Oid			loose = indexes_find_key(rel, names, false, NULL);

	table_close(rel, NoLock);
	ddl_alter_table(tracking, false, "REPLICA IDENTITY FULL");
	if (OidIsValid(unique))
		catalog_drop(RelationRelationId, unique, false);
	if (!OidIsValid(loose))
		(void) create_key_index(live, tracking, false, TRACKING_INDEX, names);
}

/* Has the relation any unique index? */
bool
indexes_any_unique(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= index->rd_index->indisunique;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	table_close(rel, NoLock);
	return found;
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

	LockRelationOid(history, ShareLock);
	indexes_there(history, key, &has_key, &has_period, &has_xid);

	if (!has_key && fit_has_columns(relid, key) && fit_has_columns(history, key))
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

/* The index of that name, on whatever columns of the history; or InvalidOid. */
Oid
indexes_named_key(Oid live, Oid history)
{
	Oid			index = get_relname_relid(naming_index(live, KEY_INDEX),
										  get_rel_namespace(history));
	HeapTuple	tuple = OidIsValid(index) ?
		SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index)) : NULL;
	bool		stale;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	stale = ((Form_pg_index) GETSTRUCT(tuple))->indrelid == history &&
		!((Form_pg_index) GETSTRUCT(tuple))->indisunique;
	ReleaseSysCache(tuple);
	return stale ? index : InvalidOid;
}

/*
 * The columns of the key that the table had, by which it goes on, as the index of
 * history has it: of a table that has lost both its key and its place in the registry.
 */
List *
indexes_former_key(Oid live, Oid history)
{
	Oid			index = indexes_named_key(live, history);
	List	   *key = NIL;
	char	   *name;
	int			i;

	for (i = 1; OidIsValid(index) && (name = get_attname(index, i, true)) != NULL; i++)
		key = lappend(key, name);
	return key && fit_has_columns(live, key) ? key : list_make1(pstrdup(KEY_NO_COLUMN));
}

/* Which of the three has the history table? */
void
indexes_there(Oid history, List *key, bool *has_key, bool *has_period, bool *has_xid)
{
	Relation	rel = table_open(history, AccessShareLock);

	*has_key = OidIsValid(indexes_find_key(rel, key, false, NULL));
	*has_period = OidIsValid(find_simple_index(rel, PERIOD_COLUMN, InvalidOid));
	*has_xid = OidIsValid(find_simple_index(rel, XID_COLUMN, BTREE_AM_OID));
	table_close(rel, NoLock);
}

/* Has the tracking table its index, a unique one unless it is loose? */
bool
indexes_there_tracking(Oid tracking, List *key)
{
	Relation	rel = table_open(tracking, AccessShareLock);
	bool		found = OidIsValid(indexes_find_key(rel, tracking_key_names(key),
													!fit_is_loose(tracking), NULL));

	table_close(rel, NoLock);
	return found;
}

/* Drop the three indexes. */
void
indexes_drop(Oid history, List *key)
{
	Relation	rel = table_open(history, AccessExclusiveLock);
	Oid			indexes[2];
	int			i;

	indexes[0] = find_period_index(rel);
	indexes[1] = find_simple_index(rel, XID_COLUMN, BTREE_AM_OID);
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

/* The indexes of a history or tracking table that we have made (OwnIndex). */
List *
indexes_own(Oid live, Oid table)
{
	RegistryRow *row = registry_get(live);
	Relation	rel;
	List	   *own = NIL;

	if (row == NULL)
		return NIL;
	rel = table_open(table, AccessShareLock);
	if (table == row->tracking)
	{
		own = add_own(own, indexes_find_key(rel, tracking_key_names(row->key), true, NULL),
					  TRACKING_INDEX);
		if (own == NIL)
			own = add_own(own, indexes_find_key(rel, tracking_key_names(row->key), false, NULL),
						  TRACKING_INDEX);
	}
	else
	{
		own = add_own(own, indexes_find_key(rel, row->key, false, NULL), KEY_INDEX);
		own = add_own(own, find_period_index(rel), PERIOD_INDEX);
		own = add_own(own, find_simple_index(rel, XID_COLUMN, BTREE_AM_OID), XID_INDEX);
	}
	table_close(rel, NoLock);
	return own;
}

/*
 * A plain btree index on just these columns, in this order, whose equality is
 * that of the scan key (unless NULL).  InvalidOid if there is none.
 */
Oid
indexes_find_key(Relation rel, List *columns, bool unique, ScanKey scankey)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	Oid			found = InvalidOid;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		right = index_is(index, rel, columns, BTREE_AM_OID) &&
			index->rd_index->indisunique == unique;
		int			i;

		for (i = 0; right && scankey && i < list_length(columns); i++)
			right = get_opcode(get_opfamily_member(index->rd_opfamily[i],
												   index->rd_opcintype[i],
												   OidIsValid(scankey[i].sk_subtype) ?
												   scankey[i].sk_subtype :
												   index->rd_opcintype[i],
												   BTEqualStrategyNumber)) ==
				scankey[i].sk_func.fn_oid &&
				index->rd_indcollation[i] == scankey[i].sk_collation;
		if (right && !OidIsValid(found))
			found = lfirst_oid(lc);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
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

/* Has the i-th column of the primary key, if there is one, the type? */
static bool
is_of_key(Relation primary, Relation live, int i, Oid type)
{
	Oid			key_type;
	int32		typmod;

	if (primary == NULL || i >= IndexRelationGetNumberOfKeyAttributes(primary))
		return false;
	columns_base_type(TupleDescAttr(RelationGetDescr(live),
									primary->rd_index->indkey.values[i] - 1),
					  &key_type, &typmod);
	return key_type == type;
}

/* An index on this column alone; am InvalidOid: of whatever kind. */
static Oid
find_simple_index(Relation rel, const char *column, Oid am)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	Oid			found = InvalidOid;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (!OidIsValid(found) &&
			index_is(index, rel, list_make1(pstrdup(column)), am) &&
			!index->rd_index->indisunique)
			found = lfirst_oid(lc);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

/*
 * The index on sys_period that we have made, or the older implementation: a
 * GiST index of the same name, whose end at least is never clipped.
 */
static Oid
find_period_index(Relation rel)
{
	Oid			index = find_simple_index(rel, PERIOD_COLUMN, BRIN_AM_OID);
	const char *end;

	if (OidIsValid(index))
		return index;
	index = find_simple_index(rel, PERIOD_COLUMN, GIST_AM_OID);
	end = OidIsValid(index) ? strstr(get_rel_name(index), "_" PERIOD_INDEX) : NULL;
	return end && strcmp(end, "_" PERIOD_INDEX) == 0 ? index : InvalidOid;
}

static List *
tracking_key_names(List *key)
{
	List	   *names = NIL;
	int			i;

	for (i = 0; i < list_length(key); i++)
		names = lappend(names, tracking_key_column(list_length(key), i));
	return names;
}

static bool
index_is(Relation index, Relation rel, List *columns, Oid am)
{
	ListCell   *lc;
	int			i = 0;

	if ((OidIsValid(am) && index->rd_rel->relam != am) ||
		!index->rd_index->indisvalid || !index->rd_index->indimmediate ||
		index->rd_index->indnatts != list_length(columns) ||
		/* (RelationGetIndexPredicate would evaluate what is constant in it) */
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;

	foreach(lc, columns)
	{
		Form_pg_attribute att = columns_find(rel, lfirst(lc));

		if (att == NULL || index->rd_index->indkey.values[i++] != att->attnum)
			return false;
	}
	return true;
}

static List *
add_own(List *own, Oid index, const char *label)
{
	OwnIndex   *entry;

	if (!OidIsValid(index))
		return own;
	entry = palloc(sizeof(OwnIndex));
	entry->index = index;
	entry->label = label;
	return lappend(own, entry);
}

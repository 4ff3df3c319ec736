/*
 * index_state.c
 *		Which indexes a history or tracking table has.
 *
 * They are known by what they index, never by their names, which are clipped
 * where they would be too long.
 *
 * Locks: ACCESS SHARE on the table and its indexes; the table's is kept.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "registry/registry.h"

static bool index_is(Relation index, Relation rel, List *columns, Oid am);
static Oid	find_xid(Relation rel);
static List *add_own(List *own, Oid index, const char *label);

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

/* Returns true if the relation has a unique index. */
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

/* Which of the three indexes the history table has. */
void
indexes_there(Oid history, List *key, bool *has_key, bool *has_period, bool *has_xid)
{
	Relation	rel = table_open(history, AccessShareLock);

	*has_key = OidIsValid(indexes_find_key(rel, key, false, NULL));
	*has_period = OidIsValid(indexes_find_on_column(rel, PERIOD_COLUMN, InvalidOid));
	*has_xid = OidIsValid(indexes_find_on_column(rel, XID_COLUMN, InvalidOid));
	table_close(rel, NoLock);
}

/* Returns true if the tracking table has its index, a unique one unless it is loose. */
bool
indexes_there_tracking(Oid tracking, List *key)
{
	Relation	rel = table_open(tracking, AccessShareLock);
	bool		found = OidIsValid(indexes_find_key(rel, indexes_tracking_columns(key),
													!indexes_tracking_is_loose(tracking), NULL));

	table_close(rel, NoLock);
	return found;
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
		own = add_own(own, indexes_find_key(rel, indexes_tracking_columns(row->key), true, NULL),
					  TRACKING_INDEX);
		if (own == NIL)
			own = add_own(own, indexes_find_key(rel, indexes_tracking_columns(row->key), false, NULL),
						  TRACKING_INDEX);
	}
	else
	{
		own = add_own(own, indexes_find_key(rel, row->key, false, NULL), KEY_INDEX);
		own = add_own(own, indexes_find_period(rel), PERIOD_INDEX);
		own = add_own(own, find_xid(rel), XID_INDEX);
	}
	table_close(rel, NoLock);
	return own;
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
	return key && columns_all_exist(live, key) ? key : list_make1(pstrdup(KEY_NO_COLUMN));
}

/* An index on this column alone; am InvalidOid: of whatever kind. */
Oid
indexes_find_on_column(Relation rel, const char *column, Oid am)
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
Oid
indexes_find_period(Relation rel)
{
	Oid			index = indexes_find_on_column(rel, PERIOD_COLUMN, BRIN_AM_OID);
	const char *end;

	if (OidIsValid(index))
		return index;
	index = indexes_find_on_column(rel, PERIOD_COLUMN, GIST_AM_OID);
	end = OidIsValid(index) ? strstr(get_rel_name(index), "_" PERIOD_INDEX) : NULL;
	return end && strcmp(end, "_" PERIOD_INDEX) == 0 ? index : InvalidOid;
}

/*
 * The index on exec_transaction_id that we have made, or that the owner has put in its
 * place: of another kind, with a name that ends as ours.
 */
static Oid
find_xid(Relation rel)
{
	Oid			index = indexes_find_on_column(rel, XID_COLUMN, BTREE_AM_OID);
	const char *end;

	if (OidIsValid(index))
		return index;
	index = indexes_find_on_column(rel, XID_COLUMN, InvalidOid);
	end = OidIsValid(index) ? strstr(get_rel_name(index), "_" XID_INDEX) : NULL;
	return end && strcmp(end, "_" XID_INDEX) == 0 ? index : InvalidOid;
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

List *
indexes_tracking_columns(List *key)
{
	List	   *names = NIL;
	int			i;

	for (i = 0; i < list_length(key); i++)
		names = lappend(names, naming_key_column(list_length(key), i));
	return names;
}

/*
 * Returns true if several rows of the tracking table may have one key; false if it was
 * dropped.
 */
bool
indexes_tracking_is_loose(Oid tracking)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(tracking));
	char		identity;

	if (!HeapTupleIsValid(tuple))
		return false;
	identity = ((Form_pg_class) GETSTRUCT(tuple))->relreplident;
	ReleaseSysCache(tuple);
	return identity == REPLICA_IDENTITY_FULL && !indexes_any_unique(tracking);
}

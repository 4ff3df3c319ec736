/*
 * cache_key.c
 *		The part of an entry of the cache (cache.c) that tells rows by their key.
 *
 * Which columns the key has in the live, history and tracking table, with which operators
 * and by which indexes rows are looked up in each.
 *
 * The caller has the relations open, and locked.  Takes ACCESS SHARE on the primary key's
 * index, and lets go of it.
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "capture/capture.h"

static bool is_loose(Relation rel, RegistryRow *row);
static Relation open_key_index(CaptureRelation *entry, Relation rel, RegistryRow *row);
static void build_key_column(CaptureRelation *entry, Relation rel, int i, const char *name,
							 Relation history, Relation tracking, Relation index,
							 const char *tracking_name);
static void build_scankey(ScanKey key, AttrNumber attno, Oid type,
						  Oid collation, Relation index, int column);
static void compare_across_types(ScanKey key, Oid column_type, Oid key_type);

/*
 * Returns true if the history has the columns of the key, with types that hold it.  No
 * other columns are needed to look rows up.
 */
bool
cache_key_is_held(Relation rel, Relation history, List *key)
{
	ListCell   *lc;

	foreach(lc, key)
	{
		Form_pg_attribute att = columns_find(rel, lfirst(lc));

		if (att == NULL || !fit_holds(att, columns_find(history, lfirst(lc))))
			return false;
	}
	return true;
}

/*
 * How to tell rows by their key, and look them up.  Only a tracking table needs it;
 * with no column to tell them by nkeys is 0.
 */
void
cache_key_build(CaptureRelation *entry, Relation rel, RegistryRow *row,
				Relation history, Relation tracking)
{
	int			n = list_length(row->key);
	List	   *tracking_names = NIL;
	Relation	index;
	ListCell   *lc;
	int			i = 0;

	entry->live_index = columns_primary_key_index(rel);
	entry->keyless = !OidIsValid(entry->live_index);
	if (tracking == NULL)
		return;
	entry->loose = is_loose(rel, row);
	entry->one_each = !indexes_tracking_is_loose(row->tracking);
	if (entry->loose)
		entry->keyless = false;
	if (!columns_all_exist(RelationGetRelid(rel), row->key))
		return;
	entry->nkeys = n;
	entry->key = palloc(sizeof(AttrNumber) * n);
	entry->live_scankey = palloc(sizeof(ScanKeyData) * n);
	entry->history_scankey = palloc(sizeof(ScanKeyData) * n);
	entry->tracking_scankey = palloc(sizeof(ScanKeyData) * n);

	index = open_key_index(entry, rel, row);
	foreach(lc, row->key)
	{
		build_key_column(entry, rel, i, lfirst(lc), history, tracking, index,
						 naming_key_column(n, i));
		tracking_names = lappend(tracking_names, naming_key_column(n, i));
		i++;
	}
	if (index)
	{
		/* an index of another kind may not be able to look for equality */
		for (i = 0; i < n; i++)
			if (entry->live_scankey[i].sk_strategy == InvalidStrategy)
				entry->live_index = InvalidOid;
		entry->live_index_is_btree = index->rd_rel->relam == BTREE_AM_OID;
		index_close(index, AccessShareLock);
	}

	entry->history_index = indexes_find_key(history, row->key, false,
											entry->history_scankey);
	entry->tracking_index = indexes_find_key(tracking, tracking_names,
											 entry->one_each, entry->tracking_scankey);
}

/*
 * Returns true if several rows may have one key.  Errors out if the primary key is another
 * one, which nobody has followed.  A partition that is not the table's any more, or not for
 * long, has the key that it had.
 */
static bool
is_loose(Relation rel, RegistryRow *row)
{
	Oid			relid = RelationGetRelid(rel);
	KeyState	state = fit_key(row);

	if (indexes_tracking_is_loose(row->tracking))
		return true;
	if (state == KEY_REPLACED && lineage_root(relid) == row->live &&
		!lineage_is_being_detached(relid))
		fit_check_key(row, 0);
	return state != KEY_HELD || !columns_all_exist(relid, row->key);
}

/* The index of rel's primary key, if it is on the registered key; or NULL. */
static Relation
open_key_index(CaptureRelation *entry, Relation rel, RegistryRow *row)
{
	Relation	index;
	bool		right;
	ListCell   *lc;
	int			i = 0;

	if (!OidIsValid(entry->live_index))
		return NULL;
	index = index_open(entry->live_index, AccessShareLock);
	entry->deferrable = !entry->loose && !index->rd_index->indimmediate;
	right = IndexRelationGetNumberOfKeyAttributes(index) == entry->nkeys;
	foreach(lc, row->key)
		right = right && index->rd_index->indkey.values[i++] ==
			columns_find(rel, lfirst(lc))->attnum;
	if (right)
		return index;
	index_close(index, AccessShareLock);
	entry->live_index = InvalidOid;
	return NULL;
}

static void
build_key_column(CaptureRelation *entry, Relation rel, int i, const char *name,
				 Relation history, Relation tracking, Relation index,
				 const char *tracking_name)
{
	Form_pg_attribute live_att = columns_find(rel, name);
	Form_pg_attribute history_att = columns_find(history, name);
	Form_pg_attribute tracking_att = columns_find(tracking, tracking_name);
	Oid			type;
	Oid			history_type;
	int32		typmod;

	if (history_att == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("key column \"%s\" of history table \"%s\" does not exist", name,
						RelationGetRelationName(history)),
				 errhint("SELECT %s(%s::regclass) adds it.",
						 hint_function("repair_history"),
						 naming_argument(entry->live))));
	types_below_domains(live_att, &type, &typmod);
	entry->key[i] = live_att->attnum;
	build_scankey(&entry->live_scankey[i], live_att->attnum, type,
				  live_att->attcollation, index, i);
	if (index)
		entry->live_scankey[i].sk_strategy =
			get_op_opfamily_strategy(columns_key_equality(index, i, type),
									 index->rd_opfamily[i]);
	/* a wider history column is compared as what it is */
	history_type = getBaseType(history_att->atttypid);
	build_scankey(&entry->history_scankey[i], history_att->attnum,
				  history_type, history_att->attcollation,
				  history_type == type ? index : NULL, i);
	compare_across_types(&entry->history_scankey[i], history_type, type);

	if (tracking_att == NULL ||
		!fit_records(fit_types(getBaseType(tracking_att->atttypid), tracking_att->atttypmod,
							   tracking_att->attcollation, type, typmod,
							   live_att->attcollation)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tracking table \"%s\" does not fit the key of table \"%s\"",
						RelationGetRelationName(tracking),
						get_rel_name(entry->live)),
				 errhint("SELECT %s(%s::regclass) makes it fit.",
						 hint_function("repair_history"),
						 naming_argument(entry->live))));
	build_scankey(&entry->tracking_scankey[i], tracking_att->attnum,
				  type, tracking_att->attcollation, index, i);
}

/* "column = ?", as columns_key_equality has it. */
static void
build_scankey(ScanKey key, AttrNumber attno, Oid type, Oid collation,
			  Relation index, int column)
{
	ScanKeyEntryInitialize(key, 0, attno, BTEqualStrategyNumber, InvalidOid, collation,
						   get_opcode(columns_key_equality(index, column, type)),
						   (Datum) 0);
}

/*
 * Where history has another type than the live key, and their operator family
 * has an operator for the two (integers), compare by that.
 */
static void
compare_across_types(ScanKey key, Oid column_type, Oid key_type)
{
	TypeCacheEntry *entry;
	Oid			operator;

	if (column_type == key_type)
		return;
	entry = lookup_type_cache(column_type, TYPECACHE_BTREE_OPFAMILY);
	operator = get_opfamily_member(entry->btree_opf, column_type, key_type,
								   BTEqualStrategyNumber);
	if (OidIsValid(operator))
		ScanKeyEntryInitialize(key, 0, key->sk_attno, BTEqualStrategyNumber, key_type,
							   key->sk_collation, get_opcode(operator), (Datum) 0);
}

/*
 * storage.c
 *		A table like another, and the storage of the two exchanged.
 *
 * A history is cut in a moment, whatever its size, because no row is touched: a new,
 * empty table gets what the history has in files, and the history goes on with the empty
 * files.  As VACUUM FULL and CLUSTER do (cluster.c: make_new_heap, swap_relation_files) the
 * rows of pg_class exchange where the files are and what is known of them.  The two must be
 * alike byte for byte: CREATE TABLE LIKE would leave out dropped columns, whose values are
 * in the rows still, and the values of columns that were added without a rewrite.
 *
 * TOAST tables go with their rows, which name them by OID: the tables that own them are
 * exchanged instead.
 *
 * Nothing of anybody's is evaluated but the expressions of indexes, as the owner.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on the table while another is made like it, ACCESS
 * EXCLUSIVE while they are exchanged.
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_statistic.h"
#include "commands/cluster.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "parser/parse_utilcmd.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "segment/segment.h"
#include "compat.h"

/* A pair of indexes: of the table, and of the one like it. */
typedef struct IndexPair
{
	Oid			index;
	Oid			other;
} IndexPair;

static void refuse_unlike(Relation rel);
static void copy_columns(Oid relid, Oid other);
static void copy_not_null(Oid relid, Oid other);
static List *copy_indexes(Oid relid, Oid other);
static Oid	copy_index(Relation rel, Relation index, Oid other);
static void copy_statistics(Oid relid, Oid other);
static void exchange_class(Oid relid, Oid other, bool is_table);
static void exchange_toast(Oid relid, Oid other, Oid toast, Oid other_toast);
static void own_toast(Oid relid, Oid toast);
static void name_toast(Oid toast, Oid owner);
static void say_exchanged(Oid relid, Oid other);

/*
 * Make an empty table of the same owner in the same schema, whose rows and indexes have
 * the same form as the table's, dropped columns included.  It is owned as the table is, has
 * no privileges, and no constraints but those that its indexes are for.  Returns its OID,
 * and in *indexes what storage_exchange needs.
 *
 * An error, with a hint, if the table has something that cannot be copied.
 */
Oid
storage_table_like(Oid relid, const char *name, List **indexes)
{
	Relation	rel = table_open(relid, ShareUpdateExclusiveLock);
	Oid			other;

	refuse_unlike(rel);
	other = make_new_heap_compat(rel, ShareUpdateExclusiveLock);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	catalog_rename(other, name);
	copy_columns(relid, other);
	copy_not_null(relid, other);
	*indexes = copy_indexes(relid, other);
	return other;
}

/* What an exchange would damage, or leave behind. */
static void
refuse_unlike(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	TupleDesc	desc = RelationGetDescr(rel);
	ListCell   *lc;
	int			i;

	if (rel->rd_rel->relkind != RELKIND_RELATION || RelationIsMapped(rel) ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("history table \"%s\" cannot be cut into segments", RelationGetRelationName(rel)),
				 errdetail("It is no ordinary table of access method heap.")));
	for (i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && TupleDescAttr(desc, i)->attgenerated)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("history table \"%s\" cannot be cut into segments", RelationGetRelationName(rel)),
					 errdetail("Its column \"%s\" is a generated column.", NameStr(TupleDescAttr(desc, i)->attname)),
					 errhint("ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION;",
							 naming_quoted(RelationGetRelid(rel)),
							 quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)))));
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		complete = index->rd_index->indisvalid && index->rd_index->indisready;

		if (!complete)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("index \"%s\" of history table \"%s\" is not complete",
							RelationGetRelationName(index), RelationGetRelationName(rel)),
					 errhint("DROP INDEX %s;", naming_quoted(lfirst_oid(lc)))));
		index_close(index, NoLock);
	}
	list_free(indexes);
}

/*
 * What make_new_heap leaves out: values of columns that rows from before do not have; and
 * the columns are to be inherited ones, nobody's identity.
 */
static void
copy_columns(Oid relid, Oid other)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	Relation	rel = table_open(relid, NoLock);
	int			natts = RelationGetNumberOfAttributes(rel);
	AttrNumber	attnum;

	table_close(rel, NoLock);
	for (attnum = 1; attnum <= natts; attnum++)
	{
		HeapTuple	from = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
		HeapTuple	to = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(other), Int16GetDatum(attnum));
		Form_pg_attribute att;

		if (!HeapTupleIsValid(from) || !HeapTupleIsValid(to))
			elog(ERROR, "cache lookup failed for attribute %d of relation %u", attnum, relid);
		att = (Form_pg_attribute) GETSTRUCT(to);
		att->attislocal = false;
		att->attinhcount = 0;
		att->attidentity = '\0';
		if (((Form_pg_attribute) GETSTRUCT(from))->atthasmissing)
		{
			int			columns[] = {Anum_pg_attribute_atthasmissing, Anum_pg_attribute_attmissingval};
			Datum		values[] = {BoolGetDatum(true), (Datum) 0};
			bool		nulls[] = {false, false};

			values[1] = SysCacheGetAttr(ATTNUM, from, Anum_pg_attribute_attmissingval, &nulls[1]);
			to = heap_modify_tuple_by_cols(to, RelationGetDescr(catalog), 2, columns, values, nulls);
		}
		CatalogTupleUpdate(catalog, &to->t_self, to);
		ReleaseSysCache(from);
	}
	table_close(catalog, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(other);
	CommandCounterIncrement();
}

/* Where NOT NULL is a constraint with a name, make_new_heap has copied the mark alone. */
static void
copy_not_null(Oid relid, Oid other)
{
	Relation	rel;
	List	   *names = NIL;
	ListCell   *lc;
	int			i;

	if (!not_null_has_name_compat)
		return;
	rel = table_open(relid, NoLock);
	for (i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && att->attnotnull)
			names = lappend(names, pstrdup(NameStr(att->attname)));
	}
	table_close(rel, NoLock);
	foreach(lc, names)
		ddl_alter_table(other, false, psprintf("ALTER COLUMN %s SET NOT NULL",
											   quote_identifier(lfirst(lc))));
}

/* Indexes like the table's, as IndexPairs. */
static List *
copy_indexes(Oid relid, Oid other)
{
	Relation	rel = table_open(relid, NoLock);
	List	   *indexes = RelationGetIndexList(rel);
	List	   *pairs = NIL;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		IndexPair  *pair = palloc(sizeof(IndexPair));

		pair->index = lfirst_oid(lc);
		pair->other = copy_index(rel, index, other);
		pairs = lappend(pairs, pair);
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return pairs;
}

/* Made as the owner, whose expressions may be in it; on an empty table. */
static Oid
copy_index(Relation rel, Relation index, Oid other)
{
	int			natts = RelationGetNumberOfAttributes(rel);
	AttrMap    *same = make_attrmap(natts);
	SecurityState before;
	IndexStmt  *stmt;
	Oid			constraint;
	Oid			copy;
	Relation	copied;
	bool		alike;
	int			i;

	for (i = 0; i < natts; i++)
		same->attnums[i] = TupleDescAttr(RelationGetDescr(rel), i)->attisdropped ? 0 : i + 1;
	security_act_as(rel->rd_rel->relowner, ACT_TO_MANAGE, &before);
	stmt = generateClonedIndexStmt(NULL, index, same, &constraint);
	stmt->relation = makeRangeVar(NULL, get_rel_name(other), -1);
	copy = DefineIndexCompat(other, stmt).objectId;
	security_act_as_before(&before);
	CommandCounterIncrement();

	copied = index_open(copy, AccessShareLock);
	alike = copied->rd_rel->relam == index->rd_rel->relam &&
		copied->rd_index->indnatts == index->rd_index->indnatts;
	for (i = 0; alike && i < index->rd_index->indnatts; i++)
		alike = copied->rd_index->indkey.values[i] == index->rd_index->indkey.values[i] &&
			TupleDescAttr(RelationGetDescr(copied), i)->atttypid ==
			TupleDescAttr(RelationGetDescr(index), i)->atttypid &&
			(i >= index->rd_index->indnkeyatts ||
			 (copied->rd_opfamily[i] == index->rd_opfamily[i] &&
			  copied->rd_opcintype[i] == index->rd_opcintype[i] &&
			  copied->rd_indcollation[i] == index->rd_indcollation[i] &&
			  copied->rd_indoption[i] == index->rd_indoption[i]));
	if (!alike)
		elog(ERROR, "index %u is not like index %u", copy, RelationGetRelid(index));
	index_close(copied, NoLock);
	free_attrmap(same);
	return copy;
}

/*
 * Exchange what the two tables, of which the other was made by storage_table_like in this
 * transaction, have stored.  The caller holds ACCESS EXCLUSIVE on the table.
 */
void
storage_exchange(Oid relid, Oid other, List *indexes)
{
	ListCell   *lc;

	Assert(relation_is_locked(relid, AccessExclusiveLock));
	foreach(lc, indexes)
	{
		IndexPair  *pair = lfirst(lc);

		LockRelationOid(pair->index, AccessExclusiveLock);
		exchange_class(pair->index, pair->other, false);
	}
	exchange_class(relid, other, true);
	copy_statistics(relid, other);
	CommandCounterIncrement();
}

/* Of a table or an index. */
static void
exchange_class(Oid relid, Oid other, bool is_table)
{
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));
	HeapTuple	other_tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(other));
	Form_pg_class form;
	Form_pg_class other_form;
	FormData_pg_class was;
	CatalogIndexState state;

	if (!HeapTupleIsValid(tuple) || !HeapTupleIsValid(other_tuple))
		elog(ERROR, "cache lookup failed for relation %u or %u", relid, other);
	form = (Form_pg_class) GETSTRUCT(tuple);
	other_form = (Form_pg_class) GETSTRUCT(other_tuple);
	if (form->relfilenode == 0 || other_form->relfilenode == 0 ||
		form->relpersistence != other_form->relpersistence || form->relam != other_form->relam ||
		OidIsValid(form->reltoastrelid) != OidIsValid(other_form->reltoastrelid))
		elog(ERROR, "storage of relation %u cannot be exchanged with that of %u", relid, other);
	memcpy(&was, form, CLASS_TUPLE_SIZE);

#define EXCHANGE(field) (form->field = other_form->field, other_form->field = was.field)
	EXCHANGE(relfilenode);
	EXCHANGE(reltablespace);
	EXCHANGE(relpages);
	EXCHANGE(reltuples);
	EXCHANGE(relallvisible);
	exchange_all_frozen_compat(form, other_form);
	if (is_table)
	{
		EXCHANGE(reltoastrelid);
		EXCHANGE(relfrozenxid);
		EXCHANGE(relminmxid);
		/* nobody changes single rows of it but with their whole former value in the WAL */
		other_form->relreplident = form->relreplident == REPLICA_IDENTITY_INDEX ?
			REPLICA_IDENTITY_FULL : form->relreplident;
	}
#undef EXCHANGE

	state = CatalogOpenIndexes(catalog);
	CatalogTupleUpdateWithInfo(catalog, &tuple->t_self, tuple, state);
	CatalogTupleUpdateWithInfo(catalog, &other_tuple->t_self, other_tuple, state);
	CatalogCloseIndexes(state);
	CacheInvalidateRelcacheByTuple(tuple);
	CacheInvalidateRelcacheByTuple(other_tuple);
	if (is_table && OidIsValid(form->reltoastrelid))
		exchange_toast(relid, other, form->reltoastrelid, other_form->reltoastrelid);
	heap_freetuple(tuple);
	heap_freetuple(other_tuple);
	table_close(catalog, RowExclusiveLock);

	say_exchanged(relid, other);
	CommandCounterIncrement();
}

/*
 * For files that came into being in this transaction (storage.c, relcache.c: what need
 * not be in the WAL where wal_level is minimal).
 */
static void
say_exchanged(Oid relid, Oid other)
{
	Relation	rel = relation_open(relid, NoLock);
	Relation	other_rel = relation_open(other, NoLock);

	other_rel->rd_createSubid = rel->rd_createSubid;
	other_rel->rd_newStorageSubid_compat = rel->rd_newStorageSubid_compat;
	other_rel->rd_firstStorageSubid_compat = rel->rd_firstStorageSubid_compat;
	RelationAssumeNewStorageCompat(rel);
	relation_close(rel, NoLock);
	relation_close(other_rel, NoLock);
}

/* The TOAST tables have other owners now, by whose OIDs they are called. */
static void
exchange_toast(Oid relid, Oid other, Oid toast, Oid other_toast)
{
	CommandCounterIncrement();
	own_toast(relid, toast);
	own_toast(other, other_toast);
	CommandCounterIncrement();
	/* out of the way first */
	name_toast(other_toast, InvalidOid);
	name_toast(toast, relid);
	name_toast(other_toast, other);
}

static void
own_toast(Oid relid, Oid toast)
{
	ObjectAddress owner;
	ObjectAddress owned;

	if (deleteDependencyRecordsFor(RelationRelationId, toast, false) != 1)
		elog(ERROR, "TOAST table %u does not belong to one table", toast);
	ObjectAddressSet(owner, RelationRelationId, relid);
	ObjectAddressSet(owned, RelationRelationId, toast);
	recordDependencyOn(&owned, &owner, DEPENDENCY_INTERNAL);
}

static void
name_toast(Oid toast, Oid owner)
{
	Oid			index = toast_get_valid_index(toast, AccessShareLock);
	const char *name = OidIsValid(owner) ? psprintf("pg_toast_%u", owner) :
		psprintf("pg_toast_%u_moving", toast);

	RenameRelationInternal(toast, name, true, false);
	RenameRelationInternal(index, psprintf("%s_index", name), true, true);
	CommandCounterIncrement();
}

/* What ANALYZE has found is true of the rows that are in the other table now. */
static void
copy_statistics(Oid relid, Oid other)
{
	Relation	catalog = table_open(StatisticRelationId, RowExclusiveLock);
	Relation	rel = table_open(relid, NoLock);
	int			natts = RelationGetNumberOfAttributes(rel);
	AttrNumber	attnum;

	table_close(rel, NoLock);
	for (attnum = 1; attnum <= natts; attnum++)
	{
		HeapTuple	tuple = SearchSysCacheCopy3(STATRELATTINH, ObjectIdGetDatum(relid),
												Int16GetDatum(attnum), BoolGetDatum(false));

		if (!HeapTupleIsValid(tuple))
			continue;
		((Form_pg_statistic) GETSTRUCT(tuple))->starelid = other;
		CatalogTupleInsert(catalog, tuple);
		heap_freetuple(tuple);
	}
	table_close(catalog, RowExclusiveLock);
}

/*
 * What is known of the rows of a table is true of those of another one, which has the same
 * rows and columns, of these names; either may be a foreign table.
 */
void
storage_copy_statistics(Oid from, Oid to)
{
	Relation	catalog = table_open(StatisticRelationId, RowExclusiveLock);
	Relation	classes = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	source = SearchSysCache1(RELOID, ObjectIdGetDatum(from));
	HeapTuple	target = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(to));
	AttrNumber	attnum;

	if (!HeapTupleIsValid(source) || !HeapTupleIsValid(target))
		elog(ERROR, "cache lookup failed for relation %u or %u", from, to);
	((Form_pg_class) GETSTRUCT(target))->relpages = ((Form_pg_class) GETSTRUCT(source))->relpages;
	((Form_pg_class) GETSTRUCT(target))->reltuples = ((Form_pg_class) GETSTRUCT(source))->reltuples;
	CatalogTupleUpdate(classes, &target->t_self, target);
	for (attnum = 1; attnum <= ((Form_pg_class) GETSTRUCT(source))->relnatts; attnum++)
	{
		char	   *name = get_attname(from, attnum, true);
		AttrNumber	other = name ? get_attnum(to, name) : InvalidAttrNumber;
		HeapTuple	tuple = SearchSysCacheCopy3(STATRELATTINH, ObjectIdGetDatum(from),
												Int16GetDatum(attnum), BoolGetDatum(false));

		if (HeapTupleIsValid(tuple) && other != InvalidAttrNumber)
		{
			HeapTuple	old = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(to),
											  Int16GetDatum(other), BoolGetDatum(false));

			((Form_pg_statistic) GETSTRUCT(tuple))->starelid = to;
			((Form_pg_statistic) GETSTRUCT(tuple))->staattnum = other;
			if (HeapTupleIsValid(old))
			{
				CatalogTupleUpdate(catalog, &old->t_self, tuple);
				ReleaseSysCache(old);
			}
			else
				CatalogTupleInsert(catalog, tuple);
		}
	}
	ReleaseSysCache(source);
	table_close(classes, RowExclusiveLock);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * lineage.c
 *		What a table inherits from, and the partitions below it.
 *
 * Read from the catalogs, without locks but where it is said.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "compat.h"

static List *read_parents(Oid relid, bool *here);
static List *read_children(Oid relid);
static bool is_detaching(Oid relid);

/* Returns true if the column is inherited from a parent. */
bool
lineage_column_is_inherited(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	bool		inherited;

	if (!HeapTupleIsValid(tuple))
		return false;
	inherited = ((Form_pg_attribute) GETSTRUCT(tuple))->attinhcount > 0;
	ReleaseSysCache(tuple);
	return inherited;
}

/* The tables that relid inherits from, by sequence number. */
List *
lineage_parents(Oid relid)
{
	return read_parents(relid, NULL);
}

/*
 * The relation's parents. *here: whether this transaction made it inherit, if it has one
 * parent only.
 */
static List *
read_parents(Oid relid, bool *here)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	List	   *parents = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
		if (here)
			*here = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return parents;
}

/* The number of the table's ancestors, by its first parents. */
int
lineage_depth(Oid relid)
{
	int			depth = 0;
	List	   *parents;

	while ((parents = lineage_parents(relid)) != NIL)
	{
		relid = linitial_oid(parents);
		depth++;
	}
	return depth;
}

/* The table that the column was inherited from, the first of all; or the table itself. */
Oid
lineage_origin(Oid relid, const char *column)
{
	ListCell   *lc;

	foreach(lc, lineage_parents(relid))
		if (get_attnum(lfirst_oid(lc), column) != InvalidAttrNumber)
			return lineage_origin(lfirst_oid(lc), column);
	return relid;
}

/* The relation and all that it inherits from, however far up. */
List *
lineage_of(Oid relid)
{
	List	   *lineage = list_make1_oid(relid);
	int			i;

	for (i = 0; i < list_length(lineage); i++)
		lineage = list_concat_unique_oid(lineage,
										 lineage_parents(list_nth_oid(lineage, i)));
	return lineage;
}

/* All tables and partitioned tables above this one. */
List *
lineage_ancestors(Oid relid)
{
	List	   *ancestors = lineage_parents(relid);
	ListCell   *lc;

	foreach(lc, ancestors)
		ancestors = list_concat_unique_oid(ancestors, lineage_parents(lfirst_oid(lc)));
	return ancestors;
}

/*
 * The relation and all that inherits from it, in the order of find_all_inheritors: parents
 * first, siblings by OID.  None is locked, and any of them, the first one too, may go
 * meanwhile, which find_all_inheritors takes for an error.  A partition whose
 * DETACH CONCURRENTLY has begun is none any more.
 */
List *
lineage_below(Oid relid)
{
	List	   *below = list_make1_oid(relid);
	int			i;

	for (i = 0; i < list_length(below); i++)
		below = list_concat_unique_oid(below, read_children(list_nth_oid(below, i)));
	return below;
}

/* Returns true if the relation has, or has had, children; false if it has gone. */
bool
lineage_may_have_below(Oid relid)
{
	HeapTuple	class = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		may;

	if (!HeapTupleIsValid(class))
		return false;
	may = ((Form_pg_class) GETSTRUCT(class))->relhassubclass;
	ReleaseSysCache(class);
	return may;
}

/* The relation's children, by OID. */
static List *
read_children(Oid relid)
{
	List	   *children = NIL;
	Relation	inherits;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!lineage_may_have_below(relid))
		return NIL;
	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsParentIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);

		if (!inherits_is_detaching_compat(form))
			children = lappend_oid(children, form->inhrelid);
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	list_sort(children, list_oid_cmp);
	return children;
}

/*
 * The root of a partition, or the table itself.  get_partition_ancestors ends
 * where DETACH CONCURRENTLY was interrupted; the rows are the root's until
 * FINALIZE.
 */
Oid
lineage_root(Oid relid)
{
	while (get_rel_relispartition(relid))
	{
		List	   *parents = lineage_parents(relid);

		if (parents == NIL)
			break;
		relid = linitial_oid(parents);
	}
	return relid;
}

/*
 * Returns true if this transaction attached the relation, or one of its ancestors, as a
 * partition.
 */
bool
lineage_attached_here(Oid relid)
{
	bool		here = false;

	while (!here && get_rel_relispartition(relid))
	{
		List	   *parents = read_parents(relid, &here);

		if (parents == NIL)
			break;
		relid = linitial_oid(parents);
	}
	return here;
}

/*
 * The table and all partitions below it, locked in this order, those included
 * whose DETACH CONCURRENTLY was interrupted (find_all_inheritors leaves them out).
 */
List *
lineage_partition_tree(Oid root, LOCKMODE mode)
{
	List	   *tree = list_make1_oid(root);
	int			i;

	for (i = 0; i < list_length(tree); i++)
		if (get_rel_relkind(list_nth_oid(tree, i)) == RELKIND_PARTITIONED_TABLE)
			tree = list_concat(tree,
							   find_inheritance_children_compat(list_nth_oid(tree, i), mode));
	return tree;
}

/* The partitions that hold rows; NIL for a table that is not partitioned. */
List *
lineage_leaf_partitions(Oid root, LOCKMODE mode)
{
	List	   *leaves = NIL;
	ListCell   *lc;

	if (get_rel_relkind(root) != RELKIND_PARTITIONED_TABLE)
		return NIL;
	foreach(lc, lineage_partition_tree(root, mode))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	return leaves;
}

/*
 * Returns true if a partition below the table is being detached: DETACH CONCURRENTLY has
 * begun and not ended.
 */
bool
lineage_is_detaching(Oid root)
{
	ListCell   *lc;

	foreach(lc, lineage_partition_tree(root, NoLock))
		if (lfirst_oid(lc) != root && is_detaching(lfirst_oid(lc)))
			return true;
	return false;
}

/* Returns true if the relation is such a partition, or below one. */
bool
lineage_is_being_detached(Oid relid)
{
	while (get_rel_relispartition(relid))
	{
		List	   *parents = lineage_parents(relid);

		if (is_detaching(relid))
			return true;
		if (parents == NIL)
			break;
		relid = linitial_oid(parents);
	}
	return false;
}

static bool
is_detaching(Oid relid)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	bool		detaching = false;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		detaching |= inherits_is_detaching_compat((Form_pg_inherits) GETSTRUCT(tuple));
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return detaching;
}

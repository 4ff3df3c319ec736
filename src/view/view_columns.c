/*
 * view_columns.c
 *		The columns of a view changed in place: added, removed, moved and of other
 *		types, with all that is put on them.
 *
 * CREATE OR REPLACE VIEW can add columns at the end, and no more.  DROP and CREATE
 * would give the view another OID, and so take along what refers to it: privileges,
 * comments, labels, triggers, defaults, the membership in an extension, and every view
 * on it.  So the catalogs are made to say what they would say had the view
 * been created with the new columns: pg_attribute, pg_class.relnatts, pg_depend and
 * pg_shdepend; and what is said of columns by number gets their new numbers: in
 * pg_attrdef, pg_description, pg_seclabel and pg_trigger.  A view has no rows that
 * would have to be rewritten.  (Its defaults need not have its columns' types; they are
 * coerced when they are used.)
 *
 * The rules on the view, its own among them, are the caller's to replace.
 *
 * Locks: ACCESS EXCLUSIVE on the view.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_description.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

#include "view/view.h"
#include "compat.h"

/* Where a catalog says something of a column. */
typedef struct ColumnCatalog
{
	Oid			catalog;
	Oid			index;
	AttrNumber	object;			/* its columns: the relation's OID, ... */
	AttrNumber	class;			/* pg_class, or 0 */
	int			number;			/* ... and the column's number */
	bool		is_int2;
} ColumnCatalog;

static int	same_columns(TupleDesc old, TupleDesc new, const AttrNumber *from);
static void replace_attributes(Oid view, TupleDesc new, const AttrNumber *from, int nsame);
static HeapTuple attribute_tuple(Relation catalog, HeapTuple like, bool is_new,
								 bool has_version, Form_pg_attribute att);
static void move_privileges(Oid view, HeapTuple tuple, AttrNumber from, AttrNumber to);
static void set_number_of_columns(Oid view, int natts);
static void depend_on_types(Oid view, TupleDesc new, int nsame);
static bool view_columns_stays(HeapTuple row, TupleDesc new, const AttrNumber *from);
static void view_columns_renumber(const ColumnCatalog *where, Oid view, const AttrNumber *map, int nold);
static void renumber_dependents(Oid view, const AttrNumber *map, int nold);
static void renumber_triggers(Oid view, const AttrNumber *map, int nold);

/*
 * Give the view these columns.  from: for each of them, by number - 1, the number
 * that it has had, 0 for a new one.  Columns that are in none have been dropped,
 * by performDeletion: nothing is said of them any more.
 */
void
view_columns_replace(Oid view, TupleDesc new, const AttrNumber *from)
{
	const ColumnCatalog catalogs[] = {
		{AttrDefaultRelationId, AttrDefaultIndexId, Anum_pg_attrdef_adrelid,
		0, Anum_pg_attrdef_adnum, true},
		{DescriptionRelationId, DescriptionObjIndexId, Anum_pg_description_objoid,
			Anum_pg_description_classoid, Anum_pg_description_objsubid, false},
		{SecLabelRelationId, SecLabelObjectIndexId, Anum_pg_seclabel_objoid,
			Anum_pg_seclabel_classoid, Anum_pg_seclabel_objsubid, false},
	};
	Relation	rel = relation_open(view, AccessExclusiveLock);
	int			nold = RelationGetNumberOfAttributes(rel);
	AttrNumber *map = palloc0(sizeof(AttrNumber) * Max(nold, 1));
	int			nsame = same_columns(RelationGetDescr(rel), new, from);
	int			i;

	Assert(relation_is_locked(view, AccessExclusiveLock));
	CheckTableNotInUse(rel, "CREATE OR REPLACE VIEW");
	relation_close(rel, NoLock);
	for (i = 0; i < new->natts; i++)
		if (from[i] != InvalidAttrNumber)
			map[from[i] - 1] = i + 1;

	replace_attributes(view, new, from, nsame);
	set_number_of_columns(view, new->natts);
	depend_on_types(view, new, nsame);
	for (i = 0; i < lengthof(catalogs); i++)
		view_columns_renumber(&catalogs[i], view, map, nold);
	renumber_dependents(view, map, nold);
	renumber_triggers(view, map, nold);
	CommandCounterIncrement();
}

/* How many columns at the beginning are what they were, but for their names. */
static int
same_columns(TupleDesc old, TupleDesc new, const AttrNumber *from)
{
	int			i;

	for (i = 0; i < Min(old->natts, new->natts); i++)
		if (from[i] != i + 1 ||
			TupleDescAttr(old, i)->atttypid != TupleDescAttr(new, i)->atttypid ||
			TupleDescAttr(old, i)->atttypmod != TupleDescAttr(new, i)->atttypmod ||
			TupleDescAttr(old, i)->attcollation != TupleDescAttr(new, i)->attcollation)
			break;
	return i;
}

/* The rows of pg_attribute, with the privileges on columns. */
static void
replace_attributes(Oid view, TupleDesc new, const AttrNumber *from, int nsame)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple  *old = palloc0(sizeof(HeapTuple) * (MaxHeapAttributeNumber + 1));
	HeapTuple	any = NULL;
	uint64		version = next_attribute_version_compat();
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			i;

	ScanKeyInit(&key, Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(view));
	scan = systable_beginscan(catalog, AttributeRelidNumIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);

		old[att->attnum] = heap_copytuple(tuple);
		if (!att->attisdropped)
			any = old[att->attnum];
	}
	systable_endscan(scan);
	if (any == NULL)
		elog(ERROR, "view %u has no columns", view);

	for (i = 1; i <= MaxHeapAttributeNumber; i++)
		if (old[i] && !view_columns_stays(old[i], new, from))
		{
			move_privileges(view, old[i], i, InvalidAttrNumber);
			CatalogTupleDelete(catalog, &old[i]->t_self);
		}
	for (i = 0; i < new->natts; i++)
	{
		HeapTuple	like = from[i] != InvalidAttrNumber ? old[from[i]] : any;
		bool		in_place = from[i] == i + 1 && view_columns_stays(like, new, from);
		HeapTuple	row;

		if (in_place && i < nsame)
			continue;
		row = attribute_tuple(catalog, like, from[i] == InvalidAttrNumber,
							  i < nsame, TupleDescAttr(new, i));
		if (i >= nsame)
			row = set_attribute_version_compat(catalog, row, version);
		if (in_place)
		{
			CatalogTupleUpdate(catalog, &like->t_self, row);
			continue;
		}
		CatalogTupleInsert(catalog, row);
		move_privileges(view, row, InvalidAttrNumber, i + 1);
	}
	table_close(catalog, RowExclusiveLock);
}

/* Returns true if the column keeps its number and its name. */
static bool
view_columns_stays(HeapTuple row, TupleDesc new, const AttrNumber *from)
{
	Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(row);
	int			i = att->attnum - 1;

	return i < new->natts && from[i] == att->attnum &&
		strcmp(NameStr(att->attname), NameStr(TupleDescAttr(new, i)->attname)) == 0;
}

/*
 * A row like another one of the view's, but with the number, name and type of att.
 * A new column has no more of that one: all else is as it is in every view.
 */
static HeapTuple
attribute_tuple(Relation catalog, HeapTuple like, bool is_new, bool has_version,
				Form_pg_attribute att)
{
	Datum		values[Natts_pg_attribute] = {0};
	bool		nulls[Natts_pg_attribute] = {false};
	bool		replace[Natts_pg_attribute] = {false};
	HeapTuple	row;
	Form_pg_attribute form;

	/* no command sets options of a view's column; see set_attribute_version_compat */
	if (!has_version || !ATTRIBUTE_VERSIONS_COMPAT)
		replace[Anum_pg_attribute_attoptions - 1] = nulls[Anum_pg_attribute_attoptions - 1] = true;
	if (is_new)
		replace[Anum_pg_attribute_attacl - 1] = nulls[Anum_pg_attribute_attacl - 1] = true;
	row = heap_modify_tuple(like, RelationGetDescr(catalog), values, nulls, replace);
	form = (Form_pg_attribute) GETSTRUCT(row);
	form->attnum = att->attnum;
	namestrcpy(&form->attname, NameStr(att->attname));
	form->atttypid = att->atttypid;
	form->atttypmod = att->atttypmod;
	form->attcollation = att->attcollation;
	form->attlen = att->attlen;
	form->attbyval = att->attbyval;
	form->attalign = att->attalign;
	form->attstorage = att->attstorage;
	form->attndims = att->attndims;
	if (is_new)
		form->atthasdef = false;
	return row;
}

/* Whom the privileges on a column are granted to, said of its new number; 0: of none. */
static void
move_privileges(Oid view, HeapTuple tuple, AttrNumber from, AttrNumber to)
{
	bool		isnull;
	Datum		acl = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attacl, &isnull);
	Oid		   *members;
	int			nmembers;

	if (isnull)
		return;
	nmembers = aclmembers(DatumGetAclP(acl), &members);
	if (from != InvalidAttrNumber)
		updateAclDependencies(RelationRelationId, view, from, security_owner_of(view),
							  nmembers, members, 0, NULL);
	else
		updateAclDependencies(RelationRelationId, view, to, security_owner_of(view),
							  0, NULL, nmembers, members);
}

static void
set_number_of_columns(Oid view, int natts)
{
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(view));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	((Form_pg_class) GETSTRUCT(tuple))->relnatts = natts;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

/* The columns depend on their types and collations (AddNewAttributeTuples). */
static void
depend_on_types(Oid view, TupleDesc new, int nsame)
{
	Relation	catalog = table_open(DependRelationId, RowExclusiveLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int			i;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(view));
	scan = systable_beginscan(catalog, DependDependerIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (((Form_pg_depend) GETSTRUCT(tuple))->objsubid > nsame)
			CatalogTupleDelete(catalog, &tuple->t_self);
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);

	for (i = nsame; i < new->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(new, i);
		ObjectAddress column;
		ObjectAddress type;

		ObjectAddressSubSet(column, RelationRelationId, view, i + 1);
		ObjectAddressSet(type, TypeRelationId, att->atttypid);
		recordDependencyOn(&column, &type, DEPENDENCY_NORMAL);
		if (OidIsValid(att->attcollation) && att->attcollation != DEFAULT_COLLATION_OID)
		{
			ObjectAddressSet(type, CollationRelationId, att->attcollation);
			recordDependencyOn(&column, &type, DEPENDENCY_NORMAL);
		}
	}
}

/*
 * Rows that say something of a column: out and in again, for their numbers are unique
 * and may be exchanged.
 */
static void
view_columns_renumber(const ColumnCatalog *where, Oid view, const AttrNumber *map, int nold)
{
	Relation	catalog = table_open(where->catalog, RowExclusiveLock);
	List	   *moved = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	ScanKeyInit(&key[0], where->object, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(view));
	if (where->class)
		ScanKeyInit(&key[1], where->class, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(RelationRelationId));
	scan = systable_beginscan(catalog, where->index, true, NULL, where->class ? 2 : 1, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		number = heap_getattr(tuple, where->number, RelationGetDescr(catalog), &isnull);
		int			attnum = where->is_int2 ? DatumGetInt16(number) : DatumGetInt32(number);

		if (attnum <= 0 || attnum > nold || map[attnum - 1] == attnum ||
			map[attnum - 1] == InvalidAttrNumber)
			continue;
		number = where->is_int2 ? Int16GetDatum(map[attnum - 1]) : Int32GetDatum(map[attnum - 1]);
		isnull = false;
		/* what is out of line goes when the row does */
		moved = lappend(moved, heap_modify_tuple_by_cols(toast_flatten_tuple(tuple, RelationGetDescr(catalog)),
														 RelationGetDescr(catalog), 1,
														 unconstify(int *, &where->number), &number, &isnull));
		CatalogTupleDelete(catalog, &tuple->t_self);
	}
	systable_endscan(scan);
	foreach(lc, moved)
		CatalogTupleInsert(catalog, lfirst(lc));
	table_close(catalog, RowExclusiveLock);
}

/* Defaults and triggers of the view depend on its columns. */
static void
renumber_dependents(Oid view, const AttrNumber *map, int nold)
{
	Relation	catalog = table_open(DependRelationId, RowExclusiveLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(view));
	scan = systable_beginscan(catalog, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		HeapTuple	copy;

		if (form->refobjsubid <= 0 || form->refobjsubid > nold ||
			(form->classid != AttrDefaultRelationId && form->classid != TriggerRelationId) ||
			map[form->refobjsubid - 1] == form->refobjsubid ||
			map[form->refobjsubid - 1] == InvalidAttrNumber)
			continue;
		copy = heap_copytuple(tuple);
		((Form_pg_depend) GETSTRUCT(copy))->refobjsubid = map[form->refobjsubid - 1];
		CatalogTupleUpdate(catalog, &copy->t_self, copy);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

/* UPDATE OF column: of statement triggers. */
static void
renumber_triggers(Oid view, const AttrNumber *map, int nold)
{
	Relation	catalog = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(view));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		HeapTuple	copy = heap_copytuple(tuple);
		int2vector *columns = &((Form_pg_trigger) GETSTRUCT(copy))->tgattr;
		bool		changed = false;
		int			i;

		for (i = 0; i < columns->dim1; i++)
			if (columns->values[i] > 0 && columns->values[i] <= nold &&
				map[columns->values[i] - 1] != columns->values[i])
			{
				columns->values[i] = map[columns->values[i] - 1];
				changed = true;
			}
		if (changed)
			CatalogTupleUpdate(catalog, &copy->t_self, copy);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

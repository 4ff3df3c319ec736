/*
 * in_order.c
 *		Is there nothing to be done for a table's history to be recorded?
 *
 * Applications enable tracking at every start, on standbys too.  So where all is as
 * it should be enabling reads catalogs and nothing else: no lock that a writer
 * feels, and no row is written.
 *
 * Opening a thousand tables, with what is derived from each and their indexes, takes
 * longer than an application's start may.  So a table is looked at in two steps.
 * The first one reads its rows in the catalogs, by a handful of index scans; it
 * knows nothing of partitions, of types that hold others, or of what is less than
 * obvious, and doubts too much rather than too little.  What it doubts is opened,
 * under ACCESS SHARE for as long as that takes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "manage/manage.h"

/* a relation's rows in the catalogs */
typedef struct TableFacts
{
	Oid			relid;
	FormData_pg_class class;
	FormData_pg_attribute *columns; /* by number - 1 */
	int			ncolumns;
} TableFacts;

typedef enum IndexKind
{
	INDEX_PRIMARY,
	INDEX_UNIQUE,
	INDEX_PLAIN
} IndexKind;

static bool found_in_order(const RegistryRow *row, Oid *busy);
static bool tables_there(const RegistryRow *row);
static bool nothing_differs(const RegistryRow *row, Relation live);
static bool is_named_after(const TableFacts *history, const TableFacts *live);
static bool obviously_in_order(const RegistryRow *row);
static bool read_class(TableFacts *table, Oid relid);
static bool read_derived(TableFacts *table, Oid relid, const TableFacts *live);
static void read_columns(TableFacts *table);
static const FormData_pg_attribute *next_column(const TableFacts *table, int *i);
static const FormData_pg_attribute *column_named(const TableFacts *table, const char *name);
static bool same_type(const FormData_pg_attribute *a, const FormData_pg_attribute *b);
static bool has_history_columns(const TableFacts *live, const TableFacts *history, bool tracked);
static bool is_obvious_view(const TableFacts *live, const TableFacts *view);
static bool indexes_obvious(const RegistryRow *row, const TableFacts *live,
							const TableFacts *history, const TableFacts *tracking);
static bool has_index(const TableFacts *table, List *names, IndexKind kind, Oid *classes);
static bool is_index_on(HeapTuple index, TupleDesc desc, const TableFacts *table, List *names,
						bool set, Oid *classes);

/*
 * Returns true if history, tracking table, indexes, view and triggers of the table are as
 * enabling would make them.  Takes ACCESS SHARE on the live table and what is derived from
 * it, and lets go of it: what is done then is looked at again, under other locks, which
 * are to be taken in their own order (lock_order.c).  Nor is a lock held while another one
 * is waited for.
 */
bool
in_order(const RegistryRow *row)
{
	Oid			busy;
	bool		is;

	do
	{
		ResourceOwner before = CurrentResourceOwner;
		ResourceOwner looking = ResourceOwnerCreate(before, "catmaid_history in order");

		/* (after an error it goes with its parent) */
		CurrentResourceOwner = looking;
		is = found_in_order(row, &busy);
		CurrentResourceOwner = before;
		ResourceOwnerRelease(looking, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
		ResourceOwnerRelease(looking, RESOURCE_RELEASE_LOCKS, false, false);
		ResourceOwnerRelease(looking, RESOURCE_RELEASE_AFTER_LOCKS, false, false);
		ResourceOwnerDelete(looking);
		if (OidIsValid(busy))
		{
			LockRelationOid(busy, AccessShareLock);
			UnlockRelationOid(busy, AccessShareLock);
		}
	} while (OidIsValid(busy));
	return is;
}

/*
 * Returns true if the table is in order, with what is open owned by the current resource
 * owner. *busy: a relation that has to be waited for first, or InvalidOid.
 */
static bool
found_in_order(const RegistryRow *row, Oid *busy)
{
	Oid			relids[] = {view_of_table(row->live), row->live, row->history, row->tracking};
	int			i;
	Relation	live;
	bool		is;
	bool		has_key;
	bool		has_period;
	bool		has_xid;

	for (i = 0; i < lengthof(relids); i++)
		if (OidIsValid(relids[i]) && !ConditionalLockRelationOid(relids[i], AccessShareLock))
		{
			*busy = relids[i];
			return false;
		}
	*busy = InvalidOid;
	if (get_rel_name(row->live) == NULL || !row->triggers_installed || !tables_there(row) ||
		!registry_is_sound(row, security_owner_of(row->live)) || !mark_is_set(row))
		return false;

	live = table_open(row->live, NoLock);
	is = triggers_complete(row->live, row) && triggers_log_inserts(row->live, row) &&
		nothing_differs(row, live) && !derived_lacks_maker(row) &&
		!row_security_lacks(row->live, row->history) && view_fits(row, false);
	if (is && OidIsValid(row->tracking))
		is = indexes_there_tracking(row->tracking, row->key) &&
			!row_security_lacks(row->live, row->tracking) &&
			get_rel_persistence(row->tracking) == get_rel_persistence(row->live);
	table_close(live, NoLock);
	if (!is)
		return false;
	indexes_there(row->history, row->key, &has_key, &has_period, &has_xid);
	return (has_key || fit_key(row) == KEY_GONE) && has_period && has_xid;
}

static bool
tables_there(const RegistryRow *row)
{
	return derived_is_history(row->history) &&
		(!OidIsValid(row->tracking) || derived_serves_tracking(row->tracking));
}

/*
 * Returns true if enabling has nothing to do about columns and key.  A column that is NOT
 * NULL in history, and a table that goes on without its key, are left as they are.
 */
static bool
nothing_differs(const RegistryRow *row, Relation live)
{
	bool		goes_on = fit_goes_on(row);
	ListCell   *lc;

	foreach(lc, fit_differences(row, live))
	{
		DifferenceKind kind = ((Difference *) lfirst(lc))->kind;

		if (kind != HISTORY_COLUMN_NOT_NULL &&
			!(goes_on && (kind == KEY_NOT_HELD || kind == TRACKING_COLUMN_UNFIT ||
						  kind == TRACKING_OF_LONGER_KEY)))
			return false;
	}
	return goes_on || !OidIsValid(row->tracking) || !indexes_tracking_is_loose(row->tracking);
}

/*
 * The registered tables among rows, in their order, for which enabling has something
 * to do; OIDs, palloc'd.
 */
List *
in_order_not(List *rows)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "catmaid_history in order",
												  ALLOCSET_DEFAULT_SIZES);
	List	   *rest = NIL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		RegistryRow *row = lfirst(lc);
		MemoryContext before = MemoryContextSwitchTo(scratch);
		bool		is = obviously_in_order(row) || in_order(row);

		MemoryContextSwitchTo(before);
		MemoryContextReset(scratch);
		if (!is)
			rest = lappend_oid(rest, row->live);
	}
	MemoryContextDelete(scratch);
	return rest;
}

static bool
is_named_after(const TableFacts *history, const TableFacts *live)
{
	char	   *name = naming_live_of(NameStr(history->class.relname));

	return name && strcmp(name, NameStr(live->class.relname)) == 0;
}

/* (Without a lock on anything: a table may go meanwhile.) */
static bool
obviously_in_order(const RegistryRow *row)
{
	TableFacts	live;
	TableFacts	history;
	TableFacts	tracking = {0};
	TableFacts	view;
	bool		tracked = OidIsValid(row->tracking);

	if (!row->triggers_installed || !read_class(&live, row->live) ||
		live.class.relkind != RELKIND_RELATION ||
		!read_derived(&history, row->history, &live) ||
		!is_named_after(&history, &live) ||
		(tracked && (!read_derived(&tracking, row->tracking, &live) ||
					 tracking.class.relpersistence != live.class.relpersistence)))
		return false;
	read_columns(&live);
	read_columns(&history);
	if (tracked)
		read_columns(&tracking);
	if (!has_history_columns(&live, &history, tracked) ||
		!indexes_obvious(row, &live, &history, tracked ? &tracking : NULL) ||
		!triggers_obvious(row->live, row) || !mark_is_set(row))
		return false;

	view.relid = get_relname_relid(naming_view_for(NameStr(live.class.relname)),
								   live.class.relnamespace);
	if (!OidIsValid(view.relid))
		return true;
	if (!read_class(&view, view.relid) || view.class.relkind != RELKIND_VIEW ||
		view.class.relowner != live.class.relowner)
		return false;
	read_columns(&view);
	return is_obvious_view(&live, &view);
}

static bool
read_class(TableFacts *table, Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		return false;
	table->relid = relid;
	memcpy(&table->class, GETSTRUCT(tuple), CLASS_TUPLE_SIZE);
	ReleaseSysCache(tuple);
	return true;
}

/* A table of the same owner, in the same schema and no less protected than the live one. */
static bool
read_derived(TableFacts *table, Oid relid, const TableFacts *live)
{
	return read_class(table, relid) && table->class.relkind == RELKIND_RELATION &&
		table->class.relowner == live->class.relowner &&
		table->class.relnamespace == live->class.relnamespace &&
		(table->class.relrowsecurity || !live->class.relrowsecurity) &&
		(table->class.relforcerowsecurity || !live->class.relforcerowsecurity);
}

/* By attribute number, dropped ones too; palloc'd. */
static void
read_columns(TableFacts *table)
{
	Relation	attributes = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	table->columns = palloc0(sizeof(FormData_pg_attribute) * Max(table->class.relnatts, 1));
	table->ncolumns = 0;
	ScanKeyInit(&key[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table->relid));
	ScanKeyInit(&key[1], Anum_pg_attribute_attnum, BTGreaterStrategyNumber, F_INT2GT,
				Int16GetDatum(0));
	scan = systable_beginscan(attributes, AttributeRelidNumIndexId, true, NULL, 2, key);
	while (table->ncolumns < table->class.relnatts &&
		   HeapTupleIsValid(tuple = systable_getnext(scan)))
		memcpy(&table->columns[table->ncolumns++], GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
	systable_endscan(scan);
	table_close(attributes, AccessShareLock);
}

/* The next column from this one on that is there, or NULL. */
static const FormData_pg_attribute *
next_column(const TableFacts *table, int *i)
{
	while (*i < table->ncolumns && table->columns[*i].attisdropped)
		(*i)++;
	return *i < table->ncolumns ? &table->columns[(*i)++] : NULL;
}

static const FormData_pg_attribute *
column_named(const TableFacts *table, const char *name)
{
	int			i;

	for (i = 0; i < table->ncolumns; i++)
		if (!table->columns[i].attisdropped &&
			strcmp(NameStr(table->columns[i].attname), name) == 0)
			return &table->columns[i];
	return NULL;
}

static bool
same_type(const FormData_pg_attribute *a, const FormData_pg_attribute *b)
{
	return a->atttypid == b->atttypid && a->atttypmod == b->atttypmod &&
		a->attcollation == b->attcollation;
}

/*
 * Returns true if the history has all of the live table's columns, with just their types,
 * and its own. tracked: with a tracking table.
 */
static bool
has_history_columns(const TableFacts *live, const TableFacts *history, bool tracked)
{
	const FormData_pg_attribute *period = column_named(history, PERIOD_COLUMN);
	const FormData_pg_attribute *xid = column_named(history, XID_COLUMN);
	const FormData_pg_attribute *maker = column_named(history, MAKER_COLUMN);
	const FormData_pg_attribute *column;
	int			i = 0;

	if (tracked && (maker == NULL || maker->atttypid != INT8OID))
		return false;
	while ((column = next_column(live, &i)) != NULL)
	{
		const FormData_pg_attribute *target = column_named(history, NameStr(column->attname));

		if (target == NULL || !same_type(column, target))
			return false;
	}
	return period && period->atttypid == TSTZRANGEOID && period->atthasdef &&
		xid && xid->atttypid == INT8OID && xid->atthasdef;
}

/*
 * Returns true if the view has the live table's columns, in their order and with their
 * types, and three more.
 */
static bool
is_obvious_view(const TableFacts *live, const TableFacts *view)
{
	const FormData_pg_attribute *column;
	int			n = 0;
	int			i = 0;

	while ((column = next_column(live, &i)) != NULL)
	{
		const FormData_pg_attribute *shown = n < view->ncolumns ? &view->columns[n++] : NULL;

		if (shown == NULL || !same_type(column, shown) ||
			strcmp(NameStr(column->attname), NameStr(shown->attname)) != 0)
			return false;
	}
	return view->ncolumns == n + 3 &&
		strcmp(NameStr(view->columns[n].attname), PERIOD_COLUMN) == 0 &&
		strcmp(NameStr(view->columns[n + 1].attname), XID_COLUMN) == 0 &&
		strcmp(NameStr(view->columns[n + 2].attname), MAKER_COLUMN) == 0;
}

/*
 * Returns true if the registered key is the primary key, and the indexes exist that
 * recording needs, of the same operator classes.
 */
static bool
indexes_obvious(const RegistryRow *row, const TableFacts *live, const TableFacts *history,
				const TableFacts *tracking)
{
	List	   *tracking_key = NIL;
	Oid			classes[INDEX_MAX_KEYS];
	int			n = list_length(row->key);
	int			i;

	if (!has_index(live, row->key, INDEX_PRIMARY, classes) ||
		!has_index(history, row->key, INDEX_PLAIN, classes) ||
		!has_index(history, list_make1(PERIOD_COLUMN), INDEX_PLAIN, NULL) ||
		!has_index(history, list_make1(XID_COLUMN), INDEX_PLAIN, NULL))
		return false;
	if (tracking == NULL)
		return true;
	for (i = 0; i < n; i++)
	{
		const FormData_pg_attribute *key = column_named(live, list_nth(row->key, i));
		const FormData_pg_attribute *column = column_named(tracking, naming_key_column(n, i));

		if (key == NULL || column == NULL || !same_type(key, column))
			return false;
		tracking_key = lappend(tracking_key, naming_key_column(n, i));
	}
	return has_index(tracking, tracking_key, INDEX_UNIQUE, classes);
}

/*
 * Returns true if there is a valid index of the kind on just these columns.  The classes
 * are those of the primary key, which sets them; NULL: any.
 */
static bool
has_index(const TableFacts *table, List *names, IndexKind kind, Oid *classes)
{
	Relation	indexes = table_open(IndexRelationId, AccessShareLock);
	bool		found = false;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table->relid));
	scan = systable_beginscan(indexes, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		found = form->indisvalid && heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
			(kind == INDEX_PRIMARY ? form->indisprimary :
			 form->indisunique == (kind == INDEX_UNIQUE) && form->indimmediate &&
			 form->indnatts == form->indnkeyatts) &&
			is_index_on(tuple, RelationGetDescr(indexes), table, names,
						kind == INDEX_PRIMARY, classes);
	}
	systable_endscan(scan);
	table_close(indexes, AccessShareLock);
	return found;
}

static bool
is_index_on(HeapTuple index, TupleDesc desc, const TableFacts *table, List *names,
			bool set, Oid *classes)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(index);
	bool		isnull;
	oidvector  *its = (oidvector *) DatumGetPointer(heap_getattr(index, Anum_pg_index_indclass,
																 desc, &isnull));
	int			i;

	if (form->indnkeyatts != list_length(names))
		return false;
	for (i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber	attnum = form->indkey.values[i];

		if (attnum <= 0 || attnum > table->ncolumns ||
			strcmp(NameStr(table->columns[attnum - 1].attname), list_nth(names, i)) != 0)
			return false;
		if (set)
			classes[i] = its->values[i];
		else if (classes && classes[i] != its->values[i])
			return false;
	}
	return true;
}

/*
 * derived.c
 *		The tables that belong to a live table.
 *
 * They are the live table's owner's from the beginning, with the rights that
 * security.c gives.
 *
 * The caller holds at least SHARE ROW EXCLUSIVE on the live table, before any
 * lock on what is derived from it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

static Oid	create_table(Relation live, const char *name, char persistence,
						 List *columns, List *options);
static List *history_columns(Relation live, List *columns, TupleDesc names);
static List *add_history_column(Relation live, List *columns, const char *name);
static TableColumn *column_of(char *name, Oid type, const char *constraints);
static void copy_storage(Relation live, Oid history);
static bool has_default(Oid relid, const char *name);
static bool has_column(Oid relid, const char *name, Oid type);
static int	count_tracking_columns(Oid relid, int *others);

/*
 * Make X__history, without indexes.  Returns its OID.
 *
 * The columns are in the live table's order, with the history's own two last.  Where
 * it is to inherit from a parent's history, the parent's columns come first, in their
 * order: so does a restore make them, and pg_dump --inserts names no columns.
 */
Oid
derived_create_history(Relation live, Oid parent)
{
	List	   *columns = NIL;
	Oid			history;

	if (OidIsValid(parent))
	{
		Relation	parent_rel = table_open(parent, AccessShareLock);

		columns = history_columns(live, columns, RelationGetDescr(parent_rel));
		table_close(parent_rel, NoLock);
	}
	columns = history_columns(live, columns, RelationGetDescr(live));
	columns = add_history_column(live, columns, PERIOD_COLUMN);
	columns = add_history_column(live, columns, XID_COLUMN);

	history = create_table(live, naming_history_table(RelationGetRelid(live)),
						   RELPERSISTENCE_PERMANENT, columns, NIL);
	copy_storage(live, history);
	ddl_alter_table(history, false, "REPLICA IDENTITY FULL");
	return history;
}

/* Add those of the history's columns that are named here, and are not there yet. */
static List *
history_columns(Relation live, List *columns, TupleDesc names)
{
	int			i;

	for (i = 0; i < names->natts; i++)
		if (!TupleDescAttr(names, i)->attisdropped)
			columns = add_history_column(live, columns, NameStr(TupleDescAttr(names, i)->attname));
	return columns;
}

/* Add one, if a history of the live table has it. */
static List *
add_history_column(Relation live, List *columns, const char *name)
{
	Form_pg_attribute att = columns_find(live, name);
	ListCell   *lc;

	foreach(lc, columns)
		if (strcmp(((TableColumn *) lfirst(lc))->name, name) == 0)
			return columns;
	if (strcmp(name, PERIOD_COLUMN) == 0)
		return lappend(columns, column_of(PERIOD_COLUMN, TSTZRANGEOID, " NOT NULL DEFAULT "
										  "pg_catalog.tstzrange(CURRENT_TIMESTAMP, NULL)"));
	if (strcmp(name, XID_COLUMN) == 0)
		return lappend(columns, column_of(XID_COLUMN, INT8OID, " NOT NULL DEFAULT "
										  "pg_catalog.txid_current()"));
	return att ? lappend(columns, derived_column_like(att, pstrdup(name), "")) : columns;
}

/*
 * Make X__tracking with its unique index, which is its replica identity; loose: with
 * one that is not (fit_is_loose).  An unlogged table's tracking table is unlogged: a crash empties both.
 */
Oid
derived_create_tracking(Relation live, List *key, bool loose)
{
	List	   *columns = NIL;
	ListCell   *lc;
	Oid			tracking;
	int			i = 0;

	foreach(lc, key)
		columns = lappend(columns, derived_column_like(columns_find(live, lfirst(lc)),
											   tracking_key_column(list_length(key), i++),
											   " NOT NULL"));
	columns = lappend(columns, column_of(EDITION_COLUMN, TIMESTAMPTZOID, " NOT NULL"));
	columns = lappend(columns, column_of(TRACKING_XID_COLUMN, INT8OID, " NOT NULL"));

	/* room for updates of the edition time beside the row (HOT) */
	tracking = create_table(live, naming_tracking_table(RelationGetRelid(live)),
							live->rd_rel->relpersistence, columns,
							list_make1(makeDefElem("fillfactor", (Node *) makeInteger(90), -1)));
	if (loose)
		indexes_loosen_tracking(live, tracking, key);
	else
		indexes_create_tracking(live, tracking, key);
	return tracking;
}

/* Drop a derived table; what a user has built on it is an error. */
void
derived_drop(Oid relid)
{
	derived_drop_with(relid, false);
}

/* The same; with cascade what depends on it goes as well. */
void
derived_drop_with(Oid relid, bool cascade)
{
	if (OidIsValid(relid) && get_rel_name(relid) != NULL)
		catalog_drop(RelationRelationId, relid, cascade);
}

/* Do we hold the lock on the table, or a stronger one? */
bool
derived_is_locked(Oid relid, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	for (; mode <= AccessExclusiveLock; mode++)
		if (LockHeldByMeCompat(&tag, mode))
			return true;
	return false;
}

/*
 * Make the tracking table logged or unlogged as the live table is, so that a
 * crash empties both or none.  Takes ACCESS EXCLUSIVE on it where it is not.
 */
void
derived_copy_persistence(Oid live, Oid tracking)
{
	char		persistence = get_rel_persistence(live);

	if (get_rel_persistence(tracking) != persistence)
		ddl_alter_table(tracking, false, persistence == RELPERSISTENCE_UNLOGGED ?
						"SET UNLOGGED" : "SET LOGGED");
}

/* Add a column like att (of the live table, or a parent's history). */
void
derived_add_column(Oid relid, Form_pg_attribute att)
{
	FormData_pg_attribute copy;
	Oid			type;
	int32		typmod;

	/* the relation's descriptor may move while DDL runs */
	memcpy(&copy, att, ATTRIBUTE_FIXED_PART_SIZE);
	columns_base_type(&copy, &type, &typmod);
	catalog_add_column(relid, NameStr(copy.attname), type, typmod, copy.attcollation);
	derived_copy_storage(relid, &copy, NameStr(copy.attname));
}

/* Give the named column the storage and compression of att. */
void
derived_copy_storage(Oid relid, Form_pg_attribute att, const char *name)
{
	char		compression = attribute_compression_compat(att);
	const char *storage = NULL;
	Oid			type;
	int32		typmod;

	columns_base_type(att, &type, &typmod);
	if (att->attstorage != get_typstorage(type))
		switch (att->attstorage)
		{
			case TYPSTORAGE_PLAIN:
				storage = "PLAIN";
				break;
			case TYPSTORAGE_EXTERNAL:
				storage = "EXTERNAL";
				break;
			case TYPSTORAGE_EXTENDED:
				storage = "EXTENDED";
				break;
			case TYPSTORAGE_MAIN:
				storage = "MAIN";
				break;
		}
	if (storage)
		catalog_set_column_storage(relid, name, storage);
	if (compression != '\0')
		catalog_set_column_compression(relid, name, compression == 'l' ? "lz4" : "pglz");
}

/*
 * The relation of that name and kind beside the live table, if it belongs to
 * the live table's owner.
 */
Oid
derived_find(Oid live, const char *name, char relkind)
{
	Oid			relid = get_relname_relid(name, get_rel_namespace(live));

	if (!OidIsValid(relid) || get_rel_relkind(relid) != relkind ||
		security_owner_of(relid) != security_owner_of(live))
		return InvalidOid;
	return relid;
}

/* Has the table the columns that make it a history table? */
bool
derived_is_history(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_RELATION &&
		has_column(relid, PERIOD_COLUMN, TSTZRANGEOID) &&
		has_column(relid, XID_COLUMN, INT8OID);
}

/*
 * Is it a history table that was kept, not just one that looks like it: have
 * the two columns the defaults that a history table has?
 */
bool
derived_was_history(Oid relid)
{
	return derived_is_history(relid) &&
		has_default(relid, PERIOD_COLUMN) && has_default(relid, XID_COLUMN);
}

/* Has the table just the columns of a tracking table? */
bool
derived_is_tracking(Oid relid)
{
	int			others;

	return count_tracking_columns(relid, &others) > 0 && others == 2;
}

/* Has it those columns, and maybe more? */
bool
derived_serves_tracking(Oid relid)
{
	int			others;

	return count_tracking_columns(relid, &others) > 0;
}

/* How many key columns has the tracking table, and how many others? 0 for no such table. */
static int
count_tracking_columns(Oid relid, int *others)
{
	Relation	rel;
	int			keys = 0;
	int			i;

	*others = 0;
	if (get_rel_relkind(relid) != RELKIND_RELATION ||
		!has_column(relid, EDITION_COLUMN, TIMESTAMPTZOID) ||
		!has_column(relid, TRACKING_XID_COLUMN, INT8OID))
		return 0;

	rel = table_open(relid, AccessShareLock);
	for (i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped)
			continue;
		if (strncmp(NameStr(att->attname), "live_pk", strlen("live_pk")) == 0)
			keys++;
		else
			(*others)++;
	}
	table_close(rel, NoLock);
	return keys;
}

/*
 * Error out if the table has a tracking table that has not the columns of one: it
 * may be any table, and is not ours to replace.  sqlstate 0 for the fitting one.
 */
void
derived_check_tracking(Oid live, Oid tracking, int sqlstate)
{
	if (OidIsValid(tracking) && get_rel_name(tracking) != NULL &&
		!derived_serves_tracking(tracking))
		ereport(ERROR,
				(errcode(sqlstate ? sqlstate : ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" has not the columns of the tracking table of table \"%s\", which it should be",
						get_rel_name(tracking), get_rel_name(live)),
				 errhint("%s", derived_tracking_hint(live, tracking))));
}

/* Error out if the history or the tracking table is not there; sqlstate 0 for the fitting one. */
void
derived_check_there(const RegistryRow *row, int sqlstate)
{
	if (get_rel_name(row->history) == NULL)
		derived_refuse_gone(row->live, false, sqlstate);
	if (OidIsValid(row->tracking) && get_rel_name(row->tracking) == NULL)
		derived_refuse_gone(row->live, true, sqlstate);
}

void
derived_refuse_gone(Oid live, bool tracking, int sqlstate)
{
	const char *argument = quote_literal_cstr(naming_quoted(live));

	if (sqlstate == 0)
		sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	if (tracking)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("tracking table of table \"%s\" is gone", get_rel_name(live)),
				 errhint("SELECT %s(%s::regclass) makes it anew.",
						 naming_quoted_in(registry_namespace(), "repair_history"), argument)));
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("history table of table \"%s\" is gone", get_rel_name(live)),
			 errhint("SELECT %s(%s::regclass) begins a new one. SELECT %s(%s::regclass) ends tracking the table.",
					 naming_quoted_in(registry_namespace(), "repair_history"), argument,
					 drop_function_name(false), argument)));
}

/* What gives the live table a new tracking table instead of this one; palloc'd. */
char *
derived_tracking_hint(Oid live, Oid tracking)
{
	return psprintf("If nothing else needs it: SELECT %s(%s::regclass); DROP %s %s CASCADE; then enable tracking again.",
					naming_quoted_in(registry_namespace(),
									 "disable_history_tracking_for_table"),
					naming_argument(live),
					get_rel_relkind(tracking) == RELKIND_VIEW ? "VIEW" : "TABLE",
					naming_quoted(tracking));
}

static Oid
create_table(Relation live, const char *name, char persistence, List *columns,
			 List *options)
{
	Oid			relid = catalog_create_table(RelationGetNamespace(live), name,
											 live->rd_rel->relowner, persistence,
											 columns, options);

	security_copy_select(RelationGetRelid(live), relid);
	row_security_raise_one(RelationGetRelid(live), relid);
	return relid;
}

/* A column of that name with att's type below domains; palloc'd. */
TableColumn *
derived_column_like(Form_pg_attribute att, char *name, const char *constraints)
{
	TableColumn *column = column_of(name, InvalidOid, constraints);

	columns_base_type(att, &column->type, &column->typmod);
	column->collation = att->attcollation;
	return column;
}

static TableColumn *
column_of(char *name, Oid type, const char *constraints)
{
	TableColumn *column = palloc(sizeof(TableColumn));

	column->name = name;
	column->type = type;
	column->typmod = -1;
	column->collation = InvalidOid;
	column->constraints = constraints;
	return column;
}

static void
copy_storage(Relation live, Oid history)
{
	TupleDesc	desc = RelationGetDescr(live);
	int			i;

	for (i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			derived_copy_storage(history, TupleDescAttr(desc, i),
								 NameStr(TupleDescAttr(desc, i)->attname));
}

static bool
has_column(Oid relid, const char *name, Oid type)
{
	AttrNumber	attno = get_attnum(relid, name);

	return attno != InvalidAttrNumber &&
		(!OidIsValid(type) || get_atttype(relid, attno) == type);
}

static bool
has_default(Oid relid, const char *name)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, name);
	bool		found;

	if (!HeapTupleIsValid(tuple))
		return false;
	found = ((Form_pg_attribute) GETSTRUCT(tuple))->atthasdef;
	ReleaseSysCache(tuple);
	return found;
}

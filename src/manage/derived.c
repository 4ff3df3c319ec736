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
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"
#include "compat.h"

static Oid	create_table(Relation live, const char *name, char persistence,
						 List *columns, List *options);
static List *history_columns(Relation live, List *columns, TupleDesc names);
static List *add_history_column(Relation live, List *columns, const char *name);
static TableColumn *column_of(char *name, Oid type, const char *constraints);
static List *histories_lacking(Oid history, const char *column);
static void note_added(List *histories, const char *column);
static void copy_storage(Relation live, Oid history);

/*
 * Make X__history, without indexes.  Returns its OID.  with_maker: it is one of a
 * table with a tracking table, and has a column for who made a version.
 *
 * The columns are in the live table's order, with the history's own last.  Where
 * it is to inherit from a parent's history, the parent's columns come first, in their
 * order: so does a restore make them, and pg_dump --inserts names no columns.
 */
Oid
derived_create_history(Relation live, Oid parent, bool with_maker)
{
	List	   *columns = NIL;
	Oid			history;

	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	if (OidIsValid(parent))
	{
		Relation	parent_rel = table_open(parent, AccessShareLock);

		columns = history_columns(live, columns, RelationGetDescr(parent_rel));
		table_close(parent_rel, NoLock);
	}
	columns = history_columns(live, columns, RelationGetDescr(live));
	columns = add_history_column(live, columns, PERIOD_COLUMN);
	columns = add_history_column(live, columns, XID_COLUMN);
	if (with_maker)
		columns = add_history_column(live, columns, MAKER_COLUMN);

	history = create_table(live, naming_history_table(RelationGetRelid(live)),
						   RELPERSISTENCE_PERMANENT, columns, NIL);
	copy_storage(live, history);
	ddl_alter_table(history, false, "REPLICA IDENTITY FULL");

	/* of a table that had its OID, and was dropped by somebody else */
	reach_forget(history);
	since_forget(history);
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
	if (att == NULL && strcmp(name, MAKER_COLUMN) == 0)
		return lappend(columns, column_of(MAKER_COLUMN, INT8OID, ""));
	return att ? lappend(columns, derived_column_like(att, pstrdup(name), "")) : columns;
}

/*
 * Make X__tracking with its unique index, which is its replica identity; loose: with
 * one that is not (indexes_tracking_is_loose).  An unlogged table's tracking table is unlogged: a crash empties both.
 */
Oid
derived_create_tracking(Relation live, List *key, bool loose)
{
	List	   *columns = NIL;
	ListCell   *lc;
	Oid			tracking;
	int			i = 0;

	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	foreach(lc, key)
		columns = lappend(columns, derived_column_like(columns_find(live, lfirst(lc)),
													   naming_key_column(list_length(key), i++),
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
	comments_put_tracking(tracking, list_length(key));
	return tracking;
}

/*
 * Returns true if the history should have a column for who made a version, and has
 * none: it is older than that column, or was kept by a table with a time column.  A live
 * table that has a column of that name from before keeps it for itself.
 */
bool
derived_lacks_maker(const RegistryRow *row)
{
	AttrNumber	attnum = get_attnum(row->history, MAKER_COLUMN);

	return OidIsValid(row->tracking) &&
		get_attnum(row->live, MAKER_COLUMN) == InvalidAttrNumber &&
		(attnum == InvalidAttrNumber || get_atttype(row->history, attnum) != INT8OID);
}

/*
 * Add it, to histories of children, too; no row is rewritten.  Takes ACCESS EXCLUSIVE on
 * them, if it is missing.
 */
void
derived_add_maker(const RegistryRow *row)
{
	Assert(relation_is_locked(row->live, ShareRowExclusiveLock));
	if (!derived_lacks_maker(row))
		return;
	if (get_attnum(row->history, MAKER_COLUMN) != InvalidAttrNumber)
		kept_columns_move(row->history, MAKER_COLUMN, InvalidOid);
	catalog_add_column(row->history, MAKER_COLUMN, INT8OID, -1, InvalidOid);
	remote_columns_follow(row->history);
	comments_put(row);
}

/* Drop a derived table; what a user has built on it is an error. */
void
derived_drop(Oid relid)
{
	derived_drop_with(relid, false);
}

/*
 * Drop a derived table; with cascade, what depends on it as well.  The segments of a history
 * go first.
 */
void
derived_drop_with(Oid relid, bool cascade)
{
	ListCell   *lc;

	if (!OidIsValid(relid) || get_rel_name(relid) == NULL)
		return;
	left_notice(relid);
	foreach(lc, segments_relids(relid))
		catalog_drop(RelationRelationId, lfirst_oid(lc), cascade);
	catalog_drop(RelationRelationId, relid, cascade);
	reach_forget(relid);
	since_forget(relid);
}

/*
 * Make the tracking table logged or unlogged as the live table is, so that a
 * crash empties both or none.  Takes ACCESS EXCLUSIVE on it where it is not.
 */
void
derived_copy_persistence(Oid live, Oid tracking)
{
	char		persistence = get_rel_persistence(live);

	Assert(relation_is_locked(live, ShareRowExclusiveLock));
	if (get_rel_persistence(tracking) != persistence)
		ddl_alter_table(tracking, false, persistence == RELPERSISTENCE_UNLOGGED ?
						"SET UNLOGGED" : "SET LOGGED");
}

/* Add a column like att (of the live table, or a parent's history). */
void
derived_add_column(Oid relid, Form_pg_attribute att)
{
	FormData_pg_attribute copy;
	List	   *lacking;
	Oid			type;
	int32		typmod;

	/* the relation's descriptor may move while DDL runs */
	memcpy(&copy, att, ATTRIBUTE_FIXED_PART_SIZE);
	types_below_domains(&copy, &type, &typmod);
	lacking = histories_lacking(relid, NameStr(copy.attname));
	catalog_add_column(relid, NameStr(copy.attname), type, typmod, copy.attcollation);
	remote_columns_follow(relid);
	derived_copy_storage(relid, &copy, NameStr(copy.attname));
	note_added(lacking, NameStr(copy.attname));
}

/* The histories, this one and those below it, that have no such column. */
static List *
histories_lacking(Oid history, const char *column)
{
	List	   *lacking = NIL;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(history, NoLock, NULL))
		if (!OidIsValid(segments_head(lfirst_oid(lc))) &&
			get_attnum(lfirst_oid(lc), column) == InvalidAttrNumber)
			lacking = lappend_oid(lacking, lfirst_oid(lc));
	return lacking;
}

/*
 * Note when the histories' column was added: just now.  The caller's lock on the live table keeps
 * writers away: whoever has stored a version before has committed.
 */
static void
note_added(List *histories, const char *column)
{
	Since		since = {.what = SINCE_COLUMN,.since = GetCurrentTimestamp()};
	ListCell   *lc;

	PushActiveSnapshot(GetLatestSnapshot());
	since.snapshot = DatumGetCString(DirectFunctionCall1(pg_snapshot_out,
														 DirectFunctionCall1(pg_current_snapshot, (Datum) 0)));
	PopActiveSnapshot();
	foreach(lc, histories)
	{
		since.column = get_attnum(lfirst_oid(lc), column);
		if (since.column == InvalidAttrNumber)
			continue;
		since_note(lfirst_oid(lc), &since);
		comments_put_added(lfirst_oid(lc), column, &since);
	}
}

/*
 * Add to the history the live columns that it lacks; tell: with a NOTICE.  Takes SHARE ROW
 * EXCLUSIVE on the history, or ACCESS EXCLUSIVE where it lacks any; the caller has locked
 * the live table.
 */
void
derived_add_lacking_columns(const RegistryRow *row, bool tell)
{
	Relation	live = table_open(row->live, NoLock);
	Relation	history = table_open(row->history, tell ? ShareRowExclusiveLock : AccessShareLock);
	List	   *differences = fit_history(live, history);
	ListCell   *lc;

	Assert(CheckRelationLockedByMe(live, ShareRowExclusiveLock, true));
	table_close(history, NoLock);
	table_close(live, NoLock);
	foreach(lc, differences)
	{
		Difference *difference = lfirst(lc);

		if (difference->kind != HISTORY_LACKS_COLUMN)
			continue;
		derived_add_column(row->history, &difference->live);
		if (tell)
			ereport(NOTICE,
					(errmsg("added column \"%s\" to history table \"%s\"",
							difference->name, get_rel_name(row->history)),
					 errdetail("Table \"%s\" has the column; older versions have NULL in it.",
							   get_rel_name(row->live))));
	}
}

/* Give the named column the storage and compression of att. */
void
derived_copy_storage(Oid relid, Form_pg_attribute att, const char *name)
{
	char		compression = attribute_compression_compat(att);
	const char *storage = NULL;
	Oid			type;
	int32		typmod;

	types_below_domains(att, &type, &typmod);
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

static Oid
create_table(Relation live, const char *name, char persistence, List *columns,
			 List *options)
{
	Oid			relid = catalog_create_table(RelationGetNamespace(live), name,
											 live->rd_rel->relowner, persistence,
											 columns, options);

	privileges_copy_select(RelationGetRelid(live), relid);
	row_security_raise_one(RelationGetRelid(live), relid);
	return relid;
}

/*
 * The columns of a history that cannot hold the live table's, as TableColumns with the
 * types that they should have; where "only" is given, those for which it is true of the
 * history's column and that type.  Locks: ACCESS SHARE on the history, kept; the caller
 * has locked the live table.
 */
List *
derived_columns_to_widen(Oid live, Oid history,
						 bool (*only) (Form_pg_attribute column, Oid type, int32 typmod))
{
	Relation	live_rel = table_open(live, NoLock);
	Relation	history_rel = table_open(history, AccessShareLock);
	List	   *columns = NIL;
	ListCell   *lc;

	Assert(relation_is_locked(live, ShareRowExclusiveLock));
	foreach(lc, fit_history(live_rel, history_rel))
	{
		Difference *difference = lfirst(lc);

		if (difference->kind == HISTORY_COLUMN_NARROW &&
			(only == NULL || only(&difference->held, difference->type, difference->typmod)))
			columns = lappend(columns, derived_column_like(&difference->live, difference->name, ""));
	}
	table_close(history_rel, NoLock);
	table_close(live_rel, NoLock);
	return columns;
}

/* A column of that name with att's type below domains; palloc'd. */
TableColumn *
derived_column_like(Form_pg_attribute att, char *name, const char *constraints)
{
	TableColumn *column = column_of(name, InvalidOid, constraints);

	types_below_domains(att, &column->type, &column->typmod);
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

/*
 * derived.c
 *		The tables and indexes that belong to a live table.
 *
 * They are made by the bootstrap superuser (ddl.c says why) and handed to the
 * live table's owner at once, with the rights that security.c gives.
 *
 * The index on sys_period is a BRIN index: history is appended in the order in
 * which versions end, and a GiST index would cost several times all the rest of
 * a write.  doc/history.md has the figures, and what a site does that reads
 * more than it writes.
 *
 * The caller holds at least SHARE ROW EXCLUSIVE on the live table, before any
 * lock on what is derived from it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

#define KEY_INDEX		"_history_live_pk_index"
#define PERIOD_INDEX	"_history_sys_period"
#define XID_INDEX		"_history_exec_transaction_id"
#define TRACKING_INDEX	"_tracking_live_pk_index"

static List *add_own(List *own, Oid index, const char *label);
static Oid	create_table(Relation live, const char *name, const char *persistence,
						 const char *columns, const char *options);
static void hand_over(Relation live, Oid derived);
static void copy_storage(Relation live, Oid history);
static void create_key_index(Relation live, Oid table, const char *prefix,
							 const char *label, List *columns);
static Oid	find_simple_index(Relation rel, const char *column, Oid am);
static bool index_is(Relation index, Relation rel, List *columns, Oid am);
static bool has_default(Oid relid, const char *name);
static bool has_column(Oid relid, const char *name, Oid type);

/* Make X__history, without indexes.  Returns its OID. */
Oid
derived_create_history(Relation live)
{
	TupleDesc	desc = RelationGetDescr(live);
	StringInfoData columns;
	Oid			history;
	int			i;

	initStringInfo(&columns);
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			appendStringInfo(&columns, "%s %s, ",
							 quote_identifier(NameStr(att->attname)),
							 columns_type_sql(att));
	}
	appendStringInfo(&columns,
					 "%s pg_catalog.tstzrange NOT NULL"
					 " DEFAULT pg_catalog.tstzrange(CURRENT_TIMESTAMP, NULL), "
					 "%s pg_catalog.int8 NOT NULL DEFAULT pg_catalog.txid_current()",
					 PERIOD_COLUMN, XID_COLUMN);

	history = create_table(live, naming_history_table(RelationGetRelid(live)),
						   "", columns.data, "");
	copy_storage(live, history);
	ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER TABLE %s REPLICA IDENTITY FULL",
				naming_quoted(history));
	return history;
}

/*
 * Make X__tracking with its unique index, which is its replica identity.
 * An unlogged table's tracking table is unlogged: a crash empties both.
 */
Oid
derived_create_tracking(Relation live, List *key)
{
	StringInfoData columns;
	ListCell   *lc;
	Oid			tracking;
	int			i = 0;

	initStringInfo(&columns);
	foreach(lc, key)
	{
		char	   *name = tracking_key_column(list_length(key), i++);

		appendStringInfo(&columns, "%s %s NOT NULL, ", name,
						 columns_type_sql(columns_find(live, lfirst(lc))));
	}
	appendStringInfo(&columns, "%s pg_catalog.timestamptz NOT NULL, %s pg_catalog.int8 NOT NULL",
					 EDITION_COLUMN, TRACKING_XID_COLUMN);

	/* room for updates of the edition time beside the row (HOT) */
	tracking = create_table(live, naming_tracking_table(RelationGetRelid(live)),
							live->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED ?
							"UNLOGGED " : "",
							columns.data, " WITH (fillfactor = 90)");
	derived_create_tracking_index(live, tracking, key);
	return tracking;
}

/* Make the unique index, the table's replica identity, unless it is there. */
void
derived_create_tracking_index(Relation live, Oid tracking, List *key)
{
	Relation	rel = table_open(tracking, ShareLock);
	List	   *names = NIL;
	Oid			index;
	int			i;

	for (i = 0; i < list_length(key); i++)
		names = lappend(names, tracking_key_column(list_length(key), i));
	index = derived_find_key_index(rel, names, true, NULL);
	table_close(rel, NoLock);
	if (OidIsValid(index))
		return;

	create_key_index(live, tracking, "UNIQUE ", TRACKING_INDEX, names);
	rel = table_open(tracking, NoLock);
	index = derived_find_key_index(rel, names, true, NULL);
	table_close(rel, NoLock);
	ddl_execute(BOOTSTRAP_SUPERUSERID,
				"ALTER TABLE %s REPLICA IDENTITY USING INDEX %s",
				naming_quoted(tracking), quote_identifier(get_rel_name(index)));
}

/* Make those of the three indexes that the history table does not have. */
void
derived_create_indexes(Relation live, Oid history, List *key)
{
	Relation	rel = table_open(history, ShareLock);
	Oid			relid = RelationGetRelid(live);
	bool		has_key = OidIsValid(derived_find_key_index(rel, key, false, NULL));
	bool		has_period = OidIsValid(find_simple_index(rel, PERIOD_COLUMN, InvalidOid));
	bool		has_xid = OidIsValid(find_simple_index(rel, XID_COLUMN, BTREE_AM_OID));
	char	   *table = naming_quoted(history);

	table_close(rel, NoLock);

	if (!has_key)
		create_key_index(live, history, "", KEY_INDEX, key);
	if (!has_period)
		ddl_execute(BOOTSTRAP_SUPERUSERID,
					"CREATE INDEX %s ON %s USING brin (%s) WITH (pages_per_range = 32, autosummarize = on)",
					quote_identifier(naming_free_index(relid, RelationGetNamespace(live),
													   PERIOD_INDEX)),
					table, PERIOD_COLUMN);
	if (!has_xid)
		ddl_execute(BOOTSTRAP_SUPERUSERID, "CREATE INDEX %s ON %s (%s)",
					quote_identifier(naming_free_index(relid, RelationGetNamespace(live),
													   XID_INDEX)),
					table, XID_COLUMN);
}

/* Drop the three indexes. */
void
derived_drop_indexes(Oid history, List *key)
{
	Relation	rel = table_open(history, AccessExclusiveLock);
	Oid			indexes[2];
	int			i;

	indexes[0] = find_simple_index(rel, PERIOD_COLUMN, BRIN_AM_OID);
	indexes[1] = find_simple_index(rel, XID_COLUMN, BTREE_AM_OID);
	table_close(rel, NoLock);

	derived_drop_key_index(history, key);
	for (i = 0; i < lengthof(indexes); i++)
		if (OidIsValid(indexes[i]))
			ddl_execute(BOOTSTRAP_SUPERUSERID, "DROP INDEX %s",
						naming_quoted(indexes[i]));
}

void
derived_drop_key_index(Oid history, List *key)
{
	Relation	rel = table_open(history, AccessExclusiveLock);
	Oid			index = derived_find_key_index(rel, key, false, NULL);

	table_close(rel, NoLock);
	if (OidIsValid(index))
		ddl_execute(BOOTSTRAP_SUPERUSERID, "DROP INDEX %s", naming_quoted(index));
}

/* Drop a derived table; what a user has built on it is an error. */
void
derived_drop(Oid relid)
{
	if (OidIsValid(relid) && get_rel_name(relid) != NULL)
		ddl_execute(BOOTSTRAP_SUPERUSERID, "DROP TABLE %s", naming_quoted(relid));
}

/* Put a derived table under its parent's; columns it lacks are added. */
void
derived_inherit(Oid child, Oid parent)
{
	Relation	child_rel;
	Relation	parent_rel;
	List	   *missing = NIL;
	ListCell   *lc;
	int			i;

	if (list_member_oid(find_inheritance_children(parent, AccessShareLock), child))
		return;

	child_rel = table_open(child, AccessShareLock);
	parent_rel = table_open(parent, AccessShareLock);
	for (i = 0; i < RelationGetNumberOfAttributes(parent_rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(parent_rel), i);

		if (!att->attisdropped &&
			columns_find(child_rel, NameStr(att->attname)) == NULL)
			missing = lappend(missing, att);
	}
	foreach(lc, missing)
		derived_add_column(child, lfirst(lc));
	table_close(parent_rel, NoLock);
	table_close(child_rel, NoLock);

	ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER TABLE %s INHERIT %s",
				naming_quoted(child), naming_quoted(parent));
}

void
derived_disinherit(Oid child, Oid parent)
{
	ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER TABLE %s NO INHERIT %s",
				naming_quoted(child), naming_quoted(parent));
}

/* Is the column there because a parent has it? */
bool
derived_column_is_inherited(Oid relid, AttrNumber attnum)
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

/* The indexes of a history or tracking table that we have made (OwnIndex). */
List *
derived_own_indexes(Oid live, Oid table)
{
	RegistryRow *row = registry_get(live);
	Relation	rel = table_open(table, AccessShareLock);
	List	   *own = NIL;

	if (table == row->tracking)
	{
		List	   *names = NIL;
		int			i;

		for (i = 0; i < list_length(row->key); i++)
			names = lappend(names, tracking_key_column(list_length(row->key), i));
		own = add_own(own, derived_find_key_index(rel, names, true, NULL),
					  TRACKING_INDEX);
	}
	else
	{
		own = add_own(own, derived_find_key_index(rel, row->key, false, NULL), KEY_INDEX);
		own = add_own(own, find_simple_index(rel, PERIOD_COLUMN, BRIN_AM_OID), PERIOD_INDEX);
		own = add_own(own, find_simple_index(rel, XID_COLUMN, BTREE_AM_OID), XID_INDEX);
	}
	table_close(rel, NoLock);
	return own;
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

/* The tables that relid inherits from, by sequence number. */
List *
derived_parents(Oid relid)
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
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return parents;
}

/* Add a column like att (of the live table, or a parent's history). */
void
derived_add_column(Oid relid, Form_pg_attribute att)
{
	ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER TABLE %s ADD COLUMN %s %s",
				naming_quoted(relid), quote_identifier(NameStr(att->attname)),
				columns_type_sql(att));
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
	Relation	rel;
	int			keys = 0;
	int			others = 0;
	int			i;

	if (get_rel_relkind(relid) != RELKIND_RELATION ||
		!has_column(relid, EDITION_COLUMN, TIMESTAMPTZOID) ||
		!has_column(relid, TRACKING_XID_COLUMN, INT8OID))
		return false;

	rel = table_open(relid, AccessShareLock);
	for (i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped)
			continue;
		if (strncmp(NameStr(att->attname), "live_pk", strlen("live_pk")) == 0)
			keys++;
		else
			others++;
	}
	table_close(rel, NoLock);
	return keys > 0 && others == 2;
}

/*
 * A plain btree index on just these columns, in this order, whose equality is
 * that of the scan key (unless NULL).  InvalidOid if there is none.
 */
Oid
derived_find_key_index(Relation rel, List *columns, bool unique, ScanKey scankey)
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

static Oid
create_table(Relation live, const char *name, const char *persistence,
			 const char *columns, const char *options)
{
	Oid			namespace = RelationGetNamespace(live);
	Oid			relid;

	ddl_execute(BOOTSTRAP_SUPERUSERID, "CREATE %sTABLE %s (%s)%s", persistence,
				naming_quoted_in(namespace, name), columns, options);
	relid = get_relname_relid(name, namespace);
	hand_over(live, relid);
	return relid;
}

/* To the live table's owner, readable by its readers, under its policies. */
static void
hand_over(Relation live, Oid derived)
{
	Oid			owner = live->rd_rel->relowner;

	if (owner != BOOTSTRAP_SUPERUSERID)
		ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER TABLE %s OWNER TO %s",
					naming_quoted(derived),
					quote_identifier(GetUserNameFromId(owner, false)));
	security_copy_select(RelationGetRelid(live), derived);
	security_copy_row_security(RelationGetRelid(live), derived);
}

static void
copy_storage(Relation live, Oid history)
{
	TupleDesc	desc = RelationGetDescr(live);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *storage = NULL;
		Oid			type;
		int32		typmod;

		if (att->attisdropped)
			continue;
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
			ddl_execute(BOOTSTRAP_SUPERUSERID,
						"ALTER TABLE %s ALTER COLUMN %s SET STORAGE %s",
						naming_quoted(history),
						quote_identifier(NameStr(att->attname)), storage);
		if (attribute_compression_compat(att) != '\0')
			ddl_execute(BOOTSTRAP_SUPERUSERID,
						"ALTER TABLE %s ALTER COLUMN %s SET COMPRESSION %s",
						naming_quoted(history),
						quote_identifier(NameStr(att->attname)),
						attribute_compression_compat(att) == 'l' ? "lz4" : "pglz");
	}
}

/* An index on the key, comparing as the live table's primary key does. */
static void
create_key_index(Relation live, Oid table, const char *prefix,
				 const char *label, List *columns)
{
	Relation	primary = index_open(columns_primary_key_index(live), AccessShareLock);
	oidvector  *classes;
	StringInfoData sql;
	ListCell   *lc;
	Datum		datum;
	bool		isnull;
	int			i = 0;

	datum = SysCacheGetAttr(INDEXRELID, primary->rd_indextuple,
							Anum_pg_index_indclass, &isnull);
	classes = (oidvector *) DatumGetPointer(datum);

	initStringInfo(&sql);
	foreach(lc, columns)
	{
		HeapTuple	tuple = SearchSysCache1(CLAOID,
											ObjectIdGetDatum(classes->values[i]));
		Form_pg_opclass opclass;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for operator class %u", classes->values[i]);
		opclass = (Form_pg_opclass) GETSTRUCT(tuple);
		appendStringInfo(&sql, "%s%s %s", i ? ", " : "",
						 quote_identifier(lfirst(lc)),
						 quote_qualified_identifier(get_namespace_name(opclass->opcnamespace),
													NameStr(opclass->opcname)));
		ReleaseSysCache(tuple);
		i++;
	}
	index_close(primary, AccessShareLock);

	ddl_execute(BOOTSTRAP_SUPERUSERID, "CREATE %sINDEX %s ON %s (%s)", prefix,
				quote_identifier(naming_free_index(RelationGetRelid(live),
												   RelationGetNamespace(live), label)),
				naming_quoted(table), sql.data);
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

static bool
index_is(Relation index, Relation rel, List *columns, Oid am)
{
	ListCell   *lc;
	int			i = 0;

	if ((OidIsValid(am) && index->rd_rel->relam != am) ||
		!index->rd_index->indisvalid || !index->rd_index->indimmediate ||
		index->rd_index->indnatts != list_length(columns) ||
		RelationGetIndexPredicate(index) != NIL)
		return false;

	foreach(lc, columns)
	{
		Form_pg_attribute att = columns_find(rel, lfirst(lc));

		if (att == NULL || index->rd_index->indkey.values[i++] != att->attnum)
			return false;
	}
	return true;
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

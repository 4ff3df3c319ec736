/*
 * past_table.c
 *		What is known of the relations whose past is asked for, kept in the session: to find
 *		that out, and to read the SQL of their rows, costs more than to plan a query.
 *
 * Of each it is kept until one of the relations that it depends on changes, or the registry
 * (relcache callback, which only marks).  What a history knows of times is not kept, nor
 * anything that depends on the user.
 *
 * Locks: ACCESS SHARE on history, tracking table, registry and the view of segments.
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "time_machine/time_machine.h"
#include "compat.h"

static HTAB *tables = NULL;

static bool past_table_holds(const PastTable *table);
static void past_table_find(PastTable *table);
static void past_table_fill(PastTable *table);
static RegistryRow *past_table_row(const RegistryRow *row);
static void relation_changed(Datum arg, Oid relid);

void
past_table_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

/*
 * The relation, which the caller has locked; inh: with what inherits from it.  It may be gone
 * with the next call.
 */
PastTable *
past_table(Oid relid, bool inh)
{
	PastTableKey key;
	PastTable  *table;
	bool		found;
	ListCell   *lc;

	memset(&key, 0, sizeof(key));
	key.relid = relid;
	key.inh = inh;
	if (tables == NULL)
	{
		HASHCTL		ctl;

		memset(&ctl, 0, sizeof(ctl));
		ctl.keysize = sizeof(PastTableKey);
		ctl.entrysize = sizeof(PastTable);
		ctl.hcxt = CacheMemoryContext;
		tables = hash_create("catmaid_history tables of the past", 64, &ctl,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	table = hash_search(tables, &key, HASH_FIND, NULL);
	if (table && past_table_holds(table))
	{
		foreach(lc, table->to_lock)
			LockRelationOid(lfirst_oid(lc), AccessShareLock);
		if (past_table_holds(table))
			return table;
	}
	if (table == NULL)
	{
		table = hash_search(tables, &key, HASH_ENTER, &found);
		memset((char *) table + sizeof(PastTableKey), 0, sizeof(PastTable) - sizeof(PastTableKey));
	}
	past_table_find(table);
	return table;
}

static bool
past_table_holds(const PastTable *table)
{
	return table->valid && table->registry_changes == extension_registry_changes();
}

/* Find it all out.  An error leaves it without validity. */
static void
past_table_find(PastTable *table)
{
	if (table->context)
		MemoryContextReset(table->context);
	else
		table->context = AllocSetContextCreate(CacheMemoryContext, "catmaid_history table of the past",
											   ALLOCSET_SMALL_SIZES);
	table->row = NULL;
	table->depends = table->to_lock = table->constraint = table->added = NIL;
	table->rows[false] = table->rows[true] = NULL;

	/* what comes from here on makes it invalid again */
	table->registry_changes = extension_registry_changes();
	table->valid = true;
	PG_TRY();
	{
		past_table_fill(table);
	}
	PG_CATCH();
	{
		table->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void
past_table_fill(PastTable *table)
{
	Oid			relid = table->key.relid;
	RegistryRow *row;
	List	   *to_lock = NIL;
	List	   *depends;
	MemoryContext before;

	table->kind = past_kind(relid, table->key.inh, &row, &table->child);
	table->enabled = row && triggers_enabled(row->live, row);
	depends = lcons_oid(relid, lineage_ancestors(relid));
	if (row)
	{
		to_lock = list_make2_oid(row->history, extension_registry());
		if (OidIsValid(segments_view()))
			to_lock = lappend_oid(to_lock, segments_view());
		if (OidIsValid(row->tracking))
			to_lock = lappend_oid(to_lock, row->tracking);
		depends = list_concat(list_concat(depends, list_copy(to_lock)),
							  find_all_inheritors(row->history, NoLock, NULL));
		depends = lappend_oid(depends, row->live);
	}
	before = MemoryContextSwitchTo(table->context);
	table->row = row ? past_table_row(row) : NULL;
	table->depends = list_copy(depends);
	table->to_lock = list_copy(to_lock);
	MemoryContextSwitchTo(before);
}

static RegistryRow *
past_table_row(const RegistryRow *row)
{
	RegistryRow *copy = palloc(sizeof(RegistryRow));
	ListCell   *lc;

	*copy = *row;
	copy->key = NIL;
	foreach(lc, row->key)
		copy->key = lappend(copy->key, pstrdup(lfirst(lc)));
	copy->time_column = row->time_column ? pstrdup(row->time_column) : NULL;
	copy->txid_column = row->txid_column ? pstrdup(row->txid_column) : NULL;
	if (row->maker_until != 0)
		copy->maker_snapshot = PointerGetDatum(PG_DETOAST_DATUM_COPY(row->maker_snapshot));
	return copy;
}

static void
relation_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	PastTable  *table;

	if (tables == NULL)
		return;
	hash_seq_init(&status, tables);
	while ((table = hash_seq_search(&status)) != NULL)
		/* while it is being found out, nothing is known that it does not depend on */
		if (!OidIsValid(relid) || table->depends == NIL || list_member_oid(table->depends, relid))
			table->valid = false;
}

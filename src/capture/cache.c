/*
 * cache.c
 *		What the triggers need to know of a relation, looked up once.
 *
 * A hash table holds one entry for each relation on which a capture trigger
 * fired in this session: where its history goes, which column is which, and
 * how to look up a key in the live, history and tracking table.  The relcache
 * callback only marks (as pgoutput.c's does); an entry so marked is rebuilt
 * when it is next looked up.  A change of the registry marks them all.
 *
 * An entry's contents live in a memory context of the entry's own, replaced as
 * a whole; what was replaced stays readable until the transaction ends.
 *
 * Building opens the history and tracking tables and keeps ROW EXCLUSIVE on
 * them, as the write that follows would.  The caller has the live relation
 * locked, so nobody can change what is read here: every management function
 * locks the live table against writers first.
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "capture/capture.h"

static HTAB *cache = NULL;

static void cache_sweep(void);
static void cache_invalidate(Datum arg, Oid relid);
static void invalidate_casts(Datum arg, int cacheid, uint32 hash);
static void invalidate_entries(Oid relid);
static bool has_segment(const CaptureRelation *entry, Oid relid);
static Oid	live_table_of(Relation rel);
static void cache_build(CaptureRelation *entry, Relation rel, Oid live, Trigger *trigger);
static void check_arguments(const Trigger *trigger, const RegistryRow *row);
static Relation open_derived(Oid relid, Oid live, bool tracking);
static void refuse_unprotected(Oid live, Oid derived);
static void refuse_time_columns(List *differences, const RegistryRow *row, Relation rel);

void
cache_init(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(CaptureRelation);
	ctl.hcxt = CacheMemoryContext;
	cache = hash_create("catmaid_history capture", 128, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(cache_invalidate, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, invalidate_casts, (Datum) 0);
}

/*
 * What capture must know of rel, on which the trigger fires.
 *
 * Registers the table first if only its registry row is missing.  Errors out,
 * with a hint, if the table has no history or one that cannot hold its rows.
 */
CaptureRelation *
cache_lookup(Relation rel, Trigger *trigger)
{
	Oid			relid = RelationGetRelid(rel);
	CaptureRelation *entry;
	bool		found;

	Assert(CheckRelationLockedByMe(rel, RowExclusiveLock, true));
	entry = hash_search(cache, &relid, HASH_FIND, NULL);
	if (entry && entry->valid)
	{
		/*
		 * Nobody needs a lock on the live table to change the history table
		 * by hand (a column, an index).  Lock first, which takes in what has
		 * been changed; then see whether we know it still.
		 */
		LockRelationOid(entry->history, RowExclusiveLock);
		if (entry->valid && OidIsValid(entry->tracking))
			LockRelationOid(entry->tracking, RowExclusiveLock);
		if (entry->valid)
			return entry;
	}

	if (entry == NULL)
	{
		cache_sweep();
		entry = hash_search(cache, &relid, HASH_ENTER, &found);
		memset((char *) entry + sizeof(Oid), 0,
			   sizeof(CaptureRelation) - sizeof(Oid));
	}
	cache_build(entry, rel, live_table_of(rel), trigger);
	return entry;
}

/*
 * The entry of rel if it is valid, or NULL, without locks on what it writes to: for what
 * depends on rel's columns alone.
 */
CaptureRelation *
cache_peek(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	CaptureRelation *entry = hash_search(cache, &relid, HASH_FIND, NULL);

	return entry && entry->valid ? entry : NULL;
}

/*
 * An entry for a relation that has just ceased to be a partition of the live table; valid
 * in the current transaction.
 */
CaptureRelation *
cache_build_for(Relation rel, Oid live)
{
	CaptureRelation *entry = MemoryContextAllocZero(TopTransactionContext,
													sizeof(CaptureRelation));

	Assert(CheckRelationLockedByMe(rel, RowExclusiveLock, true));
	cache_build(entry, rel, live, NULL);
	MemoryContextSetParent(entry->context, TopTransactionContext);
	return entry;
}

/*
 * Remove the entries of tables that have been dropped, each time that as many
 * entries have come as there were.  Nobody up the stack is using them: a table
 * whose triggers are running cannot be dropped.
 */
static void
cache_sweep(void)
{
	static long next = 16;
	HASH_SEQ_STATUS status;
	CaptureRelation *entry;

	if (hash_get_num_entries(cache) < next)
		return;
	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->valid ||
			SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry->relid)))
			continue;
		if (entry->context)
			MemoryContextDelete(entry->context);
		hash_search(cache, &entry->relid, HASH_REMOVE, NULL);
	}
	next = 2 * hash_get_num_entries(cache) + 16;
}

static Oid
live_table_of(Relation rel)
{
	return lineage_root(RelationGetRelid(rel));
}

static void
cache_invalidate(Datum arg, Oid relid)
{
	extension_forget_registry(relid);
	truncation_relation_changed(relid);
	invalidate_entries(relid);
}

/* Those that have to do with the relation; InvalidOid: all. */
static void
invalidate_entries(Oid relid)
{
	HASH_SEQ_STATUS status;
	CaptureRelation *entry;

	if (OidIsValid(relid))
	{
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry)
			entry->valid = false;
	}

	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (!OidIsValid(relid) || relid == entry->history ||
			relid == entry->tracking || relid == entry->live ||
			relid == entry->registry || list_member_oid(entry->ancestors, relid) ||
			has_segment(entry, relid))
			entry->valid = false;
}

static bool
has_segment(const CaptureRelation *entry, Oid relid)
{
	ListCell   *lc;

	foreach(lc, entry->segments)
		if (((Segment *) lfirst(lc))->relid == relid)
			return true;
	return false;
}

/* A cast came or went: values may become history values in another way. */
static void
invalidate_casts(Datum arg, int cacheid, uint32 hash)
{
	invalidate_entries(InvalidOid);
}

static void
cache_build(CaptureRelation *entry, Relation rel, Oid live, Trigger *trigger)
{
	CaptureRelation new;
	MemoryContext before;
	RegistryRow *row;
	Relation	history;
	Relation	tracking = NULL;

	/* a partition, come since the table has no key any more: its rows do not tell who made them */
	if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("changes of foreign table \"%s\" cannot be recorded",
						RelationGetRelationName(rel)),
				 errhint("Detach the partition from table \"%s\", or disable tracking.",
						 get_rel_name(live))));
	memset(&new, 0, sizeof(new));
	new.relid = RelationGetRelid(rel);
	new.live = live;

	/* child of the caller's context until complete, so that errors free it */
	new.context = AllocSetContextCreate(CurrentMemoryContext,
										"catmaid_history capture",
										ALLOCSET_SMALL_SIZES);
	before = MemoryContextSwitchTo(new.context);

	row = registry_get(new.live);
	if (row == NULL && trigger && registry_register_again(new.live))
		row = registry_get(new.live);
	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has history triggers but no history",
						RelationGetRelationName(rel)),
				 errhint("SELECT %s(%s::regclass%s) creates one, or reuses an existing history table. SELECT %s(%s::regclass) removes the triggers.",
						 hint_function("create_history_table"),
						 naming_argument(new.live),
						 trigger && trigger->tgnargs == 2 ?
						 psprintf(", %s, %s", quote_literal_cstr(trigger->tgargs[0]),
								  quote_literal_cstr(trigger->tgargs[1])) : "",
						 drop_function_name(false),
						 naming_argument(new.live))));

	registry_check_sound(row, 0);
	if (trigger)
		check_arguments(trigger, row);
	new.owner = security_owner_of(new.live);
	new.registry = extension_registry();
	new.history = row->history;
	new.tracking = row->tracking;
	history = open_derived(row->history, new.live, false);
	if (OidIsValid(row->tracking))
		tracking = open_derived(row->tracking, new.live, true);

	refuse_unprotected(new.live, row->history);
	if (tracking)
		refuse_unprotected(new.live, row->tracking);

	new.map = history_map(rel, new.live, history,
						  cache_key_is_held(rel, history, row->key) ? HISTORY_MAP_INCOMPLETE : 0);
	if (tracking)
	{
		derived_check_tracking(new.live, row->tracking, 0);
		new.edition_column = columns_find(tracking, EDITION_COLUMN)->attnum;
		new.edition_txid_column = columns_find(tracking, TRACKING_XID_COLUMN)->attnum;
	}
	else
	{
		refuse_time_columns(fit_time_columns(rel, row->time_column, row->txid_column),
							row, rel);
		new.time_column = columns_find(rel, row->time_column)->attnum;
		new.txid_column = columns_find(rel, row->txid_column)->attnum;
	}
	cache_key_build(&new, rel, row, history, tracking);

	new.history_shape = relation_shape(history, 2, 2,
									   history_map_runs_no_code(new.map));
	new.bypass_executor = relation_shape_bypasses_executor(new.history_shape);
	if (tracking)
	{
		new.tracking_shape = relation_shape(tracking, new.nkeys + 2, 0, true);
		new.bypass_executor &= relation_shape_bypasses_executor(new.tracking_shape);
	}
	if (tracking)
		new.segments = segments_of(new.history);
	new.ancestors = lineage_ancestors(new.relid);
	new.may_defer_inserts = triggers_let_inserts_wait(rel, new.ancestors);
	if (lineage_attached_here(new.relid))
		new.attached_by = GetTopFullTransactionId();

	MemoryContextSwitchTo(before);
	if (tracking)
		table_close(tracking, NoLock);
	table_close(history, NoLock);

	/*
	 * Done; an invalidation that came in while we were looking is for what
	 * we have locked since, and was absorbed by the locking.
	 */
	MemoryContextSetParent(new.context, CacheMemoryContext);

	/* a caller further up may be using the old contents: keep them a while */
	if (entry->context)
		MemoryContextSetParent(entry->context, TopTransactionContext);
	new.valid = true;
	*entry = new;
}

/* Error out unless registry and trigger name the same time and txid column, or none. */
static void
check_arguments(const Trigger *trigger, const RegistryRow *row)
{
	if (OidIsValid(row->tracking) ? trigger->tgnargs == 0 :
		(trigger->tgnargs == 2 &&
		 strcmp(trigger->tgargs[0], row->time_column) == 0 &&
		 strcmp(trigger->tgargs[1], row->txid_column) == 0))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("trigger \"%s\" of table \"%s\" and the registry name different columns",
					trigger->tgname, get_rel_name(row->live)),
			 errhint("SELECT %s(%s::regclass) corrects the registry entry.",
					 hint_function("repair_history"),
					 naming_argument(row->live))));
}

/* The history or tracking table, locked as for writing. */
static Relation
open_derived(Oid relid, Oid live, bool tracking)
{
	Relation	derived = try_relation_open(relid, RowExclusiveLock);

	if (derived == NULL)
		derived_refuse_gone(live, tracking, 0);

	/* a registry that was written by hand; or CREATE RULE has made it a view */
	if (derived->rd_rel->relkind != RELKIND_RELATION ||
		derived->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is registered as part of the history of table \"%s\" but is not a permanent table",
						RelationGetRelationName(derived), get_rel_name(live)),
				 errhint("SELECT %s(%s::regclass) allows unrecorded writes; then drop it.",
						 hint_function("disable_history_tracking_for_table"),
						 naming_argument(live))));
	return derived;
}

/* The last that keeps rows from readers from whom the live table's policies hide them. */
static void
refuse_unprotected(Oid live, Oid derived)
{
	if (row_security_lacks(live, derived))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" lacks the row-level security of table \"%s\", whose rows it holds",
						get_rel_name(derived), get_rel_name(live)),
				 errhint("SELECT %s(%s::regclass) gives it the same.",
						 hint_function("repair_history"),
						 naming_argument(live))));
}

/* Error out if the time or the txid column of the live table, or of its partition rel, does not fit. */
static void
refuse_time_columns(List *differences, const RegistryRow *row, Relation rel)
{
	Difference *difference;

	if (differences == NIL)
		return;
	difference = linitial(differences);
	if (difference->kind == TIME_COLUMN_COMPUTED && list_length(differences) > 1)
		difference = lsecond(differences);
	if (difference->kind != TIME_COLUMN_COMPUTED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no column \"%s\" of type %s",
						get_rel_name(row->live), difference->name, format_type_be(difference->type)),
				 errdetail("The table's history is tracked with this column."),
				 errhint("Add the column; or track the table by others: SELECT %s(%s::regclass), then create_history_table.",
						 drop_function_name(true),
						 naming_argument(row->live))));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("columns \"%s\" and \"%s\" of table \"%s\" cannot be used to track edits",
					row->time_column, row->txid_column, RelationGetRelationName(rel)),
			 errdetail("The time column must not be virtual, and the transaction ID column must not be generated."),
			 errhint("Make them ordinary columns, or call drop_history_table_keep_data and then create_history_table with other columns.")));
}

/*
 * command.c
 *		The DDL commands that are being executed, and which registered tables they
 *		have touched.
 *
 * A command has touched a table if a relation of the table's has been invalidated
 * since the command began, and we hold a lock on that relation which no two
 * sessions can hold at a time: every command that changes a table, its triggers,
 * its partitions or the tables derived from it takes one and keeps it.  Others'
 * invalidations reach us as well, but not with the lock.  After more of them than
 * are kept, or than the shared queue holds, all registered tables are asked for.
 * What a command has really changed, table_state.c tells from the command id that
 * is noted here.
 *
 * A command may run others: an extension's script, a function in USING, an event
 * trigger that fires before ours.  What the outer one has touched by then is set
 * aside: it is followed at the end of the outer one, and not by those inside.
 *
 * A command that commits in between, like DETACH CONCURRENTLY, counts from its last
 * transaction.
 *
 * Takes no locks but those of reading the registry.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "follow/follow.h"
#include "compat.h"

typedef struct Command
{
	struct Command *outer;
	Node	   *statement;
	SubTransactionId subid;
	CommandId	since;			/* what is older was there when it began */
	bool		may_set_aside;	/* what it touches, for its end */
	List	   *aside;			/* of Aside */
	List	   *unrelated;		/* see command_drops_unrelated */
} Command;

typedef struct Aside
{
	Oid			live;
	CommandId	since;			/* InvalidCommandId: touched, but the same as before */
} Aside;

/* in TopTransactionContext */
static Command *innermost = NULL;

/*
 * The relations that have been invalidated since it began, or one ended inside of it:
 * in the order in which that was first said, and as a hash table.
 */
#define SLOTS	2048
static Oid	invalidated[SLOTS / 2];
static Oid	slots[SLOTS];
static int	ninvalidated = 0;
static bool too_many = false;

/* a command has committed in between */
static bool goes_on = false;

static void command_invalidate(Datum arg, Oid relid);
static void start_anew(void);
static void command_push(Node *statement, CommandId since, bool may_set_aside);
static void command_pop(void);
static void set_aside(Command *command);
static bool has_changed(Oid live, CommandId since);
static Aside *find_aside(const Command *command, Oid live);
static List *invalidated_lives(void);
static Oid	invalidated_live(Oid relid);
static bool holds_family(const RegistryRow *row);
static bool command_holds(Oid relid);
static bool has_dropped_unrelated(const Command *command);
static bool only_makes(Node *statement);
static bool runs_others(Node *statement);
static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);

void
command_init(void)
{
	CacheRegisterRelcacheCallback(command_invalidate, (Datum) 0);
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/* ddl_command_start.  follows: is anything followed by the present settings? */
void
command_begin(Node *statement, bool follows)
{
	if (innermost && innermost->may_set_aside)
		set_aside(innermost);
	goes_on = false;
	command_push(statement, InvalidCommandId, follows && !runs_others(statement));
}

/* sql_drop or ddl_command_end: the command is the innermost one. */
void
command_is_innermost(Node *statement)
{
	Command    *command = innermost;

	while (command && command->statement != statement)
		command = command->outer;
	if (command)
		while (innermost != command)
			command_pop();
	else
		command_push(statement, goes_on ? FirstCommandId : InvalidCommandId, true);
}

/* All that the innermost command has changed has been followed. */
void
command_end(void)
{
	CommandCounterIncrement();
	command_pop();
	if (innermost)
		innermost->since = GetCurrentCommandId(false);
	start_anew();
}

/*
 * The live tables that the innermost command has touched, themselves or by what
 * belongs to them, by OID; also such as have gone.
 */
List *
command_invalidated(void)
{
	List	   *lives = invalidated_lives();
	ListCell   *lc;

	foreach(lc, innermost->aside)
		lives = list_append_unique_oid(lives, ((Aside *) lfirst(lc))->live);
	list_sort(lives, list_oid_cmp);
	return lives;
}

/*
 * The relations that the innermost command has touched and holds a lock on, tracked or not;
 * *more: there are more of them.
 */
List *
command_touched(bool *more)
{
	List	   *touched = NIL;
	int			i;

	*more = too_many;
	for (i = 0; i < ninvalidated; i++)
		if (command_holds(invalidated[i]))
			touched = lappend_oid(touched, invalidated[i]);
	return touched;
}

/*
 * The innermost command is about to drop these tables, what is part of them, and
 * nothing else; none of them has to do with a registered table.  (By their names: if
 * other tables have got these by the time that it has its locks, those are dropped.)
 */
void
command_drops_unrelated(List *relids)
{
	MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);

	innermost->unrelated = list_copy(relids);
	MemoryContextSwitchTo(before);
}

/* Returns true if the table is set aside for a command around the innermost one. */
bool
command_sets_aside(Oid live)
{
	Command    *outer;

	for (outer = innermost->outer; outer; outer = outer->outer)
	{
		Aside	   *aside = find_aside(outer, live);

		if (aside && aside->since != InvalidCommandId)
			return true;
	}
	return false;
}

/* The command ID from which on changes of the table are the innermost command's. */
CommandId
command_since(Oid live)
{
	Aside	   *aside;

	if (innermost == NULL)
		return InvalidCommandId;
	aside = find_aside(innermost, live);
	return aside && aside->since != InvalidCommandId ? aside->since : innermost->since;
}

/* The outermost command around the innermost one that has set tables aside, or NULL. */
Node *
command_waiting(void)
{
	Command    *outer;
	Node	   *statement = NULL;
	ListCell   *lc;

	for (outer = innermost->outer; outer; outer = outer->outer)
		foreach(lc, outer->aside)
			if (((Aside *) lfirst(lc))->since != InvalidCommandId)
				statement = outer->statement;
	return statement;
}

static void
command_invalidate(Datum arg, Oid relid)
{
	int			i;

	if (too_many)
		return;
	for (i = hash_bytes_uint32(relid) % SLOTS; OidIsValid(slots[i]); i = (i + 1) % SLOTS)
		if (slots[i] == relid)
			return;
	if (!OidIsValid(relid) || ninvalidated == SLOTS / 2)
		too_many = true;
	else
		slots[i] = invalidated[ninvalidated++] = relid;
}

static void
start_anew(void)
{
	if (ninvalidated > 0)
		memset(slots, 0, sizeof(slots));
	ninvalidated = 0;
	too_many = false;
}

/* since: InvalidCommandId for now */
static void
command_push(Node *statement, CommandId since, bool may_set_aside)
{
	Command    *command = MemoryContextAllocZero(TopTransactionContext, sizeof(Command));

	/* what has been done until now is told from what will be, and is known to us */
	CommandCounterIncrement();
	command->outer = innermost;
	command->statement = statement;
	command->subid = GetCurrentSubTransactionId();
	Assert(innermost == NULL || innermost->subid <= command->subid);
	command->since = since == InvalidCommandId ? GetCurrentCommandId(false) : since;
	command->may_set_aside = may_set_aside;
	innermost = command;
	if (since == InvalidCommandId)
		start_anew();
}

static void
command_pop(void)
{
	Command    *command = innermost;

	innermost = command->outer;
	list_free_deep(command->aside);
	list_free(command->unrelated);
	pfree(command);
}

/*
 * A table that is touched and looks as before may have been so by one of our functions,
 * that the command has called: it is not set aside, but will be looked at.
 */
static void
set_aside(Command *command)
{
	ListCell   *lc;

	foreach(lc, invalidated_lives())
	{
		Aside	   *aside = find_aside(command, lfirst_oid(lc));

		if (aside == NULL)
		{
			MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);

			aside = palloc(sizeof(Aside));
			aside->live = lfirst_oid(lc);
			aside->since = InvalidCommandId;
			command->aside = lappend(command->aside, aside);
			MemoryContextSwitchTo(before);
		}
		if (aside->since == InvalidCommandId && has_changed(aside->live, command->since))
			aside->since = command->since;
	}
}

static bool
has_changed(Oid live, CommandId since)
{
	RegistryRow *row = registry_get(live);
	TableState *before;
	TableState *now;

	if (row == NULL)
		return false;
	table_state_compare(row, since, &before, &now);
	return !table_state_equal(before, now);
}

static Aside *
find_aside(const Command *command, Oid live)
{
	ListCell   *lc;

	foreach(lc, command->aside)
		if (((Aside *) lfirst(lc))->live == live)
			return lfirst(lc);
	return NULL;
}

static List *
invalidated_lives(void)
{
	List	   *lives = NIL;
	ListCell   *lc;
	int			i;

	if ((ninvalidated == 0 && !too_many) || only_makes(innermost->statement) ||
		has_dropped_unrelated(innermost) || !OidIsValid(extension_registry_or_invalid()))
		return NIL;
	if (too_many)
	{
		foreach(lc, registry_all())
			if (holds_family(lfirst(lc)))
				lives = lappend_oid(lives, ((RegistryRow *) lfirst(lc))->live);
		return lives;
	}
	/* reading may bring more of them: they are others', then */
	for (i = 0; i < ninvalidated && !too_many; i++)
	{
		Oid			live = command_holds(invalidated[i]) ? invalidated_live(invalidated[i]) : InvalidOid;

		if (OidIsValid(live))
			lives = list_append_unique_oid(lives, live);
	}
	return too_many ? invalidated_lives() : lives;
}

/*
 * The live table that the relation belongs to, or InvalidOid.  Of a partition that
 * has gone, or left, the one above it has been touched as well.
 */
static Oid
invalidated_live(Oid relid)
{
	Oid			live = registered_live(relid);

	/* ALTER INDEX ... ATTACH PARTITION locks that of the root alone */
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX)
		live = registered_live(IndexGetRelation(relid, true));
	if (!OidIsValid(live) && get_rel_relispartition(relid))
		live = registered_live(lineage_root(relid));
	return live;
}

/*
 * Returns true if we hold such a lock on the row's live table or a table derived from it.
 */
static bool
holds_family(const RegistryRow *row)
{
	ListCell   *lc;

	if (command_holds(row->live) || command_holds(row->history) ||
		(OidIsValid(row->tracking) && command_holds(row->tracking)))
		return true;
	if (get_rel_relkind(row->live) == RELKIND_PARTITIONED_TABLE)
		foreach(lc, lineage_partition_tree(row->live, NoLock))
			if (command_holds(lfirst_oid(lc)))
				return true;
	return false;
}

/* Returns true if we hold a lock on the relation that conflicts with itself. */
static bool
command_holds(Oid relid)
{
	static const LOCKMODE modes[] = {
		AccessExclusiveLock, ShareUpdateExclusiveLock, ShareRowExclusiveLock, ExclusiveLock
	};
	LOCKTAG		tag;
	int			i;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	for (i = 0; i < lengthof(modes); i++)
		if (LockHeldByMeCompat(&tag, modes[i]))
			return true;
	return false;
}

static bool
has_dropped_unrelated(const Command *command)
{
	ListCell   *lc;

	foreach(lc, command->unrelated)
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			return false;
	return command->unrelated != NIL;
}

/*
 * Returns true if the command makes something new, and changes no existing table.  (CREATE
 * TABLE may make a partition of one.)
 */
static bool
only_makes(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateStmt:
			return ((CreateStmt *) statement)->partbound == NULL;
		case T_CreateSeqStmt:
		case T_CreateFunctionStmt:
		case T_CreateEnumStmt:
		case T_CompositeTypeStmt:
		case T_CommentStmt:
		case T_GrantStmt:
		case T_IndexStmt:
		case T_ViewStmt:
			return true;
		default:
			return false;
	}
}

/* Returns true for a command that only runs others, and changes no tracked table itself. */
static bool
runs_others(Node *statement)
{
	return IsA(statement, CreateExtensionStmt) ||
		IsA(statement, AlterExtensionStmt) ||
		IsA(statement, CreateTableAsStmt) ||
		IsA(statement, RefreshMatViewStmt);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			goes_on |= innermost != NULL;
			innermost = NULL;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			goes_on = false;
			innermost = NULL;
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	Command    *command;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (innermost && innermost->subid == mine)
			command_pop();
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (command = innermost; command && command->subid == mine;
			 command = command->outer)
			command->subid = parent;
}

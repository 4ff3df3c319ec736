/*
 * before_drop.c
 *		Before a DDL command that drops something.
 *
 * What goes is found by pg_depend, whatever the command names: tables, a type, a
 * schema, an owner, an extension (dependents.c).  Then:
 *
 *	- Views of ours that would be in the way are suspended, or dropped with their table.
 *	- The rows of partitions that go are stored, and those of tables whose history is
 *	  to be kept (on_drop_table): they end their version, as by TRUNCATE.
 *	- A history that is to stay does not go with the one that it inherits from.
 *	- What histories have kept does not go with its type (kept_types.c).
 *
 * Who may not drop what the command names is let through to PostgreSQL's own error.
 *
 * Locks: ACCESS EXCLUSIVE, as the command will take it, on what it names, on tables
 * that go or lose columns and whose history is kept, after their views; and on
 * histories that have kept something of a type that goes.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "follow/follow.h"
#include "compat.h"

/* A relation that the command names. */
typedef struct NamedRelation
{
	RangeVar   *name;
	Oid			relid;
} NamedRelation;

static bool may_take_types(ObjectType type);
static bool is_relation(ObjectType type);
static List *find_relations(DropStmt *statement);
static List *lock_named(DropStmt *statement, List *named);
static Oid	find_to_drop(RangeVar *name);
static bool drops_unrelated(DropStmt *statement, const List *named);
static void name_objects(Dependents *dependents, DropStmt *statement);
static bool lock_to_drop(const List *named, Oid relid);
static void before_drop_tables(DropStmt *statement, const List *named,
							   const Dependents *dependents);
static void before_drop_each(const Dependents *dependents, const List *named,
							 Node *statement);
static void park_views(const List *tables, const Dependents *dropped, Node *statement);
static List *tables_losing_columns(const Dependents *dependents);
static void store_rows(const Dependents *dependents, const List *named);
static void store_rows_of_table(const List *named, RegistryRow *row);
static void store_rows_of_partition(const Dependents *dependents, const List *named,
									Oid relid);
static bool lock_partition(const List *named, Oid relid, Oid parent, Oid root);
static void store_leaf(Oid relid, const RegistryRow *row, TruncatedTracking tracking);
static void hold_back(const Dependents *dependents, const List *named);
static bool is_named(const List *named, Oid relid);
static void tell_of_histories(const Dependents *dependents);

/* DROP */
void
before_drop(DropStmt *statement)
{
	Dependents *dependents;
	List	   *named = NIL;

	if (!may_take_types(statement->removeType))
		return;
	if (is_relation(statement->removeType))
		named = find_relations(statement);
	if (drops_unrelated(statement, named))
		return;
	if (statement->removeType == OBJECT_TABLE)
		named = lock_named(statement, named);
	dependents = dependents_of_command(statement->behavior == DROP_CASCADE);
	if (is_relation(statement->removeType))
	{
		ListCell   *lc;

		foreach(lc, named)
		{
			ObjectAddress relation;

			ObjectAddressSet(relation, RelationRelationId,
							 ((NamedRelation *) lfirst(lc))->relid);
			dependents_drop(dependents, &relation);
		}
	}
	else
		name_objects(dependents, statement);

	dependents_find(dependents);
	if (statement->removeType == OBJECT_TABLE)
		before_drop_tables(statement, named, dependents);
	before_drop_each(dependents, named, (Node *) statement);
}

/* DROP OWNED */
void
before_drop_owned(DropOwnedStmt *statement)
{
	Dependents *dependents = dependents_of_command(statement->behavior == DROP_CASCADE);
	ListCell   *lc;

	foreach(lc, statement->roles)
	{
		Oid			role = get_rolespec_oid(lfirst(lc), true);

		if (!OidIsValid(role) || !has_privs_of_role(GetUserId(), role))
			return;
		dependents_drop_owned(dependents, role);
	}
	dependents_find(dependents);
	before_drop_each(dependents, NIL, (Node *) statement);
	tell_of_histories(dependents);
}

/* ALTER TYPE of a composite type, which changes tables of the type. */
void
before_alter_type(Oid type, Node *statement)
{
	Dependents *dependents = dependents_of_command(true);

	dependents_alter(dependents, type);
	dependents_find(dependents);
	park_views(dependents_typed_tables(dependents), NULL, statement);
}

/* Returns true if a table, a column or a type may be dropped with such an object. */
static bool
may_take_types(ObjectType type)
{
	switch (type)
	{
		case OBJECT_ACCESS_METHOD:
		case OBJECT_AGGREGATE:
		case OBJECT_COLLATION:
		case OBJECT_DOMAIN:
		case OBJECT_EXTENSION:
		case OBJECT_FDW:
		case OBJECT_FOREIGN_SERVER:
		case OBJECT_FUNCTION:
		case OBJECT_LANGUAGE:
		case OBJECT_OPCLASS:
		case OBJECT_OPERATOR:
		case OBJECT_OPFAMILY:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
		case OBJECT_SCHEMA:
		case OBJECT_TYPE:
			return true;
		default:
			return is_relation(type);
	}
}

static bool
is_relation(ObjectType type)
{
	return type == OBJECT_TABLE || type == OBJECT_VIEW || type == OBJECT_MATVIEW ||
		type == OBJECT_FOREIGN_TABLE || type == OBJECT_SEQUENCE;
}

/* Those that the command names and its user may drop, as NamedRelation. */
static List *
find_relations(DropStmt *statement)
{
	List	   *named = NIL;
	ListCell   *lc;

	foreach(lc, statement->objects)
	{
		NamedRelation *relation = palloc(sizeof(NamedRelation));

		relation->name = makeRangeVarFromNameList(lfirst(lc));
		relation->relid = find_to_drop(relation->name);
		if (OidIsValid(relation->relid))
			named = lappend(named, relation);
	}
	return named;
}

/*
 * Lock what the command will keep readers out of, and return what its names mean by
 * then.
 */
static List *
lock_named(DropStmt *statement, List *named)
{
	for (;;)
	{
		List	   *locked = NIL;
		List	   *now;
		bool		same;
		ListCell   *lc;
		ListCell   *lc2;

		foreach(lc, named)
			locked = list_concat(locked,
								 followed_lock_all_views(((NamedRelation *) lfirst(lc))->relid));
		now = find_relations(statement);
		same = list_length(now) == list_length(named);
		forboth(lc, named, lc2, now)
			same = same && ((NamedRelation *) lfirst(lc))->relid ==
				((NamedRelation *) lfirst(lc2))->relid;
		if (same)
			return named;
		lock_order_undo(locked);
		named = now;
		CHECK_FOR_INTERRUPTS();
	}
}

/* Its owner may drop it, and the owner of its schema. */
static Oid
find_to_drop(RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	if (OidIsValid(relid) && relid >= FirstNormalObjectId &&
		(relation_ownercheck_compat(relid, GetUserId()) ||
		 namespace_ownercheck_compat(get_rel_namespace(relid), GetUserId())))
		return relid;
	return InvalidOid;
}

/*
 * Returns true if these tables are, as most that are dropped, of no concern to us: they
 * take along what is part of them and nothing else, are no partitions, and nothing is made
 * of their row types.
 */
static bool
drops_unrelated(DropStmt *statement, const List *named)
{
	List	   *relids = NIL;
	const ListCell *lc;

	if (statement->removeType != OBJECT_TABLE || statement->behavior != DROP_RESTRICT ||
		list_length(named) != list_length(statement->objects))
		return false;
	foreach(lc, named)
	{
		Oid			relid = ((NamedRelation *) lfirst(lc))->relid;

		if (get_rel_relkind(relid) != RELKIND_RELATION || get_rel_relispartition(relid) ||
			lineage_may_have_below(relid) || OidIsValid(registered_live(relid)) ||
			dependents_use_row_type(get_rel_type_id(relid)))
			return false;
		relids = lappend_oid(relids, relid);
	}
	command_drops_unrelated(relids);
	return true;
}

/* As RemoveObjects does, with its locks and its errors. */
static void
name_objects(Dependents *dependents, DropStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->objects)
	{
		Relation	relation = NULL;
		ObjectAddress address = get_object_address(statement->removeType, lfirst(lc),
												   &relation, AccessExclusiveLock, true);
		Oid			namespace;

		if (!OidIsValid(address.objectId))
			continue;
		namespace = get_object_namespace(&address);
		if (!OidIsValid(namespace) ||
			!namespace_ownercheck_compat(namespace, GetUserId()))
			check_object_ownership(GetUserId(), statement->removeType, address,
								   lfirst(lc), relation);
		if (relation)
			table_close(relation, NoLock);
		dependents_drop(dependents, &address);
	}
}

/* Returns whether the command will drop that relation still. */
static bool
lock_to_drop(const List *named, Oid relid)
{
	const ListCell *lc;

	LockRelationOid(relid, AccessExclusiveLock);
	if (get_rel_name(relid) != NULL)
	{
		bool		meant = true;

		foreach(lc, named)
		{
			NamedRelation *relation = lfirst(lc);

			if (relation->relid == relid)
				meant = find_to_drop(relation->name) == relid;
		}
		if (meant)
			return true;
	}
	UnlockRelationOid(relid, AccessExclusiveLock);
	return false;
}

/* DROP TABLE: what somebody drops by hand, and views that go with their tables. */
static void
before_drop_tables(DropStmt *statement, const List *named, const Dependents *dependents)
{
	const ListCell *lc;

	foreach(lc, named)
	{
		Oid			relid = ((NamedRelation *) lfirst(lc))->relid;
		Oid			live = registered_live(relid);
		RegistryRow *row;

		if (!OidIsValid(live))
			continue;
		if (live != relid && !dependents_drops(dependents, live) &&
			followed_row(live, &row))
			follow_refuse_by_hand(live, "drop");

		/* PostgreSQL would refuse, or with CASCADE tell of what is not the user's */
		if (live == relid && lock_to_drop(named, relid) && registry_get(relid) &&
			settings_follow_ddl(security_owner_of(relid)))
			view_drop(relid, statement->behavior == DROP_CASCADE);
	}
}

static void
before_drop_each(const Dependents *dependents, const List *named, Node *statement)
{
	if (dependents_cascade(dependents))
		park_views(tables_losing_columns(dependents), dependents, statement);
	store_rows(dependents, named);
	hold_back(dependents, named);
	kept_types_give_up(dependents, statement);
}

/* Of those of the tables that are registered. */
static void
park_views(const List *tables, const Dependents *dropped, Node *statement)
{
	List	   *lives = NIL;
	const ListCell *lc;

	foreach(lc, tables)
		if (registered(lfirst_oid(lc)))
			lives = lappend_oid(lives, lfirst_oid(lc));
	view_lock_dependents(lives, true);
	view_lock_all(lives, AccessExclusiveLock);
	foreach(lc, lives)
	{
		LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
		if (get_rel_name(lfirst_oid(lc)))
			followed_suspend_view(lfirst_oid(lc), dropped, statement);
	}
}

/* And staying. */
static List *
tables_losing_columns(const Dependents *dependents)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, dependents_columns(dependents))
	{
		DependentColumn *column = lfirst(lc);

		if (column->goes && !dependents_drops(dependents, column->relid))
			tables = list_append_unique_oid(tables, column->relid);
	}
	return tables;
}

/* Of what goes. */
static void
store_rows(const Dependents *dependents, const List *named)
{
	ListCell   *lc;

	foreach(lc, dependents_relations(dependents))
	{
		Oid			relid = lfirst_oid(lc);
		char		relkind = get_rel_relkind(relid);
		RegistryRow *row;

		if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
			continue;
		if (get_rel_relispartition(relid))
			store_rows_of_partition(dependents, named, relid);
		else if (registered(relid) && (row = registry_get(relid)) != NULL &&
				 !dependents_drops(dependents, row->history))
			store_rows_of_table(named, row);
	}
}

/* If its history is to be kept, and recorded. */
static void
store_rows_of_table(const List *named, RegistryRow *row)
{
	Relation	live;
	bool		records;
	ListCell   *lc;

	if (settings_on_drop_table(security_owner_of(row->live)) != ON_DROP_KEEP ||
		!lock_to_drop(named, row->live))
		return;
	if (!followed_row(row->live, &row))
		return;
	live = table_open(row->live, NoLock);
	records = triggers_covers_truncate(live);
	table_close(live, NoLock);
	if (!records)
		return;
	foreach(lc, lineage_partition_tree(row->live, AccessExclusiveLock))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			store_leaf(lfirst_oid(lc), row, TRACKING_STAYS);
}

/*
 * The relation is a partition: what is in it and in what is below it, unless one above
 * it goes as well.
 */
static void
store_rows_of_partition(const Dependents *dependents, const List *named, Oid relid)
{
	Oid			root = lineage_root(relid);
	RegistryRow *row = root != relid && registered(root) ? registry_get(root) : NULL;
	List	   *ancestors;
	ListCell   *lc;

	if (row == NULL || !settings_follow_ddl(security_owner_of(root)))
		return;
	ancestors = lineage_ancestors(relid);
	foreach(lc, ancestors)
		if (dependents_drops(dependents, lfirst_oid(lc)))
			return;
	if (!lock_partition(named, relid, linitial_oid(ancestors), root))
		return;
	foreach(lc, lineage_partition_tree(relid, AccessExclusiveLock))
	{
		Relation	leaf;
		bool		records;

		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_RELATION)
			continue;
		leaf = table_open(lfirst_oid(lc), NoLock);
		records = triggers_covers_truncate(leaf);
		table_close(leaf, NoLock);
		if (records)
			store_leaf(lfirst_oid(lc), row, TRACKING_FORGETS);
	}
}

/* In the order of DROP.  It may have been detached before the locks were had. */
static bool
lock_partition(const List *named, Oid relid, Oid parent, Oid root)
{
	LockRelationOid(parent, AccessExclusiveLock);
	if (lock_to_drop(named, relid))
	{
		if (lineage_root(relid) == root &&
			list_member_oid(lineage_parents(relid), parent))
			return true;
		UnlockRelationOid(relid, AccessExclusiveLock);
	}
	UnlockRelationOid(parent, AccessExclusiveLock);
	return false;
}

static void
store_leaf(Oid relid, const RegistryRow *row, TruncatedTracking tracking)
{
	Relation	leaf = table_open(relid, NoLock);
	SecurityState state;

	security_act_as(security_owner_of(row->live), ACT_FOR_WRITER | ACT_TO_MANAGE, &state);
	truncate_store_rows(leaf, cache_build_for(leaf, row->live), tracking);
	security_act_as_before(&state);
	table_close(leaf, NoLock);
}

/*
 * Histories that stay, of tables that go or not, leave the one that goes; unless the
 * command names that one.
 */
static void
hold_back(const Dependents *dependents, const List *named)
{
	ListCell   *lc;

	foreach(lc, dependents_held_back(dependents))
	{
		Oid			history = lfirst_oid(lc);
		Oid			owner = security_owner_of(history);
		RegistryRow *row = registry_get_by_derived(history);
		ListCell   *above;

		if (!settings_follow_ddl(owner) ||
			(row && dependents_drops(dependents, row->live) &&
			 !follow_drop_keeps(owner, triggers_there(row, NULL))))
			continue;
		foreach(above, lineage_parents(history))
			if (dependents_drops(dependents, lfirst_oid(above)) &&
				!is_named(named, lfirst_oid(above)))
				catalog_disinherit(history, lfirst_oid(above));
	}
}

static bool
is_named(const List *named, Oid relid)
{
	const ListCell *lc;

	foreach(lc, named)
		if (((NamedRelation *) lfirst(lc))->relid == relid)
			return true;
	return false;
}

/* DROP OWNED drops histories without a word. */
static void
tell_of_histories(const Dependents *dependents)
{
	ListCell   *lc;

	foreach(lc, dependents_relations(dependents))
	{
		RegistryRow *row = registered(lfirst_oid(lc)) ?
			registry_get(lfirst_oid(lc)) : NULL;

		if (row && get_rel_name(row->history) &&
			dependents_drops(dependents, row->history) &&
			registry_is_sound(row, security_owner_of(row->live)))
			follow_drop_notice(row->history);
	}
}

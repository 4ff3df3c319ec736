/*
 * view_change.c
 *		Views that get other columns, and the views upon them.
 *
 * X__with_history has the columns of its table, and changes with them.  It is
 * changed in place (view_columns.c) and gets its new query.  What is upon it:
 *
 * A view that uses a column that is gone is dropped by CASCADE, and without it is
 * PostgreSQL's error; that is performDeletion's work, as for a column of a table.
 *
 * Any other view upon it gets the new numbers of the columns in its query
 * (view_remap.c), which is not parsed, and nothing else of it is touched.  Where no
 * column has another number and none that it uses another type, not even that.
 *
 * A view that uses a column of another type now means another query: other operators,
 * other types of its own columns, which the views upon it show in their turn.  Its
 * text is read again, as its owner.  Reading calls the input functions of constants'
 * types, which check domains: where that would run somebody's code, or where
 * the text comes to mean other functions, operators or tables than before (anybody
 * may have put a better match in a schema), the command fails instead.
 *
 * Locks: ACCESS EXCLUSIVE on each view that is changed.  Take them before that of the
 * live table (views_lock), as readers do.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "catmaid_history.h"
#include "compat.h"

/* A view upon one that changes. */
typedef struct Follower
{
	Oid			view;
	Oid			about;			/* the live table */
	Query	   *query;			/* with new numbers, or NULL */
	char	   *text;			/* as it may have to be read again, or NULL */
	List	   *uses;			/* with the text: what it means by its names */
	bool		must_read;		/* it has to, whatever views below it become */
	Query	   *read;
} Follower;

static void compare_columns(ViewChange *change, const char **names);
static bool same_column(Form_pg_attribute a, Form_pg_attribute b);
static bool changes_columns(const ViewChange *change);
static bool concerns_others(const ViewChange *change);
static ViewChange *split(ViewChange *change);
static void change_all(List *changes, List *texts);
static void drop_columns(const ViewChange *change);
static List *views_using(Oid view, const bool *columns);
static List *find_followers(List *changes, List *texts);
static bool any_renumbered(List *changes);
static Follower *follower_of(Oid view, List *followers);
static Follower *add_follower(Oid view, Oid about, List **followers);
static List *sort_followers(List *followers, List *changes);
static void apply(const ViewChange *change);
static void read_followers(List *followers);
static ViewChange *read_again(Follower *follower);
static void read_text(void *arg);
static bool runs_code(Node *node, void *context);
static bool type_runs_code(Oid type);
static void refuse_new_uses(const Follower *follower);
static void refuse(const Follower *follower, const char *reason) pg_attribute_noreturn();

/*
 * The change of a view to what the query, just read, gives.  names: what the
 * view's columns shall be thought to be called, by number - 1; NULL: what they are.
 * about: the live table.  cascade: what uses a column that goes may go.
 */
ViewChange *
view_change(Oid view, Oid about, Query *query, const char **names, bool cascade)
{
	ViewChange *change = palloc0(sizeof(ViewChange));
	Relation	rel = relation_open(view, AccessShareLock);
	ListCell   *lc;

	change->view = view;
	change->about = about;
	change->query = query;
	change->cascade = cascade;
	change->old = CreateTupleDescCopy(RelationGetDescr(rel));
	relation_close(rel, NoLock);
	change->new = CreateTemplateTupleDesc(ExecCleanTargetListLength(query->targetList));
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->resjunk)
			continue;
		TupleDescInitEntry(change->new, target->resno, target->resname,
						   exprType((Node *) target->expr),
						   exprTypmod((Node *) target->expr), 0);
		TupleDescInitEntryCollation(change->new, target->resno,
									exprCollation((Node *) target->expr));
	}
	compare_columns(change, names);
	return change;
}

/* Which column is which: the one of its name. */
static void
compare_columns(ViewChange *change, const char **names)
{
	int			nold = change->old->natts;
	int			i;
	int			j;

	change->map = palloc0(sizeof(AttrNumber) * Max(nold, 1));
	change->retyped = palloc0(sizeof(bool) * Max(nold, 1));
	change->from = palloc0(sizeof(AttrNumber) * Max(change->new->natts, 1));
	for (i = 0; i < nold; i++)
	{
		const char *name = names ? names[i] : NameStr(TupleDescAttr(change->old, i)->attname);

		for (j = 0; j < change->new->natts; j++)
			if (strcmp(NameStr(TupleDescAttr(change->new, j)->attname), name) == 0)
			{
				change->map[i] = j + 1;
				change->from[j] = i + 1;
				change->retyped[i] = !same_column(TupleDescAttr(change->old, i),
												  TupleDescAttr(change->new, j));
				change->any_retyped |= change->retyped[i];
			}
		change->renumbered |= change->map[i] != i + 1;
		change->renamed |= names && strcmp(name, NameStr(TupleDescAttr(change->old, i)->attname)) != 0;
	}
}

static bool
same_column(Form_pg_attribute a, Form_pg_attribute b)
{
	return a->atttypid == b->atttypid && a->atttypmod == b->atttypmod &&
		a->attcollation == b->attcollation;
}

/* Returns true if the view's columns change, not only the query that gives them. */
static bool
changes_columns(const ViewChange *change)
{
	return concerns_others(change) || change->renamed ||
		change->new->natts != change->old->natts;
}

/*
 * Returns true if what depends on the view has to follow: not if it is only given other
 * names, or more columns at its end, as ALTER and CREATE OR REPLACE VIEW do.
 */
static bool
concerns_others(const ViewChange *change)
{
	return change->renumbered || change->any_retyped;
}

/*
 * Make the changes, of views that may stand upon each other's tables but not upon each
 * other.  texts: of views whose text is to be read again in any case, ViewText.
 *
 * Columns get their new numbers first, and their new types in a second step.  Texts
 * are told in between: a list of column aliases in them goes by the columns' order.
 */
void
view_change_all(List *changes, List *texts)
{
	List	   *first = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		ViewChange *change = lfirst(lc);

		if (change->any_retyped &&
			(change->renumbered || change->renamed || change->new->natts != change->old->natts))
			first = lappend(first, split(change));
	}
	change_all(first, NIL);
	change_all(changes, texts);
}

/* Take out of a change what it changes but for types. */
static ViewChange *
split(ViewChange *change)
{
	ViewChange *first = palloc(sizeof(ViewChange));
	int			i;

	*first = *change;
	first->new = CreateTupleDescCopy(change->new);
	for (i = 0; i < first->new->natts; i++)
		if (change->from[i] != InvalidAttrNumber)
		{
			char	   *name = pstrdup(NameStr(TupleDescAttr(change->new, i)->attname));

			TupleDescCopyEntry(first->new, i + 1, change->old, change->from[i]);
			namestrcpy(&TupleDescAttr(first->new, i)->attname, name);
		}
	first->query = view_query_placeholder(first->new);
	first->retyped = palloc0(sizeof(bool) * Max(change->old->natts, 1));
	first->any_retyped = false;

	change->old = first->new;
	change->renumbered = change->renamed = change->any_retyped = false;
	compare_columns(change, NULL);
	return first;
}

static void
change_all(List *changes, List *texts)
{
	List	   *followed = NIL;
	List	   *followers;
	ListCell   *lc;

	foreach(lc, changes)
		if (concerns_others(lfirst(lc)))
			followed = lappend(followed, lfirst(lc));
	foreach(lc, followed)
		drop_columns(lfirst(lc));
	foreach(lc, followed)
		view_refuse_dependents(lfirst(lc));
	followers = find_followers(followed, texts);

	foreach(lc, changes)
		apply(lfirst(lc));
	foreach(lc, followers)
	{
		Follower   *follower = lfirst(lc);

		if (follower->query)
			view_query_store(follower->view, follower->query, true);
	}
	read_followers(followers);
}

/* Drop the columns that go, and with CASCADE what uses them. */
static void
drop_columns(const ViewChange *change)
{
	ObjectAddresses *columns = new_object_addresses();
	bool	   *goes = palloc0(sizeof(bool) * Max(change->old->natts, 1));
	MemoryContext before = CurrentMemoryContext;
	const char *commands;
	int			i;

	for (i = 0; i < change->old->natts; i++)
		if (change->map[i] == InvalidAttrNumber)
		{
			ObjectAddress column;

			ObjectAddressSubSet(column, RelationRelationId, change->view, i + 1);
			add_exact_object_address(&column, columns);
			goes[i] = true;
		}
	commands = view_drop_commands(views_using(change->view, goes));
	PG_TRY();
	{
		performMultipleDeletions(columns, change->cascade ? DROP_CASCADE : DROP_RESTRICT, 0);
	}
	PG_CATCH();
	{
		const char *dependents = ddl_dependents(before);

		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot change table \"%s\" because other objects depend on its history view",
						get_rel_name(change->about)),
				 errdetail("%s", dependents),
				 commands[0] == '\0' ? errhint("Drop them, run the command, and re-create them.") :
				 errhint("%s then run the command, and re-create what it still allows. DROP COLUMN ... CASCADE drops them, too.",
						 commands)));
	}
	PG_END_TRY();
	free_object_addresses(columns);
	CommandCounterIncrement();
}

/* The views upon this one that use one of its columns, given as flags. */
static List *
views_using(Oid view, const bool *columns)
{
	List	   *using = NIL;
	ListCell   *lc;

	foreach(lc, view_upon(view))
		if (view_uses_columns(lfirst_oid(lc), view, columns))
			using = lappend_oid(using, lfirst_oid(lc));
	return using;
}

/*
 * The views upon those that change: each after all of them that it depends on,
 * those with new numbers in their queries, and those that may have to be read
 * again with their texts, as long as these can be told.
 */
static List *
find_followers(List *changes, List *texts)
{
	List	   *followers = NIL;
	List	   *to_read = NIL;
	ListCell   *lc;
	ListCell   *cell;

	foreach(lc, texts)
	{
		ViewText   *text = lfirst(lc);
		Follower   *follower = add_follower(text->view, text->about, &followers);

		follower->text = text->sql;
		follower->uses = text->uses;
		follower->must_read = true;
		to_read = lappend_oid(to_read, text->view);
	}
	foreach(lc, changes)
	{
		const ViewChange *change = lfirst(lc);

		foreach(cell, view_upon_rows(change->view))
		{
			Follower   *follower = add_follower(lfirst_oid(cell), change->about, &followers);

			if (change->any_retyped && view_uses_columns(follower->view, change->view, change->retyped))
				follower->must_read = true;
		}
	}
	foreach(lc, followers)
	{
		Follower   *follower = lfirst(lc);

		LockRelationOid(follower->view, AccessExclusiveLock);
		if (!follower->must_read)
		{
			follower->query = view_query_of(follower->view);
			if (!view_remap(follower->query, changes))
			{
				/* in its text columns may be meant by their order */
				if (any_renumbered(changes))
					refuse(follower, "It refers to rows of the history view in a way that cannot follow.");
				follower->query = NULL;
				follower->must_read = true;
			}
		}
		if (follower->must_read)
			to_read = list_append_unique_oid(to_read, follower->view);
	}
	foreach(lc, list_concat(view_dependents(to_read), to_read))
	{
		Follower   *follower = add_follower(lfirst_oid(lc), ((Follower *) linitial(followers))->about, &followers);

		if (follower->text == NULL)
		{
			follower->text = view_query_sql(follower->view);
			follower->uses = view_meanings(follower->view);
		}
	}
	return sort_followers(followers, changes);
}

static bool
any_renumbered(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
		if (((ViewChange *) lfirst(lc))->renumbered)
			return true;
	return false;
}

static Follower *
follower_of(Oid view, List *followers)
{
	ListCell   *lc;

	foreach(lc, followers)
		if (((Follower *) lfirst(lc))->view == view)
			return lfirst(lc);
	return NULL;
}

static Follower *
add_follower(Oid view, Oid about, List **followers)
{
	Follower   *follower = follower_of(view, *followers);

	if (follower == NULL)
	{
		follower = palloc0(sizeof(Follower));
		follower->view = view;
		follower->about = about;
		*followers = lappend(*followers, follower);
	}
	return follower;
}

/* Change the view itself. */
static void
apply(const ViewChange *change)
{
	if (changes_columns(change))
		view_columns_replace(change->view, change->new, change->from);
	else if (view_query_is(change->view, change->query))
		return;
	view_query_store(change->view, change->query, false);
}

/* The followers, each after all of them that it depends on. */
static List *
sort_followers(List *followers, List *changes)
{
	List	   *views = NIL;
	List	   *above;
	List	   *ordered = NIL;
	ListCell   *lc;

	foreach(lc, changes)
		views = lappend_oid(views, ((ViewChange *) lfirst(lc))->view);
	foreach(lc, followers)
		views = lappend_oid(views, ((Follower *) lfirst(lc))->view);
	above = view_dependents(views);
	/* what is above none of the others stands on tables */
	foreach(lc, followers)
		if (!list_member_oid(above, ((Follower *) lfirst(lc))->view))
			ordered = lappend(ordered, lfirst(lc));
	foreach(lc, above)
	{
		Follower   *follower = follower_of(lfirst_oid(lc), followers);

		if (follower)
			ordered = lappend(ordered, follower);
	}
	return ordered;
}

/* Read the texts of those that have to be read. */
static void
read_followers(List *followers)
{
	List	   *retyped = NIL;
	ListCell   *lc;
	ListCell   *cell;

	foreach(lc, followers)
	{
		Follower   *follower = lfirst(lc);
		bool		read = follower->must_read;
		ViewChange *change;

		if (follower->text == NULL)
			continue;
		foreach(cell, retyped)
		{
			const ViewChange *below = lfirst(cell);

			read = read || view_uses_columns(follower->view, below->view, below->retyped);
		}
		if (!read)
			continue;
		change = read_again(follower);
		if (change->any_retyped)
			retyped = lappend(retyped, change);
	}
}

/* Give the view the meaning that its text has now. */
static ViewChange *
read_again(Follower *follower)
{
	Oid			view = follower->view;
	ViewChange *change;
	char	   *message;
	int			i;

	LockRelationOid(view, AccessExclusiveLock);
	if (get_rel_relkind(view) != RELKIND_VIEW)
		refuse(follower, "It is a materialized view, and holds values of the column's former type.");
	view_refuse_rules(view, follower->about);
	if (runs_code((Node *) view_query_of(view), NULL))
		refuse(follower, "It has constants of a type whose input runs code, so its definition cannot be read again.");
	if (!convert_attempt(read_text, follower, &message))
		refuse(follower, psprintf("The view's definition does not hold any more: %s.", message));

	change = view_change(view, follower->about, follower->read, NULL, false);
	if (change->renumbered || change->new->natts != change->old->natts)
		refuse(follower, "The view's definition would give it other columns.");
	for (i = 0; i < change->new->natts; i++)
		if (type_is_collatable(TupleDescAttr(change->new, i)->atttypid) &&
			!OidIsValid(TupleDescAttr(change->new, i)->attcollation))
			refuse(follower, psprintf("No collation could be derived for its column \"%s\".",
									  NameStr(TupleDescAttr(change->new, i)->attname)));
	if (change->any_retyped)
	{
		view_refuse_dependents(change);
		view_columns_replace(view, change->new, change->from);
	}
	view_query_store(view, follower->read, false);
	refuse_new_uses(follower);
	return change;
}

static void
read_text(void *arg)
{
	Follower   *follower = arg;

	follower->read = view_query_read(security_owner_of(follower->view), follower->text);
}

/* A walker that returns true at the first constant whose type's input may run code. */
static bool
runs_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Const))
		return !((Const *) node)->constisnull && type_runs_code(((Const *) node)->consttype);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, runs_code, context, 0);
	return expression_tree_walker(node, runs_code, context);
}

/*
 * Returns true if reading a value of the type may run what is not PostgreSQL's or
 * an installed library's: the checks of a domain, which it may be made of.
 */
static bool
type_runs_code(Oid type)
{
	Oid			below[3];
	Oid			input;
	Oid			parameter;
	Oid			language;
	HeapTuple	tuple;
	int			i;

	check_stack_depth();
	if (DomainHasConstraints(type))
		return true;
	getTypeInputInfo(type, &input, &parameter);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(input));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", input);
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);
	if (language != INTERNALlanguageId && language != ClanguageId)
		return true;

	below[0] = get_element_type(type);
	below[1] = get_range_subtype(type);
	below[2] = get_multirange_range_compat(type);
	for (i = 0; i < lengthof(below); i++)
		if (OidIsValid(below[i]) && type_runs_code(below[i]))
			return true;
	if (get_typtype(type) == TYPTYPE_DOMAIN)
		return type_runs_code(getBaseType(type));
	if (get_typtype(type) == TYPTYPE_COMPOSITE)
	{
		TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, -1);

		for (i = 0; i < desc->natts; i++)
			if (!TupleDescAttr(desc, i)->attisdropped &&
				type_runs_code(TupleDescAttr(desc, i)->atttypid))
				return true;
	}
	return false;
}

/*
 * The text has the same names as before, but among several functions or operators
 * of a name the types decide.  That one fits better now may be somebody's trap.
 */
static void
refuse_new_uses(const Follower *follower)
{
	ListCell   *lc;
	ListCell   *cell;

	foreach(lc, view_meanings(follower->view))
	{
		const ObjectAddress *now = lfirst(lc);
		bool		used = false;

		foreach(cell, follower->uses)
		{
			const ObjectAddress *before = lfirst(cell);

			used |= before->classId == now->classId && before->objectId == now->objectId;
		}
		if (!used)
			refuse(follower, psprintf("The view's definition would come to use %s.",
									  getObjectDescriptionCompat(now)));
	}
}

/* As PostgreSQL refuses to alter a column that a view uses. */
static void
refuse(const Follower *follower, const char *reason)
{
	ObjectAddress view;

	ObjectAddressSet(view, RelationRelationId, follower->view);
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot change table \"%s\" because %s depends on its history view",
					get_rel_name(follower->about), getObjectDescriptionCompat(&view)),
			 errdetail("%s", reason),
			 errhint("%s then run the command, and re-create what it still allows.",
					 view_drop_commands(list_make1_oid(follower->view)))));
}

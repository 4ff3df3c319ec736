/*
 * follow_columns.c
 *		Column changes of a live table, followed by its history table.
 *
 * What has changed is read off two states of the table, column by column by attribute
 * number: renamed, of another type, dropped, added.  A change that the history
 * table shows already is not made again: it came down from a parent's history.
 *
 * A change of type is made in place where the types say that nothing can be
 * lost (types_hold, or to text).  Otherwise the original stays, as
 * "<name>_n", and the new column gets what the same USING expression or cast
 * makes of it; what does not convert is NULL.
 *
 * The caller holds on the live table the lock of the command, has suspended the
 * views, and follows parents before children.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "follow/follow.h"
#include "compat.h"

static void check_reserved(const RegistryRow *row, const char *name);
static char *name_held(const RegistryRow *row, AttrNumber held);
static void rename_column(RegistryRow *row, AttrNumber held,
						  const char *from, const char *to);
static void change_types(RegistryRow *row, const TableState *before,
						 const TableState *now, Node *statement);
static bool serves_history(const RegistryRow *row, const char *name);
static bool is_key(const RegistryRow *row, const char *name);
static void convert_column(RegistryRow *row, const ColumnState *now,
						   const char *temporary, Node *using);
static bool change_in_place(RegistryRow *row, const ColumnState *now);
static bool came_down(RegistryRow *row, AttrNumber attnum, const ColumnState *now,
					  int i, const TableState *before);
static bool changes_values(Node *using, const ColumnState *now);
static bool is_target(Node *statement, Oid live);
static bool is_lossless(const ColumnState *before, const ColumnState *now,
						Node *using);
static Node *find_using(Node *statement, const char *column);
static TableColumn *table_column(const char *name, const ColumnState *column);
static void drop_column(RegistryRow *row, AttrNumber held, const char *name, bool keep);
static void add_column(RegistryRow *row, AttrNumber attnum, const char *name,
					   const TableState *before);
static bool children_keep(Oid history, const char *name);

bool
follow_columns_changed(const TableState *before, const TableState *now,
					   Node *statement)
{
	int			i;

	for (i = 0; i < now->natts; i++)
		if (follow_columns_computed(now, i + 1, statement))
			return true;

	if (before->natts != now->natts)
		return true;
	for (i = 0; i < now->natts; i++)
		if (!table_state_same_column(&before->columns[i], &now->columns[i]))
			return true;
	return false;
}

/*
 * Returns true if something about the columns of the key, the time or the txid column has
 * changed, be it their values. row: as it is after the change.
 */
bool
follow_columns_concern_key(const RegistryRow *row, const TableState *before,
						   const TableState *now, Node *statement)
{
	int			i;

	for (i = 0; i < now->natts; i++)
	{
		const ColumnState *is = &now->columns[i];
		const ColumnState *was = i < before->natts ? &before->columns[i] : NULL;

		if ((was == NULL || !table_state_same_column(was, is) ||
			 follow_columns_computed(now, i + 1, statement) ||
			 follow_columns_regenerated(now, i + 1, statement)) &&
			((is->exists && serves_history(row, NameStr(is->name))) ||
			 (was && was->exists && serves_history(row, NameStr(was->name)))))
			return true;
	}
	return false;
}

static bool
serves_history(const RegistryRow *row, const char *name)
{
	return is_key(row, name) ||
		(!OidIsValid(row->tracking) &&
		 (strcmp(row->time_column, name) == 0 || strcmp(row->txid_column, name) == 0));
}

/* Returns true if a column has gone, or has another type. */
bool
follow_columns_taken(const TableState *before, const TableState *now)
{
	int			i;

	for (i = 0; i < Min(before->natts, now->natts); i++)
	{
		const ColumnState *was = &before->columns[i];
		const ColumnState *is = &now->columns[i];

		if (was->exists && (!is->exists || was->type != is->type ||
							was->typmod != is->typmod || was->collation != is->collation))
			return true;
	}
	return false;
}

/* Returns true if the statement has a USING for the column that is more than a cast. */
bool
follow_columns_computed(const TableState *now, AttrNumber attnum, Node *statement)
{
	const ColumnState *column = &now->columns[attnum - 1];

	return column->exists && is_target(statement, now->live) &&
		changes_values(find_using(statement, NameStr(column->name)), column);
}

/* The USING expression that the statement has for the column, or NULL. */
Node *
follow_columns_using(const TableState *now, AttrNumber attnum, Node *statement)
{
	return is_target(statement, now->live) ?
		find_using(statement, NameStr(now->columns[attnum - 1].name)) : NULL;
}

/*
 * Returns true if the statement gives the column, a generated one, another expression, and
 * so all rows other values.
 */
bool
follow_columns_regenerated(const TableState *now, AttrNumber attnum, Node *statement)
{
	const ColumnState *column = &now->columns[attnum - 1];
	ListCell   *lc;

	if (!column->exists || !is_target(statement, now->live))
		return false;
	foreach(lc, ((AlterTableStmt *) statement)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (sets_expression_compat(cmd) && strcmp(cmd->name, NameStr(column->name)) == 0)
			return true;
	}
	return false;
}

/*
 * Which history column holds each of the live ones, by attribute number - 1;
 * palloc'd.  To be asked before the histories of parents follow: what they
 * rename goes down to this one, and other columns may have these names then.
 */
AttrNumber *
follow_columns_held(const RegistryRow *row, const TableState *before)
{
	AttrNumber *held = palloc0(sizeof(AttrNumber) * Max(before->natts, 1));
	int			i;

	for (i = 0; i < before->natts; i++)
		if (before->columns[i].exists)
			held[i] = get_attnum(row->history, NameStr(before->columns[i].name));
	return held;
}

/*
 * Make the history table follow.  row is changed where a key, time or txid
 * column has another name now.  held is what follow_columns_held said.
 * statement is the command's parse tree, looked at for USING alone.
 */
void
follow_columns(RegistryRow *row, const TableState *before,
			   const TableState *now, const AttrNumber *held,
			   Node *statement, bool keep_dropped)
{
	int			both = Min(before->natts, now->natts);
	int			i;

	Assert(relation_is_locked(row->live, AccessExclusiveLock));
	for (i = 0; i < both; i++)
		if (before->columns[i].exists && now->columns[i].exists &&
			strcmp(NameStr(before->columns[i].name), NameStr(now->columns[i].name)) != 0)
		{
			check_reserved(row, NameStr(now->columns[i].name));
			rename_column(row, held[i], NameStr(before->columns[i].name),
						  NameStr(now->columns[i].name));
		}

	change_types(row, before, now, statement);

	for (i = 0; i < both; i++)
		if (before->columns[i].exists && !now->columns[i].exists)
			drop_column(row, held[i], NameStr(before->columns[i].name), keep_dropped);

	for (i = 0; i < now->natts; i++)
		if (now->columns[i].exists &&
			(i >= before->natts || !before->columns[i].exists))
		{
			check_reserved(row, NameStr(now->columns[i].name));
			add_column(row, i + 1, NameStr(now->columns[i].name), before);
		}
}

static void
check_reserved(const RegistryRow *row, const char *name)
{
	if (strcmp(name, PERIOD_COLUMN) == 0 || strcmp(name, XID_COLUMN) == 0 ||
		strcmp(name, MAKER_COLUMN) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("table \"%s\" cannot have a column \"%s\" while its history is tracked",
						get_rel_name(row->live), name),
				 errdetail("The history table needs the name for itself."),
				 errhint("Use another name.")));
}

/* The present name of a history column, or NULL if it is gone; palloc'd. */
static char *
name_held(const RegistryRow *row, AttrNumber held)
{
	return held == InvalidAttrNumber ? NULL : get_attname(row->history, held, true);
}

static void
rename_column(RegistryRow *row, AttrNumber held, const char *from, const char *to)
{
	char	   *history_name = name_held(row, held);
	Oid			view;

	if (history_name && strcmp(history_name, from) == 0)
	{
		follow_kept_free_name(row->history, to);
		catalog_rename_column(row->history, from, to);
	}

	/* views on the view follow by themselves */
	view = view_of_table(row->live);
	if (OidIsValid(view) && get_attnum(view, from) != InvalidAttrNumber)
		catalog_rename_column(view, from, to);

	registry_row_rename_column(row, from, to);
}

/*
 * All conversions are computed before any column is renamed or dropped, since
 * a USING expression may look at every column as it was.
 */
static void
change_types(RegistryRow *row, const TableState *before,
			 const TableState *now, Node *statement)
{
	int			both = Min(before->natts, now->natts);
	char	  **temporary = palloc0(sizeof(char *) * Max(both, 1));
	bool		target = is_target(statement, row->live);
	int			pass;
	int			i;

	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < both; i++)
		{
			const ColumnState *old = &before->columns[i];
			const ColumnState *new = &now->columns[i];
			const char *name = NameStr(new->name);
			AttrNumber	attnum = get_attnum(row->history, name);
			Node	   *using;

			if (!old->exists || !new->exists || attnum == InvalidAttrNumber)
				continue;
			using = target ? find_using(statement, name) : NULL;
			if (old->type == new->type && old->typmod == new->typmod &&
				old->collation == new->collation && !changes_values(using, new))
				continue;

			if (pass == 0)
			{
				if (is_lossless(old, new, using) ? true :
					came_down(row, attnum, new, i, before))
					continue;
				temporary[i] = naming_free_column(row->history, InvalidOid, "catmaid_history_new", false);
				convert_column(row, new, temporary[i], using);
			}
			else if (temporary[i] == NULL)
			{
				if (!is_lossless(old, new, using) ||
					table_state_has_type(row->history, attnum, new) ||
					change_in_place(row, new))
					continue;

				/* an old value that the new type has no room for, after all */
				temporary[i] = naming_free_column(row->history, InvalidOid, "catmaid_history_new", false);
				convert_column(row, new, temporary[i], NULL);
			}

			if (pass == 1)
			{
				/* an index of ours on the kept column would serve nobody */
				if (is_key(row, name))
				{
					indexes_drop_key(row->history, row->key);
					indexes_drop_on_segments(row->history, row->key);
				}
				catalog_rename_column(row->history, name,
									  naming_free_column(row->history, InvalidOid, name, false));
				catalog_rename_column(row->history, temporary[i], name);
			}
		}
}

static bool
is_key(const RegistryRow *row, const char *name)
{
	ListCell   *lc;

	foreach(lc, row->key)
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	return false;
}

static void
convert_column(RegistryRow *row, const ColumnState *now,
			   const char *temporary, Node *using)
{
	Relation	live;
	ListCell   *lc;

	remote_columns_stay(row->history, NameStr(now->name), is_key(row, NameStr(now->name)));
	catalog_add_column(row->history, temporary, now->type, now->typmod, now->collation);
	remote_columns_follow(row->history);
	live = table_open(row->live, NoLock);
	derived_copy_storage(row->history, columns_find(live, NameStr(now->name)), temporary);
	table_close(live, NoLock);
	foreach(lc, find_all_inheritors(row->history, NoLock, NULL))
		since_copy_column(lfirst_oid(lc), get_attnum(lfirst_oid(lc), NameStr(now->name)),
						  get_attnum(lfirst_oid(lc), temporary));
	convert_rows(row->history, table_column(temporary, now), NameStr(now->name), using,
				 !is_key(row, NameStr(now->name)));
}

/*
 * Change the column's type, values and all.  Returns false where a value does
 * not fit: a date beyond what a timestamp can hold, text too long for an index
 * of the site's.
 */
static bool
change_in_place(RegistryRow *row, const ColumnState *now)
{
	return convert_type_try(row->history, table_column(NameStr(now->name), now));
}

/*
 * Returns true if the change has come down from the parent's history already.  Then the
 * history column is inherited, as the live one is, and the parent is tracked and has
 * changed with us: it goes first.
 */
static bool
came_down(RegistryRow *row, AttrNumber attnum, const ColumnState *now,
		  int i, const TableState *before)
{
	if (!table_state_has_type(row->history, attnum, now))
		return false;
	if (before->columns[i].type != now->type || before->columns[i].typmod != now->typmod)
		return true;
	return lineage_column_is_inherited(row->history, attnum) &&
		lineage_column_is_inherited(row->live, i + 1);
}

/* No information is lost, by the types alone, and nothing but a cast is asked for. */
static bool
is_lossless(const ColumnState *before, const ColumnState *now, Node *using)
{
	if (changes_values(using, now))
		return false;
	if (now->type == TEXTOID || (now->type == VARCHAROID && now->typmod == -1))
		return types_print_exactly(before->type);
	return types_hold(before->type, before->typmod, now->type, now->typmod);
}

/* Returns true if there is a USING expression that is more than the plain cast. */
static bool
changes_values(Node *using, const ColumnState *now)
{
	TypeCast   *cast = (TypeCast *) using;
	ColumnRef  *column;
	Oid			type;
	int32		typmod;

	if (using == NULL)
		return false;
	if (IsA(using, TypeCast))
	{
		column = (ColumnRef *) cast->arg;
		typenameTypeIdAndMod(NULL, cast->typeName, &type, &typmod);
		type = getBaseTypeAndTypmod(type, &typmod);
		if (type != now->type || (typmod != now->typmod && typmod != -1))
			return true;
	}
	else
		column = (ColumnRef *) using;
	return !IsA(column, ColumnRef) ||
		!IsA(llast(column->fields), String) ||
		strcmp(strVal(llast(column->fields)), NameStr(now->name)) != 0;
}

/* Returns true if the ALTER TABLE names the table, or one of its ancestors. */
static bool
is_target(Node *statement, Oid live)
{
	Oid			target;

	if (statement == NULL || !IsA(statement, AlterTableStmt) ||
		((AlterTableStmt *) statement)->relation == NULL)
		return false;
	target = RangeVarGetRelid(((AlterTableStmt *) statement)->relation, NoLock, true);
	while (OidIsValid(target) && target != live)
	{
		List	   *parents = lineage_parents(live);

		if (parents == NIL)
			return false;
		live = linitial_oid(parents);
	}
	return OidIsValid(target);
}

/* The USING expression that the statement has for the column, or NULL. */
static Node *
find_using(Node *statement, const char *column)
{
	ListCell   *lc;

	if (statement == NULL || !IsA(statement, AlterTableStmt))
		return NULL;
	foreach(lc, ((AlterTableStmt *) statement)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AlterColumnType && strcmp(cmd->name, column) == 0)
			return ((ColumnDef *) cmd->def)->raw_default;
	}
	return NULL;
}

/* A column of that name and this one's type; palloc'd. */
static TableColumn *
table_column(const char *name, const ColumnState *column)
{
	TableColumn *result = palloc0(sizeof(TableColumn));

	result->name = pstrdup(name);
	result->type = column->type;
	result->typmod = column->typmod;
	result->collation = column->collation;
	return result;
}

static void
drop_column(RegistryRow *row, AttrNumber held, const char *name, bool keep)
{
	char	   *history_name = name_held(row, held);
	ListCell   *lc;

	/* it may have gone, or have been put aside, with the parent's */
	if (history_name == NULL || strcmp(history_name, name) != 0)
		return;
	if (keep)
	{
		catalog_rename_column(row->history, name,
							  naming_free_column(row->history, InvalidOid, name, false));
		return;
	}
	if (!children_keep(row->history, name))
	{
		catalog_drop_column(row->history, name, true, false);
		return;
	}
	catalog_drop_column(row->history, name, false, false);
	foreach(lc, segments_relids(row->history))
		catalog_drop_column(lfirst_oid(lc), name, false, false);
}

static void
add_column(RegistryRow *row, AttrNumber attnum, const char *name,
		   const TableState *before)
{
	Relation	live = table_open(row->live, NoLock);
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(live), attnum - 1);
	AttrNumber	existing = get_attnum(row->history, name);

	/*
	 * It came down from the parent's history, in this very command; or a function that
	 * this has called has enabled tracking, which adds columns.
	 */
	if (existing != InvalidAttrNumber &&
		((lineage_column_is_inherited(row->history, existing) &&
		  lineage_column_is_inherited(row->live, attnum)) ||
		 (before->history.exists && existing > before->history.natts)))
	{
		table_close(live, NoLock);
		return;
	}
	follow_kept_free_name(row->history, name);
	derived_add_column(row->history, att);
	table_close(live, NoLock);
}

/*
 * Returns true if the live table of a child history still has the column (DROP with ONLY).
 */
static bool
children_keep(Oid history, const char *name)
{
	ListCell   *lc;

	foreach(lc, find_inheritance_children(history, AccessShareLock))
	{
		RegistryRow *child = registry_get_by_derived(lfirst_oid(lc));

		if (child && get_attnum(child->live, name) != InvalidAttrNumber)
			return true;
	}
	return false;
}

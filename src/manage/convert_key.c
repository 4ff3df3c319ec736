/*
 * convert_key.c
 *		The key columns of a tracking table, converted as those of the live table were.
 *
 * A USING expression is read over the tracking table, whose key columns have the names
 * of the live ones there: so one that looks at anything else makes no sense.  One that
 * is volatile would give other values than it gave the live rows.  Like all of a
 * conversion it is read with the session's search_path, and evaluated as the owner.
 *
 * The caller holds ACCESS EXCLUSIVE on the live table.  Takes it on the tracking table
 * and its children.
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "utils/rel.h"

#include "manage/manage.h"
#include "compat.h"

/* see convert_key_try */
typedef struct KeyConversion
{
	Oid			tracking;
	List	   *columns;
	List	   *conversions;
	bool		possible;
} KeyConversion;

static void change_key(void *arg);
static void change_key_of(Oid relid, void *arg);
static void read_key_expression(void *arg);
static Node *key_expression(Relation tracking, List *columns, Node *using);

/*
 * Convert columns of a tracking table, all at once, as those of the key were.
 * columns: all of the key, conversions: those to be converted; see KeyColumn.  Returns
 * false, and has changed nothing, where that is not possible: an expression looks at other
 * columns, is volatile, or fails.
 */
bool
convert_key_try(Oid tracking, List *columns, List *conversions)
{
	KeyConversion key = {tracking, columns, conversions, true};

	return attempt_or_message(change_key, &key, NULL);
}

/*
 * Returns true if such an expression, or a cast, can be evaluated over the tracking
 * table's key.
 */
bool
convert_key_possible(Oid tracking, List *columns, KeyColumn *column)
{
	KeyConversion key = {tracking, columns, list_make1(column), false};

	return column->using == NULL ||
		(attempt_or_message(read_key_expression, &key, NULL) && key.possible);
}

static void
read_key_expression(void *arg)
{
	KeyConversion *key = arg;
	Relation	tracking = table_open(key->tracking, AccessShareLock);

	key->possible = key_expression(tracking, key->columns,
								   copyObject(((KeyColumn *) linitial(key->conversions))->using)) != NULL;
	table_close(tracking, NoLock);
}

static void
change_key(void *arg)
{
	derived_for_each_owner(((KeyConversion *) arg)->tracking, change_key_of, arg);
}

static void
change_key_of(Oid relid, void *arg)
{
	KeyConversion *key = arg;
	Relation	rel = table_open(relid, NoLock);
	List	   *cmds = NIL;
	ListCell   *lc;

	foreach(lc, key->conversions)
	{
		KeyColumn  *column = lfirst(lc);
		TableColumn type = {column->held_by, column->type, column->typmod, column->collation, ""};
		AlterTableCmd *cmd = convert_type_command(&type);

		if (column->using)
			castNode(ColumnDef, cmd->def)->cooked_default =
				key_expression(rel, key->columns, copyObject(column->using));
		cmds = lappend(cmds, cmd);
	}
	table_close(rel, NoLock);
	ddl_alter_table_cmds(security_owner_of(relid), relid, cmds, true,
						 DDL_SESSION_SEARCH_PATH);
}

/*
 * What the expression, of the live table, means over a tracking table's key.  NULL
 * where it asks for whole rows, or is volatile.
 */
static Node *
key_expression(Relation tracking, List *columns, Node *using)
{
	ParseState *pstate = make_parsestate(NULL);
	Alias	   *alias = makeAlias(CONVERT_ROWS_ALIAS, NIL);
	ParseNamespaceItem *item;
	Node	   *expression;
	int			i;

	for (i = 0; i < RelationGetNumberOfAttributes(tracking); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(tracking), i);
		/* what nothing in the expression means */
		char	   *name = psprintf(CONVERT_ROWS_ALIAS " %d", i);
		ListCell   *lc;

		if (att->attisdropped)
			continue;
		foreach(lc, columns)
			if (strcmp(((KeyColumn *) lfirst(lc))->held_by, NameStr(att->attname)) == 0)
				name = pstrdup(((KeyColumn *) lfirst(lc))->name);
		alias->colnames = lappend(alias->colnames, makeString(name));
	}
	item = addRangeTableEntryForRelation(pstate, tracking, AccessShareLock, alias, false, true);
	addNSItemToQuery(pstate, item, false, true, true);
	if (convert_strip_qualifiers(using, NULL))
		return NULL;
	expression = transformExpr(pstate, using, EXPR_KIND_ALTER_COL_TRANSFORM);
	if (contain_volatile_functions(expression))
		return NULL;
	assign_expr_collations(pstate, expression);
	free_parsestate(pstate);
	return expression;
}

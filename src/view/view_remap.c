/*
 * view_remap.c
 *		The query of a view on views whose columns have got other numbers.
 *
 * A stored query names columns by number.  Here the numbers in its tree are
 * replaced, so that the view shows what it showed: nothing is parsed, no name is
 * looked up and nothing is evaluated.  PostgreSQL never does that, since the
 * columns of a table keep their numbers; the rules of the tree that are kept are
 * those of the parser (transformFromClauseItem for joins, whose columns are in
 * the order of their inputs') and of ruleutils.c, which relies on them.
 *
 * In a query are changed: references to columns (Var, also the syntactic ones),
 * fields of whole rows (FieldSelect), the column names of range table entries,
 * the columns that are checked for privileges, the origins of targets, and the
 * columns of joins, from which those that are gone are removed, and into which
 * those that have come are put.
 *
 * What holds rows of such a view as they were, or names their columns in another way
 * (a constant of its row type, ROW(...)::its_type, a function in FROM that returns it,
 * a whole row of a join of it), is not understood: the caller is told.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "view/view.h"
#include "compat.h"

/* How the columns of a range table entry are numbered now. */
typedef struct ColumnMap
{
	const ViewChange *change;	/* of a view's own entry; NULL: a join's */
	int			nold;
	const AttrNumber *map;		/* by former number - 1; 0: gone */
	List	   *added;			/* AddedColumn, in their order */
} ColumnMap;

typedef struct AddedColumn
{
	AttrNumber	attnum;
	char	   *name;
	Var		   *var;			/* as a join on the entry refers to it */
} AddedColumn;

typedef struct Remap
{
	List	   *changes;		/* ViewChange */
	List	   *levels;			/* arrays of ColumnMap *, the innermost query's first */
} Remap;

/* A column of a join: one of its inputs', merged ones excepted. */
typedef struct JoinColumn
{
	AttrNumber	input;			/* number in the input */
	AttrNumber	old;			/* number in the join until now; 0: added */
	Node	   *var;			/* or NULL */
	char	   *name;
} JoinColumn;

static bool remap_query(Query *query, Remap *remap);
static bool remap_node(Node *node, void *context);
static bool remap_var(Var *var, Remap *remap);
static bool remap_entries(Query *query, ColumnMap **maps, Remap *remap);
static void remap_privileges(Query *query, Remap *remap);
static Bitmapset *remap_set(Bitmapset *columns, const ViewChange *change);
static ColumnMap *map_of_view(const ViewChange *change, int rtindex);
static List *remap_names(List *names, const ColumnMap *map, List *all);
static bool remap_joins(Node *node, Query *query, ColumnMap **maps, Remap *remap);
static bool remap_join(JoinExpr *join, Query *query, ColumnMap **maps, Remap *remap);
static int	input_of(Node *node);
static AttrNumber remap_number(const ColumnMap *map, AttrNumber attnum);
static List *join_columns(RangeTblEntry *rte, List *inputs, int first, ColumnMap *map,
						  int nulled_by);
static int	compare_inputs(const ListCell *a, const ListCell *b);
static const ViewChange *change_of_type(Oid type, Remap *remap);
static bool is_row_of_changed(Node *node, Remap *remap);

/*
 * Change the query, which is the caller's own copy.  Returns false if it has
 * something that cannot be changed; it is of no use then.
 */
bool
view_remap(Query *query, List *changes)
{
	Remap		remap = {changes, NIL};

	return !remap_query(query, &remap);
}

/* This and the following return true for what cannot be changed, as walkers do to stop. */
static bool
remap_query(Query *query, Remap *remap)
{
	ColumnMap **maps = palloc0(sizeof(ColumnMap *) * Max(list_length(query->rtable), 1));
	bool		stopped;

	if (remap_entries(query, maps, remap))
		return true;
	remap_privileges(query, remap);
	remap->levels = lcons(maps, remap->levels);
	stopped = remap_joins((Node *) query->jointree, query, maps, remap) ||
		query_tree_walker(query, remap_node, remap, QTW_IGNORE_JOINALIASES);
	remap->levels = list_delete_first(remap->levels);
	return stopped;
}

static bool
remap_node(Node *node, void *context)
{
	Remap	   *remap = context;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Query:
			return remap_query((Query *) node, remap);
		case T_Var:
			return remap_var((Var *) node, remap);
		case T_TargetEntry:
			{
				TargetEntry *target = (TargetEntry *) node;
				ListCell   *lc;

				foreach(lc, remap->changes)
				{
					const ViewChange *change = lfirst(lc);

					if (target->resorigtbl != change->view)
						continue;
					target->resorigcol = change->map[target->resorigcol - 1];
					if (target->resorigcol == InvalidAttrNumber)
						target->resorigtbl = InvalidOid;
				}
				break;
			}
		case T_FieldSelect:
			{
				FieldSelect *field = (FieldSelect *) node;
				const ViewChange *change = change_of_type(exprType((Node *) field->arg), remap);

				if (change == NULL)
					break;
				field->fieldnum = change->map[field->fieldnum - 1];
				if (field->fieldnum == InvalidAttrNumber)
					return true;
				break;
			}
		case T_Const:
			return !((Const *) node)->constisnull && is_row_of_changed(node, remap);
		case T_RowExpr:
		case T_FieldStore:
		case T_ConvertRowtypeExpr:
			if (is_row_of_changed(node, remap))
				return true;
			break;
		default:
			break;
	}
	return expression_tree_walker(node, remap_node, context);
}

static bool
remap_var(Var *var, Remap *remap)
{
	ColumnMap **maps;
	ColumnMap  *map;

	if (var->varlevelsup >= list_length(remap->levels))
		return true;
	maps = list_nth(remap->levels, var->varlevelsup);

	if (var->varnosyn > 0 && (map = maps[var->varnosyn - 1]) != NULL && var->varattnosyn > 0)
	{
		var->varattnosyn = remap_number(map, var->varattnosyn);
		if (var->varattnosyn == InvalidAttrNumber)
			return true;
	}
	map = maps[var->varno - 1];
	if (map == NULL || (var->varattno == InvalidAttrNumber && map->change))
		return false;
	if (var->varattno <= 0)
		return true;
	var->varattno = remap_number(map, var->varattno);
	if (var->varattno == InvalidAttrNumber)
		return true;
	if (map->change)
	{
		Form_pg_attribute att = TupleDescAttr(map->change->new, var->varattno - 1);

		var->vartype = att->atttypid;
		var->vartypmod = att->atttypmod;
		var->varcollid = att->attcollation;
	}
	return false;
}

/* The entries of the query's range table for changed views, and their maps. */
static bool
remap_entries(Query *query, ColumnMap **maps, Remap *remap)
{
	int			i;

	for (i = 0; i < list_length(query->rtable); i++)
	{
		RangeTblEntry *rte = list_nth_node(RangeTblEntry, query->rtable, i);
		ListCell   *lc;

		if (rte->rtekind == RTE_FUNCTION)
			foreach(lc, rte->functions)
				if (is_row_of_changed(lfirst_node(RangeTblFunction, lc)->funcexpr, remap))
					return true;
		if (rte->rtekind != RTE_RELATION)
			continue;
		foreach(lc, remap->changes)
		{
			const ViewChange *change = lfirst(lc);
			List	   *all = NIL;
			int			column;

			if (change->view != rte->relid)
				continue;
			for (column = 0; column < change->new->natts; column++)
				all = lappend(all, makeString(pstrdup(NameStr(TupleDescAttr(change->new,
																			column)->attname))));
			maps[i] = map_of_view(change, i + 1);
			rte->eref->colnames = remap_names(rte->eref->colnames, maps[i], all);
			if (rte->alias)
				rte->alias->colnames = remap_names(rte->alias->colnames, maps[i], all);
		}
	}
	return false;
}

static ColumnMap *
map_of_view(const ViewChange *change, int rtindex)
{
	ColumnMap  *map = palloc0(sizeof(ColumnMap));
	int			i;

	map->change = change;
	map->nold = change->old->natts;
	map->map = change->map;
	for (i = 0; i < change->new->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(change->new, i);
		AddedColumn *added;

		if (change->from[i] != InvalidAttrNumber)
			continue;
		added = palloc(sizeof(AddedColumn));
		added->attnum = i + 1;
		added->name = pstrdup(NameStr(att->attname));
		added->var = makeVar(rtindex, i + 1, att->atttypid, att->atttypmod,
							 att->attcollation, 0);
		map->added = lappend(map->added, added);
	}
	return map;
}

/*
 * The names that an entry gives to its first columns, in the new order.  all: what
 * the columns are called where it gives them none, now.
 */
static List *
remap_names(List *names, const ColumnMap *map, List *all)
{
	List	   *new = NIL;
	int			last = 0;
	ListCell   *lc;
	int			i;

	for (i = 0; i < list_length(names); i++)
		last = Max(last, remap_number(map, i + 1));
	/* a complete list stays complete */
	if (list_length(names) == map->nold)
		last = list_length(all);
	for (i = 0; i < last; i++)
		new = lappend(new, copyObject(list_nth(all, i)));
	i = 0;
	foreach(lc, names)
	{
		AttrNumber	attnum = remap_number(map, ++i);

		if (attnum != InvalidAttrNumber)
			lfirst(list_nth_cell(new, attnum - 1)) = lfirst(lc);
	}
	return new;
}

/* The columns whose privileges are checked. */
static void
remap_privileges(Query *query, Remap *remap)
{
	ListCell   *checked;

	foreach(checked, QUERY_PRIVILEGES_COMPAT(query))
	{
		QueryPrivilegesCompat *privileges = lfirst(checked);
		ListCell   *lc;

		foreach(lc, remap->changes)
		{
			const ViewChange *change = lfirst(lc);

			if (change->view != privileges->relid)
				continue;
			privileges->selectedCols = remap_set(privileges->selectedCols, change);
			privileges->insertedCols = remap_set(privileges->insertedCols, change);
			privileges->updatedCols = remap_set(privileges->updatedCols, change);
		}
	}
}

static Bitmapset *
remap_set(Bitmapset *columns, const ViewChange *change)
{
	Bitmapset  *new = NULL;
	int			member = -1;

	while ((member = bms_next_member(columns, member)) >= 0)
	{
		AttrNumber	attnum = member + FirstLowInvalidHeapAttributeNumber;

		/* 0: whole rows */
		if (attnum > 0 && (attnum = change->map[attnum - 1]) == InvalidAttrNumber)
			continue;
		new = bms_add_member(new, attnum - FirstLowInvalidHeapAttributeNumber);
	}
	return new;
}

/* The joins in the tree, each after those that it joins. */
static bool
remap_joins(Node *node, Query *query, ColumnMap **maps, Remap *remap)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, FromExpr))
		foreach(lc, ((FromExpr *) node)->fromlist)
			if (remap_joins(lfirst(lc), query, maps, remap))
				return true;
	if (!IsA(node, JoinExpr))
		return false;
	return remap_joins(((JoinExpr *) node)->larg, query, maps, remap) ||
		remap_joins(((JoinExpr *) node)->rarg, query, maps, remap) ||
		remap_join((JoinExpr *) node, query, maps, remap);
}

/*
 * The columns of a join are its merged ones (USING), then the others of its left
 * input in their order, then those of its right one.
 */
static bool
remap_join(JoinExpr *join, Query *query, ColumnMap **maps, Remap *remap)
{
	RangeTblEntry *rte = rt_fetch(join->rtindex, query->rtable);
	ColumnMap  *left = maps[input_of(join->larg) - 1];
	ColumnMap  *right = maps[input_of(join->rarg) - 1];
	int			nmerged = rte->joinmergedcols;
	ColumnMap  *map;
	AttrNumber *numbers;
	List	   *columns[2];
	List	   *inputs[2] = {NIL, NIL};
	List	   *vars = NIL;
	List	   *names = NIL;
	bool		changed = false;
	ListCell   *lc;
	int			i;

	if (left == NULL && right == NULL)
		return false;
	foreach(lc, rte->joinaliasvars)
	{
		/* columns that are gone are referred to by no others than these */
		if (foreach_current_index(lc) >= nmerged && lfirst(lc) && IsA(lfirst(lc), Var))
		{
			Var		   *var = copyObject(lfirst(lc));

			if (remap_var(var, remap))
				continue;
		}
		if (remap_node(lfirst(lc), remap))
			return true;
	}

	map = palloc0(sizeof(ColumnMap));
	map->nold = list_length(rte->joinaliasvars);
	map->map = numbers = palloc0(sizeof(AttrNumber) * Max(map->nold, 1));
	for (i = 0; i < nmerged; i++)
	{
		numbers[i] = i + 1;
		vars = lappend(vars, list_nth(rte->joinaliasvars, i));
		names = lappend(names, list_nth(rte->eref->colnames, i));
		inputs[0] = lappend_int(inputs[0], remap_number(left, list_nth_int(rte->joinleftcols, i)));
		inputs[1] = lappend_int(inputs[1], remap_number(right, list_nth_int(rte->joinrightcols, i)));
	}
	columns[0] = join_columns(rte, rte->joinleftcols, nmerged, left,
							  join->jointype == JOIN_RIGHT || join->jointype == JOIN_FULL ?
							  join->rtindex : 0);
	columns[1] = join_columns(rte, rte->joinrightcols, list_length(rte->joinleftcols), right,
							  join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL ?
							  join->rtindex : 0);

	for (i = 0; i < 2; i++)
		foreach(lc, columns[i])
		{
			JoinColumn *column = lfirst(lc);
			AttrNumber	attnum = list_length(vars) + 1;

			changed |= column->old != attnum;
			vars = lappend(vars, column->var);
			names = lappend(names, makeString(column->name));
			inputs[i] = lappend_int(inputs[i], column->input);
			if (column->old != InvalidAttrNumber)
				numbers[column->old - 1] = attnum;
			else
			{
				AddedColumn *added = palloc(sizeof(AddedColumn));

				added->attnum = attnum;
				added->name = column->name;
				added->var = copyObject((Var *) column->var);
				/* an alias hides what is joined */
				if (rte->alias)
				{
					added->var->varnosyn = join->rtindex;
					added->var->varattnosyn = attnum;
				}
				map->added = lappend(map->added, added);
			}
		}
	changed |= list_length(vars) != map->nold;

	rte->joinaliasvars = vars;
	rte->joinleftcols = inputs[0];
	rte->joinrightcols = inputs[1];
	rte->eref->colnames = names;
	if (rte->alias)
		rte->alias->colnames = remap_names(rte->alias->colnames, map, names);
	if (changed)
		maps[join->rtindex - 1] = map;
	return false;
}

/* The range table index of what is joined. */
static int
input_of(Node *node)
{
	return IsA(node, JoinExpr) ? ((JoinExpr *) node)->rtindex :
		castNode(RangeTblRef, node)->rtindex;
}

static AttrNumber
remap_number(const ColumnMap *map, AttrNumber attnum)
{
	if (map == NULL || attnum <= 0)
		return attnum;
	return attnum <= map->nold ? map->map[attnum - 1] : InvalidAttrNumber;
}

/*
 * The columns that a join has from one input, merged ones excepted, in the order that
 * they have in it now.  inputs: their numbers there until now; first: how many
 * columns of the join come before them; nulled_by: the join, if it may make them NULL.
 */
static List *
join_columns(RangeTblEntry *rte, List *inputs, int first, ColumnMap *map, int nulled_by)
{
	List	   *columns = NIL;
	ListCell   *lc;
	int			i;

	for (i = rte->joinmergedcols; i < list_length(inputs); i++)
	{
		JoinColumn *column = palloc(sizeof(JoinColumn));

		column->old = first + i - rte->joinmergedcols + 1;
		column->input = remap_number(map, list_nth_int(inputs, i));
		column->var = list_nth(rte->joinaliasvars, column->old - 1);
		column->name = strVal(list_nth(rte->eref->colnames, column->old - 1));
		if (column->input != InvalidAttrNumber)
			columns = lappend(columns, column);
	}
	foreach(lc, map ? map->added : NIL)
	{
		AddedColumn *added = lfirst(lc);
		JoinColumn *column = palloc(sizeof(JoinColumn));

		column->old = InvalidAttrNumber;
		column->input = added->attnum;
		column->var = copyObject((Node *) added->var);
		column->name = added->name;
		if (nulled_by)
			var_add_nulling_join_compat((Var *) column->var, nulled_by);
		columns = lappend(columns, column);
	}
	list_sort(columns, compare_inputs);
	return columns;
}

static int
compare_inputs(const ListCell *a, const ListCell *b)
{
	return ((JoinColumn *) lfirst(a))->input - ((JoinColumn *) lfirst(b))->input;
}

/* The view whose row type it is, or a domain over it, or NULL. */
static const ViewChange *
change_of_type(Oid type, Remap *remap)
{
	ListCell   *lc;

	type = getBaseType(type);
	foreach(lc, remap->changes)
		if (get_rel_type_id(((ViewChange *) lfirst(lc))->view) == type)
			return lfirst(lc);
	return NULL;
}

/* Returns true if the expression gives rows of a changed view, or arrays of them. */
static bool
is_row_of_changed(Node *node, Remap *remap)
{
	Oid			type = getBaseType(exprType(node));

	return change_of_type(type, remap) ||
		(OidIsValid(get_element_type(type)) &&
		 change_of_type(get_element_type(type), remap));
}

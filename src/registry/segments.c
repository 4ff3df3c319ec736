/*
 * segments.c
 *		Which tables hold a history's older versions, and how old these are.
 *
 * A history may be cut by time.  What has been cut off is a segment: a table of the
 * same owner that inherits from the history table, the head, and bears a CHECK constraint
 * called SEGMENT_CONSTRAINT, which says that all its versions ended by a certain time:
 *
 *		CHECK (NOT upper_inf(sys_period) AND upper(sys_period) <= 'bound')
 *
 * So there is no list of segments that could be wrong, forged or left out of a dump:
 * PostgreSQL keeps it, pg_dump and pg_upgrade take it along, and what the constraint says
 * is true of every row once it has been validated.  Until then it is true of rows that
 * come.  Nobody may leave rows out that an unvalidated constraint speaks of.
 *
 * That is an upper bound only: versions began whenever they did, and a transaction that
 * began before a rotation and writes after it ends its versions in the head, at a time
 * before the bound.
 *
 * A segment whose versions are on another server is a foreign table of postgres_fdw, with the
 * same parent and constraint.
 *
 * Read from the catalogs; nothing is locked.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "foreign/fdwapi.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "registry/registry.h"
#include "compat.h"

static bool may_be_segment(Oid relid);
static char *columns_list_sql(Oid history);
static bool bound_of(Node *check, Oid relid, TimestampTz *bound);
static bool is_call_on_period(Node *node, Oid function, Oid relid);
static int	segment_compare(const ListCell *a, const ListCell *b);

PG_FUNCTION_INFO_V1(catmaid_history_segment_bound);

/*
 * The segments of a history table, oldest first, as Segments; palloc'd.  NIL if there are
 * none, or no such table.
 */
List *
segments_of(Oid history)
{
	List	   *segments = NIL;
	ListCell   *lc;

	if (get_rel_relkind(history) != RELKIND_RELATION || !lineage_may_have_below(history))
		return NIL;
	foreach(lc, find_inheritance_children(history, NoLock))
	{
		Segment		segment;

		if (segments_read(lfirst_oid(lc), &segment) && segment.history == history)
			segments = lappend(segments, memcpy(palloc(sizeof(Segment)), &segment,
												sizeof(Segment)));
	}
	list_sort(segments, segment_compare);
	return segments;
}

/* Their OIDs, oldest first. */
List *
segments_relids(Oid history)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, segments_of(history))
		relids = lappend_oid(relids, ((Segment *) lfirst(lc))->relid);
	return relids;
}

/* Of those that are tables here; oldest first. */
List *
segments_here(Oid history)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, segments_of(history))
		if (!OidIsValid(((Segment *) lfirst(lc))->server))
			relids = lappend_oid(relids, ((Segment *) lfirst(lc))->relid);
	return relids;
}

/* Of those that are foreign tables. */
List *
segments_on_servers(Oid history)
{
	return list_difference_oid(segments_relids(history), segments_here(history));
}

/* The history table and its segments that are here. */
List *
segments_here_and_head(Oid history)
{
	return lcons_oid(history, segments_here(history));
}

/* The history table and its segments: where a table's own versions are. */
List *
segments_and_head(Oid history)
{
	return lcons_oid(history, segments_relids(history));
}

/* The children of a history table that are no segments: histories of other tables. */
List *
segments_others(Oid history, LOCKMODE mode)
{
	List	   *children = find_inheritance_children(history, mode);

	return list_difference_oid(children, segments_relids(history));
}

/*
 * The tables of the history's schema that have a segment's constraint and no parent: what
 * somebody has taken away by NO INHERIT, some of this history's and some of others'; palloc'd.
 */
List *
segments_apart(Oid history)
{
	Relation	catalog = table_open(ConstraintRelationId, AccessShareLock);
	List	   *apart = NIL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_constraint_conname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(SEGMENT_CONSTRAINT));
	ScanKeyInit(&keys[1], Anum_pg_constraint_connamespace, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(get_rel_namespace(history)));
	scan = systable_beginscan(catalog, ConstraintNameNspIndexId, true, NULL, lengthof(keys), keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			relid = ((Form_pg_constraint) GETSTRUCT(tuple))->conrelid;

		if (OidIsValid(relid) && lineage_parents(relid) == NIL)
			apart = lappend_oid(apart, relid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return apart;
}

/* The history table of which relid is a segment, or InvalidOid. */
Oid
segments_head(Oid relid)
{
	Segment		segment;

	return segments_read(relid, &segment) ? segment.history : InvalidOid;
}

/*
 * Returns true, and what there is to know, if relid is a segment: it has one parent, of
 * the same owner, and the constraint.  One whose constraint says something else has no
 * bound (DT_NOEND).
 */
bool
segments_read(Oid relid, Segment *segment)
{
	Oid			constraint;
	List	   *parents;
	HeapTuple	tuple;
	Form_pg_constraint form;
	bool		isnull;
	Datum		expression;

	if (!may_be_segment(relid))
		return false;
	constraint = get_relation_constraint_oid(relid, SEGMENT_CONSTRAINT, true);
	if (!OidIsValid(constraint))
		return false;
	parents = lineage_parents(relid);
	if (list_length(parents) != 1 ||
		security_owner_or_invalid(linitial_oid(parents)) != security_owner_or_invalid(relid))
		return false;

	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	memset(segment, 0, sizeof(Segment));
	segment->relid = relid;
	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		segment->server = GetForeignServerIdByRelId(relid);
	segment->history = linitial_oid(parents);
	segment->bound = DT_NOEND;
	expression = SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_conbin, &isnull);
	if (form->contype == CONSTRAINT_CHECK && !isnull &&
		bound_of(stringToNode(TextDatumGetCString(expression)), relid, &segment->bound))
		segment->verified = form->convalidated;
	ReleaseSysCache(tuple);
	return true;
}

/*
 * Returns true, and the bound, if the relation has the constraint, and it is true of every
 * row: for the planner, which asks for every child of a history.
 */
bool
segments_valid_bound(Relation rel, TimestampTz *bound)
{
	TupleConstr *constraints = RelationGetDescr(rel)->constr;
	int			i;

	for (i = 0; constraints && i < constraints->num_check; i++)
		if (constraints->check[i].ccvalid &&
			strcmp(constraints->check[i].ccname, SEGMENT_CONSTRAINT) == 0)
			return bound_of(stringToNode(constraints->check[i].ccbin), RelationGetRelid(rel),
							bound);
	return false;
}

/* Most tables are none, and nearly all relations are asked for (registered.c). */
static bool
may_be_segment(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		may;

	if (!HeapTupleIsValid(tuple))
		return false;
	may = (((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_RELATION ||
		   ((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_FOREIGN_TABLE) &&
		((Form_pg_class) GETSTRUCT(tuple))->relchecks > 0;
	ReleaseSysCache(tuple);
	return may;
}

/*
 * What a query reads to see the table's own versions, and nothing that others have below
 * them; palloc'd.  Through the head, on which the reader has privileges if on anything.
 */
char *
segments_source(Oid history)
{
	List	   *tables = segments_and_head(history);
	StringInfoData sql;
	ListCell   *lc;

	if (list_length(tables) == 1)
		return psprintf("ONLY %s", naming_quoted(history));
	if (segments_others(history, NoLock) == NIL)
		return naming_quoted(history);
	initStringInfo(&sql);
	foreach(lc, tables)
		appendStringInfo(&sql, "%s%u", sql.len > 0 ? "," : "", lfirst_oid(lc));
	return psprintf("(SELECT %s FROM %s o WHERE o.tableoid OPERATOR(pg_catalog.=) "
					"ANY ('{%s}'::pg_catalog.oid[]))", columns_list_sql(history),
					naming_quoted(history), sql.data);
}

/* The columns of the head, which its segments have, too. */
static char *
columns_list_sql(Oid history)
{
	Relation	rel = table_open(history, AccessShareLock);
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	for (i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			appendStringInfo(&sql, "%s%s", sql.len > 0 ? ", " : "",
							 quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname)));
	table_close(rel, NoLock);
	return sql.data;
}

/* The extension's view catmaid_history_segments, or InvalidOid. */
Oid
segments_view(void)
{
	return get_relname_relid("catmaid_history_segments", extension_namespace());
}

/* catmaid_history_segment_bound(segment): until when its versions ended, NULL if unknown */
Datum
catmaid_history_segment_bound(PG_FUNCTION_ARGS)
{
	Segment		segment;

	if (!segments_read(PG_GETARG_OID(0), &segment) || segment.bound == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(segment.bound);
}

/* The constraint as actions of ALTER TABLE, for rows that are there and not looked at; palloc'd. */
char *
segments_constraint_sql(TimestampTz bound)
{
	return psprintf("ADD CONSTRAINT %s CHECK (NOT pg_catalog.upper_inf(%s) AND "
					"pg_catalog.upper(%s) OPERATOR(pg_catalog.<=) %s::pg_catalog.timestamptz) "
					"NO INHERIT NOT VALID", SEGMENT_CONSTRAINT, PERIOD_COLUMN, PERIOD_COLUMN,
					quote_literal_cstr(timestamptz_to_str(bound)));
}

/* The bound that the constraint's expression sets, if it is ours. */
static bool
bound_of(Node *check, Oid relid, TimestampTz *bound)
{
	BoolExpr   *both = (BoolExpr *) check;
	BoolExpr   *negation;
	OpExpr	   *comparison;
	Const	   *value;

	if (!IsA(both, BoolExpr) || both->boolop != AND_EXPR || list_length(both->args) != 2)
		return false;
	negation = linitial(both->args);
	comparison = lsecond(both->args);
	if (!IsA(negation, BoolExpr) || negation->boolop != NOT_EXPR ||
		!is_call_on_period(linitial(negation->args), F_UPPER_INF_COMPAT, relid) ||
		!IsA(comparison, OpExpr) || comparison->opfuncid != F_TIMESTAMPTZ_LE_COMPAT ||
		!is_call_on_period(linitial(comparison->args), F_UPPER_COMPAT, relid))
		return false;
	value = lsecond(comparison->args);
	if (!IsA(value, Const) || value->constisnull || value->consttype != TIMESTAMPTZOID)
		return false;
	*bound = DatumGetTimestampTz(value->constvalue);
	return true;
}

static bool
is_call_on_period(Node *node, Oid function, Oid relid)
{
	FuncExpr   *call = (FuncExpr *) node;
	Var		   *column;

	if (!IsA(call, FuncExpr) || call->funcid != function)
		return false;
	column = linitial(call->args);
	return IsA(column, Var) && column->vartype == TSTZRANGEOID &&
		column->varattno == get_attnum(relid, PERIOD_COLUMN);
}

static int
segment_compare(const ListCell *a, const ListCell *b)
{
	const Segment *left = lfirst(a);
	const Segment *right = lfirst(b);

	if (left->bound != right->bound)
		return left->bound < right->bound ? -1 : 1;
	return left->relid < right->relid ? -1 : left->relid > right->relid;
}

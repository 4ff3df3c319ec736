/*
 * references.c
 *		Foreign keys, judged before anything is written.
 *
 * A row that is to come must find the row that it refers to, as it will be: live and not
 * to go, or to come as well.  A row that is to go must leave none behind that refers to
 * it: ON DELETE CASCADE would take it along in silence.  What cannot be is left out, and
 * so may take from another one what that needs: until nothing more is left out.  Unique
 * values are judged along with it (unique.c).
 *
 * A changed key is one row that goes and one that comes; where one of them is left out
 * the other one is, too, or there would be two of the row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "undo/undo.h"

static UndoReference *reference_read(UndoRun *run, HeapTuple tuple, TupleDesc desc);
static UndoColumn *column_of(const UndoTable *table, Oid relid, AttrNumber attnum);
static int	reference_numbers(HeapTuple tuple, TupleDesc desc, int column, Oid type, void **numbers);
static void reference_order(UndoRun *run);
static bool may_see(Oid relid);
static uint64 judge_forward(UndoRun *run, UndoReference *reference);
static uint64 judge_left_out(UndoRun *run, UndoReference *reference);
static uint64 judge_backward(UndoRun *run, UndoReference *reference);
static uint64 judge_chain(UndoRun *run, UndoReference *reference);
static char *keeps_value_sql(const UndoReference *reference);
static uint64 judge_halves(UndoRun *run, UndoTable *table);
static char *rows_of(Oid relid);
static char *match_sql(const UndoReference *reference, const char *parent, bool parent_planned,
					   bool parent_before, const char *child, bool child_planned);
static void count_again(UndoRun *run, UndoTable *table);

/* Read the foreign keys of the run's tables. */
void
references_find(UndoRun *run)
{
	StringInfoData sql;
	ListCell   *lc;
	uint64		i;

	if (run->tables == NIL)
		return;
	initStringInfo(&sql);
	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);
		List	   *relids = table->live->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
			lineage_below(table->relid) : list_make1_oid(table->relid);
		ListCell   *of;

		foreach(of, relids)
			appendStringInfo(&sql, "%s%u", sql.len > 0 ? "," : "", lfirst_oid(of));
	}
	/* "conperiod" came with PostgreSQL 18 */
	SPI_execute(psprintf("SELECT c.oid, c.conname::pg_catalog.text, c.conrelid, c.confrelid, c.conkey, c.confkey, c.conpfeqop, "
						 "c.confdeltype OPERATOR(pg_catalog.<>) 'a', c.confupdtype OPERATOR(pg_catalog.<>) 'a' "
						 "FROM pg_catalog.pg_constraint c WHERE c.contype OPERATOR(pg_catalog.=) 'f' AND c.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid "
						 "AND (c.conrelid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[]) OR c.confrelid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])) "
						 "AND COALESCE(pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.->>) 'conperiod'::pg_catalog.text, 'false') OPERATOR(pg_catalog.<>) 'true' ORDER BY c.oid",
						 sql.data, sql.data), true, 0);
	for (i = 0; i < SPI_processed; i++)
	{
		MemoryContext before = MemoryContextSwitchTo(run->context);

		run->references = lappend(run->references,
								  reference_read(run, SPI_tuptable->vals[i], SPI_tuptable->tupdesc));
		MemoryContextSwitchTo(before);
	}
	SPI_freetuptable(SPI_tuptable);
	reference_order(run);
}

static UndoReference *
reference_read(UndoRun *run, HeapTuple tuple, TupleDesc desc)
{
	UndoReference *reference = palloc0(sizeof(UndoReference));
	bool		isnull;
	int			i;

	reference->constraint = DatumGetObjectId(heap_getattr(tuple, 1, desc, &isnull));
	reference->name = TextDatumGetCString(heap_getattr(tuple, 2, desc, &isnull));
	reference->child = DatumGetObjectId(heap_getattr(tuple, 3, desc, &isnull));
	reference->parent = DatumGetObjectId(heap_getattr(tuple, 4, desc, &isnull));
	reference->child_table = table_of(run, lineage_root(reference->child));
	reference->parent_table = table_of(run, lineage_root(reference->parent));
	reference->nkeys = reference_numbers(tuple, desc, 5, INT2OID, (void **) &reference->child_columns);
	(void) reference_numbers(tuple, desc, 6, INT2OID, (void **) &reference->parent_columns);
	(void) reference_numbers(tuple, desc, 7, OIDOID, (void **) &reference->operators);
	reference->delete_acts = DatumGetBool(heap_getattr(tuple, 8, desc, &isnull));
	reference->update_acts = DatumGetBool(heap_getattr(tuple, 9, desc, &isnull));
	reference->by_key = true;
	for (i = 0; reference->parent_table && i < reference->nkeys; i++)
	{
		UndoColumn *column = column_of(reference->parent_table, reference->parent, reference->parent_columns[i]);

		column->is_referred |= !column->is_key;
		reference->by_key &= column->is_key;
	}
	for (i = 0; reference->child_table && i < reference->nkeys; i++)
		reference->own_columns = lappend(reference->own_columns,
										 column_of(reference->child_table, reference->child, reference->child_columns[i]));
	return reference;
}

/* The column of the table, or of a partition of it, among those of the table. */
static UndoColumn *
column_of(const UndoTable *table, Oid relid, AttrNumber attnum)
{
	if (relid != table->relid)
		attnum = get_attnum(table->relid, get_attname(relid, attnum, false));
	return table_column_of(table, attnum);
}

static int
reference_numbers(HeapTuple tuple, TupleDesc desc, int column, Oid type, void **numbers)
{
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypePCopy(heap_getattr(tuple, column, desc, &isnull));

	Assert(ARR_ELEMTYPE(array) == type && ARR_NDIM(array) == 1 && !ARR_HASNULL(array));
	*numbers = ARR_DATA_PTR(array);
	return ARR_DIMS(array)[0];
}

/* Parents get higher numbers than what refers to them, as far as there are no cycles. */
static void
reference_order(UndoRun *run)
{
	int			passes = list_length(run->tables);
	bool		changed = true;
	ListCell   *lc;

	while (changed && passes-- > 0)
	{
		changed = false;
		foreach(lc, run->references)
		{
			UndoReference *reference = lfirst(lc);

			if (reference->child_table && reference->parent_table &&
				reference->child_table != reference->parent_table &&
				reference->parent_table->order <= reference->child_table->order)
			{
				reference->parent_table->order = reference->child_table->order + 1;
				changed = true;
			}
		}
	}
}

/* Note in each table's "blocked" what of its plan cannot be. */
void
references_judge(UndoRun *run)
{
	ListCell   *lc;
	uint64		added;

	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);

		table->blocked = store_query(run, "blocked", table,
									 "SELECT NULL::pg_catalog.int8 AS n, NULL::pg_catalog.text AS why WHERE false");
	}
	do
	{
		added = 0;
		foreach(lc, run->references)
		{
			added += judge_forward(run, lfirst(lc));
			added += judge_left_out(run, lfirst(lc));
			added += judge_backward(run, lfirst(lc));
			added += judge_chain(run, lfirst(lc));
		}
		foreach(lc, run->tables)
		{
			UndoTable  *table = lfirst(lc);

			if (table->plan->count == 0)
				continue;
			added += unique_judge(run, table);
			added += judge_halves(run, table);
		}
	} while (added > 0);
	foreach(lc, run->tables)
		count_again(run, lfirst(lc));
}

/*
 * Returns true if rows of the table can be deleted and inserted in one statement, and keep
 * what refers to them. A foreign key that does something when they go would do it.
 */
bool
references_let_replace(const UndoRun *run, const UndoTable *table)
{
	ListCell   *lc;

	foreach(lc, run->references)
	{
		UndoReference *reference = lfirst(lc);

		if (reference->parent_table == table && reference->delete_acts)
			return false;
	}
	return true;
}

/* Returns true if a foreign key does something to what refers to rows that are written. */
bool
references_act(const UndoRun *run)
{
	ListCell   *lc;

	foreach(lc, run->references)
	{
		UndoReference *reference = lfirst(lc);

		if (reference->parent_table && reference->child_table &&
			((reference->delete_acts && reference->parent_table->acts[0] > 0) ||
			 (reference->update_acts && !reference->by_key && reference->parent_table->acts[1] > 0)))
			return true;
	}
	return false;
}

/* Returns true if the caller may see all rows of the table. */
static bool
may_see(Oid relid)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED;
}

/* Rows that come, and what they refer to is not there. */
static uint64
judge_forward(UndoRun *run, UndoReference *reference)
{
	UndoTable  *child = reference->child_table;
	UndoTable  *parent = reference->parent_table;
	bool		parent_goes = parent && (reference->by_key ? parent->acts[0] + parent->acts[2] > 0 : parent->plan->count > 0);
	StringInfoData not_null;
	StringInfoData sql;
	int			i;

	if (child == NULL || child->plan->count == 0 || (!parent_goes && reference->ndiffer == 0) ||
		!may_see(reference->parent))
		return 0;
	initStringInfo(&not_null);
	for (i = 0; i < reference->nkeys; i++)
		appendStringInfo(&not_null, " AND c.%s IS NOT NULL",
						 column_of(child, reference->child, reference->child_columns[i])->alias);
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT c.n, %s FROM (%s) c LEFT JOIN %s r ON %s",
					 quote_literal_cstr(psprintf("it refers to a row of table \"%s\" that is not there (constraint \"%s\")",
												 get_rel_name(reference->parent), reference->name)),
					 plan_rows_sql(run, child, "IU"), rows_of(reference->parent),
					 match_sql(reference, "r", false, false, "c", true));
	if (parent_goes)
		appendStringInfo(&sql, " LEFT JOIN (%s) d ON %s LEFT JOIN (%s) i ON %s",
						 plan_rows_sql(run, parent, "DU"), table_live_equal_sql(parent, "r", "d"),
						 plan_rows_sql(run, parent, "IU"), match_sql(reference, "i", true, false, "c", true));
	appendStringInfo(&sql, " WHERE (r.ctid IS NULL%s)%s%s", parent_goes ? " OR d.n IS NOT NULL) AND (i.n IS NULL" : "",
					 not_null.data, parent_goes ? "" : psprintf(" AND c.same_%u IS NOT TRUE", reference->constraint));
	return store_add(run, child->blocked, sql.data);
}

/*
 * Rows that come, and what they referred to is left out, as there is another row of its key by
 * now: they would be that row's.
 */
static uint64
judge_left_out(UndoRun *run, UndoReference *reference)
{
	UndoTable  *child = reference->child_table;
	UndoTable  *parent = reference->parent_table;

	if (child == NULL || child->plan->count == 0 || parent == NULL || parent->nconflicts == 0)
		return 0;
	return store_add(run, child->blocked,
					 psprintf("SELECT DISTINCT c.n, %s FROM (%s) c JOIN %s x ON %s "
							  "WHERE c.same_%u IS NOT TRUE AND NOT x.is_d "
							  "AND x.kind OPERATOR(pg_catalog.=) ANY (ARRAY['" KIND_TAKEN "', '" KIND_BETWEEN "']) AND NOT (%s)",
							  quote_literal_cstr(psprintf("it refers to a row of table \"%s\" that does not come back (constraint \"%s\")",
														  get_rel_name(reference->parent), reference->name)),
							  plan_rows_sql(run, child, "IU"), parent->plan->name,
							  match_sql(reference, "x", true, false, "c", true), reference->constraint,
							  plan_active_sql(run, parent, "x")));
}

/*
 * Rows that go, or lose a value, and others refer to them.  If another row comes with the same
 * value they may, unless the foreign key does something to them then: it would do it to rows
 * that come back as well.
 */
static uint64
judge_backward(UndoRun *run, UndoReference *reference)
{
	UndoTable  *child = reference->child_table;
	UndoTable  *parent = reference->parent_table;
	StringInfoData acting;
	StringInfoData sql;
	char	   *goes;
	char	   *comes;
	uint64		added;

	if (parent == NULL || parent->plan->count == 0 || (reference->by_key && parent->acts[0] == 0))
		return 0;
	initStringInfo(&acting);
	appendStringInfo(&acting, "%s", reference->delete_acts ? "p.is_d" : "false");
	if (reference->update_acts && !reference->by_key)
		appendStringInfo(&acting, " OR (p.is_u AND NOT (%s))", keeps_value_sql(reference));
	goes = plan_rows_sql(run, parent, reference->by_key ? "D" : "DU");
	if (!may_see(reference->child))
	{
		/* what refuses by itself need not be looked at */
		if (store_execute(run, psprintf("SELECT pg_catalog.count(*) FROM (%s) p WHERE %s", goes, acting.data)) > 0)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(reference->child));
		return 0;
	}
	comes = plan_rows_sql(run, parent, "IU");

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT DISTINCT p.n, %s FROM (%s) p JOIN %s k ON %s LEFT JOIN (%s) i ON %s",
					 quote_literal_cstr(psprintf("a row of table \"%s\" refers to it (constraint \"%s\")",
												 get_rel_name(reference->child), reference->name)),
					 goes, rows_of(reference->child), match_sql(reference, "p", true, true, "k", false),
					 comes, match_sql(reference, "i", true, false, "k", false));
	if (child && child->plan->count > 0)
		appendStringInfo(&sql, " LEFT JOIN (%s) d ON %s", plan_rows_sql(run, child, "DU"),
						 table_live_equal_sql(child, "k", "d"));
	appendStringInfo(&sql, " WHERE (i.n IS NULL OR %s)%s", acting.data,
					 child && child->plan->count > 0 ? " AND d.n IS NULL" : "");
	added = store_add(run, parent->blocked, sql.data);
	if (reference->by_key || child == NULL || child->plan->count == 0 ||
		!(reference->delete_acts || reference->update_acts))
		return added;
	return added +
		store_add(run, parent->blocked,
				  psprintf("SELECT DISTINCT p.n, %s FROM (%s) p JOIN (%s) k ON %s WHERE %s",
						   quote_literal_cstr(psprintf("a row of table \"%s\" that comes back refers to its value (constraint \"%s\")",
													   get_rel_name(reference->child), reference->name)),
						   goes, plan_rows_sql(run, child, "IU"), match_sql(reference, "p", true, true, "k", true),
						   acting.data));
}

/* Along the chain of a table that refers to itself, all at once (chain.c). */
static uint64
judge_chain(UndoRun *run, UndoReference *reference)
{
	UndoTable  *table = reference->parent_table;

	if (table == NULL || table != reference->child_table || !reference->by_key || table->blocked->count == 0 ||
		!may_see(reference->parent))
		return 0;
	return chain_judge(run, table, match_sql(reference, "p", true, true, "c", true),
					   psprintf("c.same_%u", reference->constraint),
					   psprintf("a row of table \"%s\" refers to it (constraint \"%s\")",
								get_rel_name(reference->child), reference->name),
					   psprintf("it refers to a row of table \"%s\" that is not there (constraint \"%s\")",
								get_rel_name(reference->parent), reference->name));
}

/* "The parent p has the values that are referred to before and after." */
static char *
keeps_value_sql(const UndoReference *reference)
{
	StringInfoData before;
	StringInfoData after;
	int			i;

	initStringInfo(&before);
	initStringInfo(&after);
	for (i = 0; i < reference->nkeys; i++)
	{
		UndoColumn *column = column_of(reference->parent_table, reference->parent, reference->parent_columns[i]);

		appendStringInfo(&before, "%sp.%s%s", i > 0 ? ", " : "", column->is_referred ? "o" : "", column->alias);
		appendStringInfo(&after, "%sp.%s", i > 0 ? ", " : "", column->alias);
	}
	return psprintf("pg_catalog.record_image_eq(ROW(%s), ROW(%s))", before.data, after.data);
}

/* One half of a changed key is left out: so is the other one, which is alike but for the key. */
static uint64
judge_halves(UndoRun *run, UndoTable *table)
{
	StringInfoData a;
	StringInfoData b;
	ListCell   *lc;

	if (run->restore || (table->nconflicts == 0 && table->blocked->count == 0))
		return 0;
	initStringInfo(&a);
	initStringInfo(&b);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_key || column->is_silent || column->is_generated)
			continue;
		appendStringInfo(&a, "%sa.%s", a.len > 0 ? ", " : "", column->alias);
		appendStringInfo(&b, "%sb.%s", b.len > 0 ? ", " : "", column->alias);
	}

	/* rows that are a key and nothing else are not alike for that */
	if (a.len == 0)
		return 0;
	/* two columns of subqueries, so that they can be sorted and merged */
	return store_add(run, table->blocked,
					 psprintf("SELECT a.n, 'it may be the same row under another key as one that is in conflict'::pg_catalog.text "
							  "FROM (SELECT a.n, a.is_d, ROW(%s) AS r FROM (%s) a OFFSET 0) a WHERE EXISTS "
							  "(SELECT FROM (SELECT b.is_d, ROW(%s) AS r FROM %s b WHERE NOT b.is_u AND NOT (%s) OFFSET 0) b "
							  "WHERE b.r OPERATOR(pg_catalog.*=) a.r AND b.is_d OPERATOR(pg_catalog.<>) a.is_d)",
							  a.data, plan_rows_sql(run, table, "DI"), b.data, table->plan->name,
							  plan_active_sql(run, table, "b")));
}

/* The rows of the table as a foreign key means them. */
static char *
rows_of(Oid relid)
{
	return psprintf("%s%s", get_rel_relkind(relid) == RELKIND_RELATION ? "ONLY " : "",
					naming_quoted(relid));
}

/*
 * "The row of that name has what the other one refers to"; planned: of a plan, else live;
 * before: as it is before it goes.
 */
static char *
match_sql(const UndoReference *reference, const char *parent, bool parent_planned,
		  bool parent_before, const char *child, bool child_planned)
{
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	for (i = 0; i < reference->nkeys; i++)
	{
		AttrNumber	up = reference->parent_columns[i];
		AttrNumber	down = reference->child_columns[i];
		Oid			parent_type = get_atttype(reference->parent, up);
		Oid			child_type = get_atttype(reference->child, down);
		char	   *parent_sql = psprintf("%s.%s", parent, quote_identifier(get_attname(reference->parent, up, false)));
		char	   *child_sql = psprintf("%s.%s", child, quote_identifier(get_attname(reference->child, down, false)));

		if (parent_planned)
		{
			UndoColumn *column = column_of(reference->parent_table, reference->parent, up);

			parent_type = column->type;
			parent_sql = psprintf("%s.%s%s", parent, parent_before && column->is_referred ? "o" : "", column->alias);
		}
		if (child_planned)
		{
			UndoColumn *column = column_of(reference->child_table, reference->child, down);

			child_type = column->type;
			child_sql = psprintf("%s.%s", child, column->alias);
		}
		if (i > 0)
			appendStringInfoString(&sql, " AND ");
		table_equal_sql(&sql, parent_sql, parent_type, reference->operators[i],
						child_sql, child_type);
	}
	return sql.data;
}

/* How many rows are to be written, without those that are left out. */
static void
count_again(UndoRun *run, UndoTable *table)
{
	static const char *const acts[] = {"D", "U", "I"};
	int			i;

	if (table->nconflicts == 0 && table->blocked->count == 0)
		return;
	for (i = 0; i < lengthof(acts); i++)
		table->planned[i] = store_execute(run, psprintf("SELECT pg_catalog.count(*) FROM (%s) x",
														plan_rows_sql(run, table, acts[i])));
}

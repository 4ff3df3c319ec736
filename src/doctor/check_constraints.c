/*
 * check_constraints.c
 *		What a site has put on a history or tracking table by which writes may fail.
 *
 * A site may put constraints on a history, as on any table.  But migrations that
 * ask the catalogs for "all tables with a column of that name" put them there
 * without meaning to: a unique index on columns of the live table refuses the next
 * version of a row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "doctor/doctor.h"

static void check_unique_indexes(Check *check);
static bool is_on_live_columns(Form_pg_index index, Oid history, Oid live);
static void check_demands(Check *check, Oid derived);

void
check_constraints(Check *check)
{
	check_unique_indexes(check);
	check_demands(check, check->row->history);
	if (OidIsValid(check->row->tracking) && get_rel_name(check->row->tracking) != NULL)
		check_demands(check, check->row->tracking);
}

/* Unique and exclusion indexes of the history that tell no versions of a row apart. */
static void
check_unique_indexes(Check *check)
{
	Oid			history = check->row->history;
	Relation	indexes = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(history));
	scan = systable_beginscan(indexes, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
		Oid			constraint = get_index_constraint(form->indexrelid);

		if ((form->indisunique || form->indisexclusion) &&
			is_on_live_columns(form, history, check->row->live))
			check_finding(check, "error", "unique_on_history", get_rel_name(form->indexrelid),
						  OidIsValid(constraint) ?
						  psprintf("ALTER TABLE %s DROP CONSTRAINT %s;", naming_quoted(history),
								   quote_identifier(get_constraint_name(constraint))) :
						  psprintf("DROP INDEX %s;", naming_quoted(form->indexrelid)),
						  "Index %s lets history table %s hold one version of a row only: writes fail by it.",
						  naming_quoted(form->indexrelid), naming_quoted(history));
	}
	systable_endscan(scan);
	table_close(indexes, AccessShareLock);
}

/*
 * Returns true if all columns of the index are columns of the live table, and none is an
 * expression.
 */
static bool
is_on_live_columns(Form_pg_index index, Oid history, Oid live)
{
	int			i;

	for (i = 0; i < index->indnkeyatts; i++)
	{
		char	   *name = index->indkey.values[i] > 0 ?
			get_attname(history, index->indkey.values[i], true) : NULL;

		if (name == NULL || get_attnum(live, name) == InvalidAttrNumber)
			return false;
	}
	return true;
}

/* CHECKs and foreign keys on a derived table, and foreign keys that refer to it. */
static void
check_demands(Check *check, Oid derived)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(derived));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype == CONSTRAINT_CHECK || form->contype == CONSTRAINT_FOREIGN)
			check_finding(check, "info", "constraint_on_history", NameStr(form->conname),
						  psprintf("If it is not meant: ALTER TABLE %s DROP CONSTRAINT %s;",
								   naming_quoted(derived), quote_identifier(NameStr(form->conname))),
						  "%s has %s constraint \"%s\": writes that it does not allow fail.",
						  naming_quoted(derived),
						  form->contype == CONSTRAINT_CHECK ? "CHECK" : "foreign key",
						  NameStr(form->conname));
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
}

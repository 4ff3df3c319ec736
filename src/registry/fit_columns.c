/*
 * fit_columns.c
 *		How the columns of a history, and those that tell when a row was edited, differ
 *		from what the live table needs.
 *
 * Each difference is an entry of a list, and everything that fits is in none: so nothing
 * is allocated for a history that is in order.  What a difference means is the caller's
 * to say: a finding of check_history, something to repair, or the end of a write.
 *
 * Read from the relations' descriptors: callers hold the locks that they need.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/rel.h"

#include "registry/registry.h"
#include "compat.h"

static List *fit_time_column(List *differences, Relation live, const char *name, Oid type);
static Difference *fit_difference(DifferenceKind kind, const char *name, Form_pg_attribute att,
								  Form_pg_attribute held);

/*
 * Returns true if the history column can hold every value of the live one, which the
 * types tell; false if there is none (NULL).
 */
bool
fit_holds(Form_pg_attribute live, Form_pg_attribute held)
{
	return held && types_hold(live->atttypid, live->atttypmod,
							  held->atttypid, held->atttypmod);
}

/*
 * The differences between the columns of live, the live table or a partition of it, and
 * those of the history, in the order of the live ones.
 */
List *
fit_history(Relation live, Relation history)
{
	TupleDesc	desc = RelationGetDescr(live);
	List	   *differences = NIL;
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Form_pg_attribute held;

		if (att->attisdropped)
			continue;
		held = columns_find(history, NameStr(att->attname));
		if (!fit_holds(att, held))
			differences = lappend(differences,
								  fit_difference(held ? HISTORY_COLUMN_NARROW : HISTORY_LACKS_COLUMN,
												 NameStr(att->attname), att, held));
		if (held && held->attnotnull)
			differences = lappend(differences,
								  fit_difference(HISTORY_COLUMN_NOT_NULL,
												 NameStr(att->attname), att, held));
	}
	return differences;
}

/*
 * What keeps two columns from telling when a row was edited, and in which transaction.  A
 * row must hold the time, and the transaction be put into it.
 */
List *
fit_time_columns(Relation live, const char *time_column, const char *txid_column)
{
	return fit_time_column(fit_time_column(NIL, live, time_column, TIMESTAMPTZOID),
						   live, txid_column, INT8OID);
}

static List *
fit_time_column(List *differences, Relation live, const char *name, Oid type)
{
	Form_pg_attribute att = columns_find(live, name);
	DifferenceKind kind;
	Difference *difference;

	if (att == NULL)
		kind = TIME_COLUMN_MISSING;
	else if (att->atttypid != type)
		kind = TIME_COLUMN_OF_OTHER_TYPE;
	else if (type == INT8OID ? att->attgenerated != '\0' : attribute_is_virtual_compat(att))
		kind = TIME_COLUMN_COMPUTED;
	else
		return differences;

	difference = fit_difference(kind, name, att, NULL);
	difference->type = type;
	return lappend(differences, difference);
}

/* Returns true if one of the differences is of the kind. */
bool
fit_differs(const List *differences, DifferenceKind kind)
{
	ListCell   *lc;

	foreach(lc, differences)
		if (((Difference *) lfirst(lc))->kind == kind)
			return true;
	return false;
}

/* Nothing of it refers to the relations, which may be closed, or change. */
static Difference *
fit_difference(DifferenceKind kind, const char *name, Form_pg_attribute att,
			   Form_pg_attribute held)
{
	Difference *difference = palloc0(sizeof(Difference));

	difference->kind = kind;
	difference->name = pstrdup(name);
	if (att)
	{
		memcpy(&difference->live, att, ATTRIBUTE_FIXED_PART_SIZE);
		types_below_domains(att, &difference->type, &difference->typmod);
	}
	if (held)
		memcpy(&difference->held, held, ATTRIBUTE_FIXED_PART_SIZE);
	return difference;
}

/*
 * derived_shape.c
 *		Whether a table looks like a history or a tracking table.
 *
 * Told by the columns that only these have.  What says that a table is a history of
 * a certain live table is the registry, and the mark (mark.c).
 *
 * Read from the catalogs: callers hold the locks that they need.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "registry/registry.h"
#include "compat.h"

static int	count_tracking_columns(Oid relid, int *others);
static bool has_column(Oid relid, const char *name, Oid type);
static bool has_default(Oid relid, const char *name);

/*
 * The relation of that name and kind beside the live table, if it belongs to
 * the live table's owner.
 */
Oid
derived_find(Oid live, const char *name, char relkind)
{
	Oid			relid = get_relname_relid(name, get_rel_namespace(live));

	if (!OidIsValid(relid) || get_rel_relkind(relid) != relkind ||
		security_owner_of(relid) != security_owner_of(live))
		return InvalidOid;
	return relid;
}

/* Returns true if the table has the columns that make it a history table. */
bool
derived_is_history(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_RELATION &&
		has_column(relid, PERIOD_COLUMN, TSTZRANGEOID) &&
		has_column(relid, XID_COLUMN, INT8OID);
}

/*
 * Returns true for a history table that was kept, not just one that looks like it: the two
 * columns have the defaults that a history table has.
 */
bool
derived_has_history_defaults(Oid relid)
{
	return derived_is_history(relid) &&
		has_default(relid, PERIOD_COLUMN) && has_default(relid, XID_COLUMN);
}

/* Returns true if the table has just the columns of a tracking table. */
bool
derived_is_tracking(Oid relid)
{
	int			others;

	return count_tracking_columns(relid, &others) > 0 && others == 2;
}

/* Returns true if the table has the columns of a tracking table, and maybe more. */
bool
derived_serves_tracking(Oid relid)
{
	int			others;

	return count_tracking_columns(relid, &others) > 0;
}

/*
 * The number of key columns of the tracking table, 0 if it is no such table; *others: the
 * number of its other columns.
 */
static int
count_tracking_columns(Oid relid, int *others)
{
	Relation	rel;
	int			keys = 0;
	int			i;

	*others = 0;
	if (get_rel_relkind(relid) != RELKIND_RELATION ||
		!has_column(relid, EDITION_COLUMN, TIMESTAMPTZOID) ||
		!has_column(relid, TRACKING_XID_COLUMN, INT8OID))
		return 0;

	rel = table_open(relid, AccessShareLock);
	for (i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped)
			continue;
		if (strncmp(NameStr(att->attname), "live_pk", strlen("live_pk")) == 0)
			keys++;
		else
			(*others)++;
	}
	table_close(rel, NoLock);
	return keys;
}

/*
 * Error out if the table has a tracking table that has not the columns of one: it
 * may be any table, and is not ours to replace.  sqlstate 0 for the fitting one.
 */
void
derived_check_tracking(Oid live, Oid tracking, int sqlstate)
{
	if (OidIsValid(tracking) && get_rel_name(tracking) != NULL &&
		!derived_serves_tracking(tracking))
		ereport(ERROR,
				(errcode(sqlstate ? sqlstate : ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is registered as the tracking table of table \"%s\" but does not have its columns",
						get_rel_name(tracking), get_rel_name(live)),
				 errhint("%s", derived_tracking_hint(live, tracking))));
}

/* Error out if the history or the tracking table is not there; sqlstate 0 for the fitting one. */
void
derived_check_there(const RegistryRow *row, int sqlstate)
{
	if (get_rel_name(row->history) == NULL)
		derived_refuse_gone(row->live, false, sqlstate);
	if (OidIsValid(row->tracking) && get_rel_name(row->tracking) == NULL)
		derived_refuse_gone(row->live, true, sqlstate);
}

void
derived_refuse_gone(Oid live, bool tracking, int sqlstate)
{
	const char *argument = hint_table(live);

	if (sqlstate == 0)
		sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	if (tracking)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("tracking table of table \"%s\" does not exist", get_rel_name(live)),
				 errhint("SELECT %s(%s::regclass) re-creates it.",
						 hint_function("repair_history"), argument)));
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("history table of table \"%s\" does not exist", get_rel_name(live)),
			 errhint("SELECT %s(%s::regclass) begins a new one. SELECT %s(%s::regclass) ends tracking the table.",
					 hint_function("repair_history"), argument,
					 drop_function_name(false), argument)));
}

/* What gives the live table a new tracking table instead of this one; palloc'd. */
char *
derived_tracking_hint(Oid live, Oid tracking)
{
	return psprintf("If nothing else needs it: SELECT %s(%s::regclass); DROP %s %s CASCADE; then enable tracking again.",
					hint_function("disable_history_tracking_for_table"),
					naming_argument(live),
					get_rel_relkind(tracking) == RELKIND_VIEW ? "VIEW" : "TABLE",
					naming_quoted(tracking));
}

static bool
has_column(Oid relid, const char *name, Oid type)
{
	AttrNumber	attno = get_attnum(relid, name);

	return attno != InvalidAttrNumber &&
		(!OidIsValid(type) || get_atttype(relid, attno) == type);
}

static bool
has_default(Oid relid, const char *name)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, name);
	bool		found;

	if (!HeapTupleIsValid(tuple))
		return false;
	found = ((Form_pg_attribute) GETSTRUCT(tuple))->atthasdef;
	ReleaseSysCache(tuple);
	return found;
}

/*
 * naming.c
 *		The names of what belongs to a live table, and how SQL spells them.
 *
 * A derived name is the live table's name and a suffix.  Tables and views keep
 * the whole name, so that a user can guess it: one that would not fit is
 * refused.  Indexes are clipped the way PostgreSQL clips names it generates,
 * and are found by OID ever after.
 *
 * No locks are taken here, but of reading catalogs; the caller holds one on the
 * relation it names.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_opclass.h"
#include "mb/pg_wchar.h"
#include "commands/defrem.h"
#include "nodes/pg_list.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "compat.h"

#define HISTORY_SUFFIX	"__history"
#define TRACKING_SUFFIX "__tracking"
#define VIEW_SUFFIX		"__with_history"

static char *derived_name(Oid live, const char *suffix);
static char *without_suffix(const char *name, const char *suffix);
static bool naming_stays(HeapTupleHeader tuple, TransactionId mine);
static bool naming_goes(TransactionId xid, TransactionId mine);

char *
naming_history_table(Oid live)
{
	return derived_name(live, HISTORY_SUFFIX);
}

char *
naming_tracking_table(Oid live)
{
	return derived_name(live, TRACKING_SUFFIX);
}

/* The name of the i-th of n key columns in a tracking table; palloc'd. */
char *
naming_key_column(int nkeys, int i)
{
	return nkeys == 1 ? pstrdup("live_pk") : psprintf("live_pk_%d", i + 1);
}

char *
naming_view(Oid live)
{
	return derived_name(live, VIEW_SUFFIX);
}

/* Of the view of a live table of this name. */
char *
naming_view_for(const char *live)
{
	return psprintf("%s%s", live, VIEW_SUFFIX);
}

/* The name of the table that a history table of this name belongs to, or NULL. */
char *
naming_live_of(const char *history)
{
	return without_suffix(history, HISTORY_SUFFIX);
}

/* Likewise for a tracking table. */
char *
naming_live_of_tracking(const char *tracking)
{
	return without_suffix(tracking, TRACKING_SUFFIX);
}

static char *
without_suffix(const char *name, const char *suffix)
{
	int			length = strlen(name) - strlen(suffix);

	return length > 0 && strcmp(name + length, suffix) == 0 ?
		pnstrdup(name, length) : NULL;
}

/* Names in what pg_get_expr and the like say are qualified until AtEOXact_GUC(true, result). */
int
naming_begin_qualified(void)
{
	int			nestlevel = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

/*
 * The name for an index of the live table's history.
 *
 * label comes with its own leading underscore; PostgreSQL puts another one in
 * front of it (makeObjectName), which gives the double one of the house.
 */
char *
naming_index(Oid live, const char *label)
{
	return makeObjectName(get_rel_name(live), NULL, label);
}

/* A name as of naming_index that is not in use. */
char *
naming_free_index(Oid live, Oid namespace, const char *label)
{
	return ChooseRelationName(get_rel_name(live), NULL, label, namespace, false);
}

/*
 * The first free "<name>_n" among the columns of the table and its children, and
 * of other and its children, if that is not InvalidOid.
 *
 * moving: the column has such a name already, and its number counts on.  A
 * name without room is clipped.
 */
char *
naming_free_column(Oid relid, Oid other, const char *name, bool moving)
{
	char	   *base = pstrdup(name);
	char	   *underscore = strrchr(base, '_');
	List	   *tables = lineage_below(relid);
	int			n;

	if (OidIsValid(other))
		tables = list_concat(tables, lineage_below(other));
	if (moving && underscore && underscore != base && underscore[1] != '\0' &&
		strspn(underscore + 1, "0123456789") == strlen(underscore + 1))
		*underscore = '\0';

	for (n = 1;; n++)
	{
		char	   *suffix = psprintf("_%d", n);
		int			room = NAMEDATALEN - 1 - (int) strlen(suffix);
		char	   *candidate = psprintf("%.*s%s",
										 pg_mbcliplen(base, strlen(base), room),
										 base, suffix);
		bool		taken = false;
		ListCell   *lc;

		foreach(lc, tables)
			taken |= get_attnum(lfirst_oid(lc), candidate) != InvalidAttrNumber;
		if (!taken)
			return candidate;
	}
}

/*
 * Error out unless every derived name of a table called "name" fits.
 *
 * The view has the longest suffix, so its room is everybody's.
 */
void
naming_check_room(const char *name, int sqlstate)
{
	int			room = NAMEDATALEN - 1 - (int) strlen(VIEW_SUFFIX);

	if ((int) strlen(name) > room)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("name of table \"%s\" is too long for a history", name),
				 errdetail("The name has %d bytes; the names of the history table and view leave room for at most %d bytes.",
						   (int) strlen(name), room),
				 errhint("Rename the table to a name of at most %d bytes.", room)));
}

/* The relation's schema-qualified, quoted name; palloc'd. */
char *
naming_quoted(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for relation %u", relid);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  name);
}

/*
 * The relation's qualified, quoted name as it will be when the current command has failed
 * and been rolled back: for hints.
 */
char *
naming_quoted_before(Oid relid)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	TransactionId mine = GetCurrentTransactionIdIfAny();
	char	   *name = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(classes, ClassOidIndexId, true, SnapshotAny, 1, &key);
	while (name == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (naming_stays(tuple->t_data, mine))
			name = quote_qualified_identifier(get_namespace_name(((Form_pg_class) GETSTRUCT(tuple))->relnamespace),
											  NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname));
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return name ? name : naming_quoted(relid);
}

/* That name as a literal, for a regclass argument. */
char *
naming_argument(Oid relid)
{
	return quote_literal_cstr(naming_quoted_before(relid));
}

/*
 * Returns true if the version of the tuple is the valid one when "mine" and the
 * subtransactions in it have been rolled back.  They get their IDs later than their
 * parents.
 */
static bool
naming_stays(HeapTupleHeader tuple, TransactionId mine)
{
	TransactionId xmin = HeapTupleHeaderGetXmin(tuple);
	TransactionId xmax = HeapTupleHeaderGetUpdateXid(tuple);

	if (naming_goes(xmin, mine) ||
		(!TransactionIdIsCurrentTransactionId(xmin) && TransactionIdIsInProgress(xmin)) ||
		(!TransactionIdIsCurrentTransactionId(xmin) && !TransactionIdDidCommit(xmin) &&
		 TransactionIdIsNormal(xmin) && !HeapTupleHeaderXminCommitted(tuple)))
		return false;
	if ((tuple->t_infomask & HEAP_XMAX_INVALID) || HEAP_XMAX_IS_LOCKED_ONLY(tuple->t_infomask))
		return true;
	return naming_goes(xmax, mine) ||
		(!TransactionIdIsCurrentTransactionId(xmax) && !TransactionIdDidCommit(xmax));
}

static bool
naming_goes(TransactionId xid, TransactionId mine)
{
	return TransactionIdIsCurrentTransactionId(xid) &&
		(!TransactionIdIsValid(mine) || TransactionIdFollowsOrEquals(xid, mine));
}

/* The qualified, quoted name of a relation that need not exist yet. */
char *
naming_quoted_in(Oid namespace, const char *name)
{
	return quote_qualified_identifier(get_namespace_name(namespace), name);
}

/* The operator class as a qualified name of the grammar's. */
List *
naming_opclass(Oid opclass)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	List	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	name = list_make2(makeString(get_namespace_name(form->opcnamespace)),
					  makeString(pstrdup(NameStr(form->opcname))));
	ReleaseSysCache(tuple);
	return name;
}

/* The function's schema-qualified, quoted name; palloc'd. */
char *
naming_quoted_function(Oid function)
{
	return naming_quoted_in(get_func_namespace(function), get_func_name(function));
}

/* name + suffix, whole; naming_check_room has said that it fits. */
static char *
derived_name(Oid live, const char *suffix)
{
	char	   *name = get_rel_name(live);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for relation %u", live);
	return psprintf("%s%s", name, suffix);
}

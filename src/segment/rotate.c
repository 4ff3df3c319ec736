/*
 * rotate.c
 *		rotate_history(): a history is closed as a segment, and goes on with an empty head.
 *
 * The history table keeps its OID, its name, its privileges and what is built on it; what
 * it has stored goes to a new table below it (storage.c, segments.c).  Nothing is read or
 * copied.
 *
 * All is made ready while others write and read; then they are kept out for the moment in
 * which the catalogs are changed, which is asked for by tries (patience.c).
 *
 * The bound is the clock's when nobody can be writing any more: all that has been stored
 * was ended by transactions that had begun before.  A clock may have gone back since, and
 * owners insert what they like: so nobody relies on the bound before it has been verified.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on the live table, its parents and the history; at the end
 * ACCESS EXCLUSIVE on the history, the first time on the history views, too.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "segment/segment.h"

static char *free_name(const RegistryRow *row);
static void check_room(Oid live, const char *name);
static void protect(Oid history, Oid segment);

PG_FUNCTION_INFO_V1(catmaid_history_rotate_history);

/* rotate_history(live_table): returns the segment */
Datum
catmaid_history_rotate_history(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(rotate(rotate_lock(api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED))));
}

/*
 * Lock a table for rotation.  Returns the registry's row; an error if the caller is not the
 * owner, or there is no sound history.
 */
RegistryRow *
rotate_lock(Oid live)
{
	RegistryRow *row;
	List	   *changing = NIL;

	if (get_rel_name(live) != NULL)
		security_check_owner(live, 0);
	row = registry_get(live);
	if (row && segments_of(row->history) == NIL)
		changing = list_make1_oid(live);
	api_lock_table_with(live, ShareUpdateExclusiveLock, changing, 0);
	row = api_require_history(live, ERRCODE_UNDEFINED_OBJECT);
	derived_check_there(row, 0);
	return row;
}

/* Cut off what is in the history as a segment, whose OID is returned. */
Oid
rotate(RegistryRow *row)
{
	Relation	rel;
	Oid			segment;
	List	   *indexes;

	LockRelationOid(row->history, ShareUpdateExclusiveLock);
	segment = storage_table_like(row->history, free_name(row), &indexes);
	derived_inherit(segment, row->history);
	protect(row->history, segment);

	patience_lock(row->history, AccessExclusiveLock);
	rel = table_open(row->history, NoLock);
	CheckTableNotInUse(rel, "rotate_history");

	/* serializable transactions have read rows that are elsewhere then */
	TransferPredicateLocksToHeapRelation(rel);
	table_close(rel, NoLock);
	storage_exchange(row->history, segment, indexes);
	ddl_alter_table(segment, false, segments_constraint_sql(GetCurrentTimestamp()));
	catalog_comment(RelationRelationId, segment, 0,
					"Former versions of the table's rows, which ended before the next segment's.");
	view_update(row);
	return segment;
}

/* X__history_<n>, for the first n after the highest in use. */
static char *
free_name(const RegistryRow *row)
{
	const char *history = get_rel_name(row->history);
	Oid			namespace = get_rel_namespace(row->history);
	int			n = list_length(segments_of(row->history)) + 1;
	char	   *name;
	ListCell   *lc;

	/* segments that were dropped do not give their names to later ones */
	foreach(lc, segments_relids(row->history))
	{
		const char *taken = get_rel_name(lfirst_oid(lc));
		int			number;

		if (taken && strncmp(taken, history, strlen(history)) == 0 &&
			sscanf(taken + strlen(history), "_%d", &number) == 1)
			n = Max(n, number + 1);
	}
	do
		name = psprintf("%s_%d", history, n++);
	while (OidIsValid(get_relname_relid(name, namespace)));
	check_room(row->live, name);
	return name;
}

static void
check_room(Oid live, const char *name)
{
	if (strlen(name) < NAMEDATALEN)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_NAME_TOO_LONG),
			 errmsg("name \"%s\" is too long for a segment of the history of table \"%s\"",
					name, get_rel_name(live)),
			 errhint("Rename table %s: its name may have %d bytes.", naming_quoted(live),
					 (int) (NAMEDATALEN - 1 - (strlen(name) - strlen(get_rel_name(live)))))));
}

/* No less than the history: nobody is granted anything, and policies are no less in force. */
static void
protect(Oid history, Oid segment)
{
	RowSecurityFlags flags;

	if (row_security_flags(history, &flags) && (flags.enabled || flags.forced))
		catalog_set_row_security(segment, flags.enabled, flags.forced);
}

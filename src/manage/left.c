/*
 * left.c
 *		What a move has begun or ended with, and is no segment.
 *
 * While a segment is moved there are two tables with its versions: the segment, and what it is
 * copied to, or what it has been copied from.  One rule tells them apart at any moment, after
 * any crash:
 *
 *		What inherits from the history table is history.  What does not is a copy, and may
 *		be thrown away.
 *
 * A copy is marked: it depends on the history table, automatically, which no command brings
 * about for a table (that inherits, it depends normally).  So it goes with the history, is found
 * by whoever moves a segment next or by maintain_history(), and nothing else is taken for one.
 *
 * Locks: one session at a time moves segments of a history, or removes copies: it holds a lock on
 * an object that nobody else locks, over its transactions, until an error or its end.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "commands/defrem.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"
#include "compat.h"

static List *scan_marks(Oid history, Oid unmarked);
static void lock_tag(LOCKTAG *tag, Oid history);

void
left_mark(Oid relid, Oid history)
{
	ObjectAddress copy;
	ObjectAddress referenced;

	ObjectAddressSet(copy, RelationRelationId, relid);
	ObjectAddressSet(referenced, RelationRelationId, history);
	recordDependencyOn(&copy, &referenced, DEPENDENCY_AUTO);
	CommandCounterIncrement();
}

void
left_unmark(Oid relid, Oid history)
{
	(void) scan_marks(history, relid);
	CommandCounterIncrement();
}

/* The OIDs of the tables that are marked, and do not inherit. */
List *
left_of(Oid history)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, scan_marks(history, InvalidOid))
	{
		Oid			relid = lfirst_oid(lc);
		char		relkind = get_rel_relkind(relid);

		if ((relkind == RELKIND_RELATION || relkind == RELKIND_FOREIGN_TABLE) &&
			lineage_parents(relid) == NIL &&
			security_owner_or_invalid(relid) == security_owner_or_invalid(history))
			relids = lappend_oid(relids, relid);
	}
	return relids;
}

/* What depends on the history automatically; the marks of one of them are deleted. */
static List *
scan_marks(Oid history, Oid unmarked)
{
	Relation	depend = table_open(DependRelationId, RowExclusiveLock);
	List	   *relids = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(history));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->deptype != DEPENDENCY_AUTO || form->classid != RelationRelationId ||
			form->objsubid != 0 || form->refobjsubid != 0)
			continue;
		relids = lappend_oid(relids, form->objid);
		if (form->objid == unmarked)
			CatalogTupleDelete(depend, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(depend, NoLock);
	return relids;
}

/*
 * A segment is history no more, but a copy, to be removed when its server is there.  The caller holds
 * ACCESS EXCLUSIVE on the history.
 */
void
left_take_off(Oid segment, Oid history)
{
	catalog_disinherit(segment, history);
	catalog_rename(segment, left_name(segment));
	left_mark(segment, history);
}

/* A free name for a copy of the segment; palloc'd. */
char *
left_name(Oid segment)
{
	return ChooseRelationName(get_rel_name(segment), NULL, "copy", get_rel_namespace(segment), false);
}

/* The history is about to be dropped: say what stays on other servers. */
void
left_notice(Oid history)
{
	ListCell   *lc;

	foreach(lc, list_concat_unique_oid(segments_on_servers(history), left_of(history)))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			ereport(NOTICE,
					(errmsg("table %s on server \"%s\" stays there", remote_table_name(lfirst_oid(lc)),
							GetForeignServer(GetForeignServerIdByRelId(lfirst_oid(lc)))->servername),
					 errdetail("It has versions of rows of history table %s.", naming_quoted(history)),
					 errhint("DROP TABLE %s; there.", remote_table_name(lfirst_oid(lc)))));
}

/*
 * Be the one who moves segments of the history: until the end of the transaction, or with session
 * until left_unlock or an error.  Returns false if another is.
 */
bool
left_lock(Oid history, bool session)
{
	LOCKTAG		tag;

	lock_tag(&tag, history);
	return LockAcquire(&tag, ExclusiveLock, session, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
left_unlock(Oid history)
{
	LOCKTAG		tag;

	lock_tag(&tag, history);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/* Not the table's own lock, which readers and writers take. */
static void
lock_tag(LOCKTAG *tag, Oid history)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, RelationRelationId, history, 1);
}

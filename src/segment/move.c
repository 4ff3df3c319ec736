/*
 * move.c
 *		move_history_segment(): the versions of a segment go to another server, or come back.
 *
 * A segment is a table or a foreign table that inherits from the history; moving it is making
 * another one with the same versions, which takes its place and its name.  In steps, each a
 * transaction, which is why this is a procedure:
 *
 *	  state		here									there (of a foreign table)
 *	  -----		-----------------------------------		-------------------------------
 *	  segment	the segment inherits					-
 *	 1 begin	+ an empty copy, marked (left.c)		-
 *	 2 fill		the same								the table, filled, or nothing
 *	 3 wait		the same								the same
 *	 4 switch	the copy inherits, under its name;		the same
 *				the segment is dropped, or, if it is
 *				foreign, is a copy now, marked
 *	 5 remove	the copy is gone						gone
 *
 * The history is what inherits, and that changes in one transaction here (4) in which nothing is
 * changed there.  Wherever a server ends, here or there, what inherits is whole and in the same
 * place as before; what is left of the rest is removed by the next call, which begins anew,
 * or by maintain_history().  The other server's part of a transaction is committed just before
 * ours: so in 2 and 5 it may have happened there alone, to what is no history.
 *
 * 3: whoever is in a transaction that began before 2 was committed may have a snapshot, here or
 * on the other server (where postgres_fdw keeps that of its first use), in which the copy is
 * empty.  Nobody reads it while such a transaction goes on.
 *
 * 4: the segment is locked against writers, the contents are compared (far_table.c), and only
 * then, asked for by tries and for a moment, the history against readers.  What happened to the
 * segment between 2 and 4 (erase_history, its owner) makes the contents differ: an error.
 *
 * Locks: 2: SHARE on the segment.  4: SHARE UPDATE EXCLUSIVE on the live table, its parents
 * and the history, EXCLUSIVE on the segment; at the end ACCESS EXCLUSIVE on history and segment.
 * While contents are copied and compared, reads and writes of the table go on.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "segment/segment.h"
#include "compat.h"

typedef struct Move
{
	Oid			live;
	Oid			history;
	Oid			segment;
	Oid			server;			/* where it goes, or InvalidOid */
	Oid			copy;
	bool		done;			/* it is there */
} Move;

static void check_callable(FunctionCallInfo fcinfo);
static void in_transaction(Move *move, void (*step) (Move *move));
static void begin(Move *move);
static void remove_copies(Move *move);
static void make_copy(Move *move);
static void fill(Move *move);
static void wait_for_older(void);
static void switch_over(Move *move);
static void compare(const Move *move);
static void take_place(const Move *move, const Segment *segment);
static RegistryRow *lock_all(const Move *move);
static void read_segment(const Move *move, Segment *segment);
static Oid	live_of(Oid segment);

PG_FUNCTION_INFO_V1(catmaid_history_move_segment);

/* CALL move_history_segment(segment, server) */
Datum
catmaid_history_move_segment(PG_FUNCTION_ARGS)
{
	Move	   *move;

	check_callable(fcinfo);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	move = palloc0(sizeof(Move));
	move->segment = PG_GETARG_OID(0);
	if (!PG_ARGISNULL(1))
		move->server = get_foreign_server_oid(NameStr(*PG_GETARG_NAME(1)), false);

	in_transaction(move, begin);
	in_transaction(move, remove_copies);
	if (!move->done)
	{
		in_transaction(move, make_copy);
		in_transaction(move, fill);
		wait_for_older();
		in_transaction(move, switch_over);
		in_transaction(move, remove_copies);
	}
	left_unlock(move->history);
	SPI_finish();
	PG_RETURN_VOID();
}

static void
check_callable(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the segment must not be NULL"),
				 errhint("Pass the segment as regclass, as it is listed in catmaid_history_segments.")));
	if (!(fcinfo->context && IsA(fcinfo->context, CallContext)) ||
		((CallContext *) fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("segments cannot be moved inside a transaction block"),
				 errdetail("What has been copied is committed before it takes the segment's place."),
				 errhint("CALL it by itself.")));
}

/* A step, which sees what has been committed before it had its locks. */
static void
in_transaction(Move *move, void (*step) (Move *move))
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("segments are moved in isolation level READ COMMITTED"),
				 errhint("SET default_transaction_isolation = 'read committed';")));
	PushActiveSnapshot(GetTransactionSnapshot());
	step(move);
	PopActiveSnapshot();
	SPI_commit();
}

/* Who calls, with what; and nobody else moves segments of this history. */
static void
begin(Move *move)
{
	Segment		segment;

	move->live = live_of(move->segment);
	security_check_owner(move->live, 0);
	move->history = api_require_history(move->live, ERRCODE_UNDEFINED_OBJECT)->history;
	read_segment(move, &segment);
	if (OidIsValid(move->server))
		remote_check_server(move->server, security_owner_of(move->history));
	if (!left_lock(move->history, true))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another session moves segments of the history of table \"%s\"", get_rel_name(move->live)),
				 errhint("Try again when it has ended.")));
	move->done = segment.server == move->server;
	if (move->done)
		ereport(NOTICE,
				(OidIsValid(move->server) ?
				 errmsg("segment \"%s\" is on server \"%s\" already", get_rel_name(move->segment),
						GetForeignServer(move->server)->servername) :
				 errmsg("segment \"%s\" is in this database already", get_rel_name(move->segment))));
}

/* The live table, by a segment that is nobody's to hide: what it is called is in the catalogs. */
static Oid
live_of(Oid segment)
{
	Oid			history = get_rel_name(segment) ? segments_head(segment) : InvalidOid;
	RegistryRow *row = OidIsValid(history) ? registry_get_by_derived(history) : NULL;

	if (row == NULL || row->history != history || get_rel_name(row->live) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a segment of a history",
						get_rel_name(segment) ? psprintf("\"%s\"", get_rel_name(segment)) : "this"),
				 errhint("Name a segment, as listed in %s.", naming_quoted(segments_view()))));
	return row->live;
}

/* An error if it is none any more; or if it is not known when its versions had ended. */
static void
read_segment(const Move *move, Segment *segment)
{
	if (live_of(move->segment) != move->live || !segments_read(move->segment, segment) ||
		segment->history != move->history)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("segment \"%s\" was changed concurrently", get_rel_name(move->segment))));
	if (!segment->verified || segment->bound == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("segment \"%s\" has not been verified", get_rel_name(move->segment)),
				 errdetail("It is not known by when its versions had ended."),
				 errhint("ALTER TABLE %s VALIDATE CONSTRAINT %s;", naming_quoted(move->segment), SEGMENT_CONSTRAINT)));
	if (segment->bound >= GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("segment \"%s\" may have versions that end in the future", get_rel_name(move->segment)),
				 errdetail("They ended by %s.", timestamptz_to_str(segment->bound))));
}

/* What earlier moves have left, and this one. */
static void
remove_copies(Move *move)
{
	far_table_remove_copies(move->history);
}

static void
make_copy(Move *move)
{
	RegistryRow *row = lock_all(move);
	List	   *indexes;

	if (OidIsValid(move->server))
		move->copy = far_table_create(move->history, move->segment, move->server);
	else
		move->copy = storage_table_like(row->history, left_name(move->segment), &indexes);
	left_mark(move->copy, move->history);
}

static void
fill(Move *move)
{
	Segment		segment;
	RegistryRow *row;

	patience_lock(move->segment, ShareLock);
	read_segment(move, &segment);
	row = api_require_history(move->live, ERRCODE_UNDEFINED_OBJECT);
	far_table_check_columns(move->copy, move->history);
	if (OidIsValid(move->server))
		far_table_fill(move->copy, move->segment, row);
	else
	{
		char	   *columns = far_table_columns(move->copy);

		(void) ddl_execute_query(security_owner_of(move->history), list_make2_oid(move->copy, move->segment),
								 psprintf("INSERT INTO %s (%s) SELECT %s FROM ONLY %s",
										  naming_quoted(move->copy), columns, columns,
										  naming_quoted(move->segment)));
	}
}

/* For all transactions of this database that are going on now. */
static void
wait_for_older(void)
{
	VirtualTransactionId *older;
	int			n;
	int			i;

	older = GetCurrentVirtualXIDs(InvalidTransactionId, false, false,
								  PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, &n);
	for (i = 0; i < n; i++)
		(void) VirtualXactLock(older[i], true);
}

static void
switch_over(Move *move)
{
	Segment		segment;

	(void) lock_all(move);
	patience_lock(move->segment, ExclusiveLock);
	LockRelationOid(move->copy, ShareUpdateExclusiveLock);
	read_segment(move, &segment);
	if (!list_member_oid(left_of(move->history), move->copy))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the copy of segment \"%s\" was dropped concurrently", get_rel_name(move->segment))));
	far_table_check_columns(move->copy, move->history);
	compare(move);
	patience_lock_all(list_make2_oid(move->history, move->segment), AccessExclusiveLock);
	take_place(move, &segment);
}

/* The table, its parents and the history: as rotation does (rotate.c). */
static RegistryRow *
lock_all(const Move *move)
{
	RegistryRow *row;

	api_lock_table(move->live, ShareUpdateExclusiveLock, 0);
	row = api_require_history(move->live, ERRCODE_UNDEFINED_OBJECT);
	derived_check_there(row, 0);
	if (row->history != move->history)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("segment \"%s\" was changed concurrently", get_rel_name(move->segment))));
	LockRelationOid(row->history, ShareUpdateExclusiveLock);
	return row;
}

/* The same versions in both, each counted and summed up where it is. */
static void
compare(const Move *move)
{
	char	   *here = far_table_checksum_here(move->segment, move->history);
	char	   *copied = OidIsValid(move->server) ? far_table_checksum(move->copy) :
		far_table_checksum_here(move->copy, move->history);

	if (here == NULL || copied == NULL || strcmp(here, copied) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the copy of segment \"%s\" differs from it", get_rel_name(move->segment)),
				 errdetail("Number of versions and sum of digests: %s, and %s in the copy.",
						   here ? here : "unknown", copied ? copied : "unknown"),
				 errhint("If versions were changed or erased meanwhile, call it again; otherwise compare collations, settings and versions of types of the servers.")));
}

/* What inherits changes; nothing else. */
static void
take_place(const Move *move, const Segment *segment)
{
	char	   *name = pstrdup(get_rel_name(move->segment));
	char	   *was;
	Relation	rel = table_open(move->history, NoLock);

	CheckTableNotInUse(rel, "move_history_segment");
	table_close(rel, NoLock);
	rel = table_open(move->segment, NoLock);
	CheckTableNotInUse(rel, "move_history_segment");
	table_close(rel, NoLock);

	storage_copy_statistics(move->segment, move->copy);
	if (OidIsValid(segment->server))
		left_take_off(move->segment, move->history);
	else
		catalog_drop(RelationRelationId, move->segment, false);
	was = pstrdup(get_rel_name(move->copy));
	catalog_rename(move->copy, name);
	if (!OidIsValid(move->server))
		derived_follow_segment_indexes(move->copy, was, name);
	ddl_alter_table(move->copy, false, segments_constraint_sql(segment->bound));
	ddl_alter_table(move->copy, false, "VALIDATE CONSTRAINT " SEGMENT_CONSTRAINT);
	derived_inherit(move->copy, move->history);
	catalog_columns_are_inherited(move->copy);
	left_unmark(move->copy, move->history);
	if (!OidIsValid(move->server))
		row_security_raise_one(move->live, move->history);
	catalog_comment(RelationRelationId, move->copy, 0,
					"Former versions of the table's rows, which ended before the next segment's.");
}

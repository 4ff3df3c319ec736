/*
 * unreachable.c
 *		Segments of a server that is away: an error, or left out with a WARNING.
 *
 * By itself postgres_fdw fails when a query begins that reads a server which is away.
 * With catmaid_history.unreachable_segments = warning the planner, when it comes to such a segment,
 * looks whether the server can be reached (with the user mapping of the segment's owner, once in a
 * transaction), and leaves it out if not.
 *
 * That is for queries of the session's alone.  What would do something wrong without
 * versions, as undoing, or say so, as the time machine and check_history(), fails.
 *
 * A plan says for how long nothing: so no plan that was made in such a transaction is kept
 * beyond it.
 *
 * No locks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "foreign/foreign.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "read/read.h"
#include "compat.h"

typedef enum UnreachableSegments
{
	UNREACHABLE_ERROR,
	UNREACHABLE_WARNING
} UnreachableSegments;

/* What has been found out in this transaction. */
typedef struct Knock
{
	Oid			server;
	char	   *message;		/* NULL: it answers */
} Knock;

static const struct config_enum_entry options[] = {
	{"error", UNREACHABLE_ERROR, false},
	{"warning", UNREACHABLE_WARNING, false},
	{NULL, 0, false}
};

static int	unreachable_segments = UNREACHABLE_ERROR;
static List *knocks = NIL;		/* in TopTransactionContext */

static void forget_plans(int value, void *extra);
static void at_transaction_end(XactEvent event, void *arg);
static Knock *knock_at(const Segment *segment);
static void read_nothing(void *arg);

void
unreachable_init(void)
{
	DefineCustomEnumVariable(UNREACHABLE_SETTING,
							 "What happens to queries of segments on a server that is away.",
							 "error: they fail. warning: these segments are left out.",
							 &unreachable_segments, UNREACHABLE_ERROR, options,
							 PGC_USERSET, 0, NULL, forget_plans, NULL);
	RegisterXactCallback(at_transaction_end, NULL);
}

/* Returns true, and has warned, if the planner is to leave the relation out. */
bool
unreachable_is(Oid relid)
{
	Segment		segment;
	Knock	   *knock;

	if (unreachable_segments != UNREACHABLE_WARNING || ddl_is_ours() || as_of_is_set() ||
		get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE || IsInParallelMode() ||
		!segments_read(relid, &segment) || !OidIsValid(segment.server))
		return false;
	knock = knock_at(&segment);
	if (knock->message == NULL)
		return false;
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_EXCEPTION),
			 errmsg("segment \"%s\" is left out", get_rel_name(relid)),
			 errdetail("%s", knock->message)));
	return true;
}

static Knock *
knock_at(const Segment *segment)
{
	MemoryContext before;
	ErrorData  *error;
	Knock	   *knock;
	Oid			relid = segment->relid;
	ListCell   *lc;

	foreach(lc, knocks)
		if (((Knock *) lfirst(lc))->server == segment->server)
			return lfirst(lc);

	error = attempt_or_error(read_nothing, &relid);
	if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_CONNECTION_EXCEPTION &&
		error->sqlerrcode != ERRCODE_FDW_ERROR)
	{
		/* the owner may not connect, which says nothing of who asks; or the session is to end */
		if (error->elevel > ERROR || ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		FreeErrorData(error);
		error = NULL;
	}
	before = MemoryContextSwitchTo(TopTransactionContext);
	knock = palloc(sizeof(Knock));
	knock->server = segment->server;
	knock->message = error ? pstrdup(error->message ? error->message : "") : NULL;
	knocks = lappend(knocks, knock);
	MemoryContextSwitchTo(before);
	return knock;
}

/* Connects, and fetches no row. */
static void
read_nothing(void *arg)
{
	Oid			relid = *(Oid *) arg;

	(void) ddl_query_text(security_owner_of(relid), list_make1_oid(relid),
						  psprintf("SELECT FROM ONLY %s LIMIT 0", naming_quoted(relid)));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (knocks != NIL)
		forget_plans(0, NULL);
	knocks = NIL;
}

/*
 * All plans of the session: the cache of plans takes this for a change of a foreign-data
 * wrapper (plancache.c: PlanCacheSysCallback), and nobody else does.
 */
static void
forget_plans(int value, void *extra)
{
	CallSyscacheCallbacks(FOREIGNDATAWRAPPEROID, 0);
}

/*
 * log_context.c
 *		What an entry says besides: the context that an application has set, and with
 *		log_transactions what the server knows of the session.
 *
 * It is the default of the log's column "context", which no one but the owners of
 * the extension and of the database can name in an INSERT; so an entry that an
 * application makes has it too, and nobody can say that he is another role.
 *
 * Also the trigger that sees rows come into a table which has no other trigger for
 * that.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "log/log.h"
#include "compat.h"

static Jsonb *make_context(const Jsonb *said);
static Jsonb *session(void);
static void add(StringInfo json, const char *key, const char *value);
static char *client_address(void);
static bool has_new_rows(Relation rel);
static bool has_inserted(Relation rel);

PG_FUNCTION_INFO_V1(catmaid_history_log_context);
PG_FUNCTION_INFO_V1(catmaid_history_log_insert);

/* catmaid_history_log_context() returns jsonb: the default of the log's column. */
Datum
catmaid_history_log_context(PG_FUNCTION_ARGS)
{
	LogValues	values;
	Jsonb	   *context;

	if (!log_wanted)
		PG_RETURN_NULL();
	log_settings_check();
	log_settings_get(&values);
	context = make_context(values.context);
	if (context == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(context);
}

/* The entry as the settings are now, in the current memory context. */
void
log_entry_make(LogEntry *entry)
{
	LogValues	values;

	log_settings_get(&values);
	memset(entry, 0, sizeof(*entry));
	if (values.user_id)
	{
		entry->has_user = true;
		entry->user_id = *values.user_id;
	}
	if (values.project_id)
	{
		entry->has_project = true;
		entry->project_id = *values.project_id;
	}
	entry->change_type = values.change_type;
	entry->label = pstrdup(values.label);
	entry->context = make_context(values.context);
}

/* A copy of what has been said, with what is known; NULL if there is neither. */
static Jsonb *
make_context(const Jsonb *said)
{
	Jsonb	   *copy = NULL;

	if (said)
	{
		copy = palloc(VARSIZE(said));
		memcpy(copy, said, VARSIZE(said));
	}
	if (!log_settings_with_session())
		return copy;
	if (copy == NULL)
		return session();
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(copy),
											  JsonbPGetDatum(session())));
}

/*
 * Session user, role if it is another, application name and client address.  They
 * seldom change: what was made before is used again.
 */
static Jsonb *
session(void)
{
	static char *known_text = NULL;
	static Jsonb *known = NULL;
	StringInfoData json;
	Oid			role = GetCurrentRoleId();
	char	   *address = client_address();
	Jsonb	   *copy;

	initStringInfo(&json);
	add(&json, LOG_SESSION_USER, GetUserNameFromId(GetSessionUserId(), false));
	if (OidIsValid(role) && role != GetSessionUserId())
		add(&json, LOG_ROLE, GetUserNameFromId(role, false));
	if (application_name && application_name[0] != '\0')
		add(&json, LOG_APPLICATION_NAME, application_name);
	if (address)
		add(&json, LOG_CLIENT_ADDR, address);
	appendStringInfoChar(&json, '}');

	if (known_text == NULL || strcmp(known_text, json.data) != 0)
	{
		Jsonb	   *made = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
		char	   *text = MemoryContextStrdup(TopMemoryContext, json.data);
		Jsonb	   *kept = MemoryContextAlloc(TopMemoryContext, VARSIZE(made));

		memcpy(kept, made, VARSIZE(made));
		if (known_text)
		{
			pfree(known_text);
			pfree(known);
		}
		known_text = text;
		known = kept;
	}
	pfree(json.data);
	copy = palloc(VARSIZE(known));
	memcpy(copy, known, VARSIZE(known));
	return copy;
}

static void
add(StringInfo json, const char *key, const char *value)
{
	appendStringInfoString(json, json->len == 0 ? "{" : ", ");
	escape_json(json, key);
	appendStringInfoString(json, ": ");
	escape_json(json, value);
}

/* NULL on a unix socket, and for a background worker; palloc'd. */
static char *
client_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		address;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	if (fcinfo->isnull)
		return NULL;
	return TextDatumGetCString(DirectFunctionCall1(network_host, address));
}

/*
 * AFTER INSERT, FOR EACH STATEMENT, on tables with a time column, which store nothing
 * then: have rows come?  Result: none.
 */
Datum
catmaid_history_log_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	triggers_check_call(fcinfo, "catmaid_history_log_insert",
						CALLED_AS_TRIGGER(fcinfo) &&
						TRIGGER_FIRED_AFTER(trigdata->tg_event) &&
						TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) &&
						TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event));
	if (log_wanted && !log_noted && has_new_rows(trigdata->tg_relation))
		log_note();
	return PointerGetDatum(NULL);
}

/* Has this transaction put rows into the table, or a partition of it? */
static bool
has_new_rows(Relation rel)
{
	bool		found = false;
	ListCell   *lc;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return has_inserted(rel);
	foreach(lc, find_all_inheritors(RelationGetRelid(rel), NoLock, NULL))
	{
		Relation	leaf;

		/* what the command has put rows into, it has locked */
		if (found || lfirst_oid(lc) == RelationGetRelid(rel) ||
			!derived_is_locked(lfirst_oid(lc), RowExclusiveLock))
			continue;
		leaf = table_open(lfirst_oid(lc), NoLock);
		found = leaf->rd_rel->relkind != RELKIND_PARTITIONED_TABLE && has_inserted(leaf);
		table_close(leaf, NoLock);
	}
	return found;
}

/*
 * By the counts that go to the statistics when the transaction ends.  Where nobody
 * counts (track_counts), an INSERT counts as one of rows.
 */
static bool
has_inserted(Relation rel)
{
	PgStat_TableStatus *counts = rel->pgstat_info;

	if (!pgstat_track_counts || counts == NULL)
		return !pgstat_track_counts;
	return counts->trans != NULL && counts->trans->tuples_inserted > 0;
}

/*
 * log_context.c
 *		What an entry says besides: the context that an application has set, and with
 *		log_transactions what the server knows of the session.
 *
 * It is the default of the log's column "context", which no one but the owners of
 * the extension and of the database can name in an INSERT; so an entry that an
 * application makes has it too, and nobody can say that he is another role.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "log/log.h"
#include "compat.h"

static Jsonb *make_context(const Jsonb *said);
static Jsonb *log_context_session(void);
static void log_context_add(StringInfo json, const char *key, const char *value);
static char *client_address(void);

PG_FUNCTION_INFO_V1(catmaid_history_log_context);

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
		return log_context_session();
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(copy),
											  JsonbPGetDatum(log_context_session())));
}

/*
 * Session user, role if it is another, application name and client address.  They
 * seldom change: what was made before is used again.
 */
static Jsonb *
log_context_session(void)
{
	static char *known_text = NULL;
	static Jsonb *known = NULL;
	StringInfoData json;
	Oid			role = GetCurrentRoleId();
	char	   *address = client_address();
	Jsonb	   *copy;

	initStringInfo(&json);
	log_context_add(&json, LOG_SESSION_USER, GetUserNameFromId(GetSessionUserId(), false));
	if (OidIsValid(role) && role != GetSessionUserId())
		log_context_add(&json, LOG_ROLE, GetUserNameFromId(role, false));
	if (application_name && application_name[0] != '\0')
		log_context_add(&json, LOG_APPLICATION_NAME, application_name);
	if (address)
		log_context_add(&json, LOG_CLIENT_ADDR, address);
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
log_context_add(StringInfo json, const char *key, const char *value)
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

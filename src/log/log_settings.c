/*
 * log_settings.c
 *		What an application, or an administrator, says of the transactions to come.
 *
 * Strings, as "not said" must differ from any number; a check hook reads each into
 * what the entry will hold, so that what cannot be stored is refused when it is set,
 * and nothing is parsed when a row is written.
 *
 * Check hooks see values only once the library is loaded.  One that was set before,
 * and is not what it should be, PostgreSQL drops with a WARNING; an entry that was to
 * have it is refused (log_settings_check).
 *
 * log_transactions is a superuser's.  A connection that tries to bring it along
 * (PGOPTIONS) hides, before the library is loaded, what server and database say of
 * it; so its transactions are logged.
 *
 * No locks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "log/log.h"
#include "compat.h"

typedef enum Said
{
	SAID_USER, SAID_PROJECT, SAID_LABEL, SAID_TYPE, SAID_CONTEXT
} Said;

#define NSAID	(SAID_CONTEXT + 1)

static const char *const names[NSAID] = {
	"catmaid_history.user_id", "catmaid_history.project_id", "catmaid_history.label",
	"catmaid_history.change_type", "catmaid_history.context"
};

#define LOG_TRANSACTIONS	"catmaid_history.log_transactions"

/* In the order of the enum's labels; what is not said is hidden. */
static const struct config_enum_entry change_types[] = {
	{"", CHANGE_TYPE_UNSAID, true},
	{"Backend", CHANGE_TYPE_BACKEND, false},
	{"Migration", CHANGE_TYPE_MIGRATION, false},
	{"External", CHANGE_TYPE_EXTERNAL, false},
	{NULL, 0, false}
};

bool		log_wanted = false;

static char *user_id;
static char *project_id;
static char *label;
static int	change_type = CHANGE_TYPE_UNSAID;
static char *context;
static bool log_transactions = false;

/* the same, as read */
static const int32 *user_number;
static const int32 *project_number;
static const Jsonb *context_object;

static bool said[NSAID];
static bool forced = false;		/* see above */

/* set before the library was loaded, and no value: until when? */
static enum
{
	NEVER, THIS_TRANSACTION, UNTIL_SET
}			unfit[NSAID];

static int	placeholder_state(const char *name);
static bool client_sets(const char *name);
static void log_settings_say(Said which, bool is_said);
static bool check_number(char **value, void **extra, GucSource source);
static void assign_user(const char *value, void *extra);
static void assign_project(const char *value, void *extra);
static bool check_label(char **value, void **extra, GucSource source);
static void assign_label(const char *value, void *extra);
static void assign_type(int value, void *extra);
static bool check_context(char **value, void **extra, GucSource source);
static Jsonb *read_object(const char *text);
static Jsonb *read_json(const char *text);
static bool is_reserved(Jsonb *object);
static void assign_context(const char *value, void *extra);
static void assign_log(bool value, void *extra);

/* Before settings_init, which claims the prefix of all settings that are there. */
void
log_settings_init(void)
{
	int			placeholders[NSAID];
	bool		by_client = client_sets(LOG_TRANSACTIONS);
	int			i;

	for (i = 0; i < NSAID; i++)
		placeholders[i] = placeholder_state(names[i]);
	DefineCustomStringVariable(names[SAID_USER],
							   "The application's user, for the entry of a transaction in the log.",
							   NULL, &user_id, "", PGC_USERSET, 0,
							   check_number, assign_user, NULL);
	DefineCustomStringVariable(names[SAID_PROJECT],
							   "The application's project, for the entry of a transaction in the log.",
							   NULL, &project_id, "", PGC_USERSET, 0,
							   check_number, assign_project, NULL);
	DefineCustomStringVariable(names[SAID_LABEL],
							   "What the application calls the work that a transaction does, for its entry in the log.",
							   NULL, &label, "", PGC_USERSET, 0,
							   check_label, assign_label, NULL);
	DefineCustomEnumVariable(names[SAID_TYPE],
							 "The kind of work that a transaction does, for its entry in the log.",
							 NULL, &change_type, CHANGE_TYPE_UNSAID, change_types,
							 PGC_USERSET, 0, NULL, assign_type, NULL);
	DefineCustomStringVariable(names[SAID_CONTEXT],
							   "What else is to be said of a transaction in the log: a JSON object.",
							   NULL, &context, "", PGC_USERSET, 0,
							   check_context, assign_context, NULL);
	DefineCustomBoolVariable(LOG_TRANSACTIONS,
							 "Every transaction that writes a tracked table has an entry in the log.",
							 "With session user, application name and client address.",
							 &log_transactions, false, PGC_SUSET, 0,
							 NULL, assign_log, NULL);

	for (i = 0; i < NSAID; i++)
		if (placeholders[i] != NEVER && !said[i])
		{
			unfit[i] = placeholders[i];
			log_wanted = true;
		}
	if (by_client && find_option_compat(LOG_TRANSACTIONS)->source < PGC_S_CLIENT)
	{
		forced = true;
		log_wanted = true;
	}
}

/* Returns true if the entry has session user, application name and client address. */
bool
log_settings_with_session(void)
{
	return log_transactions || forced;
}

/* What has been said.  The pointers are good until a setting is set. */
void
log_settings_get(LogValues *values)
{
	values->user_id = user_number;
	values->project_id = project_number;
	values->label = label ? label : "";
	values->change_type = change_type != CHANGE_TYPE_UNSAID ? change_type :
		said[SAID_USER] || said[SAID_PROJECT] || said[SAID_LABEL] || said[SAID_CONTEXT] ?
		CHANGE_TYPE_BACKEND : CHANGE_TYPE_EXTERNAL;
	values->context = context_object;
}

/* Error out if something was to be said that cannot be. */
void
log_settings_check(void)
{
	int			i;

	for (i = 0; i < NSAID; i++)
		if (unfit[i] != NEVER)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("parameter \"%s\" has been set to a value that the transaction log cannot hold",
							names[i]),
					 errdetail("It was set before the library was loaded in this session; a WARNING then said what was wrong with it."),
					 errhint("RESET %s; or SET it to another value.", names[i])));
}

/* What was set for this transaction only has gone. */
void
log_settings_transaction_end(void)
{
	int			i;

	for (i = 0; i < NSAID; i++)
		if (unfit[i] == THIS_TRANSACTION)
			log_settings_say(i, said[i]);
}

/* For how long a value has been set of which PostgreSQL knows the name only. */
static int
placeholder_state(const char *name)
{
	const char *value = GetConfigOption(name, true, false);
	GucStack   *stack;

	if (value == NULL || value[0] == '\0')
		return NEVER;
	for (stack = find_option_compat(name)->stack; stack; stack = stack->prev)
		if (stack->state == GUC_LOCAL || stack->state == GUC_SAVE)
			return THIS_TRANSACTION;
	return UNTIL_SET;
}

static bool
client_sets(const char *name)
{
	return GetConfigOption(name, true, false) != NULL &&
		find_option_compat(name)->reset_source == PGC_S_CLIENT;
}

static void
log_settings_say(Said which, bool is_said)
{
	int			i;

	said[which] = is_said;
	unfit[which] = NEVER;
	log_wanted = log_transactions || forced;
	for (i = 0; i < NSAID; i++)
		log_wanted |= said[i] || unfit[i] != NEVER;
}

/* An integer, or nothing. */
static bool
check_number(char **value, void **extra, GucSource source)
{
	const char *text = *value ? *value : "";
	char	   *end;
	long		number;

	if (text[0] == '\0')
		return true;
	errno = 0;
	number = strtol(text, &end, 10);
	if (end == text || end[strspn(end, " \t\n\r\f\v")] != '\0')
	{
		GUC_check_errdetail("\"%s\" is not an integer.", text);
		return false;
	}
	if (errno == ERANGE || number < PG_INT32_MIN || number > PG_INT32_MAX)
	{
		GUC_check_errdetail("\"%s\" is out of range for type %s.", text, "integer");
		return false;
	}
	*extra = guc_malloc_compat(sizeof(int32));
	if (*extra == NULL)
		return false;
	*((int32 *) *extra) = (int32) number;
	return true;
}

static void
assign_user(const char *value, void *extra)
{
	user_number = extra;
	log_settings_say(SAID_USER, extra != NULL);
}

static void
assign_project(const char *value, void *extra)
{
	project_number = extra;
	log_settings_say(SAID_PROJECT, extra != NULL);
}

static bool
check_label(char **value, void **extra, GucSource source)
{
	/* what comes with the connection has not been looked at */
	if (*value && !pg_verifymbstr(*value, strlen(*value), true))
	{
		GUC_check_errdetail("It is not valid in the encoding of the database.");
		return false;
	}
	return true;
}

static void
assign_label(const char *value, void *extra)
{
	log_settings_say(SAID_LABEL, value && value[0] != '\0');
}

static void
assign_type(int value, void *extra)
{
	log_settings_say(SAID_TYPE, value != CHANGE_TYPE_UNSAID);
}

static bool
check_context(char **value, void **extra, GucSource source)
{
	MemoryContext scratch;
	MemoryContext before;
	Jsonb	   *object = NULL;

	if (*value == NULL || (*value)[0] == '\0')
		return true;
	if (!pg_verifymbstr(*value, strlen(*value), true))
	{
		GUC_check_errdetail("It is not valid in the encoding of the database.");
		return false;
	}
	scratch = AllocSetContextCreate(CurrentMemoryContext, "catmaid_history setting",
									ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(scratch);
	object = read_object(*value);
	if (object)
	{
		*extra = guc_malloc_compat(VARSIZE(object));
		if (*extra)
			memcpy(*extra, object, VARSIZE(object));
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(scratch);
	return *extra != NULL;
}

/* As jsonb, or NULL and the reason for whoever has set it. */
static Jsonb *
read_object(const char *text)
{
	Jsonb	   *object = read_json(text);

	if (object == NULL)
		return NULL;
	if (!JB_ROOT_IS_OBJECT(object))
	{
		GUC_check_errdetail("It must be a JSON object, like {\"user\": \"alice\"}.");
		return NULL;
	}
	if (is_reserved(object))
	{
		GUC_check_errdetail("The keys \"%s\", \"%s\", \"%s\" and \"%s\" tell what the server knows of a session.",
							LOG_SESSION_USER, LOG_ROLE, LOG_APPLICATION_NAME, LOG_CLIENT_ADDR);
		return NULL;
	}
	return object;
}

/*
 * jsonb_in, which takes no lock and opens nothing: what it has begun when it errs is
 * memory, and the context is the caller's.  (16 would return its errors.)
 */
static Jsonb *
read_json(const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *volatile json = NULL;

	PG_TRY();
	{
		json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		FlushErrorState();
		GUC_check_errdetail("%s%s%s", error->message, error->detail ? ": " : "",
							error->detail ? error->detail : "");
	}
	PG_END_TRY();
	return json;
}

/* Returns true if it would say what only the server may say. */
static bool
is_reserved(Jsonb *object)
{
	static const char *const reserved[] = {
		LOG_SESSION_USER, LOG_ROLE, LOG_APPLICATION_NAME, LOG_CLIENT_ADDR
	};
	int			i;

	for (i = 0; i < lengthof(reserved); i++)
	{
		JsonbValue	key = {.type = jbvString};

		key.val.string.val = (char *) reserved[i];
		key.val.string.len = strlen(reserved[i]);
		if (findJsonbValueFromContainer(&object->root, JB_FOBJECT, &key))
			return true;
	}
	return false;
}

static void
assign_context(const char *value, void *extra)
{
	context_object = extra;
	log_settings_say(SAID_CONTEXT, extra != NULL);
}

static void
assign_log(bool value, void *extra)
{
	int			i;

	/* (a superuser has) */
	forced = false;
	log_wanted = value;
	for (i = 0; i < NSAID; i++)
		log_wanted |= said[i] || unfit[i] != NEVER;
}

/*
 * log.h
 *		The transaction log: settings, entries that come by themselves, dumps.
 */
#ifndef CATMAID_HISTORY_LOG_H
#define CATMAID_HISTORY_LOG_H

#include "utils/jsonb.h"

#include "registry/registry.h"

#pragma GCC visibility push(hidden)

/* log_settings.c: what is to be said of transactions */
#define LOG_SESSION_USER		"session_user"
#define LOG_ROLE				"role"
#define LOG_APPLICATION_NAME	"application_name"
#define LOG_CLIENT_ADDR			"client_addr"

typedef enum ChangeType
{
	CHANGE_TYPE_UNSAID,
	CHANGE_TYPE_BACKEND,
	CHANGE_TYPE_MIGRATION,
	CHANGE_TYPE_EXTERNAL
} ChangeType;

typedef struct LogValues
{
	const int32 *user_id;		/* or NULL */
	const int32 *project_id;
	const char *label;
	int			change_type;
	const Jsonb *context;	/* or NULL */
} LogValues;

extern bool log_wanted;			/* has a transaction that writes an entry? */
extern void log_settings_init(void);
extern bool log_settings_with_session(void);
extern void log_settings_get(LogValues *values);
extern void log_settings_check(void);
extern void log_settings_transaction_end(void);

/* log_context.c: and what the server knows of them */
typedef struct LogEntry
{
	CommandId	cid;			/* as of which it is stored */
	bool		has_user;
	bool		has_project;
	int32		user_id;
	int32		project_id;
	int			change_type;
	char	   *label;
	Jsonb *context;		/* or NULL */
} LogEntry;

extern void log_entry_make(LogEntry *entry);

/* log_entry.c: the entry that a transaction has by itself */
struct QueryDesc;
extern bool log_noted;			/* this transaction is to have one */
extern void log_init(void);
extern void log_note(void);
extern void log_before_query(struct QueryDesc *query);
extern void log_before_utility(Node *statement);

/* A row of a tracked table has been written. */
static inline void
log_note_write(void)
{
	if (log_wanted && !log_noted)
		log_note();
}

/* log_table.c: the log itself */
#define LOG_TABLE	"catmaid_transaction_info"

typedef enum LogColumn
{
	LOG_TRANSACTION, LOG_TIME, LOG_USER, LOG_PROJECT, LOG_CHANGE_TYPE, LOG_LABEL, LOG_CONTEXT
} LogColumn;

#define LOG_NCOLUMNS	(LOG_CONTEXT + 1)

extern void log_table_init(void);
extern Oid	log_table_relid(void);
extern bool log_table_complete(const LogEntry *entry, ItemPointer at);
extern void log_table_delete(ItemPointer at);
extern bool log_table_may_defer(void);
extern bool log_table_is_ours(const char *column);
extern void log_table_restore(const Datum *values, const bool *isnull);

/* log_dump.c: the log in dumps */
extern void log_dump_take_up_rows(Oid relid);
extern bool log_dump_is_named(const char *name);
extern void log_dump_check_command(AlterTableStmt *statement);
/* what is before and behind the log's name in the condition of its dump */
#define LOG_CONDITION_BEFORE	"catmaid_history_internal.log_values(log) FROM "
#define LOG_CONDITION_AFTER		" log UNION ALL "

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_LOG_H */

/*
 * remote.c
 *		The other server of a segment: statements that are run there.
 *
 * postgres_fdw reads and writes tables, and makes none.  So the other side has a view,
 * catmaid_history_segments.command, which history_server_script() prints: what is inserted
 * into it is executed, by a trigger, with the rights of whoever inserts, so that nobody can do
 * by it what he could not do anyway.  It is written through a foreign table of ours, the door,
 * which lasts no longer than the transaction.  So what is done there is in the transaction
 * that postgres_fdw has there, rolled back with ours and committed just before it:
 *
 *		a crash in between leaves done there what has not been done here.
 *
 * Callers do nothing there that would be wrong then.
 *
 * All is done as the owner of the history, with that role's user mapping: a superuser who
 * manages somebody's history lends nothing.  What the other side answers is text, which is
 * compared, or sent back to it; nothing of it is evaluated here.
 *
 * Locks: none but on the door.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "access/xlog.h"

#include "manage/manage.h"
#include "compat.h"

/* what there is on the other side; see sql/ */
#define FAR_SCHEMA	"catmaid_history_segments"
#define FAR_DOOR	"command"

/* older ones write values in another way */
#define OLDEST_SERVER	130000

static void knock(void *arg);
static char *command_sql(const Remote *remote, const char *sql, bool returns);

/* Error out unless it is a server of postgres_fdw that the role may use. */
void
remote_check_server(Oid server, Oid owner)
{
	ForeignServer *definition = GetForeignServer(server);
	ForeignDataWrapper *wrapper = GetForeignDataWrapper(definition->fdwid);

	if (strcmp(wrapper->fdwname, "postgres_fdw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is none of postgres_fdw", definition->servername),
				 errdetail("Its foreign-data wrapper is \"%s\".", wrapper->fdwname),
				 errhint("CREATE SERVER ... FOREIGN DATA WRAPPER postgres_fdw makes one.")));
	if (server_aclcheck_compat(server, owner, ACL_USAGE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server %s", definition->servername),
				 errdetail("Role %s, which owns the table, has no privilege to use it.",
						   GetUserNameFromId(owner, false)),
				 errhint("GRANT USAGE ON FOREIGN SERVER %s TO %s;",
						 quote_identifier(definition->servername), security_role_sql(owner))));
}

/*
 * Be ready to run statements on the server, as the role's user mapping says, until
 * remote_close.  namespace: a schema of the history, for the door.
 */
Remote *
remote_open(Oid server, Oid owner, Oid namespace)
{
	Remote	   *remote = palloc(sizeof(Remote));
	const char *name = GetForeignServer(server)->servername;
	TableColumn statement = {"statement", TEXTOID, -1, DEFAULT_COLLATION_OID, ""};
	TableColumn returns = {"returns", BOOLOID, -1, InvalidOid, ""};
	TableColumn result = {"result", TEXTOID, -1, DEFAULT_COLLATION_OID, ""};
	ErrorData  *error;

	remote_check_server(server, owner);
	remote->server = server;
	remote->owner = owner;
	remote->door = catalog_create_foreign_table(namespace,
												ChooseRelationName("catmaid_history", NULL, FAR_DOOR, namespace, false),
												owner, list_make3(&statement, &returns, &result), name,
												list_make2(makeDefElem("schema_name", (Node *) makeString(FAR_SCHEMA), -1),
														   makeDefElem("table_name", (Node *) makeString(FAR_DOOR), -1)));
	privileges_clear(remote->door, false);
	error = attempt_or_error(knock, remote);
	if (error == NULL)
		return remote;
	if (error->sqlerrcode == ERRCODE_UNDEFINED_TABLE || error->sqlerrcode == ERRCODE_INVALID_SCHEMA_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("server \"%s\" is not ready for segments", name),
				 errdetail("There is no view %s.%s in its database.", FAR_SCHEMA, FAR_DOOR),
				 errhint("Run there what SELECT %s() returns, as the role of the user mapping.",
						 hint_function("history_server_script"))));
	ReThrowError(error);
}

static void
knock(void *arg)
{
	char	   *version = remote_ask(arg, "SELECT pg_catalog.current_setting('server_version_num')");

	if (version == NULL || atoi(version) < OLDEST_SERVER)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("server \"%s\" is too old for segments",
						GetForeignServer(((Remote *) arg)->server)->servername),
				 errdetail("It must be PostgreSQL 13 or newer.")));
}

/* Run a statement there; several are separated by semicolons.  Errors are that server's. */
void
remote_do(Remote *remote, const char *sql)
{
	(void) ddl_execute_query(remote->owner, list_make1_oid(remote->door), command_sql(remote, sql, false));
}

/* Run a query there that returns one value, as text: palloc'd, or NULL. */
char *
remote_ask(Remote *remote, const char *sql)
{
	return ddl_query_text(remote->owner, list_make1_oid(remote->door), command_sql(remote, sql, true));
}

static char *
command_sql(const Remote *remote, const char *sql, bool returns)
{
	return psprintf("INSERT INTO %s AS door (statement, returns) VALUES (%s, %s) RETURNING door.result",
					naming_quoted(remote->door), quote_literal_cstr(sql), returns ? "true" : "false");
}

void
remote_close(Remote *remote)
{
	catalog_drop(RelationRelationId, remote->door, false);
	pfree(remote);
}

/* What a foreign table stands for, quoted; palloc'd. */
char *
remote_table_name(Oid relid)
{
	const char *schema = FAR_SCHEMA;
	const char *table = get_rel_name(relid);
	ListCell   *lc;

	foreach(lc, GetForeignTable(relid)->options)
	{
		DefElem    *option = lfirst(lc);

		if (strcmp(option->defname, "schema_name") == 0)
			schema = defGetString(option);
		else if (strcmp(option->defname, "table_name") == 0)
			table = defGetString(option);
	}
	return quote_qualified_identifier(schema, table);
}

/*
 * What tables on other servers have in their comments if they are this database's, and not
 * those of another one, of which this is a copy; palloc'd.
 */
char *
remote_claim(void)
{
	return psprintf("[catmaid_history " UINT64_FORMAT "/%u]", GetSystemIdentifier(), MyDatabaseId);
}

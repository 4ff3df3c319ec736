/*
 * security.c
 *		Who may manage a table's history, who may read it, and on whose behalf
 *		the extension acts.
 *
 * Managing takes ownership of the live table, as ALTER TABLE does.  What the
 * extension does to derived objects it does as their owner, the way
 * ri_triggers.c acts as a table's owner, so that the code of a type, an index
 * or a trigger never runs with more rights than the owner of the table has
 * (a superuser who manages somebody's history lends nothing).
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "compat.h"

static bool is_trusted(Oid namespace, Oid owner);
static Oid	database_owner(void);
static void hide_values(void *arg);
static bool is_restriction(const char *message_id);
static bool may_quote(int category);

/*
 * Error out unless the current user owns the relation.  sqlstate is that of
 * the caller's refusals, 0 for PostgreSQL's own (42501).
 */
void
security_check_owner(Oid relid, int sqlstate)
{
	if (!relation_ownercheck_compat(relid, GetUserId()))
		ereport(ERROR,
				(errcode(sqlstate ? sqlstate : ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", get_rel_name(relid)),
				 errhint("Ask %s, or a role that is a member of it, to manage the history of %s.",
						 GetUserNameFromId(security_owner_of(relid), false),
						 naming_quoted(relid))));
}

/* Who owns the relation, which is there. */
Oid
security_owner_of(Oid relid)
{
	Oid			owner = security_owner_or_invalid(relid);

	if (!OidIsValid(owner))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	return owner;
}

/* The owner of a relation that is not locked; InvalidOid if it was dropped. */
Oid
security_owner_or_invalid(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * Become the role, keeping in *before, which must last as long, what is needed
 * to hand its rights back.
 *
 * An error hands them back too: aborting a (sub)transaction restores the user
 * and security context it began with.  SECURITY_NOFORCE_RLS, as in RI checks:
 * a policy must not hide from the extension the rows that it records.
 *
 * The role's code runs in what PostgreSQL calls a security-restricted operation, as
 * in REINDEX of somebody's table (index.c: reindex_index), where the session is
 * another's: it leaves nothing behind that would run later and with more rights, a
 * deferred trigger, a cursor, a temporary table.
 *
 * ACT_FOR_WRITER: it is for somebody's write, whose row goes on into the
 * history.  PostgreSQL lets messages quote the rows that the current user may
 * read, and the writer may read less: they do not quote, then.  See also
 * security_begin_code.
 *
 * ACT_TO_MANAGE: it is for a command that calls for none of the owner's code,
 * and whose session must be able to trust what comes after: settings are put back.
 */
void
security_act_as(Oid role, int how, SecurityState *before)
{
	int			context;

	GetUserIdAndSecContext(&before->user, &before->context);
	context = before->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS;

	before->hides = (how & ACT_FOR_WRITER) &&
		!has_privs_of_role(before->user, role);
	if (before->hides)
	{
		before->callback.callback = hide_values;
		before->callback.arg = before;
		before->callback.previous = error_context_stack;
		error_context_stack = &before->callback;
	}

	before->guc_level = how & ACT_TO_MANAGE ? NewGUCNestLevel() : 0;

	/* the bootstrap superuser's own are catalog changes, nobody's code */
	if (role != before->user &&
		((how & ACT_FOR_WRITER) || role != BOOTSTRAP_SUPERUSERID))
		context |= SECURITY_RESTRICTED_OPERATION;
	before->role = role;
	SetUserIdAndSecContext(role, context);
}

void
security_act_as_before(const SecurityState *before)
{
	Assert(GetUserId() == before->role);
	Assert(!before->hides || error_context_stack == &before->callback);

	if (before->guc_level > 0)
		AtEOXact_GUC(false, before->guc_level);
	if (before->hides)
		error_context_stack = before->callback.previous;
	SetUserIdAndSecContext(before->user, before->context);
}

/* Until security_act_as_before. */
void
security_set_for_command(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Code that the owner has put on the history, or its tracking table, is about to
 * run as the current user, who is the owner; plain: there is none.  In another's
 * session it finds no function, operator or table that the writer has put in its
 * way, and what it sets is put back.  Returns what security_end_code is to be given.
 *
 * Of the search_path remain the schema of the history and those that the owner or a
 * superuser owns; temporary tables come last.
 */
int
security_begin_code(Oid history, bool bypass_executor)
{
	StringInfoData path;
	Oid			owner = GetUserId();
	List	   *namespaces;
	ListCell   *lc;
	int			level;

	if (bypass_executor || !InSecurityRestrictedOperation())
		return 0;

	initStringInfo(&path);
	namespaces = fetch_search_path(false);
	foreach(lc, namespaces)
	{
		char	   *name = get_namespace_name(lfirst_oid(lc));

		if (name && !isAnyTempNamespace(lfirst_oid(lc)) &&
			(lfirst_oid(lc) == get_rel_namespace(history) ||
			 is_trusted(lfirst_oid(lc), owner)))
			appendStringInfo(&path, "%s, ", quote_identifier(name));
	}
	appendStringInfoString(&path, "pg_temp");
	level = NewGUCNestLevel();
	security_set_for_command("search_path", path.data);
	list_free(namespaces);
	pfree(path.data);
	return level;
}

/* Returns true if the schema belongs to the owner, or to a superuser. */
static bool
is_trusted(Oid namespace, Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	Oid			role;

	if (!HeapTupleIsValid(tuple))
		return false;
	role = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	if (role == ROLE_PG_DATABASE_OWNER_COMPAT)
		role = database_owner();
	return role == owner || superuser_arg(role);
}

static Oid
database_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for database %u", MyDatabaseId);
	owner = ((Form_pg_database) GETSTRUCT(tuple))->datdba;
	ReleaseSysCache(tuple);
	return owner;
}

void
security_end_code(int level)
{
	if (level > 0)
		AtEOXact_GUC(false, level);
}

/*
 * Error context callback: a value of the row may be in the detail of a violated
 * constraint, and in the very message, context or query where a function did not
 * like it.  What callbacks further in have said cannot be taken back, so another
 * error takes the place of this one, with what those further out will say.
 */
static void
hide_values(void *arg)
{
	SecurityState *before = arg;
	MemoryContext context;
	ErrorData  *error;

	if (!may_quote(ERRCODE_TO_CATEGORY(geterrcode())))
		return;
	/* goes with the subtransaction, which it will abort in most cases */
	context = MemoryContextSwitchTo(CurTransactionContext);
	error = CopyErrorData();
	error->detail_log = NULL;
	if (is_restriction(error->message_id))
	{
		error->detail = _("What the owner of the table has put on its history runs as the owner, in a security-restricted operation.");
		error->hint = _("The owner can make the constraint immediate: NOT DEFERRABLE, or by SET CONSTRAINTS in the function of the trigger.");
	}
	else if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
	{
		/* for the server's log */
		error->detail_log = error->message;
		error->message = _("could not store the row version in the history table");
	}
	if (!is_restriction(error->message_id))
		error->detail = _("Only the owner of the table can see the values.");
	error->context = error->internalquery = NULL;
	error->internalpos = 0;
	MemoryContextSwitchTo(context);

	if (error->elevel == ERROR)
	{
		error_context_stack = before->callback.previous;
		ThrowErrorData(error);
	}
	errmsg("%s", error->message);
	errdetail("%s", error->detail);
}

/*
 * Returns true for PostgreSQL's message that a deferred trigger cannot be queued.  It
 * contains no value, and without it the writer could not know why the write fails.
 */
static bool
is_restriction(const char *message_id)
{
	return message_id &&
		strcmp(message_id, "cannot fire deferred trigger within security-restricted operation") == 0;
}

/*
 * Returns true if errors of this category may quote values.  So may those that say that an
 * object of some name does not exist: the name may be a value.
 */
static bool
may_quote(int category)
{
	static const int categories[] = {
		ERRCODE_DATA_EXCEPTION,
		ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION,
		ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION,
		ERRCODE_INVALID_CATALOG_NAME,
		ERRCODE_INVALID_SCHEMA_NAME,
		ERRCODE_INVALID_CURSOR_NAME,
		ERRCODE_INVALID_SQL_STATEMENT_NAME,
		ERRCODE_SYSTEM_ERROR
	};
	int			i;

	for (i = 0; i < lengthof(categories); i++)
		if (category == categories[i])
			return true;
	return false;
}

/* Returns true if the current user may create relations in default_tablespace. */
bool
security_may_use_default_tablespace(void)
{
	Oid			tablespace = GetDefaultTablespace(RELPERSISTENCE_PERMANENT, false);

	return !OidIsValid(tablespace) || tablespace == MyDatabaseTableSpace ||
		tablespace_aclcheck_compat(tablespace, GetUserId(), ACL_CREATE) == ACLCHECK_OK;
}

/* The role as GRANT spells it. */
char *
security_role_sql(Oid role)
{
	if (role == ACL_ID_PUBLIC)
		return "PUBLIC";
	return (char *) quote_identifier(GetUserNameFromId(role, false));
}

/* The relation's ACL, or NULL for the built-in default; palloc'd. */
Acl *
security_relation_acl(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Datum		datum;
	bool		isnull;
	Acl		   *acl;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	acl = isnull ? NULL : DatumGetAclPCopy(datum);
	ReleaseSysCache(tuple);
	return acl;
}

/*
 * settings.c
 *		What the follower is told to do, and for whose tables that counts.
 *
 * Anybody may set the settings, but a command that they affect may be another
 * role's: whoever calls a SECURITY DEFINER function sets them for what it does to
 * its owner's tables.  So a value counts for a table only if the role that has set
 * it has the rights of the table's owner.  The SET clause of such a function is set
 * by its owner, and what stands in the configuration of the server or the database
 * counts for everybody; what stands in a role's own, or comes with the connection,
 * is as good as set by that role, which can do both.
 *
 * Where a value does not count, the one that RESET would bring back is asked in the
 * same way, and then nothing is lost: DDL is followed, what is dropped is kept.
 *
 * PostgreSQL 15 notes which role has set a value.  Before, check hooks do; they
 * cannot tell for values that are older than the library in the session, which are
 * taken for the session user's.
 *
 * No locks.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#include "base/base.h"
#include "compat.h"

static const struct config_enum_entry on_drop_options[] = {
	{"drop", ON_DROP_DROP, false},
	{"keep", ON_DROP_KEEP, false},
	{NULL, 0, false}
};

static bool follow_ddl = true;
static int	on_drop_column = ON_DROP_DROP;
static int	on_drop_table = ON_DROP_DROP;

/* as PostgreSQL knows them */
static struct config_generic *follow_ddl_record;
static struct config_generic *on_drop_column_record;
static struct config_generic *on_drop_table_record;

static bool defining = false;

static int	in_force(struct config_generic *record, int value, Oid owner, int otherwise);
static bool settings_counts(GucSource source, Oid role, Oid owner);
static bool check_bool(bool *value, void **extra, GucSource source) pg_attribute_unused();
static bool check_enum(int *value, void **extra, GucSource source) pg_attribute_unused();
static void note_role(void **extra);

void
settings_init(void)
{
	defining = true;
	DefineCustomBoolVariable("catmaid_history.follow_ddl",
							 "Makes history tables follow DDL on the tables whose history is tracked.",
							 NULL, &follow_ddl, true, PGC_USERSET, 0,
							 guc_hook_compat(check_bool), NULL, NULL);
	DefineCustomEnumVariable("catmaid_history.on_drop_column",
							 "What happens to the history of a column that is dropped.",
							 "drop: it is dropped too. keep: it is kept under the name of the column and a number.",
							 &on_drop_column, ON_DROP_DROP, on_drop_options,
							 PGC_USERSET, 0, guc_hook_compat(check_enum), NULL, NULL);
	DefineCustomEnumVariable("catmaid_history.on_drop_table",
							 "What happens to the history of a table that is dropped.",
							 "drop: it is dropped too. keep: the history table is kept.",
							 &on_drop_table, ON_DROP_DROP, on_drop_options,
							 PGC_USERSET, 0, guc_hook_compat(check_enum), NULL, NULL);
	defining = false;
	MarkGUCPrefixReservedCompat("catmaid_history");

	follow_ddl_record = find_option_compat("catmaid_history.follow_ddl");
	on_drop_column_record = find_option_compat("catmaid_history.on_drop_column");
	on_drop_table_record = find_option_compat("catmaid_history.on_drop_table");
}

/* Returns true if DDL on the tables of any role is followed. */
bool
settings_follow_any(void)
{
	return follow_ddl || settings_follow_ddl(BOOTSTRAP_SUPERUSERID);
}

/* Returns true if DDL on tables of this owner is followed. */
bool
settings_follow_ddl(Oid owner)
{
	return in_force(follow_ddl_record, follow_ddl, owner, true);
}

/* What becomes of the history of a column that is dropped from a table of this owner. */
OnDrop
settings_on_drop_column(Oid owner)
{
	return in_force(on_drop_column_record, on_drop_column, owner, ON_DROP_KEEP);
}

/* What becomes of the history of a table of this owner that is dropped. */
OnDrop
settings_on_drop_table(Oid owner)
{
	return in_force(on_drop_table_record, on_drop_table, owner, ON_DROP_KEEP);
}

/* The value that counts for tables of this owner; value is that of the session. */
static int
in_force(struct config_generic *record, int value, Oid owner, int otherwise)
{
	struct config_bool *as_bool = (struct config_bool *) record;
	struct config_enum *as_enum = (struct config_enum *) record;
	bool		is_bool = record->vartype == PGC_BOOL;
	void	   *extra = is_bool ? as_bool->reset_extra : as_enum->reset_extra;

	if (settings_counts(record->source, guc_set_by_compat(record, record->extra), owner))
		return value;
	if (settings_counts(record->reset_source, guc_reset_by_compat(record, extra), owner))
		return is_bool ? as_bool->reset_val : as_enum->reset_val;
	return otherwise;
}

/*
 * Returns true if a value from that source, set by the role, counts for tables of this
 * owner.
 */
static bool
settings_counts(GucSource source, Oid role, Oid owner)
{
	switch (source)
	{
		case PGC_S_USER:
		case PGC_S_DATABASE_USER:
		case PGC_S_CLIENT:
			return has_privs_of_role(GetAuthenticatedUserId(), owner);
		case PGC_S_INTERACTIVE:
		case PGC_S_TEST:
		case PGC_S_SESSION:
			return OidIsValid(role) && has_privs_of_role(role, owner);
		default:
			return true;
	}
}

static bool
check_bool(bool *value, void **extra, GucSource source)
{
	note_role(extra);
	return true;
}

static bool
check_enum(int *value, void **extra, GucSource source)
{
	note_role(extra);
	return true;
}

/*
 * The postmaster, which has no user, reads files only.  Without memory nobody
 * is noted, and the value counts for nobody.
 */
static void
note_role(void **extra)
{
	Oid			role;
	int			context;

	GetUserIdAndSecContext(&role, &context);
	if (OidIsValid(role) && defining)
		role = GetSessionUserId();
	*extra = malloc(sizeof(Oid));
	if (*extra)
		*((Oid *) *extra) = role;
}

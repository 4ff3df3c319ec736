/*
 * erase.c
 *		erase_history(): all versions of a row are taken out of its history, with an entry
 *		that says when, by whom, why and how many.
 *
 * A segment on another server is erased there, by its own transaction, which commits just before
 * ours: if the server here ends in between, the versions there are gone without an entry, and the
 * erasure is asked for again.
 *
 * What else has them, as backups, the WAL and what was sent to others, is not reached; the
 * bytes stay in the files until VACUUM.
 *
 * Locks: SHARE ROW EXCLUSIVE on the history tables, so that no version comes while we look;
 * asked for by tries (patience.c).
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "segment/segment.h"
#include "compat.h"

static char *key_text(Jsonb *key, const char *name);
static void check_key(Jsonb *key, const RegistryRow *row);
static int64 erase_from(Oid relid, const RegistryRow *row, Jsonb *key);
static int64 erase_there(Oid relid, const RegistryRow *row, Jsonb *key);
static void note(const RegistryRow *row, const char *reason, int64 versions);

PG_FUNCTION_INFO_V1(catmaid_history_erase_history);

/* erase_history(live_table, key, reason): returns how many versions are gone */
Datum
catmaid_history_erase_history(PG_FUNCTION_ARGS)
{
	Oid			live = api_table_argument(fcinfo, ERRCODE_NULL_VALUE_NOT_ALLOWED);
	RegistryRow *row;
	Jsonb	   *key;
	char	   *reason;
	List	   *tables;
	ListCell   *lc;
	int64		versions = 0;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("key and reason of an erasure must not be NULL"),
				 errhint("Give the columns of the primary key, as '{\"id\": 3}', and why the row is erased.")));
	key = PG_GETARG_JSONB_P(1);
	reason = text_to_cstring(PG_GETARG_TEXT_PP(2));
	api_lock_table(live, AccessShareLock, 0);
	row = api_require_history(live, ERRCODE_UNDEFINED_OBJECT);
	derived_check_there(row, 0);
	check_key(key, row);

	tables = find_all_inheritors(row->history, NoLock, NULL);
	foreach(lc, tables)
		if (security_owner_or_invalid(lfirst_oid(lc)) == security_owner_of(row->history))
			patience_lock(lfirst_oid(lc), ShareRowExclusiveLock);
	foreach(lc, find_all_inheritors(row->history, NoLock, NULL))
		versions += erase_from(lfirst_oid(lc), row, key);
	note(row, reason, versions);
	PG_RETURN_INT64(versions);
}

/* All columns of the key, and no others. */
static void
check_key(Jsonb *key, const RegistryRow *row)
{
	ListCell   *lc;
	bool		fits = JB_ROOT_IS_OBJECT(key) && JB_ROOT_COUNT(key) == list_length(row->key);

	foreach(lc, row->key)
		fits = fits && key_text(key, lfirst(lc)) != NULL;
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this is not a primary key of table \"%s\"", get_rel_name(row->live)),
				 errhint("Give the columns of the primary key, as '{\"id\": 3}'.")));
}

/* The value of that name as text, or NULL. */
static char *
key_text(Jsonb *key, const char *name)
{
	JsonbValue	wanted = {.type = jbvString};
	JsonbValue *found;

	wanted.val.string.val = unconstify(char *, name);
	wanted.val.string.len = strlen(name);
	found = findJsonbValueFromContainer(&key->root, JB_FOBJECT, &wanted);
	if (found == NULL)
		return NULL;
	switch (found->type)
	{
		case jbvString:
			return pnstrdup(found->val.string.val, found->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(found->val.numeric)));
		case jbvBool:
			return pstrdup(found->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/* Of a table that has the key's columns and is the history's owner's. */
static int64
erase_from(Oid relid, const RegistryRow *row, Jsonb *key)
{
	Oid			owner = security_owner_or_invalid(row->history);
	Datum		values[INDEX_MAX_KEYS];
	SecurityState before;
	ListCell   *lc;
	int			i = 0;

	if (security_owner_of(relid) != owner || !columns_all_exist(relid, row->key))
		return 0;
	if (list_member_oid(segments_on_servers(row->history), relid))
		return erase_there(relid, row, key);
	if (get_rel_relkind(relid) != RELKIND_RELATION)
		return 0;
	/* the types' input functions are the owner's to trust */
	security_act_as(owner, ACT_TO_MANAGE, &before);
	foreach(lc, row->key)
	{
		AttrNumber	attnum = get_attnum(relid, lfirst(lc));
		Oid			type;
		int32		typmod;
		Oid			collation;
		Oid			input;
		Oid			param;

		get_atttypetypmodcoll(relid, attnum, &type, &typmod, &collation);
		getTypeInputInfo(type, &input, &param);
		values[i++] = OidInputFunctionCall(input, key_text(key, lfirst(lc)), param, typmod);
	}
	security_act_as_before(&before);
	return rows_delete_key(relid, row->key, values);
}

/* Of a segment on another server, which deletes them in a transaction that is committed before ours. */
static int64
erase_there(Oid relid, const RegistryRow *row, Jsonb *key)
{
	StringInfoData sql;
	ListCell   *lc;

	far_table_check_ours(relid);
	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM ONLY %s f WHERE ", naming_quoted(relid));
	foreach(lc, row->key)
	{
		Oid			type;
		int32		typmod;
		Oid			collation;
		Oid			equal;
		char	   *column = psprintf("f.%s", quote_identifier(lfirst(lc)));
		char	   *value;

		get_atttypetypmodcoll(relid, get_attnum(relid, lfirst(lc)), &type, &typmod, &collation);
		equal = columns_key_equality(NULL, -1, type);
		value = psprintf("%s::%s", quote_literal_cstr(key_text(key, lfirst(lc))),
						 format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		if (lc != list_head(row->key))
			appendStringInfoString(&sql, " AND ");
		if (key_match_can_be_written(equal, type))
			generate_operator_clause(&sql, column, type, equal, value, type);
		else
			appendStringInfo(&sql, "%s(%s, %s)", naming_quoted_function(get_opcode(equal)), column, value);
	}
	return (int64) ddl_execute_query(security_owner_of(relid), list_make1_oid(relid), sql.data);
}

/* What remains: not what has been erased. */
static void
note(const RegistryRow *row, const char *reason, int64 versions)
{
	Oid			table = get_relname_relid("catmaid_history_erasure",
										  get_namespace_oid(INTERNAL_SCHEMA, false));

	(void) ddl_execute_query(BOOTSTRAP_SUPERUSERID, list_make1_oid(table),
							 psprintf("INSERT INTO %s (live_table, erased_by, reason, versions) VALUES (%s, %s, %s, " INT64_FORMAT ")",
									  naming_quoted(table),
									  quote_literal_cstr(naming_quoted(row->live)),
									  quote_literal_cstr(GetUserNameFromId(GetSessionUserId(), false)),
									  quote_literal_cstr(reason), versions));
}

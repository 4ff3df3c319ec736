/*
 * far_table.c
 *		The table of a segment on another server, and the foreign table that stands for it.
 *
 * The foreign table is made first, and committed, with a name for the other side that nobody
 * else has: so there is never a table there of which nothing is known here.  Then the table is
 * made and filled in one transaction there, which commits just before ours (manage/remote.c):
 * if the server here, or there, ends at any point, what is there is whole or nothing, and the
 * foreign table tells which one to remove.
 *
 * Whether the same versions are in both is told by their number and a sum of digests of each
 * row's text, in which every server writes the same: in UTF-8, with the settings that
 * postgres_fdw has there.  So order does not matter, and nothing need be sent over.
 *
 * Locks: ACCESS SHARE on what is read; the caller has what else it needs.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "segment/segment.h"
#include "compat.h"

typedef struct Copy
{
	Oid			history;
	Oid			relid;
} Copy;

static List *columns_of(Oid relid);
static List *table_options(const char *table);
static char *name_there(const char *name);
static void check_encoding(Remote *remote);
static char *definition_there(Remote *remote, Oid relid);
static char *index_there(Oid relid, const char *method, List *columns);
static List *indexable(Oid relid, List *columns);
static void remove_copy(void *arg);
static void drop_there(Oid relid);
static char *comment_there(Remote *remote, const char *table);
static char *checksum_sql(Oid relid, const char *table, List *columns);

PG_FUNCTION_INFO_V1(catmaid_history_claim_segment);

/*
 * Make a foreign table like the history, for a table of the server that does not exist yet; and
 * no more.  An error if the history has columns that cannot go there.  Returns its OID.
 */
Oid
far_table_create(Oid history, Oid segment, Oid server)
{
	Oid			owner = security_owner_of(history);
	List	   *columns = columns_of(history);
	Oid			relid;
	ListCell   *lc;

	remote_check_server(server, owner);
	foreach(lc, columns)
	{
		TableColumn *column = lfirst(lc);
		const char *why;

		if (remote_type_sql(server, column->type, column->typmod, &why) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("segments with column \"%s\" of type %s cannot go to another server",
							column->name, format_type_be(column->type)),
					 errdetail("%s.", why)));
	}
	relid = catalog_create_foreign_table(get_rel_namespace(history), left_name(segment), owner, columns,
										 GetForeignServer(server)->servername,
										 table_options(name_there(get_rel_name(segment))));
	privileges_clear(relid, false);
	foreach(lc, columns)
		catalog_set_column_option(relid, ((TableColumn *) lfirst(lc))->name, "column_name",
								  ((TableColumn *) lfirst(lc))->name);
	return relid;
}

/* As TableColumns, with their NOT NULL. */
static List *
columns_of(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *columns = NIL;
	int			i;

	for (i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		TableColumn *column;

		if (att->attisdropped)
			continue;
		column = palloc(sizeof(TableColumn));
		column->name = pstrdup(NameStr(att->attname));
		column->type = att->atttypid;
		column->typmod = att->atttypmod;
		column->collation = att->attcollation;
		column->constraints = att->attnotnull ? " NOT NULL" : "";
		columns = lappend(columns, column);
	}
	table_close(rel, NoLock);
	return columns;
}

static List *
table_options(const char *table)
{
	List	   *options = list_make3(makeDefElem("schema_name", (Node *) makeString("catmaid_history_segments"), -1),
									 makeDefElem("table_name", (Node *) makeString(pstrdup(table)), -1),
									 makeDefElem("fetch_size", (Node *) makeString("1000"), -1));

	if (FDW_BATCHES_COMPAT)
	{
		options = lappend(options, makeDefElem("batch_size", (Node *) makeString("1000"), -1));
		options = lappend(options, makeDefElem("async_capable", (Node *) makeString("true"), -1));
	}
	return options;
}

/* One that nobody has had, and begins as it is called here. */
static char *
name_there(const char *name)
{
	uint8		random[8];
	char	   *clipped = pnstrdup(name, pg_mbcliplen(name, strlen(name), NAMEDATALEN - 1 - 17));
	StringInfoData full;
	int			i;

	if (!pg_strong_random(random, sizeof(random)))
		elog(ERROR, "could not generate random values");
	initStringInfo(&full);
	appendStringInfo(&full, "%s_", clipped);
	for (i = 0; i < lengthof(random); i++)
		appendStringInfo(&full, "%02x", random[i]);
	return full.data;
}

/*
 * Make the table there, with what is in the table or foreign table "from".  The caller holds a lock
 * on that which keeps writers out, and has the two found to have the same columns.
 */
void
far_table_fill(Oid relid, Oid from, const RegistryRow *row)
{
	Oid			owner = security_owner_of(relid);
	Remote	   *remote = remote_open(GetForeignServerIdByRelId(relid), owner, get_rel_namespace(relid));
	char	   *table = remote_table_name(relid);
	char	   *columns = far_table_columns(relid);
	List	   *period = list_make1(PERIOD_COLUMN);
	List	   *xid = list_make1(XID_COLUMN);

	check_encoding(remote);
	/* what is committed there must be there after a crash, since it will be deleted here */
	remote_do(remote, "SELECT pg_catalog.set_config('synchronous_commit', 'on', true) "
			  "WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off'");
	remote_do(remote, psprintf("CREATE TABLE %s (%s, %s); COMMENT ON TABLE %s IS %s",
							   table, definition_there(remote, relid), remote_absent_columns_sql(), table,
							   quote_literal_cstr(psprintf("Former versions of rows of table %s. %s",
														   naming_quoted(row->live), remote_claim()))));
	(void) ddl_execute_query(owner, list_make2_oid(relid, from),
							 psprintf("INSERT INTO %s (%s) SELECT %s FROM ONLY %s", naming_quoted(relid),
									  columns, columns, naming_quoted(from)));
	remote_do(remote, psprintf("%s; %s; %s; ANALYZE %s", index_there(relid, "btree", indexable(relid, row->key)),
							   index_there(relid, "brin", period), index_there(relid, "btree", xid), table));
	remote_close(remote);
}

/* Bytes of any encoding may be in a database of SQL_ASCII. */
static void
check_encoding(Remote *remote)
{
	char	   *there = remote_ask(remote, "SELECT pg_catalog.current_setting('server_encoding')");

	if (there == NULL || (strcmp(there, GetDatabaseEncodingName()) != 0 &&
						  (strcmp(there, "SQL_ASCII") == 0 || GetDatabaseEncoding() == PG_SQL_ASCII)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the database of server \"%s\" has another encoding", GetForeignServer(remote->server)->servername),
				 errdetail("It is %s there, and %s here.", there ? there : "unknown", GetDatabaseEncodingName()),
				 errhint("Text of a database with encoding SQL_ASCII can be moved to such a database only.")));
}

/* The columns there, as part of CREATE TABLE. */
static char *
definition_there(Remote *remote, Oid relid)
{
	StringInfoData sql;
	Oid			collation = InvalidOid;
	char	   *collation_sql = NULL;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, columns_of(relid))
	{
		TableColumn *column = lfirst(lc);
		const char *why;

		if (OidIsValid(column->collation) && (collation_sql == NULL || column->collation != collation))
		{
			collation = column->collation;
			collation_sql = remote_collation_sql(remote, collation);
		}
		appendStringInfo(&sql, "%s%s %s%s%s", sql.len > 0 ? ", " : "",
						 quote_identifier(remote_column_name(relid, column->name)),
						 remote_type_sql(remote->server, column->type, column->typmod, &why),
						 OidIsValid(column->collation) ? collation_sql : "",
						 strcmp(column->name, PERIOD_COLUMN) == 0 || strcmp(column->name, XID_COLUMN) == 0 ?
						 " NOT NULL" : "");
	}
	return sql.data;
}

/* CREATE INDEX there, or a comment if there is nothing to index. */
static char *
index_there(Oid relid, const char *method, List *columns)
{
	StringInfoData sql;
	ListCell   *lc;

	if (columns == NIL)
		return pstrdup("SELECT");
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE INDEX ON %s USING %s (", remote_table_name(relid), method);
	foreach(lc, columns)
		appendStringInfo(&sql, "%s%s", lc == list_head(columns) ? "" : ", ",
						 quote_identifier(remote_column_name(relid, lfirst(lc))));
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* The columns, if the foreign table has all of them. */
static List *
indexable(Oid relid, List *columns)
{
	return columns_all_exist(relid, columns) ? columns : NIL;
}

/* What is in a table here, of which the columns are taken that the other one has; palloc'd. */
char *
far_table_checksum_here(Oid relid, Oid like)
{
	int			nestlevel = NewGUCNestLevel();
	List	   *columns = NIL;
	char	   *checksum;
	ListCell   *lc;

	/* as postgres_fdw has it there */
	security_set_for_command("TimeZone", "UTC");
	security_set_for_command("DateStyle", "ISO");
	security_set_for_command("IntervalStyle", "postgres");
	security_set_for_command("extra_float_digits", "3");
	security_set_for_command("bytea_output", "hex");
	foreach(lc, columns_of(like))
		columns = lappend(columns, ((TableColumn *) lfirst(lc))->name);
	checksum = ddl_query_text(security_owner_of(relid), list_make1_oid(relid),
							  checksum_sql(relid, naming_quoted(relid), columns));
	AtEOXact_GUC(true, nestlevel);
	return checksum;
}

/* What is in the table on the other server, found out there. */
char *
far_table_checksum(Oid relid)
{
	Remote	   *remote = remote_open(GetForeignServerIdByRelId(relid), security_owner_of(relid),
									 get_rel_namespace(relid));
	List	   *columns = NIL;
	char	   *checksum;
	ListCell   *lc;

	foreach(lc, columns_of(relid))
		columns = lappend(columns, remote_column_name(relid, ((TableColumn *) lfirst(lc))->name));
	checksum = remote_ask(remote, checksum_sql(relid, remote_table_name(relid), columns));
	remote_close(remote);
	return checksum;
}

/* The number of rows, and the sum of 64 bits of each row's digest. */
static char *
checksum_sql(Oid relid, const char *table, List *columns)
{
	StringInfoData row;
	ListCell   *lc;

	initStringInfo(&row);
	foreach(lc, columns)
		appendStringInfo(&row, "%sr.%s", row.len > 0 ? ", " : "", quote_identifier(lfirst(lc)));
	return psprintf("SELECT pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.sum((('x'::pg_catalog.text OPERATOR(pg_catalog.||) "
					"pg_catalog.substr(pg_catalog.md5(pg_catalog.convert_to(ROW(%s)::pg_catalog.text, 'UTF8')), 1, 16))"
					"::pg_catalog.bit(64))::pg_catalog.int8)) FROM ONLY %s r", row.data, table);
}

/* The columns of a table, as a list in SQL; palloc'd. */
char *
far_table_columns(Oid relid)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, columns_of(relid))
		appendStringInfo(&sql, "%s%s", sql.len > 0 ? ", " : "",
						 quote_identifier(((TableColumn *) lfirst(lc))->name));
	return sql.data;
}

/* Error out unless a table has the columns of the other one: it was made like that a while ago. */
void
far_table_check_columns(Oid relid, Oid like)
{
	List	   *columns = columns_of(relid);
	List	   *wanted = columns_of(like);
	bool		same = list_length(columns) == list_length(wanted);
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, wanted)
	{
		TableColumn *column = lfirst(lc);
		bool		found = false;

		foreach(lc2, columns)
		{
			TableColumn *has = lfirst(lc2);

			found = found || (strcmp(has->name, column->name) == 0 && has->type == column->type &&
							  has->typmod == column->typmod && has->collation == column->collation);
		}
		same = same && found;
	}
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("columns of history table \"%s\" were changed concurrently", get_rel_name(like)),
				 errhint("CALL %s again.", hint_function("move_history_segment"))));
}

/*
 * Remove the copies that moves of segments of the history have begun or ended with: there, then
 * here.  What is no history may be removed twice.  Where a server is away, a WARNING.
 */
void
far_table_remove_copies(Oid history)
{
	ListCell   *lc;

	foreach(lc, left_of(history))
	{
		Copy		copy = {history, lfirst_oid(lc)};
		char	   *message = attempt_for_one(remove_copy, &copy);

		if (message)
			ereport(WARNING,
					(errmsg("copy \"%s\" of a segment could not be removed: %s", get_rel_name(copy.relid), message),
					 errdetail("It is no part of the history. It is removed when segments of the table are moved next, or by maintain_history().")));
	}
}

static void
remove_copy(void *arg)
{
	Copy	   *copy = arg;

	patience_lock(copy->relid, AccessExclusiveLock);
	if (!list_member_oid(left_of(copy->history), copy->relid))
		return;
	if (get_rel_relkind(copy->relid) == RELKIND_FOREIGN_TABLE)
		drop_there(copy->relid);
	catalog_drop(RelationRelationId, copy->relid, false);
}

/*
 * Remove the table there, if it is this database's; else say in a WARNING that it stays.  An
 * error if the server is away.
 */
static void
drop_there(Oid relid)
{
	Remote	   *remote = remote_open(GetForeignServerIdByRelId(relid), security_owner_of(relid),
									 get_rel_namespace(relid));
	char	   *table = remote_table_name(relid);
	char	   *comment = comment_there(remote, table);

	if (comment && strstr(comment, remote_claim()) != NULL)
		remote_do(remote, psprintf("DROP TABLE %s", table));
	else if (comment)
		ereport(WARNING,
				(errmsg("table %s on server \"%s\" stays there", table, GetForeignServer(remote->server)->servername),
				 errdetail("Its comment does not say that it is this database's."),
				 errhint("If no other database needs it: DROP TABLE %s; there.", table)));
	remote_close(remote);
}

/* NULL if there is no such table. */
static char *
comment_there(Remote *remote, const char *table)
{
	return remote_ask(remote, psprintf("SELECT CASE WHEN pg_catalog.to_regclass(%s) IS NOT NULL THEN "
									   "COALESCE(pg_catalog.obj_description(pg_catalog.to_regclass(%s)::pg_catalog.oid, 'pg_class'), '') END",
									   quote_literal_cstr(table), quote_literal_cstr(table)));
}

/* Error out if the table there is another database's, of which this one is a copy. */
void
far_table_check_ours(Oid relid)
{
	Remote	   *remote = remote_open(GetForeignServerIdByRelId(relid), security_owner_of(relid),
									 get_rel_namespace(relid));
	char	   *comment = comment_there(remote, remote_table_name(relid));

	if (comment && strstr(comment, remote_claim()) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("segment \"%s\" may be another database's, too", get_rel_name(relid)),
				 errdetail("The comment on table %s on server \"%s\" does not say that it is this database's.",
						   remote_table_name(relid), GetForeignServer(remote->server)->servername),
				 errhint("If this database is not a copy of another one that goes on: SELECT %s(%s::regclass);",
						 hint_function("claim_history_segment"), naming_argument(relid))));
	remote_close(remote);
}

/* claim_history_segment(segment): the table on the other server is this database's */
Datum
catmaid_history_claim_segment(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Segment		segment;
	Remote	   *remote;

	if (get_rel_name(relid) == NULL || !segments_read(relid, &segment) || !OidIsValid(segment.server))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a segment on another server",
						get_rel_name(relid) ? psprintf("\"%s\"", get_rel_name(relid)) : "this"),
				 errhint("Name a segment, as listed in %s.", naming_quoted(segments_view()))));
	security_check_owner(relid, 0);
	remote = remote_open(segment.server, security_owner_of(relid), get_rel_namespace(relid));
	remote_do(remote, psprintf("COMMENT ON TABLE %s IS %s", remote_table_name(relid),
							   quote_literal_cstr(psprintf("Former versions of rows, of %s. %s",
														   naming_quoted(segment.history), remote_claim()))));
	remote_close(remote);
	PG_RETURN_VOID();
}

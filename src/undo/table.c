/*
 * table.c
 *		The tables of which something is undone, and the SQL of their columns and keys.
 *
 * A table takes part if its rows can be told by its key, if its changes are recorded, and
 * if the caller may read it and what is derived from it, all of it: where policies hide
 * rows from her it cannot be known what was there.
 *
 * Values are kept in the types that the history has, which hold the live ones: a domain's
 * constraint is met when a row is written, not before.  In stores column 5 is called c5.
 *
 * Locks, until the transaction ends: on live tables what a write takes, on histories and
 * tracking tables ACCESS SHARE.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "undo/undo.h"
#include "compat.h"

static List *tables_named(ArrayType *tables, bool children_too);
static List *tables_all(UndoRun *run);
static bool table_takes_part(UndoRun *run, RegistryRow *row);
static void table_check_fit(void *arg);
static void tables_note_left_out(List *left_out, bool strange);
static bool owner_is_trusted(Oid relid);
static bool table_may_read(const RegistryRow *row);
static void table_require(Oid relid);
static UndoTable *table_open_for(UndoRun *run, Oid relid, int number);
static void table_check(UndoTable *table);
static void table_note_unstamped(const UndoTable *table);
static char *table_one_key_sql(const UndoTable *table, const char *a, bool live, const char *b);
static bool table_keeps(const UndoTable *table, const char *column, Form_pg_attribute kept);
static UndoColumn *table_read_column(UndoTable *table, Form_pg_attribute att);
static void table_read_default(UndoTable *table, UndoColumn *column);

/*
 * Open the tables named, with those that inherit from them unless keys are given; NULL: all
 * that the caller may read.
 */
void
tables_open(UndoRun *run, ArrayType *tables)
{
	List	   *relids = tables ? tables_named(tables, run->nulls[2] != ' ') : tables_all(run);
	ListCell   *lc;
	int			number = 0;

	list_sort(relids, list_oid_cmp);
	foreach(lc, relids)
		run->tables = lappend(run->tables, table_open_for(run, lfirst_oid(lc), ++number));
}

void
tables_close(UndoRun *run)
{
	ListCell   *lc;

	foreach(lc, run->tables)
	{
		UndoTable  *table = lfirst(lc);

		table_close(table->history, NoLock);
		table_close(table->live, NoLock);
	}
}

static List *
tables_named(ArrayType *tables, bool children_too)
{
	List	   *relids = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			i;
	ListCell   *lc;

	deconstruct_array(tables, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &elements, &nulls, &n);
	for (i = 0; i < n; i++)
	{
		Oid			relid = DatumGetObjectId(elements[i]);

		if (nulls[i])
			continue;
		table_require(relid);
		relids = list_append_unique_oid(relids, relid);
		if (!children_too || get_rel_relkind(relid) != RELKIND_RELATION)
			continue;
		foreach(lc, lineage_below(relid))
		{
			if (registry_get(lfirst_oid(lc)) == NULL)
				continue;
			table_require(lfirst_oid(lc));
			relids = list_append_unique_oid(relids, lfirst_oid(lc));
		}
	}
	return relids;
}

static List *
tables_all(UndoRun *run)
{
	List	   *relids = NIL;
	List	   *left_out = NIL;
	List	   *strange = NIL;
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		RegistryRow *row = lfirst(lc);

		if (get_rel_name(row->live) == NULL || get_rel_name(row->history) == NULL)
			continue;
		if (!table_may_read(row))
			left_out = lappend_oid(left_out, row->live);
		else if (!owner_is_trusted(row->live))
			strange = lappend_oid(strange, row->live);
		else if (table_takes_part(run, row))
			relids = lappend_oid(relids, row->live);
	}
	tables_note_left_out(left_out, false);
	tables_note_left_out(strange, true);
	return relids;
}

/*
 * Returns false if the table cannot be undone, and nothing is to be: nobody has named it, and so
 * it is in nobody's way.  An error if something is to be.
 */
static bool
table_takes_part(UndoRun *run, RegistryRow *row)
{
	ErrorData  *error = attempt_or_error(table_check_fit, row);
	StringInfoData sql;
	bool		any;

	if (error == NULL)
		return true;
	if (error->elevel > ERROR || ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT EXISTS (SELECT FROM %s h WHERE h." XID_COLUMN " OPERATOR(pg_catalog.=) ANY ($1))",
					 naming_quoted(row->history));
	if (!OidIsValid(row->tracking))
		appendStringInfo(&sql, " OR EXISTS (SELECT FROM %s l WHERE l.%s OPERATOR(pg_catalog.=) ANY ($1))",
						 naming_quoted(row->live), quote_identifier(row->txid_column));
	else if (get_rel_name(row->tracking) != NULL)
		appendStringInfo(&sql, " OR EXISTS (SELECT FROM %s t WHERE t.txid OPERATOR(pg_catalog.=) ANY ($1))",
						 naming_quoted(row->tracking));
	SPI_connect();
	any = store_execute(run, psprintf("SELECT CASE WHEN (%s) THEN 1 ELSE 0 END::pg_catalog.int8", sql.data)) > 0;
	SPI_finish();
	if (any)
		ReThrowError(error);
	return false;
}

static void
table_check_fit(void *arg)
{
	UndoTable	table;

	memset(&table, 0, sizeof(table));
	table.row = arg;
	table.relid = table.row->live;
	table.live = table_open(table.relid, AccessShareLock);
	table_check(&table);
	table_close(table.live, NoLock);
}

/*
 * Returns true if the owner of the table may have her code run by the caller, who has not named
 * it: she is the caller, a role that the caller is a member of, a superuser, or owns the database.
 * Who owns a table owns its history, and so may write there whose transaction has changed it.
 */
static bool
owner_is_trusted(Oid relid)
{
	Oid			owner = security_owner_of(relid);

	return is_member_of_role_nosuper(GetUserId(), owner) || superuser_arg(owner) ||
		database_ownercheck_compat(MyDatabaseId, owner);
}

/* A part of a transaction is not taken back in silence. */
static void
tables_note_left_out(List *left_out, bool strange)
{
	StringInfoData names;
	ListCell   *lc;

	if (left_out == NIL)
		return;
	initStringInfo(&names);
	foreach(lc, left_out)
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", naming_quoted(lfirst_oid(lc)));
	if (strange)
		ereport(NOTICE,
				(errmsg("%d tables of other owners were left out", list_length(left_out)),
				 errdetail("Tables: %s.", names.data),
				 errhint("Their triggers would run with your rights: name the tables whose owners you trust, or SET ROLE to the owner.")));
	else
		ereport(NOTICE,
				(errmsg("%d tables were left out, which you may not read", list_length(left_out)),
				 errdetail("Tables: %s.", names.data)));
}

static bool
table_may_read(const RegistryRow *row)
{
	return pg_class_aclcheck(row->live, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		pg_class_aclcheck(row->history, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		(!OidIsValid(row->tracking) || get_rel_name(row->tracking) == NULL ||
		 pg_class_aclcheck(row->tracking, GetUserId(), ACL_SELECT) == ACLCHECK_OK);
}

/* Error out if it is no table with a history, or not the caller's to read. */
static void
table_require(Oid relid)
{
	RegistryRow *row;

	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	row = registry_get(relid);
	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no history", get_rel_name(relid)),
				 registry_hint_for_untracked(relid)));
	if (!table_may_read(row))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
}

static UndoTable *
table_open_for(UndoRun *run, Oid relid, int number)
{
	UndoTable  *table = palloc0(sizeof(UndoTable));
	int			i;

	table->relid = relid;
	table->number = number;
	table->live = table_open(relid, run->judge_only ? AccessShareLock : RowExclusiveLock);
	table->row = registry_get(relid);
	if (table->row == NULL)
		table_require(relid);
	table_check(table);
	if (!run->restore)
		table_note_unstamped(table);
	table->history = table_open(table->row->history, AccessShareLock);
	table->name = psprintf("%s%s", table->live->rd_rel->relkind == RELKIND_RELATION ? "ONLY " : "",
						   naming_quoted(relid));
	for (i = 0; i < RelationGetNumberOfAttributes(table->live); i++)
		if (!TupleDescAttr(RelationGetDescr(table->live), i)->attisdropped)
			table->columns = lappend(table->columns,
									 table_read_column(table, TupleDescAttr(RelationGetDescr(table->live), i)));
	return table;
}

/* Tell that rows which a transaction inserted may not be known by its id. */
static void
table_note_unstamped(const UndoTable *table)
{
	char	   *sql;

	if (OidIsValid(table->row->tracking))
		return;
	sql = columns_default_sql(table->relid, get_attnum(table->relid, table->row->txid_column));
	if (sql && (strstr(sql, "txid_current()") || strstr(sql, "pg_current_xact_id()")))
		return;
	ereport(NOTICE,
			(errmsg("rows that were inserted into table \"%s\" may not be found", RelationGetRelationName(table->live)),
			 errdetail("Its column \"%s\" has no default txid_current(), so they need not say which transaction inserted them.",
					   table->row->txid_column)));
}

/* Error out if it cannot be told what was there, or what is written would not be recorded. */
static void
table_check(UndoTable *table)
{
	const char *name = RelationGetRelationName(table->live);
	ColumnFit	worst = COLUMN_FITS;

	if (check_enable_rls(table->relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security may hide from you what was in table \"%s\"", name),
				 errhint("Have it done by the owner of the table, or by a role that has BYPASSRLS.")));
	if (fit_key(table->row) != KEY_HELD)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key by which its history is kept", name),
				 errhint("ALTER TABLE %s ADD PRIMARY KEY (...);", naming_quoted(table->relid))));
	derived_check_there(table->row, 0);
	if (OidIsValid(table->row->tracking))
		(void) fit_tracking(table->row, table->live, &worst);
	if (!triggers_enabled(table->relid, table->row) || worst > COLUMN_CONVERTS ||
		(OidIsValid(table->row->tracking) && indexes_tracking_is_loose(table->row->tracking)) ||
		columns_find(table->live, MAKER_COLUMN) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("changes of table \"%s\" are not recorded", name),
				 errdetail("What is undone could not be undone again."),
				 errhint("SELECT %s(%s::regclass);", hint_function("enable_history_tracking_for_table"),
						 hint_table(table->relid))));
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("changes of table \"%s\" are not recorded", name),
				 errdetail("What is undone could not be undone again."),
				 errhint("RESET session_replication_role;")));
}

static UndoColumn *
table_read_column(UndoTable *table, Form_pg_attribute att)
{
	UndoColumn *column = palloc0(sizeof(UndoColumn));
	Form_pg_attribute held = columns_find(table->history, NameStr(att->attname));
	Since		added;
	ListCell   *lc;

	if (held == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("history table \"%s\" has no column \"%s\" of table \"%s\"",
						RelationGetRelationName(table->history), NameStr(att->attname),
						RelationGetRelationName(table->live)),
				 errhint("SELECT %s(%s::regclass) adds it.", hint_function("repair_history"),
						 naming_argument(table->relid))));
	column->attnum = att->attnum;
	column->plain = pstrdup(NameStr(att->attname));
	column->name = pstrdup(quote_identifier(column->plain));
	column->alias = psprintf("c%d", att->attnum);
	column->type = held->atttypid;
	column->type_sql = format_type_extended(held->atttypid, held->atttypmod,
											FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	column->same_type = held->atttypid == att->atttypid;
	column->image_length = held->attlen;
	column->image_by_value = held->attbyval;
	foreach(lc, table->row->key)
		column->is_key |= strcmp(lfirst(lc), column->plain) == 0;
	column->is_silent = !OidIsValid(table->row->tracking) &&
		(strcmp(table->row->time_column, column->plain) == 0 ||
		 strcmp(table->row->txid_column, column->plain) == 0);
	column->is_generated = att->attgenerated != '\0';
	if (comments_added(table->row->history, held->attnum, &added))
	{
		column->added = pstrdup(timestamptz_to_str(added.since));
		column->added_after = added.snapshot;
		column->default_sql = columns_default_sql(table->relid, att->attnum);
		if (getBaseType(att->atttypid) == column->type)
			table_read_default(table, column);
	}
	column->is_identity = att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	return column;
}

/* Returns true if the plan takes from others what they may refer to. */
bool
table_lets_go(const UndoTable *table)
{
	ListCell   *lc;

	if (table->acts[0] > 0 || table->replace)
		return true;
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_referred && column->differs)
			return true;
	}
	return false;
}

/*
 * The default that an INSERT gives a column that it does not name: that of the column, an identity
 * column's next number, or that of a domain.  Evaluated as the caller, as by her INSERT.
 */
static void
table_read_default(UndoTable *table, UndoColumn *column)
{
	Node	   *expression = build_column_default(table->live, column->attnum);

	if (expression == NULL)
		return;
	if (table->econtext == NULL)
		table->econtext = CreateStandaloneExprContext();
	column->default_value = ExecPrepareExpr((Expr *) expression, CreateExecutorState());
}

/* The table among those to be undone; NULL: it is not. */
UndoTable *
table_of(const UndoRun *run, Oid relid)
{
	ListCell   *lc;

	foreach(lc, run->tables)
		if (((UndoTable *) lfirst(lc))->relid == relid)
			return lfirst(lc);
	return NULL;
}

/* Its column of that number, which is there. */
UndoColumn *
table_column_of(const UndoTable *table, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, table->columns)
		if (((UndoColumn *) lfirst(lc))->attnum == attnum)
			return lfirst(lc);
	elog(ERROR, "table %u has no column %d", table->relid, attnum);
}

/*
 * "A value of the version v is NULL where the history has kept another one", as "<name>_n":
 * it did not convert, or is of a column of that name that was dropped; which of them, and
 * whether that was this column, a name does not tell.
 */
char *
table_lost_sql(const UndoTable *table, const char *version)
{
	TupleDesc	desc = RelationGetDescr(table->history);
	StringInfoData lost;
	StringInfoData same;
	ListCell   *lc;
	int			i;

	initStringInfo(&lost);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_silent || column->is_generated)
			continue;
		for (i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			if (!att->attisdropped && table_keeps(table, column->plain, att))
				appendStringInfo(&lost, "%s(%s.%s IS NULL AND h.%s IS NOT NULL)", lost.len > 0 ? " OR " : "",
								 version, column->name, quote_identifier(NameStr(att->attname)));
		}
	}
	if (lost.len == 0)
		return pstrdup("false");

	/* the version where it is stored: in the history itself, or a segment of it */
	initStringInfo(&same);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (!column->is_key)
			continue;
		appendStringInfoString(&same, " AND (");
		table_equal_sql(&same, psprintf("h.%s", column->name), column->type,
						columns_key_equality(NULL, -1, getBaseType(column->type)),
						psprintf("%s.%s", version, column->name), column->type);
		appendStringInfo(&same, " OR (h.%s IS NULL AND %s.%s IS NULL))", column->name, version, column->name);
	}
	appendStringInfo(&same, " AND h.tableoid OPERATOR(pg_catalog.=) ANY ('{%u", table->row->history);
	foreach(lc, segments_relids(table->row->history))
		appendStringInfo(&same, ",%u", lfirst_oid(lc));
	return psprintf("EXISTS (SELECT FROM %s h WHERE h." XID_COLUMN " OPERATOR(pg_catalog.=) %s." XID_COLUMN
					" AND h." PERIOD_COLUMN " OPERATOR(pg_catalog.=) %s." PERIOD_COLUMN "%s}'::pg_catalog.oid[]) AND (%s))",
					naming_quoted(table->row->history), version, version, same.data, lost.data);
}

/*
 * Returns true if the column of the history may have been kept of what column was, by its
 * name.  Where the name's beginning is no column's any more, column may have had it
 * before a RENAME if its place in the history is behind the kept one's: another type
 * is a new column there.
 */
static bool
table_keeps(const UndoTable *table, const char *column, Form_pg_attribute kept)
{
	const char *name = NameStr(kept->attname);
	const char *number = strrchr(name, '_');
	int			n = number ? (int) (number - name) : 0;

	if (n == 0 || number[1] == '\0' || strspn(number + 1, "0123456789") != strlen(number + 1) ||
		columns_find(table->live, name) != NULL)
		return false;
	/* a name without room is clipped */
	if (strncmp(name, column, n) == 0 &&
		(column[n] == '\0' || strlen(name) > NAMEDATALEN - 1 - MAX_MULTIBYTE_CHAR_LEN))
		return true;
	return columns_find(table->live, pnstrdup(name, n)) == NULL &&
		columns_find(table->history, column)->attnum > kept->attnum;
}

/*
 * "The version was stored before the column was added": p or q of x, which has who ended
 * it, and when.  Of an instant: that was before.
 */
char *
table_absent_sql(const UndoRun *run, const UndoColumn *column, const char *version)
{
	if (run->restore)
		return psprintf("$2 OPERATOR(pg_catalog.<) %s::pg_catalog.timestamptz", quote_literal_cstr(column->added));
	return psprintf("COALESCE((x.%sended IS NULL OR x.%sended OPERATOR(pg_catalog.<=) %s::pg_catalog.timestamptz) "
					"AND pg_catalog.pg_visible_in_snapshot(x.%sender::pg_catalog.text::pg_catalog.xid8, %s::pg_catalog.pg_snapshot), false)",
					version, version, quote_literal_cstr(column->added),
					version, quote_literal_cstr(column->added_after));
}

/* The column of a live row, in the type that the history has. */
char *
table_live_sql(const UndoColumn *column, const char *alias)
{
	if (column->same_type)
		return psprintf("%s.%s", alias, column->name);
	return psprintf("%s.%s::%s", alias, column->name, column->type_sql);
}

/*
 * "a = b", by that operator; by its function where implicit casts of somebody's have made
 * the operator's name ambiguous.
 */
void
table_equal_sql(StringInfo sql, const char *a, Oid a_type, Oid equal, const char *b, Oid b_type)
{
	if (a_type != b_type || key_match_can_be_written(equal, getBaseType(a_type)))
		generate_operator_clause(sql, a, a_type, equal, b, b_type);
	else
		appendStringInfo(sql, "%s(%s, %s)", naming_quoted_function(get_opcode(equal)), a, b);
}

/*
 * Returns true if "a and b have one key" can be said by operators alone, as a FULL JOIN
 * wants it.
 */
bool
table_has_operators(const UndoTable *table)
{
	ListCell   *lc;

	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);
		Oid			type = getBaseType(column->type);

		if (column->is_key && !key_match_can_be_written(columns_key_equality(NULL, -1, type), type))
			return false;
	}
	return true;
}

/* "The rows a and b of stores have one key". */
char *
table_keys_equal_sql(const UndoTable *table, const char *a, const char *b)
{
	return table_one_key_sql(table, a, false, b);
}

/* "The live row and the row b of a store have one key". */
char *
table_live_equal_sql(const UndoTable *table, const char *live, const char *b)
{
	return table_one_key_sql(table, live, true, b);
}

/* live: a is a row of the live table, else of a store. */
static char *
table_one_key_sql(const UndoTable *table, const char *a, bool live, const char *b)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (!column->is_key)
			continue;
		if (sql.len > 0)
			appendStringInfoString(&sql, " AND ");
		table_equal_sql(&sql, live ? table_live_sql(column, a) : psprintf("%s.%s", a, column->alias),
						column->type, columns_key_equality(NULL, -1, getBaseType(column->type)),
						psprintf("%s.%s", b, column->alias), column->type);
	}
	return sql.data;
}

/*
 * A row of what is to be compared: without what every change changes, and without what is
 * computed.  live: of the live table, else of a store.
 */
char *
table_row_sql(const UndoTable *table, const char *alias, bool live)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (column->is_silent || column->is_generated)
			continue;
		appendStringInfo(&sql, "%s%s", sql.len > 0 ? ", " : "",
						 live ? table_live_sql(column, alias) : psprintf("%s.%s", alias, column->alias));
	}
	return psprintf("ROW(%s)", sql.data);
}

/*
 * A list of the columns with commas, each as the format says: %n its name, %a what it is
 * called in stores, %t its type there.
 */
char *
table_list_sql(const UndoTable *table, const char *format, bool keys_only)
{
	StringInfoData sql;
	ListCell   *lc;
	const char *at;

	initStringInfo(&sql);
	foreach(lc, table->columns)
	{
		UndoColumn *column = lfirst(lc);

		if (keys_only && !column->is_key)
			continue;
		if (sql.len > 0)
			appendStringInfoString(&sql, ", ");
		for (at = format; *at; at++)
		{
			if (*at == '%' && at[1] == 'n')
				appendStringInfoString(&sql, column->name);
			else if (*at == '%' && at[1] == 'a')
				appendStringInfoString(&sql, column->alias);
			else if (*at == '%' && at[1] == 't')
				appendStringInfoString(&sql, column->type_sql);
			else
			{
				appendStringInfoChar(&sql, *at);
				continue;
			}
			at++;
		}
	}
	return sql.data;
}

/*
 * log_dump.c
 *		The log in dumps, and back from them, with what a site has put on it.
 *
 * pg_dump takes of an extension's table its rows and its grants, and neither columns nor
 * indexes that a site has added: the COPY of the rows names columns then that are not
 * there on restore.  So what is dumped is catmaid_transaction_info_dump, in the schema
 * catmaid_history_internal: a table that never holds a row.  The condition with which
 * it is marked for pg_dump (as that of the registry, dump.c) reads first what columns the
 * site has added, then the log, each row with the values of those columns, at last their
 * NOT NULL, and the indexes.
 *
 * On restore, a row trigger on that table does what the row says, and keeps the row away:
 * it adds the column, enters the row in the log, or makes the index.  Where pg_restore
 * --disable-triggers has switched it off, the rows that it leaves are taken up when it
 * switches triggers on again.
 *
 * Who restores may be the owner of the database, who does not own the log.  What a
 * column or an index could make others run with rights that he has not, a default that
 * calls something, an expression, a domain, is a superuser's to restore; there is a WARNING
 * then.  The rest evaluates nothing, and is done as the log's owner.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "parser/parse_utilcmd.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "log/log.h"
#include "compat.h"

#define LOG_DUMP_TABLE	"catmaid_transaction_info_dump"

/* its columns: those of the log, then these */
#define ANUM_KIND	8			/* NULL: an entry */
#define ANUM_MORE	9			/* text[]: of an entry name, value, name, value, ... */

/* What the row says of a column that is to be added, in this order. */
enum
{
	COLUMN_NAME, COLUMN_TYPE, COLUMN_COLLATION, COLUMN_DEFAULT, COLUMN_IDENTITY,
	COLUMN_GENERATED, COLUMN_NEXT, NCOLUMN
};

typedef struct Addition
{
	const char *what;
	char	  **said;
	int			n;
	bool		trusted;
} Addition;

static bool is_log_dump(Oid relid);
static void log_dump_add(void *arg);
static void take_up(Relation dump, HeapTuple tuple, bool trusted);
static char **texts_of(Datum array, int *n);
static void add_column(char **said, bool trusted);
static void set_default(const char *column, const char *expression, bool trusted);
static Node *expression_of(const char *text);
static bool is_harmless(Node *expression);
static bool is_harmless_function(FuncCall *call);
static void set_not_null(const char *column);
static void add_index(const char *definition, bool trusted);
static bool log_dump_is_column_index(IndexStmt *statement);
static void log_dump_enter(Relation dump, HeapTuple tuple, char **more, int n);
static void warn_left_out(const char *what, const char *name, const char *hint);

PG_FUNCTION_INFO_V1(catmaid_history_restore_log);
PG_FUNCTION_INFO_V1(catmaid_history_log_values);

/* Row trigger, BEFORE INSERT: does what the row says instead. */
Datum
catmaid_history_restore_log(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		!TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(data->tg_event) ||
		!is_log_dump(RelationGetRelid(data->tg_relation)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" serves a trigger of table \"%s\" only",
						"catmaid_history_restore_log", LOG_DUMP_TABLE)));
	take_up(data->tg_relation, data->tg_trigtuple, superuser());
	return PointerGetDatum(NULL);
}

/*
 * catmaid_history_log_values(log record) returns text[]: name, value, name, value, ... of the
 * columns of a row of the log that a site has added; NULL if there are none.
 */
Datum
catmaid_history_log_values(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row),
											  HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row),.t_data = row};
	Datum	   *texts = palloc(sizeof(Datum) * 2 * (desc->natts + 1));
	bool	   *nulls = palloc0(sizeof(bool) * 2 * (desc->natts + 1));
	int			dims[1] = {0};
	int			lbs[1] = {1};
	int			i;

	ItemPointerSetInvalid(&tuple.t_self);
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Datum		value;
		bool		isnull;

		if (att->attisdropped || att->attgenerated || log_table_is_ours(NameStr(att->attname)))
			continue;
		value = heap_getattr(&tuple, att->attnum, desc, &isnull);
		texts[dims[0]++] = CStringGetTextDatum(NameStr(att->attname));
		nulls[dims[0]] = isnull;
		if (!isnull)
		{
			Oid			output;
			bool		varlena;

			getTypeOutputInfo(att->atttypid, &output, &varlena);
			texts[dims[0]] = CStringGetTextDatum(OidOutputFunctionCall(output, value));
		}
		dims[0]++;
	}
	ReleaseTupleDesc(desc);
	if (dims[0] == 0)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(construct_md_array(texts, nulls, 1, dims, lbs, TEXTOID, -1, false,
											 TYPALIGN_INT));
}

/* The rows that were left in the table while its trigger was switched off. */
void
log_dump_take_up_rows(Oid relid)
{
	Relation	dump;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!is_log_dump(relid))
		return;
	dump = table_open(relid, RowExclusiveLock);
	scan = systable_beginscan(dump, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		/* somebody else than the current user may have put it there */
		take_up(dump, tuple, false);
		CatalogTupleDelete(dump, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(dump, NoLock);

	/* ENABLE TRIGGER ALL takes ALWAYS away */
	catalog_switch_trigger(relid, "catmaid_history_restore_log", TRIGGER_FIRES_ALWAYS);
}

/* Returns true for the name of the table. */
bool
log_dump_is_named(const char *name)
{
	return strcmp(name, LOG_DUMP_TABLE) == 0;
}

/* Error out if the command has given the log a column that no dump could bring back. */
void
log_dump_check_command(AlterTableStmt *statement)
{
	Relation	log;
	int			i;

	if (DUMPS_IDENTITY_OF_MEMBERS || statement->relation == NULL ||
		strcmp(statement->relation->relname, LOG_TABLE) != 0 ||
		!OidIsValid(log_table_relid()) ||
		RangeVarGetRelid(statement->relation, NoLock, true) != log_table_relid())
		return;
	log = table_open(log_table_relid(), AccessShareLock);
	for (i = 0; i < RelationGetDescr(log)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(log), i);

		if (!att->attisdropped && att->attidentity != '\0')
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table \"%s\" cannot have an identity column", LOG_TABLE),
					 errdetail("pg_dump of PostgreSQL 13 writes a command for it that fails when the dump is restored."),
					 errhint("Use a sequence instead: ALTER TABLE %s ADD COLUMN %s bigserial;",
							 naming_quoted(RelationGetRelid(log)),
							 quote_identifier(NameStr(att->attname)))));
	}
	table_close(log, NoLock);
}

static bool
is_log_dump(Oid relid)
{
	return OidIsValid(relid) && OidIsValid(extension_registry_or_invalid()) &&
		relid == get_relname_relid(LOG_DUMP_TABLE, get_namespace_oid(INTERNAL_SCHEMA, true));
}

/* trusted: who says so is a superuser */
static void
take_up(Relation dump, HeapTuple tuple, bool trusted)
{
	TupleDesc	desc = RelationGetDescr(dump);
	bool		is_entry;
	bool		isnull;
	Datum		kind = heap_getattr(tuple, ANUM_KIND, desc, &is_entry);
	Datum		more = heap_getattr(tuple, ANUM_MORE, desc, &isnull);
	int			n = 0;
	char	  **said = isnull ? NULL : texts_of(more, &n);
	Addition	addition;
	char	   *message;

	if (!OidIsValid(log_table_relid()))
		return;
	if (is_entry)
	{
		log_dump_enter(dump, tuple, said, n);
		return;
	}
	addition.what = TextDatumGetCString(kind);
	addition.said = said;
	addition.n = n;
	addition.trusted = trusted;
	message = attempt_for_one(log_dump_add, &addition);
	if (message)
		ereport(WARNING,
				(errmsg("%s \"%s\" of table \"%s\" is not restored", addition.what,
						n > 0 && said[0] ? said[0] : "", LOG_TABLE),
				 errdetail("%s", message)));
}

/* What a site has added to the log. */
static void
log_dump_add(void *arg)
{
	Addition   *addition = arg;
	char	  **said = addition->said;

	if (strcmp(addition->what, "column") == 0 && addition->n == NCOLUMN && said[COLUMN_NAME])
		add_column(said, addition->trusted);
	else if (strcmp(addition->what, "not null") == 0 && addition->n == 1 && said[0])
		set_not_null(said[0]);
	else if (strcmp(addition->what, "index") == 0 && addition->n == 1 && said[0])
		add_index(said[0], addition->trusted);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a row of table \"%s\" says nothing that is known", LOG_DUMP_TABLE)));
}

/* The elements, NULL for NULL. */
static char **
texts_of(Datum array, int *n)
{
	Datum	   *elements;
	bool	   *nulls;
	char	  **texts;
	int			i;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, n);
	texts = palloc0(sizeof(char *) * (*n + 1));
	for (i = 0; i < *n; i++)
		texts[i] = nulls[i] ? NULL : TextDatumGetCString(elements[i]);
	return texts;
}

static void
add_column(char **said, bool trusted)
{
	const char *name = said[COLUMN_NAME];
	Relation	log = table_open(log_table_relid(), AccessShareLock);
	bool		there = columns_find(log, name) != NULL;
	TableColumn column = {.name = pstrdup(name),.constraints = ""};

	table_close(log, NoLock);
	if (there || said[COLUMN_TYPE] == NULL)
		return;

	/* the type as the current user finds it */
	parse_type_string_compat(said[COLUMN_TYPE], &column.type, &column.typmod);
	if (!OidIsValid(column.type) ||
		(!trusted && (get_typtype(column.type) == TYPTYPE_DOMAIN || said[COLUMN_GENERATED])))
	{
		warn_left_out("column", name, "A superuser can restore it.");
		return;
	}
	column.collation = get_typcollation(column.type);
	if (said[COLUMN_COLLATION])
	{
		List	   *names = stringToQualifiedNameList_compat(said[COLUMN_COLLATION]);

		column.collation = get_collation_oid(names, true);
		if (!OidIsValid(column.collation))
			column.collation = get_typcollation(column.type);
	}
	if (said[COLUMN_GENERATED])
		column.constraints = psprintf(" GENERATED ALWAYS AS (%s) STORED",
									  said[COLUMN_GENERATED]);
	ddl_add_column(log_table_relid(), &column);

	if (said[COLUMN_DEFAULT])
		set_default(name, said[COLUMN_DEFAULT], trusted);
	if (said[COLUMN_IDENTITY] && said[COLUMN_NEXT])
	{
		set_not_null(name);
		ddl_execute(security_owner_of(log_table_relid()),
					"ALTER TABLE %s ALTER COLUMN %s ADD GENERATED %s AS IDENTITY (START %s)",
					naming_quoted(log_table_relid()), quote_identifier(name),
					strcmp(said[COLUMN_IDENTITY], "a") == 0 ? "ALWAYS" : "BY DEFAULT",
					psprintf(INT64_FORMAT, DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(said[COLUMN_NEXT])))));
	}
}

/* What calls something of somebody's would run with the rights of whoever inserts. */
static void
set_default(const char *column, const char *expression, bool trusted)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	Node	   *parsed = expression_of(expression);

	if (!trusted && !is_harmless(parsed))
	{
		warn_left_out("default of column", column,
					  psprintf("As a superuser: ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s;",
							   naming_quoted(log_table_relid()), quote_identifier(column), expression));
		return;
	}
	cmd->subtype = AT_ColumnDefault;
	cmd->name = pstrdup(column);
	cmd->def = parsed;
	ddl_alter_table_cmds(security_owner_of(log_table_relid()), log_table_relid(), list_make1(cmd),
						 false, DDL_PLAIN_SEARCH_PATH);
}

/* The expression, parsed, which must be one and nothing else. */
static Node *
expression_of(const char *text)
{
	List	   *raw = pg_parse_query(psprintf("SELECT %s", text));
	SelectStmt *select = list_length(raw) == 1 ?
		(SelectStmt *) linitial_node(RawStmt, raw)->stmt : NULL;

	if (select == NULL || !IsA(select, SelectStmt) || list_length(select->targetList) != 1 ||
		select->fromClause || select->whereClause || select->op != SETOP_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not an expression", text)));
	return linitial_node(ResTarget, select->targetList)->val;
}

/*
 * Returns true for a literal, be it cast to a type of PostgreSQL's own, for one of the
 * values that SQL names, and for a function of PostgreSQL's that tells the time or the
 * session.
 */
static bool
is_harmless(Node *expression)
{
	if (IsA(expression, TypeCast))
	{
		Oid			type = typenameTypeId(NULL, ((TypeCast *) expression)->typeName);

		return type < FirstNormalObjectId && is_harmless(((TypeCast *) expression)->arg);
	}
	if (IsA(expression, FuncCall))
		return is_harmless_function((FuncCall *) expression);
	return IsA(expression, A_Const) || IsA(expression, SQLValueFunction);
}

static bool
is_harmless_function(FuncCall *call)
{
	static const char *const names[] = {
		"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "current_setting",
		"inet_client_addr", "inet_client_port", "pg_backend_pid", "txid_current", "gen_random_uuid"
	};
	ListCell   *lc;
	int			i;

	foreach(lc, call->args)
		if (!is_harmless(lfirst(lc)))
			return false;
	for (i = 0; i < lengthof(names); i++)
		if (strcmp(strVal(llast(call->funcname)), names[i]) == 0)
			/* others than PostgreSQL's own would be in another schema */
			return list_length(call->funcname) == 1 ||
				strcmp(strVal(linitial(call->funcname)), "pg_catalog") == 0;
	return false;
}

static void
set_not_null(const char *column)
{
	Relation	log = table_open(log_table_relid(), AccessShareLock);
	bool		there = columns_find(log, column) != NULL;

	table_close(log, NoLock);
	if (there)
		ddl_alter_table(log_table_relid(), false,
						psprintf("ALTER COLUMN %s SET NOT NULL", quote_identifier(column)));
}

/* definition: as pg_get_indexdef has it */
static void
add_index(const char *definition, bool trusted)
{
	List	   *raw = pg_parse_query(definition);
	IndexStmt  *statement = list_length(raw) == 1 ?
		(IndexStmt *) linitial_node(RawStmt, raw)->stmt : NULL;
	Oid			relid = log_table_relid();
	SecurityState before;
	ListCell   *lc;

	if (statement == NULL || !IsA(statement, IndexStmt) || statement->idxname == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" makes no index", definition)));
	if (OidIsValid(get_relname_relid(statement->idxname, extension_namespace())))
		return;
	if (!trusted && !log_dump_is_column_index(statement))
	{
		warn_left_out("index", statement->idxname,
					  psprintf("As a superuser: %s;", definition));
		return;
	}
	foreach(lc, statement->indexParams)
	{
		IndexElem  *element = lfirst(lc);

		if (element->name && get_attnum(relid, element->name) == InvalidAttrNumber)
		{
			warn_left_out("index", statement->idxname, psprintf("%s;", definition));
			return;
		}
	}
	/* as CREATE INDEX does before the statement is transformed */
	LockRelationOid(relid, ShareLock);
	statement->relation = makeRangeVar(get_namespace_name(extension_namespace()),
									   get_rel_name(relid), -1);
	security_act_as(security_owner_of(relid), ACT_TO_MANAGE, &before);
	security_set_for_command("search_path", "pg_catalog, pg_temp");
	statement = transformIndexStmt(relid, statement, definition);
	(void) DefineIndexCompat(relid, statement);
	security_act_as_before(&before);
	CommandCounterIncrement();
}

/* Columns only, and no condition. */
static bool
log_dump_is_column_index(IndexStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->indexParams)
		if (((IndexElem *) lfirst(lc))->name == NULL ||
			((IndexElem *) lfirst(lc))->opclass != NIL)
			return false;
	return statement->whereClause == NULL;
}

/* An entry, with the values of the site's columns that are there. */
static void
log_dump_enter(Relation dump, HeapTuple tuple, char **more, int n)
{
	Relation	log = table_open(log_table_relid(), RowExclusiveLock);
	TupleDesc	desc = RelationGetDescr(log);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *isnull = palloc(sizeof(bool) * desc->natts);
	int			i;

	memset(isnull, true, sizeof(bool) * desc->natts);
	for (i = 0; i < ANUM_KIND - 1; i++)
	{
		Form_pg_attribute from = TupleDescAttr(RelationGetDescr(dump), i);
		Form_pg_attribute to = columns_find(log, NameStr(from->attname));

		if (to && to->atttypid == from->atttypid)
			values[to->attnum - 1] = heap_getattr(tuple, i + 1, RelationGetDescr(dump),
												  &isnull[to->attnum - 1]);
	}
	/* as COPY would read them */
	for (i = 0; i + 1 < n; i += 2)
	{
		Form_pg_attribute to = more[i] ? columns_find(log, more[i]) : NULL;
		Oid			input;
		Oid			param;

		if (to == NULL || to->attgenerated || log_table_is_ours(more[i]))
			continue;
		getTypeInputInfo(to->atttypid, &input, &param);
		values[to->attnum - 1] = OidInputFunctionCall(input, more[i + 1], param, to->atttypmod);
		isnull[to->attnum - 1] = more[i + 1] == NULL;
	}
	log_table_restore(values, isnull);
	table_close(log, NoLock);
}

static void
warn_left_out(const char *what, const char *name, const char *hint)
{
	ereport(WARNING,
			(errmsg("%s \"%s\" of table \"%s\" is not restored", what, name, LOG_TABLE),
			 errdetail("It could make others run what is not theirs."),
			 errhint("%s", hint)));
}

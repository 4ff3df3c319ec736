/*
 * views.c
 *		X__with_history: the live rows and all versions before them.
 *
 * live UNION ALL history, both with the same column types, so that the planner
 * flattens it and each side uses its own indexes.  The last two columns are
 * the period and the ending transaction.
 *
 * With a tracking table the period of a live row comes from there.  A LEFT
 * JOIN on its unique key is removed by the planner from queries that do not
 * ask for the period.  A parent in a hierarchy has its children's tracking
 * tables below its own, where no unique key spans them all: there a scalar
 * sub-select, which is not planned either unless asked for, looks in the table
 * that belongs to the row's own.
 *
 * A live row's period has no end: that is said by a function, which the planner
 * evaluates, and so loads this library; see planner.c.
 *
 * The caller holds a lock on the live table.  The view is read with the rights
 * of its reader where PostgreSQL knows how (15).
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteSupport.h"
#include "utils/builtins.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

static char *view_sql(const RegistryRow *row, Relation live);
static char *period_sql(const RegistryRow *row, Relation live, char **join);
static Form_pg_attribute missing_column(const RegistryRow *row, Relation live);
static bool shows_table(Oid view, const RegistryRow *row);
static bool has_names_of(Oid view, Oid live);
static char *view_definition_sql(const RegistryRow *row);
static void follow_renamed_columns(Oid view, Oid live);
static bool shows_column(Form_pg_attribute shown, Form_pg_attribute live,
						 Form_pg_attribute history);

/*
 * Make the view, or make it anew with what it has: owner, privileges, comment,
 * options, and users' views upon it.
 */
void
view_create(const RegistryRow *row)
{
	Oid			view = view_find(row->live);

	if (!OidIsValid(view))
	{
		view_create_with(row, VIEW_OPTIONS_COMPAT);
		return;
	}
	if (shows_table(view, row))
		view_create_with(row, view_options(view));
	else
	{
		views_park(row->live, get_rel_name(view), get_rel_namespace(view), NULL);
		views_unpark(NULL);
	}
}

/* If the view is there and shows other columns than the table has: anew. */
void
view_refresh(const RegistryRow *row)
{
	Oid			view = view_find(row->live);

	if (OidIsValid(view) && !shows_table(view, row))
		view_create(row);
}

/*
 * Shows the view of the right name what it should, if there is one?  older: the
 * columns of the live table alone.
 */
bool
view_fits(const RegistryRow *row, bool older)
{
	Oid			view = older ? view_of_name(row->live) : view_find(row->live);

	if (!OidIsValid(view))
		return !OidIsValid(view_of_name(row->live));
	return older ? has_names_of(view, row->live) : shows_table(view, row);
}

/*
 * Make the older implementation's view, which has the live columns alone, one of
 * ours, and ours anew where it does not fit.  In place where PostgreSQL lets it,
 * so that all that depends on it stays as it is; otherwise it and the views upon
 * it are made anew.
 */
void
view_take_over(const RegistryRow *row)
{
	Oid			view = view_of_name(row->live);

	if (!OidIsValid(view))
		return;
	if (view_find(row->live) == view)
	{
		view_refresh(row);
		return;
	}
	follow_renamed_columns(view, row->live);
	if (convert_try(BOOTSTRAP_SUPERUSERID,
					psprintf("CREATE OR REPLACE VIEW %s%s AS %s", naming_quoted(view),
							 view_invoker_options(view), view_definition_sql(row))))
		return;
	views_park_one(row->live, view, NULL);
	views_unpark(NULL);
}

/*
 * A column of the older implementation's view keeps its name when that of the
 * table is renamed.  Such columns get the new names.
 */
static void
follow_renamed_columns(Oid view, Oid live)
{
	Relation	rel = relation_open(view, AccessExclusiveLock);
	Query	   *query = copyObject(get_view_query(rel));
	Node	   *arm = query->setOperations;
	List	   *targets = query->targetList;
	ListCell   *lc;

	relation_close(rel, NoLock);
	/* the first arm of UNION ALL names the columns */
	while (arm && IsA(arm, SetOperationStmt))
		arm = ((SetOperationStmt *) arm)->larg;
	if (arm)
		targets = rt_fetch(((RangeTblRef *) arm)->rtindex, query->rtable)->subquery->targetList;
	foreach(lc, targets)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		char	   *now = target->resorigtbl == live ?
			get_attname(live, target->resorigcol, true) : NULL;
		char	   *name = get_attname(view, target->resno, true);

		if (now && name && strcmp(now, name) != 0 &&
			get_attnum(view, now) == InvalidAttrNumber)
			ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER VIEW %s RENAME COLUMN %s TO %s",
						naming_quoted(view), quote_identifier(name), quote_identifier(now));
	}
}

/* The view's options, with that of ours. */
char *
view_invoker_options(Oid view)
{
	char	   *options = view_options(view);

	if (options[0] == '\0')
		return VIEW_OPTIONS_COMPAT;
	if (VIEW_OPTIONS_COMPAT[0] == '\0' || strstr(options, "security_invoker") != NULL)
		return options;
	options[strlen(options) - 1] = '\0';
	return psprintf("%s, security_invoker = true)", options);
}

/*
 * The view, if it is there, anew since a child's history came or went.  A
 * history that lacks columns, as one may while tracking is disabled, cannot be
 * shown: that view stays as it is until tracking is enabled.
 */
void
view_renew(const RegistryRow *row)
{
	Relation	live;
	bool		possible;

	if (!OidIsValid(view_find(row->live)))
		return;
	live = table_open(row->live, AccessShareLock);
	possible = missing_column(row, live) == NULL;
	table_close(live, NoLock);
	if (possible)
		view_create(row);
}

/* The same with other options: "" or " WITH (...)". */
void
view_create_with(const RegistryRow *row, const char *options)
{
	Relation	live = table_open(row->live, AccessShareLock);
	Oid			namespace = RelationGetNamespace(live);
	char	   *name = naming_view(row->live);
	Oid			view = view_find(row->live);

	if (!OidIsValid(view) && OidIsValid(get_relname_relid(name, namespace)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("cannot make the history view of table \"%s\"",
						RelationGetRelationName(live)),
				 errdetail("The name \"%s\" is taken by a relation that is not the view.", name),
				 errhint("Rename or drop %s.", naming_quoted_in(namespace, name))));

	ddl_execute(BOOTSTRAP_SUPERUSERID, "CREATE OR REPLACE VIEW %s%s AS %s",
				naming_quoted_in(namespace, name), options,
				view_sql(row, live));
	if (!OidIsValid(view))
	{
		view = get_relname_relid(name, namespace);
		if (live->rd_rel->relowner != BOOTSTRAP_SUPERUSERID)
			ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER VIEW %s OWNER TO %s",
						naming_quoted(view),
						quote_identifier(GetUserNameFromId(live->rd_rel->relowner, false)));
		security_copy_select(row->live, view);
	}
	table_close(live, NoLock);
}

/* Drop the view if it is there; what a user has built on it is an error. */
void
view_drop(Oid live)
{
	Oid			view = view_find(live);

	if (OidIsValid(view))
		ddl_execute(BOOTSTRAP_SUPERUSERID, "DROP VIEW %s", naming_quoted(view));
}

/* The view that has the right name, whatever it shows, or InvalidOid. */
Oid
view_of_name(Oid live)
{
	Oid			view = get_relname_relid(naming_view(live), get_rel_namespace(live));

	return OidIsValid(view) && get_rel_relkind(view) == RELKIND_VIEW ? view : InvalidOid;
}

/* The view of the live table, or InvalidOid. */
Oid
view_find(Oid live)
{
	return view_find_named(live, naming_view(live), get_rel_namespace(live));
}

/*
 * The same where its name and schema are not those of the live table any more.
 *
 * A view whose last columns are the history's, and which shows the live table,
 * or has its owner: somebody else's is not ours to drop.  (It may have been given
 * to another owner.)
 */
Oid
view_find_named(Oid live, const char *name, Oid namespace)
{
	Oid			view = get_relname_relid(name, namespace);
	AttrNumber	xid = OidIsValid(view) && get_rel_relkind(view) == RELKIND_VIEW ?
		get_attnum(view, XID_COLUMN) : 0;

	if (xid == 0 || get_atttype(view, xid) != INT8OID ||
		get_attnum(view, PERIOD_COLUMN) != xid - 1)
		return InvalidOid;
	if (security_owner_of(view) != security_owner_of(live) &&
		!list_member_oid(views_upon(live), view))
		return InvalidOid;
	return view;
}

static char *
view_definition_sql(const RegistryRow *row)
{
	Relation	live = table_open(row->live, AccessShareLock);
	char	   *sql = view_sql(row, live);

	table_close(live, NoLock);
	return sql;
}

static char *
view_sql(const RegistryRow *row, Relation live)
{
	TupleDesc	desc = RelationGetDescr(live);
	StringInfoData live_columns;
	StringInfoData history_columns;
	char	   *join;
	char	   *period = period_sql(row, live, &join);
	const char *only = "";
	char	   *filter;
	Form_pg_attribute missing = missing_column(row, live);
	int			i;

	if (missing)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("history table \"%s\" has no column \"%s\" of table \"%s\"",
						get_rel_name(row->history),
						NameStr(missing->attname), RelationGetRelationName(live)),
				 errhint("SELECT %s(%s::regclass) adds it.",
						 naming_quoted_in(registry_namespace(),
										  "repair_history"),
						 quote_literal_cstr(naming_quoted(row->live)))));

	initStringInfo(&live_columns);
	initStringInfo(&history_columns);
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = quote_identifier(NameStr(att->attname));
		Relation	history;
		Form_pg_attribute target;

		if (att->attisdropped)
			continue;

		/* both sides must have the history's type, or nothing is flattened */
		history = table_open(row->history, AccessShareLock);
		target = columns_find(history, NameStr(att->attname));
		if (target->atttypid == att->atttypid)
			appendStringInfo(&live_columns, "l.%s, ", name);
		else
			appendStringInfo(&live_columns, "l.%s::%s AS %s, ", name,
							 format_type_extended(target->atttypid, target->atttypmod,
												  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
							 name);
		appendStringInfo(&history_columns, "h.%s, ", name);
		table_close(history, NoLock);
	}

	/* what others have put under the history table is no history of ours */
	if (find_inheritance_children(row->history, NoLock) == NIL)
	{
		only = "ONLY ";
		filter = "";
	}
	else
		filter = psprintf(" WHERE h.tableoid OPERATOR(pg_catalog.=) ANY "
						  "(ARRAY(SELECT r.history_table::pg_catalog.oid FROM %s r))",
						  naming_quoted(registry_relid()));

	return psprintf("SELECT %s%s AS %s, NULL::pg_catalog.int8 AS %s FROM %s l%s "
					"UNION ALL SELECT %sh.%s, h.%s FROM %s%s h%s",
					live_columns.data, period, PERIOD_COLUMN, XID_COLUMN,
					naming_quoted(row->live), join,
					history_columns.data, PERIOD_COLUMN, XID_COLUMN,
					only, naming_quoted(row->history), filter);
}

static char *
period_sql(const RegistryRow *row, Relation live, char **join)
{
	char	   *no_end = naming_quoted_in(registry_namespace(), "catmaid_history_no_end");

	*join = "";
	if (!OidIsValid(row->tracking))
		return psprintf("pg_catalog.tstzrange(l.%s, %s())",
						quote_identifier(row->time_column), no_end);

	if (has_subclass(row->tracking) &&
		find_inheritance_children(row->tracking, NoLock) != NIL)
		return psprintf("pg_catalog.tstzrange((SELECT t.edition_time FROM %s t WHERE %s "
						"AND t.tableoid OPERATOR(pg_catalog.=) "
						"(SELECT r.tracking_table::pg_catalog.oid FROM %s r "
						"WHERE r.live_table::pg_catalog.oid OPERATOR(pg_catalog.=) l.tableoid)), %s())",
						naming_quoted(row->tracking), tracking_match_sql(row, live),
						naming_quoted(registry_relid()), no_end);

	*join = psprintf(" LEFT JOIN ONLY %s t ON %s", naming_quoted(row->tracking),
					 tracking_match_sql(row, live));
	return psprintf("pg_catalog.tstzrange(t.edition_time, %s())", no_end);
}

/* The first column of the live table that its history lacks, or NULL. */
static Form_pg_attribute
missing_column(const RegistryRow *row, Relation live)
{
	int			i;

	for (i = 0; i < RelationGetDescr(live)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(live), i);

		if (!att->attisdropped &&
			get_attnum(row->history, NameStr(att->attname)) == InvalidAttrNumber)
			return att;
	}
	return NULL;
}

/* Would making the view anew give it the columns, and types, that it has? */
static bool
shows_table(Oid view, const RegistryRow *row)
{
	Relation	live = table_open(row->live, AccessShareLock);
	Relation	history = table_open(row->history, AccessShareLock);
	Relation	rel = relation_open(view, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(live);
	int			column = 0;
	bool		same = true;
	int			i;

	for (i = 0; same && i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		same = column < RelationGetNumberOfAttributes(rel) &&
			shows_column(TupleDescAttr(RelationGetDescr(rel), column), att,
						 columns_find(history, NameStr(att->attname)));
		column++;
	}
	same = same && RelationGetNumberOfAttributes(rel) == column + 2;
	relation_close(rel, AccessShareLock);
	table_close(history, AccessShareLock);
	table_close(live, AccessShareLock);
	return same;
}

/* Has the view the names of the live table's columns, and no more? */
static bool
has_names_of(Oid view, Oid live)
{
	Relation	rel = table_open(live, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	int			column = 0;
	bool		same = true;
	int			i;

	for (i = 0; same && i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
		{
			char	   *name = get_attname(view, ++column, true);

			same = name && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0;
		}
	table_close(rel, NoLock);
	return same && get_attname(view, column + 1, true) == NULL;
}

/* See view_sql, and for the modifier select_common_typmod: of both sides, or none. */
static bool
shows_column(Form_pg_attribute shown, Form_pg_attribute live,
			 Form_pg_attribute history)
{
	int32		typmod;

	if (history == NULL)
		return false;
	typmod = history->atttypmod;
	if (history->atttypid == live->atttypid && live->atttypmod != typmod)
		typmod = -1;
	return strcmp(NameStr(shown->attname), NameStr(live->attname)) == 0 &&
		shown->atttypid == history->atttypid && shown->atttypmod == typmod &&
		(live->attcollation != history->attcollation ||
		 shown->attcollation == history->attcollation);
}

/* The view's options as CREATE VIEW spells them: "" or " WITH (...)". */
char *
view_options(Oid view)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	bool		isnull;
	Datum		datum;
	StringInfoData sql;
	Datum	   *options;
	int			n;
	int			i;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	datum = isnull ? (Datum) 0 : PointerGetDatum(DatumGetArrayTypePCopy(datum));
	ReleaseSysCache(tuple);
	if (isnull)
		return pstrdup("");
	deconstruct_array(DatumGetArrayTypeP(datum), TEXTOID, -1, false, TYPALIGN_INT,
					  &options, NULL, &n);
	initStringInfo(&sql);
	for (i = 0; i < n; i++)
	{
		char	   *option = TextDatumGetCString(options[i]);
		char	   *value = strchr(option, '=');

		*value++ = '\0';
		appendStringInfo(&sql, "%s%s = %s", i ? ", " : " WITH (",
						 quote_identifier(option), quote_literal_cstr(value));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * view_park.c
 *		X__with_history, and users' views upon it, put aside while the columns
 *		that they show are changed.
 *
 * PostgreSQL refuses to change or drop a column, or to drop a table, that a
 * view shows.  So at the start of such a command our view is parked: what it
 * and the views upon it are (definition, owner, privileges, comments, options)
 * is noted, and they are dropped, the outermost first.  At the end of the
 * command they are made again, ours from the table as it is then, the others
 * from their definitions.  Anything else that depends on one of them (a
 * materialized view, a function, a trigger on a view) makes our DROP fail, with
 * PostgreSQL's own error.
 *
 * What is parked belongs to a command, and is forgotten when the transaction or
 * subtransaction ends in which it was parked; if that fails, the views were
 * never dropped.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

typedef struct ParkedColumn
{
	char	   *name;
	char	   *comment;
	Acl		   *acl;
} ParkedColumn;

typedef struct ParkedView
{
	Oid			live;			/* for our own view, else InvalidOid */
	bool		cascade;		/* may go where it does not hold any more */
	Node	   *statement;		/* the command that it makes room for */
	SubTransactionId subid;
	Oid			namespace;
	char	   *name;
	Oid			owner;
	char	   *definition;		/* of a user's view */
	char	   *options;		/* "" or " WITH (...)" */
	Acl		   *acl;
	char	   *comment;
	List	   *columns;		/* ParkedColumn */
} ParkedView;

/* in the order in which they can be made again; in TopTransactionContext */
static List *parked = NIL;

static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
								  SubTransactionId parent, void *arg);
static void collect_dependents(Oid view, List **views);
static bool can_be_made_again(Oid view);
static ParkedView *note_view(Oid view, Oid live, Node *statement);
static char *view_definition(Oid view);
static void make_again(ParkedView *view);
static bool make_users_view(ParkedView *view);
static bool says_cascade(Node *statement);
static void grant_again(const char *on, const char *column, Acl *acl, Oid owner);

void
views_park_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/*
 * Park the live table's view of that name, and what is built upon it, for the
 * statement.  Nothing happens if there is no such view.  The caller holds the
 * lock on the live table that the command takes.
 */
void
views_park(Oid live, const char *view_name, Oid namespace, Node *statement)
{
	Oid			view = get_relname_relid(view_name, namespace);
	List	   *views;
	ListCell   *lc;
	MemoryContext before;

	if (!OidIsValid(view) || get_rel_relkind(view) != RELKIND_VIEW ||
		get_attnum(view, XID_COLUMN) == InvalidAttrNumber)
		return;

	/* innermost first; each of them noted before any is dropped */
	views = list_make1_oid(view);
	collect_dependents(view, &views);
	before = MemoryContextSwitchTo(TopTransactionContext);
	foreach(lc, views)
		parked = lappend(parked, note_view(lfirst_oid(lc),
										   lfirst_oid(lc) == view ? live : InvalidOid,
										   statement));
	MemoryContextSwitchTo(before);

	while (views != NIL)
	{
		ddl_execute(BOOTSTRAP_SUPERUSERID, "DROP VIEW %s",
					naming_quoted(llast_oid(views)));
		views = list_delete_last(views);
	}
}

/* Is the live table's view parked? */
bool
views_parked(Oid live)
{
	ListCell   *lc;

	foreach(lc, parked)
		if (((ParkedView *) lfirst(lc))->live == live)
			return true;
	return false;
}

/* Make again what was parked for the statement. */
void
views_unpark(Node *statement)
{
	List	   *mine = NIL;
	List	   *rest = NIL;
	ListCell   *lc;
	MemoryContext before;

	if (parked == NIL)
		return;
	before = MemoryContextSwitchTo(TopTransactionContext);
	foreach(lc, parked)
	{
		ParkedView *view = lfirst(lc);

		if (view->statement == statement)
			mine = lappend(mine, view);
		else
			rest = lappend(rest, view);
	}
	parked = rest;
	MemoryContextSwitchTo(before);

	/* ours first: one of a user's may stand upon several of them */
	foreach(lc, mine)
		if (OidIsValid(((ParkedView *) lfirst(lc))->live))
			make_again(lfirst(lc));
	foreach(lc, mine)
		if (!OidIsValid(((ParkedView *) lfirst(lc))->live))
			make_again(lfirst(lc));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		parked = NIL;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	foreach(lc, parked)
	{
		ParkedView *view = lfirst(lc);

		if (view->subid != mine)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			parked = foreach_delete_current(parked, lc);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			view->subid = parent;
	}
}

/* Append the views that depend on the view, each after all it depends on. */
static void
collect_dependents(Oid view, List **views)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *dependents = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(view));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->classid == RewriteRelationId && form->deptype == DEPENDENCY_NORMAL)
		{
			Relation	rewrite = table_open(RewriteRelationId, AccessShareLock);
			ScanKeyData rule_key;
			SysScanDesc rule_scan;
			HeapTuple	rule;

			ScanKeyInit(&rule_key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ,
						ObjectIdGetDatum(form->objid));
			rule_scan = systable_beginscan(rewrite, RewriteOidIndexId, true, NULL,
										   1, &rule_key);
			rule = systable_getnext(rule_scan);
			if (HeapTupleIsValid(rule) &&
				((Form_pg_rewrite) GETSTRUCT(rule))->ev_class != view)
				dependents = list_append_unique_oid(dependents,
													((Form_pg_rewrite) GETSTRUCT(rule))->ev_class);
			systable_endscan(rule_scan);
			table_close(rewrite, AccessShareLock);
		}
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);

	foreach(lc, dependents)
	{
		Oid			dependent = lfirst_oid(lc);

		if (!can_be_made_again(dependent))
			continue;
		/* seen by a shorter way: it has to come after this one as well */
		*views = list_delete_oid(*views, dependent);
		*views = lappend_oid(*views, dependent);
		collect_dependents(dependent, views);
	}
}

/* A view with nothing but its query; the rest is for the DROP to refuse. */
static bool
can_be_made_again(Oid view)
{
	Relation	rel;
	bool		can;

	if (get_rel_relkind(view) != RELKIND_VIEW)
		return false;
	rel = relation_open(view, AccessExclusiveLock);
	can = rel->trigdesc == NULL && rel->rd_rules && rel->rd_rules->numLocks == 1;
	relation_close(rel, NoLock);
	return can;
}

static ParkedView *
note_view(Oid view, Oid live, Node *statement)
{
	ParkedView *note = palloc0(sizeof(ParkedView));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Datum		datum;
	bool		isnull;
	int			i;
	int			natts;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	note->live = live;
	note->statement = statement;
	note->cascade = says_cascade(statement);
	note->subid = GetCurrentSubTransactionId();
	note->namespace = get_rel_namespace(view);
	note->name = get_rel_name(view);
	note->owner = security_owner_of(view);
	note->options = view_options(view);
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	note->acl = isnull ? NULL : DatumGetAclPCopy(datum);
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);

	note->comment = GetComment(view, RelationRelationId, 0);
	if (!OidIsValid(live))
		note->definition = view_definition(view);

	for (i = 1; i <= natts; i++)
	{
		ParkedColumn *column = palloc0(sizeof(ParkedColumn));

		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(view), Int16GetDatum(i));
		column->name = get_attname(view, i, false);
		column->comment = GetComment(view, RelationRelationId, i);
		datum = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attacl, &isnull);
		column->acl = isnull ? NULL : DatumGetAclPCopy(datum);
		ReleaseSysCache(tuple);
		note->columns = lappend(note->columns, column);
	}
	return note;
}

/* The view's query with every name qualified. */
static char *
view_definition(Oid view)
{
	int			nestlevel = NewGUCNestLevel();
	char	   *sql;

	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	sql = TextDatumGetCString(DirectFunctionCall1(pg_get_viewdef,
												  ObjectIdGetDatum(view)));
	AtEOXact_GUC(true, nestlevel);
	return sql;
}

static void
make_again(ParkedView *view)
{
	char	   *name = naming_quoted_in(view->namespace, view->name);
	Oid			relid;
	ListCell   *lc;

	if (OidIsValid(view->live))
	{
		RegistryRow *row = registry_get(view->live);

		/* the table has gone, or its history */
		if (row == NULL || get_rel_name(view->live) == NULL)
			return;
		view_create_with(row, view->options);
		relid = view_find(view->live);
		name = naming_quoted(relid);
	}
	else
	{
		if (!make_users_view(view))
			return;
		relid = get_relname_relid(view->name, view->namespace);
	}

	if (security_owner_of(relid) != view->owner)
		ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER VIEW %s OWNER TO %s", name,
					security_role_sql(view->owner));
	/* default privileges, or our own making of it, may have put others there */
	security_clear_privileges(relid, view->acl != NULL);
	grant_again(name, NULL, view->acl, view->owner);
	if (view->comment)
		ddl_execute(BOOTSTRAP_SUPERUSERID, "COMMENT ON VIEW %s IS %s", name,
					quote_literal_cstr(view->comment));
	foreach(lc, view->columns)
	{
		ParkedColumn *column = lfirst(lc);

		if (get_attnum(relid, column->name) == InvalidAttrNumber)
			continue;
		if (column->comment)
			ddl_execute(BOOTSTRAP_SUPERUSERID, "COMMENT ON COLUMN %s.%s IS %s", name,
						quote_identifier(column->name),
						quote_literal_cstr(column->comment));
		if (column->acl)
			grant_again(name, column->name, column->acl, view->owner);
	}
}

/*
 * If the definition holds no longer, the command fails as if we were not
 * there, or with CASCADE drops the view.  Returns whether it is there.
 */
static bool
make_users_view(ParkedView *view)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *name = naming_quoted_in(view->namespace, view->name);
	volatile bool made = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		/* its constants are read by type input, which runs domains' checks */
		ddl_execute(view->owner, "CREATE VIEW %s%s AS %s",
					name, view->options, view->definition);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!view->cascade)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot change the table because view %s depends on its history view", name),
					 errdetail("The view's definition does not hold any more: %s.", error->message),
					 errhint("Use DROP ... CASCADE to drop the view too, or drop it first and make it anew afterwards.")));
		ereport(NOTICE, (errmsg("drop cascades to view %s", name)));
		made = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return made;
}

/* Does the statement drop a column with CASCADE? */
static bool
says_cascade(Node *statement)
{
	ListCell   *lc;

	if (statement == NULL || !IsA(statement, AlterTableStmt))
		return false;
	foreach(lc, ((AlterTableStmt *) statement)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DropColumn && cmd->behavior == DROP_CASCADE)
			return true;
	}
	return false;
}

/* Give a relation, or a column of it, the privileges of the ACL. */
static void
grant_again(const char *on, const char *column, Acl *acl, Oid owner)
{
	static const struct
	{
		AclMode		mode;
		const char *name;
	}			privileges[] = {
		{ACL_SELECT, "SELECT"}, {ACL_INSERT, "INSERT"}, {ACL_UPDATE, "UPDATE"},
		{ACL_DELETE, "DELETE"}, {ACL_TRUNCATE, "TRUNCATE"},
		{ACL_REFERENCES, "REFERENCES"}, {ACL_TRIGGER, "TRIGGER"},
#ifdef ACL_MAINTAIN
		{ACL_MAINTAIN, "MAINTAIN"},
#endif
	};
	int			i;
	int			p;

	for (i = 0; acl && i < ACL_NUM(acl); i++)
	{
		AclItem    *item = &ACL_DAT(acl)[i];

		for (p = 0; p < lengthof(privileges); p++)
			if (ACLITEM_GET_PRIVS(*item) & privileges[p].mode)
				ddl_execute(item->ai_grantor, "GRANT %s%s ON %s TO %s%s",
							privileges[p].name,
							column ? psprintf(" (%s)", quote_identifier(column)) : "",
							on, security_role_sql(item->ai_grantee),
							item->ai_grantee != owner &&
							(ACLITEM_GET_GOPTIONS(*item) & privileges[p].mode) ?
							" WITH GRANT OPTION" : "");
	}
}

/*
 * view_note.c
 *		What a view is, noted before it is dropped, and made again from the note:
 *		definition, owner, privileges, options, comments, defaults, security
 *		labels and triggers.
 *
 * X__with_history is made from its table as it is then; a user's view from its
 * definition.  What is put on a column comes back where the view has a column of
 * that name.
 *
 * The caller holds the lock on the live table that its command takes; reading the
 * note takes none on the view, dropping it (view_park.c) does.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_trigger.h"
#include "commands/comment.h"
#include "commands/seclabel.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catmaid_history.h"
#include "compat.h"

typedef struct NotedColumn
{
	char	   *name;
	char	   *comment;
	Acl		   *acl;
	char	   *expression;		/* the default, or NULL */
} NotedColumn;

typedef struct NotedLabel
{
	char	   *column;			/* NULL: the view's */
	char	   *provider;
	char	   *label;
} NotedLabel;

typedef struct NotedTrigger
{
	char	   *name;
	char	   *definition;
	bool		has_condition;
	char	   *comment;
} NotedTrigger;

static List *note_columns(Oid view);
static List *note_labels(Oid view);
static List *note_triggers(Oid view);
static char *note_definition(Oid view);
static bool make_users_view(ViewNote *note, bool cascade);
static void run_definition(void *arg);
static void give_columns(const ViewNote *note, Oid view, const char *name);
static void give_labels(const ViewNote *note, Oid view);
static void give_triggers(const ViewNote *note, const char *name);
static void grant_again(const char *on, const char *column, Acl *acl, Oid owner);

/*
 * Note what the view is.  live is the table whose history view it is, or
 * InvalidOid for a user's.  Result in the current memory context.
 */
ViewNote *
view_note(Oid view, Oid live)
{
	ViewNote   *note = palloc0(sizeof(ViewNote));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Datum		datum;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	note->acl = isnull ? NULL : DatumGetAclPCopy(datum);
	ReleaseSysCache(tuple);

	note->live = live;
	note->namespace = get_rel_namespace(view);
	note->name = get_rel_name(view);
	note->owner = security_owner_of(view);
	note->options = OidIsValid(live) && view_find(live) != view ?
		view_invoker_options(view) : view_options(view);
	note->comment = GetComment(view, RelationRelationId, 0);
	if (!OidIsValid(live))
		note->definition = note_definition(view);
	note->columns = note_columns(view);
	note->labels = note_labels(view);
	note->triggers = note_triggers(view);
	return note;
}

/*
 * Make the view again.  Nothing is done for a history view whose table has
 * gone, or its history; nor, with cascade, for a user's view that does not hold
 * any more, which is an error without.
 */
void
view_note_make(ViewNote *note, bool cascade)
{
	char	   *name = naming_quoted_in(note->namespace, note->name);
	Oid			view;

	if (OidIsValid(note->live))
	{
		RegistryRow *row = registry_get(note->live);

		if (row == NULL || get_rel_name(note->live) == NULL)
			return;
		view_create_with(row, note->options);
		view = view_find(note->live);
		name = naming_quoted(view);
	}
	else
	{
		if (!make_users_view(note, cascade))
			return;
		view = get_relname_relid(note->name, note->namespace);
	}

	if (security_owner_of(view) != note->owner)
		ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER VIEW %s OWNER TO %s", name,
					security_role_sql(note->owner));
	/* while the owner has all privileges still */
	give_triggers(note, name);
	/* default privileges, or our own making of it, may have put others there */
	security_clear_privileges(view, note->acl != NULL);
	grant_again(name, NULL, note->acl, note->owner);
	if (note->comment)
		ddl_execute(BOOTSTRAP_SUPERUSERID, "COMMENT ON VIEW %s IS %s", name,
					quote_literal_cstr(note->comment));
	give_columns(note, view, name);
	give_labels(note, view);
}

static List *
note_columns(Oid view)
{
	List	   *columns = NIL;
	HeapTuple	tuple;
	int			i;

	for (i = 1; (tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(view),
										 Int16GetDatum(i))) != NULL; i++)
	{
		NotedColumn *column = palloc0(sizeof(NotedColumn));
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);
		bool		isnull;
		Datum		datum = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attacl,
											&isnull);

		column->name = pstrdup(NameStr(att->attname));
		column->comment = GetComment(view, RelationRelationId, i);
		column->acl = isnull ? NULL : DatumGetAclPCopy(datum);
		if (att->atthasdef)
			column->expression = columns_default_sql(view, i);
		ReleaseSysCache(tuple);
		columns = lappend(columns, column);
	}
	return columns;
}

static List *
note_labels(Oid view)
{
	Relation	labels = table_open(SecLabelRelationId, AccessShareLock);
	List	   *noted = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_seclabel_objoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(view));
	ScanKeyInit(&key[1], Anum_pg_seclabel_classoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	scan = systable_beginscan(labels, SecLabelObjectIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		NotedLabel *label = palloc0(sizeof(NotedLabel));
		int			attnum = ((FormData_pg_seclabel *) GETSTRUCT(tuple))->objsubid;
		bool		isnull;

		if (attnum != 0)
			label->column = get_attname(view, attnum, false);
		label->provider =
			TextDatumGetCString(heap_getattr(tuple, Anum_pg_seclabel_provider,
											 RelationGetDescr(labels), &isnull));
		label->label =
			TextDatumGetCString(heap_getattr(tuple, Anum_pg_seclabel_label,
											 RelationGetDescr(labels), &isnull));
		noted = lappend(noted, label);
	}
	systable_endscan(scan);
	table_close(labels, AccessShareLock);
	return noted;
}

static List *
note_triggers(Oid view)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	List	   *noted = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			nestlevel = naming_begin_qualified();

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(view));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		NotedTrigger *trigger = palloc0(sizeof(NotedTrigger));

		trigger->name = pstrdup(NameStr(form->tgname));
		trigger->definition =
			TextDatumGetCString(DirectFunctionCall1(pg_get_triggerdef,
													ObjectIdGetDatum(form->oid)));
		trigger->has_condition = !heap_attisnull(tuple, Anum_pg_trigger_tgqual,
												 RelationGetDescr(triggers));
		trigger->comment = GetComment(form->oid, TriggerRelationId, 0);
		noted = lappend(noted, trigger);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	AtEOXact_GUC(true, nestlevel);
	return noted;
}

/* The view's query with every name qualified. */
static char *
note_definition(Oid view)
{
	int			nestlevel = naming_begin_qualified();
	char	   *sql = TextDatumGetCString(DirectFunctionCall1(pg_get_viewdef,
															  ObjectIdGetDatum(view)));

	AtEOXact_GUC(true, nestlevel);
	return sql;
}

/*
 * If the definition holds no longer, the command fails as if we were not
 * there, or with CASCADE drops the view.  Returns whether it is there.
 */
static bool
make_users_view(ViewNote *note, bool cascade)
{
	char	   *name = naming_quoted_in(note->namespace, note->name);
	ErrorData  *error = ddl_attempt(run_definition, note);

	if (error == NULL)
		return true;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
		ReThrowError(error);
	if (!cascade)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot change table \"%s\" because view %s depends on its history view",
						get_rel_name(note->about), name),
				 errdetail("The view's definition does not hold any more: %s.", error->message),
				 errhint("DROP VIEW %s; first, and make it anew afterwards. DROP COLUMN ... CASCADE drops it, too.",
						 name)));
	ereport(NOTICE, (errmsg("drop cascades to view %s", name)));
	FreeErrorData(error);
	return false;
}

static void
run_definition(void *arg)
{
	ViewNote   *note = arg;

	/* its constants are read by type input, which runs domains' checks */
	ddl_execute(note->owner, "CREATE VIEW %s%s AS %s",
				naming_quoted_in(note->namespace, note->name),
				note->options, note->definition);
}

static void
give_columns(const ViewNote *note, Oid view, const char *name)
{
	ListCell   *lc;

	foreach(lc, note->columns)
	{
		NotedColumn *column = lfirst(lc);

		if (get_attnum(view, column->name) == InvalidAttrNumber)
			continue;
		if (column->comment)
			ddl_execute(BOOTSTRAP_SUPERUSERID, "COMMENT ON COLUMN %s.%s IS %s", name,
						quote_identifier(column->name),
						quote_literal_cstr(column->comment));
		/* reading its constants may run domains' checks */
		if (column->expression)
			ddl_execute(note->owner, "ALTER VIEW %s ALTER COLUMN %s SET DEFAULT %s", name,
						quote_identifier(column->name), column->expression);
		if (column->acl)
			grant_again(name, column->name, column->acl, note->owner);
	}
}

/* Straight to the catalog: a label's provider need not be loaded. */
static void
give_labels(const ViewNote *note, Oid view)
{
	ListCell   *lc;

	foreach(lc, note->labels)
	{
		NotedLabel *label = lfirst(lc);
		ObjectAddress object;

		ObjectAddressSubSet(object, RelationRelationId, view,
							label->column ? get_attnum(view, label->column) : 0);
		if (label->column == NULL || object.objectSubId != InvalidAttrNumber)
			SetSecurityLabel(&object, label->provider, label->label);
	}
}

/*
 * Making a trigger runs nobody's code (triggers.c); but the constants of its
 * condition are read by type input, which runs domains' checks.
 */
static void
give_triggers(const ViewNote *note, const char *name)
{
	ListCell   *lc;

	foreach(lc, note->triggers)
	{
		NotedTrigger *trigger = lfirst(lc);

		ddl_execute(trigger->has_condition ? note->owner : BOOTSTRAP_SUPERUSERID,
					"%s", trigger->definition);
		if (trigger->comment)
			ddl_execute(BOOTSTRAP_SUPERUSERID, "COMMENT ON TRIGGER %s ON %s IS %s",
						quote_identifier(trigger->name), name,
						quote_literal_cstr(trigger->comment));
	}
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

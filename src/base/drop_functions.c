/*
 * drop_functions.c
 *		drop_history_table and drop_history_table_keep_data, which are the database
 *		owner's.
 *
 * Migrations, which run as the database's owner, replace them by their own.  What he
 * puts there runs with the rights of the caller.  The extension calls neither, and a
 * hint for a superuser names them only as long as they are ours.  The same functions
 * in the schema catmaid_history_internal cannot be replaced.
 *
 * A migration that is reversed drops its function again.  PostgreSQL lets nobody drop a
 * member of an extension; so the function is let go before its owner's command, and
 * re-created, as ours, after it: what a dump restores by CREATE EXTENSION is there in
 * any case.
 *
 * Read from the catalogs without locks.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base.h"

static const char *name_of(bool keep_data);
static HeapTuple drop_functions_find(bool keep_data);
static bool is_altered(HeapTuple function, const char *name);
static bool drop_functions_drops(Node *statement, const char *name);
static void make_anew(bool keep_data, Oid owner);

/* of those that the command has let go; else InvalidOid */
static Oid	owner_let_go[2];

static const char *
name_of(bool keep_data)
{
	return keep_data ? "drop_history_table_keep_data" : "drop_history_table";
}

/* A copy of the function's row in pg_proc, or an invalid tuple. */
static HeapTuple
drop_functions_find(bool keep_data)
{
	Oid			regclass = REGCLASSOID;

	return SearchSysCacheCopy3(PROCNAMEARGSNSP, CStringGetDatum(name_of(keep_data)),
							   PointerGetDatum(buildoidvector(&regclass, 1)),
							   ObjectIdGetDatum(extension_namespace()));
}

/* Returns the function's name for a hint, as SQL spells it; palloc'd. */
char *
drop_function_name(bool keep_data)
{
	const char *name = name_of(keep_data);
	Oid			internal = get_namespace_oid(INTERNAL_SCHEMA, true);

	return naming_quoted_in(superuser() && OidIsValid(internal) &&
							drop_function_altered(keep_data) ?
							internal : extension_namespace(), name);
}

/* Returns true if it is not ours any more, or was altered. */
bool
drop_function_altered(bool keep_data)
{
	HeapTuple	tuple = drop_functions_find(keep_data);

	return !HeapTupleIsValid(tuple) || is_altered(tuple, name_of(keep_data));
}

/* Language, settings, SECURITY DEFINER, and what it calls. */
static bool
is_altered(HeapTuple function, const char *name)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(function);
	bool		isnull;
	Datum		source = SysCacheGetAttr(PROCNAMEARGSNSP, function, Anum_pg_proc_prosrc, &isnull);

	return form->prolang != ClanguageId || form->prosecdef ||
		!heap_attisnull(function, Anum_pg_proc_proconfig, NULL) || isnull ||
		strcmp(TextDatumGetCString(source), psprintf("catmaid_history_%s", name)) != 0;
}

/* At ddl_command_start: let go which of them the command's user may drop, and names. */
void
drop_functions_let_go(Node *statement)
{
	for (int keep_data = 0; keep_data <= 1; keep_data++)
	{
		HeapTuple	function;
		Form_pg_proc form;

		if (!drop_functions_drops(statement, name_of(keep_data)) || !OidIsValid(extension_registry_or_invalid()))
			continue;
		owner_let_go[keep_data] = InvalidOid;
		function = drop_functions_find(keep_data);
		if (!HeapTupleIsValid(function))
			continue;
		form = (Form_pg_proc) GETSTRUCT(function);
		if (!has_privs_of_role(GetUserId(), form->proowner))
			continue;
		deleteDependencyRecordsForClass(ProcedureRelationId, form->oid,
										ExtensionRelationId, DEPENDENCY_EXTENSION);
		CommandCounterIncrement();
		owner_let_go[keep_data] = form->proowner;
	}
}

/*
 * At ddl_command_end: the one that was dropped is re-created; the one that is there, as
 * another of its name was meant, is a member again.
 */
void
drop_functions_take_back(Node *statement)
{
	for (int keep_data = 0; keep_data <= 1; keep_data++)
	{
		HeapTuple	function;
		ObjectAddress address;
		ObjectAddress extension;
		Oid			owner = owner_let_go[keep_data];

		/* (commands within this one, of other event triggers, end as well) */
		if (!drop_functions_drops(statement, name_of(keep_data)))
			continue;
		owner_let_go[keep_data] = InvalidOid;
		if (!OidIsValid(owner) || !OidIsValid(extension_registry_or_invalid()))
			continue;
		function = drop_functions_find(keep_data);
		if (!HeapTupleIsValid(function))
		{
			make_anew(keep_data, owner);
			continue;
		}
		ObjectAddressSet(address, ProcedureRelationId,
						 ((Form_pg_proc) GETSTRUCT(function))->oid);
		ObjectAddressSet(extension, ExtensionRelationId,
						 get_extension_oid("catmaid_history", false));
		recordDependencyOn(&address, &extension, DEPENDENCY_EXTENSION);
		CommandCounterIncrement();
	}
}

/* Returns true if it is a DROP FUNCTION (or ROUTINE) that names a function so. */
static bool
drop_functions_drops(Node *statement, const char *name)
{
	DropStmt   *drop = (DropStmt *) statement;
	ListCell   *lc;

	if (statement == NULL || !IsA(statement, DropStmt) ||
		(drop->removeType != OBJECT_FUNCTION && drop->removeType != OBJECT_ROUTINE))
		return false;
	foreach(lc, drop->objects)
		if (strcmp(strVal(llast(lfirst_node(ObjectWithArgs, lc)->objname)), name) == 0)
			return true;
	return false;
}

/* As the install script makes it. */
static void
make_anew(bool keep_data, Oid owner)
{
	const char *name = naming_quoted_in(extension_namespace(), name_of(keep_data));
	bool		creating = creating_extension;
	Oid			current = CurrentExtensionObject;

	creating_extension = true;
	CurrentExtensionObject = get_extension_oid("catmaid_history", false);
	PG_TRY();
	{
		ddl_execute(BOOTSTRAP_SUPERUSERID,
					"CREATE FUNCTION %s(live_table pg_catalog.regclass) RETURNS void"
					" LANGUAGE c AS '$libdir/catmaid_history', 'catmaid_history_%s'",
					name, name_of(keep_data));
	}
	PG_FINALLY();
	{
		creating_extension = creating;
		CurrentExtensionObject = current;
	}
	PG_END_TRY();
	ddl_execute(BOOTSTRAP_SUPERUSERID, "COMMENT ON FUNCTION %s(pg_catalog.regclass) IS %s", name,
				quote_literal_cstr(keep_data ?
								   "Stop tracking a table and forget it, but leave its history table and rows." :
								   "Stop tracking a table and drop its history."));
	ddl_execute(BOOTSTRAP_SUPERUSERID, "ALTER FUNCTION %s(pg_catalog.regclass) OWNER TO %s", name,
				security_role_sql(owner));
	ereport(NOTICE,
			(errmsg("function %s(regclass) is the extension's again", name),
			 errdetail("Extension \"%s\" needs it.", "catmaid_history")));
}

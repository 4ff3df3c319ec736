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
 * Read from the catalogs without locks.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "catmaid_history.h"

static bool is_altered(HeapTuple function, const char *name);

/* Returns the function's name for a hint, as SQL spells it; palloc'd. */
char *
drop_function_name(bool keep_data)
{
	const char *name = keep_data ? "drop_history_table_keep_data" : "drop_history_table";
	Oid			internal = get_namespace_oid(INTERNAL_SCHEMA, true);

	return naming_quoted_in(superuser() && OidIsValid(internal) &&
							drop_function_altered(keep_data) ?
							internal : registry_namespace(), name);
}

/* Returns true if it is not ours any more, or was altered. */
bool
drop_function_altered(bool keep_data)
{
	const char *name = keep_data ? "drop_history_table_keep_data" : "drop_history_table";
	Oid			regclass = REGCLASSOID;
	HeapTuple	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name),
										PointerGetDatum(buildoidvector(&regclass, 1)),
										ObjectIdGetDatum(registry_namespace()));
	bool		altered;

	if (!HeapTupleIsValid(tuple))
		return true;
	altered = is_altered(tuple, name);
	ReleaseSysCache(tuple);
	return altered;
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

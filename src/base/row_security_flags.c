/*
 * row_security_flags.c
 *		Whether a table has row-level security, enabled or forced.
 *
 * Read from the catalogs: callers hold the locks that they need.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "utils/syscache.h"

#include "base/base.h"

/* Returns true if policies hide rows of the live table that the derived one would show. */
bool
row_security_lacks(Oid live, Oid derived)
{
	RowSecurityFlags		want;
	RowSecurityFlags		have;

	if (!row_security_flags(live, &want) || !row_security_flags(derived, &have))
		return false;
	return want.enabled && (!have.enabled || (want.forced && !have.forced));
}

bool
row_security_is_enabled(Oid relid)
{
	RowSecurityFlags		flags;

	return row_security_flags(relid, &flags) && flags.enabled;
}

bool
row_security_flags(Oid relid, RowSecurityFlags *flags)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	flags->enabled = form->relrowsecurity;
	flags->forced = form->relforcerowsecurity;
	ReleaseSysCache(tuple);
	return true;
}

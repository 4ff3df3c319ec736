/*
 * privileges.c
 *		Who may read a history: those who may read its table.
 *
 * Derived relations have no other privileges than SELECT for those who have it on the
 * live table, as it was when they were made.  Privileges are rows of the catalogs:
 * nothing is evaluated.
 *
 * Locks: none; the caller holds one on the live table.
 */
#include "postgres.h"

#include "catalog/pg_attribute.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "compat.h"

static List *privileges_grantees(List *grantees, Acl *acl);

/*
 * Give a derived relation that has been made, or is used again, the privileges that it
 * shall have, and no others: SELECT for those who have it on the live table.
 *
 * Default privileges, or whoever had a history that was kept, may have put more on it;
 * those are taken off first.
 */
void
privileges_copy_select(Oid live, Oid derived)
{
	Oid			owner = security_owner_of(derived);
	Acl		   *acl = security_relation_acl(live);
	int			i;

	privileges_clear(derived, false);
	for (i = 0; acl && i < ACL_NUM(acl); i++)
	{
		AclItem    *item = &ACL_DAT(acl)[i];

		if (item->ai_grantee == owner ||
			!(ACLITEM_GET_PRIVS(*item) & ACL_SELECT))
			continue;
		catalog_grant_select(derived, item->ai_grantee,
							 (ACLITEM_GET_GOPTIONS(*item) & ACL_SELECT) != 0);
	}
}

/*
 * Who may read the older implementation's view, which was read with its owner's
 * rights, shall be able to read ours, which is read with his own: who may read
 * the live table as well gets SELECT on the derived one.  Returns the roles
 * that may not.
 */
List *
privileges_let_readers(Oid view, Oid live, Oid derived)
{
	Acl		   *acl = security_relation_acl(view);
	Acl		   *live_acl = security_relation_acl(live);
	List	   *others = NIL;
	int			i;
	int			j;

	for (i = 0; acl && i < ACL_NUM(acl); i++)
	{
		AclItem    *item = &ACL_DAT(acl)[i];
		Oid			reader = item->ai_grantee;
		bool		reads_live = reader != ACL_ID_PUBLIC &&
			pg_class_aclcheck(live, reader, ACL_SELECT) == ACLCHECK_OK;

		for (j = 0; live_acl && j < ACL_NUM(live_acl); j++)
			reads_live |= ACL_DAT(live_acl)[j].ai_grantee == ACL_ID_PUBLIC &&
				(ACLITEM_GET_PRIVS(ACL_DAT(live_acl)[j]) & ACL_SELECT);
		if (!(ACLITEM_GET_PRIVS(*item) & ACL_SELECT) ||
			(reader != ACL_ID_PUBLIC && pg_class_aclcheck(derived, reader, ACL_SELECT) == ACLCHECK_OK))
			continue;
		if (reads_live)
			catalog_grant_select(derived, reader, false);
		else
			others = lappend_oid(others, reader);
	}
	return others;
}

/*
 * Take all privileges on a relation and its columns from everybody, of the owner's
 * own only where asked for.
 */
void
privileges_clear(Oid relid, bool owners_too)
{
	Oid			owner = security_owner_of(relid);
	List	   *grantees = privileges_grantees(NIL, security_relation_acl(relid));
	HeapTuple	tuple;
	AttrNumber	attnum;
	ListCell   *lc;

	for (attnum = 1; (tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
											  Int16GetDatum(attnum))) != NULL; attnum++)
	{
		bool		isnull;
		Datum		acl = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attacl, &isnull);

		if (!isnull)
			grantees = privileges_grantees(grantees, DatumGetAclPCopy(acl));
		ReleaseSysCache(tuple);
	}
	foreach(lc, grantees)
		if (lfirst_oid(lc) != owner)
			catalog_revoke_all(relid, lfirst_oid(lc));
	if (owners_too)
		catalog_revoke_all(relid, owner);
}

/* The roles to which an ACL, if there is one, gives something, with those in the list. */
static List *
privileges_grantees(List *grantees, Acl *acl)
{
	int			i;

	for (i = 0; acl && i < ACL_NUM(acl); i++)
		grantees = list_append_unique_oid(grantees, ACL_DAT(acl)[i].ai_grantee);
	return grantees;
}

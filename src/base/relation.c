/*
 * relation.c
 *		A relation, by OID: locked, and the one that was meant.
 *
 * A name is looked up once; whatever goes by name afterwards may have met another
 * relation, and a lock may have been waited for while the relation was dropped.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

#include "base/base.h"
#include "compat.h"

/*
 * Lock a relation.  An error if it has gone while we waited.
 */
void
relation_lock(Oid relid, LOCKMODE mode)
{
	char	   *name = get_rel_name(relid);

	LockRelationOid(relid, mode);
	if (get_rel_name(relid) != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 name ? errmsg("relation \"%s\" was dropped concurrently", name) :
			 errmsg("relation with OID %u was dropped concurrently", relid)));
}

/*
 * Error out if a command that had to name a relation has found another one: its
 * schema was renamed, and another put in its place, since the name was read.
 */
void
relation_check_meant(Oid meant, Oid found)
{
	if (found != meant)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("relation \"%s\" or its schema was renamed concurrently",
						get_rel_name(meant)),
				 errhint("Try again.")));
}

/* Returns true if this session holds the lock on the table, or a stronger one. */
bool
relation_is_locked(Oid relid, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	for (; mode <= AccessExclusiveLock; mode++)
		if (LockHeldByMeCompat(&tag, mode))
			return true;
	return false;
}

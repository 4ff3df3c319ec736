/*
 * registered.c
 *		Which relations belong to a registered table.
 *
 * Every DDL command asks for some, nearly always in vain.  So answers are kept, in
 * the session, until the registry changes; only so many of them, as most are asked
 * for once.  A table is registered under a lock on it, so who has locked it gets the
 * right answer.
 *
 * Locks: ACCESS SHARE on the registry while it is read.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "registry/registry.h"

typedef struct Answer
{
	Oid			relid;			/* hash key */
	Oid			live;			/* or InvalidOid */
} Answer;

#define MAX_ANSWERS	1024

static HTAB *answers = NULL;
static uint64 as_of = 0;			/* see extension_registry_changes */

static Oid	live_of_segment(Oid relid);
static void forget_answers(void);

/*
 * The live table of which relid is the history or tracking table, or a segment of the
 * history, or relid itself if that is registered; else InvalidOid.
 */
Oid
registered_live(Oid relid)
{
	Answer	   *answer;
	Oid			live;

	if (answers == NULL || as_of != extension_registry_changes() ||
		hash_get_num_entries(answers) >= MAX_ANSWERS)
		forget_answers();
	answer = hash_search(answers, &relid, HASH_FIND, NULL);
	if (answer)
		live = answer->live;
	else
	{
		live = registry_live_of(relid);
		if (as_of == extension_registry_changes())
		{
			answer = hash_search(answers, &relid, HASH_ENTER, NULL);
			answer->live = live;
		}
	}
	return OidIsValid(live) ? live : live_of_segment(relid);
}

/* What is a segment the registry does not know, and its changes do not tell: it is looked at. */
static Oid
live_of_segment(Oid relid)
{
	Oid			history = segments_head(relid);

	return OidIsValid(history) ? registry_live_of(history) : InvalidOid;
}

/* Returns true for a registered live table. */
bool
registered(Oid relid)
{
	return registered_live(relid) == relid;
}

static void
forget_answers(void)
{
	HASHCTL		ctl;

	if (answers)
		hash_destroy(answers);
	answers = NULL;
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(Answer);
	ctl.hcxt = CacheMemoryContext;
	answers = hash_create("catmaid_history registered relations", 64, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	as_of = extension_registry_changes();
}

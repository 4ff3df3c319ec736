/*
 * subxact_list.c
 *		Lists whose entries belong to the subtransaction that has made them.
 *
 * An entry's struct begins with a SubxactEntry, and lives in TopTransactionContext.  The
 * list itself is the caller's, who forgets it when the transaction ends.
 */
#include "postgres.h"

#include "base/base.h"

/*
 * For a subtransaction callback: returns the list without the entries that the
 * subtransaction has made, if it is aborted; if it is committed, they are its parent's.
 * Changes the list in place.
 */
List *
subxact_list_end(List *list, SubXactEvent event, SubTransactionId mine,
				 SubTransactionId parent)
{
	ListCell   *lc;

	Assert(event == SUBXACT_EVENT_START_SUB || parent < mine);

	foreach(lc, list)
	{
		SubxactEntry *entry = lfirst(lc);

		/* subtransactions further in have ended */
		Assert(entry->subid <= mine);
		if (entry->subid != mine)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			list = foreach_delete_current(list, lc);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			entry->subid = parent;
	}
	return list;
}

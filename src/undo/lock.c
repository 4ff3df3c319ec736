/*
 * lock.c
 *		Locks on the rows that are to be written.
 *
 * Without them a writer's change that is committed in between would be lost.  They are
 * taken in the order of the tables' OIDs and of the keys, the same in all calls, so that
 * two of them do not wait for each other.  Where rows are to be deleted, or lose what others
 * may refer to, the lock is FOR UPDATE, as a weaker one lets others refer to them.
 *
 * Rows are judged before they are locked, as all of them are locked by one query of little
 * then.  What was judged holds if the rows that are locked are those that were judged: as many,
 * in the same places.  (The snapshot of the caller's query keeps a place from being used again.)
 * Otherwise all is found and judged again, with these locks held.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"

#include "undo/undo.h"

static void lock_see(void *arg, TupleTableSlot *slot);

/* Add the row at that place of that table. */
void
lock_note(UndoPlaces *places, ItemPointer place, Oid part)
{
	uint64		seed = ((uint64) part << 16) | ItemPointerGetOffsetNumberNoCheck(place);

	places->count++;
	places->sum += DatumGetUInt64(hash_uint32_extended(ItemPointerGetBlockNumberNoCheck(place), seed));
}

/*
 * Lock the live rows of the table's plan.  Returns false if they are not those that were
 * judged.
 */
bool
lock_rows(UndoRun *run, UndoTable *table)
{
	UndoPlaces	locked = {0, 0};
	const UndoPlaces *wanted = &table->judged;
	bool		all = table->rest->count == 0 && run->nulls[2] != ' ';
	char	   *keys = table_list_sql(table, "l.%n", true);
	char	   *from;

	if (table->plan->count == 0)
		return true;

	/* without those of others' making what was found is told by a condition on the row alone */
	if (all)
	{
		wanted = &table->made;
		from = live_from_sql(run, table);
	}
	else
		from = psprintf("%s l JOIN (SELECT %s FROM %s f OFFSET 0) f ON %s", table->name,
						table_list_sql(table, "f.%a", true), table->plan->name, table_live_equal_sql(table, "l", "f"));
	store_see(run, psprintf("SELECT l.ctid, l.tableoid FROM %s ORDER BY %s FOR %s OF l", from, keys,
							table_lets_go(table) ? "UPDATE" : "NO KEY UPDATE"),
			  NULL, lock_see, &locked);
	return locked.count == wanted->count && locked.sum == wanted->sum;
}

static void
lock_see(void *arg, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	lock_note(arg, (ItemPointer) DatumGetPointer(slot->tts_values[0]), DatumGetObjectId(slot->tts_values[1]));
}

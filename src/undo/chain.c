/*
 * chain.c
 *		Rows of a table that refers to itself: what cannot be, along the whole chain.
 *
 * A row that stays, where it was to go, keeps the row that it refers to, which keeps its own; a
 * row that does not come keeps away what refers to it.  A skeleton has chains of thousands of
 * nodes, which judged from row to row would take thousands of rounds.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "undo/undo.h"

/* A row of the plan, by its number. */
typedef struct ChainRow
{
	bool		goes;
	bool		comes;
	bool		is_free;		/* no conflict of its own */
	bool		is_active;
	bool		follows;		/* it would be changed to refer to another row than now, or comes */
	bool		seen;
	uint64		up;				/* the row that it refers to; 0: none of the plan */
	uint64		first_below;	/* rows that refer to it */
	uint64		next;			/* of those that refer to the same */
} ChainRow;

typedef struct Chain
{
	ChainRow   *rows;			/* from 1 */
	uint64		nrows;
} Chain;

static void chain_see_row(void *arg, TupleTableSlot *slot);
static void chain_see_edge(void *arg, TupleTableSlot *slot);
static uint64 chain_keep_up(UndoTable *table, Chain *chain, const char *why);
static uint64 chain_keep_away(UndoTable *table, Chain *chain, const char *why);
static uint64 chain_block(UndoTable *table, ChainRow *row, uint64 n, const char *why);

/*
 * Put into the table's "blocked" what cannot be; result: how many rows.  match: "row p of the plan is
 * what row c of it refers to"; same: "c refers to what it refers to now"; why_stays,
 * why_away: what is said of them.
 */
uint64
chain_judge(UndoRun *run, UndoTable *table, const char *match, const char *same,
			const char *why_stays, const char *why_away)
{
	Chain		chain;
	uint64		added;

	chain.nrows = table->plan->count;
	chain.rows = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(ChainRow) * (chain.nrows + 1),
											MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	store_see(run, psprintf("SELECT c.n, c.is_d, c.is_i, c.is_free, %s, c.is_i OR (c.is_u AND %s IS NOT TRUE) FROM %s c",
							plan_active_sql(run, table, "c"), same, table->plan->name),
			  NULL, chain_see_row, &chain);
	store_see(run, psprintf("SELECT c.n, p.n FROM %s c JOIN %s p ON %s", table->plan->name, table->plan->name, match),
			  NULL, chain_see_edge, &chain);
	added = chain_keep_up(table, &chain, why_stays) + chain_keep_away(table, &chain, why_away);
	pfree(chain.rows);
	return added;
}

static void
chain_see_row(void *arg, TupleTableSlot *slot)
{
	Chain	   *chain = arg;
	ChainRow   *row;

	slot_getallattrs(slot);
	row = &chain->rows[DatumGetInt64(slot->tts_values[0])];
	row->goes = DatumGetBool(slot->tts_values[1]);
	row->comes = DatumGetBool(slot->tts_values[2]);
	row->is_free = DatumGetBool(slot->tts_values[3]);
	row->is_active = DatumGetBool(slot->tts_values[4]);
	row->follows = DatumGetBool(slot->tts_values[5]);
}

static void
chain_see_edge(void *arg, TupleTableSlot *slot)
{
	Chain	   *chain = arg;
	uint64		below;
	uint64		up;

	slot_getallattrs(slot);
	below = DatumGetInt64(slot->tts_values[0]);
	up = DatumGetInt64(slot->tts_values[1]);
	chain->rows[below].up = up;
	chain->rows[below].next = chain->rows[up].first_below;
	chain->rows[up].first_below = below;
}

/*
 * What refers to it stays.  (Of a row with a conflict the plan does not have what the live row
 * has: see judge.c.)
 */
static uint64
chain_keep_up(UndoTable *table, Chain *chain, const char *why)
{
	uint64		added = 0;
	uint64		n;

	for (n = 1; n <= chain->nrows; n++)
	{
		ChainRow   *row = &chain->rows[n];

		while (row->goes && row->is_free && !row->is_active && row->up != 0)
		{
			uint64		up = row->up;

			row = &chain->rows[up];
			if (!row->goes || !row->is_active)
				break;
			added += chain_block(table, row, up, why);
		}
	}
	return added;
}

/* What it refers to does not come. */
static uint64
chain_keep_away(UndoTable *table, Chain *chain, const char *why)
{
	uint64	   *queue = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint64) * (chain->nrows + 1));
	uint64		head = 0;
	uint64		tail = 0;
	uint64		added = 0;
	uint64		n;

	for (n = 1; n <= chain->nrows; n++)
		if (chain->rows[n].comes && !chain->rows[n].is_active)
		{
			chain->rows[n].seen = true;
			queue[tail++] = n;
		}
	while (head < tail)
		for (n = chain->rows[queue[head++]].first_below; n != 0; n = chain->rows[n].next)
		{
			ChainRow   *row = &chain->rows[n];

			if (row->seen || !row->follows || !row->is_active)
				continue;
			row->seen = true;
			added += chain_block(table, row, n, why);
			if (row->comes)
				queue[tail++] = n;
		}
	pfree(queue);
	return added;
}

static uint64
chain_block(UndoTable *table, ChainRow *row, uint64 n, const char *why)
{
	Datum		values[2] = {Int64GetDatum((int64) n), CStringGetTextDatum(why)};
	bool		isnull[2] = {false, false};

	store_put(table->blocked, values, isnull);
	row->is_active = false;
	pfree(DatumGetPointer(values[1]));
	return 1;
}

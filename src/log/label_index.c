/*
 * label_index.c
 *		The operator class of the index on the log's labels.
 *
 * A label may have any length, which a btree does not take.  So the index is a GIN one on
 * a hash of the label: of a label that is there a million times it holds the places alone,
 * and a query says label = '...', as with any index.
 *
 * No locks.
 */
#include "postgres.h"

#include "access/gin.h"
#include "utils/fmgrprotos.h"

#include "log/log.h"

PG_FUNCTION_INFO_V1(catmaid_history_label_keys);
PG_FUNCTION_INFO_V1(catmaid_history_label_matches);

/*
 * label_keys(text, internal) returns internal, of a row of the log; and
 * label_query, with more arguments, of what is looked for: an array of one key, its hash,
 * which is the same for labels that are equal by the index's collation.
 */
Datum
catmaid_history_label_keys(PG_FUNCTION_ARGS)
{
	int32	   *number = (int32 *) PG_GETARG_POINTER(1);
	Datum	   *keys = palloc(sizeof(Datum));

	keys[0] = DirectFunctionCall1Coll(hashtext, PG_GET_COLLATION(), PG_GETARG_DATUM(0));
	*number = 1;
	PG_RETURN_POINTER(keys);
}

/*
 * label_matches(internal, smallint, text, integer, internal, internal, ...) returns boolean:
 * different labels may have one hash, so what is found is to be compared.
 */
Datum
catmaid_history_label_matches(PG_FUNCTION_ARGS)
{
	bool	   *found = (bool *) PG_GETARG_POINTER(0);
	bool	   *recheck = (bool *) PG_GETARG_POINTER(5);

	*recheck = true;
	PG_RETURN_BOOL(found[0]);
}

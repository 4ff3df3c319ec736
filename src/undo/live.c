/*
 * live.c
 *		The live rows that transactions made, or that are younger than an instant.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "undo/undo.h"

/* "live l ... WHERE ...": those rows; t is the tracking row. */
char *
live_from_sql(const UndoRun *run, const UndoTable *table)
{
	char	   *start = live_start_sql(table);
	char	   *tracking = "";
	char	   *condition;

	if (OidIsValid(table->row->tracking))
		tracking = psprintf("LEFT JOIN ONLY %s t ON %s ", naming_quoted(table->row->tracking),
							tracking_match_sql(table->row, table->live));
	if (run->restore)
		condition = psprintf("(%s OPERATOR(pg_catalog.>) $2 OR %s IS NULL OR %s OPERATOR(pg_catalog.=) '-infinity')",
							 start, start, start);
	else if (OidIsValid(table->row->tracking))
		condition = "t.txid OPERATOR(pg_catalog.=) ANY ($1)";
	else
		condition = psprintf("l.%s OPERATOR(pg_catalog.=) ANY ($1)", quote_identifier(table->row->txid_column));
	return psprintf("%s l %sWHERE %s", table->name, tracking, condition);
}

/* Since when a live row has been as it is. */
char *
live_start_sql(const UndoTable *table)
{
	return OidIsValid(table->row->tracking) ? "t." EDITION_COLUMN :
		psprintf("l.%s", quote_identifier(table->row->time_column));
}

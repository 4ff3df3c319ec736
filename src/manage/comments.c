/*
 * comments.c
 *		What psql's \d+ says of the tables that belong to a live table.
 *
 * A comment is put where there is none: a site's own stays.  None names the live
 * table, so that a renaming makes none wrong; pg_dump takes them along as any.
 */
#include "postgres.h"

#include "access/attnum.h"
#include "catalog/pg_class.h"
#include "commands/comment.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* of a history's column that was added; both are told again by comments_added */
#define ADDED_AT		"Added at "
#define ADDED_AFTER		", after the transactions of the snapshot "
#define ADDED_END		". Older versions have NULL."

static void comment_on_column(Oid relid, const char *column, const char *comment);
static void comment_on(Oid relid, AttrNumber attnum, const char *comment);
static TimestampTz time_of(char *text);

/*
 * Tell what history table, tracking table and view are, those that are there, and the
 * columns of ours.  The caller holds a lock on them, or on the live table.
 */
void
comments_put(const RegistryRow *row)
{
	Oid			view = view_find(row->live);

	Assert(relation_is_locked(row->live, AccessShareLock));
	if (get_rel_name(row->history) != NULL)
	{
		comment_on(row->history, 0,
				   "Former versions of the table's rows, each with its period.");
		comment_on_column(row->history, PERIOD_COLUMN,
						  "When this was the row: from this time to that, which is excluded.");
		comment_on_column(row->history, XID_COLUMN, row->maker_until == 0 ?
						  "The transaction that ended this version." :
						  "The transaction that ended this version; of versions until the registry's maker_until the one that made it.");
		if (OidIsValid(row->tracking) && get_attnum(row->live, MAKER_COLUMN) == InvalidAttrNumber)
			comment_on_column(row->history, MAKER_COLUMN,
							  "The transaction that made this version. NULL: unknown.");
	}
	comments_put_tracking(row->tracking, list_length(row->key));
	if (OidIsValid(view))
		comment_on(view, 0, VIEW_COMMENT);
}

/*
 * Tell what a tracking table, of a key of n columns, and its columns are; InvalidOid:
 * nothing.
 */
void
comments_put_tracking(Oid tracking, int n)
{
	int			i;

	if (!OidIsValid(tracking) || get_rel_name(tracking) == NULL)
		return;
	comment_on(tracking, 0, "Since when each of the table's rows is as it is.");
	for (i = 0; i < n; i++)
		comment_on_column(tracking, naming_key_column(n, i), "The row, by its primary key.");
	comment_on_column(tracking, EDITION_COLUMN, "Since when it is as it is.");
	comment_on_column(tracking, TRACKING_XID_COLUMN, "The transaction that made it so.");
}

/*
 * Tell when the history's column was added (since.c).
 */
void
comments_put_added(Oid history, const char *column, const Since *since)
{
	comment_on_column(history, column,
					  psprintf(ADDED_AT "%s" ADDED_AFTER "%s" ADDED_END,
							   timestamptz_to_str(since->since), since->snapshot));
}

/*
 * When was the history's column added; since->snapshot is palloc'd.  Returns false where that is
 * not known, or it was there from the beginning.  Databases of an early 1.0 have it in the
 * comment alone.
 */
bool
comments_added(Oid history, AttrNumber attnum, Since *since)
{
	char	   *comment;
	char	   *after;
	char	   *end;

	since->what = SINCE_COLUMN;
	since->column = attnum;
	if (since_get(history, since))
		return true;
	comment = GetComment(history, RelationRelationId, attnum);
	if (comment == NULL || strncmp(comment, ADDED_AT, strlen(ADDED_AT)) != 0 ||
		(after = strstr(comment, ADDED_AFTER)) == NULL ||
		(end = strstr(after, ADDED_END)) == NULL)
		return false;
	since->since = time_of(pnstrdup(comment + strlen(ADDED_AT),
									after - comment - strlen(ADDED_AT)));
	after += strlen(ADDED_AFTER);
	since->snapshot = pnstrdup(after, end - after);
	return true;
}

/* A time as timestamptz_to_str writes it. */
static TimestampTz
time_of(char *text)
{
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

static void
comment_on_column(Oid relid, const char *column, const char *comment)
{
	AttrNumber	attnum = get_attnum(relid, column);

	if (attnum > 0)
		comment_on(relid, attnum, comment);
}

static void
comment_on(Oid relid, AttrNumber attnum, const char *comment)
{
	if (GetComment(relid, RelationRelationId, attnum) == NULL)
		catalog_comment(RelationRelationId, relid, attnum, comment);
}

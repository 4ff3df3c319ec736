/*
 * convert_text.c
 *		A column becomes text, whatever its type, and its values are what the type's
 *		output function prints.
 *
 * Not what a cast makes of them: a type's owner may have made one that keeps less.
 * And as pg_dump has it printed (pg_dump.c: setup_connection), whatever the session's
 * settings: from that the value can be made again.
 *
 * It is evaluated as the owner of the table (convert.c).  In place first, by ALTER
 * COLUMN TYPE.  What a site has put on the column may not let it, an index of an
 * operator class that text has none of, say; then the values move to another column,
 * and the first is dropped, with what depends on it if the command has CASCADE.
 *
 * The caller holds ACCESS EXCLUSIVE on the table.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

typedef struct TextColumn
{
	Oid			relid;
	const char *name;
	bool		cascade;
} TextColumn;

static void change_in_place(void *arg);
static void change_one(Oid relid, void *arg);
static void move_values(void *arg);
static char *convert_text_expression(const char *column);
static void print_exactly(void);

/*
 * Make the column of a history or tracking table, and of those that inherit it, text.
 * Returns false, and has done nothing, where that is not possible for a reason that
 * lies in the table.
 */
bool
convert_to_text(Oid relid, const char *column, bool cascade)
{
	TextColumn	text = {relid, column, cascade};
	int			level = NewGUCNestLevel();
	bool		done;

	Assert(relation_is_locked(relid, AccessExclusiveLock));
	print_exactly();
	/* the history's owner, who need not be whoever drops the type, may raise any error */
	done = attempt_for_one(change_in_place, &text) == NULL ||
		attempt_for_one(move_values, &text) == NULL;
	AtEOXact_GUC(false, level);
	return done;
}

static void
change_in_place(void *arg)
{
	TextColumn *text = arg;
	TableColumn column = {unconstify(char *, text->name), TEXTOID, -1, DEFAULT_COLLATION_OID, ""};

	remote_columns_retype(text->relid, &column);
	derived_for_each_owner(((TextColumn *) arg)->relid, change_one, arg);
}

static void
change_one(Oid relid, void *arg)
{
	const char *name = ((TextColumn *) arg)->name;
	const char *using = get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE ? "" :
		psprintf(" USING %s", convert_text_expression(name));

	ddl_alter_table(relid, true,
					psprintf("ALTER COLUMN %s TYPE pg_catalog.text COLLATE pg_catalog.\"default\"%s",
							 quote_identifier(name), using));
}

static void
move_values(void *arg)
{
	TextColumn *text = arg;
	char	   *temporary = naming_free_column(text->relid, InvalidOid,
											   "catmaid_history_new", false);
	TableColumn column = {temporary, TEXTOID, -1, DEFAULT_COLLATION_OID, ""};
	SelectStmt *query = castNode(SelectStmt, linitial_node(RawStmt,
														   pg_parse_query(psprintf("SELECT %s", convert_text_expression(text->name))))->stmt);

	catalog_add_column(text->relid, temporary, TEXTOID, -1, DEFAULT_COLLATION_OID);
	remote_columns_take_over(text->relid, temporary, text->name);
	convert_rows(text->relid, &column, text->name,
				 linitial_node(ResTarget, query->targetList)->val, true);
	catalog_drop_column(text->relid, text->name, true, text->cascade);
	catalog_rename_column(text->relid, temporary, text->name);
}

/*
 * concat calls the output function, but makes of NULL what is none; a row of NULLs
 * is no NULL.
 */
static char *
convert_text_expression(const char *column)
{
	const char *name = quote_identifier(column);

	return psprintf("CASE WHEN pg_catalog.num_nulls(%s) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.concat(%s) END",
					name, name);
}

/* Until the settings are put back. */
static void
print_exactly(void)
{
	security_set_for_command("extra_float_digits", "3");
	security_set_for_command("DateStyle", "ISO");
	security_set_for_command("IntervalStyle", "postgres");
}

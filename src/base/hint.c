/*
 * hint.c
 *		What a hint names: a function of ours, and the table as its argument.
 *
 * A hint is a command that can be typed: "SELECT %s(%s::regclass)", with hint_function
 * and hint_table, or naming_argument where the error undoes what the command has done
 * to the table's name.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/base.h"

/* Returns the name of one of the extension's functions, as SQL spells it; palloc'd. */
char *
hint_function(const char *name)
{
	return naming_quoted_in(extension_namespace(), name);
}

/* Returns the name that the relation has now, as a literal; palloc'd. */
char *
hint_table(Oid relid)
{
	return quote_literal_cstr(naming_quoted(relid));
}

/*
 * view.h
 *		History views, and the views on them.
 */
#ifndef CATMAID_HISTORY_VIEW_H
#define CATMAID_HISTORY_VIEW_H

#include "registry/registry.h"

#pragma GCC visibility push(hidden)

typedef struct SuspendedView
{
	SubxactEntry made_in;
	Oid			view;
	Oid			live;			/* of our own view, else InvalidOid */
	Oid			about;			/* the live table */
	char	   *text;			/* of a user's view, with what it uses */
	List	   *uses;
	bool		cascade;		/* what uses a column that goes may go */
	Node	   *statement;		/* the command that it makes room for */
} SuspendedView;

typedef struct ViewChange
{
	Oid			view;
	Oid			about;			/* the live table */
	bool		cascade;		/* what uses a column that goes may go */
	Query	   *query;			/* that it gets */
	TupleDesc	old;			/* its columns, and what they become */
	TupleDesc	new;
	AttrNumber *map;			/* the new number by the old one - 1; 0: gone */
	AttrNumber *from;			/* the old number by the new one - 1; 0: new */
	bool	   *retyped;		/* by the old number - 1 */
	bool		any_retyped;
	bool		renumbered;		/* columns that were there go, or have other numbers */
	bool		renamed;
	bool		suspended;		/* it has, or is to have, a query that shows nothing */
} ViewChange;

/* A view whose text is to be read again. */
typedef struct ViewText
{
	Oid			view;
	Oid			about;			/* the live table */
	char	   *sql;
	List	   *uses;			/* see view_meanings */
} ViewText;

typedef struct ViewFollower
{
	Oid			view;
	Oid			about;			/* the live table */
	Query	   *query;			/* with new numbers, or NULL */
	char	   *text;			/* as it may have to be read again, or NULL */
	List	   *uses;			/* with the text: see view_meanings */
	bool		must_read;		/* it has to, whatever views below it become */
	Query	   *read;			/* what it means now */
} ViewFollower;

#define VIEW_COMMENT \
	"The rows of the table and all their former versions, each with its period."

/* view_change.c: views that get other columns, and the views on them */
extern bool view_change_adds(const ViewChange *change);
extern void view_change_all(List *changes, List *texts);

/* view_columns.c: a view's columns, changed in place with all that is put on them */
extern void view_columns_replace(Oid view, TupleDesc new, const AttrNumber *from);

/* view_compare.c: how a view's columns differ from those that it gets */
extern ViewChange *view_change(Oid view, Oid about, Query *query, const char **names,
							   bool cascade);
extern void view_compare_columns(ViewChange *change, const char **names);

/* view_constants.c: whether the text of a view can be read without running anybody's code */
extern bool view_constants_run_code(Query *query);

/* view_dependents.c: what depends on a view, and whether that lets its columns change */
extern List *view_dependents(List *relations);
extern List *view_upon(Oid relid);
extern List *view_upon_rows(Oid view);
extern bool view_uses_columns(Oid view, Oid relid, const bool *columns);
extern char *view_drop_commands(List *views);
extern bool view_shows(Oid view, List *relations);
extern List *view_references(Oid view, Oid class);
extern List *view_meanings(Oid view);
extern bool view_is_strangers(Oid upon, Oid view);
extern bool view_lock_upon(Oid upon, Oid view);
extern void view_lock_upon_or_refuse(Oid upon, Oid view, Oid about);
extern bool view_is_held_by_strangers(const ViewChange *change);
extern void view_refuse_dependents(const ViewChange *change);
extern void view_refuse_rules(Oid view, Oid about);

/* view_suspend.c: the view put aside during a command */
extern void view_suspend_dependents(List *tables, List *columns);
extern void view_suspend(Oid live, const Dependents *dropped, Node *statement);
extern void view_lock_all(List *lives, LOCKMODE mode);
extern void view_lock_dependents(List *lives, bool deep);
extern List *view_list(List *lives);
extern List *view_dependents_to_lock(List *lives, bool deep);
extern void view_resume(Node *statement);

/* view_suspended.c: which views are put aside, for which command */
extern void view_suspended_add(Oid view, Oid live, Oid about, Node *statement);
extern List *view_suspended_take(Node *statement);
extern bool view_is_suspended(Oid live);
extern void view_suspended_hand_over(Node *statement, Node *for_statement);
extern void view_suspended_init(void);

/* view_query.c: a view's query: read from the catalog or from SQL, and stored */
extern Query *view_query_of(Oid view);
extern Oid	view_query_rule(Oid view);
extern char *view_query_sql(Oid view);
extern Query *view_query_read(Oid role, const char *sql);
extern Query *view_query_read_own(const char *sql, List *relations);
extern Oid	view_query_create(Oid namespace, const char *name, Oid owner, Query *query);
extern void view_query_store(Oid view, Query *query, bool stored);
extern bool view_query_is(Oid view, Query *query);
extern Query *view_query_placeholder(TupleDesc columns);

/* view_read.c: views on them whose text is read again, since columns have other types */
extern void view_read_followers(List *followers);
pg_noreturn extern void view_refuse_follower(const ViewFollower *follower, const char *reason);

/* view_remap.c: the stored query of a view on views whose columns have other numbers */
extern bool view_remap(Query *query, List *changes);

/* view_sql.c: what it shows */
extern Query *view_query(const RegistryRow *row);
extern char *view_rows_sql(const RegistryRow *row, Relation live, bool only);
extern char *view_former_rows_sql(const RegistryRow *row, Relation live);
extern char *view_tracked_rows_sql(const RegistryRow *row, Relation live);
extern bool view_has_columns(const RegistryRow *row);
extern bool view_is_possible(const RegistryRow *row);
extern bool view_is_castable(const RegistryRow *row);
extern bool view_shows_table(Oid view, const RegistryRow *row,
							 bool any_order);
extern bool view_has_names_of(Oid view, Oid live);
extern bool view_shows_hidden(Oid view, Oid live);
extern bool view_is_conditional(Oid view);

/* view.c: X__with_history: which view it is, making it, bringing it up to date */
extern void view_create(const RegistryRow *row);
extern void view_update(const RegistryRow *row);
extern bool view_fits(const RegistryRow *row, bool older);
extern void view_refresh(const RegistryRow *row);
extern void view_renew(const RegistryRow *row);
extern void view_protect(const RegistryRow *row);
extern void view_take_over(const RegistryRow *row);
extern void view_drop(Oid live, bool cascade);
extern const char **view_renamed_columns(Oid view, Oid live, bool thorough);
extern Oid	view_of_name(Oid live);
extern Oid	view_find(Oid live);
extern Oid	view_of_table(Oid live);
extern Oid	view_of_table_named(Oid live, const char *name, Oid namespace, Oid owner);
extern Oid	view_of_table_before(Oid live);
extern void view_leave_tracking(const RegistryRow *row);
extern void view_say_dropped(Oid view, const RegistryRow *row);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_VIEW_H */

/*
 * doctor.h
 *		What is wrong with a history, and what can be repaired.
 */
#ifndef CATMAID_HISTORY_DOCTOR_H
#define CATMAID_HISTORY_DOCTOR_H

#include "manage/manage.h"

#pragma GCC visibility push(hidden)

typedef struct Finding
{
	Oid			live;			/* or InvalidOid */
	const char *severity;
	const char *finding;
	const char *object;			/* or NULL */
	const char *detail;
	const char *hint;			/* or NULL */
} Finding;

/* how much is read: the catalogs, tracking and live tables too, history too */
typedef enum CheckDepth
{
	CHECK_CATALOGS,
	CHECK_TRACKING,
	CHECK_HISTORY
} CheckDepth;

/* what is known of the table that is being looked at */
typedef struct Check
{
	const RegistryRow *row;
	bool		legacy;			/* the older implementation is in charge */
	bool		tracked;
	bool		sound;
	CheckDepth	depth;
	List	   *differences;	/* fit.c */
	List	   *findings;
} Check;

/* check_constraints.c: what a site has put on its derived tables by which writes may fail */
extern void check_constraints(Check *check);

/* check_rows.c: what is wrong with its rows: differences, overlaps, times in the future */
extern void check_tracking_rows(Check *check);
extern void check_periods(Check *check, Relation live);

/* check_table.c: what is wrong with the history of one table */
extern List *check_table(const RegistryRow *row, CheckDepth depth);

/* check_finding.c: what check_history() finds: notes, a list, a warning */
extern void check_finding(Check *check, const char *severity, const char *finding,
						  const char *object, const char *hint,
						  const char *format,...) pg_attribute_printf(6, 7);
extern const char *check_repair_hint(Check *check);
extern List *check_add(List *findings, Oid live, const char *severity,
					   const char *finding, const char *object,
					   const char *detail, const char *hint);
extern void check_warn(Oid live, const char *what, List *findings);

/* legacy.c: recognizes the older implementation's triggers and functions */
extern bool legacy_is_in_charge(void);
extern bool legacy_is_function(Oid function);
extern const char *legacy_trigger_state(Relation live, const RegistryRow *row,
										int i, TriggerState *state);
extern bool legacy_tracks(Relation live);
extern bool legacy_is_too_old(void);

/* repair.c: mends a history without a change of its rows: serves adoption and repair_history() */
extern void repair_row(RegistryRow *row);
extern void repair_owners(const RegistryRow *row, Oid on_behalf_of);
extern void repair_owners_unmarked(const RegistryRow *row, List *writers);
extern void repair_missing(RegistryRow *row);
extern void repair_widen(RegistryRow *row, bool rewrite);
extern void repair_table(RegistryRow *row, bool tracked, bool adopting);
extern List *repair_in_order(List *rows);

#pragma GCC visibility pop

#endif							/* CATMAID_HISTORY_DOCTOR_H */

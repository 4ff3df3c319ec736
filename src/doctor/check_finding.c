/*
 * check_finding.c
 *		What check_history() finds: notes for a list, and the list as a warning.
 *
 * Locks: none.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "doctor/doctor.h"

/* Append a finding to the list. */
List *
check_add(List *findings, Oid live, const char *severity, const char *finding,
		  const char *object, const char *detail, const char *hint)
{
	Finding    *new = palloc(sizeof(Finding));

	new->live = live;
	new->severity = severity;
	new->finding = finding;
	new->object = object ? pstrdup(object) : NULL;
	new->detail = detail;
	new->hint = hint;
	return lappend(findings, new);
}

/* One WARNING with all findings but those for information; none for none. */
void
check_warn(Oid live, const char *what, List *findings)
{
	StringInfoData detail;
	ListCell   *lc;

	initStringInfo(&detail);
	foreach(lc, findings)
	{
		Finding    *finding = lfirst(lc);

		if (strcmp(finding->severity, "info") == 0)
			continue;
		appendStringInfo(&detail, "%s%s", detail.len ? "\n" : "", finding->detail);
		if (finding->hint)
			appendStringInfo(&detail, " (%s)", finding->hint);
	}
	if (detail.len > 0)
		ereport(WARNING,
				(errmsg("%s", what),
				 errdetail("%s", detail.data),
				 errhint("SELECT * FROM %s(%s) lists the current findings.",
						 hint_function("check_history"),
						 get_rel_name(live) == NULL ? "" :
						 hint_table(live))));
}

/* Note a finding; the detail is what format makes of the rest. */
void
check_finding(Check *check, const char *severity, const char *finding, const char *object,
			  const char *hint, const char *format,...)
{
	StringInfoData detail;

	initStringInfo(&detail);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&detail, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&detail, needed);
	}
	check->findings = check_add(check->findings, check->row->live, severity, finding,
								object, detail.data, hint);
}

/* What mends it without anybody's help. */
const char *
check_repair_hint(Check *check)
{
	if (check->legacy)
		return "ALTER EXTENSION catmaid_history UPDATE;";
	if (get_rel_name(check->row->live) == NULL)
		return psprintf("SELECT %s();", hint_function("repair_history"));
	return psprintf("SELECT %s(%s::regclass);",
					hint_function("repair_history"),
					hint_table(check->row->live));
}

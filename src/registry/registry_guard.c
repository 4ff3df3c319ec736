/*
 * registry_guard.c
 *		Who may write the registry by hand.
 *
 * Migrations do, and the owner of the database, who restores dumps; the extension
 * itself writes past this file (registry.c).  A row gives power over the tables that
 * it names, so only a role with the rights of all their owners may write it: those
 * of the row as it was and as it is to be.  Superusers may write anything.
 *
 * Any role that may delete rows at all may remove a row whose tables are gone; but
 * no row may be made for tables that do not exist: the next table may get the OID.
 *
 * Locks: those of the statement.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "registry/registry.h"

static void check_all_rows(Relation registry);
static void check_row(HeapTuple tuple, TupleDesc desc, bool is_new);
static void registry_guard_refuse(const RegistryRow *row, const char *detail);

PG_FUNCTION_INFO_V1(catmaid_history_registry_guard);

/*
 * BEFORE INSERT, UPDATE or DELETE, FOR EACH ROW, and BEFORE TRUNCATE on the
 * registry: error out (42501) if the current user may not do it.
 */
Datum
catmaid_history_registry_guard(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc	desc;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		TRIGGER_FIRED_BY_TRUNCATE(data->tg_event) == TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		RelationGetRelid(data->tg_relation) != extension_registry_or_invalid())
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" serves the triggers of the registry only",
						"catmaid_history_registry_guard")));
	desc = RelationGetDescr(data->tg_relation);
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
	{
		check_all_rows(data->tg_relation);
		return PointerGetDatum(NULL);
	}
	check_row(data->tg_trigtuple, desc, TRIGGER_FIRED_BY_INSERT(data->tg_event));
	if (!TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		return PointerGetDatum(data->tg_trigtuple);
	check_row(data->tg_newtuple, desc, true);
	return PointerGetDatum(data->tg_newtuple);
}

/*
 * Returns the first of the row's tables whose owner's rights the role lacks, or
 * InvalidOid.  Tables that are gone are passed over.
 */
Oid
registry_guard_lacks(const RegistryRow *row, Oid role)
{
	Oid			tables[3];
	int			i;

	tables[0] = row->live;
	tables[1] = row->history;
	tables[2] = row->tracking;
	for (i = 0; i < lengthof(tables); i++)
		if (OidIsValid(tables[i]) && get_rel_name(tables[i]) != NULL &&
			!has_privs_of_role(role, security_owner_of(tables[i])))
			return tables[i];
	return InvalidOid;
}

/* Returns true if the trigger is there (older databases do not have it) and fires. */
bool
registry_is_guarded(void)
{
	Relation	registry = table_open(extension_registry(), AccessShareLock);
	TriggerDesc *triggers = registry->trigdesc;
	bool		guarded = false;
	int			i;

	for (i = 0; triggers && i < triggers->numtriggers; i++)
		guarded |= strcmp(triggers->triggers[i].tgname, "catmaid_history_registry_guard") == 0 &&
			triggers->triggers[i].tgenabled == TRIGGER_FIRES_ALWAYS;
	table_close(registry, AccessShareLock);
	return guarded;
}

static void
check_all_rows(Relation registry)
{
	SysScanDesc scan = systable_beginscan(registry, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		check_row(tuple, RelationGetDescr(registry), false);
	systable_endscan(scan);
}

static void
check_row(HeapTuple tuple, TupleDesc desc, bool is_new)
{
	RegistryRow row = {0};
	Oid			lacks;

	if (superuser())
		return;
	registry_tables_of(tuple, desc, &row);
	if (is_new &&
		(get_rel_name(row.live) == NULL || get_rel_name(row.history) == NULL ||
		 (OidIsValid(row.tracking) && get_rel_name(row.tracking) == NULL)))
		registry_guard_refuse(&row, "It names a table that does not exist.");
	if (is_new && get_rel_relispartition(row.live))
		registry_guard_refuse(&row, "It is a partition, which has no history of its own.");
	lacks = registry_guard_lacks(&row, GetUserId());
	if (OidIsValid(lacks))
		registry_guard_refuse(&row, psprintf("It names table %s, which belongs to %s.", naming_quoted(lacks),
											 security_role_sql(security_owner_of(lacks))));
}

static void
registry_guard_refuse(const RegistryRow *row, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for the registry entry of %s",
					get_rel_name(row->live) ? psprintf("table \"%s\"", get_rel_name(row->live)) :
					psprintf("the table with OID %u", row->live)),
			 errdetail("%s", detail),
			 errhint("Only a role with the privileges of the owners of all its tables can write it. The extension's functions maintain it by themselves.")));
}

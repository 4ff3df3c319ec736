/*
 * legacy.c
 *		Recognizes the triggers and functions of the older PL/pgSQL
 *		implementation.
 *
 * Its triggers have the names that ours still have, and call functions in the
 * extension's schema: four that all tables share, and two generated for each
 * table with a time column.  A trigger of such a name that calls another
 * function is somebody's own, and none of our business.
 *
 * Before CATMAID's migration 0096 a table with a time column had one trigger for all
 * of it, BEFORE UPDATE OR DELETE.  That is well, but cannot be adopted: the migration
 * would replace functions that are the extension's by then.
 *
 * Catalogs are read without locks but those of the caller on live tables.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "doctor/doctor.h"

#define DELETE_TRIGGER	"on_delete_update_history_txid_regular"

static const struct
{
	const char *name;
	bool		stores;			/* versions are lost without it */
	bool		with_time_column;
	bool		with_tracking;
}			triggers[] = {
	{REGULAR_TRIGGER, true, true, false},
	{DELETE_TRIGGER, true, true, false},
	{REGULAR_TXID_TRIGGER, false, true, false},
	{TRACKING_TRIGGER, true, false, true},
	{TRACKING_INSERT_TRIGGER, false, false, true},
	{BEFORE_TRUNCATE_TRIGGER, true, true, true},
	{AFTER_TRUNCATE_TRIGGER, false, false, true},
};

static const char *const shared_functions[] = {
	"update_history_of_row_tracking", "update_time_for_row",
	"truncate_tracking_table", "handle_live_table_truncate"
};

static bool is_before_0096(Relation live);
static bool is_generated(const char *name);

/*
 * Returns true if the database is in the state before adoption, without functions of ours.
 */
bool
legacy_is_in_charge(void)
{
	return !SearchSysCacheExists3(PROCNAMEARGSNSP,
								  CStringGetDatum("catmaid_history_capture"),
								  PointerGetDatum(buildoidvector(NULL, 0)),
								  ObjectIdGetDatum(extension_namespace()));
}

/*
 * Returns true if the older implementation is there, as it was before CATMAID's
 * migration 0096, whose function this is.
 */
bool
legacy_is_too_old(void)
{
	return legacy_is_in_charge() &&
		OidIsValid(GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
								   CStringGetDatum("reload_history_tracking"),
								   PointerGetDatum(buildoidvector(NULL, 0)),
								   ObjectIdGetDatum(extension_namespace()))) &&
		!SearchSysCacheExists3(PROCNAMEARGSNSP,
							   CStringGetDatum("get_history_txid_update_trigger_name_regular"),
							   PointerGetDatum(buildoidvector(NULL, 0)),
							   ObjectIdGetDatum(extension_namespace()));
}

/* Returns true for a trigger function of the older implementation. */
bool
legacy_is_function(Oid function)
{
	char	   *name = get_func_name(function);
	int			i;

	if (name == NULL || get_func_namespace(function) != extension_namespace() ||
		get_func_rettype(function) != TRIGGEROID)
		return false;
	for (i = 0; i < lengthof(shared_functions); i++)
		if (strcmp(name, shared_functions[i]) == 0)
			return true;
	return is_generated(name);
}

/*
 * The state of the older implementation's i-th trigger on the table, with its
 * name; past the last one the name is NULL.
 */
const char *
legacy_trigger_state(Relation live, const RegistryRow *row, int i, TriggerState *state)
{
	TriggerDesc *there;
	bool		wanted;
	int			t;

	if (i >= lengthof(triggers))
		return NULL;
	/* a copy: see find_trigger in triggers.c */
	there = CopyTriggerDesc(live->trigdesc);
	wanted = OidIsValid(row->tracking) ? triggers[i].with_tracking :
		triggers[i].with_time_column;
	if ((strcmp(triggers[i].name, DELETE_TRIGGER) == 0 ||
		 strcmp(triggers[i].name, REGULAR_TXID_TRIGGER) == 0) && is_before_0096(live))
		wanted = false;
	*state = wanted ? TRIGGER_MISSING : TRIGGER_RIGHT;
	for (t = 0; there && t < there->numtriggers; t++)
	{
		Trigger    *trigger = &there->triggers[t];

		if (strcmp(trigger->tgname, triggers[i].name) != 0)
			continue;
		if (!legacy_is_function(trigger->tgfoid))
			*state = TRIGGER_FOREIGN;
		else if (!triggers_fires(trigger))
			*state = TRIGGER_SWITCHED_OFF;
		else
			*state = TRIGGER_RIGHT;
	}
	return triggers[i].name;
}

/* Returns true if one trigger of the table does what later are three. */
static bool
is_before_0096(Relation live)
{
	TriggerDesc *there = live->trigdesc;
	int			t;

	for (t = 0; there && t < there->numtriggers; t++)
		if (strcmp(there->triggers[t].tgname, REGULAR_TRIGGER) == 0 &&
			TRIGGER_FOR_BEFORE(there->triggers[t].tgtype) &&
			TRIGGER_FOR_DELETE(there->triggers[t].tgtype))
			return true;
	return false;
}

/* Returns true if versions are stored, of one kind of change at least. */
bool
legacy_tracks(Relation live)
{
	TriggerDesc *there = CopyTriggerDesc(live->trigdesc);
	int			i;
	int			t;

	for (t = 0; there && t < there->numtriggers; t++)
		for (i = 0; i < lengthof(triggers); i++)
		{
			Trigger    *trigger = &there->triggers[t];

			if (triggers[i].stores && strcmp(trigger->tgname, triggers[i].name) == 0 &&
				triggers_fires(trigger) && legacy_is_function(trigger->tgfoid))
				return true;
		}
	return false;
}

/* update_history_X_reg, update_history_txid_X_reg */
static bool
is_generated(const char *name)
{
	static const char prefix[] = "update_history_";
	static const char suffix[] = "_reg";
	size_t		length = strlen(name);

	return length > strlen(prefix) + strlen(suffix) &&
		strncmp(name, prefix, strlen(prefix)) == 0 &&
		strcmp(name + length - strlen(suffix), suffix) == 0;
}

/*
 * module.c
 *		Loading the library.
 */
#include "postgres.h"

#include "fmgr.h"

#include "catmaid_history.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	/* it may refuse; and it comes before settings.c, which lets no other settings be made */
	as_of_init();
	cache_init();
	truncation_init();
	/* before settle.c, so that it comes after it when a transaction ends */
	batch_init();
	deferrable_init();
	settle_init();
	/* after these, so that it comes before them then */
	log_init();
	log_table_init();
	planner_init();
	tracking_scan_init();
	rows_scan_init();
	prune_init();
	/* before past_plan.c, so that it comes after it */
	unused_columns_init();
	unreachable_init();
	log_settings_init();
	settings_init();
	command_init();
	view_suspended_init();
	past_plan_init();
	past_table_init();
	past_rights_init();
}

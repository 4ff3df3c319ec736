/*
 * compat.h
 *		Everything that differs between PostgreSQL 13 and 18, in one place.
 *
 * The rest of the source is written against the newest signature; a wrapper
 * carries the suffix "Compat" so that a reader sees where versions differ.
 */
#ifndef CATMAID_HISTORY_COMPAT_H
#define CATMAID_HISTORY_COMPAT_H

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "commands/cluster.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "tcop/utility.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/acl.h"
#include "utils/guc_tables.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#if PG_VERSION_NUM < 130000
#error "catmaid_history needs PostgreSQL 13 or newer"
#endif

/* 14 has another compression than pglz, if it was built with it. */
#ifdef USE_LZ4
#define FAST_COMPRESSION_COMPAT	"lz4"
#else
#define FAST_COMPRESSION_COMPAT	((const char *) NULL)
#endif

/*
 * pg_dump of 13 writes commands for an identity column that a site has added to an
 * extension's table, which fail on restore.
 */
#define DUMPS_IDENTITY_OF_MEMBERS	(PG_VERSION_NUM >= 140000)

/* 14 renamed some OIDs of types. */
#if PG_VERSION_NUM < 140000
#define EVENT_TRIGGEROID	3838
#endif

/* 14 moved the OIDs of the catalogs' indexes to the catalogs' own headers. */
#if PG_VERSION_NUM < 140000
#include "catalog/indexing.h"
#endif

/* 16 replaced the per-kind checks of ownership and privileges by one. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "catalog/pg_foreign_server.h"
#define server_aclcheck_compat(server, roleid, mode) \
	object_aclcheck(ForeignServerRelationId, (server), (roleid), (mode))
#define tablespace_aclcheck_compat(tablespace, roleid, mode) \
	object_aclcheck(TableSpaceRelationId, (tablespace), (roleid), (mode))
#define function_aclcheck_compat(function, roleid, mode) \
	object_aclcheck(ProcedureRelationId, (function), (roleid), (mode))
#define type_ownercheck_compat(type, roleid) \
	object_ownercheck(TypeRelationId, (type), (roleid))
#define namespace_ownercheck_compat(nspid, roleid) \
	object_ownercheck(NamespaceRelationId, (nspid), (roleid))
#define extension_ownercheck_compat(extension, roleid) \
	object_ownercheck(ExtensionRelationId, (extension), (roleid))
#define relation_ownercheck_compat(relid, roleid) \
	object_ownercheck(RelationRelationId, (relid), (roleid))
#define database_ownercheck_compat(datid, roleid) \
	object_ownercheck(DatabaseRelationId, (datid), (roleid))
#else
#define server_aclcheck_compat(server, roleid, mode) \
	pg_foreign_server_aclcheck((server), (roleid), (mode))
#define tablespace_aclcheck_compat(tablespace, roleid, mode) \
	pg_tablespace_aclcheck((tablespace), (roleid), (mode))
#define function_aclcheck_compat(function, roleid, mode) \
	pg_proc_aclcheck((function), (roleid), (mode))
#define type_ownercheck_compat(type, roleid) \
	pg_type_ownercheck((type), (roleid))
#define namespace_ownercheck_compat(nspid, roleid) \
	pg_namespace_ownercheck((nspid), (roleid))
#define extension_ownercheck_compat(extension, roleid) \
	pg_extension_ownercheck((extension), (roleid))
#define relation_ownercheck_compat(relid, roleid) \
	pg_class_ownercheck((relid), (roleid))
#define database_ownercheck_compat(datid, roleid) \
	pg_database_ownercheck((datid), (roleid))
#endif

/*
 * 16 moved permissions out of the range table, and looks them up for the
 * columns of an UPDATE (getRTEPermissionInfo); 18 added pruning.
 */
static inline void
ExecInitRangeTableCompat(EState *estate, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	List	   *perminfos = NIL;

	addRTEPermissionInfo(&perminfos, rte);
#endif
#if PG_VERSION_NUM >= 180000
	ExecInitRangeTable(estate, list_make1(rte), perminfos, bms_make_singleton(1));
#elif PG_VERSION_NUM >= 160000
	ExecInitRangeTable(estate, list_make1(rte), perminfos);
#else
	ExecInitRangeTable(estate, list_make1(rte));
#endif
}

/* 15 has unique indexes that take two NULLs for equal. */
#if PG_VERSION_NUM >= 150000
#define nulls_not_distinct_compat(form)	((form)->indnullsnotdistinct)
#else
#define nulls_not_distinct_compat(form)	false
#endif

#if PG_VERSION_NUM >= 160000
#define EvalPlanQualInitCompat(epq, estate) \
	EvalPlanQualInit((epq), (estate), NULL, NIL, -1, NIL)
#else
#define EvalPlanQualInitCompat(epq, estate) \
	EvalPlanQualInit((epq), (estate), NULL, NIL, -1)
#endif

/* 14 hands the ResultRelInfo over, 13 finds it in the EState. */
#if PG_VERSION_NUM >= 140000
#define ExecSimpleRelationInsertCompat(rri, estate, slot) \
	ExecSimpleRelationInsert((rri), (estate), (slot))
#define ExecSimpleRelationUpdateCompat(rri, estate, epq, old, slot) \
	ExecSimpleRelationUpdate((rri), (estate), (epq), (old), (slot))
#define ExecSimpleRelationDeleteCompat(rri, estate, epq, old) \
	ExecSimpleRelationDelete((rri), (estate), (epq), (old))
#define estate_set_result_relation_compat(estate, rri)	((void) 0)
#else
#define ExecSimpleRelationInsertCompat(rri, estate, slot) \
	ExecSimpleRelationInsert((estate), (slot))
#define ExecSimpleRelationUpdateCompat(rri, estate, epq, old, slot) \
	ExecSimpleRelationUpdate((estate), (epq), (old), (slot))
#define ExecSimpleRelationDeleteCompat(rri, estate, epq, old) \
	ExecSimpleRelationDelete((estate), (epq), (old))
#define estate_set_result_relation_compat(estate, rri) \
	((estate)->es_result_relations = (rri), \
	 (estate)->es_num_result_relations = 1, \
	 (estate)->es_result_relation_info = (rri))
#endif

/* 14 tells the index of an UPDATE that did not change its columns. */
#if PG_VERSION_NUM >= 140000
#define index_insert_compat(index, values, isnull, tid, rel, check, unchanged, info) \
	index_insert((index), (values), (isnull), (tid), (rel), (check), (unchanged), (info))
#else
#define index_insert_compat(index, values, isnull, tid, rel, check, unchanged, info) \
	index_insert((index), (values), (isnull), (tid), (rel), (check), (info))
#endif

/* 17 lets an index access method keep things open from one insertion to the next. */
#if PG_VERSION_NUM >= 170000
#define index_insert_cleanup_compat(index, info)	index_insert_cleanup((index), (info))
#else
#define index_insert_cleanup_compat(index, info)	((void) 0)
#endif

/* In which indexes does a new version want entries? */
typedef enum NewEntries
{
	NEW_ENTRIES_NONE,
	NEW_ENTRIES_SUMMARIZING,
	NEW_ENTRIES_ALL
} NewEntries;

/*
 * 16 knows of indexes that summarize (BRIN): they want to know of values that a
 * version has which no other index points to.
 */
static inline NewEntries
simple_table_tuple_update_compat(Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes update_indexes;

	simple_table_tuple_update(rel, tid, slot, SnapshotAny, &update_indexes);
	return update_indexes == TU_All ? NEW_ENTRIES_ALL :
		update_indexes == TU_Summarizing ? NEW_ENTRIES_SUMMARIZING : NEW_ENTRIES_NONE;
#else
	bool		update_indexes;

	simple_table_tuple_update(rel, tid, slot, SnapshotAny, &update_indexes);
	return update_indexes ? NEW_ENTRIES_ALL : NEW_ENTRIES_NONE;
#endif
}

#if PG_VERSION_NUM >= 160000
#define index_summarizes_compat(info)	((info)->ii_Summarizing)
#else
#define index_summarizes_compat(info)	(false)
#endif

/* 14 says whether the parse tree may be changed. */
#if PG_VERSION_NUM >= 140000
#define PROCESS_UTILITY_ARGS_COMPAT \
	PlannedStmt *pstmt, const char *query_string, bool read_only_tree, \
	ProcessUtilityContext context, ParamListInfo params, \
	QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc
#define PROCESS_UTILITY_PASS_COMPAT \
	pstmt, query_string, read_only_tree, context, params, query_env, dest, qc
#else
#define PROCESS_UTILITY_ARGS_COMPAT \
	PlannedStmt *pstmt, const char *query_string, \
	ProcessUtilityContext context, ParamListInfo params, \
	QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc
#define PROCESS_UTILITY_PASS_COMPAT \
	pstmt, query_string, context, params, query_env, dest, qc
#endif

/* 16 added run_as_table_owner. */
#if PG_VERSION_NUM >= 160000
#define ExecuteTruncateGutsCompat(rels, relids, logged) \
	ExecuteTruncateGuts((rels), (relids), (logged), DROP_RESTRICT, false, false)
#else
#define ExecuteTruncateGutsCompat(rels, relids, logged) \
	ExecuteTruncateGuts((rels), (relids), (logged), DROP_RESTRICT, false)
#endif

/* 14 gave the result relations' closing a function of its own. */
#if PG_VERSION_NUM >= 140000
#define ExecCloseResultRelationsCompat(estate)	ExecCloseResultRelations(estate)
#else
#define ExecCloseResultRelationsCompat(estate)	ExecCleanUpTriggerState(estate)
#endif

/* 16 lets make_range report errors softly. */
#if PG_VERSION_NUM >= 160000
#define make_range_compat(typcache, lower, upper, empty) \
	make_range((typcache), (lower), (upper), (empty), NULL)
#else
#define make_range_compat(typcache, lower, upper, empty) \
	make_range((typcache), (lower), (upper), (empty))
#endif

/* 14 made the compression method of a column a choice. */
#if PG_VERSION_NUM >= 140000
#define attribute_compression_compat(att)	((att)->attcompression)
#else
#define attribute_compression_compat(att)	('\0')
#endif

/* 16 renamed what tells of a new file.  Would TRUNCATE cut the table's file now,
 * rather than give it another?  Has this transaction given a file to a
 * table that it has not made itself? */
#if PG_VERSION_NUM >= 160000
#define relation_keeps_file_compat(rel) \
	((rel)->rd_createSubid == GetCurrentSubTransactionId() || \
	 (rel)->rd_newRelfilelocatorSubid == GetCurrentSubTransactionId())
#define relation_is_rewritten_compat(rel) \
	((rel)->rd_createSubid == InvalidSubTransactionId && \
	 ((rel)->rd_newRelfilelocatorSubid != InvalidSubTransactionId || \
	  (rel)->rd_firstRelfilelocatorSubid != InvalidSubTransactionId))
#else
#define relation_keeps_file_compat(rel) \
	((rel)->rd_createSubid == GetCurrentSubTransactionId() || \
	 (rel)->rd_newRelfilenodeSubid == GetCurrentSubTransactionId())
#define relation_is_rewritten_compat(rel) \
	((rel)->rd_createSubid == InvalidSubTransactionId && \
	 ((rel)->rd_newRelfilenodeSubid != InvalidSubTransactionId || \
	  (rel)->rd_firstRelfilenodeSubid != InvalidSubTransactionId))
#endif

/* 14 made the compression method of a column a choice. */
#if PG_VERSION_NUM >= 140000
#define AT_SET_COMPRESSION_COMPAT AT_SetCompression
#endif

/* 14 renamed the kind of object that ALTER TABLE is for. */
#if PG_VERSION_NUM >= 140000
#define alter_table_set_objtype_compat(stmt, type)	((stmt)->objtype = (type))
#else
#define alter_table_set_objtype_compat(stmt, type)	((stmt)->relkind = (type))
#endif

/*
 * CREATE INDEX without a look at the caller's rights, but at whether the table is in
 * use.  16 counts partitions.
 */
#if PG_VERSION_NUM >= 160000
#define DefineIndexCompat(relid, stmt) \
	DefineIndex((relid), (stmt), InvalidOid, InvalidOid, InvalidOid, -1, \
				false, false, true, false, false)
#else
#define DefineIndexCompat(relid, stmt) \
	DefineIndex((relid), (stmt), InvalidOid, InvalidOid, InvalidOid, \
				false, false, true, false, false)
#endif

/* 14 named the constants of functions for their SQL names. */
#if PG_VERSION_NUM >= 140000
#define F_UPPER_COMPAT	F_UPPER_ANYRANGE
#define F_UPPER_INF_COMPAT	F_UPPER_INF_ANYRANGE
#else
#define F_UPPER_COMPAT	F_RANGE_UPPER
#define F_UPPER_INF_COMPAT	F_RANGE_UPPER_INF
#endif

/* 15 lets the new heap have another access method. */
#if PG_VERSION_NUM >= 150000
#define make_new_heap_compat(rel, lockmode) \
	make_new_heap(RelationGetRelid(rel), (rel)->rd_rel->reltablespace, (rel)->rd_rel->relam, \
				  (rel)->rd_rel->relpersistence, (lockmode))
#else
#define make_new_heap_compat(rel, lockmode) \
	make_new_heap(RelationGetRelid(rel), (rel)->rd_rel->reltablespace, \
				  (rel)->rd_rel->relpersistence, (lockmode))
#endif

/* 14 wants the PlannerInfo; 16 says outer joins in another way.  What is evaluated once. */
#if PG_VERSION_NUM >= 160000
#define make_restrictinfo_compat(root, clause) \
	make_restrictinfo((root), (clause), true, false, false, true, 0, NULL, NULL, NULL)
#elif PG_VERSION_NUM >= 140000
#define make_restrictinfo_compat(root, clause) \
	make_restrictinfo((root), (clause), true, false, true, 0, NULL, NULL, NULL)
#else
#define make_restrictinfo_compat(root, clause) \
	make_restrictinfo((clause), true, false, true, 0, NULL, NULL, NULL)
#endif

/* 18 counts the pages that are all-frozen. */
static inline void
exchange_all_frozen_compat(Form_pg_class a, Form_pg_class b)
{
#if PG_VERSION_NUM >= 180000
	int32		frozen = a->relallfrozen;

	a->relallfrozen = b->relallfrozen;
	b->relallfrozen = frozen;
#endif
}

/* 14 lets postgres_fdw insert many rows at a time, and scan several servers at the same time. */
#define FDW_BATCHES_COMPAT	(PG_VERSION_NUM >= 140000)

/* 14 moved the names of what is waited for. */
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#else
#include "pgstat.h"
#endif

/* 16 calls a relation's file number so. */
#if PG_VERSION_NUM >= 160000
#define RelationAssumeNewStorageCompat(rel)	RelationAssumeNewRelfilelocator(rel)
#define rd_newStorageSubid_compat	rd_newRelfilelocatorSubid
#define rd_firstStorageSubid_compat	rd_firstRelfilelocatorSubid
#else
#define RelationAssumeNewStorageCompat(rel)	RelationAssumeNewRelfilenode(rel)
#define rd_newStorageSubid_compat	rd_newRelfilenodeSubid
#define rd_firstStorageSubid_compat	rd_firstRelfilenodeSubid
#endif

/* 14 leaves out partitions that are being detached, unless told not to. */
#if PG_VERSION_NUM >= 140000
#define find_inheritance_children_compat(relid, mode) \
	find_inheritance_children_extended((relid), false, (mode), NULL, NULL)
#else
#define find_inheritance_children_compat(relid, mode) \
	find_inheritance_children((relid), (mode))
#endif

/* 14 detaches partitions concurrently. */
#if PG_VERSION_NUM >= 140000
#define inherits_is_detaching_compat(form) ((form)->inhdetachpending)
#else
#define inherits_is_detaching_compat(form) false
#endif

/* 14 raises an error for a partition that is being detached, unless told not to. */
#if PG_VERSION_NUM >= 140000
#define get_partition_parent_compat(relid)	get_partition_parent((relid), true)
#else
#define get_partition_parent_compat(relid)	get_partition_parent(relid)
#endif

/* 14 asks whether the statement may be scribbled on. */
#if PG_VERSION_NUM >= 140000
#define ProcessUtilityCompat(planned, sql) \
	ProcessUtility((planned), (sql), false, PROCESS_UTILITY_QUERY, NULL, NULL, \
				   None_Receiver, NULL)
#else
#define ProcessUtilityCompat(planned, sql) \
	ProcessUtility((planned), (sql), PROCESS_UTILITY_QUERY, NULL, NULL, \
				   None_Receiver, NULL)
#endif

/* 16 lets a column be missing. */
#if PG_VERSION_NUM >= 160000
#define build_attrmap_by_name_compat(in, out)	build_attrmap_by_name((in), (out), false)
#else
#define build_attrmap_by_name_compat(in, out)	build_attrmap_by_name((in), (out))
#endif

/* 14 has a multirange for each range. */
#if PG_VERSION_NUM >= 140000
#define get_multirange_range_compat(type)	get_multirange_range(type)
#else
#define get_multirange_range_compat(type)	InvalidOid
#endif

/* 14 lets an object be missing. */
#if PG_VERSION_NUM >= 140000
#define getObjectDescriptionCompat(object) getObjectDescription((object), false)
#else
#define getObjectDescriptionCompat(object) getObjectDescription(object)
#endif

/* 15 lets a view be read with the rights of its reader, with whom policies go. */
#if PG_VERSION_NUM >= 150000
#define view_is_readers_compat(rel)	RelationHasSecurityInvoker(rel)
#define VIEW_OPTIONS_COMPAT \
	list_make1(makeDefElem("security_invoker", (Node *) makeString("true"), -1))
#else
#define view_is_readers_compat(rel)	(false)
#define VIEW_OPTIONS_COMPAT	NIL
#endif

/*
 * Newer minor versions number the changes of a row type in its columns' options, so as
 * to tell values made before them from later ones: each column's number is no less than
 * that of the one before.
 */
#ifdef ATTRIBUTE_VERSION_ATTOPTION
#include "catalog/heap.h"
#define ATTRIBUTE_VERSIONS_COMPAT	true
#define next_attribute_version_compat() GetNextAttributeVersion()
#define set_attribute_version_compat(catalog, row, version) \
	SetAttributeVersionInTuple((catalog), (row), (version))
#else
#define ATTRIBUTE_VERSIONS_COMPAT	false
#define next_attribute_version_compat() 0
#define set_attribute_version_compat(catalog, row, version) ((void) (version), (row))
#endif

/* 15 renamed what analyzes a statement without parameters. */
#if PG_VERSION_NUM >= 150000
#define parse_analyze_compat(statement, sql) \
	parse_analyze_fixedparams((statement), (sql), NULL, 0, NULL)
#else
#define parse_analyze_compat(statement, sql) \
	parse_analyze((statement), (sql), NULL, 0, NULL)
#endif

#if PG_VERSION_NUM >= 150000
#define analyze_and_rewrite_compat(statement, sql, types, n) \
	pg_analyze_and_rewrite_fixedparams((statement), (sql), (types), (n), NULL)
#else
#define analyze_and_rewrite_compat(statement, sql, types, n) \
	pg_analyze_and_rewrite((statement), (sql), (types), (n), NULL)
#endif

/* 17 put the two parts of a virtual transaction's id together. */
#if PG_VERSION_NUM >= 170000
#define local_transaction_compat()	(MyProc->vxid.lxid)
#else
#define local_transaction_compat()	(MyProc->lxid)
#endif

/* 18 runs any execution more than once. */
#if PG_VERSION_NUM >= 180000
#define executor_run_compat(query, direction, count) \
	ExecutorRun((query), (direction), (count))
#else
#define executor_run_compat(query, direction, count) \
	ExecutorRun((query), (direction), (count), false)
#endif

/*
 * Put a call's arguments in order, with the defaults.  Before 14 nobody else but the planner
 * could: false, if there is anything to do.
 */
static inline bool
expand_arguments_compat(FuncExpr *call, HeapTuple tuple)
{
#if PG_VERSION_NUM >= 140000
	call->args = expand_function_arguments(call->args, false, call->funcresulttype, tuple);
	return true;
#else
	ListCell   *lc;

	foreach(lc, call->args)
		if (IsA(lfirst(lc), NamedArgExpr))
			return false;
	return list_length(call->args) >= ((Form_pg_proc) GETSTRUCT(tuple))->pronargs;
#endif
}

/* 16 no longer puts two entries for the view itself before those of its query, and
 * keeps what is checked for privileges apart from the range table. */
#if PG_VERSION_NUM >= 160000
#define VIEW_QUERY_OWN_ENTRIES_COMPAT	0
#define QUERY_PRIVILEGES_COMPAT(query)	((query)->rteperminfos)
typedef RTEPermissionInfo QueryPrivilegesCompat;
#define query_privileges_compat(query, rte) \
	((rte)->perminfoindex == 0 ? NULL : getRTEPermissionInfo((query)->rteperminfos, (rte)))
#else
#define VIEW_QUERY_OWN_ENTRIES_COMPAT	2
#define QUERY_PRIVILEGES_COMPAT(query)	((query)->rtable)
typedef RangeTblEntry QueryPrivilegesCompat;
#define query_privileges_compat(query, rte)	(rte)
#endif

/* 14 lets the owner of a plan's use be told. */
static inline CachedPlan *
get_cached_plan_compat(CachedPlanSource *source, ParamListInfo params, ResourceOwner owner)
{
#if PG_VERSION_NUM >= 140000
	return GetCachedPlan(source, params, owner, NULL);
#else
	Assert(owner == CurrentResourceOwner);
	return GetCachedPlan(source, params, true, NULL);
#endif
}

static inline void
release_cached_plan_compat(CachedPlan *plan, ResourceOwner owner)
{
#if PG_VERSION_NUM >= 140000
	ReleaseCachedPlan(plan, owner);
#else
	ResourceOwner before = CurrentResourceOwner;

	CurrentResourceOwner = owner;
	ReleaseCachedPlan(plan, true);
	CurrentResourceOwner = before;
#endif
}

/* Add the entries of another query's range table to the query's, with their privileges. */
static inline void
combine_range_tables_compat(Query *query, Query *other)
{
#if PG_VERSION_NUM >= 160000
	CombineRangeTables(&query->rtable, &query->rteperminfos, other->rtable, other->rteperminfos);
#else
	query->rtable = list_concat(query->rtable, other->rtable);
#endif
}

/*
 * The entry, of a relation, has become a sub-query, so nothing is checked for it: up to 15
 * it has its privileges itself, from 16 on each that the query has must belong to an entry.
 */
static inline void
query_drop_privileges_compat(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	Index		gone = rte->perminfoindex;
	ListCell   *lc;

	rte->perminfoindex = 0;
	if (gone == 0)
		return;
	query->rteperminfos = list_delete_nth_cell(query->rteperminfos, gone - 1);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *other = lfirst_node(RangeTblEntry, lc);

		if (other->perminfoindex > gone)
			other->perminfoindex--;
	}
#else
	rte->requiredPerms = 0;
	rte->checkAsUser = InvalidOid;
	rte->selectedCols = rte->insertedCols = rte->updatedCols = NULL;
	rte->extraUpdatedCols = NULL;
#endif
}

/* 16 notes in a Var which outer joins may make it NULL. */
#if PG_VERSION_NUM >= 160000
#define var_add_nulling_join_compat(var, join) \
	((var)->varnullingrels = bms_add_member((var)->varnullingrels, (join)))
#else
#define var_add_nulling_join_compat(var, join)	((void) 0)
#endif

/* 15 lets an extension claim its settings' prefix. */
#if PG_VERSION_NUM >= 150000
#define MarkGUCPrefixReservedCompat(prefix) MarkGUCPrefixReserved(prefix)
#else
#define MarkGUCPrefixReservedCompat(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* 14 has a role that whoever owns the database is a member of. */
#if PG_VERSION_NUM >= 140000
#define ROLE_PG_DATABASE_OWNER_COMPAT	ROLE_PG_DATABASE_OWNER
#else
#define ROLE_PG_DATABASE_OWNER_COMPAT	InvalidOid
#endif

/* 15 notes which role has set a variable, and its reset value; before, hooks do. */
#if PG_VERSION_NUM >= 150000
#define guc_hook_compat(hook)	NULL
#define guc_set_by_compat(record, extra)	((void) (extra), (record)->srole)
#define guc_reset_by_compat(record, extra)	((void) (extra), (record)->reset_srole)
#else
#define guc_hook_compat(hook)	(hook)
#define guc_set_by_compat(record, extra)	((extra) ? *((Oid *) (extra)) : InvalidOid)
#define guc_reset_by_compat(record, extra)	guc_set_by_compat(record, extra)
#endif

/* 16 has memory of its own for what check hooks hand to assign hooks. */
#if PG_VERSION_NUM >= 160000
#define guc_malloc_compat(size)	guc_malloc(LOG, (size))
#define guc_free_compat(memory)	guc_free(memory)
#else
#define guc_malloc_compat(size)	malloc(size)
#define guc_free_compat(memory)	free(memory)
#endif

/* 16 says more of what is wrong with a time. */
#if PG_VERSION_NUM >= 160000
#define DecodeDateTimeCompat(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz), \
				   &(DateTimeErrorExtra) {0})
#else
#define DecodeDateTimeCompat(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz))
#endif

/* What a query may do with a relation; 16 has it apart from the range table. */
#if PG_VERSION_NUM >= 160000
#define rte_required_perms_compat(statement, rte) \
	((rte)->perminfoindex == 0 ? 0 : \
	 list_nth_node(RTEPermissionInfo, (statement)->permInfos, (rte)->perminfoindex - 1)->requiredPerms)
#else
#define rte_required_perms_compat(statement, rte)	((rte)->requiredPerms)
#endif

#if PG_VERSION_NUM >= 160000
#define rte_check_as_user_compat(statement, rte) \
	((rte)->perminfoindex == 0 ? InvalidOid : \
	 list_nth_node(RTEPermissionInfo, (statement)->permInfos, (rte)->perminfoindex - 1)->checkAsUser)
#else
#define rte_check_as_user_compat(statement, rte)	((rte)->checkAsUser)
#endif

/* 18 always runs a query as if once. */
#if PG_VERSION_NUM >= 180000
#define EXECUTOR_RUN_ARGS_COMPAT	QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define EXECUTOR_RUN_PASS_COMPAT	queryDesc, direction, count
#else
#define EXECUTOR_RUN_ARGS_COMPAT \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once
#define EXECUTOR_RUN_PASS_COMPAT	queryDesc, direction, count, execute_once
#endif

/* 14 renamed the kind of object that CREATE … AS makes. */
#if PG_VERSION_NUM >= 140000
#define create_as_kind_compat(statement)	((statement)->objtype)
#else
#define create_as_kind_compat(statement)	((statement)->relkind)
#endif

/* 16 returns errors in what a name or a type is read from. */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define stringToQualifiedNameList_compat(text)	stringToQualifiedNameList((text), NULL)
#else
#define stringToQualifiedNameList_compat(text)	stringToQualifiedNameList(text)
#endif

/* The type that the text names, InvalidOid if there is none. */
#define parse_type_string_compat(text, type, typmod) \
	do { \
		TypeName   *name_ = typeStringToTypeName_compat(text); \
		Type		found_ = LookupTypeName(NULL, name_, (typmod), true); \
		*(type) = found_ ? typeTypeId(found_) : InvalidOid; \
		if (found_) \
			ReleaseSysCache(found_); \
	} while (0)
#if PG_VERSION_NUM >= 160000
#define typeStringToTypeName_compat(text)	typeStringToTypeName((text), NULL)
#else
#define typeStringToTypeName_compat(text)	typeStringToTypeName(text)
#endif

/* 16 shares how a variable is found. */
static inline struct config_generic *
find_option_compat(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, false, ERROR);
#else
	struct config_generic **variables = get_guc_variables();

	while (strcmp((*variables)->name, name) != 0)
		variables++;
	return *variables;
#endif
}

/* 18 declares ExplainPropertyText elsewhere. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#endif

/* 15: projection is asked for; before, a custom scan may always do it. */
#if PG_VERSION_NUM >= 150000
#define CUSTOM_PATH_PROJECTION_COMPAT	CUSTOMPATH_SUPPORT_PROJECTION
#define hash_limit_compat()	get_hash_memory_limit()
#else
#define CUSTOM_PATH_PROJECTION_COMPAT	0
#define hash_limit_compat()	((Size) (work_mem * 1024.0 * hash_mem_multiplier))
#endif

/* 18 counts what index scans do. */
#if PG_VERSION_NUM >= 180000
#define index_beginscan_compat(heap, index, snapshot, nkeys) \
	index_beginscan((heap), (index), (snapshot), NULL, (nkeys), 0)
#else
#define index_beginscan_compat(heap, index, snapshot, nkeys) \
	index_beginscan((heap), (index), (snapshot), (nkeys), 0)
#endif

/* 18 computes virtual generated columns when they are read. */
#ifdef ATTRIBUTE_GENERATED_VIRTUAL
#define attribute_is_virtual_compat(att) \
	((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#define build_generation_expression_compat(rel, attnum) \
	build_generation_expression((rel), (attnum))
#else
#define attribute_is_virtual_compat(att)	(false)
#define build_generation_expression_compat(rel, attnum)	(NULL)
#endif

/*
 * 18 gives NOT NULL of a column a constraint with a name, and changes no column's type
 * where a child has declared it, too, under another name (ATPostAlterTypeCleanup).
 */
#define not_null_has_name_compat	(PG_VERSION_NUM >= 180000)

/* 17 can give a generated column another expression. */
#if PG_VERSION_NUM >= 170000
#define sets_expression_compat(cmd)	((cmd)->subtype == AT_SetExpression)
#else
#define sets_expression_compat(cmd)	(false)
#endif

/* 15 can give a table another access method. */
#if PG_VERSION_NUM >= 150000
#define sets_access_method_compat(cmd)	((cmd)->subtype == AT_SetAccessMethod)
#else
#define sets_access_method_compat(cmd)	(false)
#endif

/* 17 can ask for a stronger lock as well. */
#if PG_VERSION_NUM >= 170000
#define LockHeldByMeCompat(tag, mode)	LockHeldByMe((tag), (mode), false)
#else
#define LockHeldByMeCompat(tag, mode)	LockHeldByMe((tag), (mode))
#endif

/* A session's row of pg_stat_activity, 1 and up. */
#if PG_VERSION_NUM >= 160000
#define pgstat_session_compat(i)	pgstat_get_local_beentry_by_index(i)
#else
#define pgstat_session_compat(i)	pgstat_fetch_stat_local_beentry(i)
#endif

/* 14 gave operators' functions names of their own. */
#if PG_VERSION_NUM >= 140000
#define F_TIMESTAMPTZ_LE_COMPAT F_TIMESTAMPTZ_LE
#else
#define F_TIMESTAMPTZ_LE_COMPAT F_TIMESTAMP_LE
#endif

#endif							/* CATMAID_HISTORY_COMPAT_H */

/*
 * catalog_change.c
 *		Single changes of the catalogs, by OID, that evaluate nothing.
 *
 * Managing a history takes no more than ownership of the live table, but making
 * a relation beside it takes CREATE on the schema, adding a column USAGE on its
 * type, and what goes down a hierarchy ownership of every table in it.  So these
 * functions either are below PostgreSQL's checks of privileges or run with the
 * rights of the bootstrap superuser: every place in the extension where that
 * happens is in this file, or for views in view_query.c.  What they may call for that reason is limited: no
 * expression of anybody's is evaluated, neither by the change itself nor by what
 * PostgreSQL does for it.  Everything else runs as the owner (ddl.c).  For each
 * function its comment says why nothing is evaluated; doc/security.md and
 * doc/rights.list have the same list.
 *
 * A relation is its OID here, never a name.  Where PostgreSQL's function takes a
 * name (a parent, a column's relation, a new table's schema) the result is
 * checked afterwards, and anything else than what was meant is an error: somebody
 * may have renamed schemas in between.
 *
 * Event triggers do not see these changes.  Locks are those of the corresponding
 * commands, until the end of the transaction.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_trigger.h"
#include "catalog/toasting.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_utilcmd.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "compat.h"

static CreateStmt *table_statement(Oid namespace, const char *name, List *columns,
								   char persistence, List *options);
static void change_inheritance(Oid child, Oid parent, AlterTableType change);
static AlterTableCmd *column_command(AlterTableType change, const char *column, Node *def);
static void alter_as_superuser(Oid relid, AlterTableCmd *cmd, bool recurse);
static void check_opclasses(Oid index, List *opclasses);
static void store_acl(Oid relid, Acl *acl);
static List *open_partitioned_tables(Oid root);

/*
 * Make an ordinary table in the schema, of the owner's.  columns are TableColumn.
 * Returns its OID; the lock on it is ACCESS EXCLUSIVE.
 *
 * Defaults are ours alone, of functions of pg_catalog, and are stored, not
 * evaluated; types are base types.  The tablespace is the one that
 * default_tablespace names, if the user may use it.
 */
Oid
catalog_create_table(Oid namespace, const char *name, Oid owner, char persistence,
					 List *columns, List *options)
{
	CreateStmt *stmt = table_statement(namespace, name, columns, persistence, options);
	bool		hide_default_tablespace = !security_may_use_default_tablespace();
	SecurityState before;
	Oid			relid;

	security_act_as(BOOTSTRAP_SUPERUSERID, ACT_TO_MANAGE, &before);
	security_set_for_command("search_path", "pg_catalog, pg_temp");
	if (hide_default_tablespace)
		security_set_for_command("default_tablespace", "");
	stmt = linitial_node(CreateStmt, transformCreateStmt(stmt, name));
	relid = DefineRelation(stmt, RELKIND_RELATION, owner, NULL, name).objectId;
	CommandCounterIncrement();
	NewRelationCreateToastTable(relid, (Datum) 0);
	security_act_as_before(&before);
	CommandCounterIncrement();

	if (get_rel_namespace(relid) != namespace)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("schema of table \"%s\" was renamed concurrently", name),
				 errhint("Try again.")));
	return relid;
}

/*
 * The statement as the grammar would make it; the types are put in by OID
 * afterwards.
 */
static CreateStmt *
table_statement(Oid namespace, const char *name, List *columns, char persistence,
				List *options)
{
	StringInfoData sql;
	CreateStmt *stmt;
	ListCell   *lc;
	ListCell   *element;

	initStringInfo(&sql);
	foreach(lc, columns)
	{
		TableColumn *column = lfirst(lc);

		appendStringInfo(&sql, "%s%s pg_catalog.int4%s", sql.len ? ", " : "CREATE TABLE t (",
						 quote_identifier(column->name), column->constraints);
	}
	appendStringInfoChar(&sql, ')');
	stmt = castNode(CreateStmt, linitial_node(RawStmt, pg_parse_query(sql.data))->stmt);
	stmt->relation = makeRangeVar(get_namespace_name(namespace), pstrdup(name), -1);
	stmt->relation->relpersistence = persistence;
	stmt->options = options;

	forboth(lc, columns, element, stmt->tableElts)
	{
		TableColumn *column = lfirst(lc);
		ColumnDef  *def = lfirst_node(ColumnDef, element);

		def->typeName = makeTypeNameFromOid(column->type, column->typmod);
		def->collOid = column->collation;
	}
	return stmt;
}

/*
 * Make a foreign table in the schema, of the owner's, who may use the server: the caller has
 * looked.  columns are TableColumn, options DefElems.  Returns its OID; the lock on it is
 * ACCESS EXCLUSIVE.  Default privileges may be on it.
 *
 * Rows of the catalogs: nobody asks the server for anything.  The options are looked at by
 * the validator of the foreign-data wrapper, which is a superuser's.
 */
Oid
catalog_create_foreign_table(Oid namespace, const char *name, Oid owner, List *columns,
							 const char *server, List *options)
{
	CreateForeignTableStmt *stmt = makeNode(CreateForeignTableStmt);
	SecurityState before;
	CreateStmt *base;
	Oid			relid;

	security_act_as(BOOTSTRAP_SUPERUSERID, ACT_TO_MANAGE, &before);
	security_set_for_command("search_path", "pg_catalog, pg_temp");
	base = table_statement(namespace, name, columns, RELPERSISTENCE_PERMANENT, NIL);
	base = linitial_node(CreateStmt, transformCreateStmt(base, name));
	relid = DefineRelation(base, RELKIND_FOREIGN_TABLE, owner, NULL, name).objectId;
	CommandCounterIncrement();
	memcpy(&stmt->base, base, sizeof(CreateStmt));
	stmt->base.type = T_CreateForeignTableStmt;
	stmt->servername = pstrdup(server);
	stmt->options = options;
	CreateForeignTable(stmt, relid);
	security_act_as_before(&before);
	CommandCounterIncrement();
	if (get_rel_namespace(relid) != namespace)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("schema of table \"%s\" was renamed concurrently", name),
				 errhint("Try again.")));
	return relid;
}

/* Give the column of a foreign table an option, or another value of it.  A row of the catalogs. */
void
catalog_set_column_option(Oid relid, const char *column, const char *option, const char *value)
{
	DefElem    *def = makeDefElem(pstrdup(option), (Node *) makeString(pstrdup(value)), -1);
	List	   *has = GetForeignColumnOptions(relid, get_attnum(relid, column));
	ListCell   *lc;

	def->defaction = DEFELEM_ADD;
	foreach(lc, has)
		if (strcmp(lfirst_node(DefElem, lc)->defname, option) == 0)
			def->defaction = DEFELEM_SET;
	alter_as_superuser(relid, column_command(AT_AlterColumnGenericOptions, column,
											 (Node *) list_make1(def)), false);
}

/*
 * Add a column of a base type, without a default, to the table and those that
 * inherit from it.  No row is looked at.
 */
void
catalog_add_column(Oid relid, const char *name, Oid type, int32 typmod, Oid collation)
{
	ColumnDef  *def = makeColumnDef(name, type, typmod, collation);

	alter_as_superuser(relid, column_command(AT_AddColumn, NULL, (Node *) def), true);
}

/*
 * Drop a column of the table and, with recurse, of those that inherit it.  What
 * depends on the column goes as well with cascade, or is an error.
 */
void
catalog_drop_column(Oid relid, const char *name, bool recurse, bool cascade)
{
	AlterTableCmd *cmd = column_command(AT_DropColumn, name, NULL);

	cmd->behavior = cascade ? DROP_CASCADE : DROP_RESTRICT;
	alter_as_superuser(relid, cmd, recurse);
}

/* SET STORAGE or SET COMPRESSION, in children, too: of values to come. */
void
catalog_set_column_storage(Oid relid, const char *name, const char *storage)
{
	alter_as_superuser(relid,
					   column_command(AT_SetStorage, name, (Node *) makeString(pstrdup(storage))),
					   true);
}

void
catalog_set_column_compression(Oid relid, const char *name, const char *method)
{
#ifdef AT_SET_COMPRESSION_COMPAT
	alter_as_superuser(relid,
					   column_command(AT_SetCompression, name, (Node *) makeString(pstrdup(method))),
					   true);
#endif
}

/*
 * Rename a column of a table, and of those that inherit it, or of a view.
 * Expressions that name it are stored by number.
 */
void
catalog_rename_column(Oid relid, const char *from, const char *to)
{
	RenameStmt *stmt = makeNode(RenameStmt);
	SecurityState before;
	ObjectAddress renamed;

	stmt->renameType = OBJECT_COLUMN;
	stmt->relationType = get_rel_relkind(relid) == RELKIND_VIEW ? OBJECT_VIEW : OBJECT_TABLE;
	stmt->relation = makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
								  get_rel_name(relid), -1);
	stmt->subname = pstrdup(from);
	stmt->newname = pstrdup(to);
	stmt->behavior = DROP_RESTRICT;

	security_act_as(BOOTSTRAP_SUPERUSERID, ACT_TO_MANAGE, &before);
	renamed = renameatt(stmt);
	security_act_as_before(&before);
	relation_check_meant(relid, renamed.objectId);
	CommandCounterIncrement();
}

/* Put a table under another.  Columns and constraints are compared, as stored. */
void
catalog_inherit(Oid child, Oid parent)
{
	change_inheritance(child, parent, AT_AddInherit);
	if (!list_member_oid(lineage_parents(child), parent))
		relation_check_meant(parent, InvalidOid);
}

/* Take it away from there again. */
void
catalog_disinherit(Oid child, Oid parent)
{
	change_inheritance(child, parent, AT_DropInherit);
	if (list_member_oid(lineage_parents(child), parent))
		relation_check_meant(parent, InvalidOid);
}

/* The columns of a table are there because of what it inherits from, and go with those.  Below all checks. */
void
catalog_columns_are_inherited(Oid relid)
{
	Relation	attributes = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	tuple;
	AttrNumber	attnum;

	Assert(relation_is_locked(relid, AccessExclusiveLock));
	for (attnum = 1; HeapTupleIsValid(tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum))); attnum++)
	{
		((Form_pg_attribute) GETSTRUCT(tuple))->attislocal &= ((Form_pg_attribute) GETSTRUCT(tuple))->attinhcount == 0;
		CatalogTupleUpdate(attributes, &tuple->t_self, tuple);
	}
	table_close(attributes, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
}

static void
change_inheritance(Oid child, Oid parent, AlterTableType change)
{
	RangeVar   *name = makeRangeVar(get_namespace_name(get_rel_namespace(parent)),
									get_rel_name(parent), -1);

	alter_as_superuser(child, column_command(change, NULL, (Node *) name), true);
}

/* Give a relation, and what belongs to it, to the role.  Below all checks. */
void
catalog_change_owner(Oid relid, Oid owner)
{
	SecurityState before;

	relation_lock(relid, AccessExclusiveLock);
	security_act_as(BOOTSTRAP_SUPERUSERID, ACT_TO_MANAGE, &before);
	ATExecChangeOwner(relid, owner, false, AccessExclusiveLock);
	security_act_as_before(&before);
	CommandCounterIncrement();
}

/* Rename a relation.  Below all checks. */
void
catalog_rename(Oid relid, const char *name)
{
	relation_lock(relid, get_rel_relkind(relid) == RELKIND_INDEX ?
				  ShareUpdateExclusiveLock : AccessExclusiveLock);
	RenameRelationInternal(relid, name, true, get_rel_relkind(relid) == RELKIND_INDEX);
	CommandCounterIncrement();
}

/* Move a table or view to another schema, and what belongs to it.  Below all checks. */
void
catalog_move(Oid relid, Oid namespace)
{
	ObjectAddresses *moved = new_object_addresses();
	Relation	rel;

	relation_lock(relid, AccessExclusiveLock);
	rel = relation_open(relid, NoLock);
	AlterTableNamespaceInternal(rel, RelationGetNamespace(rel), namespace, moved);
	free_object_addresses(moved);
	relation_close(rel, NoLock);
	CommandCounterIncrement();
}

/*
 * Drop a relation or a trigger; what depends on it goes as well with cascade, or
 * is PostgreSQL's error.  Below all checks.  The lock on a relation (of an index,
 * on its table) is ACCESS EXCLUSIVE.
 */
void
catalog_drop(Oid class, Oid object, bool cascade)
{
	ObjectAddress address;

	if (class == RelationRelationId && get_rel_relkind(object) == RELKIND_INDEX)
		LockRelationOid(IndexGetRelation(object, false), AccessExclusiveLock);
	if (class == RelationRelationId)
		LockRelationOid(object, AccessExclusiveLock);
	ObjectAddressSet(address, class, object);
	performDeletion(&address, cascade ? DROP_CASCADE : DROP_RESTRICT, 0);
	CommandCounterIncrement();
}

/*
 * Make an index on plain columns of a table.  columns are names; opclasses their
 * operator classes, or NIL; options DefElems.  Returns its OID.
 *
 * There is no expression in it, and DefineIndex itself becomes the owner of the
 * table, in a security-restricted operation, for the functions of the operator
 * classes.  The tablespace is as for tables.
 */
Oid
catalog_create_index(Oid relid, const char *name, bool unique, const char *method,
					 List *columns, List *opclasses, List *options)
{
	IndexStmt  *stmt = makeNode(IndexStmt);
	bool		hide_default_tablespace = !security_may_use_default_tablespace();
	SecurityState before;
	ListCell   *lc;
	int			i = 0;
	Oid			index;

	stmt->idxname = pstrdup(name);
	stmt->relation = makeRangeVar(NULL, get_rel_name(relid), -1);
	stmt->accessMethod = pstrdup(method);
	stmt->options = options;
	stmt->unique = unique;
	stmt->transformed = true;
	foreach(lc, columns)
	{
		IndexElem  *element = makeNode(IndexElem);

		element->name = pstrdup(lfirst(lc));
		element->ordering = SORTBY_DEFAULT;
		element->nulls_ordering = SORTBY_NULLS_DEFAULT;
		if (opclasses != NIL)
			element->opclass = naming_opclass(list_nth_oid(opclasses, i++));
		stmt->indexParams = lappend(stmt->indexParams, element);
	}

	security_act_as(BOOTSTRAP_SUPERUSERID, ACT_TO_MANAGE, &before);
	if (hide_default_tablespace)
		security_set_for_command("default_tablespace", "");
	index = DefineIndexCompat(relid, stmt).objectId;
	security_act_as_before(&before);
	CommandCounterIncrement();
	check_opclasses(index, opclasses);
	return index;
}

/* Error out unless the names of the operator classes have meant these classes. */
static void
check_opclasses(Oid index, List *opclasses)
{
	HeapTuple	tuple;
	oidvector  *classes;
	bool		isnull;
	ListCell   *lc;
	int			i = 0;

	if (opclasses == NIL)
		return;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", index);
	classes = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															Anum_pg_index_indclass, &isnull));
	foreach(lc, opclasses)
		if (classes->values[i++] != lfirst_oid(lc))
			elog(ERROR, "operator class %u was renamed concurrently", lfirst_oid(lc));
	ReleaseSysCache(tuple);
}

/*
 * Make a trigger, without a condition, that calls the function; arguments are
 * strings.  On a partitioned table a row trigger is made on all partitions, as
 * PostgreSQL does.  Returns its OID.
 *
 * PostgreSQL opens the partitions and needs the keys of those that are partitioned
 * themselves, whose expressions it folds when it reads them.  Their owners do
 * that first; while a table is open, its key stays.
 */
Oid
catalog_create_trigger(Oid relid, const char *name, int16 type, Oid function,
					   List *arguments)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	List	   *partitioned = NIL;
	SecurityState before;
	ListCell   *lc;
	Oid			trigger;

	stmt->trigname = pstrdup(name);
	stmt->row = TRIGGER_FOR_ROW(type);
	stmt->timing = type & TRIGGER_TYPE_TIMING_MASK;
	stmt->events = type & TRIGGER_TYPE_EVENT_MASK;
	foreach(lc, arguments)
		stmt->args = lappend(stmt->args, makeString(pstrdup(lfirst(lc))));

	LockRelationOid(relid, ShareRowExclusiveLock);
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		partitioned = open_partitioned_tables(relid);
	security_act_as(BOOTSTRAP_SUPERUSERID, ACT_TO_MANAGE, &before);
	trigger = CreateTrigger(stmt, NULL, relid, InvalidOid, InvalidOid, InvalidOid, function,
							InvalidOid, NULL, false, false).objectId;
	security_act_as_before(&before);
	foreach(lc, partitioned)
		table_close(lfirst(lc), NoLock);
	CommandCounterIncrement();
	return trigger;
}

/* The partitioned tables of the tree, open, with the keys they are partitioned by. */
static List *
open_partitioned_tables(Oid root)
{
	List	   *opened = NIL;
	ListCell   *lc;

	foreach(lc, lineage_partition_tree(root, ShareRowExclusiveLock))
	{
		Relation	rel;
		SecurityState before;

		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE)
			continue;
		rel = table_open(lfirst_oid(lc), NoLock);
		security_act_as(rel->rd_rel->relowner, ACT_TO_MANAGE, &before);
		(void) RelationGetPartitionKey(rel);
		security_act_as_before(&before);
		opened = lappend(opened, rel);
	}
	return opened;
}

/*
 * ENABLE, DISABLE, ENABLE REPLICA or ENABLE ALWAYS TRIGGER, as tgenabled says it, and
 * of its clones.  The trigger does not fire.
 */
void
catalog_switch_trigger(Oid relid, const char *name, char fires)
{
	AlterTableType subtype = fires == TRIGGER_DISABLED ? AT_DisableTrig :
		fires == TRIGGER_FIRES_ALWAYS ? AT_EnableAlwaysTrig :
		fires == TRIGGER_FIRES_ON_REPLICA ? AT_EnableReplicaTrig : AT_EnableTrig;

	alter_as_superuser(relid, column_command(subtype, name, NULL), true);
}

/* Set the comment of an object, or of its column (0: none).  Below all checks. */
void
catalog_comment(Oid class, Oid object, AttrNumber column, const char *comment)
{
	CreateComments(object, class, column, comment);
	CommandCounterIncrement();
}

/*
 * Grant SELECT on a relation to a role, or PUBLIC, on behalf of its owner.  Below
 * all checks, by OID.  Takes SHARE UPDATE EXCLUSIVE.
 */
void
catalog_grant_select(Oid relid, Oid grantee, bool grant_option)
{
	Oid			owner = security_owner_of(relid);
	Acl		   *current = security_relation_acl(relid);
	Acl		   *acl = current ? current : acldefault(OBJECT_TABLE, owner);
	AclItem		item;
	Oid		   *old_members = NULL;
	Oid		   *new_members;
	int			nold = current ? aclmembers(current, &old_members) : 0;
	int			nnew;

	item.ai_grantee = grantee;
	item.ai_grantor = owner;
	ACLITEM_SET_PRIVS_GOPTIONS(item, ACL_SELECT, grant_option ? ACL_SELECT : ACL_NO_RIGHTS);
	acl = aclupdate(acl, &item, ACL_MODECHG_ADD, owner, DROP_RESTRICT);
	nnew = aclmembers(acl, &new_members);
	store_acl(relid, acl);
	updateAclDependencies(RelationRelationId, relid, 0, owner,
						  nold, old_members, nnew, new_members);
	CommandCounterIncrement();
}

static void
store_acl(Oid relid, Acl *acl)
{
	Relation	classes;
	HeapTuple	tuple;
	HeapTuple	changed;
	Datum		values[Natts_pg_class] = {0};
	bool		nulls[Natts_pg_class] = {false};
	bool		replace[Natts_pg_class] = {false};

	/* keeps updates in place away, as VACUUM makes them */
	LockRelationOid(relid, ShareUpdateExclusiveLock);
	classes = table_open(RelationRelationId, RowExclusiveLock);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	replace[Anum_pg_class_relacl - 1] = true;
	values[Anum_pg_class_relacl - 1] = PointerGetDatum(acl);
	changed = heap_modify_tuple(tuple, RelationGetDescr(classes), values, nulls, replace);
	ReleaseSysCache(tuple);
	CatalogTupleUpdate(classes, &changed->t_self, changed);
	table_close(classes, RowExclusiveLock);
}

/* Revoke all privileges of a role, or PUBLIC, on a relation and its columns, by OID. */
void
catalog_revoke_all(Oid relid, Oid grantee)
{
	SecurityState before;

	security_act_as(BOOTSTRAP_SUPERUSERID, ACT_TO_MANAGE, &before);
	RemoveRoleFromObjectACL(grantee, RelationRelationId, relid);
	security_act_as_before(&before);
	CommandCounterIncrement();
}

/*
 * Enable row-level security of a table, or force it, or neither, as ALTER TABLE does
 * (ATExecSetRowSecurity): two flags in pg_class.  The caller holds ACCESS EXCLUSIVE.
 */
void
catalog_set_row_security(Oid relid, bool enabled, bool forced)
{
	Relation	classes = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));

	Assert(relation_is_locked(relid, AccessExclusiveLock));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity = enabled;
	((Form_pg_class) GETSTRUCT(tuple))->relforcerowsecurity = forced;
	CatalogTupleUpdate(classes, &tuple->t_self, tuple);
	InvokeObjectPostAlterHook(RelationRelationId, relid, 0);
	table_close(classes, RowExclusiveLock);
	CommandCounterIncrement();
}

static AlterTableCmd *
column_command(AlterTableType change, const char *column, Node *def)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = change;
	cmd->name = column ? pstrdup(column) : NULL;
	cmd->def = def;
	return cmd;
}

/* For commands of the kinds above alone: each says why it evaluates nothing. */
static void
alter_as_superuser(Oid relid, AlterTableCmd *cmd, bool recurse)
{
	ddl_alter_table_cmds(BOOTSTRAP_SUPERUSERID, relid, list_make1(cmd), recurse,
						 DDL_PLAIN_SEARCH_PATH);
}

/*
 * key_match.c
 *		How live rows and tracking rows belong together, as SQL.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "parser/parse_oper.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "registry/registry.h"

/*
 * "The live row l and the tracking row t have the same key", by the operators
 * of the primary key, or by those of the types without one; palloc'd.
 */
char *
tracking_match_sql(const RegistryRow *row, Relation live)
{
	Oid			primary = columns_primary_key_index(live);
	Relation	index = NULL;
	int			n = list_length(row->key);
	StringInfoData sql;
	ListCell   *lc;
	int			i = 0;

	fit_check_key(row, 0);
	if (OidIsValid(primary))
		index = index_open(primary, AccessShareLock);
	initStringInfo(&sql);
	foreach(lc, row->key)
	{
		if (i > 0)
			appendStringInfoString(&sql, " AND ");
		key_match_append(&sql, index, i, columns_find(live, lfirst(lc)), row->tracking,
						 naming_key_column(n, i));
		i++;
	}
	if (index)
		index_close(index, AccessShareLock);
	return sql.data;
}

/*
 * "l.<att> = t.<held_by>", held_by of the tracking table, whose type may be a
 * smaller one; by the i-th column of the index unless it is NULL.
 */
void
key_match_append(StringInfo sql, Relation index, int i, Form_pg_attribute att,
				 Oid tracking, const char *held_by)
{
	char	   *live_sql = psprintf("l.%s", quote_identifier(NameStr(att->attname)));
	char	   *tracking_sql = psprintf("t.%s", held_by);
	Oid			equal;
	Oid			type;
	int32		typmod;
	Oid			held_type;
	int32		held_typmod;
	Oid			held_collation;

	types_below_domains(att, &type, &typmod);
	get_atttypetypmodcoll(tracking, get_attnum(tracking, held_by), &held_type,
						  &held_typmod, &held_collation);
	if (getBaseType(held_type) != type)
		tracking_sql = psprintf("%s::%s", tracking_sql,
								format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY));
	if (OidIsValid(att->attcollation) && held_collation != att->attcollation)
		tracking_sql = psprintf("%s COLLATE %s", tracking_sql,
								columns_collation_sql(att->attcollation));
	equal = columns_key_equality(index, i, type);
	if (key_match_can_be_written(equal, type))
		generate_operator_clause(sql, live_sql, att->atttypid, equal,
								 tracking_sql, type);
	else
		appendStringInfo(sql, "%s(%s, %s)",
						 naming_quoted_function(get_opcode(equal)),
						 live_sql, tracking_sql);
}

/*
 * Returns true if the operator's name, between values of the type, means the operator.
 * Implicit casts of the type's owner may have made it ambiguous.
 */
bool
key_match_can_be_written(Oid equal, Oid type)
{
	HeapTuple	form = SearchSysCache1(OPEROID, ObjectIdGetDatum(equal));
	HeapTuple	found;
	List	   *name;
	bool		same;

	if (!HeapTupleIsValid(form))
		elog(ERROR, "cache lookup failed for operator %u", equal);
	name = list_make2(makeString(get_namespace_name(((Form_pg_operator) GETSTRUCT(form))->oprnamespace)),
					  makeString(get_opname(equal)));
	ReleaseSysCache(form);

	if (OidIsValid(OpernameGetOprid(name, type, type)))
		return true;
	found = oper(NULL, name, type, type, true, -1);
	if (found == NULL)
		return false;
	same = oprid(found) == equal;
	ReleaseSysCache(found);
	return same;
}

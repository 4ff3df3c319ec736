/*
 * types.c
 *		Which type holds all values of another.
 *
 * That is decided by the types, never by the data.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "base/base.h"
#include "compat.h"

static bool row_prints_exactly(Oid type);
static bool typmod_holds(Oid type, int32 from, int32 to);
static bool types_widens(Oid from, Oid to);

/*
 * Returns true if every value of the first type is a value of the second.
 *
 * The list (doc/follower.md has it for users): the same type with a modifier
 * that is no narrower; binary-coercible types; the exact widenings among
 * numbers and from date to timestamp; an enum as text.  Domains count as what is
 * below them: the older implementation gave them to history tables, too.
 */
bool
types_hold(Oid from, int32 from_mod, Oid to, int32 to_mod)
{
	from = getBaseTypeAndTypmod(from, &from_mod);
	to = getBaseTypeAndTypmod(to, &to_mod);

	if (from == to)
		return typmod_holds(from, from_mod, to_mod);
	if (IsBinaryCoercible(from, to))
		return to_mod == -1 ||
			(to == VARCHAROID && from == VARCHAROID && typmod_holds(to, from_mod, to_mod));
	if (to_mod != -1)
		return false;
	if (get_typtype(from) == TYPTYPE_ENUM)
		return to == TEXTOID || to == VARCHAROID;
	return types_widens(from, to);
}

/* A column's type and modifier below all domains. */
void
types_below_domains(Form_pg_attribute att, Oid *type, int32 *typmod)
{
	*typmod = att->atttypmod;
	*type = getBaseTypeAndTypmod(att->atttypid, typmod);
}

/*
 * Returns true if the column can get the type, which holds all its values, without a
 * rewrite of its table.  This is known of the types that ATColumnChangeRequiresRewrite and
 * the types' support functions let pass.
 */
bool
types_widen_in_place(Form_pg_attribute column, Oid type, int32 typmod)
{
	int32		from_mod;
	Oid			from;

	types_below_domains(column, &from, &from_mod);
	/* the modifier of a domain is not seen through it: a length would be checked */
	if (!types_hold(from, from_mod, type, typmod) ||
		(from != column->atttypid && typmod != -1))
		return false;
	if (from != type)
		return typmod == -1 && IsBinaryCoercible(from, type);
	if (from == NUMERICOID && typmod != -1)
		return ((from_mod - VARHDRSZ) & 0x7ff) == ((typmod - VARHDRSZ) & 0x7ff);
	return from != BPCHAROID;
}

/*
 * Returns true if the text to which each of the type's values is cast is as good as the
 * value, with the current settings.
 *
 * Floating point numbers are rounded, dates in other styles than ISO are ambiguous, and
 * so is the sign of intervals in the standard's.  A base type of an extension's may hold
 * numbers, and somebody's own cast may keep less.
 */
bool
types_print_exactly(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			parts[] = {
		get_element_type(base), get_range_subtype(base), get_multirange_range_compat(base)
	};
	Oid			cast;
	int			i;

	type = base;
	if (find_coercion_pathway(TEXTOID, type, COERCION_EXPLICIT, &cast) == COERCION_PATH_FUNC &&
		cast >= FirstNormalObjectId)
		return false;
	for (i = 0; i < lengthof(parts); i++)
		if (OidIsValid(parts[i]))
			return types_print_exactly(parts[i]);
	if (type_is_rowtype(type))
		return row_prints_exactly(type);

	switch (type)
	{
		case FLOAT4OID:
		case FLOAT8OID:
		case POINTOID:
		case LSEGOID:
		case PATHOID:
		case BOXOID:
		case POLYGONOID:
		case LINEOID:
		case CIRCLEOID:
			return extra_float_digits > 0;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return DateStyle == USE_ISO_DATES;
		case INTERVALOID:
			return IntervalStyle != INTSTYLE_SQL_STANDARD;
		default:
			return type < FirstNormalObjectId || get_typtype(type) != TYPTYPE_BASE ||
				extra_float_digits > 0;
	}
}

/* Returns true if all columns of the row type do; false for record, which has none. */
static bool
row_prints_exactly(Oid type)
{
	TupleDesc	desc;
	bool		exactly = true;
	int			i;

	if (type == RECORDOID)
		return false;
	desc = lookup_rowtype_tupdesc(type, -1);
	for (i = 0; i < desc->natts && exactly; i++)
		exactly = TupleDescAttr(desc, i)->attisdropped ||
			types_print_exactly(TupleDescAttr(desc, i)->atttypid);
	ReleaseTupleDesc(desc);
	return exactly;
}

/*
 * Returns true if every value that is valid with the first type modifier is valid with the
 * second.  The meaning of modifiers is the types' own; those of the built-in types are
 * known here.
 */
static bool
typmod_holds(Oid type, int32 from, int32 to)
{
	if (to == -1 || from == to)
		return true;
	if (from == -1)
		return false;

	switch (type)
	{
		case VARCHAROID:
		case BPCHAROID:
		case VARBITOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return from <= to;
		case NUMERICOID:
			{
				int32		from_precision = ((from - VARHDRSZ) >> 16) & 0xffff;
				int32		to_precision = ((to - VARHDRSZ) >> 16) & 0xffff;

				/* numeric.c: numeric_typmod_scale; the same number before 15 */
				int32		from_scale = (((from - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
				int32		to_scale = (((to - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;

				return from_scale <= to_scale &&
					from_precision - from_scale <= to_precision - to_scale;
			}
		default:
			return false;
	}
}

static bool
types_widens(Oid from, Oid to)
{
	static const Oid pairs[][2] = {
		{INT2OID, INT4OID}, {INT2OID, INT8OID}, {INT2OID, NUMERICOID},
		{INT2OID, FLOAT4OID}, {INT2OID, FLOAT8OID},
		{INT4OID, INT8OID}, {INT4OID, NUMERICOID}, {INT4OID, FLOAT8OID},
		{INT8OID, NUMERICOID},
		{FLOAT4OID, FLOAT8OID},
		{NAMEOID, TEXTOID},
		{DATEOID, TIMESTAMPOID},
	};
	int			i;

	for (i = 0; i < lengthof(pairs); i++)
		if (pairs[i][0] == from && pairs[i][1] == to)
			return true;
	return false;
}

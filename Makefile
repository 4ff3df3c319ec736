# catmaid_history: built with PGXS, against the PostgreSQL that PG_CONFIG names.
#
#   make                  build the library
#   make install          install library, control file and SQL scripts
#   make dist             the bundle for PGXN, of what is committed
#   make installcheck     pg_regress (sql/, expected/) against a running server, of
#                         what is installed there; the user must be a superuser
#                         of that name (README tells how)
#   make WERROR=1         any warning is an error (what script/test builds with)
#   make with_llvm=no     no bitcode for the JIT (chosen by itself without clang)
#
# script/test runs this and all the other suites on a server of its own.

MODULE_big = catmaid_history
EXTENSION = catmaid_history

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

# The script that adopts an older database is the install script between two
# parts of its own, and replaces where that one creates.
ADOPT = sql/catmaid_history--unpackaged--1.0.sql
UNPACKAGED = sql/catmaid_history--unpackaged.sql
DATA_built = $(ADOPT) $(UNPACKAGED)
DATA = $(filter-out $(DATA_built),$(sort $(wildcard sql/catmaid_history--*.sql)))

# sql/ holds the install scripts as well as the inputs of pg_regress.
REGRESS := $(filter-out catmaid_history--%, \
	$(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql))))
REGRESS_OPTS = --inputdir=.

PG_CPPFLAGS = -I$(srcdir)/src

# The three exceptions are for PostgreSQL's own headers and idioms: unused
# PG_FUNCTION_ARGS, List lengths against unsigned counts, partial initializers.
ifdef WERROR
PG_CFLAGS = -Wall -Wextra -Werror \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
endif

EXTRA_CLEAN = tmp_check tmp_build

DISTVERSION := $(shell sed -n 's/^   "version": "\(.*\)",$$/\1/p' META.json)

PG_CONFIG = pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

# Packages of clients and of libpq have a pg_config, and even pgxs.mk: the headers
# themselves are asked for, before anything is compiled without them.  (To test what
# is installed takes none.)
headers := $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)
needed := $(if $(filter-out installcheck clean distclean dist,$(or $(MAKECMDGOALS),all)),$(headers)/postgres.h)
ifneq ($(shell test -f '$(PGXS)' && for file in $(needed); do test -f $$file || exit; done && echo yes),yes)
major := $(or $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'),\
	$(lastword $(sort $(notdir $(wildcard /usr/lib/postgresql/*)))),all)
$(error there is no $(if $(headers),$(headers)/postgres.h,$(PG_CONFIG)): \
	the headers of PostgreSQL's server are needed. \
	On Debian: apt-get install postgresql-server-dev-$(major) (or script/bootstrap). \
	To build for another server: make PG_CONFIG=/path/to/pg_config)
endif

# A server built with LLVM wants bitcode from its own clang and llvm-lto; where
# either is absent the extension is built without, and only the JIT inlines less.
pgxs_setting = $(shell sed -n 's/^$(1)[[:space:]]*=[[:space:]]*//p' '$(dir $(PGXS))../Makefile.global')
have_llvm := $(shell command -v '$(call pgxs_setting,CLANG)' >/dev/null && \
	command -v '$(call pgxs_setting,LLVM_BINPATH)/llvm-lto' >/dev/null && echo yes)
ifneq ($(have_llvm),yes)
override with_llvm := no
endif

include $(PGXS)

$(ADOPT): sql/lib/adopt_before.sql sql/catmaid_history--1.0.sql sql/lib/adopt_after.sql Makefile
	{ cat sql/lib/adopt_before.sql; \
	sed -e '/^\\echo /d' -e '/^CREATE TYPE /d' \
		-e '/AS \$$script\$$/,/\$$script\$$;/b' \
		-e 's/^CREATE SCHEMA /&IF NOT EXISTS /' \
		-e 's/^CREATE TABLE /&IF NOT EXISTS /' \
		-e 's/^CREATE INDEX /&IF NOT EXISTS /' \
		-e 's/^CREATE FUNCTION /CREATE OR REPLACE FUNCTION /' \
		-e 's/^CREATE PROCEDURE /CREATE OR REPLACE PROCEDURE /' \
		-e 's/^CREATE VIEW /CREATE OR REPLACE VIEW /' \
		-e 's/^CREATE TRIGGER \([a-z_]*\)$$/DROP TRIGGER IF EXISTS \1 ON catmaid_history_table; &/' \
		-e 's/^CREATE TRIGGER \([a-z_]*\) .* ON \([a-z_.]*\)$$/DROP TRIGGER IF EXISTS \1 ON \2; &/' \
		-e 's/^CREATE EVENT TRIGGER \([a-z_]*\)/DROP EVENT TRIGGER IF EXISTS \1; &/' \
		sql/catmaid_history--1.0.sql; \
	cat sql/lib/adopt_after.sql; } >$@

$(UNPACKAGED): sql/lib/unpackaged.sql sql/catmaid_history--1.0.sql Makefile
	{ cat sql/lib/unpackaged.sql; \
	sed -n -e '/^CREATE FUNCTION check_history(/,/^$$/p' sql/catmaid_history--1.0.sql; } >$@

# PGXS tracks no headers: any of them changed rebuilds everything.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h src/*/*.h)

dist:
	git archive --format=zip --prefix='$(EXTENSION)-$(DISTVERSION)/' \
		--output='$(EXTENSION)-$(DISTVERSION).zip' HEAD
.PHONY: dist

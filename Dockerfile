# The official image of PostgreSQL, with catmaid_history:
#
#   docker build --build-arg PG_MAJOR=17 -t postgres-catmaid_history:17 .
#   docker run --rm -e POSTGRES_PASSWORD=... postgres-catmaid_history:17
#
# Then, in a database: CREATE EXTENSION catmaid_history;
#
# The only thing that is fetched is packages, from where the image gets its own.
# Not built by the tests: doc/packaging.md says why.

ARG PG_MAJOR=17

FROM postgres:${PG_MAJOR} AS build
ARG PG_MAJOR
RUN apt-get update \
	&& apt-get install -y --no-install-recommends gcc libc6-dev make postgresql-server-dev-${PG_MAJOR}
WORKDIR /build
COPY Makefile META.json catmaid_history.control ./
COPY sql sql
COPY src src
RUN make -j"$(nproc)" && make install DESTDIR=/installed

FROM postgres:${PG_MAJOR}
COPY --from=build /installed/ /

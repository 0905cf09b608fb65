# The site, the worker and beat are one image; docker-compose.yml says which command each runs.
# The base is pinned by tag, so that a build takes its security fixes; one that must repeat to the byte gives a digest:
# --build-arg PYTHON=python@sha256:…
ARG PYTHON=python:3.11-slim-bookworm
FROM $PYTHON AS build
RUN pip install --no-cache-dir uv==0.13.9
# Debian's own package holds the key of PostgreSQL's packages.
# hadolint ignore=DL3008  # the newest of a stable release is what security wants
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-common \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml requirements.lock ./
# Neither embedded servers nor tests; the lock says which versions, and their hashes. Parquet is 170 MB, so it comes
# only to who asks: --build-arg MORE="--extra analytics". Which town a telephone number is of, 40 MB, nobody asks.
ARG MORE=
# hadolint ignore=SC2086  # words, or none
RUN uv venv --quiet /opt/venv \
    && uv pip install --python /opt/venv/bin/python --no-cache --compile-bytecode --require-hashes \
        --extra observability $MORE -r pyproject.toml -c requirements.lock \
    && find /opt/venv/lib/python3.11/site-packages/pandas /opt/venv/lib/python3.11/site-packages/numpy \
        -type d -name tests -prune -exec rm -r {} + \
    && rm -r /opt/venv/lib/python3.11/site-packages/phonenumbers/geodata
COPY . .
RUN /opt/venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && /opt/venv/bin/python -m compileall -q .

FROM $PYTHON
COPY --from=build /usr/share/postgresql-common/pgdg/apt.postgresql.org.asc /usr/share/keyrings/postgresql.asc
# Backups are made by pg_dump of the server's own version, which Debian itself does not have. No pip: nothing is built.
# hadolint ignore=DL3008  # as above
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates \
    && echo "deb [signed-by=/usr/share/keyrings/postgresql.asc] https://apt.postgresql.org/pub/repos/apt bookworm-pgdg main" \
        > /etc/apt/sources.list.d/postgresql.list \
    && apt-get update && apt-get install --yes --no-install-recommends postgresql-client-18 \
    && rm -rf /var/lib/apt/lists/* /usr/local/bin/pip* /usr/local/lib/python3.11/site-packages/* \
    && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent medilink \
    && install -d -o medilink -g medilink /backups
ENV PATH=/opt/venv/bin:/usr/lib/postgresql/18/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PORT=5000
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Medilink" \
      org.opencontainers.image.description="Data platform for Nigerian health facilities: site, worker and beat" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
ENV MEDILINK_REVISION=$REVISION
# Writes nothing but /tmp (and /backups, where they are kept in a folder): the root may be read-only.
USER 10001
EXPOSE 5000
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --start-interval=2s CMD ["python", "-m", "medilink.probe"]
# Two workers for each of two cores, two threads each: a slow query holds up nobody else, and nobody waits for a lock.
# The shell gives its place to the server: SIGTERM reaches it, and it answers what it has begun before it ends.
CMD ["sh", "-c", "exec granian --interface wsgi --host 0.0.0.0 --port \"$PORT\" --no-ws --workers 4 \
    --blocking-threads 2 --backlog 1024 --http1-header-read-timeout 10000 --http1-buffer-size 65536 \
    --workers-kill-timeout 50 --access-log --log-config medilink/server_logs.json medilink.wsgi:application"]

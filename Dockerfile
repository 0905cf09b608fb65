# The site, the worker and beat are one image; docker-compose.yml says which command each runs.
FROM python:3.11-slim-bookworm AS packages
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
COPY pyproject.toml requirements.lock ./
# Without the extras: neither embedded servers nor tests; the lock says which versions, and their hashes.
RUN uv venv --quiet /opt/venv \
    && uv pip install --python /opt/venv/bin/python --no-cache --compile-bytecode --require-hashes \
        -r pyproject.toml -c requirements.lock

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:/usr/lib/postgresql/18/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PORT=5000
# Backups are made by pg_dump of the server's own version, which Debian itself does not have.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
    && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
    && apt-get install --yes --no-install-recommends postgresql-client-18 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent medilink
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY . .
RUN python manage.py collectstatic --noinput --verbosity 0 && python -m compileall -q .
USER 10001
EXPOSE 5000
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s CMD ["python", "-m", "medilink.probe"]
# Two workers for each of two cores, two threads each: a slow query holds up nobody else, and nobody waits for a lock.
CMD ["sh", "-c", "exec granian --interface wsgi --host 0.0.0.0 --port \"$PORT\" --no-ws --workers 4 \
    --blocking-threads 2 --backlog 1024 --http1-header-read-timeout 10000 --http1-buffer-size 65536 \
    --access-log --log-config medilink/server_logs.json medilink.wsgi:application"]

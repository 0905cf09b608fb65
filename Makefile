# Two commands on a machine that has Python 3.11, pip and make: `make demo` (ARGS=--once to run and exit), `make test`.
# The packages live in .venv, exactly as requirements.lock names them, and are looked at again only when it changes.

PYTHON ?= $(shell for name in python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
UV = uv==0.13.9
INTO = --python .venv/bin/python
LOOK_ONLY = MEDILINK_EMBEDDED=true DATABASE_URL=postgres:///medilink

.PHONY: demo test lint lock audit sbom

demo: .venv/synced
	@.venv/bin/python manage.py demo $(ARGS)

test: .venv/synced
	@.venv/bin/python -m pytest -n 2 $(ARGS)

lint: .venv/synced
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	$(LOOK_ONLY) .venv/bin/python -m mypy medilink analytics ingestion clinical
	.venv/bin/python -c 'from importlinter.cli import lint_imports_command as run; run()'
	.venv/bin/python -m bandit -q -ll -c pyproject.toml -r medilink analytics ingestion clinical
	git ls-files | grep -vE '^requirements.lock$$|/alpine.js$$|/echarts.common.min.js$$|vendor/README.md$$' | xargs .venv/bin/detect-secrets-hook --no-verify \
		--disable-plugin KeywordDetector --exclude-lines ':password@'
	.venv/bin/hadolint Dockerfile
	.venv/bin/python manage.py makemigrations --check --dry-run
	.venv/bin/python manage.py spectacular --validate --fail-on-warn --file /dev/null

# Known holes in what the lock names; asks PyPI. What it needs is installed beside .venv.
audit: .venv/synced
	.venv/bin/python -m uv tool run pip-audit==2.10.1 --require-hashes --requirement requirements.lock

# What the project is made of, with licences, as CycloneDX: sbom.json.
sbom: .venv/synced
	.venv/bin/python -m uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py environment .venv \
		--pyproject pyproject.toml --of JSON --output-file sbom.json

# After a change of pyproject.toml.
lock: .venv/synced
	.venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras \
		--no-header --output-file requirements.lock pyproject.toml

.venv/synced: requirements.lock
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed; name it with PYTHON=/path/to/python.'; exit 1; }
	@echo 'Installing what requirements.lock names into .venv'
	@test -x .venv/bin/python || $(PYTHON) -m venv --without-pip .venv
	@$(PYTHON) -m pip $(INTO) install --quiet $(UV) \
		&& .venv/bin/python -m uv pip sync --quiet --compile-bytecode $(INTO) --require-hashes requirements.lock \
		|| $(PYTHON) -m pip $(INTO) install --quiet --no-compile --require-hashes -r requirements.lock
	@touch $@

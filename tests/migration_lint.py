"""What a migration must not do to a database at work, found in its SQL before it ships.

Two dangers: who works meanwhile waits for a lock, and the release before, which still runs, meets what it does not
know. `manage.py migrate` bounds how long a lock is waited for; how long it is then held is decided here.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

import sqlparse
from django.db.migrations import Migration
from django.db.migrations.operations import SeparateDatabaseAndState
from django.db.migrations.state import ProjectState

# Of each app the newest migration of the first release: no database was at work when they ran.
FIRST_RELEASE = {
    "analytics": "0013_condition_codes",
    "clinical": "0022_vital_signs_by_code",
    "ingestion": "0010_bundles",
    "medilink": "0014_fhir_exports",
}
# (app, name) -> rule -> why it may. What is written here is measured first: tests/lab/test_upgrade.py.
EXEMPT: dict[tuple[str, str], dict[str, str]] = {}

RULES = {
    "irreversible": "cannot be taken back; give it a reverse",
    "own limit": "`migrate` says how long a lock is waited for",
    "two tables": "locks two large tables at once, so that waits add up and deadlock; one migration for each",
    "column without default": "the release before does not fill it; make it nullable or give it a db_default",
    "rewrite": "writes the table anew under a lock; add a nullable column and fill it in batches",
    "type": "writes the table anew under a lock; add a column of the new type, fill it, and switch in the next release",
    "not null": "reads the table under a lock; first CHECK (… IS NOT NULL) NOT VALID, validated in a migration",
    "constraint": "reads the table under a lock; NOT VALID, and VALIDATE CONSTRAINT in a migration of its own",
    "validated at once": "VALIDATE in the transaction that adds the constraint keeps its lock; a migration of its own",
    "unique": "builds an index under a lock; CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX",
    "index": "nobody writes while it is built; AddIndexConcurrently in a migration that is not atomic",
    "concurrently": "is not allowed in a transaction; atomic = False",
    "not atomic": "one operation only: what broke off has to be run again from its start",
    "gone": "the release before still uses it; stop using it, and take it away a release later",
    "rows": "keeps its rows locked until the end; RunPython in batches, in a migration that is not atomic",
    "python beside tables": "the table stays locked while it runs; a migration of its own",
    "python in one piece": "one transaction keeps all its rows locked; atomic = False, a transaction for each batch",
    "whole table": "keeps everybody out of the table",
    "fill": "the mart is filled while a table is locked; WITH NO DATA, or a migration of its own",
}

# Some rows that people have made, or that programs have: to read them through is a moment. All others grow.
SMALL = {
    *("rules", "data_owners", "memberships", "clinical_user", "smart_clients", "report_addressees", "role_rights"),
    *("row_security_keys", "state_names", "second_factors", "recovery_codes", "program_tokens", "dhis2_org_units"),
    *("backups", "alerts", "mart_refreshes", "django_site", "django_content_type", "auth_permission", "auth_group"),
    "wall",
}
SMALL_APPS = {"django_celery_beat"}  # a row for each line of the timetable

NAME = r'(?:"?\w+"?\.)?"?(?P<table>\w+)"?'
ALTER = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?{NAME} (?P<actions>.+)", re.I)
CREATED = re.compile(rf"CREATE (?:UNLOGGED )?(?:TABLE|MATERIALIZED VIEW) (?:IF NOT EXISTS )?{NAME}", re.I)
INDEX = re.compile(rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).*?\bON (?:ONLY )?{NAME}", re.I)
TRIGGER = re.compile(rf"CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER .*? ON {NAME}", re.I)
GONE = re.compile(rf"DROP (?:TABLE|VIEW|MATERIALIZED VIEW|FUNCTION|TYPE|SCHEMA) (?:IF EXISTS )?{NAME}", re.I)
ROWS = re.compile(rf"(?:UPDATE|DELETE FROM|INSERT INTO) (?:ONLY )?{NAME}", re.I)
WHOLE = re.compile(
    r"TRUNCATE|LOCK TABLE|CLUSTER|VACUUM FULL|(?:REINDEX|REFRESH MATERIALIZED VIEW)(?!.*CONCURRENTLY)", re.I
)
FILL = re.compile(r"CREATE MATERIALIZED VIEW (?!.*WITH NO DATA)", re.I)
COLUMN = re.compile(r'ADD (?:COLUMN )?(?:IF NOT EXISTS )?(?!CONSTRAINT)"?(?P<column>\w+)"? ', re.I)
VOLATILE = re.compile(
    r"random\(|gen_random_uuid\(|uuidv[47]\(|clock_timestamp\(|timeofday\(|nextval\(|SERIAL|AS IDENTITY|STORED", re.I
)
NOT_NULL = re.compile(r'ALTER (?:COLUMN )?"?(?P<column>\w+)"? SET NOT NULL', re.I)
PROMISE = re.compile(r'ADD CONSTRAINT "?(?P<name>\w+)"? CHECK \(+"?(?P<column>\w+)"? IS NOT NULL\)+ NOT VALID', re.I)
OF_ACTIONS = {
    "type": re.compile(r"ALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE", re.I),
    "constraint": re.compile(r"ADD CONSTRAINT \S+ (?:FOREIGN KEY|CHECK)(?!.*NOT VALID)", re.I),
    "unique": re.compile(r"ADD (?:CONSTRAINT \S+ )?(?:UNIQUE|PRIMARY KEY|EXCLUDE)(?!.*USING INDEX)", re.I),
}
LEAVES = re.compile(r"DROP (?:COLUMN )?(?!CONSTRAINT|NOT NULL|DEFAULT)|RENAME", re.I)


@dataclass(frozen=True)
class Script:
    """A migration as the database gets it."""

    statements: list[str]
    python: list[object]
    irreversible: bool
    operations: int


def broken(migration: Migration, state: ProjectState, connection, earlier: str = "") -> set[str]:
    """Names of RULES. `state`: of the project before it; `earlier`: the SQL of the migrations before, `NOT VALID` is
    looked for there."""
    script = _script(migration, state, connection)
    return set(_of_script(script, is_atomic=migration.atomic, earlier=earlier))


def sql(migration: Migration, state: ProjectState, connection) -> str:
    return ";\n".join(_script(migration, state, connection).statements)


def _script(migration: Migration, state: ProjectState, connection) -> Script:
    statements, python, irreversible = [], [], False
    state = state.clone()
    for operation in migration.operations:
        before = state.clone()
        operation.state_forwards(migration.app_label, state)
        irreversible |= not operation.reversible
        parts = operation.database_operations if isinstance(operation, SeparateDatabaseAndState) else [operation]
        for part in parts:
            if not part.reduces_to_sql:
                python.append(part)
                irreversible |= not part.reversible
                continue
            with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
                part.database_forwards(migration.app_label, editor, before, state)
            statements += [one for text in editor.collected_sql for one in _split(text)]
    return Script(statements, python, irreversible, len(migration.operations))


def _split(text: str) -> Iterator[str]:
    """Statements without comments, on one line; of a function the body is left out, of a DO block taken in."""
    for statement in sqlparse.split(text):
        plain = " ".join(sqlparse.format(statement, strip_comments=True).split()).rstrip("; ")
        if re.match(r"DO\b", plain, re.I):
            body = re.search(r"(\$\w*\$)(.*)\1", plain)
            yield from (part.strip() for part in re.split(r";|\bBEGIN\b|\bTHEN\b|\bLOOP\b", body[2]) if part.strip())
        elif plain:
            yield re.sub(r"(\$\w*\$).*?\1", "''", plain)


def _of_script(script: Script, *, is_atomic: bool, earlier: str) -> Iterator[str]:
    new = {match["table"] for one in script.statements if (match := CREATED.match(one))}
    locked = {match["table"] for one in script.statements for rule in (ALTER, TRIGGER) if (match := rule.match(one))}
    if script.irreversible:
        yield "irreversible"
    if len(locked - new - SMALL) > 1:
        yield "two tables"
    if not is_atomic and script.operations > 1:
        yield "not atomic"
    if locked - new and any(FILL.match(one) for one in script.statements):
        yield "fill"
    yield from _of_python(script, is_atomic=is_atomic)
    whole = "; ".join(script.statements)
    for statement in script.statements:
        yield from _of_statement(statement, new, is_atomic=is_atomic)
        if (alter := ALTER.match(statement)) and alter["table"] not in new:
            for action in _actions(alter["actions"]):
                yield from _of_action(action, alter["table"], whole, earlier)


def _of_python(script: Script, *, is_atomic: bool) -> Iterator[str]:
    for operation in script.python:
        source = inspect.getsource(inspect.getmodule(operation.code))
        apps = set(re.findall(r"get_model\(\s*[\"'](\w+)", source))
        if apps and apps <= SMALL_APPS and "cursor(" not in source:
            continue
        if script.statements:
            yield "python beside tables"
        if is_atomic:
            yield "python in one piece"


def _of_statement(statement: str, new: set[str], *, is_atomic: bool) -> Iterator[str]:
    if re.search(r"\b(?:lock|statement)_timeout\b", statement, re.I):
        yield "own limit"
    if is_atomic and re.search(r"INDEX CONCURRENTLY", statement, re.I):
        yield "concurrently"
    if WHOLE.match(statement):
        yield "whole table"
    for rule, pattern in (("index", INDEX), ("rows", ROWS)):
        if (match := pattern.match(statement)) and match["table"] not in new | SMALL:
            yield rule
    if (match := GONE.match(statement)) and match["table"] not in new:
        yield "gone"
    elif match and re.match(r"DROP (?:TABLE|MATERIALIZED)", statement, re.I):
        yield "whole table"


def _of_action(action: str, table: str, whole: str, earlier: str) -> Iterator[str]:
    if LEAVES.match(action):
        yield "gone"
    if column := COLUMN.match(action):
        yield from _of_new_column(action, column["column"], table, whole)
    if table in SMALL:
        return
    for rule, pattern in OF_ACTIONS.items():
        if pattern.match(action):
            yield rule
    if (told := re.match(r'VALIDATE CONSTRAINT "?(\w+)', action, re.I)) and re.search(
        rf'ADD CONSTRAINT "?{told[1]}\b', whole
    ):
        yield "validated at once"
    if (made := NOT_NULL.match(action)) and not _is_promised(table, made["column"], earlier):
        yield "not null"


def _of_new_column(action: str, column: str, table: str, whole: str) -> Iterator[str]:
    has_default = re.search(r"\b(?:DEFAULT|GENERATED)\b", action, re.I)
    is_dropped = re.search(rf'ALTER TABLE "?{table}"? ALTER COLUMN "?{column}"? DROP DEFAULT', whole, re.I)
    if re.search(r"\bNOT NULL\b", action, re.I) and (not has_default or is_dropped):
        yield "column without default"
    if table not in SMALL and VOLATILE.search(action):
        yield "rewrite"
    if table not in SMALL and re.search(r"\b(?:UNIQUE|PRIMARY KEY)\b", action, re.I):
        yield "unique"
    if table not in SMALL and has_default and re.search(r"\bREFERENCES\b|\bCHECK\b", action, re.I):
        yield "constraint"


def _is_promised(table: str, column: str, earlier: str) -> bool:
    """That a migration before has proven that no row is without."""
    for promise in PROMISE.finditer(earlier):
        if promise["column"] == column and re.search(rf'VALIDATE CONSTRAINT "?{promise["name"]}\b', earlier, re.I):
            return True
    return False


def _actions(text: str) -> list[str]:
    """Of one ALTER TABLE, parted at the commas that stand in no brackets."""
    parts, depth, begun = [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            parts.append(text[begun:at].strip())
            begun = at + 1
    return [*parts, text[begun:].strip()]

"""What the second wall is made of, as the last `migrate` left it: policies, functions, triggers, scoped views.

A policy, or a function that policies ask, can be rewritten to something that looks like one and lets everybody in. So a
digest of each is kept, and the doctor names which have become others. Where a `migrate` finds one changed by somebody
else it does not take that for its own: only what changes while it runs is written down anew.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.conf import settings
from django.db import Error, connection

Digests = dict[str, str]

# By names and texts, no numbers: a restored copy has the same, whoever owns it. Whoever changes what is looked at has
# to make the table anew in a migration, or all of it has changed. Left out are triggers of foreign keys, and of the
# audit's months, which come and go.
STANDING = r"""
WITH schemas AS (SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('public', 'staging', 'marts', 'scoped')),
owner AS (SELECT relowner AS oid FROM pg_class WHERE oid = to_regclass('public.patients')),
told AS (
    SELECT format('policy %s of %s', p.polname, c.relname) AS name, jsonb_build_array(
        p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
        (SELECT array_agg(role::regrole::text ORDER BY role::regrole::text) FROM unnest(p.polroles) AS role)) AS words
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN schemas s ON s.oid = c.relnamespace
    UNION ALL
    SELECT format('function %s.%s(%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
        jsonb_build_array(p.prosrc, pg_get_function_sqlbody(p.oid), l.lanname, p.prosecdef, p.proconfig, p.provolatile,
        nullif(p.proowner, owner.oid)::regrole)
    FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang, owner
    WHERE NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT format('trigger %s of %s', t.tgname, c.relname),
        -- Brackets and casts of its condition come and go with a restore.
        jsonb_build_array(regexp_replace(pg_get_triggerdef(t.oid), $$[()]|::(character varying|text)(\[\])?$$, '', 'g'),
        t.tgenabled)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN schemas s ON s.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND NOT c.relispartition
    UNION ALL
    SELECT format('view scoped.%s', c.relname),
        jsonb_build_array(pg_get_viewdef(c.oid), c.reloptions, nullif(c.relowner, owner.oid)::regrole)
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace, owner
    WHERE c.relkind = 'v' AND s.nspname = 'scoped'
)
-- A list of words is told in one way where a migration made it, and in another one where a copy was restored.
SELECT name, md5(regexp_replace(
    regexp_replace(words::text, $$\('([^']*)'::character varying\)::text|'([^']*)'::(character varying|text)$$,
        $$'\1\2'$$, 'g'),
    $$\(\((ARRAY\[[^]]*\])\)::text\[\]\)$$, $$(\1)$$, 'g'))
FROM told
"""
KEEP = """
INSERT INTO wall (digests, written_at, written_by, release) VALUES (%(digests)s, now(), session_user, %(release)s)
ON CONFLICT (id) DO UPDATE SET (digests, written_at, written_by, release)
    = (excluded.digests, excluded.written_at, excluded.written_by, excluded.release)
"""


def is_kept() -> bool:
    """Not before the migration that makes the table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.wall') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def standing() -> Digests:
    with connection.cursor() as cursor:
        cursor.execute(STANDING)
        return dict(cursor.fetchall())


def kept() -> Digests:
    """Nothing, where somebody has deleted it: then all has changed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT digests::text FROM wall")
        return json.loads(row[0]) if (row := cursor.fetchone()) else {}


def changed(known: Digests, found: Digests) -> list[str]:
    """Each by its name, and what became of it."""
    names = sorted(name for name in known | found if known.get(name) != found.get(name))
    return [f"{name}{'' if name in known else ' (new)'}{'' if name in found else ' (gone)'}" for name in names]


def accept() -> list[str]:
    """Takes what stands for what is meant. Returns what had changed."""
    known, found = kept(), standing()
    _keep(found)
    return changed(known, found)


@contextmanager
def watched(tell: Callable[[str], None]) -> Iterator[None]:
    """Around a `migrate`: what changes meanwhile is its doing, also where it ends halfway. Tells what was not."""
    before = standing() if is_kept() else None
    if before is not None and (others := changed(kept(), before)):
        tell(f"Changed since the last migrate, by somebody else: {'; '.join(others)}. See manage.py doctor.")
    try:
        yield
    except BaseException:
        with suppress(Error):
            _remember(before)
        raise
    _remember(before)


def _remember(before: Digests | None) -> None:
    if not is_kept():
        return
    after = standing()
    if before is None:
        _keep(after)
        return
    ours = [name for name in before | after if before.get(name) != after.get(name)]
    if ours:
        known = {name: digest for name, digest in kept().items() if name not in ours}
        _keep(known | {name: after[name] for name in ours if name in after})


def _keep(digests: Digests) -> None:
    release = f"{settings.SPECTACULAR_SETTINGS['VERSION']} {settings.REVISION}".strip()
    with connection.cursor() as cursor:
        cursor.execute(KEEP, {"digests": json.dumps(digests), "release": release})

"""What pages let a browser do: they run nothing that a file or a person wrote, and keep no copy."""

import hashlib
from contextlib import closing
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
import unfold

from clinical.api.resource import etag_of
from tests.browser import EXECUTABLE, Browser
from tests.medilink import hostile
from tests.rows import patient

DOCS = ("/api/docs", "/api/docs/dictionary", "/api/patients", "/api/audit-events")
MARKS = ("<script>alert", "<img src=x", 'href="javascript:')
PAGE = {"Accept": "text/html"}


@pytest.fixture
def full(bucket, alice):
    hostile.fill(alice)


@pytest.mark.django_db
@pytest.mark.usefixtures("full")
def test_what_files_and_people_wrote_runs_on_no_page(desk):
    opened = 0
    for path in {*hostile.pages(), *DOCS}:
        answer = desk.get(path, headers=PAGE)
        assert answer.status_code in (200, 302, 403), path
        opened += answer.status_code == 200
        text = answer.content.decode()
        assert not [mark for mark in MARKS if mark in text], path
        assert "49${" not in text  # nor is it a template
        assert _inline(text) == [], path
        assert "no-store" in answer["Cache-Control"], path
        _refuses_inline(answer)
    assert opened > 60


def _inline(text):
    """What a page itself asks to run, and the policy would refuse."""
    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            named = dict(attrs)
            found.extend((tag, name) for name in named if name == "style" or name.startswith("on"))
            if tag in ("script", "style") and not {"src", "nonce", "type"} & named.keys():
                found.append(tag)

    Parser().feed(text)
    return found


def _refuses_inline(answer):
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/", "/api/docs", "/api/patients", "/health", "/admin/login/", "/nothing"])
def test_each_answer_is_guarded(desk, path):
    answer = desk.get(path, headers=PAGE)
    _refuses_inline(answer)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "no-store" in answer["Cache-Control"]
    assert "camera=()" in answer["Permissions-Policy"]


@pytest.mark.django_db
def test_static_files_may_be_kept(client):
    with closing(client.get("/static/medilink/desk.js")) as answer:
        assert "no-store" not in answer["Cache-Control"]


@pytest.mark.django_db
def test_two_pages_have_two_nonces(desk):
    first, second = (desk.get("/admin/")["Content-Security-Policy"] for _ in range(2))
    assert "'nonce-" in first
    assert first != second


def test_a_tag_is_made_with_the_sites_own_secret(settings):
    row = {"id": 1, "updated_at": datetime(2026, 11, 20, tzinfo=UTC)}
    before = etag_of(row)
    assert etag_of(dict(row)) == before
    assert etag_of(row | {"birth_year": 1990}) != before
    settings.SECRET_KEY = "another" * 10
    assert etag_of(row) != before


def test_the_copied_frame_of_the_desk_is_still_made_of_unfolds():
    """Where this fails after an update of unfold, copy its skeleton.html anew and keep our four changes."""
    theirs = Path(unfold.__file__).parent / "templates" / "unfold" / "layouts" / "skeleton.html"
    # pragma: allowlist nextline secret
    assert hashlib.sha256(theirs.read_bytes()).hexdigest()[:16] == "66af9f0bb45f98ba"


# --- In a real browser


@pytest.fixture
def browser(desk, live_server):
    if EXECUTABLE is None:
        pytest.skip("there is no Chromium on this machine")
    tab = Browser()
    tab.cookie("sessionid", desk.cookies["sessionid"].value, live_server.url)
    yield tab
    tab.close()


@pytest.mark.drill
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("full")
def test_a_browser_complains_of_no_page(desk, browser, live_server):
    told = {}
    for path in sorted({*hostile.pages(), *DOCS, "/admin/clinical/patient/?sex__exact=F"}):
        if desk.get(path, headers=PAGE).status_code == 200:
            told[path] = browser.open(live_server.url + path)
    assert len(told) > 60
    assert {path: lines for path, lines in told.items() if lines} == {}


CLICK = "(() => {{ const one = {what}; one.click(); return new Promise((done) => setTimeout(done, 300)); }})()"
SHOWN = "({what})?.getClientRects().length > 0"
SIDEBAR = "document.querySelector('[x-on\\\\:click^=\"sidebarDesktopOpen\"]')"


@pytest.mark.drill
@pytest.mark.django_db(transaction=True)
def test_what_moves_on_the_desk_moves_under_its_policy(browser, live_server):
    patient()
    browser.open(f"{live_server.url}/admin/clinical/patient/")
    for opener, opened in (
        ("[x-on\\\\:click='filterOpen = true']", "[x-show='filterOpen']"),
        ("[x-on\\\\:click='openUserLinks = !openUserLinks']", "[x-show='openUserLinks']"),
    ):
        what, shown = (f'document.querySelector("{one}")' for one in (opener, opened))
        assert not browser.run(SHOWN.format(what=shown)), opened
        browser.run(CLICK.format(what=what))
        assert browser.run(SHOWN.format(what=shown)), opened
    browser.run('document.querySelector("[x-on\\\\:click=\\"switchTheme(\'dark\')\\"]").click()')
    browser.rest()
    assert browser.run("document.documentElement.classList.contains('dark')")
    browser.run("document.querySelector('.action-select').click()")
    browser.rest()
    assert browser.run("document.querySelector('[name=action]').offsetParent !== null")
    assert browser.told == []

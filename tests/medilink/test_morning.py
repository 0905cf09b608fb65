"""A steward's morning in a real browser, at a desk and on a phone. Needs playwright and a Chromium; see `browser`."""

import os
import shutil

import pytest
from django.utils import timezone

from analytics import marts
from clinical import logins
from clinical.models import User
from ingestion.models import IngestRun
from tests.ingestion import factories
from tests.test_schema import served

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]
WIDTHS = {1280: 900, 390: 844}  # a desk, and a phone
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PASSWORD = "not-a-secret-of-anybody"


@pytest.fixture
def browser(monkeypatch):
    playwright = pytest.importorskip("playwright.sync_api", reason="NO BROWSER: pip install playwright first")
    if not CHROMIUM:
        pytest.skip("NO BROWSER: install chromium, or name one in CHROMIUM")
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # the browser's loop runs in this thread; nobody awaits
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def site(transactional_db, bucket):
    """The site after a night in which one file was held."""
    logins.create_user("amina", "steward")
    amina = User.objects.get()
    amina.is_staff = True
    amina.set_password(PASSWORD)
    amina.save()
    now = timezone.now()
    run = IngestRun.objects.create(
        kind="nightly", night_on=timezone.localdate(), status="some_files_stopped", started_at=now, finished_at=now
    )
    counts = {"rows_read": 1000, "inserted": 995, "rejected": 5}
    factories.batch(run=run, kind="nightly", status="archived", started_at=now, finished_at=now, **counts)
    factories.batch(run=run, kind="nightly", status="held", reasons=["OVERLAP_SUSPECT"], finished_at=now)
    marts.refresh()
    with served(bucket) as address:
        yield address


@pytest.fixture(params=WIDTHS)
def desk(browser, site, request):
    """The desk with amina at it, in a window of this width."""
    window = browser.new_context(
        base_url=site, viewport={"width": request.param, "height": WIDTHS[request.param]}, color_scheme="light"
    )
    page = window.new_page()
    page.goto("/admin/")
    page.fill("input[name=username]", "amina")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    yield page
    window.close()


@pytest.fixture
def show(desk, tmp_path):
    """Keeps a picture of the page under this name, and refuses one that is wider than the window."""

    def picture(name):
        desk.wait_for_load_state("networkidle")
        width = desk.viewport_size["width"]
        desk.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)
        assert desk.evaluate("document.documentElement.scrollWidth") <= width

    return picture


def test_the_first_page_tells_of_the_night_and_leads_to_what_was_held(desk, show):
    assert desk.inner_text(".verdict").endswith("1 of 2 files were stopped and wait for a decision.")
    show("first-page")
    desk.click("section[aria-labelledby=waiting] .rows a")
    assert "Why it is held" in desk.content() or "Release" in desk.content()
    show("held-batch")

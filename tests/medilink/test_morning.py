"""A steward's morning in a real browser, at a desk and on a phone. Needs playwright and a Chromium; see `browser`."""

import os
import shutil

import pytest
from django.utils import timezone

from analytics import marts
from clinical import logins
from clinical.duplicates.search import search_all
from clinical.models import DuplicatePair, Patient, User
from ingestion import runs
from ingestion.models import IngestBatch, IngestRun
from tests.deliveries import PATIENTS, VISITS, deliver, deliver_all, night
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
    """The site after a night with a facility's name mistyped, a patient written twice, and a file that was held."""
    logins.create_user("amina", "steward")
    amina = User.objects.get()
    amina.is_staff = True
    amina.set_password(PASSWORD)
    amina.save()
    deliver_all("-2026-11-20.csv")
    typos = "".join(f"Kuje Gen. Hospital,Zainab,Umar{n},F,1990-01-{n + 1:02},\n" for n in range(12))
    twice = "Kuje General Hospital,Bello,Amina,F,1990-01-01,07021000001\n"
    deliver("patients-more-2026-11-20.csv", PATIENTS.split("\n")[0] + "\n" + typos + twice)
    visits = "".join(f"Kuje General Hospital,Musa,Bello,3,Complaint {n},,,\n" for n in range(25))
    header = VISITS.split("\n")[0] + "\n"
    deliver("triage_visits-kuje-2026-11-20.csv", header + visits)
    night()
    deliver("triage_visits-kuje-2026-11-21.csv", header + visits + "Ikeja Clinic,Ngozi,Okafor,2,New,,,\n")
    run = IngestRun.objects.create(kind="nightly", night_on=timezone.localdate())
    runs.carry_out(run)
    search_all()
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


def test_a_stewards_morning(desk, show):
    assert "stopped" in desk.inner_text(".verdict")
    show("1-first-page")

    # One decision frees every row that mistypes the hospital's name.
    desk.goto("/admin/ingestion/rejectedrow/causes/")
    show("2-causes")
    desk.click("a.desk-cause:has-text('Kuje Gen. Hospital')")
    show("3-cause")
    desk.click("a.desk-choice:has-text('Kuje General Hospital')")
    desk.click("text=See what it would do")
    desk.wait_for_selector("#preview")
    assert "12" in desk.inner_text("#preview dd >> nth=1")
    show("4-rule-preview")
    desk.click("text=Put it in force")
    desk.wait_for_selector("text=12 rows have landed by it")
    show("5-rule")
    assert Patient.objects.filter(first_name="Zainab").count() == 12

    # Amina Bello is Bello Amina; and then she is not.
    desk.goto("/admin/clinical/duplicatepair/")
    show("6-pairs")
    desk.click("#result_list a >> nth=0")
    show("7-pair")
    desk.click("text=Same: merge")
    desk.wait_for_load_state()
    assert Patient.objects.filter(merged_into__isnull=False).count() == 1
    show("8-merged")
    desk.goto(f"/admin/clinical/duplicatepair/{DuplicatePair.objects.get(state='same').pk}/change/")
    desk.click("text=Undo the merge")
    desk.wait_for_load_state()
    assert not Patient.objects.filter(merged_into__isnull=False).exists()
    show("9-unmerged")

    # The held file repeats yesterday's visits.
    held = IngestBatch.objects.get(status="held")
    desk.goto(f"/admin/ingestion/ingestbatch/{held.pk}/change/")
    desk.wait_for_selector("text=25 (96")
    show("10-held")
    desk.check("input[name=release_as][value=snapshot]")
    desk.click("button:has-text('Release')")
    desk.wait_for_selector("text=the next run carries it out")
    night()
    held.refresh_from_db()
    assert (held.status, held.inserted) == ("archived", 1)
    desk.reload()
    show("11-released")

    # And it was the wrong file after all.
    desk.click("text=Take this batch back")
    show("12-revert")
    desk.fill("textarea[name=reason]", "The clinic sent another clinic's visits.")
    desk.click("button:has-text('Take it back')")
    desk.wait_for_selector("text=Taken back: 1 rows are gone")
    show("13-reverted")

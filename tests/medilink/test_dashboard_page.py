"""The dashboard in a browser: nothing is refused or goes wrong, and axe-core finds nothing serious, light and dark."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from analytics import marts
from clinical.models import Membership, User
from tests import rows
from tests.browser import EXECUTABLE, Browser

# Not part of the project: `npm pack axe-core` brings it, AXE says where its axe.min.js lies.
AXE = Path(os.environ.get("AXE", "axe.min.js"))
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
PATHS = (
    *("/dashboard", "/dashboard?state=KANO", "/dashboard?condition=malaria", "/dashboard?x=1"),
    *("/api/docs/metrics", "/api/docs/contract"),
)
SERIOUS = """
axe.run(document, {resultTypes: ["violations"]}).then((found) => JSON.stringify(found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 200))])))
"""


@pytest.fixture
def site(transactional_db, live_server):
    rows.make_many(7, timezone.localdate())
    marts.refresh(is_forced=True)
    user = User.objects.create_user("looker")
    Membership.objects.create(user=user, role="steward")
    client = Client()
    client.force_login(user)
    return live_server.url, client.cookies["sessionid"].value


@pytest.mark.drill
@pytest.mark.skipif(not EXECUTABLE, reason="There is no Chromium on this machine.")
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_nothing_is_refused_or_goes_wrong_and_axe_finds_nothing_serious(site, mode):
    url, session = site
    found = {}
    with closing(Browser()) as tab:
        tab.cookie("sessionid", session, url)
        tab.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
        for size, (width, height) in SIZES.items():
            tab.ask(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=size == "narrow",
            )
            for path in PATHS:
                told = [line for line in tab.open(url + path) if "400" not in line]
                tab.run("Promise.all([...document.querySelectorAll('details')].map((one) => { one.open = true; }))")
                tab.run("new Promise((done) => setTimeout(done, 700))")
                is_wider = tab.run("document.documentElement.scrollWidth > innerWidth")
                serious = _serious(tab)
                if told or is_wider or serious:
                    found[size, path] = (told, is_wider, serious)
    assert found == {}


def _serious(tab):
    if not AXE.is_file():
        pytest.skip("axe-core is not here: `npm pack axe-core`, unpack it, and let AXE name its axe.min.js.")
    tab.run(AXE.read_text() + ";0")
    return json.loads(tab.run(SERIOUS))


@pytest.mark.drill
@pytest.mark.skipif(not EXECUTABLE, reason="There is no Chromium on this machine.")
def test_the_curve_is_drawn_by_echarts_under_our_policy(site):
    url, session = site
    with closing(Browser()) as tab:
        tab.cookie("sessionid", session, url)
        assert tab.open(f"{url}/dashboard") == []
        tab.run("new Promise((done) => setTimeout(done, 1500))")
        assert tab.run("document.querySelectorAll('.drawn canvas').length") >= 1
        assert tab.told == []

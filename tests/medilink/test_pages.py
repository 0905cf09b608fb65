"""What pages let a browser do: they run nothing that a file or a person wrote, and keep no copy."""
import os
import pytest

from tests.browser import EXECUTABLE, Browser
from tests.medilink import hostile


@pytest.mark.drill
@pytest.mark.skipif(EXECUTABLE is None, reason="there is no Chromium")
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_no_page_breaks_its_policy(desk, alice, live_server, bucket):
    hostile.fill(alice)
    browser = Browser()
    browser.cookie("sessionid", desk.cookies["sessionid"].value, live_server.url)
    wrong = {}
    for path in sorted({*hostile.pages(), "/api/docs", "/api/docs/dictionary", "/api/patients", "/api/patients/1", "/api/"}):
        if desk.get(path, headers={"Accept": "text/html"}).status_code == 200:
            told = browser.open(live_server.url + path)
            if told: wrong[path] = told
            if os.environ.get("V"): print(path, told)
    browser.close()
    for p, t in wrong.items(): print(p, [x[:300] for x in t])
    assert not wrong

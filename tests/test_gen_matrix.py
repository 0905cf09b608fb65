import json, time, os
import pytest
from django.db import transaction
from tests.test_matrix import *
from tests.places import *
@pytest.mark.django_db
@pytest.mark.parametrize(("role", "scope"), CALLERS)
def test_gen(role, scope, settings):
    settings.THROTTLE_USER = settings.THROTTLE_PATIENTS = "off"
    settings.REQUIRE_TOTP=False
    out = []
    places = country(); home = places["own"]
    client = Client() if role=="anonymous" else caller(role, scope, home).client
    client.raise_request_exception = False
    for route in routes():
        if route.address in ("admin/logout/",): continue
        if route.is_page and role not in ("steward","superuser") and scope != "nation": continue
        for pn, place in places.items():
            if not route.has_places and pn!="own": continue
            if route.is_page and pn not in("own","other state"): continue
            if route.is_page and route.method=="post" and (role,scope) not in (("steward","state"),("superuser","nation"),("anonymous","nation")): continue
            try:
                answer, text = ask(client, route, place)
                o = outcome(route, place, answer, text) if answer.status_code<500 else "500"
                st = answer.status_code
            except Exception as e:
                o, st, text = "EXC "+repr(e)[:300], 0, ""
            out.append([route.method, route.address, role, scope, pn, o, st, leaks(role, scope, home, places, text)])
    json.dump(out, open(f"/tmp/mx/{role}-{scope}.json","w"))

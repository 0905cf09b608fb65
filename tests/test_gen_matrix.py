import json, time
from collections import defaultdict
import pytest
from django.db import transaction
from tests.test_matrix import *
from tests import test_matrix as m
@pytest.mark.django_db
def test_gen(django_db_blocker, django_db_setup, settings):
    settings.THROTTLE_USER = settings.THROTTLE_PATIENTS = "off"
    settings.REQUIRE_TOTP=False
    out = []
    with django_db_blocker.unblock(), transaction.atomic():
        t=time.time()
        places = country(); home = places["own"]
        print("built", time.time()-t)
        for role, scope in CALLERS:
            t=time.time(); n=0
            client = Client() if role=="anonymous" else caller(role, scope, home).client
            client.raise_request_exception = False
            for route in routes():
                if route.address in ("admin/logout/",): continue
                if route.is_page and role not in ("steward","superuser") and scope != "nation": continue
                for pn, place in places.items():
                    if not route.has_places and pn!="own": continue
                    if route.is_page and pn not in("own","other state"): continue
                    if route.is_page and route.method=="post" and (role,scope) not in (("steward","state"),("superuser","nation"),("auditor","nation")): continue
                    if route.is_page and scope=="LGA": continue
                    n+=1
                    try:
                        answer, text = ask(client, route, place)
                        o = outcome(route, place, answer, text) if answer.status_code<500 else "500"
                        st = answer.status_code
                    except Exception as e:
                        o, st, text = "EXC "+repr(e)[:200], 0, ""
                    out.append([route.method, route.address, role, scope, pn, o, st, leaks(role, scope, home, places, text)])
            json.dump(out, open("/tmp/matrix-out.json","w"))
            print(role, scope, n, round(time.time()-t,1), flush=True)
        transaction.set_rollback(True)
    json.dump(out, open("/tmp/matrix-out.json","w"))

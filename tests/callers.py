"""Who calls the API in tests."""

import json
from itertools import count

from django.test import Client

from clinical.models import Membership, User

NUMBERS = count(1)


class Caller:
    """A client of the API, logged in as a user who holds these pairs."""

    def __init__(self, *pairs):
        self.user = User.objects.create_user(f"user-{next(NUMBERS)}")
        for role, *scope in pairs:
            Membership.objects.create(user=self.user, role=role, **(scope[0] if scope else {}))
        self.client = Client()
        self.client.force_login(self.user)

    def get(self, path, query=None, **headers):
        return self.client.get(path, query or {}, headers=headers)

    def send(self, method, path, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return getattr(self.client, method)(path, json.dumps(body), content_type="application/json", headers=named)

    def rows(self, path, query=None):
        response = self.get(path, query)
        assert response.status_code == 200, response.content
        return response.json()["results"]

    def ids(self, path, query=None):
        return [row["id"] for row in self.rows(path, query)]


def codes(response):
    """(code, attr) of each error of a refusal."""
    return [(error["code"], error["attr"]) for error in response.json()["errors"]]

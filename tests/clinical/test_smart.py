"""SMART backend services: who is given a token, what it opens, and each reason for which one is refused."""

import json
import time
from datetime import timedelta
from io import StringIO
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from clinical.fhir.bulk import callers, jobs
from clinical.models import AuditEvent, FhirExport, Membership, SmartClient, SmartToken, User
from clinical.smart import assertions, clients, scopes
from tests.clinical.test_lists import DAY
from tests.rows import facility, patient, record

pytestmark = pytest.mark.django_db
TOKEN = "/fhir/auth/token"
AUD = "http://testserver/fhir/auth/token"
KEYS = {"rsa": rsa.generate_private_key(65537, 2048), "ec": ec.generate_private_key(ec.SECP384R1())}
OTHER = ec.generate_private_key(ec.SECP384R1())
ALGORITHMS = {"rsa": jwt.algorithms.RSAAlgorithm, "ec": jwt.algorithms.ECAlgorithm}
ALG = {"rsa": "RS384", "ec": "ES384"}


def public(name, **changed):
    return ALGORITHMS[name].to_jwk(KEYS[name].public_key(), as_dict=True) | {"kid": name} | changed


JWKS = {"keys": [public("rsa"), public("ec")]}


@pytest.fixture
def program():
    user = User.objects.create_user("lab")
    Membership.objects.create(user=user, role="service", state="KANO")
    return clients.register("lab", user, JWKS, ["system/*.rs"], by=None)[0]


def assertion(key="ec", signed_by=None, headers=None, **claims):
    known = {"iss": "lab", "sub": "lab", "aud": AUD, "exp": int(time.time()) + 200, "jti": f"{time.time_ns()}"}
    known = {name: value for name, value in (known | claims).items() if value is not None}
    named = {"kid": key} | (headers or {})
    return jwt.encode(known, signed_by or KEYS[key], algorithm=ALG[key], headers=named)


def ask(text, **changed):
    body = {
        "grant_type": "client_credentials",
        "client_assertion_type": assertions.TYPE,
        "client_assertion": text,
        "scope": "system/*.rs",
    } | changed
    sent = urlencode({name: value for name, value in body.items() if value is not None})
    return Client().post(TOKEN, sent, content_type="application/x-www-form-urlencoded")


def bearer(text, path, **query):
    return Client().get(path, query, headers={"authorization": f"Bearer {text}"})


def token(scope="system/*.rs"):
    return ask(assertion(), scope=scope).json()["access_token"]


@pytest.mark.parametrize("key", ["rsa", "ec"])
def test_a_signed_assertion_is_exchanged_for_five_minutes(program, key):
    answer = ask(assertion(key))
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    given = answer.json()
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("bearer", 300, "system/*.rs")
    assert bearer(given["access_token"], "/fhir/Patient").status_code == 200
    line = AuditEvent.objects.get(action="log_in")
    assert (line.actor, line.details) == (program.user, {"way": "smart", "client": "lab"})


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"signed_by": OTHER}, "signature"),
        ({"aud": "http://testserver/elsewhere"}, "aud"),
        ({"aud": None}, "aud"),
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"exp": int(time.time()) + 4000}, "300 seconds"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "read"),
        ({"nbf": int(time.time()) + 4000}, "not yet"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": "x" * 300}, "jti"),
        ({"iss": "nobody"}, "No client"),
        ({"iss": None}, "No client"),
        ({"sub": "another"}, "both"),
        ({"sub": None}, "sub"),
        ({"headers": {"kid": "unknown"}}, "No key"),
        ({"headers": {"kid": "rsa"}}, "No key"),
        ({"headers": {"jku": "https://keys.example/jwks"}}, "jku"),
    ],
)
def test_a_wrong_assertion_is_refused_with_its_reason(program, wrong, reason):
    answer = ask(assertion(**wrong))
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert reason in answer.json()["error_description"]
    assert not SmartToken.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "a.b.c",
        jwt.encode({"iss": "lab"}, "secret-of-enough-length-to-be-taken", algorithm="HS256", headers={"kid": "ec"}),
        jwt.encode({"iss": "lab"}, None, algorithm="none", headers={"kid": "ec"}),
        "x" * 10_000,
    ],
)
def test_what_is_not_signed_as_agreed_is_refused(program, text):
    answer = ask(text)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_assertion_is_good_for_one_token(program):
    text = assertion()
    assert ask(text).status_code == 200
    again = ask(text)
    assert again.status_code == 401
    assert "jti" in again.json()["error_description"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": None}, "invalid_request"),
        ({"client_assertion": ""}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": "user/*.rs"}, "invalid_scope"),
        ({"scope": "system/Patient.cud"}, "invalid_scope"),
    ],
)
def test_a_wrong_request_is_refused_in_the_words_of_oauth(program, changed, error):
    answer = ask(assertion(), **changed)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_body_of_json_is_refused_in_the_words_of_oauth(program):
    answer = Client().post(TOKEN, json.dumps({}), content_type="application/json")
    assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")


def test_who_is_ended_or_disabled_gets_nothing_and_has_nothing(program):
    text = token()
    clients.end(program, by=None)
    assert ask(assertion()).status_code == 401
    assert bearer(text, "/fhir/Patient").status_code == 401
    SmartClient.objects.update(ended_at=None)
    assert bearer(text, "/fhir/Patient").status_code == 200
    User.objects.filter(pk=program.user_id).update(is_active=False)
    assert bearer(text, "/fhir/Patient").status_code == 401


def test_a_token_ends(program):
    text = token()
    SmartToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert bearer(text, "/fhir/Patient").status_code == 401


def test_a_token_opens_fhir_and_nothing_else(program):
    text = token()
    assert bearer(text, "/api/patients").status_code == 401
    assert bearer(text, "/fhir/Patient").status_code == 200


def test_a_token_is_as_narrow_as_its_scopes_and_its_user(program):
    kano, lagos = patient(facility(state="KANO", lga="Dala", lga_name="Dala")), patient(facility())
    record(kano, DAY, diagnosis="Malaria")
    text = token("system/Patient.r system/Encounter.rs")
    assert bearer(text, f"/fhir/Patient/{kano.pk}").status_code == 200
    assert bearer(text, f"/fhir/Patient/{lagos.pk}").status_code == 404
    assert bearer(text, "/fhir/Patient").status_code == 403  # s is not given
    assert bearer(text, "/fhir/Encounter").status_code == 200
    assert bearer(text, "/fhir/Condition").status_code == 403
    assert (
        bearer(text, "/fhir/Encounter", _revinclude="Condition:encounter").json()["entry"][0]["resource"][
            "resourceType"
        ]
        == "Encounter"
    )
    answer = bearer(text, "/fhir/$export")
    assert answer.status_code == 202
    assert FhirExport.objects.get().types == ["Encounter"]
    assert FhirExport.objects.get().client == program


def test_a_client_asks_for_no_more_than_it_was_registered_for(program):
    SmartClient.objects.update(scopes=["system/Patient.rs"])
    assert ask(assertion()).json()["scope"] == "system/Patient.rs"
    assert ask(assertion(), scope="system/Condition.rs").json()["error"] == "invalid_scope"


def test_an_export_of_a_client_that_has_ended_is_not_made(program, monkeypatch):
    monkeypatch.setattr(jobs, "_send", lambda _id: None)
    bearer(token(), "/fhir/$export")
    clients.end(program, by=None)
    export = FhirExport.objects.get()
    assert callers.of_export(export) is None


def test_the_configuration_says_where_and_how():
    for path in ("/fhir/.well-known/smart-configuration", "/.well-known/smart-configuration"):
        said = Client().get(path).json()
        assert said["token_endpoint"] == AUD
        assert said["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        assert said["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
        assert {"client-confidential-asymmetric", "permission-v2"} <= {*said["capabilities"]}


def test_the_capability_statement_names_smart_and_the_operations():
    said = Client().get("/fhir/metadata").json()
    assert "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data" in said["instantiates"]
    (service,) = said["rest"][0]["security"]["service"]
    assert service["coding"][0]["code"] == "SMART-on-FHIR"
    assert "export" in {one["name"] for one in said["rest"][0]["operation"]}


# --- Scopes


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("system/Patient.rs", "rs"),
        ("system/Patient.r", "r"),
        ("system/*.cruds", "rs"),
        ("system/*.read", "rs"),
        ("system/*.*", "rs"),
        ("system/Patient.write", ""),
    ],
)
def test_a_scope_gives_these_letters(text, letters):
    found = scopes.read([text])
    assert {letter for _, letter in found.pairs} == {*letters}


@pytest.mark.parametrize(
    "text", ["system/Patient.sr", "system/Patient.", "patient/Patient.rs", "launch", "system/*.rs?x=1"]
)
def test_another_text_is_no_scope(text):
    with pytest.raises(scopes.NotAScope):
        scopes.read([text])


# --- Registering


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({}, "JWKS"),
        ({"keys": []}, "JWKS"),
        ({"keys": [public("ec", kid="")]}, "kid"),
        ({"keys": [public("ec"), public("ec")]}, "same kid"),
        ({"keys": [public("ec", d="x")]}, "private"),
        ({"keys": [{"kty": "oct", "k": "x", "kid": "x"}]}, "RSA or EC"),
        ({"keys": [public("rsa", alg="RS256")]}, "RS384"),
        ({"keys": [public("ec", crv="P-256")]}, "P-384"),
        ({"keys": [public("ec", x="!")]}, "read"),
    ],
)
def test_keys_that_cannot_be_registered_are_refused_with_a_reason(keys, text):
    with pytest.raises(clients.Refused, match=text):
        clients.checked(keys)


def test_a_short_key_is_refused():
    short = rsa.generate_private_key(65537, 1024).public_key()
    with pytest.raises(clients.Refused, match="2048"):
        clients.checked({"keys": [ALGORITHMS["rsa"].to_jwk(short, as_dict=True) | {"kid": "x"}]})


def test_the_command_registers_and_ends(tmp_path):
    User.objects.create_user("lab")
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(JWKS))
    said = StringIO()
    call_command("smart_client", "lab", jwks=file, scope=["system/Patient.rs"], stdout=said)
    assert said.getvalue() == "lab registered: 2 keys, system/Patient.rs.\n"
    assert ask(assertion()).json()["scope"] == "system/Patient.rs"
    call_command("smart_client", "lab", end=True, stdout=said)
    assert ask(assertion()).status_code == 401
    with pytest.raises(CommandError):
        call_command("smart_client", "lab", end=True)


def test_the_desk_registers_a_client_and_refuses_a_private_key(desk):
    User.objects.create_user("lab")
    body = {
        "client_id": "lab",
        "user": User.objects.get(username="lab").pk,
        "keys": json.dumps(JWKS),
        "scopes": "system/*.rs",
    }
    refused = desk.post(
        "/admin/clinical/smartclient/add/", body | {"keys": json.dumps({"keys": [public("ec", d="x")]})}
    )
    assert "private key" in refused.content.decode()
    assert desk.post("/admin/clinical/smartclient/add/", body).status_code == 302
    assert ask(assertion()).status_code == 200
    client = SmartClient.objects.get()
    desk.post("/admin/clinical/smartclient/", {"action": "end", "_selected_action": [client.pk]})
    assert ask(assertion()).status_code == 401

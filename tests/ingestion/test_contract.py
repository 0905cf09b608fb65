"""The published contract against the pipeline that it describes."""

import csv
import io
import json
import re

import pytest
from django.core.management import call_command

from ingestion.contract import columns, package
from ingestion.contract.advice import ADVICE
from ingestion.contract.examples import EXAMPLES, WITHOUT, sample
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import IngestBatch, RejectedRow, Status
from ingestion.refusals import CODES, Level, code_of
from tests.deliveries import deliver, last_batch, night

LOADED = {Status.LOADED, Status.ARCHIVED}
STATUS = {Level.FILE: Status.REJECTED, Level.HOLD: Status.HELD, Level.WAIT: Status.DISCOVERED}


def deliver_samples():
    for dataset in Dataset:
        deliver(f"{dataset.value}-2025-11-20.csv", sample(dataset))
    night()


def said_of(batch):
    """Every reason and warning of a batch and of its rows."""
    rows = RejectedRow.objects.filter(batch=batch).values_list("reasons", flat=True)
    return {*batch.reasons, *batch.warnings} | {reason for reasons in rows for reason in reasons}


def batch_of(folder, file):
    return IngestBatch.objects.get(object_key__endswith=f"/{folder}/{file.name}")


@pytest.mark.django_db(transaction=True)
def test_the_sample_files_load_without_a_refusal_or_a_warning(bucket):
    deliver_samples()
    for dataset in Dataset:
        batch = last_batch(dataset)
        assert (batch.status in LOADED, batch.inserted, said_of(batch)) == (True, batch.rows_read, set()), dataset


@pytest.mark.django_db(transaction=True)
def test_each_example_gets_exactly_its_code_and_its_mended_form_loads(bucket):
    deliver_samples()
    for kind in ("before", "after"):
        for name, example in EXAMPLES.items():
            for file in getattr(example, kind):
                deliver(f"{name.lower()}-{kind}/{file.name}", file.content)
        night()
    wrong = {}
    for name, example in EXAMPLES.items():
        before = batch_of(f"{name.lower()}-before", example.before[-1])
        found = said_of(before), before.status
        status = {STATUS.get(CODES[name].level)} - {None} or LOADED | {Status.REJECTED}
        if found[0] != {example.reason} or found[1] not in status:
            wrong[name] = found
        for file in example.after:
            after = batch_of(f"{name.lower()}-after", file)
            if after.status not in LOADED | {Status.DUPLICATE} or said_of(after) or after.rejected:
                wrong[f"{name} mended"] = (said_of(after), after.status)
        if batch_of(f"{name.lower()}-after", example.after[-1]).status not in LOADED:
            wrong[f"{name} mended, last"] = "not loaded"
    assert wrong == {}


def test_every_code_has_an_example_or_says_why_there_is_none():
    assert set(EXAMPLES) | set(WITHOUT) == set(CODES)
    assert set(EXAMPLES) & set(WITHOUT) == set()
    assert {code_of(example.reason) for example in EXAMPLES.values()} == set(EXAMPLES)


def test_an_example_of_a_row_says_which_cell_was_mended():
    assert EXAMPLES["DATE_AMBIGUOUS"].changed == [("dob", "01/02/1990", "1990-02-01")]
    assert EXAMPLES["PATIENT_NOT_FOUND"].changed == [("patient_first_name", "S.", "sample")]
    assert EXAMPLES["NOT_CSV"].changed == []


def test_what_is_published_has_the_version_that_says_so():
    """A change of what senders rely on is a new line in versions.csv."""
    assert package.versions()[-1]["sha256"] == package.digest()


@pytest.mark.parametrize("dataset", Dataset)
def test_a_schema_has_the_columns_that_are_read(dataset):
    fields = package.schema(dataset)["fields"]
    assert [field["name"] for field in fields] == [*COLUMNS[dataset].all]
    required = {field["name"] for field in fields if field["constraints"].get("required")}
    assert required == COLUMNS[dataset].filled
    assert all(field["description"].endswith(".") for field in fields)


def test_meanings_are_of_columns_that_are_there():
    for dataset, meanings in columns.MEANINGS.items():
        known = {name for one in Dataset for name in COLUMNS[one].all} if dataset is None else {*COLUMNS[dataset].all}
        assert set(meanings) <= known


@pytest.mark.parametrize("dataset", Dataset)
def test_the_samples_keep_to_the_schema(dataset):
    fields = {field["name"]: field for field in package.schema(dataset)["fields"]}
    rows = [*csv.DictReader(io.StringIO(sample(dataset)))]
    assert rows
    assert [*rows[0]] == [*fields]
    for row in rows:
        for name, cell in row.items():
            assert keeps_to(fields[name], cell), (name, cell)


@pytest.mark.parametrize("name", ["TYPE_INVALID", "DATE_AMBIGUOUS", "RANGE", "ENUM", "LENGTH", "REQUIRED_MISSING"])
def test_the_schema_refuses_what_the_pipeline_refuses(name):
    example = EXAMPLES[name]
    column, file = example.reason.partition(":")[2], example.before[-1]
    dataset = Dataset(file.name.partition(".")[0])
    field = next(field for field in package.schema(dataset)["fields"] if field["name"] == column)
    [before], [after] = ([*csv.DictReader(io.StringIO(one[-1].text))] for one in (example.before, example.after))
    cell = before[column] if name != "LENGTH" else "x" * 140
    # That 30 February is no day is more than a pattern can say.
    assert keeps_to(field, cell) == (name == "TYPE_INVALID")
    assert keeps_to(field, after[column])


def keeps_to(field, cell):
    """As a reader of Table Schema judges a cell."""
    limits = field["constraints"]
    if not cell:
        return not limits.get("required")
    if field["type"] in ("number", "integer"):
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", cell):
            return False
        return limits["minimum"] <= float(cell) <= limits["maximum"]
    return (
        cell in limits.get("enum", [cell])
        and len(cell) <= limits.get("maxLength", len(cell))
        and bool(re.fullmatch(limits.get("pattern", ".*"), cell))
    )


def test_advice_is_of_columns_that_may_be_absent():
    optional = {name for dataset in Dataset for name in COLUMNS[dataset].optional}
    assert {name for one in ADVICE for name in one.columns} <= optional


def test_the_command_writes_what_the_api_publishes(tmp_path, client, alice):
    call_command("data_contract", "--to", str(tmp_path / "contract"))
    written = {path.name: path.read_text() for path in (tmp_path / "contract").iterdir()}
    assert written == package.documents()
    client.force_login(alice)
    for name, text in written.items():
        answer = client.get(f"/api/contract/{name}")
        assert (answer.status_code, answer.content.decode()) == (200, text)
        assert answer["ETag"]


def test_the_data_package_names_its_version_and_its_files(client, alice):
    client.force_login(alice)
    found = client.get("/api/contract/datapackage.json").json()
    assert (found["version"], found["medilink:sha256"]) == package.version()
    assert [one["path"] for one in found["resources"]] == [f"{dataset.value}.csv" for dataset in Dataset]


def test_nobody_reads_the_contract_without_credentials(client, db):
    assert client.get("/api/contract/datapackage.json").status_code == 401
    assert client.get("/api/docs/contract").status_code == 401
    assert client.get("/api/docs/contract", HTTP_ACCEPT="text/html").status_code == 302


def test_the_page_explains_every_column_and_code(client, alice):
    client.force_login(alice)
    page = client.get("/api/docs/contract", HTTP_ACCEPT="text/html").content.decode()
    for name in [*CODES, *(column for dataset in Dataset for column in COLUMNS[dataset].all)]:
        assert name in page
    assert json.dumps(package.errors())  # what the page shows is what programs get
    assert client.get("/api/contract/unknown.json").status_code == 404

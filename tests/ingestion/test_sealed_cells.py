"""That the database's files, dumps and logs hold no cell of a refused row in clear."""

import subprocess
from pathlib import Path

import pytest
from django.db import connection

from clinical.keyed import hashes
from ingestion import causes, stewards
from ingestion.cells import kept, key_of, named_state
from ingestion.models import RejectedRow
from medilink.backups import postgres
from tests.deliveries import PATIENTS, VISITS, deliver, deliver_all, night

CANARY = "Zqanary"


@pytest.fixture
def refused(transactional_db, bucket):
    """Rows with the canary in each cell that was refused, and beside it."""
    deliver_all()
    deliver(
        "patients-more-2026-11-20.csv",
        PATIENTS
        + f"Kuje General Hospital,{CANARY}a,{CANARY}b,{CANARY}c,{CANARY}d,{CANARY}e\n"
        + f"{CANARY}f,{CANARY}g,{CANARY}h,F,1990-01-01,\n"
        + f"{CANARY}i,{CANARY}j\n",
    )
    deliver("triage_visits-more-2026-11-20.csv", VISITS + f"Kuje General Hospital,{CANARY}k,{CANARY}l,9,{CANARY}m,,,\n")
    night()
    return RejectedRow.objects.order_by("pk")


def files_of(*tables):
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute("SHOW data_directory")
        folder = Path(cursor.fetchone()[0])
        for table in tables:
            cursor.execute(
                "SELECT pg_relation_filepath(i) FROM (SELECT %s::regclass AS i UNION ALL SELECT indexrelid"
                " FROM pg_index WHERE indrelid = %s::regclass) t",
                [table, table],
            )
            for (path,) in cursor.fetchall():
                yield folder / path
    yield from (folder / "pg_wal").glob("0*")


def dumped():
    version = connection.pg_version
    program = postgres.program("pg_dump", version)
    environment = postgres.environment(connection.get_connection_params())
    return subprocess.run([program], env=environment, capture_output=True, check=True).stdout


def test_no_file_of_the_database_and_no_dump_has_a_cell(refused, alice):
    assert {row.raw.get("first_name", row.raw.get("patient_first_name")) for row in refused} >= {f"{CANARY}a"}
    stewards.correct(refused, {"facility_name": f"{CANARY} Clinic"}, by=alice)
    stewards.replay(refused, by=alice)
    found = [
        path.name for path in files_of("rejected_rows", "revisions", "causes") if CANARY.encode() in path.read_bytes()
    ]
    assert found == []
    assert CANARY.encode() not in dumped()
    assert CANARY.lower().encode() not in dumped()


def test_the_cells_are_read_by_who_has_the_key(refused):
    raw = refused.get(reasons__contains=["ENUM:sex"]).raw
    assert (raw["first_name"], raw["dob"]) == (f"{CANARY}a", f"{CANARY}d")


def test_a_cell_that_is_put_into_another_row_is_not_read(refused):
    one, other, *_ = refused
    RejectedRow.objects.filter(pk=one.pk).update(raw_sealed=other.raw_sealed)
    with pytest.raises(Exception, match="not in its place"):
        RejectedRow.objects.get(pk=one.pk).raw  # noqa: B018


def test_rows_are_found_at_the_desk_by_a_whole_name(refused, desk):
    def found(words):
        page = desk.post("/admin/ingestion/rejectedrow/", {"q": words}, follow=True)
        return {row.pk for row in page.context["cl"].result_list}

    visit = RejectedRow.objects.get(dataset="triage_visits", line=4)
    assert found(f"{CANARY}K {CANARY}l") == {visit.pk}
    assert found(f"{CANARY}l kuje") == {visit.pk}
    assert found(CANARY) == set()


def test_a_cause_is_told_in_words_and_kept_in_hashes(refused):
    group = next(group for group in causes.groups(refused) if group.reason == "ENUM:sex")
    assert (group.value, group.key) == (f"{CANARY}c", hashes().hex_of(f"{CANARY}c".lower()))


def test_a_state_is_kept_only_where_it_is_one():
    assert named_state({"facility_state": " Cross River State"}) == "CROSS RIVER"
    assert named_state({"facility_state": "Zainab Umar"}) is None


def test_only_cells_that_a_reason_speaks_of_have_a_hash(refused):
    found = kept({"sex": "X", "dob": "1990-01-01", "phone": "07021000001"}, ["ENUM:sex"], hashes())
    assert [*found.cell_keys] == ["sex"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ÀMÍNA", "İbrahim", "ΣΑΣ", "Ọlá  Ṣadé", "ẞ", "ǅ", "K\u212a"])
def test_a_text_is_folded_as_the_database_folds_it(name):
    with connection.cursor() as cursor:
        cursor.execute("SELECT lower(regexp_replace(%s, '\\s+', ' ', 'g') COLLATE pg_c_utf8)", [name])
        assert cursor.fetchone()[0] == key_of(name)

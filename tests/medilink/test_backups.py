import hashlib
import io
import json
import os
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from ingestion import sources
from medilink import alerts, tasks
from medilink.backups import dump, places, postgres, restore, sealed
from medilink.models import Backup
from tests.deliveries import deliver_all, night

CANARY = "Zainab Canary-Backup"


def whole(blocks):
    return b"".join(blocks)


@pytest.mark.parametrize("size", [0, 1, sealed.CHUNK - 1, sealed.CHUNK, sealed.CHUNK + 1, 3 * sealed.CHUNK])
def test_what_was_sealed_comes_back(size):
    plain = os.urandom(size)
    assert whole(sealed.unseal(io.BytesIO(whole(sealed.seal([plain[:7], plain[7:]]))))) == plain


def test_a_file_that_was_cut_anywhere_is_not_opened():
    file = whole(sealed.seal([b"x" * (2 * sealed.CHUNK + 5)]))
    chunk, header = sealed.CHUNK + sealed.TAG, len(file) - 2 * (sealed.CHUNK + sealed.TAG) - 5 - sealed.TAG
    for end in (0, 5, header, header + chunk, header + 2 * chunk, len(file) - 1):
        with pytest.raises(sealed.NotABackup):
            whole(sealed.unseal(io.BytesIO(file[:end])))


def test_chunks_in_another_order_are_not_opened():
    file = whole(sealed.seal([bytes(3 * sealed.CHUNK)]))
    chunk, header = sealed.CHUNK + sealed.TAG, len(file) - 3 * (sealed.CHUNK + sealed.TAG)
    swapped = file[:header] + file[header + chunk : header + 2 * chunk] + file[header : header + chunk]
    with pytest.raises(sealed.NotABackup, match="damaged, cut or changed"):
        whole(sealed.unseal(io.BytesIO(swapped + file[header + 2 * chunk :])))


def test_a_changed_byte_is_found():
    file = bytearray(whole(sealed.seal([b"rows"])))
    for at in range(len(file)):
        changed = bytes([*file[:at], file[at] ^ 1, *file[at + 1 :]])
        with pytest.raises(sealed.NotABackup):
            whole(sealed.unseal(io.BytesIO(changed)))


def test_the_key_of_a_backup_is_named_where_it_is_missing(settings):
    file = whole(sealed.seal([b"rows"]))
    settings.DATA_KEYS = {"another": os.urandom(32)}
    with pytest.raises(sealed.NotABackup, match="the key 'embedded', which DATA_KEYS does not have"):
        whole(sealed.unseal(io.BytesIO(file)))


@pytest.mark.parametrize("version", [170003, 190001])
def test_programs_of_another_version_are_refused(version):
    with pytest.raises(postgres.NoProgram, match=f"pg_dump of PostgreSQL {version // 10_000} is needed"):
        postgres.program("pg_dump", version)


def test_a_password_stands_in_no_command_line():
    told = postgres.environment(
        {"host": "db", "user": "m", "password": "secret", "dbname": "medilink", "cursor": object}
    )
    assert told["PGPASSWORD"] == "secret"
    assert "cursor" not in str(told)


@pytest.fixture
def rows(transactional_db, bucket):
    """A night's rows; a refused one has the canary in its cells."""
    deliver_all()
    night()


def test_a_backup_is_restored_with_every_row(rows, tmp_path, capsys):
    place = tmp_path / "night.backup"
    call_command("backup", str(place))
    body = place.read_bytes()
    assert hashlib.sha256(body).hexdigest() == places.expected_sha256(str(place)) == Backup.objects.get().sha256
    assert b"Okafor" not in body
    assert b"PGDMP" not in body
    assert place.stat().st_mode & 0o077 == 0
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        call_command("restore_drill", str(place), "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["different"], told["roles_without_password"], told["bytes"]) == ([], [], len(body))
    assert (told["tables"] > 40, told["rows"] > 20, told["minutes_for_ten_million_rows"] > 0) == (True, True, True)
    assert [*told["seconds"]] == ["restore", "analyze", "compare", "migrate --check", "marts", "total"]
    assert Backup.objects.get().drilled_at


def objects_damaged(body, key):
    """What may befall an object, and what is said of it."""
    flipped = bytearray(body)
    flipped[len(body) // 2] ^= 1
    yield bytes(flipped), key, "damaged, cut or changed"
    yield body[:-1], key, "damaged, cut or changed"
    yield body[: len(body) // 2], key, "damaged, cut or changed"
    yield b"", key, "no backup"
    yield body, os.urandom(32), "damaged, cut or changed"


def test_a_damaged_object_or_a_wrong_key_leaves_the_database_empty(transactional_db, bucket, settings):
    """Over the S3 protocol, to the last byte; afterwards the sound one goes into the very database."""
    dump.make(f"s3://{bucket}/night.backup")
    s3, place = sources.s3_client(), f"s3://{bucket}/damaged.backup"
    [(key_id, key_before)] = settings.DATA_KEYS.items()
    body = s3.get_object(Bucket=bucket, Key="night.backup")["Body"].read()
    with restore.throwaway() as url:
        for damaged, key, said in objects_damaged(body, key_before):
            s3.put_object(Bucket=bucket, Key="damaged.backup", Body=damaged)
            settings.DATA_KEYS = {key_id: key}
            with pytest.raises(sealed.NotABackup, match=said):
                restore.into(place, url)
        settings.DATA_KEYS = {key_id: key_before}
        assert restore.into(f"s3://{bucket}/night.backup", url).different == []


def test_another_backup_than_its_digest_says_leaves_the_database_empty(transactional_db, tmp_path):
    place = tmp_path / "night.backup"
    dump.make(str(place))
    digest = tmp_path / "night.backup.sha256"
    said = digest.read_bytes()
    with restore.throwaway() as url:
        digest.write_bytes(b"0" * 64 + said[64:])
        with pytest.raises(dump.Broken, match="not what its"):
            restore.into(str(place), url)
        digest.write_bytes(said)
        assert restore.into(str(place), url).different == []


@pytest.mark.parametrize(("version", "said"), [(190001, "older than the one"), (180003, "not empty")])
def test_a_backup_of_a_newer_server_is_refused_before_anything_else(transactional_db, tmp_path, version, said):
    about = {"server_version": version, "roles": [], "digests": {}}
    (tmp_path / "night.backup").write_bytes(whole(sealed.seal([json.dumps(about).encode() + b"\n"])))
    with pytest.raises(restore.NotPossible, match=said):
        restore.into(str(tmp_path / "night.backup"), own_address())


def test_a_backup_goes_into_the_bucket_and_comes_back(rows, bucket):
    place = f"s3://{bucket}/backups/night.backup"
    assert dump.make(place).bytes > 10_000
    assert restore.rehearse(place).different == []


def test_a_database_that_is_not_empty_is_left_alone(rows, tmp_path):
    place = str(tmp_path / "night.backup")
    dump.make(place)
    with pytest.raises(restore.NotPossible, match="not empty"):
        restore.into(place, own_address())


def own_address():
    params = connection.get_connection_params()
    return f"postgres://{params['user']}@/{params['dbname']}?host={params['host']}"


def test_roles_that_a_policy_names_are_made_where_they_are_missing(transactional_db, tmp_path):
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE backup_reader NOLOGIN")
        cursor.execute("ALTER TABLE causes ENABLE ROW LEVEL SECURITY")
        cursor.execute("CREATE POLICY backup_test ON causes TO backup_reader USING (true)")
        place = str(tmp_path / "night.backup")
        try:
            dump.make(place)
        finally:
            cursor.execute("DROP POLICY backup_test ON causes")
            cursor.execute("ALTER TABLE causes DISABLE ROW LEVEL SECURITY")
            cursor.execute("DROP ROLE backup_reader")
        try:
            assert restore.rehearse(place).different == []
        finally:
            cursor.execute("DROP ROLE backup_reader")


@pytest.mark.parametrize(("roles", "is_given"), [(["medilink_bi", "medilink_web"], True), (["medilink_web"], False)])
def test_the_analysts_role_gets_its_rights_also_where_the_server_has_it(monkeypatch, roles, is_given):
    done = []
    monkeypatch.setattr(restore, "_manage", lambda _url, *words: done.append(words[0]))
    restore.settle("postgres:///new", restore.Drill(roles=roles))
    assert ("create_bi_role" in done) is is_given


def test_a_backup_that_breaks_off_leaves_nothing_under_its_name(transactional_db, tmp_path, monkeypatch):
    monkeypatch.setattr(dump, "OPTIONS", ("--no-such-option",))
    with pytest.raises(dump.Broken, match="pg_dump has failed"):
        dump.make(str(tmp_path / "night.backup"))
    assert [*tmp_path.iterdir()] == []
    assert Backup.objects.get().error == "Broken"
    assert Backup.last_good() is None


def test_a_place_that_cannot_be_written_is_exit_code_69(transactional_db, tmp_path, capsys):
    with pytest.raises(SystemExit, match="69"):
        call_command("backup", str(tmp_path / "missing" / "night.backup"))
    assert "No such file" in capsys.readouterr().err


def test_each_night_has_its_backup_where_a_place_is_configured(transactional_db, tmp_path, settings):
    tasks.back_up()
    assert not Backup.objects.exists()
    settings.BACKUP_URL = str(tmp_path)
    tasks.back_up()
    assert len([*tmp_path.glob("medilink-*.backup")]) == 1
    assert Backup.last_good() is not None


@pytest.mark.django_db
@pytest.mark.parametrize(("hours", "error", "is_told"), [(25, "", False), (27, "", True), (25, "Broken", False)])
def test_people_are_told_when_no_backup_was_made_for_26_hours(settings, hours, error, is_told):
    at = timezone.now() - timedelta(hours=hours)
    Backup.objects.create(place="p", started_at=at, finished_at=at, error=error)
    told = [cause.key for cause in alerts.causes(timezone.now())]
    assert "no-backup" not in told
    settings.BACKUP_URL = "s3://backups/nightly"
    told = [cause.key for cause in alerts.causes(timezone.now())]
    assert ("no-backup" in told) == is_told


def test_the_age_of_the_last_backup_is_measured(desk):
    assert "medilink_last_backup_age_seconds" not in desk.get("/metrics").content.decode()
    at = timezone.now() - timedelta(hours=1)
    Backup.objects.create(place="p", started_at=at, finished_at=at)
    lines = desk.get("/metrics").content.decode().splitlines()
    (line,) = [line for line in lines if line.startswith("medilink_last_backup")]
    assert 3600 <= float(line.split()[1]) < 3700

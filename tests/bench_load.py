"""What `manage.py ingest` costs, against a load written by hand in SQL: python -m tests.bench_load --help

Three ways to load the same four files of facilities, patients, records and visits, in turn, on one PostgreSQL that
makes commits durable (embedded, private, gone afterwards), each as a process of its own into a fresh database:

  floor.py    the floor that is kept outside this project (--floor), into simpler tables of its own
  plain SQL   tests/load_floor.py, into our tables with all that hangs on them
  ingest      manage.py ingest --json, from an S3 stand-in, with everything that the contract asks of it

and then each of them a second delivery of the same day in which one row of a hundred is changed. Seconds are those of
the whole process; memory is the proportional share (PSS) of the process and its children, without the servers, looked
at every 50 ms. In the first run the tables of `plain SQL` and `ingest` are compared after each delivery.

--country loads one night of the nation instead: files in a folder for each state, and then the marts.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import boto3
import django
import environ
import psycopg2

from clinical import geography
from clinical.values import LAGOS
from medilink import embedded

ROOT = Path(__file__).resolve().parent.parent
INPUT = "medical_records/input/"
SAMPLE_EVERY = 0.05
ACCEPTED = (0, 3)  # of `ingest`: done, or done and some rows were refused
DAY = f"{datetime.now(LAGOS):%Y-%m-%d}"  # what all files speak of, however long it takes


def main() -> None:
    options = parse()
    url, folder = start_servers()
    if options.country:
        country(url, folder)
        return
    compare(url, folder, options)
    if options.times:
        grow(url, folder, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=100_000, help="with 3 records and 2 visits each (100,000)")
    parser.add_argument("--runs", type=int, default=3, help="of all ways in turn (3)")
    parser.add_argument("--times", type=int, default=0, help="then ingest, once, files so many times larger")
    beside = ROOT.parent / "shared" / "bench" / "floor.py"
    parser.add_argument("--floor", type=Path, default=beside, help="of floor.py (../shared/bench/floor.py)")
    parser.add_argument("--country", action="store_true", help="2.2 million rows in 148 files, and the marts")
    return parser.parse_args()


# --- Servers and databases


def start_servers() -> tuple[str, Path]:
    """The address of a migrated database, to be copied for each measurement, and a folder for files."""
    for name in list(os.environ):
        if name in ("DATABASE_URL", "POSTGRES_HOST") or name.startswith(("AWS_", "S3_", "INGEST_", "MEDILINK_")):
            del os.environ[name]
    environ.Env.read_env = staticmethod(lambda *_args, **_options: None)  # an .env may name real servers
    os.environ |= {"DJANGO_SETTINGS_MODULE": "medilink.settings", "S3_INPUT_PREFIX": INPUT}
    os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0"  # is not asked for anything
    folder, _ = embedded.short_folder()
    servers = embedded.provide(folder, meanwhile=django.setup)
    servers.is_throwaway = True  # only now: it was started as one that must survive a crash
    url = os.environ["DATABASE_URL"]
    manage(url, "migrate", "--verbosity", "0")
    return url, folder


def fresh(url: str) -> str:
    """The address of an empty database with our tables; whatever an earlier one owes to the disk is written."""
    admin = psycopg2.connect(url.replace("/medilink?", "/postgres?"))
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS measured WITH (FORCE)")
        cursor.execute("CREATE DATABASE measured TEMPLATE medilink")
        cursor.execute("CHECKPOINT")
    admin.close()
    return url.replace("/medilink?", "/measured?")


def manage(url: str, *words: str) -> "Measured":
    return measure([sys.executable, "manage.py", *words], DATABASE_URL=url)


def deliver(folder: Path) -> None:
    """Puts the files of the folder into an otherwise empty bucket: patients.csv as patients-<day>.csv."""
    s3 = boto3.resource("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"], region_name="us-east-1")
    bucket = s3.Bucket(os.environ["S3_BUCKET_NAME"])
    bucket.objects.delete()
    for dataset in HEADERS:
        for path in sorted(folder.rglob(f"{dataset}.csv")):
            below = path.relative_to(folder).with_name(f"{dataset}-{DAY}.csv")
            bucket.put_object(Key=f"{INPUT}{below}", Body=path.read_bytes())


# --- Measuring a process


@dataclass
class Measured:
    """One process: what it said and when, and the memory of it and its children meanwhile."""

    seconds: float
    lines: list[tuple[float, str]]
    samples: list[tuple[float, float]]  # instant, MiB

    @property
    def peak(self) -> float:
        return max((mib for _, mib in self.samples), default=0.0)

    def peak_between(self, begun: float, ended: float) -> float:
        return max((mib for at, mib in self.samples if begun <= at <= ended), default=0.0)

    def told(self) -> list[tuple[float, dict]]:
        return [(at, json.loads(line)) for at, line in self.lines]


def measure(command: list[str], accepted: tuple[int, ...] = (0,), **environment: str) -> Measured:
    """Runs it to its end; ends everything where its exit code is not an accepted one."""
    samples: list[tuple[float, float]] = []
    is_over = threading.Event()
    with tempfile.TemporaryFile("w+") as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        watcher = threading.Thread(target=watch, args=(process.pid, samples, is_over))
        watcher.start()
        lines = [(time.perf_counter(), line) for line in process.stdout]
        process.wait()
        seconds = time.perf_counter() - begun
        is_over.set()
        watcher.join()
        if process.returncode not in accepted:
            errors.seek(0)
            sys.exit(f"{' '.join(command)} ends with {process.returncode}:\n{errors.read()[-2000:]}")
    return Measured(seconds, lines, samples)


def watch(pid: int, samples: list[tuple[float, float]], is_over: threading.Event) -> None:
    while not is_over.wait(SAMPLE_EVERY):
        samples.append((time.perf_counter(), sum(map(mib_of, tree(pid)))))


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def mib_of(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


# --- The ways to load


def by_floor(script: Path, url: str, folder: Path) -> Measured:
    return measure([sys.executable, str(script), url, str(folder)])


def by_sql(url: str, folder: Path) -> Measured:
    return measure([sys.executable, "-m", "tests.load_floor", url, str(folder), DAY])


def by_ingest(url: str, folder: Path) -> Measured:
    deliver(folder)
    measured = measure([sys.executable, "manage.py", "ingest", "--json"], ACCEPTED, DATABASE_URL=url)
    stopped = [told for _, told in measured.told() if told.get("status", "archived") != "archived"]
    if stopped:
        sys.exit(f"Not every file was loaded: {stopped}")
    return measured


def compare(url: str, folder: Path, options: argparse.Namespace) -> None:
    first, again = folder / "first", folder / "again"
    shape = Shape.of(options.patients)
    generate(first, shape)
    generate(again, shape, is_changed=True)
    ways = {"floor.py": lambda *where: by_floor(options.floor.resolve(), *where), "plain SQL": by_sql}
    ways["ingest"] = by_ingest
    if not options.floor.is_file():
        print(f"Without floor.py: there is no {options.floor}.")
        del ways["floor.py"]
    print(f"{shape.rows:,} rows, {options.runs} runs, {os.cpu_count()} cores; again: 1 % of the rows are changed")
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for run in range(options.runs):
        print(f"\n{f'run {run + 1}':<12}{'first, s':>10}{'rows/s':>9}{'MiB':>6}{'again, s':>10}{'rows/s':>9}{'MiB':>6}")
        digests = {}
        for way in sorted(ways, key=list(ways).index, reverse=run % 2 == 1):
            measured_url = fresh(url)
            both = []
            for files in (first, again):
                both.append(ways[way](measured_url, files))
                if run == 0 and way != "floor.py":
                    digests[way, files] = digest(measured_url)
            seconds[way].append((both[0].seconds, both[1].seconds))
            cells = [f"{m.seconds:>10.2f}{shape.rows / m.seconds:>9,.0f}{m.peak:>6.0f}" for m in both]
            print(f"{way:<12}{''.join(cells)}", flush=True)
        tell_ratios(seconds)
        if run == 0:
            tell_differences(digests["plain SQL", first], digests["ingest", first], "first")
            tell_differences(digests["plain SQL", again], digests["ingest", again], "again")
    print("\nOver all runs: median (least to most)")
    for way in ("floor.py", "plain SQL"):
        if way in seconds:
            ratios = [ratios_to(seconds, way, run) for run in range(options.runs)]
            said = [f"{median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in zip(*ratios, strict=True)]
            print(f"ingest / {way:<12}first {said[0]}   again {said[1]}")


def ratios_to(seconds: dict[str, list[tuple[float, float]]], way: str, run: int = -1) -> tuple[float, float]:
    (first, again), (floor, floor_again) = seconds["ingest"][run], seconds[way][run]
    return first / floor, again / floor_again


def tell_ratios(seconds: dict[str, list[tuple[float, float]]]) -> None:
    for way in [way for way in seconds if way != "ingest"]:
        first, again = ratios_to(seconds, way)
        print(f"ingest / {way:<12}first {first:.2f}   again {again:.2f}")


def grow(url: str, folder: Path, options: argparse.Namespace) -> None:
    """Whether memory and rows per second stay what they are."""
    shape = Shape.of(options.patients * options.times)
    generate(folder / "large", shape)
    done = by_ingest(fresh(url), folder / "large")
    print(f"\n{options.times} times as much: {shape.rows:,} rows in {done.seconds:.1f} s,", end=" ")
    print(f"{shape.rows / done.seconds:,.0f} rows/s, {done.peak:.0f} MiB")


# --- Are the rows the same?

CONTENTS = {
    "refused rows": "SELECT dataset, line, reasons, event_on, ordinal, source, state, times_seen FROM rejected_rows"
    " ORDER BY dataset, line",
    "counts": "SELECT dataset, rows_read, inserted, updated, unchanged, collapsed, rejected FROM ingest_batches"
    " ORDER BY dataset, id",
    "places": "SELECT line, lga_name, name_key, lga_key, lon, delivered, overridden FROM facilities ORDER BY line",
} | {
    table: f"SELECT e.line, p.first_name, p.last_name, p.line AS whose, f.name, fingerprint, fingerprint_version,"
    f" ordinal, event_on, time_is_estimated FROM {table} e JOIN patients p ON p.id = e.patient_id"
    f" JOIN facilities f ON f.id = e.facility_id ORDER BY e.line, fingerprint"
    for table in ("medical_records", "triage_visits")
}


def digest(url: str) -> dict[str, tuple[int, str]]:
    """Rows and their digest for each query over the tables, without surrogate ids and instants of loading."""
    from tests.deliveries import DIGESTS  # after django.setup()

    named = dict(zip(("facilities", "patients", "contents of records", "contents of visits"), DIGESTS, strict=True))
    found = {}
    connection = psycopg2.connect(url)
    for name, query in (named | CONTENTS).items():
        with connection.cursor(f"rows of {name}") as cursor:
            cursor.execute(f"SELECT r::text FROM ({query}) r")
            sum_of_rows, count = hashlib.sha256(), 0
            for (row,) in cursor:
                sum_of_rows.update(row.encode() + b"\n")
                count += 1
            found[name] = (count, sum_of_rows.hexdigest())
    connection.close()
    return found


def tell_differences(ours: dict, theirs: dict, when: str) -> None:
    wrong = [name for name in ours if ours[name] != theirs[name]]
    rows = ", ".join(f"{name} {count:,}" for name, (count, _) in ours.items() if name != "counts")
    said = f"DIFFER between plain SQL and ingest: {wrong}" if wrong else "are the same in plain SQL and ingest"
    print(f"tables, {when}: {said} ({rows})")


# --- Files

HEADERS = {
    "facilities": "name,state,lga,lat,lon,type",
    "patients": "facility_name,first_name,last_name,sex,dob,phone",
    "medical_records": (
        "facility_name,patient_first_name,patient_last_name,record_type,diagnosis,treatment,medications,notes"
    ),
    "triage_visits": (
        "facility_name,patient_first_name,patient_last_name,triage_level,chief_complaint,vital_signs,conditions,"
        "recommendations"
    ),
}
SOME_STATES, FIRST, LAST = map(
    str.split,
    (
        "LAGOS KANO KADUNA RIVERS OYO ENUGU ABIA BORNO DELTA EDO OGUN PLATEAU SOKOTO BENUE FCT",
        "Amina Musa Ngozi Emeka Tunde Bola Fatima Ibrahim Chioma Efe Halima Segun Adaeze Sani Ebiere Dauda Uche",
        "Bello Okafor Adeyemi Eze Danjuma Balogun Lawal Etim Garba Okoro Igwe Usman Akpan Aliyu Nwosu Idris Ibe",
    ),
)
TYPES = ("Hospital", "Primary Health Center", "Clinic", "Pharmacy", "Maternity Centre")
ILLNESSES = (
    *(("Malaria", "Artemether-lumefantrine"), ("Hypertension", "Amlodipine 5mg"), ("Asthma", "Salbutamol inhaler")),
    *(
        ("Typhoid fever", "Ciprofloxacin 500mg"),
        ("Type 2 diabetes", "Metformin 500mg"),
        ("Anaemia", "Ferrous sulphate"),
    ),
    *(("Pneumonia", "Amoxicillin 500mg"), ("Peptic ulcer", "Omeprazole 20mg"), ("Cholera", "ORS")),
)
COMPLAINTS = ("Chest pain", "Fever", "Headache", "Cough", "Abdominal pain", "Vomiting", "Fall", "Burn", "Seizure")
RECORD_TYPES = ("Consultation", "Lab", "Admission", "Follow-up")


@dataclass(frozen=True)
class Shape:
    """How many rows of each dataset, and whether in one file each or in one for each of all the states."""

    facilities: int
    patients: int
    records: int
    visits: int
    is_by_state: bool = False

    @classmethod
    def of(cls, patients: int) -> "Shape":
        return cls(max(20, patients // 250), patients, 3 * patients, 2 * patients)

    @property
    def rows(self) -> int:
        return self.facilities + self.patients + self.records + self.visits

    @property
    def states(self) -> tuple[str, ...]:
        return geography.STATES if self.is_by_state else tuple(SOME_STATES)


COUNTRY = Shape(45_000, 150_000, 1_000_000, 1_000_000, is_by_state=True)
Rows = Iterator[tuple[int, str]]  # the facility's number, the line
People = list[tuple[int, str, str]]  # the facility's number, first and last name
Says = Callable[[int], bool]  # whether that row says something new


def generate(folder: Path, shape: Shape, *, is_changed: bool = False) -> None:
    """The same files each time, 1 % of the events bad; `is_changed`: with another 1 % of all rows saying something new.

    A last name carries a number, so that facility and name mean one patient.
    """
    draw = random.Random(1)
    changes: Says = (lambda n: n % 100 == 9) if is_changed else (lambda _: False)
    states, count = shape.states, shape.facilities
    names = [f"{states[n % len(states)].title()} {TYPES[n % len(TYPES)]} {n}" for n in range(count)]
    people = [(draw.randrange(count), draw.choice(FIRST), f"{draw.choice(LAST)}-{n}") for n in range(shape.patients)]
    write(folder, shape, "facilities", facilities(names, states, draw, changes))
    write(folder, shape, "patients", patients(names, people, draw, changes))
    write(folder, shape, "medical_records", records(names, people, draw, changes, shape.records))
    write(folder, shape, "triage_visits", visits(names, people, draw, changes, shape.visits))


def write(folder: Path, shape: Shape, dataset: str, rows: Rows) -> None:
    below = [state.lower().replace(" ", "-") for state in shape.states] if shape.is_by_state else [""]
    with ExitStack() as stack:
        files = []
        for name in below:
            (folder / name).mkdir(parents=True, exist_ok=True)
            files.append(stack.enter_context((folder / name / f"{dataset}.csv").open("w", encoding="utf-8")))
            files[-1].write(f"{HEADERS[dataset]}\n")
        for place, line in rows:
            files[place % len(files)].write(line)


def facilities(names: list[str], states: tuple[str, ...], draw: random.Random, changes: Says) -> Rows:
    for n, name in enumerate(names):
        state = states[n % len(states)]
        lga = (
            geography.LGAS[state][n % len(geography.LGAS[state])]
            if len(states) > len(SOME_STATES)
            else f"LGA {n % 774}"
        )
        kind = TYPES[(n + changes(n)) % len(TYPES)]
        yield n, f"{name},{state},{lga},{draw.uniform(4.3, 13.8):.4f},{draw.uniform(2.7, 14.6):.4f},{kind}\n"


def patients(names: list[str], people: People, draw: random.Random, changes: Says) -> Rows:
    for n, (place, first, last) in enumerate(people):
        dob = f"{draw.randint(1935, 2024)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
        operator = "70" if changes(n) else "80"
        yield (
            place,
            f"{names[place]},{first},{last},{draw.choice('MF')},{dob},+234{operator}{draw.randrange(10**8):08}\n",
        )


def records(names: list[str], people: People, draw: random.Random, changes: Says, count: int) -> Rows:
    for n in range(count):
        place, first, last = draw.choice(people)
        diagnosis, medication = draw.choice(ILLNESSES)
        who = f"{names[place]},{first},{'Nobody' if n % 100 == 50 else last}"
        notes = f"note {n}{', corrected' * changes(n)}".replace(",", ";")
        yield place, f"{who},{draw.choice(RECORD_TYPES)},{diagnosis},Medication,{medication},{notes}\n"


def visits(names: list[str], people: People, draw: random.Random, changes: Says, count: int) -> Rows:
    for n in range(count):
        place, first, last = draw.choice(people)
        level = 9 if n % 100 == 50 else draw.choice("1223334445")
        pressure = f"{draw.randrange(90, 190)}/{draw.randrange(50, 110)}"
        vitals = f"BP: {pressure}; HR: {draw.randrange(50, 140)}; visit {n}{'; corrected' * changes(n)}"
        said = f"{draw.choice(COMPLAINTS)},{vitals},{draw.choice(ILLNESSES)[0]},Follow-up in 2 weeks"
        yield place, f"{names[place]},{first},{last},{level},{said}\n"


# --- The nation


def country(url: str, folder: Path) -> None:
    print(f"Writing {COUNTRY.rows:,} rows for {len(COUNTRY.states)} states", flush=True)
    generate(folder / "country", COUNTRY)
    measured_url = fresh(url)
    done = by_ingest(measured_url, folder / "country")
    tell_stages(done)
    marts = manage(measured_url, "refresh_marts", "--json")
    print(f"\n{'mart':<28}{'rows':>10}{'seconds':>9}")
    for _, mart in marts.told():
        print(f"{mart['mart']:<28}{mart['rows'] or 0:>10,}{mart['seconds']:>9.1f}")
    print(f"{'refresh_marts as a whole':<38}{marts.seconds:>9.1f}")


def tell_stages(done: Measured) -> None:
    """Seconds are those of the batches themselves; what a run needs around them is in the last line only."""
    stages: dict[str, list[float]] = {dataset: [0, 0, 0.0, 0.0] for dataset in HEADERS}
    begun = 0.0
    for ended, batch in done.told():
        if "dataset" in batch:
            files, rows, seconds, peak = stages[batch["dataset"]]
            peak = max(peak, done.peak_between(begun, ended))
            rows += batch["counts"]["read"]
            stages[batch["dataset"]] = [files + 1, rows, seconds + batch["seconds"], peak]
            begun = ended
    total = [*map(sum, list(zip(*stages.values(), strict=True))[:2]), done.seconds, done.peak]
    print(f"\n{'stage':<28}{'files':>7}{'rows':>11}{'seconds':>9}{'rows/s':>9}{'MiB':>6}")
    for name, (files, rows, seconds, peak) in (stages | {"the whole command": total}).items():
        print(f"{name:<28}{files:>7}{rows:>11,}{seconds:>9.1f}{rows / seconds:>9,.0f}{peak:>6.0f}")


if __name__ == "__main__":
    main()

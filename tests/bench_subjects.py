"""What a patient's rights cost, of one with 500 events. A command, not a test.

Invents its rows in a private database that is gone afterwards: python -m tests.bench_subjects --help
"""

import argparse
from collections.abc import Callable
from datetime import date, timedelta
from time import perf_counter

from tests import own_database


def main() -> None:
    options = parse()
    own_database.provide()
    measure(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=int, default=500, help="of the patient, records and visits")
    parser.add_argument("--reads", type=int, default=300, help="of the patient, in the audit")
    parser.add_argument("--neighbours", type=int, default=200, help="other patients there, with ten visits each")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> None:
    from clinical import audit, subjects  # after django.setup()
    from clinical.models import User
    from ingestion import dossier, erasure
    from tests import rows

    alice, bob = (User.objects.create_superuser(name) for name in ("alice", "bob"))
    at = rows.facility()
    whose = rows.patient(at)
    for other in [rows.patient(at) for _ in range(options.neighbours)]:
        rows.visits(other, date(2026, 1, 1), [3] * 10)
    for n in range(options.events // 2):
        rows.record(whose, date(2025, 1, 1) + timedelta(days=n), diagnosis="Malaria")
        rows.visit(whose, date(2025, 1, 1) + timedelta(days=n), chief_complaint="Cough")
    for _ in range(options.reads):
        audit.note(alice, "read", "patients", whose.pk)
    timed("export", lambda: dossier.export(whose.pk, by=alice))
    timed("restrict", lambda: subjects.restrict(whose.pk, why="request", by=alice))
    timed("unrestrict", lambda: subjects.unrestrict(whose.pk, why="request", by=alice))
    asked = subjects.ask_to_erase(whose.pk, why="request", by=alice)
    subjects.confirm_erasure(asked, by=bob)
    asked.refresh_from_db()
    timed("erase", lambda: erasure.erase(asked))


def timed(what: str, do: Callable[[], object]) -> None:
    began = perf_counter()
    do()
    print(f"{what}: {1000 * (perf_counter() - began):.0f} ms")


if __name__ == "__main__":
    main()

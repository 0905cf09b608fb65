"""What a row costs on the disk, with its indexes and all that is kept of it: python -m tests.row_sizes --help

Files of usual length go through the real pipeline into a private server; then each table is asked for its size.
Nothing is projected here: SCALE.md does that.
"""

import argparse
import time

from tests.lab.cluster import Cluster
from tests.lab.crowds import many_files

NOTES = b"Seen with mother. Fever for three days, no vomiting, drinks well. RDT positive. To return if worse. "
RECORD = (
    b',Rest and oral fluids for three days,Artemether-lumefantrine 80/480 mg twice daily; paracetamol,"'
    + NOTES * 2
    + b'"'
)
VISIT = b',"BP: 120/80, T37.2 P 88 SpO2 97%",Malaria,Rest'
SIZES = """
SELECT relname, n_live_tup, pg_table_size(relid), pg_indexes_size(relid) FROM pg_stat_user_tables
WHERE n_live_tup >= %s ORDER BY pg_total_relation_size(relid) DESC
"""
INDEXES = """
SELECT s.relname, s.indexrelname, pg_relation_size(s.indexrelid) FROM pg_stat_user_indexes s
WHERE s.relname IN ('triage_visits', 'medical_records', 'patients') ORDER BY 1, 3 DESC
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facilities", type=int, default=100)
    parser.add_argument("--people", type=int, default=1_000, help="of each facility, with a record and a visit each")
    options = parser.parse_args()
    cluster = Cluster()
    try:
        cluster.fresh()
        files = many_files(1, folders=options.facilities, people=options.people)
        longer = {
            name: body.replace(b",Rest,,", RECORD).replace(b",,,\n", VISIT + b"\n") for name, body in files.items()
        }
        size, lines = (sum(map(count, longer.values())) for count in (len, lambda body: body.count(b"\n") - 1))
        print(f"{lines:,} rows in files of {size / 1e6:,.0f} MB, {size / lines:,.0f} bytes a row")
        cluster.deliver(longer)
        began = time.monotonic()
        ended = cluster.run("ingest", "--json", **cluster.past_the_wires())
        print(f"loaded in {time.monotonic() - began:,.0f} s (exit code {ended.returncode})")
        for command in ("read_vitals", "refresh_marts"):
            cluster.run(command, **cluster.past_the_wires())
        cluster.sql("VACUUM ANALYZE")
        tell(cluster, lines // 100)
    finally:
        cluster.close()


def tell(cluster: Cluster, at_least: int) -> None:
    print(f"\n{'table':32}{'rows':>12}{'B/row':>8}{'indexes':>9}")
    for name, rows, heap, indexes in cluster.sql(SIZES, at_least):
        print(f"{name:32}{rows:>12,}{heap / rows:>8,.0f}{indexes / rows:>9,.0f}")
    rows = {name: number for name, number, *_ in cluster.sql(SIZES, at_least)}
    print(f"\n{'index':32}{'':>12}{'B/row':>8}")
    for table, name, size in cluster.sql(INDEXES):
        print(f"{name:44}{size / rows[table]:>8,.0f}")
    ((whole,),) = cluster.sql("SELECT pg_database_size(current_database())")
    print(f"\nthe whole database: {whole / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()

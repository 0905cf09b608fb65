"""Which facilities the events of a batch are of: counted once for each batch, and kept (BatchShare).

Whoever refreshes a mart counts before anybody can ask what it is made of; the silence watch counts what came since.
"""

from django.db import connection

from ingestion.datasets import Dataset
from ingestion.models import IngestBatch

# How many events of each facility a batch wrote; once for each batch, because a later version of an event takes it
# into another. `updated_at`: a batch's rows were written after it was begun, and there is an index on that.
COUNT_SHARES = """
INSERT INTO facility_shares (batch_id, facilities, rows)
SELECT b.id, coalesce(array_agg(e.facility_id ORDER BY e.facility_id) FILTER (WHERE e.rows > 0), '{}'),
       coalesce(array_agg(e.rows ORDER BY e.facility_id) FILTER (WHERE e.rows > 0), '{}')
FROM unnest(%(batches)s) AS b (id)
LEFT JOIN (
    SELECT batch_id, facility_id, sum(rows)::integer AS rows FROM (
        SELECT batch_id, facility_id, count(*) AS rows FROM triage_visits
        WHERE updated_at >= %(since)s AND batch_id = ANY(%(batches)s) GROUP BY 1, 2
        UNION ALL
        SELECT batch_id, facility_id, count(*) FROM medical_records
        WHERE updated_at >= %(since)s AND batch_id = ANY(%(batches)s) GROUP BY 1, 2
    ) AS of_a_table GROUP BY 1, 2
) AS e ON e.batch_id = b.id
GROUP BY b.id
ON CONFLICT (batch_id) DO NOTHING
"""


def count_new() -> None:
    """Of the batches of events that are loaded and not counted yet; of two at once one waits for the other."""
    events = [dataset for dataset in Dataset if dataset.is_event]
    new = IngestBatch.objects.loaded().filter(dataset__in=events, share=None).exclude(inserted=0, updated=0)
    begun = {pk: at for pk, at in new.values_list("pk", "started_at") if at}
    if begun:
        with connection.cursor() as cursor:
            cursor.execute(COUNT_SHARES, {"batches": sorted(begun), "since": min(begun.values())})

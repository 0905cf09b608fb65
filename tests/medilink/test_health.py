from datetime import datetime

import pytest
from django.db import connection


@pytest.mark.django_db
def test_health_says_healthy_where_the_database_answers(client):
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"status", "timestamp", "database"}
    assert (body["status"], body["database"]) == ("healthy", "connected")
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None and body["timestamp"].endswith("Z")


@pytest.mark.django_db
def test_x(bucket):
    connection.cursor().execute("select 1")

"""Notifiable diseases of a week or month: the line list, the form by LGA, and the sheet that reconciles a month."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from analytics.idsr import cases, forms, reconciling
from analytics.idsr.cases import Span
from clinical import audit
from clinical.geography import find_state
from clinical.models import Facility
from clinical.months import month_of, next_month, week_of
from ingestion.doors import Door


class Command(Door):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        when = parser.add_mutually_exclusive_group(required=True)
        when.add_argument("--week", metavar="YYYY-Www", help="an ISO week, from Monday")
        when.add_argument("--month", metavar="YYYY-MM")
        parser.add_argument("--state", default="", help="only the facilities of this state")
        parser.add_argument("--to", type=Path, metavar="FILE", help="the line list as CSV")
        parser.add_argument("--form", type=Path, metavar="FILE", help="the cases by LGA and disease as CSV")
        parser.add_argument("--sheet", type=Path, metavar="FILE", help="of a month: the reconciliation as CSV")

    def handle(self, *_: Any, **options: Any) -> None:
        span = _span(options)
        if options["sheet"] and not options["month"]:
            raise CommandError("The marts know months; give --month for a sheet.", returncode=2)
        places = Facility.objects.filter(state=span.state) if span.state else Facility.objects.all()
        found, known = cases.read(span), forms.facilities(places)
        if options["to"]:
            options["to"].write_text(forms.as_csv(forms.LINE, forms.lines(found, known)))
        if options["form"]:
            form = forms.form(found, known, cases.reporting(span), is_clear=True)
            options["form"].write_text(forms.as_csv(forms.FORM, form))
        if options["sheet"]:
            lines = [line._asdict() for line in reconciling.lines(span, found)]
            options["sheet"].write_text(forms.as_csv(reconciling.Line._fields, lines))
        if written := [name for name in ("to", "form", "sheet") if options[name]]:
            whom = {case.patient_id for case in found} if options["to"] else set()
            audit.note_file(
                "idsr", "idsr", rows=len(found), patient_ids=sorted(whom), files=written, first=f"{span.first}"
            )
        people = len({(case.disease, case.patient_id) for case in found})
        self.stdout.write(f"{span.first} to {span.end - timedelta(days=1)}: {people} cases, {len(found)} lines")


def _span(options: dict[str, Any]) -> Span:
    state = find_state(options["state"]) if options["state"] else ""
    if state is None:
        raise CommandError("There is no such state.", returncode=2)
    if options["month"]:
        if (first := month_of(options["month"])) is None:
            raise CommandError("A month is written YYYY-MM.", returncode=2)
        return Span(first, next_month(first), state)
    if (first := week_of(options["week"])) is None:
        raise CommandError("A week is written YYYY-Www, such as 2026-W40.", returncode=2)
    return Span(first, first + timedelta(days=7), state)

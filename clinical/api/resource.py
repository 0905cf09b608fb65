"""What every list of the API does: cut rows down to the caller's scope, hide what the role may not see, answer.

Rows go from the database to the answer as tuples, without models or serializers between: a page costs one query.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import BooleanField, Case, Q, QuerySet, Value, When
from django.http import StreamingHttpResponse
from django_filters import FilterSet
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.viewsets import GenericViewSet

from clinical import access, reading
from clinical.api import counting, exports, lists, parameters, statements, tombstones
from clinical.api.lists import Cut, Order
from clinical.api.rendering import CSV, JSON, NDJSON
from clinical.audit import reads
from clinical.locks import oldest_writer
from clinical.models import User

Row = dict[str, Any]
HOLDS_NAMES = "rejected_rows"  # and knows no patient: the audit is told its ids instead
NOTED_TOO = (HOLDS_NAMES, "audit_events")
NO_FILTERS = set(lists.PARAMETERS) - {"changed_since"}
BY_ID = {"id": Order("id"), "created_at": Order("created_at"), "updated_at": Order("updated_at")}


def orders(*columns: str, personal: str = "") -> dict[str, Order]:
    found = {column: Order(column, is_personal=column == personal) for column in columns}
    return BY_ID | found


class Listing(GenericViewSet[Any]):
    """A list, read only."""

    resource: ClassVar[str]  # of clinical/access.py
    model: ClassVar[Any]
    filterset_class: ClassVar[type[FilterSet]]
    columns: ClassVar[tuple[str, ...]]  # of the model, in the order of the answer
    masked: ClassVar[frozenset[str]] = frozenset()
    instead: ClassVar[tuple[str, ...]] = ()  # what `mask` adds
    orders: ClassVar[dict[str, Order]] = BY_ID
    tables: ClassVar[tuple[str, ...] | None] = None  # whose changes are noted, so that a count may be remembered
    tells_changes: ClassVar[bool] = True
    looks_up_scope: ClassVar[bool] = False  # which rows a scope has is asked first, so that a text once made grows old
    renderer_classes = (*api_settings.DEFAULT_RENDERER_CLASSES, CSV, NDJSON)  # type: ignore[arg-type]  # classes, whatever the stubs say
    http_method_names = [method for method in GenericViewSet.http_method_names if method != "options"]
    given: dict[str, str]  # the query, read strictly

    def get_queryset(self) -> "QuerySet[Any]":
        return self.model.objects.all()

    # --- What may be seen

    @property
    def user(self) -> User:
        return self.request.user  # type: ignore[return-value]  # nobody else comes past the permission

    def rows(self, *more: str, of: "QuerySet[Any] | None" = None) -> "QuerySet[Any]":
        """In the caller's scope, deleted ones among them, as tuples of what `represent` reads."""
        found = self.inside(
            self.get_queryset() if of is None else of, self.user.access.scope(access.READ, self.resource)
        )
        if not self._is_mixed:
            return found.values_list(*self.columns, *more)
        clear = self.places(self.user.access.clear_scope(self.resource))
        flag = Case(When(clear, then=Value(True)), default=Value(False), output_field=BooleanField())
        return found.annotate(is_clear=flag).values_list(*self.columns, *more, "is_clear")

    def present(self) -> "QuerySet[Any]":
        """Those that are not deleted."""
        if self._is_mixed:
            return self.rows(of=self._undeleted())
        return self.inside(self._undeleted().all(), self.user.access.scope(access.READ, self.resource))

    @classmethod
    @cache
    def _undeleted(cls) -> "QuerySet[Any]":
        """Made once: to put a query together costs more than to run it."""
        return cls.existing().values_list(*cls.columns)

    @classmethod
    def existing(cls) -> "QuerySet[Any]":
        """For stewards, too, a restricted patient is on the desk only: no program goes on with them."""
        return cls.model.objects.present().unrestricted()

    def inside(self, rows: Any, scope: access.Scope) -> Any:
        return rows if scope.is_national else rows.filter(self.places(scope))

    def places(self, scope: access.Scope) -> Q:
        """The condition that a row lies in a scope that is not the nation."""
        return scope.of_places(*self.model.PLACE)

    @property
    def is_clear(self) -> bool:
        """That nothing is masked for the caller, wherever."""
        return not self.masked or self.user.access.sees_all_clear(self.resource)

    @property
    def _is_mixed(self) -> bool:
        """That the caller sees some rows clearly and others masked."""
        return not self.is_clear and not self.user.access.clear_scope(self.resource).is_empty

    def _view_of(self, scope: access.Scope) -> tuple[Any, ...]:
        """All of the caller that a query's text may depend on."""
        return type(self), scope, self.user.access.clear_scope(self.resource)

    def clearly_visible(self, name: str, rows: Any) -> Any:
        """Those of which the caller may see, and so select by, a masked field."""
        if self.is_clear:
            return rows
        clear = self.user.access.clear_scope(self.resource)
        if clear.is_empty:
            raise parameters.refused(name, "masked_field", "Is masked for your role.")
        return self.inside(rows, clear)

    def represent(self, *more: str) -> Callable[[Sequence[Any]], Row]:
        """What makes an answer's row of the tuple that was read."""
        names = (*self.columns, *more)
        if self.is_clear:
            return lambda row: dict(zip(names, row, strict=True))
        if not self._is_mixed:
            return lambda row: self.mask(dict(zip(names, row, strict=True)))

        def by_row(values: Sequence[Any]) -> Row:
            row = dict(zip(names, values[:-1], strict=True))
            return row if values[-1] else self.mask(row)

        return by_row

    def mask(self, row: Row) -> Row:
        return row | dict.fromkeys(self.masked)

    def get_renderers(self) -> list[Any]:
        """Only a list is given as a file."""
        renderers = super().get_renderers()
        return (
            renderers
            if self.action in ("list", None)
            else [one for one in renderers if one.format not in exports.FORMATS]
        )

    def handle_exception(self, exc: Exception) -> Response:
        """A refusal is JSON, whatever kind of file was asked for."""
        response = super().handle_exception(exc)
        if (
            getattr(self.request, "accepted_renderer", None)
            and self.request.accepted_renderer.format in exports.FORMATS
        ):
            self.request.accepted_renderer, self.request.accepted_media_type = JSON(), JSON.media_type
        return response

    # --- What the audit is told of the rows that are answered

    @classmethod
    @cache
    def _noted_as(cls) -> str | None:
        """The table or relation as the audit calls it; None where it says nothing of any patient."""
        is_noted = reads.names_patients(cls.model) or cls.model._meta.db_table in NOTED_TOO
        return getattr(cls, "relation", cls.model._meta.db_table) if is_noted else None

    @classmethod
    @cache
    def _patient_at(cls) -> int | None:
        """Where the patient's id stands in a row."""
        name = reads.names_patients(cls.model)
        return cls.columns.index(name) if name else None

    def told(self, found: Sequence[Any], represent: Callable[[Any], Row], action: str, **more: Any) -> "list[Row]":
        """These rows, as they are answered; the audit is told of them."""
        table = self._noted_as()
        if table:
            at = self._patient_at()
            patients = [row[at] for row in found] if at is not None else ()
            if table == HOLDS_NAMES:
                more["ids"] = [row[0] for row in found]
            reads.seen(table, action, patient_ids=patients, rows=len(found), **more)
        return [represent(row) for row in found]

    # --- The list

    def list(self, request: Request) -> Response | StreamingHttpResponse:
        kind = request.accepted_renderer.format
        is_export = kind in exports.FORMATS
        self.given = parameters.read(request.GET, {*self.list_parameters(), *self.filterset_class.base_filters})
        if is_export and (pages := {"page", "per_page", "cursor"} & set(request.GET)):
            raise parameters.refused(min(pages), "invalid", f"Not together with {kind}, which gives all rows.")
        if "changed_since" in self.given:
            return self._changes(request, kind if is_export else None)
        order = self._order()
        if is_export:
            return self._stream(kind, order.applied(self._selected()), self.represent())
        cut = Cut.of(request, self.given)
        return self._page(cut, order, self._cut_out(cut, order), self.represent(), self._selected)

    def _selected(self) -> "QuerySet[Any]":
        return self.filter_queryset(self.present())

    def _cut_out(self, cut: Cut, order: Order) -> Sequence[Any]:
        """The cut's rows, by a statement made before where only whole numbers can differ from it."""
        filters, place = self.filterset_class.base_filters, cut.place(order, self.model)
        chosen = [name for name in self.given if name in filters]
        if not all(filters[name].is_number for name in chosen) or (place and not order.is_by_id):
            if place and order.is_personal:
                place = order.looked_up(self.rows(of=self.model.objects.unrestricted()), place)
            return [*cut.rows(self._selected(), order, place)]
        scope = self.user.access.scope(access.READ, self.resource)
        if self.looks_up_scope and not scope.is_national:
            return [*cut.rows(self._selected(), order, place)]
        numbers = [filters[name].parse(name, self.given[name]) for name in chosen]
        what = (*self._view_of(scope), tuple(chosen), order, bool(place), cut.per_page, cut.page)

        def make(*marks: int) -> "QuerySet[Any]":
            conditions = [filters[name].condition(mark) for name, mark in zip(chosen, marks, strict=False)]
            return cut.rows(self.present().filter(*conditions), order, lists.Place((marks[-1],)) if place else None)

        return statements.read(what, [*numbers, *place.keys] if place else numbers, make)

    def list_parameters(self) -> Sequence[str]:
        """All that the list's query may name, besides the filters."""
        return [name for name in lists.PARAMETERS if self.tells_changes or name != "changed_since"]

    def _order(self) -> Order:
        text = self.given.get("ordering", next(iter(self.orders)))
        order = self.orders.get(text.removeprefix("-"))
        if order is None:
            known = ", ".join(self.orders)
            raise parameters.refused("ordering", "invalid", f"Must be one of {known}, with - for the reverse.")
        if order.column in self.masked and not self.is_clear:
            raise parameters.refused("ordering", "masked_field", "Is masked for your role.")
        return replace(order, is_descending=text.startswith("-"))

    def _page(
        self,
        cut: Cut,
        order: Order,
        rows: Sequence[Any],
        represent: Callable[[Any], Row],
        selected: Callable[[], "QuerySet[Any]"],
    ) -> Response:
        found, has_next = cut.split(rows)
        reading.shown(self.user, self.resource, len(found))
        action = "changes" if "changed_since" in self.given else "list"
        results = self.told(found, represent, action, **reads.query_of(self.given))
        if cut.cursor is not None:
            following = lists.link(self.request, cursor=self._cursor(order, found[-1])) if has_next else None
            return Response({"next": following, "previous": None, "results": results} | self.extras())
        return Response(
            self._counted(cut, len(results), has_next, selected)
            | {
                "next": lists.link(self.request, page=cut.page + 1) if has_next else None,
                "previous": lists.link(self.request, page=cut.page - 1) if cut.page > 1 else None,
                "results": results,
            }
            | self.extras()
        )

    def extras(self) -> Row:
        """What the answer says besides its rows."""
        return {}

    def _cursor(self, order: Order, row: Sequence[Any]) -> str:
        return lists.cursor_of(order, dict(zip(self.columns, row, strict=False)))

    def _counted(self, cut: Cut, shown: int, has_next: bool, selected: Callable[[], "QuerySet[Any]"]) -> Row:
        known = cut.known_count(shown, has_next)
        if known is not None:
            return {"count": known}
        scope = self.user.access.scope(access.READ, self.resource)
        chosen = tuple(sorted((name, text) for name, text in self.given.items() if name not in NO_FILTERS))
        what = (*self._view_of(scope), chosen, self.counted_as())
        if self.tables is None:
            found = counting.counted(selected())
        else:
            found = counting.count(selected, what, self._counted_tables(self.tables, scope), self._snapshot)
        return {"count": found.rows} | ({"count_is_estimate": True} if found.is_estimate else {})

    def counted_as(self) -> Any:
        """What else a count depends on, besides the tables."""
        return None

    @property
    def _snapshot(self) -> str | None:
        """In which a bearer's token was looked up; a session has none."""
        return self.request.auth  # type: ignore[return-value]  # medilink/api/authentication.py

    @staticmethod
    def _counted_tables(tables: tuple[str, ...], scope: access.Scope) -> Sequence[str]:
        return tables if scope.is_national else (*tables, "facilities")

    def _stream(
        self, kind: str, rows: "QuerySet[Any]", represent: Callable[[Any], Row], *more: str
    ) -> StreamingHttpResponse:
        table, parts = self._noted_as(), None
        if table:
            read = reads.Read(table, "export", details=reads.query_of(self.given))
            parts = reads.Parts(read, self._patient_at(), 0 if table == HOLDS_NAMES else None)
        columns = [*self._flat_columns(), *more]
        return exports.stream(kind, self.basename, columns, rows, represent, self.user.pk, parts, self.writes)

    writes: exports.Write | None = None  # where its format is not one that every list has

    def _flat_columns(self) -> Sequence[str]:
        """The columns of a CSV file."""
        return self.columns

    # --- What has changed since

    def _changes(self, request: Request, kind: str | None) -> Response | StreamingHttpResponse:
        since = parameters.since("changed_since", self.given["changed_since"])
        if "ordering" in self.given:
            raise parameters.refused("ordering", "invalid", "Not together with changed_since, which has its own order.")
        until = oldest_writer()  # before the rows are read: what commits meanwhile is told the next time
        changed = self.rows("deleted_at", of=self.model.objects.unrestricted())
        rows = self.filter_queryset(changed.filter(updated_at__gte=since))
        gone = tombstones.since(
            self.model, since, self.user.access.scope(access.READ, self.resource), self._chosen(tombstones.FILTERS)
        )
        columns = (*self.columns, "deleted_at", *(("is_clear",) if self._is_mixed else ()))
        represent = self._with_tombstones()
        if kind:
            response = self._stream(kind, tombstones.among(rows, gone, columns), represent, "deleted_at")
            response["X-Next-Changed-Since"] = until.isoformat().replace("+00:00", "Z")
            return response
        cut, order = Cut.of(request, self.given), tombstones.BY_CHANGE
        most = cut.page * cut.per_page + 1
        found = cut.window(tombstones.among(rows, gone, columns, cut.place(order, self.model), most))
        answer = self._page(cut, order, [*found], represent, tombstones.counted(rows, gone))
        answer.data["next_changed_since"] = until
        return answer

    def _chosen(self, names: Sequence[str]) -> dict[str, Any]:
        """The values of these filters, where given."""
        filters = self.filterset_class.base_filters
        return {name: filters[name].parse(name, self.given[name]) for name in names if name in self.given}

    def _with_tombstones(self) -> Callable[[Sequence[Any]], Row]:
        represent, deleted_at = self.represent("deleted_at"), len(self.columns)

        def either(values: Sequence[Any]) -> Row:
            if values[deleted_at] is not None:
                return {"id": values[0], "deleted_at": values[deleted_at]}
            row = represent(values)
            del row["deleted_at"]
            return row

        return either


class Readable(Listing):
    """A list whose objects have addresses of their own."""

    def retrieve(self, request: Request, pk: str) -> Response:
        self.given = parameters.read(request.GET, ("format",))
        row = self.find(pk)
        reading.shown(self.user, self.resource, 1)
        tag = self.etag(row)
        if tag in tags_in(request, "HTTP_IF_NONE_MATCH"):
            return Response(status=304, headers={"ETag": tag})
        return Response(row, headers={"ETag": tag})

    def etag(self, row: Row) -> str:
        return etag_of(row)

    def answer(self, pk: str | int) -> Response:
        """The object as it is now."""
        row = self.find(pk)
        return Response(row, headers={"ETag": self.etag(row)})

    def find(self, pk: str | int) -> Row:
        scope = self.user.access.scope(access.READ, self.resource)
        if self.looks_up_scope and not scope.is_national:
            found = [*self.present().filter(pk=id_of(pk))]
        else:
            what = (*self._view_of(scope), "one")
            found = statements.read(what, [id_of(pk)], lambda number: self.present().filter(pk=number))
        if not found:
            return self.find(self._survivor(id_of(pk)))
        return self.told(found, self.represent(), "read", object_id=found[0][0])[0]

    def _survivor(self, pk: int) -> int:
        """The id of the row that stands for this one, where it was merged into another."""
        merged = self.model._base_manager.filter(pk=pk) if hasattr(self.model, "merged_into") else None
        into: int | None = merged.values_list("merged_into", flat=True).first() if merged is not None else None
        if into is None:
            raise NotFound
        return into


def id_of(text: str | int) -> int:
    """An id, or 404: what is no id is absent."""
    try:
        return parameters.identifier("id", str(text))
    except Exception as error:
        raise NotFound from error


def etag_of(row: Row) -> str:
    """Changes with every write of the row, and with what the caller may see of it; nobody else can work it out."""
    shape = "m" if "birth_year" in row else ""
    said = f"{row['id']:x}-{int(row['updated_at'].timestamp() * 1_000_000):x}{shape}"
    return f'"{blake2b(said.encode(), key=settings.SECRET_KEY.encode()[:64], digest_size=16).hexdigest()}"'


def tags_in(request: Request, header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in request.META.get(header, "").split(",") if tag]

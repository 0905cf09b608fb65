"""The stewards' pages on words without a code: those first that most events bear, and what one of them means."""

import re
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminExpandableTextareaWidget, UnfoldAdminTextInputWidget

from clinical import access
from clinical.audit import reads
from clinical.changelists import ReadOnly
from clinical.models import TermDecision, TermText, User
from clinical.terms import decisions, mapping, ranking
from clinical.terms.proposals import proposals
from clinical.terms.shipped import Coding, Kind
from clinical.terms.words import Status

PER_PAGE = 30
EXAMPLES = 8
RECENT = 10
NOTHING = "none"


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)


class MeaningForm(forms.Form):
    """What the word means: one of what is proposed, a code of one's own, or nothing that the map has."""

    code = forms.CharField(
        label="Code",
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget(),
        help_text="ICD-10 for a diagnosis, such as B54; for a medicine its generic name, such as amoxicillin.",
    )
    display = forms.CharField(
        label="What it means",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Only for a code that the map does not have yet.",
    )
    reason = forms.CharField(
        label="Why",
        max_length=500,
        widget=UnfoldAdminExpandableTextareaWidget({"rows": 2}),
        help_text="Kept with the decision. Name no patient.",
    )


@admin.register(TermText)
class TermTextAdmin(ReadOnly, ModelAdmin):
    """Two pages of its own; what texts mean is written by decisions and passes, never by a form of columns."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.words), name="clinical_termtext_changelist"),
            path("<int:object_id>/change/", view(self.word), name="clinical_termtext_change"),
        ]

    def words(self, request: HttpRequest) -> HttpResponse:
        scope = self._scope(request)
        kind = request.GET.get("kind", "")
        kind = kind if kind in [*Kind] else ""
        asked = request.GET.get("page", "")
        number = int(asked) if re.fullmatch("[1-9][0-9]{0,3}", asked) else 1
        found = ranking.ranked(scope, kind, first=(number - 1) * PER_PAGE, most=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        most = max((word.times for word in shown), default=1)
        examples = TermText.objects.in_bulk([word.example for word in shown])
        reads.seen("term_texts", "list", rows=len(shown))
        return self._answer(
            request,
            "clinical/words.html",
            {
                "title": "Words without a code",
                "words": [_line(word, examples[word.example], most) for word in shown],
                "coverage": ranking.coverage(),
                "kind": kind,
                "kinds": [*Kind],
                "number": number,
                "has_next": len(found) > PER_PAGE,
                "version": mapping.current().version,
                "decided": [(one, _page_of(scope, one)) for one in _recent()],
            },
        )

    def word(self, request: HttpRequest, object_id: int) -> HttpResponse:
        scope = self._scope(request)
        if request.method == "POST" and not decisions.may_decide(_person(request)):
            raise PermissionDenied
        text = ranking.texts(scope).filter(pk=object_id).first()
        if text is None or not text.keys:
            raise Http404
        number = request.GET.get("part", "0")
        key = text.keys[int(number)] if number.isdigit() and int(number) < len(text.keys) else text.keys[0]
        form = MeaningForm(request.POST if "decide" in request.POST else None)
        if request.method == "POST" and self._decided(request, text, key, form):
            return HttpResponseRedirect(request.get_full_path())
        reads.seen("term_texts", "read", object_id=text.pk, rows=1)
        return self._answer(request, "clinical/word.html", self._of_word(request, scope, text, key, form))

    def _of_word(
        self, request: HttpRequest, scope: access.Scope, text: TermText, key: str, form: MeaningForm
    ) -> dict[str, Any]:
        kind = Kind(text.kind)
        alike = ranking.texts(scope).filter(kind=kind, keys__contains=[key]).distinct().order_by("pk")
        meaning = mapping.current().meanings[kind].get(key)
        return {
            "title": "What this word means",
            "text": text,
            "word": _written(text, key),
            "meaning": meaning,
            "is_none": meaning == mapping.NO_CONCEPT,
            "times": ranking.times(scope, kind, key),
            "examples": alike[:EXAMPLES],
            "proposals": proposals(kind, key),
            "form": form,
            "may_decide": decisions.may_decide(_person(request)),
            "decided": TermDecision.objects.filter(kind=kind, key=key).select_related("decided_by", "taken_back_by"),
        }

    def _decided(self, request: HttpRequest, text: TermText, key: str, form: MeaningForm) -> bool:
        """Whether something was decided, or refused in words; False where the page is shown again with its form."""
        by, kind = _person(request), Kind(text.kind)
        try:
            if "take_back" in request.POST:
                chosen = TermDecision.objects.filter(kind=kind, key=key, pk=_number(request.POST["take_back"])).first()
                if chosen is None:
                    raise decisions.NotPossible("There is no such decision on this word.")
                decisions.take_back(chosen, by=by, reason=request.POST.get("why", "")[:500])
                self.message_user(request, "Taken back.", messages.SUCCESS)
                return True
            if not form.is_valid():
                return False
            given = form.cleaned_data
            code = request.POST["decide"] or given["code"]
            coding: Coding | None = None
            if code != NOTHING:
                coding = decisions.coding_of(kind, code, given["display"])
            decisions.decide(kind, key, _written(text, key), coding, by=by, reason=given["reason"])
            self.message_user(request, f"Decided: {coding.display if coding else 'no concept'}.", messages.SUCCESS)
        except decisions.NotPossible as error:
            self.message_user(request, str(error), messages.ERROR)
        return True

    def _scope(self, request: HttpRequest) -> access.Scope:
        """Words are free text: they are seen where records may be changed."""
        scope = _person(request).access.scope(access.UPDATE, "records")
        if not self.has_view_permission(request) or scope.is_empty:
            raise PermissionDenied
        return scope

    def _answer(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(
            request, template, self.admin_site.each_context(request) | {"opts": self.opts} | context
        )


def _number(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else 0


def _recent() -> "QuerySet[TermDecision]":
    return TermDecision.objects.select_related("decided_by", "takes_back")[:RECENT]


def _page_of(scope: access.Scope, decision: TermDecision) -> str:
    """Where it can be taken back; empty where no event in sight bears the word any more."""
    found = ranking.texts(scope).filter(kind=decision.kind, keys__contains=[decision.key]).order_by("pk").first()
    return _url(found, decision.key) if found else ""


def _url(text: TermText, key: str) -> str:
    return f"{reverse('admin:clinical_termtext_change', args=[text.pk])}?part={text.keys.index(key)}"


def _line(word: ranking.Word, example: TermText, most: int) -> dict[str, Any]:
    return {
        "kind": word.kind,
        "text": _written(example, word.key),
        "times": word.times,
        "share": round(100 * word.times / most),
        "url": _url(example, word.key),
        "proposals": proposals(Kind(word.kind), word.key)[:2],
    }


def _written(text: TermText, key: str) -> str:
    """The word as the text has it."""
    parts = mapping.current().read(Kind(text.kind), text.text)
    found = [part.text for part in parts if part.key == key]
    unknown = [part.text for part in parts if part.status == Status.UNKNOWN]
    return (found or unknown or [text.text])[0]

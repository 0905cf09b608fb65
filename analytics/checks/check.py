"""What a data check is: a query for the keys of the rows that fail, and all that somebody needs to judge its answer.

A query gives keys, never anything of a person. Categories and contexts are those of Kahn and others (2016).
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    NOT_NULL = "not null"
    UNIQUE = "unique grain"
    ACCEPTED = "accepted values"
    RELATIONSHIP = "relationship"
    RANGE = "range"
    RECONCILIATION = "reconciliation"
    FILLED = "filled in"
    FORMAT = "format"
    DEFAULT = "default values"
    DUPLICATE = "duplicates"
    DISTRIBUTION = "distribution"
    TEMPORAL = "order in time"


class Category(StrEnum):
    CONFORMANCE = "conformance"
    COMPLETENESS = "completeness"
    PLAUSIBILITY = "plausibility"


class Context(StrEnum):
    """Verified by the data itself, or validated against what is known outside of it."""

    VERIFICATION = "verification"
    VALIDATION = "validation"


class Severity(StrEnum):
    """What is below an error tells of the data's quality, and fails neither a command nor a night."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def is_failure(self) -> bool:
        return self in (Severity.ERROR, Severity.CRITICAL)


class Owner(StrEnum):
    """Who does something about it; their addresses are rows (`DataOwner`)."""

    STEWARDS = "stewards"
    DEVELOPERS = "developers"
    SENDERS = "senders"
    SURVEILLANCE = "surveillance"


ABOUT = {
    Owner.STEWARDS: "Correct rows at the desk, and decide about what was refused.",
    Owner.DEVELOPERS: "Look after loading, marts and their queries.",
    Owner.SENDERS: "Look after the app and the facilities that send files.",
    Owner.SURVEILLANCE: "Read the figures, and ask states for what is missing.",
}
# What a kind says where a check says nothing else.
CATEGORY = {
    Kind.NOT_NULL: Category.COMPLETENESS,
    Kind.FILLED: Category.COMPLETENESS,
    Kind.RANGE: Category.PLAUSIBILITY,
    Kind.DEFAULT: Category.PLAUSIBILITY,
    Kind.DUPLICATE: Category.PLAUSIBILITY,
    Kind.DISTRIBUTION: Category.PLAUSIBILITY,
    Kind.TEMPORAL: Category.PLAUSIBILITY,
}
REMEDY = {
    Kind.NOT_NULL: "Find the batch of the rows and what changed since the check passed last; correct them at the desk.",
    Kind.UNIQUE: "The mart's query has lost its grain: tell the developers the keys, and do not publish its figures.",
    Kind.ACCEPTED: "Tell the developers: a value came through that the loading rules should have refused.",
    Kind.RELATIONSHIP: "Open the rows; bring back the parent or delete the children.",
    Kind.RANGE: "Open the rows, ask the facility for the right date or number, and correct it at the desk.",
    Kind.RECONCILIATION: "Run `manage.py refresh_marts --force`; if it still fails, tell the developers.",
    Kind.FILLED: "Ask the senders of the worst facilities why the column is empty.",
    Kind.FORMAT: "Ask the senders to correct the form at which it is typed in; correct what is known at the desk.",
    Kind.DEFAULT: "Ask the senders what their software writes where nothing was entered, and to leave it empty.",
    Kind.DUPLICATE: "Look at the page of probable duplicates, and ask the sender whether a file was sent twice.",
    Kind.DISTRIBUTION: "Ask the facility how the column is filled in, before its figures are compared with others'.",
    Kind.TEMPORAL: "Open the rows; one of the two dates is wrong, and the facility knows which.",
}


@dataclass(frozen=True)
class Check:
    """`failing` selects the keys of the rows that fail; `why` says what it would mean.

    `compared` are the relations that must all be fresh for it to mean anything. `most` failing rows are let pass, or
    the share `most_share` of what `among` counts; below `least` of those it does not apply.
    """

    name: str
    relation: str
    kind: Kind
    failing: str
    why: str
    compared: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR
    owner: Owner = Owner.STEWARDS
    context: Context = Context.VERIFICATION
    own_remedy: str = ""
    most: int = 0
    most_share: float | None = None
    among: str = ""
    least: int = 30

    @property
    def category(self) -> Category:
        return CATEGORY.get(self.kind, Category.CONFORMANCE)

    @property
    def remedy(self) -> str:
        return self.own_remedy or REMEDY[self.kind]

    @property
    def threshold(self) -> str:
        if self.most_share is not None:
            return f"at most {self.most_share:.3%}".replace(".000", "").replace("00%", "%") + " of the rows"
        return f"at most {self.most:,}" if self.most else "none"

    def is_beyond(self, failing: int, among: int | None) -> bool:
        return failing > (self.most if self.most_share is None else self.most_share * (among or 0))


def shared(relation: str, what: str, kind: Kind, condition: str, most: float, why: str, **more: object) -> Check:
    """Rows that meet a condition, of which a share of all rows is let pass. Rows that were deleted do not count."""
    where = f"FROM {relation} WHERE deleted_at IS NULL"
    known = {"severity": Severity.WARNING, "owner": Owner.SENDERS} | more
    return Check(
        f"{relation}.{what}",
        relation,
        kind,
        f"SELECT id {where} AND ({condition})",
        why,
        most_share=most,
        among=f"SELECT count(*) {where}",
        **known,  # type: ignore[arg-type]  # fields of Check
    )


def of_facilities(
    relation: str, what: str, condition: str, most: float, least: int, why: str, *, among: str = "true", **more: object
) -> Check:
    """Facilities in which more than a share of rows meets a condition, of those that have enough rows to say so."""
    failing = f"""SELECT facility_id FROM {relation}
WHERE deleted_at IS NULL AND ({among})
GROUP BY facility_id
HAVING count(*) >= {least} AND count(*) FILTER (WHERE {condition}) > {most} * count(*)"""
    known = {"kind": Kind.DISTRIBUTION, "severity": Severity.WARNING, "owner": Owner.SENDERS} | more
    return Check(name=f"{relation}.{what}", relation=relation, failing=failing, why=why, **known)  # type: ignore[arg-type]  # fields of Check

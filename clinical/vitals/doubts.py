"""Words around a value by which it is not this patient's sign of now: another person, another time, a plan, a limit.

All of them only refuse: a value too many left as text is missed, one too many read is wrong.
"""

import re

# Behind the name of another person every value may be that person's.
PERSON = (
    r"(?:(?:grand)?(?:mother|father)|mum|mom|dad|husband|wife|spouse|partner|sister|brother|twin|bab(?:y|ies)|neonate"
    r"|newborn|donor|sibling|(?:son|daughter|aunt|uncle|friend|neighbou?r)(?=['\u2019]s))(?:['\u2019]?s)?\b"
)
FETUS = r"(?:fo?etal|fo?etus|fhr|fht|fhs|fhb)\b"
OTHERS = re.compile(rf"\b{PERSON}")
UNBORN = re.compile(rf"\b{FETUS}")
# Somewhere before a value in its sentence: what is to be done once a value is reached.
CONDITION = re.compile(
    r"\b(?:if|when|whenever|unless|until|till|call|notify|inform|refer|report|target|goal|aim|should)\b"
)
# Before it, up to the next comma.
PAST_OR_PLANNED = re.compile(
    r"\b(?:previous(?:ly)?|prev|prior|baseline|usual(?:ly)?|yesterday|ago|at home|maintain|keep|targets?|goals?"
    r"|last[ ](?:visit|reading|seen|night|week|month|year)|ideal|per rectum|rectal|vaginal)\b"
)
# Right before it.
ELSEWHERE = re.compile(
    rf"(?:\b(?:expected|normal|aim|last|no|not|of|for|to|known|needs?|give|if|when|lost|gained|losing|highest|lowest|peak"
    rf"|(?<![/\d])(?<![/\d] )(?<!per )(?<!beats )(?:max|min)|{FETUS})\b"
    r"|->|=>|[<>\u2264\u2265~\u00b1\u2192])[\s:.-]*$"
)
NOT_BREATHING = re.compile(
    r"\b(?:no|not|never|without|was|were|had|den(?:y|ies|ied)|need(?:s|ed)?|requir\w*|for|to|off|stop(?:ped)?|wean\w*|plan\w*"
    r"|consider|give|commence|start|place|put|refus\w*|declin\w*|before|may|might|would)\b"
)
NOT_BLOOD = re.compile(r"\b(?:urin\w*|u/a|dip[ -]?stick|multistix|csf|stools?|bowels?|ascit\w*|pleural)\b")
NOT_THE_BODY = re.compile(
    r"\b(?:fund(?:al|us)|symphys\w*|sfh|birth|placenta\w*|ideal|dry|w(?:eigh)?t for"
    r"|pre-?(?:pregnancy|dialysis)|lesion|wound|mass|swelling|cord|incision"
    r"|femur|cervical|uter\w*|kidney|cyst|fibroid)\b"
)
OF_ONE_SIDE = re.compile(r"\b(?:iop|va|visual|vision|eyes?|ears?)\b")
# Behind it, up to the next label.
BEHIND = re.compile(
    r"\s*(?:[-=\u2013\u2014]*>|\u2192|\?(?!\s?(?!no\b)[a-z]))"
    r"|[\s:?(=-]*(?:no|nil)\b(?!\s*[a-z])"
    rf"|\s*(?:\(|\bof\b|\bfor\b)\s*(?:the\s+)?(?:{PERSON}|{FETUS})"
    r"|\s*\(?(?:in\s+)?(?:urine|csf|stool|target|goal)\b"
    r"|\W*(?:\w+\W+){0,4}?(?:now|yesterday|at home|stopped|discontinued|previously|earlier|initially"
    r"|(?:dropped|fell|rose|improved|increased|decreased|reduced|came|went)(?: (?:up|down))? to"
    r"|last[ ](?:visit|night|week|month|year))\b"
    r"|[\s(]*(?:in|since)\s+(?:19|20)\d\d"
    r"|[ ()-]*(?:[a-z]+ ){0,2}(?:if|unless)\b"
)
NOW_ITSELF = re.compile(r"\s*(?:right )?now\s*(?:[,)]|$)")
OXYGEN_ENDED = re.compile(r"\W*(?:\w+\W+){0,2}?(?:off|removed|weaned|tapered|unavailable|not available|pending)\b")
AGO = re.compile(r"\W*(?:[\w/]+\W+){0,3}?ago\b")
SIDES = re.compile(r"(?:\s*,?\s*l(?:eft)?\s*[:=-]?\s*\d|\s*(?:eye|ear)\b)")
SENTENCE = re.compile(r"[;\n]|[.!](?=\s|$)")
CLAUSE = re.compile(r"[;\n]|[.!](?=\s|$)|(?<!\d),|,(?!\d)")
NEAR = 200  # characters in which a sentence is looked for
CLOUDED = re.compile(r"confus|drows|unrespons|unconsc|letharg|stupor|obtund|somnol|disorient|comatose")
NOW = re.compile(r"\bnow\b")
BREATHING = re.compile(r"(?:on|in|breathing|room)\b|[\d.]+\s*l")
BEATS = re.compile(r"b\.?p\.?m|beats")
PAST_LINK = re.compile(
    r"\b(?:last|previous|prior|prev|usual|birth|ideal|dry|target|yesterday|ago|before|home|max|min|highest|lowest)\b"
)
# A word right before an unlabelled number: it is then a number of whatever was named, if that is no sign itself.
NAMED = re.compile(r"[a-z][\s:=(-]*$")
NAMED_SIGN = re.compile(
    r"\b(?:a?febrile|pyrexi[ac]l?|fever|lying|supine|sitting|standing|vitals?|(?:vital )?signs|v/?s|o/e)"
    r"[\s:=(-]*$"
)


def before(text: str, kind: str, start: int) -> bool:
    """Whether the words before a label of this kind refuse it."""
    said, clause = _since(SENTENCE, text, start), _since(CLAUSE, text, start)
    return bool(
        ELSEWHERE.search(clause)
        or OTHERS.search(text, 0, start)
        or CONDITION.search(said)
        or PAST_OR_PLANNED.search(clause)
        or (kind == "flow" and NOT_BREATHING.search(clause))
        or (kind == "glucose" and NOT_BLOOD.search(said))
        or (kind in ("weight", "height", "w", "h") and NOT_THE_BODY.search(clause))
        or (kind == "r" and OF_ONE_SIDE.search(said))
    )


def between(text: str, kind: str, start: int, value: int) -> bool:
    """Whether the words between a label's end and its value refuse it; an alert one may be said to be another too."""
    is_alert = kind == "response" and text.startswith("a", value)
    words = text[start:value]
    return bool(
        PAST_LINK.search(words) or OTHERS.search(words) or UNBORN.search(words) or (is_alert and CLOUDED.search(text))
    )


def behind(text: str, kind: str, end: int, limit: int) -> bool:
    """Whether the words behind a value refuse it; the next label is at `limit`."""
    rest = _until(SENTENCE, text, end)
    is_told = BEHIND.match(rest[: limit - end]) and not NOW_ITSELF.match(rest)
    return bool(
        is_told
        or AGO.match(rest)
        or (kind in ("r", "pulse", "p") and SIDES.match(rest))
        or (kind == "flow" and OXYGEN_ENDED.match(rest))
    )


def of_bare(text: str, start: int, end: int, limit: int) -> bool:
    """Whether a value without a label is refused by any word around it."""
    written = text[start:end]
    if written == "alert" and (CLOUDED.search(text) or NOW.search(text)):
        return True
    is_named = NAMED.search(text, max(0, start - 20), start) and not NAMED_SIGN.search(text, max(0, start - 20), start)
    if written[0].isdigit() and is_named:
        return True
    if BEATS.search(written) and UNBORN.search(text):
        return True
    kind = "flow" if BREATHING.match(written) else ""
    return before(text, kind, start) or behind(text, kind, end, limit)


def _since(border: re.Pattern[str], text: str, start: int) -> str:
    """What stands before a place, from the last border on."""
    near = text[max(0, start - NEAR) : start]
    at = 0
    for found in border.finditer(near):
        at = found.end()
    return near[at:]


def _until(border: re.Pattern[str], text: str, end: int) -> str:
    """What stands behind a place, up to the next border."""
    near = text[end : end + NEAR]
    found = border.search(near)
    return near[: found.start()] if found else near

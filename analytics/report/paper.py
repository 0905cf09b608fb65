"""The report as PDF: one A4, drawn from the same words as the page; its fonts are embedded, as far as they are used."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from fpdf import FPDF
from fpdf.enums import MethodReturnValue

from analytics.report import page
from analytics.report.facts import Facts

logging.getLogger("fontTools").setLevel(logging.ERROR)  # it tells each table that it leaves out
FONTS = Path(__file__).with_name("fonts")
NAME = "DejaVu"
LEFT, TOP, WIDTH, FOOT = 12.0, 10.0, 186.0, 287.0  # mm of an A4
GAP = 6.0
HALF = (WIDTH - GAP) / 2
INK, SOFT, LINE, TINT, BAR = (22, 32, 42), (91, 104, 115), (217, 223, 228), (243, 246, 248), (159, 195, 176)
GREEN = (11, 107, 58)
LEVELS = {"good": GREEN, "look": (138, 90, 0), "bad": (163, 32, 28)}
SIZES = (9.0, 8.5, 8.0, 7.5, 7.0, 6.5, 6.0, 5.5)  # the largest at which all of it is on one page


def pdf(facts: Facts) -> bytes:
    """The same bytes for the same facts."""
    told = page.told(facts)
    for size in SIZES:
        sheet = _Sheet(facts, told, size)
        if sheet.y <= FOOT:
            break
    return sheet.bytes()


class _Sheet:
    """One try to set it in one size; `y` is where it ends."""

    def __init__(self, facts: Facts, told: dict[str, Any], size: float) -> None:
        self.facts, self.told, self.size, self.row = facts, told, size, size * 0.5
        self.y = TOP
        self.paper = FPDF(format="A4")
        self.paper.set_creation_date(datetime.fromisoformat(facts["as_of"]))
        self.paper.add_font(NAME, "", FONTS / "DejaVuSansCondensed.ttf")
        self.paper.add_font(NAME, "B", FONTS / "DejaVuSansCondensed-Bold.ttf")
        self.paper.set_auto_page_break(False)
        self.paper.c_margin = 0
        self.paper.set_title(f"Nightly report, {facts['place']}, {told['night']}")
        self.paper.set_author("Medilink")
        self.paper.set_lang("en")
        self.paper.add_page()
        self._head()
        self._verdict()
        self._columns([self._figures, self._conditions], [self._curve, self._quality])
        self._places()
        self._last_words()

    def bytes(self) -> bytes:
        return bytes(self.paper.output())

    # --- What is drawn with

    def _write(
        self,
        text: str,
        x: float = LEFT,
        width: float = WIDTH,
        *,
        size: float = 0,
        bold: bool = False,
        colour: Any = INK,
    ) -> None:
        """A paragraph from here on, as wide as is given."""
        size = size or self.size
        self._pen(size, bold=bold, colour=colour)
        self.paper.set_xy(x, self.y)
        self.paper.multi_cell(width, size * 0.47, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.y = self.paper.get_y()

    def _pen(self, size: float, *, bold: bool = False, colour: Any = INK) -> None:
        self.paper.set_font(NAME, "B" if bold else "", size)
        self.paper.set_text_color(*colour)

    def _title(self, text: str, x: float = LEFT, width: float = WIDTH) -> None:
        self.y += self.row * 0.7
        self._write(text, x, width, size=self.size + 1, bold=True, colour=GREEN)

    def _line(self, cells: Any, x: float, widths: Any, *, colour: Any = INK, size: float = 0) -> None:
        """One line of a table: the first cell is a name, cut where it does not fit; numbers stand to the right."""
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            self._pen(size or self.size, colour=colour)
            self.paper.set_xy(x, self.y)
            self.paper.cell(width, self.row, self._fitted(cell, width) if n == 0 else cell, align="R" if n else "L")
            x += width
        self.y += self.row
        self.paper.set_draw_color(*LINE)
        self.paper.set_line_width(0.1)
        self.paper.line(x - sum(widths), self.y, x, self.y)

    def _fitted(self, text: str, width: float) -> str:
        if self.paper.get_string_width(text) <= width - 2:
            return text
        while text and self.paper.get_string_width(f"{text}…") > width - 2:
            text = text[:-1]
        return f"{text}…"

    def _columns(self, *columns: Any) -> None:
        """Side by side; it goes on below the longer one."""
        top, ends = self.y, []
        for n, parts in enumerate(columns):
            self.y = top
            for part in parts:
                part(LEFT + n * (HALF + GAP))
            ends.append(self.y)
        self.y = max(ends)

    # --- The parts

    def _head(self) -> None:
        self._write("MEDILINK · NIGHTLY REPORT", size=7, colour=SOFT)
        top = self.y
        self._write(self.facts["place"], size=19, bold=True)
        end = self.y
        self._pen(9, colour=SOFT)
        self.paper.set_xy(LEFT, top + 4)
        self.paper.cell(WIDTH, 5, f"Night of {self.told['night']}", align="R")
        self.y = end + 1
        self.paper.set_fill_color(*GREEN)
        self.paper.rect(LEFT, self.y, WIDTH, 0.8, "F")
        self.y += 2.6

    def _verdict(self) -> None:
        colour = LEVELS[self.facts["verdict"]["level"]]
        inner, width = LEFT + 4, WIDTH - 6
        lines = [self.told["delivered"], f"Waits for a decision: {self.told['waits']}"]
        self._pen(self.size)
        count = sum(len(self._lines_of(line, width)) for line in lines)
        height = count * self.size * 0.47 + (self.size + 2) * 0.47 + 3
        self.paper.set_fill_color(*TINT)
        self.paper.rect(LEFT, self.y, WIDTH, height, "F")
        self.paper.set_fill_color(*colour)
        self.paper.rect(LEFT, self.y, 1.4, height, "F")
        end = self.y + height
        self.y += 1.5
        self._write(self.facts["verdict"]["words"], inner, width, size=self.size + 2, bold=True, colour=colour)
        for line in lines:
            self._write(line, inner, width)
        self.y = max(self.y, end)

    def _lines_of(self, text: str, width: float) -> list[str]:
        found: Any = self.paper.multi_cell(width, 4, text, dry_run=True, output=MethodReturnValue.LINES)
        return list(found)

    def _figures(self, x: float) -> None:
        self._title("Figures", x, HALF)
        widths = (HALF * 0.27, HALF * 0.2, HALF * 0.165, HALF * 0.2, HALF * 0.165)
        self._line(("", "7 days", "change", "30 days", "change"), x, widths, colour=SOFT)
        for one in self.told["figures"]:
            cells = (one["label"], one["week"], one["week_change"], one["month"], one["month_change"])
            self._line(cells, x, widths)

    def _curve(self, x: float) -> None:
        self._title("Visits, day by day", x, HALF)
        height = 15.0
        drawn = page.curve(self.facts["curve"], HALF, height)
        if not drawn["bars"]:
            self._write("No visits yet.", x, HALF)
            return
        self.y += 0.8
        self.paper.set_fill_color(*BAR)
        for bar in drawn["bars"]:
            self.paper.rect(x + bar["x"], self.y + bar["y"], bar["width"], bar["height"], "F")
        self.paper.set_draw_color(*GREEN)
        self.paper.set_line_width(0.35)
        if len(drawn["line"]) > 1:
            self.paper.polyline([(x + across, self.y + down) for across, down in drawn["line"]])
        self.y += height + 0.4
        said = f"{drawn['first']} to {drawn['last']} · bars: visits, {drawn['most']} at most · line: 7-day mean"
        self._write(said, x, HALF, size=self.size - 1.2, colour=SOFT)

    def _conditions(self, x: float) -> None:
        self._title("Conditions named most", x, HALF)
        if not self.told["conditions"]:
            self._write("None that may be shown.", x, HALF)
            return
        widths = (HALF * 0.36, HALF * 0.25, HALF * 0.21, HALF * 0.18)
        self._line(("", f"{self.told['month']} so far", "before", "mean level"), x, widths, colour=SOFT)
        for line in self.told["conditions"]:
            self._line(line, x, widths)

    def _quality(self, x: float) -> None:
        self._title("Data quality", x, HALF)
        for said in self.facts["quality"] or ["Nothing was found."]:
            self._write(said, x, HALF)

    def _places(self) -> None:
        count = self.facts["silent"]["count"]
        self._title(f"Silent facilities ({count:,})" if count else "Silent facilities")
        self._write(self.told["silent"])
        self._title("By LGA, last 30 days" if self.facts["state"] else "By state, last 7 days")
        names = page.columns(self.facts)
        shares = [0.37, 0.17, 0.16, 0.15, 0.15] if len(names) == 5 else [0.49, 0.17, 0.17, 0.17]
        places = self.told["places"]
        middle = (len(places) + 1) // 2

        def half(lines: Any) -> Any:
            return lambda x: self._table(("", *names[1:]), lines, x, [HALF * share for share in shares])

        self._columns([half(places[:middle])], [half(places[middle:])])

    def _table(self, names: Any, lines: Any, x: float, widths: Any) -> None:
        size, row = self.size, self.row
        self.size, self.row = size - 0.7, row - 0.35
        self._line(names, x, widths, colour=SOFT)
        for line in lines:
            self._line(line, x, widths)
        self.size, self.row = size, row

    def _last_words(self) -> None:
        self._title("How far to trust this")
        self._write(self.told["trust"])
        self._title("How to read this")
        reading = " ".join(f"{label}: {text}" for label, text in self.facts["reading"])
        self._write(f"{self.told['how']} {reading}", size=self.size - 1.2, colour=SOFT)
        self.y += 0.8
        self._pen(self.size, colour=GREEN)
        self.paper.set_xy(LEFT, self.y)
        self.paper.cell(WIDTH, self.row, self.facts["link"], link=self.facts["link"])
        self.y += self.row

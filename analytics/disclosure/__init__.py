"""Small numbers of people, withheld from who has no clinical role: by which rule, and what that protects.

**The mart** `condition_analysis` decides over the whole table, in SQL (sql/condition_analysis_v2.sql). A *block* is all
lines of a condition and month; what is published beside the shown lines are sums of whole blocks: of a condition
(`condition_total`) and of a month (from `share_of_month_pct`). The rule is that of protection intervals for tables with
margins (Hundepool and others, Statistical Disclosure Control, 2012, chapter 4; the cycles are Gusfield's, SIAM Journal
on Computing 17, 1988):

1. A line of 1-7 is hidden, and where it is the only one of its block the next smallest too (contract/api.md). More of
   the smallest are, until neither "all are 1", nor "all are 7", nor "all are as many as the smallest that is shown"
   follows from the block's own sum. Such a block is *loose*: whatever sums of blocks are known, each of its hidden
   lines may have another number.
2. A block that cannot become loose, since all its lines are hidden, is safe where a cycle of loose blocks leads past
   it: along it one more here and one less there leaves every total as it is. Where none does, the shares of its month
   and if need be the total of its condition are withheld, each with another one, or it would follow from the rest.
3. A total or share is withheld too where its hidden lines would keep fewer than 7 possible numbers each.
   Ranks are told among the conditions whose totals are shown, so that no gap in them tells of the others.
4. A condition's lines of a state and month are at most its visits, which triage-trends shows: where these leave the
   hidden ones no room, the shown ones of that state are hidden as well.

**Publications** (`?as_of=`) tell of earlier days, so that each is a further table of nearly the same numbers: what one
hides, another shows, and events come and hardly ever go. Of them no total, rank or share is told, and no line that the
mart hides today (migration 0012): no sum of an earlier day is known, and none of today's hidden lines has a number of
an earlier day below it. tests/attack_suppression.py tries it.

**Tables that pages and exports make** go through `table` or `shown`.

What this cannot protect: where a state had so few visits in a month that triage-trends itself bounds each line at 1;
who reads visits one by one, as the contract lets analysts, can count them; and whoever keeps the answers that were
given on two days sees what came between.
"""

from analytics.disclosure.tables import SMALL, UNDER, Cell, row, shown, table

__all__ = ["SMALL", "UNDER", "Cell", "row", "shown", "table"]

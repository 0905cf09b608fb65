-- Which numbers analysts see (analytics/disclosure/__init__.py has the rule and its proof). All of it is decided here, over
-- the whole table, so that no filter, sum or scope can change it.
CREATE MATERIALIZED VIEW marts.condition_analysis AS
WITH spellings AS MATERIALIZED (
    -- Else a plan made before the tables are analyzed finds them anew for every visit.
    SELECT spelling, condition FROM staging.stg_condition_spellings
),
occurrences AS (
    -- DISTINCT: a visit that has a condition twice, in whatever spelling, counts once.
    SELECT DISTINCT v.triage_id, s.condition, v.patient_id, v.facility_id, v.triage_level, v.visited_on
    FROM staging.stg_triage_visits v
    CROSS JOIN unnest(v.likely_conditions) AS item
    JOIN spellings s ON s.spelling = item
),
lines AS MATERIALIZED (
    SELECT
        o.condition,
        f.state,
        staging.age_group(staging.age_on(o.visited_on, p.dob)) AS age_group,
        p.sex,
        date_trunc('month', o.visited_on::timestamp)::date AS month,
        count(*) AS occurrences,
        sum(o.triage_level) AS levels,
        count(*) FILTER (WHERE o.triage_level <= 2) AS critical
    FROM occurrences o
    JOIN public.patients p ON p.id = o.patient_id
    JOIN public.facilities f ON f.id = o.facility_id
    GROUP BY 1, 2, 3, 4, 5
),
conditions AS (
    SELECT
        condition,
        sum(occurrences)::bigint AS total,
        rank() OVER (ORDER BY sum(occurrences) DESC) AS frequency_rank,
        -- Not numeric, whose division may give 5/3 and 50/30 different lengths, and so two ranks.
        rank() OVER (ORDER BY sum(levels)::double precision / sum(occurrences)::double precision) AS severity_rank
    FROM lines
    GROUP BY condition
),
months AS (
    SELECT month, sum(occurrences) AS total
    FROM lines
    GROUP BY month
),
ranked AS (
    SELECT
        lines.*,
        count(*) FILTER (WHERE occurrences <= 7) OVER block AS small_lines,
        row_number() OVER by_size AS nth,
        sum(occurrences) OVER (by_size ROWS UNBOUNDED PRECEDING) AS sum_so_far,
        lead(occurrences) OVER by_size AS next_one
    FROM lines
    WINDOW
        block AS (PARTITION BY condition, month),
        by_size AS (
            PARTITION BY condition, month
            ORDER BY occurrences, state COLLATE "C", age_group COLLATE "C", sex COLLATE "C"
        )
),
-- The smallest lines of a condition and month are hidden until the sum of the hidden ones would force none of them.
cut AS (
    SELECT
        ranked.*,
        coalesce(
            min(nth) FILTER (
                WHERE nth = small_lines AND nth >= 2 AND sum_so_far > nth AND sum_so_far < 7 * nth
                   OR nth > small_lines AND (next_one IS NULL OR nth * next_one - sum_so_far >= 6)
            ) OVER (PARTITION BY condition, month),
            count(*) OVER (PARTITION BY condition, month)
        ) AS hidden_lines
    FROM ranked
),
-- A condition's lines of a state and month are no more than the visits that triage_trends tells of.
visits AS (
    SELECT f.state, date_trunc('month', v.visited_on::timestamp)::date AS month, sum(v.visits) AS total
    FROM (
        SELECT facility_id, visited_on, count(*) AS visits FROM staging.stg_triage_visits GROUP BY 1, 2
    ) AS v
    JOIN public.facilities f ON f.id = v.facility_id
    GROUP BY 1, 2
),
tight AS (
    SELECT c.condition, c.state, c.month
    FROM cut c
    JOIN visits v ON v.state = c.state AND v.month = c.month
    WHERE c.small_lines > 0
    GROUP BY c.condition, c.state, c.month, v.total
    HAVING count(*) FILTER (WHERE c.nth <= c.hidden_lines) > 0
       AND count(*) FILTER (WHERE c.nth > c.hidden_lines) > 0
       AND v.total - coalesce(sum(c.occurrences) FILTER (WHERE c.nth > c.hidden_lines), 0)
           <= count(*) FILTER (WHERE c.nth <= c.hidden_lines)
),
judged AS MATERIALIZED (
    SELECT c.*, c.small_lines > 0 AND (c.nth <= c.hidden_lines OR t.condition IS NOT NULL) AS is_small
    FROM cut c
    LEFT JOIN tight t ON t.condition = c.condition AND t.state = c.state AND t.month = c.month
),
-- `up` and `down`: by how much the hidden lines together are above the least and below the most that they could be.
blocks AS MATERIALIZED (
    SELECT
        condition,
        month,
        hidden,
        up,
        CASE
            WHEN hidden = small_lines THEN 7 * hidden - total
            WHEN least_shown IS NULL THEN 1000000
            ELSE hidden * least_shown - total
        END AS down
    FROM (
        SELECT
            condition,
            month,
            min(small_lines) AS small_lines,
            count(*) AS hidden,
            sum(occurrences) AS total,
            sum(occurrences) - count(*) AS up,
            min(least_shown) AS least_shown
        FROM (
            SELECT judged.*, min(occurrences) FILTER (WHERE NOT is_small) OVER (PARTITION BY condition, month) AS least_shown
            FROM judged
        ) AS lines_of_blocks
        WHERE is_small
        GROUP BY condition, month
    ) AS sums
),
loose AS MATERIALIZED (
    SELECT condition, month FROM blocks WHERE hidden >= 2 AND up >= 1 AND down >= 1
),
-- Blocks whose sum would force a line, and whose sum the totals of conditions and months may give: no cycle of loose
-- blocks leads past them, by another month of the condition and another condition of both months.
linked AS MATERIALIZED (
    SELECT DISTINCT one.month, other.month AS other_month
    FROM loose one
    JOIN loose other ON other.condition = one.condition AND other.month <> one.month
),
bare AS MATERIALIZED (
    SELECT b.condition, b.month
    FROM blocks b
    LEFT JOIN loose l ON l.condition = b.condition AND l.month = b.month
    LEFT JOIN (
        SELECT DISTINCT linked.month, loose.condition
        FROM linked
        JOIN loose ON loose.month = linked.other_month
    ) AS covered ON covered.condition = b.condition AND covered.month = b.month
    WHERE l.condition IS NULL AND covered.condition IS NULL
),
poor_months AS MATERIALIZED (
    SELECT month FROM bare
    UNION
    SELECT month FROM blocks GROUP BY month HAVING sum(up) < 6 OR sum(down) < 6
),
-- One alone would follow from all the others: the month with the most loose blocks goes along.
hidden_months AS MATERIALIZED (
    SELECT month FROM poor_months
    UNION
    (
        SELECT month FROM loose
        WHERE EXISTS (SELECT FROM poor_months) AND month NOT IN (SELECT month FROM poor_months)
        GROUP BY month ORDER BY count(*) DESC, month DESC LIMIT 1
    )
),
poor_conditions AS MATERIALIZED (
    SELECT b.condition FROM bare b
    WHERE NOT EXISTS (
        SELECT FROM loose l
        WHERE l.condition = b.condition AND l.month <> b.month AND l.month IN (SELECT month FROM hidden_months)
    )
    UNION
    SELECT condition FROM blocks GROUP BY condition HAVING sum(up) < 6 OR sum(down) < 6
),
hidden_totals AS MATERIALIZED (
    SELECT condition FROM poor_conditions
    UNION
    (
        SELECT c.condition FROM conditions c
        WHERE EXISTS (SELECT FROM poor_conditions) AND c.condition NOT IN (SELECT condition FROM poor_conditions)
          AND EXISTS (SELECT FROM blocks b WHERE b.condition = c.condition)
        ORDER BY c.total, c.condition COLLATE "C" LIMIT 1
    )
),
conditions_shown AS (
    SELECT
        condition,
        rank() OVER (ORDER BY frequency_rank) AS frequency_rank,
        rank() OVER (ORDER BY severity_rank) AS severity_rank
    FROM conditions
    WHERE condition NOT IN (SELECT condition FROM hidden_totals)
)
SELECT
    h.condition,
    h.state,
    h.age_group,
    h.sex,
    h.month,
    h.occurrences AS occurrence_count,
    (h.levels / h.occurrences::numeric)::numeric(3, 2) AS avg_triage_level,
    h.critical AS critical_count,
    c.total AS condition_total,
    c.frequency_rank,
    c.severity_rank,
    (100 * h.occurrences / m.total)::numeric(4, 1) AS share_of_month_pct,
    h.is_small,
    s.condition IS NOT NULL AS shows_total,
    NOT EXISTS (SELECT FROM hidden_months WHERE hidden_months.month = h.month) AS shows_share,
    s.frequency_rank AS shown_frequency_rank,
    s.severity_rank AS shown_severity_rank
FROM judged h
JOIN conditions c ON c.condition = h.condition
JOIN months m ON m.month = h.month
LEFT JOIN conditions_shown s ON s.condition = h.condition
-- In the order in which a concurrent refresh looks for duplicates: sorted rows cost it a quarter of the time.
ORDER BY h.condition COLLATE "C", h.state COLLATE "C", h.age_group COLLATE "C", h.sex COLLATE "C", h.month
WITH DATA;

CREATE UNIQUE INDEX condition_analysis_grain
    ON marts.condition_analysis (condition, month, state, age_group, sex);
CREATE INDEX condition_analysis_state ON marts.condition_analysis (state, month);

COMMENT ON MATERIALIZED VIEW marts.condition_analysis IS 'One row per condition, state, age group, sex and month, from the conditions of triage visits; a condition counts once per visit';
COMMENT ON COLUMN marts.condition_analysis.condition IS 'The condition in its most frequent spelling; spellings that differ in case only are one';
COMMENT ON COLUMN marts.condition_analysis.state IS 'State of the facility';
COMMENT ON COLUMN marts.condition_analysis.age_group IS 'Infant < 1, Child 1-12, Adolescent 13-17, Adult 18-64, Senior 65+, on the day of the visit';
COMMENT ON COLUMN marts.condition_analysis.sex IS 'M, F, Other or Unknown';
COMMENT ON COLUMN marts.condition_analysis.month IS 'First day of the month of the visit';
COMMENT ON COLUMN marts.condition_analysis.occurrence_count IS 'Visits with the condition';
COMMENT ON COLUMN marts.condition_analysis.avg_triage_level IS 'Their mean level, two decimals';
COMMENT ON COLUMN marts.condition_analysis.critical_count IS 'Those of level 1-2';
COMMENT ON COLUMN marts.condition_analysis.condition_total IS 'Visits with the condition in the whole table';
COMMENT ON COLUMN marts.condition_analysis.frequency_rank IS 'Rank of the condition by condition_total, the most frequent first; equal ones share a rank';
COMMENT ON COLUMN marts.condition_analysis.severity_rank IS 'Rank of the condition by its mean level in the whole table, the lowest (most severe) first; equal ones share a rank';
COMMENT ON COLUMN marts.condition_analysis.share_of_month_pct IS 'This line''s share of all occurrences of all conditions in the month, 0-100';
COMMENT ON COLUMN marts.condition_analysis.is_small IS 'True where analysts see no numbers: 1-7 occurrences, and the next smallest lines of a condition and month where the sum of the hidden ones would tell one of them';
COMMENT ON COLUMN marts.condition_analysis.shows_total IS 'False where analysts see no condition_total, since it would tell hidden lines too closely';
COMMENT ON COLUMN marts.condition_analysis.shows_share IS 'False where analysts see no share_of_month_pct in the month, since the month''s total would tell hidden lines too closely';
COMMENT ON COLUMN marts.condition_analysis.shown_frequency_rank IS 'frequency_rank among the conditions whose total analysts see; null for the others';
COMMENT ON COLUMN marts.condition_analysis.shown_severity_rank IS 'severity_rank among the conditions whose total analysts see; null for the others';

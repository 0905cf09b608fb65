CREATE MATERIALIZED VIEW marts.condition_analysis AS
WITH occurrences AS (
    -- DISTINCT: a visit that has a condition twice, in whatever spelling, counts once.
    SELECT DISTINCT v.triage_id, s.condition, v.patient_id, v.facility_id, v.triage_level, v.visited_on
    FROM staging.stg_triage_visits v
    CROSS JOIN unnest(v.likely_conditions) AS item
    JOIN staging.stg_condition_spellings s ON s.spelling = item
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
hidden AS (
    SELECT
        lines.*,
        count(*) FILTER (WHERE occurrences <= 7) OVER (PARTITION BY condition, month) AS small_lines,
        row_number() OVER (
            PARTITION BY condition, month
            ORDER BY occurrences, state COLLATE "C", age_group COLLATE "C", sex COLLATE "C"
        ) AS nth_smallest
    FROM lines
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
    -- One hidden line alone could be told from the sums; the next smallest hides it.
    h.occurrences <= 7 OR (h.small_lines = 1 AND h.nth_smallest = 2) AS is_small
FROM hidden h
JOIN conditions c ON c.condition = h.condition
JOIN months m ON m.month = h.month
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
COMMENT ON COLUMN marts.condition_analysis.is_small IS 'True where analysts see no numbers: 1-7 occurrences, or the next smallest line where only one of a condition and month has so few';

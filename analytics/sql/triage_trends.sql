-- Days without visits are rows too: windows of rows are then windows of days. A visit dated
-- tomorrow waits for its day.
CREATE MATERIALIZED VIEW marts.triage_trends AS
WITH visits AS MATERIALIZED (
    SELECT
        v.visited_on AS day,
        CASE WHEN grouping(f.state) = 1 THEN 'ALL' ELSE f.state::text END AS state,
        count(*) AS total,
        count(*) FILTER (WHERE v.triage_level <= 2) AS critical,
        count(*) FILTER (WHERE v.triage_level = 3) AS high,
        count(*) FILTER (WHERE v.triage_level = 4) AS medium,
        count(*) FILTER (WHERE v.triage_level = 5) AS low
    FROM staging.stg_triage_visits v
    JOIN public.facilities f ON f.id = v.facility_id
    GROUP BY GROUPING SETS ((v.visited_on, f.state), (v.visited_on))
),
calendar AS (
    SELECT states.state, first_day, first_day + n AS day
    FROM (SELECT DISTINCT state FROM visits) AS states
    CROSS JOIN (SELECT min(day) AS first_day FROM visits) AS beginning
    CROSS JOIN LATERAL generate_series(0, staging.lagos_today() - first_day) AS n
),
days AS (
    SELECT
        c.day,
        c.state,
        c.day >= c.first_day + 6 AS is_week_full,
        coalesce(v.total, 0) AS total,
        coalesce(v.critical, 0) AS critical,
        coalesce(v.high, 0) AS high,
        coalesce(v.medium, 0) AS medium,
        coalesce(v.low, 0) AS low
    FROM calendar c
    LEFT JOIN visits v ON v.day = c.day AND v.state = c.state
),
weeks AS (
    SELECT
        days.*,
        CASE WHEN is_week_full THEN sum(total) OVER week END AS week_total,
        CASE WHEN is_week_full THEN sum(critical) OVER week END AS week_critical,
        lag(total, 7) OVER calendar_days AS week_ago
    FROM days
    WINDOW
        calendar_days AS (PARTITION BY state ORDER BY day),
        week AS (calendar_days ROWS 6 PRECEDING)
)
SELECT
    day,
    state,
    to_char(day, 'FMDay') AS day_name,
    total AS total_visits,
    critical AS critical_count,
    high AS high_count,
    medium AS medium_count,
    low AS low_count,
    (100.0 * critical / nullif(total, 0))::numeric(4, 1) AS critical_pct,
    (100.0 * high / nullif(total, 0))::numeric(4, 1) AS high_pct,
    (100.0 * medium / nullif(total, 0))::numeric(4, 1) AS medium_pct,
    (100.0 * low / nullif(total, 0))::numeric(4, 1) AS low_pct,
    (week_total / 7)::numeric(12, 2) AS ma_7_day_visits,
    (week_critical / 7)::numeric(12, 2) AS ma_7_day_critical,
    week_ago AS visits_7_days_ago,
    (100.0 * (total - week_ago) / nullif(week_ago, 0))::numeric(12, 1) AS wow_growth_pct
FROM weeks
WITH DATA;

CREATE UNIQUE INDEX triage_trends_grain ON marts.triage_trends (state, day);
CREATE INDEX triage_trends_day ON marts.triage_trends (day);

COMMENT ON MATERIALIZED VIEW marts.triage_trends IS 'One row per day and state with visits, and per day and ALL, from the first visit day of all to today; a day without visits is a row of zeros';
COMMENT ON COLUMN marts.triage_trends.day IS 'Africa/Lagos day';
COMMENT ON COLUMN marts.triage_trends.state IS 'State of the facility, or ALL for the whole table';
COMMENT ON COLUMN marts.triage_trends.day_name IS 'English name of the weekday';
COMMENT ON COLUMN marts.triage_trends.total_visits IS 'Visits on that day';
COMMENT ON COLUMN marts.triage_trends.critical_count IS 'Visits of level 1-2';
COMMENT ON COLUMN marts.triage_trends.high_count IS 'Visits of level 3';
COMMENT ON COLUMN marts.triage_trends.medium_count IS 'Visits of level 4';
COMMENT ON COLUMN marts.triage_trends.low_count IS 'Visits of level 5';
COMMENT ON COLUMN marts.triage_trends.critical_pct IS 'Share of the day''s visits, 0-100; null without visits';
COMMENT ON COLUMN marts.triage_trends.high_pct IS 'Share of the day''s visits, 0-100; null without visits';
COMMENT ON COLUMN marts.triage_trends.medium_pct IS 'Share of the day''s visits, 0-100; null without visits';
COMMENT ON COLUMN marts.triage_trends.low_pct IS 'Share of the day''s visits, 0-100; null without visits';
COMMENT ON COLUMN marts.triage_trends.ma_7_day_visits IS 'Mean daily visits of this day and the 6 before; null for the first 6 days';
COMMENT ON COLUMN marts.triage_trends.ma_7_day_critical IS 'Mean daily visits of level 1-2 of this day and the 6 before; null for the first 6 days';
COMMENT ON COLUMN marts.triage_trends.visits_7_days_ago IS 'Visits on the same weekday a week before; null for the first 7 days';
COMMENT ON COLUMN marts.triage_trends.wow_growth_pct IS 'Growth over that day in percent; null where it had no visits';

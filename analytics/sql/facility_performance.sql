-- Monthly means: one line per patient and month first, so that a patient with a visit and a record in one month counts
-- once, and neither multiplies the other.
CREATE MATERIALIZED VIEW marts.facility_performance AS
WITH clock AS MATERIALIZED (
    SELECT
        today,
        this_month,
        (this_month - interval '12 months')::date AS first_month,
        date_part('year', this_month) * 12 + date_part('month', this_month) AS month_number
    FROM (SELECT staging.lagos_today() AS today) AS now_is
    CROSS JOIN LATERAL (SELECT date_trunc('month', today::timestamp)::date AS this_month) AS month_is
),
recent AS (
    SELECT
        facility_id,
        count(*) AS visits,
        count(*) FILTER (WHERE triage_level <= 2) AS critical_visits,
        avg(triage_level) AS mean_level
    FROM staging.stg_triage_visits CROSS JOIN clock
    WHERE visited_on BETWEEN today - 29 AND today
    GROUP BY facility_id
),
events AS (
    SELECT facility_id, patient_id, date_trunc('month', visited_on::timestamp) AS month, 1 AS visits, 0 AS records
    FROM staging.stg_triage_visits CROSS JOIN clock
    WHERE visited_on >= first_month AND visited_on < this_month
    UNION ALL
    SELECT facility_id, patient_id, date_trunc('month', recorded_on::timestamp), 0, 1
    FROM staging.stg_medical_records CROSS JOIN clock
    WHERE recorded_on >= first_month AND recorded_on < this_month
),
patients_by_month AS (
    SELECT facility_id, sum(visits) AS visits, sum(records) AS records
    FROM events
    GROUP BY facility_id, patient_id, month
),
year AS (
    SELECT facility_id, count(*) AS patients, sum(visits) AS visits, sum(records) AS records
    FROM patients_by_month
    GROUP BY facility_id
),
facilities AS (
    SELECT
        d.*,
        -- The complete months since the first activity, its own among them: 12 at most, and 1 where there is none yet.
        least(12, greatest(1, month_number
            - date_part('year', d.first_activity_date) * 12 - date_part('month', d.first_activity_date)
        ))::numeric AS months
    FROM marts.dim_facilities d CROSS JOIN clock
)
SELECT
    f.facility_id,
    f.facility_name,
    f.state,
    f.lga,
    f.lga_name,
    f.facility_category,
    f.total_patients,
    CASE
        WHEN NOT f.is_active_last_30_days THEN 'Inactive'
        WHEN f.total_patients > 100 THEN 'High'
        WHEN f.total_patients >= 50 THEN 'Medium'
        ELSE 'Low'
    END AS volume_category,
    CASE
        WHEN r.mean_level <= 2.5 THEN 'High'
        WHEN r.mean_level <= 3.5 THEN 'Medium'
        WHEN r.mean_level IS NOT NULL THEN 'Low'
    END AS acuity_category,
    coalesce(r.visits, 0) AS visits_30d,
    coalesce(r.critical_visits, 0) AS critical_visits_30d,
    r.mean_level::numeric(3, 2) AS avg_triage_level_30d,
    coalesce(y.visits / f.months, 0)::numeric(12, 2) AS avg_monthly_visits,
    coalesce(y.patients / f.months, 0)::numeric(12, 2) AS avg_monthly_patients,
    coalesce(y.records / f.months, 0)::numeric(12, 2) AS avg_monthly_records
FROM facilities f
LEFT JOIN recent r ON r.facility_id = f.facility_id
LEFT JOIN year y ON y.facility_id = f.facility_id
WITH DATA;

CREATE UNIQUE INDEX facility_performance_grain ON marts.facility_performance (facility_id);
CREATE INDEX facility_performance_place ON marts.facility_performance (state, lga_name);

COMMENT ON MATERIALIZED VIEW marts.facility_performance IS 'One row per facility: the last 30 days, and the mean month of the 12 complete calendar months before this one (younger facilities: since the month of their first activity)';
COMMENT ON COLUMN marts.facility_performance.facility_id IS 'Medilink''s number of the facility (facilities.id)';
COMMENT ON COLUMN marts.facility_performance.facility_name IS 'Name as delivered';
COMMENT ON COLUMN marts.facility_performance.state IS 'One of the 36 states or FCT, upper case';
COMMENT ON COLUMN marts.facility_performance.lga IS 'Local government area as delivered; empty where none was';
COMMENT ON COLUMN marts.facility_performance.lga_name IS 'Official name of the LGA where it is one of the 774, else as delivered';
COMMENT ON COLUMN marts.facility_performance.facility_category IS 'Hospital, Pharmacy, Clinic, Health Center or Other';
COMMENT ON COLUMN marts.facility_performance.total_patients IS 'Patients the facility knows';
COMMENT ON COLUMN marts.facility_performance.volume_category IS 'Inactive without activity in 30 days; else by total_patients: High > 100, Medium 50-100, Low < 50';
COMMENT ON COLUMN marts.facility_performance.acuity_category IS 'By the unrounded mean level of 30 days: High up to 2.5, Medium up to 3.5, else Low; null without visits';
COMMENT ON COLUMN marts.facility_performance.visits_30d IS 'Visits today and in the 29 days before';
COMMENT ON COLUMN marts.facility_performance.critical_visits_30d IS 'Those of level 1-2';
COMMENT ON COLUMN marts.facility_performance.avg_triage_level_30d IS 'Their mean level, two decimals; null without visits';
COMMENT ON COLUMN marts.facility_performance.avg_monthly_visits IS 'Visits per month; 0 without activity';
COMMENT ON COLUMN marts.facility_performance.avg_monthly_patients IS 'Mean of the monthly distinct patients with a visit or a record; 0 without activity';
COMMENT ON COLUMN marts.facility_performance.avg_monthly_records IS 'Records per month; 0 without activity';

-- Each fact is summed on its own before it is joined: a join of facts would multiply them. Both ends of "the last 30
-- days" are asked for, since an event may be dated tomorrow.
CREATE MATERIALIZED VIEW marts.dim_facilities AS
WITH clock AS MATERIALIZED (
    SELECT staging.lagos_today() AS today
),
patients AS (
    SELECT facility_id, count(*) AS total
    FROM staging.stg_patients
    GROUP BY facility_id
),
records AS (
    SELECT
        facility_id,
        count(*) AS total,
        min(recorded_on) AS first_on,
        max(recorded_on) AS last_on,
        bool_or(recorded_on BETWEEN today - 29 AND today) AS is_recent
    FROM staging.stg_medical_records CROSS JOIN clock
    GROUP BY facility_id
),
visits AS (
    SELECT
        facility_id,
        count(*) AS total,
        avg(triage_level) AS mean_level,
        min(visited_on) AS first_on,
        max(visited_on) AS last_on,
        bool_or(visited_on BETWEEN today - 29 AND today) AS is_recent
    FROM staging.stg_triage_visits CROSS JOIN clock
    GROUP BY facility_id
)
SELECT
    f.facility_id,
    f.facility_name,
    f.state,
    f.lga,
    f.lga_name,
    f.latitude,
    f.longitude,
    f.facility_type,
    f.facility_category,
    f.has_coordinates,
    f.created_at,
    coalesce(p.total, 0) AS total_patients,
    coalesce(r.total, 0) AS total_medical_records,
    coalesce(v.total, 0) AS total_triage_visits,
    v.mean_level::numeric(3, 2) AS avg_triage_level,
    least(r.first_on, v.first_on) AS first_activity_date,
    greatest(r.last_on, v.last_on) AS last_activity_date,
    coalesce(r.is_recent, false) OR coalesce(v.is_recent, false) AS is_active_last_30_days
FROM staging.stg_facilities f
LEFT JOIN patients p ON p.facility_id = f.facility_id
LEFT JOIN records r ON r.facility_id = f.facility_id
LEFT JOIN visits v ON v.facility_id = f.facility_id
WITH DATA;

CREATE UNIQUE INDEX dim_facilities_grain ON marts.dim_facilities (facility_id);
CREATE INDEX dim_facilities_place ON marts.dim_facilities (state, lga_name);

COMMENT ON MATERIALIZED VIEW marts.dim_facilities IS 'One row per facility, with what happened there in all';
COMMENT ON COLUMN marts.dim_facilities.facility_id IS 'Medilink''s number of the facility (facilities.id)';
COMMENT ON COLUMN marts.dim_facilities.facility_name IS 'Name as delivered';
COMMENT ON COLUMN marts.dim_facilities.state IS 'One of the 36 states or FCT, upper case';
COMMENT ON COLUMN marts.dim_facilities.lga IS 'Local government area as delivered; empty where none was';
COMMENT ON COLUMN marts.dim_facilities.lga_name IS 'Official name of the LGA where it is one of the 774, else as delivered';
COMMENT ON COLUMN marts.dim_facilities.latitude IS 'Decimal degrees north; null without usable coordinates';
COMMENT ON COLUMN marts.dim_facilities.longitude IS 'Decimal degrees east; null without usable coordinates';
COMMENT ON COLUMN marts.dim_facilities.facility_type IS 'Type as delivered';
COMMENT ON COLUMN marts.dim_facilities.facility_category IS 'Hospital, Pharmacy, Clinic, Health Center or Other, told by words in the type';
COMMENT ON COLUMN marts.dim_facilities.has_coordinates IS 'Whether latitude and longitude are known';
COMMENT ON COLUMN marts.dim_facilities.created_at IS 'When Medilink first stored the facility';
COMMENT ON COLUMN marts.dim_facilities.total_patients IS 'Patients the facility knows';
COMMENT ON COLUMN marts.dim_facilities.total_medical_records IS 'Medical records at the facility';
COMMENT ON COLUMN marts.dim_facilities.total_triage_visits IS 'Triage visits at the facility';
COMMENT ON COLUMN marts.dim_facilities.avg_triage_level IS 'Mean level of all visits, two decimals; null without visits';
COMMENT ON COLUMN marts.dim_facilities.first_activity_date IS 'Day of the first record or visit';
COMMENT ON COLUMN marts.dim_facilities.last_activity_date IS 'Day of the last record or visit';
COMMENT ON COLUMN marts.dim_facilities.is_active_last_30_days IS 'Whether there is a record or visit today or in the 29 days before';

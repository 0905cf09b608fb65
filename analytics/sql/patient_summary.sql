-- Patients and their score come from dim_patients, so that the two can never disagree.
CREATE MATERIALIZED VIEW marts.patient_summary AS
WITH clock AS MATERIALIZED (
    SELECT staging.lagos_today() AS today, (staging.lagos_today() - interval '12 months')::date AS year_ago
),
records AS (
    SELECT
        patient_id,
        count(*) AS total,
        array_agg(DISTINCT record_type::text COLLATE "C" ORDER BY record_type::text COLLATE "C")
            FILTER (WHERE record_type <> '') AS types,
        array_agg(DISTINCT diagnosis COLLATE "C" ORDER BY diagnosis COLLATE "C")
            FILTER (WHERE diagnosis <> '') AS diagnoses
    FROM staging.stg_medical_records CROSS JOIN clock
    WHERE recorded_on > year_ago AND recorded_on <= today
    GROUP BY patient_id
),
recent_visits AS (
    SELECT patient_id, triage_level, likely_conditions
    FROM staging.stg_triage_visits CROSS JOIN clock
    WHERE visited_on > year_ago AND visited_on <= today
),
visits AS (
    SELECT
        patient_id,
        count(*) AS total,
        min(triage_level) AS most_severe,
        bool_or(triage_level = 3) AS has_urgent
    FROM recent_visits
    GROUP BY patient_id
),
conditions AS (
    SELECT v.patient_id, array_agg(DISTINCT s.condition COLLATE "C" ORDER BY s.condition COLLATE "C") AS names
    FROM recent_visits v
    CROSS JOIN unnest(v.likely_conditions) AS item
    JOIN staging.stg_condition_spellings s ON s.spelling = item
    GROUP BY v.patient_id
)
SELECT
    p.patient_id,
    p.facility_id,
    p.facility_state,
    p.facility_lga_name,
    coalesce(r.types, '{}') AS record_types,
    coalesce(r.diagnoses, '{}') AS recent_diagnoses,
    coalesce(c.names, '{}') AS recent_conditions,
    coalesce(r.total, 0) AS records_last_12_months,
    coalesce(v.total, 0) AS visits_last_12_months,
    v.most_severe AS most_severe_triage_last_year,
    CASE
        WHEN v.most_severe <= 2 THEN 'High'
        WHEN v.has_urgent OR v.total >= 4 THEN 'Medium'
        WHEN v.total > 0 THEN 'Low'
    END AS risk_level,
    array_remove(
        ARRAY[
            CASE WHEN v.most_severe <= 2 THEN 'critical_visit' END,
            CASE WHEN v.has_urgent THEN 'urgent_visit' END,
            CASE WHEN v.total >= 4 THEN 'frequent_visits' END
        ],
        NULL
    ) AS risk_reasons,
    p.engagement_score
FROM marts.dim_patients p
LEFT JOIN records r ON r.patient_id = p.patient_id
LEFT JOIN visits v ON v.patient_id = p.patient_id
LEFT JOIN conditions c ON c.patient_id = p.patient_id
WITH DATA;

CREATE UNIQUE INDEX patient_summary_grain ON marts.patient_summary (patient_id);
CREATE INDEX patient_summary_facility ON marts.patient_summary (facility_id);

COMMENT ON MATERIALIZED VIEW marts.patient_summary IS 'One row per patient, with what happened to them in the last 12 months: after the same day a year ago, up to today';
COMMENT ON COLUMN marts.patient_summary.patient_id IS 'Medilink''s number of the patient (patients.id)';
COMMENT ON COLUMN marts.patient_summary.facility_id IS 'The facility that knows the patient';
COMMENT ON COLUMN marts.patient_summary.facility_state IS 'State of the facility';
COMMENT ON COLUMN marts.patient_summary.facility_lga_name IS 'Official name of the facility''s LGA where it is one of the 774, else as delivered';
COMMENT ON COLUMN marts.patient_summary.record_types IS 'Different types of the records of the last 12 months, sorted by character codes';
COMMENT ON COLUMN marts.patient_summary.recent_diagnoses IS 'Different diagnoses of the records of the last 12 months as delivered, sorted by character codes';
COMMENT ON COLUMN marts.patient_summary.recent_conditions IS 'Different conditions of the visits of the last 12 months in their most frequent spelling, sorted by character codes';
COMMENT ON COLUMN marts.patient_summary.records_last_12_months IS 'Records of the last 12 months';
COMMENT ON COLUMN marts.patient_summary.visits_last_12_months IS 'Visits of the last 12 months';
COMMENT ON COLUMN marts.patient_summary.most_severe_triage_last_year IS 'The lowest level of the visits of the last 12 months (1 is most severe)';
COMMENT ON COLUMN marts.patient_summary.risk_level IS 'High: a level 1-2 visit in the last 12 months; Medium: a level 3 visit, or 4 and more visits; Low: other visits; null: none. Describes use, no clinical score';
COMMENT ON COLUMN marts.patient_summary.risk_reasons IS 'All that apply of critical_visit (level 1-2), urgent_visit (level 3), frequent_visits (4 and more)';
COMMENT ON COLUMN marts.patient_summary.engagement_score IS 'As in dim_patients';

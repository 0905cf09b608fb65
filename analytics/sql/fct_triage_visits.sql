-- A view, as fct_medical_records is. The hour is Lagos time.
CREATE VIEW marts.fct_triage_visits AS
SELECT
    v.triage_id,
    v.patient_id,
    v.facility_id,
    v.triage_level,
    v.triage_description,
    v.priority_category,
    v.likely_conditions,
    v.recommendations,
    v.condition_count,
    v.visited_at,
    v.is_time_estimated,
    staging.age_on(v.visited_on, p.dob) AS patient_age,
    staging.age_group(staging.age_on(v.visited_on, p.dob)) AS patient_age_group,
    p.sex AS patient_sex,
    f.name AS facility_name,
    f.state AS facility_state,
    staging.facility_category(f.type) AS facility_category,
    v.visited_on AS visit_date,
    date_part('year', v.visited_on)::integer AS visit_year,
    date_part('month', v.visited_on)::integer AS visit_month,
    date_part('isodow', v.visited_on)::integer AS visit_day_of_week,
    to_char(v.visited_on, 'FMDay') AS visit_day_name,
    date_part('hour', v.visited_at AT TIME ZONE 'Africa/Lagos')::integer AS visit_hour,
    CASE
        WHEN v.is_time_estimated THEN NULL
        WHEN date_part('hour', v.visited_at AT TIME ZONE 'Africa/Lagos') BETWEEN 6 AND 11 THEN 'Morning'
        WHEN date_part('hour', v.visited_at AT TIME ZONE 'Africa/Lagos') BETWEEN 12 AND 17 THEN 'Afternoon'
        WHEN date_part('hour', v.visited_at AT TIME ZONE 'Africa/Lagos') BETWEEN 18 AND 21 THEN 'Evening'
        ELSE 'Night'
    END AS time_of_day
FROM staging.stg_triage_visits v
JOIN public.patients p ON p.id = v.patient_id
JOIN public.facilities f ON f.id = v.facility_id;

COMMENT ON VIEW marts.fct_triage_visits IS 'One row per triage visit, always current';
COMMENT ON COLUMN marts.fct_triage_visits.triage_id IS 'Medilink''s number of the visit (triage_visits.id), not the source''s id';
COMMENT ON COLUMN marts.fct_triage_visits.patient_id IS 'Whose visit it is';
COMMENT ON COLUMN marts.fct_triage_visits.facility_id IS 'The patient''s facility';
COMMENT ON COLUMN marts.fct_triage_visits.triage_level IS '1 (most severe) to 5';
COMMENT ON COLUMN marts.fct_triage_visits.triage_description IS '1 Emergency, 2 Very urgent, 3 Urgent, 4 Less urgent, 5 Non-urgent';
COMMENT ON COLUMN marts.fct_triage_visits.priority_category IS 'Critical (level 1-2), High (3), Medium (4), Low (5)';
COMMENT ON COLUMN marts.fct_triage_visits.likely_conditions IS 'Conditions as delivered, in their order';
COMMENT ON COLUMN marts.fct_triage_visits.recommendations IS 'Personal: recommendations as delivered, in their order';
COMMENT ON COLUMN marts.fct_triage_visits.condition_count IS 'Number of stored conditions';
COMMENT ON COLUMN marts.fct_triage_visits.visited_at IS 'Instant of the visit; midnight of its day in Lagos where the time is not known';
COMMENT ON COLUMN marts.fct_triage_visits.is_time_estimated IS 'True where only the day is known';
COMMENT ON COLUMN marts.fct_triage_visits.patient_age IS 'Full years on the day of the visit';
COMMENT ON COLUMN marts.fct_triage_visits.patient_age_group IS 'Infant < 1, Child 1-12, Adolescent 13-17, Adult 18-64, Senior 65+, on the day of the visit';
COMMENT ON COLUMN marts.fct_triage_visits.patient_sex IS 'M, F, Other or Unknown';
COMMENT ON COLUMN marts.fct_triage_visits.facility_name IS 'Name of the facility';
COMMENT ON COLUMN marts.fct_triage_visits.facility_state IS 'State of the facility';
COMMENT ON COLUMN marts.fct_triage_visits.facility_category IS 'Hospital, Pharmacy, Clinic, Health Center or Other';
COMMENT ON COLUMN marts.fct_triage_visits.visit_date IS 'Africa/Lagos day of the visit';
COMMENT ON COLUMN marts.fct_triage_visits.visit_year IS 'Its calendar year';
COMMENT ON COLUMN marts.fct_triage_visits.visit_month IS 'Its month, 1-12';
COMMENT ON COLUMN marts.fct_triage_visits.visit_day_of_week IS 'ISO weekday: Monday 1 to Sunday 7';
COMMENT ON COLUMN marts.fct_triage_visits.visit_day_name IS 'English name of the weekday';
COMMENT ON COLUMN marts.fct_triage_visits.visit_hour IS 'Hour of visited_at in Lagos, 0-23; says nothing (0) where the time is estimated';
COMMENT ON COLUMN marts.fct_triage_visits.time_of_day IS 'Morning 6-11, Afternoon 12-17, Evening 18-21, Night; null where the time is estimated';

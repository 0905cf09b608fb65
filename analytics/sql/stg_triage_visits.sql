CREATE VIEW staging.stg_triage_visits AS
SELECT
    id AS triage_id,
    patient_id,
    facility_id,
    triage_level,
    CASE triage_level
        WHEN 1 THEN 'Emergency'
        WHEN 2 THEN 'Very urgent'
        WHEN 3 THEN 'Urgent'
        WHEN 4 THEN 'Less urgent'
        WHEN 5 THEN 'Non-urgent'
    END AS triage_description,
    CASE
        WHEN triage_level <= 2 THEN 'Critical'
        WHEN triage_level = 3 THEN 'High'
        WHEN triage_level = 4 THEN 'Medium'
        ELSE 'Low'
    END AS priority_category,
    conditions AS likely_conditions,
    recommendations,
    cardinality(conditions) AS condition_count,
    cardinality(recommendations) AS recommendation_count,
    language AS language_code,
    provider AS provider_name,
    visited_at,
    event_on AS visited_on,
    time_is_estimated AS is_time_estimated
FROM public.triage_visits
WHERE deleted_at IS NULL;

COMMENT ON VIEW staging.stg_triage_visits IS 'One row per triage visit that is not deleted';
COMMENT ON COLUMN staging.stg_triage_visits.triage_id IS 'Medilink''s number of the visit (triage_visits.id), not the source''s id';
COMMENT ON COLUMN staging.stg_triage_visits.patient_id IS 'Whose visit it is';
COMMENT ON COLUMN staging.stg_triage_visits.facility_id IS 'The patient''s facility';
COMMENT ON COLUMN staging.stg_triage_visits.triage_level IS '1 (most severe) to 5';
COMMENT ON COLUMN staging.stg_triage_visits.triage_description IS '1 Emergency, 2 Very urgent, 3 Urgent, 4 Less urgent, 5 Non-urgent';
COMMENT ON COLUMN staging.stg_triage_visits.priority_category IS 'Critical (level 1-2), High (3), Medium (4), Low (5)';
COMMENT ON COLUMN staging.stg_triage_visits.likely_conditions IS 'Conditions as delivered, in their order';
COMMENT ON COLUMN staging.stg_triage_visits.recommendations IS 'Personal: recommendations as delivered, in their order';
COMMENT ON COLUMN staging.stg_triage_visits.condition_count IS 'Number of stored conditions';
COMMENT ON COLUMN staging.stg_triage_visits.recommendation_count IS 'Number of stored recommendations';
COMMENT ON COLUMN staging.stg_triage_visits.language_code IS 'Personal: language of the visit, as delivered';
COMMENT ON COLUMN staging.stg_triage_visits.provider_name IS 'Personal: who saw the patient, as delivered';
COMMENT ON COLUMN staging.stg_triage_visits.visited_at IS 'Instant of the visit; midnight of its day in Lagos where the time is not known';
COMMENT ON COLUMN staging.stg_triage_visits.visited_on IS 'Africa/Lagos day of visited_at';
COMMENT ON COLUMN staging.stg_triage_visits.is_time_estimated IS 'True where only the day is known';

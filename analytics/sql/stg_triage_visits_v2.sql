-- As stg_triage_visits, without patients whose processing is restricted.
CREATE OR REPLACE VIEW staging.stg_triage_visits AS
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
WHERE deleted_at IS NULL AND restricted_at IS NULL;

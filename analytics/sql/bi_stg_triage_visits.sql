CREATE VIEW bi.stg_triage_visits AS
SELECT
    triage_id, patient_id, facility_id, triage_level, triage_description, priority_category, likely_conditions,
    condition_count, recommendation_count, visited_at, visited_on, is_time_estimated
FROM staging.stg_triage_visits;

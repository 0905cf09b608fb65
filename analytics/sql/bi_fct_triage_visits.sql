CREATE VIEW bi.fct_triage_visits AS
SELECT
    triage_id, patient_id, facility_id, triage_level, triage_description, priority_category, likely_conditions,
    condition_count, visited_at, is_time_estimated, patient_age, patient_age_group, patient_sex, facility_name,
    facility_state, facility_category, visit_date, visit_year, visit_month, visit_day_of_week, visit_day_name,
    visit_hour, time_of_day
FROM marts.fct_triage_visits;

CREATE VIEW bi.dim_patients AS
SELECT
    patient_id, facility_id, facility_name, facility_state, facility_lga, facility_lga_name, sex,
    date_part('year', date_of_birth)::integer AS birth_year, age_years, age_group, has_valid_phone,
    total_medical_records, distinct_record_types, first_record_date, last_record_date, total_triage_visits,
    most_severe_triage_level, last_triage_date, is_active_last_90_days, has_recent_triage,
    has_critical_triage_history, engagement_score
FROM marts.dim_patients;

COMMENT ON COLUMN bi.dim_patients.birth_year IS 'Year of birth';

CREATE VIEW bi.fct_medical_records AS
SELECT
    record_id, patient_id, facility_id, record_type, diagnosis, recorded_at, patient_age, patient_age_group,
    patient_sex, facility_name, facility_state, facility_category, record_date, record_year, record_month,
    record_day_of_week, record_day_name
FROM marts.fct_medical_records;

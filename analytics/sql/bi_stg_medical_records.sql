CREATE VIEW bi.stg_medical_records AS
SELECT
    record_id, patient_id, facility_id, record_type, diagnosis, medications, recorded_at, recorded_on, is_updated,
    days_since_creation, created_at, updated_at
FROM staging.stg_medical_records;

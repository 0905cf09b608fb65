CREATE VIEW bi.stg_patients AS
SELECT
    patient_id, facility_id, sex, date_part('year', date_of_birth)::integer AS birth_year, age_years, age_group,
    has_valid_phone, created_at
FROM staging.stg_patients;

COMMENT ON COLUMN bi.stg_patients.birth_year IS 'Year of birth';

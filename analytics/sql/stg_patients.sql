CREATE VIEW staging.stg_patients AS
SELECT
    id AS patient_id,
    facility_id,
    first_name,
    last_name,
    first_name || ' ' || last_name AS full_name,
    sex,
    dob AS date_of_birth,
    staging.age_on((SELECT staging.lagos_today()), dob) AS age_years,
    staging.age_group(staging.age_on((SELECT staging.lagos_today()), dob)) AS age_group,
    phone AS phone_number,
    phone IS NOT NULL AS has_valid_phone,
    created_at
FROM public.patients
WHERE deleted_at IS NULL;

COMMENT ON VIEW staging.stg_patients IS 'One row per patient that is not deleted: a person as one facility knows them';
COMMENT ON COLUMN staging.stg_patients.patient_id IS 'Medilink''s number of the patient (patients.id)';
COMMENT ON COLUMN staging.stg_patients.facility_id IS 'The facility that knows the patient';
COMMENT ON COLUMN staging.stg_patients.first_name IS 'Personal: first name as delivered';
COMMENT ON COLUMN staging.stg_patients.last_name IS 'Personal: last name as delivered';
COMMENT ON COLUMN staging.stg_patients.full_name IS 'Personal: first and last name';
COMMENT ON COLUMN staging.stg_patients.sex IS 'M, F, Other or Unknown';
COMMENT ON COLUMN staging.stg_patients.date_of_birth IS 'Personal: date of birth; the first day where only month or year is known';
COMMENT ON COLUMN staging.stg_patients.age_years IS 'Full years today';
COMMENT ON COLUMN staging.stg_patients.age_group IS 'Infant < 1, Child 1-12, Adolescent 13-17, Adult 18-64, Senior 65+, today';
COMMENT ON COLUMN staging.stg_patients.phone_number IS 'Personal: E.164; null where none or none that can be called';
COMMENT ON COLUMN staging.stg_patients.has_valid_phone IS 'Whether there is a number that can be called';
COMMENT ON COLUMN staging.stg_patients.created_at IS 'When Medilink first stored the patient';

-- As stg_patients, without patients whose processing is restricted.
CREATE OR REPLACE VIEW staging.stg_patients AS
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
WHERE deleted_at IS NULL AND restricted_at IS NULL;

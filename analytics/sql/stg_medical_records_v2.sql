-- As stg_medical_records, without patients whose processing is restricted.
CREATE OR REPLACE VIEW staging.stg_medical_records AS
SELECT
    id AS record_id,
    patient_id,
    facility_id,
    record_type,
    data ->> 'diagnosis' AS diagnosis,
    data ->> 'treatment' AS treatment,
    data ->> 'medications' AS medications,
    data ->> 'notes' AS clinical_notes,
    data AS record_data,
    recorded_at,
    event_on AS recorded_on,
    updated_at > created_at AS is_updated,
    (SELECT staging.lagos_today()) - (created_at AT TIME ZONE 'Africa/Lagos')::date AS days_since_creation,
    created_at,
    updated_at
FROM public.medical_records
WHERE deleted_at IS NULL AND restricted_at IS NULL;

CREATE VIEW staging.stg_medical_records AS
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
WHERE deleted_at IS NULL;

COMMENT ON VIEW staging.stg_medical_records IS 'One row per medical record that is not deleted';
COMMENT ON COLUMN staging.stg_medical_records.record_id IS 'Medilink''s number of the record (medical_records.id), not the source''s id';
COMMENT ON COLUMN staging.stg_medical_records.patient_id IS 'Whose record it is';
COMMENT ON COLUMN staging.stg_medical_records.facility_id IS 'The patient''s facility';
COMMENT ON COLUMN staging.stg_medical_records.record_type IS 'Consultation, Lab, …, as delivered';
COMMENT ON COLUMN staging.stg_medical_records.diagnosis IS 'As delivered';
COMMENT ON COLUMN staging.stg_medical_records.treatment IS 'Personal: as delivered';
COMMENT ON COLUMN staging.stg_medical_records.medications IS 'As delivered';
COMMENT ON COLUMN staging.stg_medical_records.clinical_notes IS 'Personal: notes as delivered';
COMMENT ON COLUMN staging.stg_medical_records.record_data IS 'Personal: diagnosis, treatment, medications and notes as one JSON object';
COMMENT ON COLUMN staging.stg_medical_records.recorded_at IS 'Instant of the event; midnight of its day in Lagos where the time is not known';
COMMENT ON COLUMN staging.stg_medical_records.recorded_on IS 'Africa/Lagos day of recorded_at';
COMMENT ON COLUMN staging.stg_medical_records.is_updated IS 'Whether the row has changed since it was stored';
COMMENT ON COLUMN staging.stg_medical_records.days_since_creation IS 'Whole days from the Lagos day on which the row was stored to today';
COMMENT ON COLUMN staging.stg_medical_records.created_at IS 'When Medilink stored the record';
COMMENT ON COLUMN staging.stg_medical_records.updated_at IS 'When the row last changed';

-- A view: a nightly copy of the largest tables would buy nothing. Names of parents are looked up whatever their mark of
-- deletion: a row is left out for its own alone.
CREATE VIEW marts.fct_medical_records AS
SELECT
    r.record_id,
    r.patient_id,
    r.facility_id,
    r.record_type,
    r.diagnosis,
    r.recorded_at,
    staging.age_on(r.recorded_on, p.dob) AS patient_age,
    staging.age_group(staging.age_on(r.recorded_on, p.dob)) AS patient_age_group,
    p.sex AS patient_sex,
    f.name AS facility_name,
    f.state AS facility_state,
    staging.facility_category(f.type) AS facility_category,
    r.recorded_on AS record_date,
    date_part('year', r.recorded_on)::integer AS record_year,
    date_part('month', r.recorded_on)::integer AS record_month,
    date_part('isodow', r.recorded_on)::integer AS record_day_of_week,
    to_char(r.recorded_on, 'FMDay') AS record_day_name
FROM staging.stg_medical_records r
JOIN public.patients p ON p.id = r.patient_id
JOIN public.facilities f ON f.id = r.facility_id;

COMMENT ON VIEW marts.fct_medical_records IS 'One row per medical record, always current';
COMMENT ON COLUMN marts.fct_medical_records.record_id IS 'Medilink''s number of the record (medical_records.id), not the source''s id';
COMMENT ON COLUMN marts.fct_medical_records.patient_id IS 'Whose record it is';
COMMENT ON COLUMN marts.fct_medical_records.facility_id IS 'The patient''s facility';
COMMENT ON COLUMN marts.fct_medical_records.record_type IS 'Consultation, Lab, …, as delivered';
COMMENT ON COLUMN marts.fct_medical_records.diagnosis IS 'As delivered';
COMMENT ON COLUMN marts.fct_medical_records.recorded_at IS 'Instant of the event; midnight of its day in Lagos where the time is not known';
COMMENT ON COLUMN marts.fct_medical_records.patient_age IS 'Full years on the day of the record';
COMMENT ON COLUMN marts.fct_medical_records.patient_age_group IS 'Infant < 1, Child 1-12, Adolescent 13-17, Adult 18-64, Senior 65+, on the day of the record';
COMMENT ON COLUMN marts.fct_medical_records.patient_sex IS 'M, F, Other or Unknown';
COMMENT ON COLUMN marts.fct_medical_records.facility_name IS 'Name of the facility';
COMMENT ON COLUMN marts.fct_medical_records.facility_state IS 'State of the facility';
COMMENT ON COLUMN marts.fct_medical_records.facility_category IS 'Hospital, Pharmacy, Clinic, Health Center or Other';
COMMENT ON COLUMN marts.fct_medical_records.record_date IS 'Africa/Lagos day of the record';
COMMENT ON COLUMN marts.fct_medical_records.record_year IS 'Its calendar year';
COMMENT ON COLUMN marts.fct_medical_records.record_month IS 'Its month, 1-12';
COMMENT ON COLUMN marts.fct_medical_records.record_day_of_week IS 'ISO weekday: Monday 1 to Sunday 7';
COMMENT ON COLUMN marts.fct_medical_records.record_day_name IS 'English name of the weekday';

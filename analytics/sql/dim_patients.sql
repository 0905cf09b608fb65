-- Records are summed by patient and type first: two hash aggregates where count(DISTINCT …) would sort the whole table.
CREATE MATERIALIZED VIEW marts.dim_patients AS
WITH clock AS MATERIALIZED (
    SELECT staging.lagos_today() AS today
),
records_by_type AS (
    SELECT
        patient_id,
        record_type,
        count(*) AS total,
        min(recorded_on) AS first_on,
        max(recorded_on) AS last_on,
        bool_or(recorded_on BETWEEN today - 89 AND today) AS is_recent
    FROM staging.stg_medical_records CROSS JOIN clock
    GROUP BY patient_id, record_type
),
records AS (
    SELECT
        patient_id,
        sum(total)::bigint AS total,
        count(record_type) AS types,
        min(first_on) AS first_on,
        max(last_on) AS last_on,
        bool_or(is_recent) AS is_recent
    FROM records_by_type
    GROUP BY patient_id
),
visits AS (
    SELECT
        patient_id,
        count(*) AS total,
        min(triage_level) AS most_severe,
        max(visited_on) AS last_on,
        bool_or(visited_on BETWEEN today - 89 AND today) AS is_recent,
        bool_or(visited_on BETWEEN today - 29 AND today) AS is_very_recent
    FROM staging.stg_triage_visits CROSS JOIN clock
    GROUP BY patient_id
)
SELECT
    p.patient_id,
    p.facility_id,
    f.name AS facility_name,
    f.state AS facility_state,
    f.lga AS facility_lga,
    f.lga_name AS facility_lga_name,
    p.first_name,
    p.last_name,
    p.full_name,
    p.sex,
    p.date_of_birth,
    p.age_years,
    p.age_group,
    p.phone_number,
    p.has_valid_phone,
    coalesce(r.total, 0) AS total_medical_records,
    coalesce(r.types, 0) AS distinct_record_types,
    r.first_on AS first_record_date,
    r.last_on AS last_record_date,
    coalesce(v.total, 0) AS total_triage_visits,
    v.most_severe AS most_severe_triage_level,
    v.last_on AS last_triage_date,
    coalesce(r.is_recent, false) OR coalesce(v.is_recent, false) AS is_active_last_90_days,
    coalesce(v.is_very_recent, false) AS has_recent_triage,
    coalesce(v.most_severe <= 2, false) AS has_critical_triage_history,
    CASE WHEN p.has_valid_phone THEN 20 ELSE 0 END
        + CASE WHEN r.total > 0 THEN 30 ELSE 0 END
        + CASE WHEN r.is_recent OR v.is_recent THEN 30 ELSE 0 END
        + CASE WHEN v.is_very_recent THEN 20 ELSE 0 END AS engagement_score
FROM staging.stg_patients p
JOIN public.facilities f ON f.id = p.facility_id
LEFT JOIN records r ON r.patient_id = p.patient_id
LEFT JOIN visits v ON v.patient_id = p.patient_id
WITH DATA;

CREATE UNIQUE INDEX dim_patients_grain ON marts.dim_patients (patient_id);
CREATE INDEX dim_patients_facility ON marts.dim_patients (facility_id);

COMMENT ON MATERIALIZED VIEW marts.dim_patients IS 'One row per patient, with what happened to them in all';
COMMENT ON COLUMN marts.dim_patients.patient_id IS 'Medilink''s number of the patient (patients.id)';
COMMENT ON COLUMN marts.dim_patients.facility_id IS 'The facility that knows the patient';
COMMENT ON COLUMN marts.dim_patients.facility_name IS 'Name of the facility';
COMMENT ON COLUMN marts.dim_patients.facility_state IS 'State of the facility';
COMMENT ON COLUMN marts.dim_patients.facility_lga IS 'LGA of the facility, as delivered';
COMMENT ON COLUMN marts.dim_patients.facility_lga_name IS 'Official name of the facility''s LGA where it is one of the 774, else as delivered';
COMMENT ON COLUMN marts.dim_patients.first_name IS 'Personal: first name as delivered';
COMMENT ON COLUMN marts.dim_patients.last_name IS 'Personal: last name as delivered';
COMMENT ON COLUMN marts.dim_patients.full_name IS 'Personal: first and last name';
COMMENT ON COLUMN marts.dim_patients.sex IS 'M, F, Other or Unknown';
COMMENT ON COLUMN marts.dim_patients.date_of_birth IS 'Personal: date of birth; the first day where only month or year is known';
COMMENT ON COLUMN marts.dim_patients.age_years IS 'Full years on the day of the refresh';
COMMENT ON COLUMN marts.dim_patients.age_group IS 'Infant < 1, Child 1-12, Adolescent 13-17, Adult 18-64, Senior 65+, on the day of the refresh';
COMMENT ON COLUMN marts.dim_patients.phone_number IS 'Personal: E.164; null where none or none that can be called';
COMMENT ON COLUMN marts.dim_patients.has_valid_phone IS 'Whether there is a number that can be called';
COMMENT ON COLUMN marts.dim_patients.total_medical_records IS 'Medical records of the patient';
COMMENT ON COLUMN marts.dim_patients.distinct_record_types IS 'Different types among them, as delivered; records without a type do not count';
COMMENT ON COLUMN marts.dim_patients.first_record_date IS 'Day of the first record';
COMMENT ON COLUMN marts.dim_patients.last_record_date IS 'Day of the last record';
COMMENT ON COLUMN marts.dim_patients.total_triage_visits IS 'Triage visits of the patient';
COMMENT ON COLUMN marts.dim_patients.most_severe_triage_level IS 'The lowest level of all visits (1 is most severe)';
COMMENT ON COLUMN marts.dim_patients.last_triage_date IS 'Day of the last visit';
COMMENT ON COLUMN marts.dim_patients.is_active_last_90_days IS 'Whether there is a record or visit today or in the 89 days before';
COMMENT ON COLUMN marts.dim_patients.has_recent_triage IS 'Whether there is a visit today or in the 29 days before';
COMMENT ON COLUMN marts.dim_patients.has_critical_triage_history IS 'Whether any visit had level 1 or 2';
COMMENT ON COLUMN marts.dim_patients.engagement_score IS '20 for a valid phone + 30 for any record + 30 if active in 90 days + 20 for a visit in 30 days; describes use, no clinical score';

-- Events are summed by patient first, so that a join of the two kinds multiplies neither.
CREATE MATERIALIZED VIEW marts.patient_groups AS
WITH records AS (
    SELECT patient_id, count(*) AS total, count(*) FILTER (WHERE diagnosis <> '') AS diagnosed
    FROM staging.stg_medical_records
    GROUP BY patient_id
),
visits AS (
    SELECT patient_id, count(*) AS total, count(*) FILTER (WHERE condition_count > 0) AS told
    FROM staging.stg_triage_visits
    GROUP BY patient_id
)
SELECT
    p.facility_id,
    f.state,
    p.age_group,
    p.sex::text AS sex,
    count(*) AS patients,
    count(*) FILTER (WHERE p.has_valid_phone) AS patients_with_phone,
    coalesce(sum(r.total), 0)::bigint AS records,
    coalesce(sum(r.diagnosed), 0)::bigint AS records_with_diagnosis,
    coalesce(sum(v.total), 0)::bigint AS visits,
    coalesce(sum(v.told), 0)::bigint AS visits_with_conditions
FROM staging.stg_patients p
JOIN staging.stg_facilities f ON f.facility_id = p.facility_id
LEFT JOIN records r ON r.patient_id = p.patient_id
LEFT JOIN visits v ON v.patient_id = p.patient_id
GROUP BY 1, 2, 3, 4
WITH DATA;

CREATE UNIQUE INDEX patient_groups_grain ON marts.patient_groups (facility_id, age_group, sex);
CREATE INDEX patient_groups_state ON marts.patient_groups (state);

COMMENT ON MATERIALIZED VIEW marts.patient_groups IS 'One row per facility, age group and sex with patients: who they are, and how complete what is known of them is';
COMMENT ON COLUMN marts.patient_groups.facility_id IS 'Medilink''s number of the facility (facilities.id)';
COMMENT ON COLUMN marts.patient_groups.state IS 'One of the 36 states or FCT, upper case';
COMMENT ON COLUMN marts.patient_groups.age_group IS 'Infant < 1, Child 1-12, Adolescent 13-17, Adult 18-64, Senior 65+, on the day of the refresh';
COMMENT ON COLUMN marts.patient_groups.sex IS 'M, F, Other or Unknown';
COMMENT ON COLUMN marts.patient_groups.patients IS 'Patients of the group';
COMMENT ON COLUMN marts.patient_groups.patients_with_phone IS 'Those with a number that can be called';
COMMENT ON COLUMN marts.patient_groups.records IS 'Their medical records';
COMMENT ON COLUMN marts.patient_groups.records_with_diagnosis IS 'Those of the records that name a diagnosis';
COMMENT ON COLUMN marts.patient_groups.visits IS 'Their triage visits';
COMMENT ON COLUMN marts.patient_groups.visits_with_conditions IS 'Those of the visits that name a condition';

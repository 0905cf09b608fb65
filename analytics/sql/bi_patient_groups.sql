-- Of 1 to 7 patients no number is shown.
CREATE VIEW bi.patient_groups AS
SELECT
    facility_id, state, age_group, sex,
    CASE WHEN patients > 7 THEN patients END AS patients,
    CASE WHEN patients > 7 THEN patients_with_phone END AS patients_with_phone,
    CASE WHEN patients > 7 THEN records END AS records,
    CASE WHEN patients > 7 THEN records_with_diagnosis END AS records_with_diagnosis,
    CASE WHEN patients > 7 THEN visits END AS visits,
    CASE WHEN patients > 7 THEN visits_with_conditions END AS visits_with_conditions,
    patients <= 7 AS suppressed
FROM marts.patient_groups;

COMMENT ON COLUMN bi.patient_groups.suppressed IS 'True where a group has 1-7 patients; its numbers are then null';

CREATE VIEW bi.patient_summary AS
SELECT
    patient_id, facility_id, facility_state, facility_lga_name, record_types, recent_diagnoses, recent_conditions,
    records_last_12_months, visits_last_12_months, most_severe_triage_last_year, risk_level, risk_reasons,
    engagement_score
FROM marts.patient_summary;

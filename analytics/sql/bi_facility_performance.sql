CREATE VIEW bi.facility_performance AS
SELECT
    facility_id, facility_name, state, lga, lga_name, facility_category, total_patients, volume_category,
    acuity_category, visits_30d, critical_visits_30d, avg_triage_level_30d, avg_monthly_visits, avg_monthly_patients,
    avg_monthly_records
FROM marts.facility_performance;

CREATE VIEW bi.dim_facilities AS
SELECT
    facility_id, facility_name, state, lga, lga_name, latitude, longitude, facility_type, facility_category,
    has_coordinates, created_at, total_patients, total_medical_records, total_triage_visits, avg_triage_level,
    first_activity_date, last_activity_date, is_active_last_30_days
FROM marts.dim_facilities;

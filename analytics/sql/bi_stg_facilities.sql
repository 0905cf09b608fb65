CREATE VIEW bi.stg_facilities AS
SELECT
    facility_id, facility_name, state, lga, lga_name, latitude, longitude, facility_type, facility_category,
    has_coordinates, created_at
FROM staging.stg_facilities;

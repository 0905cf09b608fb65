CREATE VIEW staging.stg_facilities AS
SELECT
    id AS facility_id,
    name AS facility_name,
    state,
    lga,
    lga_name,
    lat AS latitude,
    lon AS longitude,
    type AS facility_type,
    staging.facility_category(type) AS facility_category,
    lat IS NOT NULL AS has_coordinates,
    created_at
FROM public.facilities
WHERE deleted_at IS NULL;

COMMENT ON VIEW staging.stg_facilities IS 'One row per facility that is not deleted';
COMMENT ON COLUMN staging.stg_facilities.facility_id IS 'Medilink''s number of the facility (facilities.id)';
COMMENT ON COLUMN staging.stg_facilities.facility_name IS 'Name as delivered';
COMMENT ON COLUMN staging.stg_facilities.state IS 'One of the 36 states or FCT, upper case';
COMMENT ON COLUMN staging.stg_facilities.lga IS 'Local government area as delivered; empty where none was';
COMMENT ON COLUMN staging.stg_facilities.lga_name IS 'Official name of the LGA where it is one of the 774, else as delivered: what LGAs are compared by';
COMMENT ON COLUMN staging.stg_facilities.latitude IS 'Decimal degrees north; null without usable coordinates';
COMMENT ON COLUMN staging.stg_facilities.longitude IS 'Decimal degrees east; null without usable coordinates';
COMMENT ON COLUMN staging.stg_facilities.facility_type IS 'Type as delivered';
COMMENT ON COLUMN staging.stg_facilities.facility_category IS 'Hospital, Pharmacy, Clinic, Health Center or Other, told by words in the type';
COMMENT ON COLUMN staging.stg_facilities.has_coordinates IS 'Whether latitude and longitude are known';
COMMENT ON COLUMN staging.stg_facilities.created_at IS 'When Medilink first stored the facility';

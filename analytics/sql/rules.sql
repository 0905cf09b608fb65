-- What several relations must agree on, said once. Bodies are parsed when they are made (RETURN), so that a reader of
-- schema bi, who may not enter schema staging, can still use the views built on them.

-- "Today" of every window and age. A test stands at another day by the setting medilink.today; it is heard only from
-- those who may read schema staging, else a reader of bi could ask a patient's age day by day until it is a birthday.
CREATE FUNCTION staging.lagos_today() RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(
    CASE WHEN has_schema_privilege(session_user, 'staging', 'USAGE')
         THEN nullif(current_setting('medilink.today', true), '')::date END,
    (now() AT TIME ZONE 'Africa/Lagos')::date
);
COMMENT ON FUNCTION staging.lagos_today() IS 'The Africa/Lagos date that every "last N days" and every age counts from';

-- Full years; born on 29 February means a year older on 1 March. An event dated before its patient's birth counts as 0.
CREATE FUNCTION staging.age_on(day date, date_of_birth date) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_part('year', age(greatest(day, date_of_birth)::timestamp, date_of_birth::timestamp))::integer;
COMMENT ON FUNCTION staging.age_on(date, date) IS 'Full years of age on a day';

-- No CASE: the age is used once, so that the function is inlined and the age computed once.
CREATE FUNCTION staging.age_group(age integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('{Infant,Child,Adolescent,Adult,Senior}'::text[])[1 + width_bucket(age, '{1,13,18,65}'::integer[])];
COMMENT ON FUNCTION staging.age_group(integer) IS 'Infant < 1, Child 1-12, Adolescent 13-17, Adult 18-64, Senior 65+';

CREATE FUNCTION staging.facility_category(type text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN lower(type COLLATE pg_c_utf8) LIKE '%hospital%' THEN 'Hospital'
    WHEN lower(type COLLATE pg_c_utf8) ~ 'pharmac|chemist|patent medicine' THEN 'Pharmacy'
    WHEN lower(type COLLATE pg_c_utf8) LIKE '%clinic%' THEN 'Clinic'
    WHEN lower(type COLLATE pg_c_utf8) ~ 'center|centre|phc|chc|health post|dispensary|maternity' THEN 'Health Center'
    ELSE 'Other'
END;
COMMENT ON FUNCTION staging.facility_category(text) IS 'The first of Hospital, Pharmacy, Clinic, Health Center that fits the type, else Other';

-- Case is folded once per spelling, not once per visit: there are few spellings and many visits.
CREATE VIEW staging.stg_condition_spellings AS
SELECT
    spelling,
    first_value(spelling) OVER (
        PARTITION BY lower(spelling COLLATE pg_c_utf8) ORDER BY visit_count DESC, spelling COLLATE "C"
    ) AS condition,
    visit_count
FROM (
    SELECT spelling, count(*) AS visit_count
    FROM (
        SELECT DISTINCT triage_id, spelling
        FROM staging.stg_triage_visits CROSS JOIN unnest(likely_conditions) AS spelling
    ) AS said
    GROUP BY spelling
) AS spellings;

COMMENT ON VIEW staging.stg_condition_spellings IS 'One row per spelling of a condition in the visits, with the one it is shown in';
COMMENT ON COLUMN staging.stg_condition_spellings.spelling IS 'A condition as some visit has it';
COMMENT ON COLUMN staging.stg_condition_spellings.condition IS 'The most frequent of the spellings that differ in case only; of equally frequent ones the first by character codes';
COMMENT ON COLUMN staging.stg_condition_spellings.visit_count IS 'Visits that have this very spelling';

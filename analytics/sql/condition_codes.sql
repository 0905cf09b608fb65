-- The lines of condition_analysis by what their condition means (clinical/terms): all of them, so that both add up to the
-- same. An occurrence has one line here; what it cannot be told from is no code.
CREATE MATERIALIZED VIEW marts.condition_codes AS
SELECT
    said.state,
    said.month,
    said.system,
    said.code,
    min(said.display COLLATE "C") AS display,
    sum(said.occurrence_count)::bigint AS occurrence_count,
    sum(said.critical_count)::bigint AS critical_count,
    coalesce(sum(said.occurrence_count) FILTER (WHERE NOT said.is_small), 0)::bigint AS at_least_count,
    bool_or(said.is_small) AS is_small
FROM (
    SELECT
        c.state,
        c.month,
        c.occurrence_count,
        c.critical_count,
        c.is_small,
        CASE WHEN t.is_one THEN t.codings -> 0 ->> 0 ELSE '' END AS system,
        CASE
            WHEN t.is_one THEN t.codings -> 0 ->> 1
            WHEN t.state = 'mapped' AND jsonb_array_length(t.codings) > 1 THEN 'several'
            WHEN t.state = 'qualified' THEN 'qualified'
            ELSE 'unmapped'
        END AS code,
        CASE
            WHEN t.is_one THEN t.codings -> 0 ->> 2
            WHEN t.state = 'mapped' AND jsonb_array_length(t.codings) > 1 THEN 'Several conditions in one text'
            WHEN t.state = 'qualified' THEN 'Suspected, denied or of the past'
            ELSE 'No code'
        END AS display
    FROM marts.condition_analysis c
    LEFT JOIN (
        SELECT text, state, codings, state = 'mapped' AND jsonb_array_length(codings) = 1 AS is_one
        FROM public.term_texts
        WHERE kind = 'diagnosis'
    ) AS t ON t.text = c.condition
) AS said
GROUP BY said.state, said.month, said.system, said.code
WITH DATA;

CREATE UNIQUE INDEX condition_codes_grain ON marts.condition_codes (code, month, state, system);

COMMENT ON MATERIALIZED VIEW marts.condition_codes IS 'One row per state, month and code, from the conditions of triage visits; each occurrence of condition_analysis is in one of them';
COMMENT ON COLUMN marts.condition_codes.state IS 'State of the facility';
COMMENT ON COLUMN marts.condition_codes.month IS 'First day of the month of the visit';
COMMENT ON COLUMN marts.condition_codes.system IS 'Whose code it is, as FHIR names it; empty where there is none';
COMMENT ON COLUMN marts.condition_codes.code IS 'ICD-10 code; or unmapped, qualified (suspected, denied or of the past), several (one text names several conditions)';
COMMENT ON COLUMN marts.condition_codes.display IS 'What the code means, in the words of its system';
COMMENT ON COLUMN marts.condition_codes.occurrence_count IS 'Conditions of visits that mean this; two in a visit are two';
COMMENT ON COLUMN marts.condition_codes.critical_count IS 'Those in visits of level 1-2';
COMMENT ON COLUMN marts.condition_codes.at_least_count IS 'Those in lines of condition_analysis that everybody sees';
COMMENT ON COLUMN marts.condition_codes.is_small IS 'True where analysts see no numbers: a line of condition_analysis in it is hidden, and would follow from the sum';

-- What analysts see: nothing that does not follow from the lines of bi.condition_analysis and the map.
CREATE VIEW bi.condition_codes AS
SELECT
    state,
    month,
    system,
    code,
    display,
    CASE WHEN NOT is_small THEN occurrence_count END AS occurrence_count,
    CASE WHEN NOT is_small THEN critical_count END AS critical_count,
    at_least_count,
    is_small AS suppressed
FROM marts.condition_codes;

COMMENT ON COLUMN bi.condition_codes.suppressed IS 'True where occurrence_count and critical_count are withheld: a line of condition_analysis in it is hidden, and would follow from the sum';

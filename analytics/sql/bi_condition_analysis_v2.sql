-- What analysts see, here and through the API. What is hidden was decided over the whole table, so that no filter can
-- change it.
CREATE VIEW bi.condition_analysis AS
SELECT
    condition,
    state,
    age_group,
    sex,
    month,
    CASE WHEN NOT is_small THEN occurrence_count END AS occurrence_count,
    (CASE WHEN NOT is_small THEN avg_triage_level END)::numeric(3, 2) AS avg_triage_level,
    CASE WHEN NOT is_small THEN critical_count END AS critical_count,
    CASE WHEN shows_total THEN condition_total END AS condition_total,
    shown_frequency_rank AS frequency_rank,
    shown_severity_rank AS severity_rank,
    (CASE WHEN NOT is_small AND shows_share THEN share_of_month_pct END)::numeric(4, 1) AS share_of_month_pct,
    is_small AS suppressed
FROM marts.condition_analysis;

COMMENT ON COLUMN bi.condition_analysis.suppressed IS 'True where occurrence_count, avg_triage_level, critical_count and share_of_month_pct are withheld: 1-7 occurrences, and the next smallest lines of a condition and month where the sum of the hidden ones would tell one of them';

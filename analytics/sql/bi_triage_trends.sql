CREATE VIEW bi.triage_trends AS
SELECT
    day, state, day_name, total_visits, critical_count, high_count, medium_count, low_count, critical_pct, high_pct,
    medium_pct, low_pct, ma_7_day_visits, ma_7_day_critical, visits_7_days_ago, wow_growth_pct
FROM marts.triage_trends;

-- A column of bi means what it means where it comes from; those that are new here have comments of their own.
DO $$
DECLARE
    relation record;
    col record;
BEGIN
    FOR relation IN
        SELECT ours.oid::regclass AS ours, theirs.oid AS theirs, obj_description(theirs.oid, 'pg_class') AS text
        FROM pg_class ours
        JOIN pg_class theirs ON theirs.relname = ours.relname
            AND theirs.relnamespace IN ('staging'::regnamespace, 'marts'::regnamespace)
            AND theirs.relkind IN ('v', 'm')
        WHERE ours.relnamespace = 'bi'::regnamespace AND ours.relkind = 'v'
    LOOP
        EXECUTE format('COMMENT ON VIEW %s IS %L', relation.ours, relation.text || '; without what identifies a person');
        FOR col IN
            SELECT mine.attname, col_description(relation.theirs, source.attnum) AS text
            FROM pg_attribute mine
            JOIN pg_attribute source ON source.attrelid = relation.theirs AND source.attname = mine.attname
            WHERE mine.attrelid = relation.ours AND mine.attnum > 0
        LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', relation.ours, col.attname, col.text);
        END LOOP;
    END LOOP;
END $$;

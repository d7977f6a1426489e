-- Editing, moving and taking away what a course is made of; finding a course.
-- The version before still serves: tables are locked in the order its inserts lock them, children before parents.
LOCK TABLE enrollments, lessons, sections, courses IN ACCESS EXCLUSIVE MODE;

ALTER TABLE courses
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN sequential boolean NOT NULL DEFAULT false,
    ADD COLUMN student_count integer NOT NULL DEFAULT 0 CHECK (student_count >= 0),
    ADD COLUMN search text NOT NULL GENERATED ALWAYS AS (search_fold(title || ' ' || description)) STORED;

-- Orders are exchanged inside one statement, so uniqueness is judged at its end.
DROP INDEX sections_order;
ALTER TABLE sections
    ADD CONSTRAINT sections_order EXCLUDE USING btree (course_id WITH =, position WITH =) WHERE (deleted_at IS NULL)
        DEFERRABLE INITIALLY DEFERRED;
DROP INDEX lessons_order;
ALTER TABLE lessons
    ADD COLUMN published boolean NOT NULL DEFAULT true,
    ADD COLUMN available_from timestamptz,
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT lessons_order EXCLUDE USING btree (section_id WITH =, position WITH =) WHERE (deleted_at IS NULL)
        DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE sections ADD COLUMN version integer NOT NULL DEFAULT 1;

-- How many students a course has is asked with every row of the catalogue.
UPDATE courses c SET student_count = (
    SELECT count(*) FROM enrollments e WHERE e.course_id = c.id AND e.removed_at IS NULL
);
CREATE FUNCTION count_students() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE courses c SET student_count = c.student_count + n.more
        FROM (SELECT course_id, count(*) AS more FROM fresh WHERE removed_at IS NULL GROUP BY 1) n
        WHERE c.id = n.course_id;
    ELSE
        UPDATE courses c SET student_count = c.student_count + n.more
        FROM (
            SELECT fresh.course_id,
                sum((fresh.removed_at IS NULL)::integer - (stale.removed_at IS NULL)::integer) AS more
            FROM fresh JOIN stale USING (id) GROUP BY 1
        ) n
        WHERE c.id = n.course_id AND n.more <> 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER enrollments_counted AFTER INSERT ON enrollments
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION count_students();
CREATE TRIGGER enrollments_recounted AFTER UPDATE ON enrollments
    REFERENCING NEW TABLE AS fresh OLD TABLE AS stale FOR EACH STATEMENT EXECUTE FUNCTION count_students();

-- The word of a search that narrows it most, for the index.
CREATE FUNCTION longest_word(words text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT word FROM regexp_split_to_table(words, '\s+') AS word ORDER BY length(word) DESC LIMIT 1);

CREATE INDEX courses_search ON courses USING gin (search gin_trgm_ops);
CREATE INDEX courses_popular ON courses (student_count DESC, id DESC)
    WHERE status = 'approved' AND deleted_at IS NULL;
CREATE INDEX courses_price ON courses (price, id DESC) WHERE status = 'approved' AND deleted_at IS NULL;
CREATE INDEX enrollments_student ON enrollments (student_id, course_id DESC) WHERE removed_at IS NULL;

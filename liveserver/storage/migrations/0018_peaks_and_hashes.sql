-- The most students a class had at once, written when its attendance is final.
ALTER TABLE live_sessions ADD COLUMN peak_students integer;
UPDATE live_sessions v SET peak_students = p.peak FROM (
    SELECT session_id, max(n) AS peak FROM (
        SELECT session_id, sum(step) OVER (PARTITION BY session_id ORDER BY at, step) AS n FROM (
            SELECT session_id, joined_at AS at, 1 AS step FROM attendance_intervals
                WHERE role = 'student' AND left_at IS NOT NULL
            UNION ALL SELECT session_id, left_at, -1 FROM attendance_intervals
                WHERE role = 'student' AND left_at IS NOT NULL
        ) AS steps
    ) AS there GROUP BY session_id
) AS p WHERE p.session_id = v.id AND v.status = 'ended';

-- What the sender says the whole file's SHA-256 is.
ALTER TABLE uploads ADD COLUMN sha256 bytea CHECK (length(sha256) = 32);

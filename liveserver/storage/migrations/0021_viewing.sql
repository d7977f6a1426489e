-- How well a class arrived, in seconds of one student each: sent media, sent less than their page had use for, lost.
ALTER TABLE live_sessions ADD COLUMN viewed_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN reduced_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN lost_seconds double precision NOT NULL DEFAULT 0;

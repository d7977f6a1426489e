"""Looking for a course: search, filter, sort, keyset pages.

Spelling is folded by the database's `search_fold` on both sides. A word is found as it stands anywhere in
title or description, or, with a typing mistake, by the likeness of its trigrams.
"""

from collections.abc import Sequence

from liveserver.models.courses import CatalogueFilter, Course, CourseSort
from liveserver.storage.courses import SELECT, of_row
from liveserver.storage.postgres import Connection

Found = tuple[Course, float]  # a course and the figure it is sorted by

# The planner takes instructors for as rare among courses' owners as they are among users, and would then
# sort the whole catalogue; `coalesce` hides the column's statistics from it.
_PUBLIC = (
    " WHERE c.status = 'approved' AND c.deleted_at IS NULL AND u.status <> 'disabled'"
    " AND coalesce(u.role, '') <> ALL (ARRAY['student', 'admin'])"
    " AND ($1::text IS NULL OR c.language = $1) AND ($2::boolean IS NULL OR (c.price = 0) = $2)"
    " AND ($3::uuid IS NULL OR c.instructor_id = $3)"
)
# The longest word or the likeness, by the index; then every word, or the likeness.
_MATCHES = (
    " AND (c.search LIKE '%' || like_literal(longest_word(search_fold($7))) || '%'"
    " OR search_fold($7) <% c.search)"
    " AND (c.search LIKE ALL (SELECT '%' || like_literal(word) || '%'"
    " FROM regexp_split_to_table(search_fold($7), '\\s+') AS word WHERE word <> '')"
    " OR search_fold($7) <% c.search)"
)
_NEWEST = " AND ($5::uuid IS NULL OR c.id < $5) AND $4::double precision IS NULL ORDER BY c.id DESC LIMIT $6"
_POPULAR = (
    " AND ($5::uuid IS NULL OR (c.student_count, c.id) < ($4::double precision::integer, $5))"
    " ORDER BY c.student_count DESC, c.id DESC LIMIT $6"
)
_CHEAP = (
    " AND ($5::uuid IS NULL OR c.price > $4::double precision::integer"
    " OR (c.price = $4::double precision::integer AND c.id < $5)) ORDER BY c.price, c.id DESC LIMIT $6"
)
_DEAR = (
    " AND ($5::uuid IS NULL OR (c.price, c.id) < ($4::double precision::integer, $5))"
    " ORDER BY c.price DESC, c.id DESC LIMIT $6"
)
_LIKENESS = "word_similarity(search_fold($7), c.search)::double precision"
_RELEVANT = (
    f" AND ($5::uuid IS NULL OR ({_LIKENESS}, c.id) < ($4::double precision, $5))"
    f" ORDER BY {_LIKENESS} DESC, c.id DESC LIMIT $6"
)
ORDERS = {
    CourseSort.NEWEST: _NEWEST,
    CourseSort.POPULAR: _POPULAR,
    CourseSort.PRICE_UP: _CHEAP,
    CourseSort.PRICE_DOWN: _DEAR,
    CourseSort.RELEVANCE: _RELEVANT,
}
BROWSE = SELECT + _PUBLIC
SEARCH = SELECT.replace("SELECT c.id", f"SELECT {_LIKENESS} AS likeness, c.id", 1) + _PUBLIC + _MATCHES


async def find(
    conn: Connection, wanted: CatalogueFilter, *, after: Sequence[object] | None, limit: int
) -> list[Found]:
    """Return public courses in the order asked for; `after` is the figure and id the page before ended at."""
    sort = wanted.sort
    arguments: list[object] = [wanted.language, wanted.free, wanted.instructor_id]
    arguments += [
        None if sort is CourseSort.NEWEST or not after else after[0],
        after[1] if after else None,
        limit,
    ]
    if wanted.words is None:
        rows = await conn.fetch(BROWSE + ORDERS[sort], *arguments)
    else:
        rows = await conn.fetch(SEARCH + ORDERS[sort], *arguments, wanted.words)
    courses = [of_row(row) for row in rows]
    if sort is CourseSort.RELEVANCE:
        return [(course, row["likeness"]) for course, row in zip(courses, rows, strict=True)]
    return [(course, _figure(course, sort)) for course in courses]


def _figure(course: Course, sort: CourseSort) -> float:
    if sort is CourseSort.POPULAR:
        return course.student_count
    return 0 if sort is CourseSort.NEWEST else course.price

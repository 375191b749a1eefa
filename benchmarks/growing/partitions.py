"""The attempts in partitions by ranges of courses, as a ledger of a billion rows would have them.

Courses get their numbers as they first appear, so a term's courses are a range. Made here with the same rows,
so that what a partition costs an event is measured and not supposed, and by the product's own statements:
none of them names a partition.
"""

import psycopg
from psycopg.sql import SQL, Identifier, Literal

COUNT = 8


def partition(url: str, courses: int) -> None:
    """Replace the table of attempts by one of as many courses in each of its partitions."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("ALTER TABLE attempts RENAME TO attempts_whole")
        connection.execute(
            "CREATE TABLE attempts (LIKE attempts_whole INCLUDING DEFAULTS) PARTITION BY RANGE (course_ref)"
        )
        step = courses // COUNT
        for number in range(COUNT):
            first = SQL("MINVALUE") if number == 0 else Literal(number * step + 1)
            last = SQL("MAXVALUE") if number == COUNT - 1 else Literal((number + 1) * step + 1)
            connection.execute(
                SQL("CREATE TABLE {} PARTITION OF attempts FOR VALUES FROM ({}) TO ({})").format(
                    Identifier(f"attempts_{number}"), first, last
                )
            )
        connection.execute("ALTER TABLE attempts_whole DROP CONSTRAINT attempts_pkey")
        connection.execute("ALTER TABLE attempts ADD PRIMARY KEY (course_ref, student_ref, attempt_key)")
        connection.execute("INSERT INTO attempts SELECT * FROM attempts_whole")
        connection.execute("DROP TABLE attempts_whole")
        connection.execute("VACUUM (ANALYZE)")

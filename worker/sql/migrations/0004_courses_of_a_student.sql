-- All courses of one student, for a reader, a verification or an erasure. Bumping a version changes no
-- indexed column, so updates stay in their page and cost nothing more.

CREATE INDEX course_scores_student ON course_scores (student_ref);

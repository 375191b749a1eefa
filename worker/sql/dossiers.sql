-- One student's whole record. A line `-- name: x` starts statement x.

-- name: dossier
SELECT o.course_id, c.birth, c.version, a.attempt_key, a.item, a.score, a.max_score, a.occurred_at, a.graded_at,
       a.kind <> 0, a.source, a.revision
FROM students s
JOIN course_scores c USING (student_ref)
JOIN courses o USING (course_ref)
JOIN attempts a USING (course_ref, student_ref)
WHERE s.student_key = %(key)s
ORDER BY o.course_id, a.occurred_at, a.attempt_key

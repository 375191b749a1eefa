"""A difference in words: what a dry run says of attempts, students and means."""

from scripts.frame.script import Run
from worker.stream.difference import Found, quantile


def tell(run: Run, found: Found) -> None:
    """Report what would change, the largest changes by pseudonym."""
    report = run.report
    report.figure("events read", found.read)
    report.figure("attempts that would be new", found.new)
    report.figure("attempts that would be revised", found.revised)
    report.figure("events without effect", found.without_effect)
    report.figure("events that would be refused as erased", found.erased)
    report.figure("events that would be dead letters", sum(found.dead_letters.values()))
    report.figure("students touched", found.students)
    report.figure("students' courses touched", found.states)
    report.figure("means of the last attempts that would change", len(found.sizes))
    for share in (0.5, 0.9, 0.99, 1.0):
        name = "largest change" if share == 1 else f"change, {share:.0%} of them at most"
        report.figure(name, quantile(found.sizes, share))
    report.detail("dead_letters", dict(found.dead_letters))
    report.detail("largest_changes", [change._asdict() for change in found.largest])
    for change in found.largest:
        run.show.say(f"{change.student_key} in {change.course_id}: {change.before} -> {change.after}")

"""The order of a load test: the system, a warm-up, the run that was asked for, the search for the limit."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack

from scripts.frame.script import Refused, Run
from scripts.loading import limit, targets, telling
from scripts.loading.figures import Trial
from scripts.loading.plan import Crowd
from scripts.loading.signing import bearer, sigv4
from scripts.loading.targets import Entrance, Target
from scripts.loading.told import Told
from scripts.loading.trial import Order, run_trial
from worker.local.process import StackError

LIMIT_P99 = 1.0
"""What the highest rate must still meet, in seconds."""
_WITHIN = 0.1


def drive(run: Run, arguments: argparse.Namespace, token: str) -> None:
    """Carry out what the arguments say; `token` lets posts in where the API is not our own.

    Raises:
        Refused: the stack of this machine cannot go on.
    """
    if run.dry_run:
        telling.intent(run, arguments)
        return
    told = Told(arguments)
    try:
        with ExitStack() as opened:
            _Drive(run, arguments, _target(run, arguments, token, opened), told).all()
    except StackError as error:
        raise Refused(str(error)) from None
    finally:
        if told.trials:
            telling.write(run, arguments, told)


class _Drive:
    def __init__(self, run: Run, arguments: argparse.Namespace, target: Target, told: Told) -> None:
        self._run = run
        self._arguments = arguments
        self._target = target
        self._told = told
        told.target, told.limits = target.name, target.limits

    def all(self) -> None:
        asked, arguments = self._run.stopping, self._arguments
        if arguments.warm_up:
            self._told.warm_up = self._trial("warm", "steady", arguments.rate / 4, arguments.warm_up)
        if not asked.asked:
            main = self._trial("0", arguments.profile, arguments.rate, arguments.minutes * 60)
            self._told.trials.append(main)
        if arguments.find_limit and not asked.asked:
            self._told.limit = limit.search(self._holds, arguments.rate, within=_WITHIN, most=arguments.most)

    def _holds(self, rate: float) -> bool:
        """Whether a rate keeps the promise; one that was interrupted does not."""
        if self._run.stopping.asked:
            return False
        number = str(len(self._told.trials))
        trial = self._trial(number, "steady", rate, self._arguments.step_seconds)
        self._told.trials.append(trial)
        p99 = trial.latency.p99
        return trial.reaches(rate) and trial.whole and p99 is not None and p99 < LIMIT_P99

    def _trial(self, name: str, profile: str, rate: float, seconds: float) -> Trial:
        arguments = self._arguments
        order = Order(
            run=f"{arguments.run}-{name}",
            profile=profile,
            rate=rate,
            seconds=seconds,
            crowd=Crowd.of(profile, arguments.students, arguments.courses),
            seed=arguments.seed,
            drain=arguments.drain,
        )
        trial = run_trial(self._target, order, self._run.show, self._run.stopping)
        self._run.show.say(Told.line(trial))
        return trial


def _target(run: Run, arguments: argparse.Namespace, token: str, opened: ExitStack) -> Target:
    posts = Entrance(batch=arguments.batch, connections=arguments.connections)
    if arguments.local:
        stack = targets.local(
            arguments.directory,
            run.show.say,
            http=None if arguments.http is None else posts,
            cpus=arguments.task_cpu,
            mebibytes=arguments.task_memory,
        )
        return opened.enter_context(stack)
    metrics: Sequence[str] = arguments.metrics
    if arguments.http is None:
        return targets.environment(run.settings(), Entrance(), metrics)
    settings = run.settings()
    sign = sigv4(settings.aws_region) if arguments.sigv4 else bearer(token)
    entrance = Entrance(arguments.http, posts.batch, posts.connections, sign)
    return targets.environment(settings, entrance, metrics)

// Asks again and again, but never while nobody looks: a hidden tab costs the school nothing, and every read of a
// student's record is written down.

const EVERY_MS = 3_000;
const LONGEST_MS = 30_000;

export class Poll {
  constructor(work) {
    this.work = work;
    this.failures = 0;
    this.wanted = false;
    document.addEventListener("visibilitychange", () =>
      document.hidden ? this.pause() : this.wanted && this.now(),
    );
  }

  now() {
    this.wanted = true;
    this.pause();
    if (!document.hidden) this.run(this.aborting);
  }

  pause() {
    clearTimeout(this.timer);
    this.aborting?.abort();
    this.aborting = new AbortController();
  }

  rest() {
    this.wanted = false;
    this.pause();
  }

  async run(aborting) {
    const problem = await this.work(aborting.signal);
    if (aborting.signal.aborted) return;
    this.failures = problem ? this.failures + 1 : 0;
    this.timer = setTimeout(() => this.run(aborting), this.delay(problem));
  }

  delay(problem) {
    if (!problem) return EVERY_MS;
    const patience = Math.min(LONGEST_MS, EVERY_MS * 2 ** (this.failures - 1));
    return Math.max(patience, problem.retryAfter * 1000);
  }
}

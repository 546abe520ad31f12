"""Rounds of kill -9: one rank of a run under mpirun is killed in a chosen phase; what is left on the disk is held against a run that was
never disturbed; and the next round goes on from there by the same command. For kills.py, and for ./run soak.
"""
import contextlib
import os
import random
import re
import shutil
import signal
import time

import thinwire
from rounds import Failed, furnish, require

PHASES = ("training", "snapshot", "coding", "writing", "committing")
RANKS, STEPS, EVERY, KEEP = 2, 40, 5, 2
ENDS_WITHIN_S = 5  # of mpirun, once a rank is dead
TRIES = 8          # of a moment that is milliseconds long

# Half a million parameters: of a save, each phase takes some ten milliseconds.
CONFIG = thinwire.SMALL_CONFIG.replace("d_model: 32, layers: 2", "d_model: 128, layers: 3").replace("verify_every: 5", "verify_every: 0")
TRAJECTORY = (f"run.steps={STEPS}", f"checkpoint.every={EVERY}", "exchange.every=4", "exchange.fragments=2", "exchange.delay=2")
# What may change at every start, because nothing of the trajectory depends on it.
STORAGE = {"checkpoint.mode": ("exact", "exact", "raw"), "checkpoint.base": ("none", "previous"), "checkpoint.async": ("true", "true", "false")}


class Rounds:
    """In a folder of its own. Run after run is trained to its end, however often it is killed on the way."""

    def __init__(self, folder):
        self.folder = folder
        furnish(folder, CONFIG)
        self.run, self.undisturbed = (thinwire.Run(folder / "runs" / name) for name in ("run", "undisturbed"))
        done = self._train("undisturbed", ["checkpoint.keep=0"])
        require(done.code == 0, "the run that nobody disturbs failed", done.text)
        self.runs_ended = 0

    _metrics_before = 0      # bytes of metrics.jsonl when the run was started
    _stale = frozenset()     # what killed saves had left by then; the next save removes it

    def round(self, seed):
        """A record of what was done and found. Raises Failed."""
        draw = random.Random(seed)
        phase, began = PHASES[seed % len(PHASES)], time.monotonic()
        for tries in range(1, TRIES + 1):
            storage = {key: draw.choice(values) for key, values in STORAGE.items()}
            target, rank = self._target(draw), draw.randrange(RANKS)
            before = self.run.steps_saved()
            job = self._start("run", [f"checkpoint.keep={KEEP}", *(f"{key}={value}" for key, value in storage.items())])
            try:
                came = self._moment(phase, target, rank, draw, job) and self._kill(rank, job)
                left = self._left(target)
                done = job.wait(ENDS_WITHIN_S if came else thinwire.TIMEOUT_S)
                self._check_end(came, done, job)
            finally:
                job.end()
            self._check_resumed(before, done)
            newest = self._check_disk(before)
            if came and done.code != 0:
                return {"seed": seed, "phase": phase, "rank": rank, "step": target, "tries": tries, **storage, "left": left, "newest": newest,
                        "seconds": round(time.monotonic() - began, 1)}
        raise Failed(f"the moment of phase {phase} was missed {TRIES} times")

    def _target(self, draw):
        """The step whose save is meant. A run that is over, or nearly, is trained to its end and begun again."""
        left = [step for step in range(EVERY, STEPS, EVERY) if step > max(self.run.steps_saved(), default=0)]
        if left:
            return draw.choice(left[:2])
        if self.run.path.exists():
            self.finish()
        return draw.choice((EVERY, 2 * EVERY))

    def finish(self):
        """Trains the run to its end: it ends as if it had never been killed."""
        done = self._train("run", [f"checkpoint.keep={KEEP}"])
        require(done.code == 0, "the resumed run failed", done.text)
        require(self.run.losses() == self.undisturbed.losses(), "losses differ from those of a run that was not killed")
        require(self._check_disk([]) == STEPS, "the last step was not saved")
        shutil.rmtree(self.run.path)
        self.runs_ended += 1

    # how it is started, and killed

    def _start(self, name, settings):
        metrics = self.folder / "runs" / name / "metrics.jsonl"
        self._metrics_before = metrics.stat().st_size if metrics.exists() else 0
        self._stale = set((self.run.path / "checkpoints").glob(".tmp-*"))
        words = thinwire.Case.train_words((*TRAJECTORY, *settings), name, ["--resume", "auto"])
        return thinwire.Job(["mpirun", "-n", RANKS, "--bind-to", "none", thinwire.program, *words], self.folder)

    def _train(self, name, settings):
        job = self._start(name, settings)
        try:
            return job.wait()
        finally:
            job.end()

    def _moment(self, phase, step, rank, draw, job):
        """Waits for it. False: the run was over before."""
        if phase == "training":
            moment = draw.randint(step - EVERY + 1, step - 1)
            came = self._comes(lambda: self._last_step() >= moment, job)
            time.sleep(draw.uniform(0, 0.02))
            return came
        if phase == "snapshot":  # the step is told just before it is saved
            return self._comes(lambda: self._last_step() >= step, job)
        came = self._comes(lambda: self._left(step) in PHASES_LEFT[phase], job)
        time.sleep(draw.choice((0, 0, draw.uniform(0, 0.01))))
        return came

    def _last_step(self):
        """That this start has trained; steps of earlier starts may be trained again."""
        try:
            with open(self.run.path / "metrics.jsonl", "rb") as file:
                file.seek(self._metrics_before)
                return max((int(step) for step in re.findall(rb'"kind":"train","step":(\d+),', file.read())), default=0)
        except FileNotFoundError:
            return 0

    @staticmethod
    def _comes(moment, job):
        deadline = time.monotonic() + thinwire.TIMEOUT_S
        while not moment():
            if job.ended():
                return False
            require(time.monotonic() < deadline, "the moment never came")
            time.sleep(0.0005)
        return True

    @staticmethod
    def _kill(rank, job):
        ranks = job.ranks()
        if len(ranks) < RANKS:
            return False  # it is just ending
        with contextlib.suppress(ProcessLookupError):
            os.kill(ranks[rank], signal.SIGKILL)
            return True
        return False

    def _left(self, step):
        """How far this start's save of that step has come, by what is on the disk."""
        if self.run.checkpoint(step).exists():
            return "committed"
        for temporary in set((self.run.path / "checkpoints").glob(f".tmp-step-{step:08}-*")) - self._stale:
            names = {path.name for path in temporary.glob("*")}
            return "manifest" if "manifest.json" in names else "files" if names else "directory"
        return "nothing"

    # what must hold afterwards

    @staticmethod
    def _check_end(came, done, job):
        if not came:
            require(done.code == 0, "the run failed by itself", done.text)
        deadline = time.monotonic() + ENDS_WITHIN_S
        while job.members() and time.monotonic() < deadline:
            time.sleep(0.02)
        require(not job.members(), f"processes remain: {job.members()}")

    @staticmethod
    def _check_resumed(before, done):
        if before:
            require(re.search(rf"(?m)^resumed from step {max(before)} in ", done.out), f"it did not go on from step {max(before)}", done.text)

    def _check_disk(self, before):
        """Every committed checkpoint is whole, none went that should stay, and the newest is what it would be without any kill."""
        saved = self.run.steps_saved()
        require(all(step % EVERY == 0 for step in saved), f"there are checkpoints of steps {saved}")
        require(max(saved, default=0) >= max(before, default=0), f"step {max(before, default=0)} is gone, there are {saved}")
        if not saved:
            return 0
        verified = self._thinwire("ckpt", "verify", self.run.path)
        require(verified.code == 0, "a committed checkpoint is damaged", verified.text)
        difference = self._thinwire("ckpt", "diff", self.undisturbed.checkpoint(max(saved)), self.run.checkpoint(max(saved)))
        differing = set(re.findall(r"'([^']+)'", difference.out))
        require(difference.code in (0, 1) and differing <= {"metrics/wire_totals"}, f"step {max(saved)} holds other values", difference.text)
        return max(saved)

    def _thinwire(self, *words):
        job = thinwire.Job([thinwire.program, *words], self.folder)
        try:
            return job.wait()
        finally:
            job.end()


PHASES_LEFT = {"coding": ("directory",), "writing": ("files",), "committing": ("manifest", "committed")}

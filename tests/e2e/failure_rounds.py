"""Rounds of random failures: a random rank of a run fails at a random time of a random cause, and the console has to name that rank and its reason first. For
failures.py, and for ./run soak.
"""
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import time

import thinwire
from rounds import Failed, furnish, require

WAYS = ("launch", "mpirun")
SIGNALS = ("SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGXCPU")
# disk: it writes one byte too many; config: it alone is given a wrong value; data: it alone does not find its data.
CAUSES = (*SIGNALS, "disk", "config", "data")
MOMENTS = ("start", "training", "training", "training")
CODES = {"config": 2, "data": 3}
ENDS_WITHIN_S = 60
ENDLESS = ("run.steps=1000000", "checkpoint.every=20", "log.every=1")


class Rounds:
    def __init__(self, folder):
        self.folder = folder
        furnish(folder, thinwire.SMALL_CONFIG)
        self.run = thinwire.Run(folder / "runs" / "run")

    def round(self, seed):
        """A record of what was done. Raises Failed."""
        draw = random.Random(seed)
        way, ranks, cause, moment = draw.choice(WAYS), draw.choice((2, 3, 4)), draw.choice(CAUSES), draw.choice(MOMENTS)
        if cause in CODES:
            way = "mpirun"  # launch gives all ranks the same words
        victim, began = draw.randrange(ranks), time.monotonic()
        shutil.rmtree(self.run.path, ignore_errors=True)
        job = self._start(way, ranks, victim, cause)
        try:
            if cause not in CODES:
                self._moment(moment, draw, job, ranks)
                self._harm(cause, self._pids(job, ranks)[victim])
            done = job.wait(ENDS_WITHIN_S)
            self._check(way, victim, cause, done)
            deadline = time.monotonic() + 5
            while job.members() and time.monotonic() < deadline:
                time.sleep(0.02)
            require(not job.members(), f"processes remain: {job.members()}", done.text)
        finally:
            job.end()
        return {"seed": seed, "way": way, "ranks": ranks, "rank": victim, "cause": cause, "moment": moment, "code": done.code,
                "seconds": round(time.monotonic() - began, 1)}

    def finish(self):
        """Nothing is left to be done: each round is a run of its own."""

    def _start(self, way, ranks, victim, cause):
        settings = (*ENDLESS, f"data.global_batch={ranks}", "data.micro_batch=1", f"run.dir={self.folder / 'runs'}")
        words = thinwire.Case.train_words(settings, config=self.folder / "small.yaml")
        if way == "launch":
            return thinwire.Job([thinwire.program, "launch", "-n", ranks, "--grace", 5, "--", *words], self.folder)
        if cause not in CODES:
            return thinwire.Job(["mpirun", "-n", ranks, "--bind-to", "none", thinwire.program, *words], self.folder)
        command = ["mpirun", "--bind-to", "none"]
        for rank in range(ranks):
            wrong = cause if rank == victim else None
            there = ["sh", "-c", 'cd / && exec "$@"', "sh"] if wrong == "data" else []
            command += [*([":"] if rank else []), "-n", 1, *there, thinwire.program, *words, *(["--set", "optim.lr=fast"] if wrong == "config" else [])]
        return thinwire.Job(command, self.folder)

    def _moment(self, moment, draw, job, ranks):
        """Waits for it."""
        deadline = time.monotonic() + thinwire.TIMEOUT_S
        step = draw.randint(2, 40)
        came = (lambda: len(self._pids(job, ranks)) == ranks) if moment == "start" else (lambda: self.run.last_step() >= step)
        while not came():
            require(not job.ended(), "the run failed by itself", "" if not job.ended() else job.wait().text)
            require(time.monotonic() < deadline, "the moment never came")
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.3 if moment == "start" else 0.05))

    @staticmethod
    def _pids(job, ranks):
        """{rank: pid} of the ranks that run: those whose parent gave them their number."""
        found = {}
        for pid in job.ranks():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as file:
                    variables = dict(one.split(b"=", 1) for one in file.read().split(b"\0") if b"=" in one)
                number = variables.get(b"OMPI_COMM_WORLD_RANK", variables.get(b"RANK"))
                if number is not None:
                    found[int(number)] = pid
        return found

    @staticmethod
    def _harm(cause, pid):
        if cause in SIGNALS:
            os.kill(pid, getattr(signal, cause))
            return
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))

    @staticmethod
    def _check(way, victim, cause, done):
        require(done.code not in (0, thinwire.STOPPED), f"it ended with {done.code}", done.text)
        named = _first_named(way, done.err)
        require(named is not None, f"no rank is named, and rank {victim} failed of {cause}", done.text)
        rank, reason = named
        require(rank == victim, f"rank {rank} is named first ({reason}), but rank {victim} failed of {cause}", done.text)
        if cause in CODES:
            word = {"config": "optim.lr", "data": "words.txt"}[cause]
            require(word in reason and done.code == CODES[cause], f"it ended with {done.code}: {reason}", done.text)
        else:
            cause = "SIGXFSZ" if cause == "disk" else cause
            number = int(getattr(signal, cause))
            words = (f"killed by {cause}",) if way == "launch" else (f"exited on signal {number} ",)
            require(any(word in reason for word in words), f"the reason is not {cause}: {reason}", done.text)
            require(done.code == 128 + number, f"it ended with {done.code}, not {128 + number}", done.text)


def _first_named(way, text):
    """(rank, reason) of the first line that says that a rank failed."""
    if way == "launch":
        found = re.search(r"\[launch\] rank (\d+) on \S+: (.*)", text)
    else:
        found = re.search(r"\[rank (\d+) \S+\] error: (.*)|mpirun noticed that process rank (\d+) with (.*(?:\n.*)?exited on signal[^\n]*)", text)
    if found is None:
        return None
    rank, reason = [group for group in found.groups() if group is not None]
    told = re.match(r"(?:lost )?rank (\d+)", reason)  # a rank that fails because of another one says so
    return int(told.group(1) if told else rank), reason

"""Runs that stand still, each kind of it injected: a report within the deadline that names the rank and what it is at, exit code 6 (at the start 5), what every
rank did last in the run directory, and no process left."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import time

import flight
import thinwire

COMM, HANG = 5, 6
DEADLINE_S = 3
SPARE_S = 25  # for a busy machine: to be noticed, told, and to end
WAYS = ("mpirun", "launch", "threads")
PROCESSES = WAYS[:2]  # ranks that are
NO_PROGRESS = f"no progress for {DEADLINE_S} s in "
ENDLESS = ("run.steps=1000000", "checkpoint.every=0", "log.every=1", f"comm.timeout={DEADLINE_S}s")


class Hanging(thinwire.Case):
    ranks = 3
    config = thinwire.SMALL_CONFIG.replace("global_batch: 4, micro_batch: 2", "global_batch: 3, micro_batch: 1").replace("every: 5}", "every: 2}", 1)

    def start_run(self, way, settings, environment=None):
        """Its run has the name of the way."""
        words = self.train_words(settings, way)
        if way == "mpirun":
            return self.start(thinwire.program, *words, ranks=self.ranks, environment=environment)
        if way == "launch":
            return self.start(thinwire.program, "launch", "-n", self.ranks, "--grace", 2, "--", *words, environment=environment)
        return self.start(thinwire.program, *words, "--set", f"parallel.dp={self.ranks}", environment=environment)

    def under_each(self, ways, begin):
        """begin(way): a job in which rank 1 stands still from now on, and words of the report. It waits for its deadline while the next one begins."""
        begun = []
        for way in ways:
            with self.subTest(way):
                begun.append((way, *begin(way), time.time()))
        for way, job, words, since in begun:
            with self.subTest(way):
                self.assert_told(way, job, words, since)

    def trains(self, job, way, step=3):
        run = self.run_of(way)
        self.wait_until(lambda: run.last_step() >= step and all(flight.read(run, r) for r in range(self.ranks)), job)

    def assert_told(self, way, job, words, since):
        """That rank 1 hangs."""
        done = job.wait(DEADLINE_S + SPARE_S + 30)
        self.assertEqual(done.code, HANG, done.text)
        self.assertRegex(done.err, rf"error: .*no progress for [\d.]+ s in .*missing 1; rank 1 on {re.escape(socket.gethostname())} is at step \d+: ")
        self.assert_says(done, *words)
        if way == "launch":
            self.assert_blamed(done)
        self.assert_nothing_remains(job)
        self.assertLess(self.report_of(way).stat().st_mtime - since, DEADLINE_S + SPARE_S, "the report came late")
        self.assert_dumps(way, words)

    def assert_blamed(self, done):
        """The launcher names the rank that hangs first, and not the one that noticed it, which may be itself where its disk hangs."""
        first, why = [line for line in done.err.splitlines() if line.startswith("[launch]")][:2]
        self.assertRegex(first, r"^\[launch\] rank 1 (does not go on, reported by rank [02] )?on \S+: exit code 6 \(no progress\)$")
        self.assertRegex(why, r"^\[launch\] why: .*no progress .*missing 1")

    def report_of(self, way):
        return self.run_of(way).path / "hang" / "1" / "report.txt"

    def assert_dumps(self, way, words):
        folder = self.report_of(way).parent
        self.assertEqual(sorted(path.name for path in folder.iterdir()), [f"rank_{r:05}.txt" for r in range(self.ranks)] + ["report.txt"])
        report = self.report_of(way).read_text(encoding="utf-8")
        self.assertIn("missing 1", report)
        for word in words:
            self.assertIn(word, report)
        for r in range(self.ranks):
            text = (folder / f"rank_{r:05}.txt").read_text(encoding="utf-8")
            self.assertRegex(text, rf"^rank {r} on \S+, process \d+, step \d+;")
            self.assertRegex(text, r"\ncontrol \(thread \d+\)\n")
            self.assertIn("on the wire all_gather", text)


class Stopped(Hanging):
    """SIGSTOP: the whole process stands still, and cannot say anything."""

    def test_in_training(self):
        def begin(way):
            job = self.start_run(way, ENDLESS)
            self.trains(job, way)
            process = flight.read(self.run_of(way), 1).process
            os.kill(process, signal.SIGSTOP)
            return job, (NO_PROGRESS, f"its process {process} is stopped")
        self.under_each(PROCESSES, begin)

    def test_a_rank_that_goes_on_in_time_is_forgiven_and_blames_nobody(self):
        way = "mpirun"
        job = self.start_run(way, ("run.steps=200", "checkpoint.every=0", "log.every=1", "comm.timeout=20s"))
        self.trains(job, way)
        process = flight.read(self.run_of(way), 1).process
        os.kill(process, signal.SIGSTOP)
        time.sleep(2)
        os.kill(process, signal.SIGCONT)
        done = job.wait()
        self.assertEqual(done.code, 0, done.text)


class Asleep(Hanging):
    """One thread of a rank sleeps; its process lives."""

    def assert_named(self, thread, kind, word, name="", settings=()):
        """`word`: of the report, once rank 1's thread sleeps in an operation of that kind whose name begins so."""
        def begin(way):
            sleeper = flight.Sleeper(self.folder, way)
            job = self.start_run(way, (*ENDLESS, *settings), environment=sleeper.environment())
            self.trains(job, way)
            sleeper.put_to_sleep(self.run_of(way), 1, thread, kind, job, name)
            return job, (NO_PROGRESS, word, "is alive")
        self.under_each(WAYS, begin)

    def test_in_forward_or_backward(self):
        self.assert_named("training", "compute", "forward and backward step")

    def test_in_the_data_loader(self):
        little = ("model.d_model=8", "model.layers=1", "model.heads=1", "exchange.every=50", "log.every=50", "run.verify_every=0")  # besides to do
        self.assert_named("training", "data", "data batch 0", settings=little)

    def test_in_encode(self):
        """Of a bulk lane: the training thread waits for it, and the report tells what for."""
        much = ("model.d_model=384", "exchange.schedule=every_step", "compress.topk.entropy=rans")  # to encode
        self.assert_named("bulk 1", "encode", "encode model.", name="model.", settings=much)

    def test_in_an_evaluation(self):
        self.assert_named("training", "evaluation", "evaluation batch", name="batch", settings=("eval.every=2", "eval.batches=30"))

    def test_in_a_save_that_training_waits_for(self):
        """Its disk thread hangs while messages pass."""
        settings = [s for s in ENDLESS if s != "checkpoint.every=0"] + ["checkpoint.every=2", "checkpoint.async=false", f"checkpoint.timeout={DEADLINE_S}s"]

        def begin(way):
            sleeper = flight.Sleeper(self.folder, way)
            environment = sleeper.environment()  # with a disk on which the thread stays long enough to be met
            environment["LD_PRELOAD"] += f":{thinwire.program.parent / 'tests' / 'e2e' / 'libthinwire_fsync.so'}"
            environment |= {"THINWIRE_FSYNC_OF": "rank-00001", "THINWIRE_FSYNC_MS": "100"}
            job = self.start_run(way, settings, environment=environment)
            self.wait_until(lambda: len(self.run_of(way).steps_saved()) >= 1, job)
            sleeper.put_to_sleep(self.run_of(way), 1, "disk", "checkpoint", job)
            return job, ("(checkpoint: ", "arrived 0, 2; missing 1", ": checkpoint ")
        self.under_each(WAYS, begin)

    def test_a_single_rank_finds_itself(self):
        sleeper = flight.Sleeper(self.folder)
        settings = [f"run.stall_timeout={DEADLINE_S}s", "run.steps=1000000", "checkpoint.every=0", "log.every=1"]
        job = self.start(thinwire.program, *self.train_words(settings), environment=sleeper.environment())
        self.wait_until(lambda: self.run_of().last_step() >= 3, job)
        sleeper.put_to_sleep(self.run_of(), 0, "training", "compute", job)
        done = job.wait(DEADLINE_S + SPARE_S)
        self.assertEqual(done.code, HANG, done.text)
        self.assertRegex(done.err, rf"no progress for {DEADLINE_S} s: rank 0 on \S+ is at step \d+: forward and backward step")
        self.assert_nothing_remains(job)


class Start(Hanging):
    """Ranks that do not come, or stand still before there is a run directory: exit code 5."""

    settings = ("run.steps=10", "comm.start_timeout=4s")

    def test_a_rank_that_is_not_there_under_mpirun(self):
        words = [thinwire.program, *self.train_words([*self.settings, "data.global_batch=2"])]
        job = self.start("mpirun", "--bind-to", "none", "-n", 1, *words, ":", "-n", 1, "sleep", 60)
        done = job.wait(4 + SPARE_S)
        self.assertEqual(done.code, COMM, done.text)
        self.assertRegex(done.err, r"not all 2 ranks have come to MPI within 4 s .*: rank 1 \(process \d+, sleep\) runs another program")
        self.assert_nothing_remains(job)

    def test_a_rank_that_stands_still_before_it_has_met_the_others(self):
        """Under MPI others wait within MPI_Init, over gRPC where ranks meet; or for its first message, by when it is stopped."""
        words = [thinwire.program, *self.train_words([*self.settings, "data.global_batch=2"])]
        told = {"mpirun": r"rank 1 \(process \d+, thinwire\) is stopped", "launch": r"rank 1 of 2 did not come to \S+ within 4 s"}
        jobs = {"mpirun": self.start(*words, ranks=2), "launch": self.start(words[0], "launch", "-n", 2, "--grace", 2, "--", *words[1:])}
        for way, job in jobs.items():
            with self.subTest(way):
                self.wait_until(lambda job=job: len(self.rank_pids(job)) == 2, job)
                os.kill(self.rank_pids(job)[1], signal.SIGSTOP)
        for way, job in jobs.items():
            with self.subTest(way):
                done = job.wait(4 + SPARE_S)
                self.assertEqual(done.code, COMM, done.text)
                self.assertRegex(done.err, rf"{told[way]}|no message from rank 1 for 4 s")
                self.assert_nothing_remains(job)

    @staticmethod
    def rank_pids(job):
        """{rank: pid} of those whose launcher gave them a number."""
        pids = {}
        for pid in job.ranks():
            with contextlib.suppress(OSError):
                variables = dict(one.split("=", 1) for one in pathlib.Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0") if "=" in one)
                number = variables.get("OMPI_COMM_WORLD_RANK", variables.get("RANK"))
                if number is not None:
                    pids[int(number)] = pid
        return pids


if __name__ == "__main__":
    thinwire.main()

"""Runs that stand still, each kind of it injected: a report within the deadline that names the rank and what it is at, exit code 6 (at the start 5), what every
rank did last in the run directory, and no process left."""
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
ENDLESS = ("run.steps=1000000", "checkpoint.every=0", "log.every=1", f"comm.timeout={DEADLINE_S}s")


class Hanging(thinwire.Case):
    ranks = 3
    config = thinwire.SMALL_CONFIG.replace("global_batch: 4, micro_batch: 2", "global_batch: 3, micro_batch: 1").replace("every: 5}", "every: 2}", 1)

    def start_run(self, way, settings, name="run", environment=None):
        words = self.train_words(settings, name)
        if way == "mpirun":
            return self.start(thinwire.program, *words, ranks=self.ranks, environment=environment)
        if way == "launch":
            return self.start(thinwire.program, "launch", "-n", self.ranks, "--grace", 2, "--", *words, environment=environment)
        return self.start(thinwire.program, *words, "--set", f"parallel.dp={self.ranks}", environment=environment)

    def process_of(self, rank):
        return flight.read(self.run_of(), rank).process

    def trains(self, job, name="run", step=3):
        self.wait_until(lambda: self.run_of(name).last_step() >= step and all(flight.read(self.run_of(name), r) for r in range(self.ranks)), job)

    def assert_told(self, job, rank, *words, since, name="run", deadline_s=DEADLINE_S):
        """That `rank` hangs."""
        done = job.wait(deadline_s + SPARE_S + 30)
        took_s = time.monotonic() - since
        self.assertEqual(done.code, HANG, done.text)
        self.assertRegex(done.text, rf"no progress for {deadline_s} s .*missing {rank}; rank {rank} on {re.escape(socket.gethostname())} is at step \d+: ")
        self.assert_says(done, *words)
        self.assert_nothing_remains(job)
        self.assertLess(took_s, deadline_s + SPARE_S, "the report came late")
        self.assert_dumps(name, rank, *words)
        return done

    def assert_dumps(self, name, rank, *words):
        folder = self.run_of(name).path / "hang" / "1"
        self.assertEqual(sorted(path.name for path in folder.iterdir()), [f"rank_{r:05}.txt" for r in range(self.ranks)] + ["report.txt"])
        report = (folder / "report.txt").read_text(encoding="utf-8")
        self.assertIn(f"missing {rank}", report)
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
        for way in ("mpirun", "launch"):
            with self.subTest(way):
                self.doCleanups()
                self.setUp()
                job = self.start_run(way, ENDLESS)
                self.trains(job)
                process, since = self.process_of(1), time.monotonic()
                os.kill(process, signal.SIGSTOP)
                done = self.assert_told(job, 1, f"its process {process} is stopped", since=since)
                self.assertRegex(done.err, r"error: no progress")
                if way == "launch":
                    self.assertRegex(done.err, r"\[launch\] rank [02] on \S+: exit code 6 \(no progress\)\n\[launch\] why: no progress .*missing 1")

    def test_a_rank_that_goes_on_in_time_is_forgiven_and_blames_nobody(self):
        job = self.start_run("mpirun", ("run.steps=200", "checkpoint.every=0", "log.every=1", "comm.timeout=20s"))
        self.trains(job)
        process = self.process_of(1)
        os.kill(process, signal.SIGSTOP)
        time.sleep(2)
        os.kill(process, signal.SIGCONT)
        done = job.wait()
        self.assertEqual(done.code, 0, done.text)


class Asleep(Hanging):
    """One thread of a rank sleeps; its process lives."""

    def assert_named(self, ways, thread, kind, word, name="", settings=()):
        """`word`: of the report, once rank 1's thread sleeps in an operation of that kind whose name begins so."""
        for way in ways:
            with self.subTest(way):
                self.doCleanups()
                self.setUp()
                sleeper = flight.Sleeper(self.folder)
                job = self.start_run(way, (*ENDLESS, *settings), environment=sleeper.environment())
                self.trains(job)
                sleeper.put_to_sleep(self.run_of(), 1, thread, kind, job, name)
                self.assert_told(job, 1, word, "is alive", since=time.monotonic())

    def test_in_forward_or_backward(self):
        self.assert_named(["threads"], "training", "compute", "forward and backward step")

    def test_in_the_data_loader(self):
        self.assert_named(["mpirun"], "training", "data", "data batch 0")

    def test_in_encode(self):
        """Of a bulk lane: the training thread waits for it, and the report tells what for."""
        much = ("model.d_model=384", "exchange.schedule=every_step", "compress.topk.entropy=rans")  # to encode
        self.assert_named(["launch", "threads"], "bulk 1", "encode", "encode model.", name="model.", settings=much)

    def test_in_an_evaluation(self):
        self.assert_named(["launch"], "training", "evaluation", "evaluation batch", name="batch", settings=("eval.every=2", "eval.batches=30"))

    def test_in_a_save_that_training_waits_for(self):
        """Its disk thread hangs while messages pass."""
        settings = (*ENDLESS, "checkpoint.every=2", "checkpoint.async=false", f"checkpoint.timeout={DEADLINE_S}s")
        for way in ("mpirun", "threads"):
            with self.subTest(way):
                self.doCleanups()
                self.setUp()
                sleeper = flight.Sleeper(self.folder)
                environment = sleeper.environment()  # with a disk on which the thread stays long enough to be met
                environment["LD_PRELOAD"] += f":{thinwire.program.parent / 'tests' / 'e2e' / 'libthinwire_fsync.so'}"
                environment |= {"THINWIRE_FSYNC_OF": "rank-00001", "THINWIRE_FSYNC_MS": "100"}
                job = self.start_run(way, [s for s in settings if s != "checkpoint.every=0"], environment=environment)
                self.wait_until(lambda: len(self.run_of().steps_saved()) >= 1, job)
                sleeper.put_to_sleep(self.run_of(), 1, "disk", "checkpoint", job)
                since = time.monotonic()
                done = job.wait(DEADLINE_S + SPARE_S + 30)
                self.assertEqual(done.code, HANG, done.text)
                self.assertRegex(done.text, r"no progress for [\d.]+ s in \S+.* \(checkpoint: [a-z ]+\) at step \d+: arrived 0, 2; missing 1; rank 1 .*: checkpoint ")
                self.assertLess(time.monotonic() - since, DEADLINE_S + SPARE_S)
                self.assert_nothing_remains(job)

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
        """Under MPI others wait within MPI_Init, or for its first message, by when it is stopped."""
        job = self.start(thinwire.program, *self.train_words([*self.settings, "data.global_batch=2"]), ranks=2)
        self.wait_until(lambda: len(job.ranks()) == 2, job)
        os.kill(self.rank_pids(job)[1], signal.SIGSTOP)
        done = job.wait(4 + SPARE_S)
        self.assertEqual(done.code, COMM, done.text)
        self.assertRegex(done.err, r"rank 1 \(process \d+, thinwire\) is stopped|no message from rank 1 for 4 s")
        self.assert_nothing_remains(job)

    @staticmethod
    def rank_pids(job):
        pids = {}
        for pid in job.ranks():
            variables = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
            pids |= {int(one.split("=")[1]): pid for one in variables if one.startswith("OMPI_COMM_WORLD_RANK=")}
        return pids


if __name__ == "__main__":
    thinwire.main()

"""Saves beside training: the same bytes as saves that training waits for, and what happens when the disk is slow, or fails."""
import json
import signal

import thinwire

CHECKPOINT = 4
TWO_RANKS = ("parallel.dp=2", "checkpoint.keep=0")
SAVE_MS = 400  # a save on the slow disk takes longer than the steps between two


def disk(of, fails=False, takes_ms=None):
    """The environment of a run whose fsync of files with `of` in their path fails, or takes its time."""
    environment = {"LD_PRELOAD": str(thinwire.program.parent / "tests" / "e2e" / "libthinwire_fsync.so"), "THINWIRE_FSYNC_OF": of}
    if fails:
        environment["THINWIRE_FSYNC_FAILS"] = "1"
    if takes_ms:
        environment["THINWIRE_FSYNC_MS"] = str(takes_ms)
    return environment


SLOW_DISK = {"of": "model.safetensors", "takes_ms": SAVE_MS}


class Saves(thinwire.Case):
    def events(self, name, run="run"):
        return [record for record in self.run_of(run).records("event") if record["event"] == name]


class Beside(Saves):
    def assert_same_states(self, *settings):
        """At every save, however far training has gone on meanwhile."""
        settings = (*TWO_RANKS, "checkpoint.every=3", "run.steps=20", *settings)
        there = self.trained(*settings, "checkpoint.async=false", name="there")
        beside = self.trained(*settings, "checkpoint.async=true", name="beside")
        self.assertEqual(beside.steps_saved(), [3, 6, 9, 12, 15, 18, 20])
        self.assertEqual(beside.steps_saved(), there.steps_saved())
        for step in beside.steps_saved():
            self.assertEqual(beside.state(step), there.state(step), step)
            self.assertEqual(beside.manifest(step)["numbers"], there.manifest(step)["numbers"])
        self.assertEqual(beside.losses(), there.losses())
        self.thinwire("ckpt", "verify", beside.path)
        return beside

    def test_they_are_of_the_step_that_they_are_named_after(self):
        self.assert_same_states()

    def test_under_every_schedule_and_policy(self):
        for settings in (["exchange.schedule=every_step"], ["exchange.every=4", "exchange.fragments=2", "exchange.delay=2"],
                         ["compress.error_feedback=ef21"], ["checkpoint.mode=raw"]):
            with self.subTest(settings):
                self.doCleanups()
                self.setUp()
                self.assert_same_states(*settings)

    def test_against_a_base(self):
        beside = self.assert_same_states("checkpoint.base=previous")
        self.assertTrue(any("base" in beside.manifest(step) for step in beside.steps_saved()))

    def test_training_waits_for_the_copy_alone(self):
        """On a slow disk: with room for it between two saves, a save is no wait."""
        self.train(*TWO_RANKS, "run.steps=200", "checkpoint.every=100", "log.every=50", environment=disk(**SLOW_DISK))
        first, last = self.events("checkpoint")
        self.assertEqual([first["step"], last["step"]], [100, 200])
        self.assertGreater(first["save_s"], SAVE_MS / 1000)
        self.assertLess(first["blocked_s"], first["save_s"] / 2)
        self.assertGreaterEqual(last["blocked_s"], last["save_s"])  # before the end there is nothing to do but wait

    def test_when_the_next_one_is_due_training_waits_or_leaves_it_out(self):
        settings = (*TWO_RANKS, "checkpoint.every=4", "run.steps=20")
        very_slow = disk("model.safetensors", takes_ms=4 * SAVE_MS)  # than four steps of any machine
        self.train(*settings, name="waits", environment=very_slow)
        self.assertEqual(self.run_of("waits").steps_saved(), [4, 8, 12, 16, 20])
        self.assertGreater(self.events("checkpoint", "waits")[1]["blocked_s"], SAVE_MS / 4000)
        done = self.train(*settings, "checkpoint.when_busy=skip", name="skips", environment=very_slow)
        saved, skipped = ([event["step"] for event in self.events(name, "skips")] for name in ("checkpoint", "checkpoint_skipped"))
        self.assertEqual(sorted(saved + skipped), [4, 8, 12, 16, 20])
        self.assertIn(4, saved)
        self.assertIn(20, saved)  # the last one is never left out
        self.assertTrue(skipped)
        self.assertEqual(self.run_of("skips").steps_saved(), saved)
        self.assert_says(done, f"step {skipped[0]} is not saved")
        self.assertEqual(self.run_of("skips").state(20), self.run_of("waits").state(20))

    def test_a_signal_during_a_save_lets_it_end_and_saves_where_training_stopped(self):
        job = self.start(thinwire.program, *self.train_words([*TWO_RANKS, "checkpoint.every=50", "run.steps=100000", "log.every=10"]),
                         environment=disk(**SLOW_DISK))
        self.wait_until(lambda: any((self.run_of().path / "checkpoints").glob(".tmp-step-00000050-*")), job)
        job.signal(signal.SIGTERM)
        done = job.wait()
        self.assertEqual(done.code, thinwire.STOPPED, done.text)
        saved = self.run_of().steps_saved()
        self.assertEqual(saved[0], 50)
        self.assert_says(done, f"at step {saved[-1]}")
        self.thinwire("ckpt", "verify", self.run_of().path)

    def test_the_trace_shows_the_copy_and_the_save_on_rows_of_their_own(self):
        self.train("parallel.dp=2", "log.trace=true", environment=disk(**SLOW_DISK))
        for rank in (0, 1):
            events = json.loads((self.run_of().path / "trace" / f"rank_{rank:05}.json").read_text())
            spans = {event["name"]: event for event in events if event["ph"] == "X" and event["cat"] == "checkpoint"}
            copy, save = spans["snapshot 10"], spans["save 10"]
            self.assertNotEqual(copy["tid"], save["tid"])
            self.assertLessEqual(copy["ts"], save["ts"])
            self.assertGreater(save["dur"], SAVE_MS * 1000)
            self.assertGreater(save["ts"] + save["dur"], spans["write 10"]["ts"] + spans["write 10"]["dur"])
            self.assertIn("commit 10", spans)


class FailingDisk(Saves):
    """fsync reports an I/O error."""

    def assert_one_save_fails(self, file):
        """The save of step 10; the one at the end, of step 20, succeeds."""
        done = self.train(*TWO_RANKS, "checkpoint.every=5", environment=disk(of=f"tmp-step-00000010-{file}", fails=True))
        (failed,) = self.events("checkpoint_failed")
        self.assertEqual(failed["step"], 10)
        for text in (failed["detail"], done.err):
            self.assertRegex(text, r"step-00000010 was not saved: .*Input/output error")
        self.assertIn("training goes on", done.err)
        self.assertEqual(self.run_of().steps_saved(), [5, 15, 20])
        self.assertEqual(list((self.run_of().path / "checkpoints").glob(".*")), [])
        self.thinwire("ckpt", "verify", self.run_of().path)

    def test_costs_that_save_alone(self):
        for wanted in ("true", "false"):
            with self.subTest(asynchronous=wanted):
                self.doCleanups()
                self.setUp()
                (self.folder / "small.yaml").write_text(self.config.replace("{every: 10}", f"{{every: 10, async: {wanted}}}"))
                self.assert_one_save_fails("")

    def test_that_never_recovers_ends_a_run_with_4_after_its_last_step(self):
        done = self.train(*TWO_RANKS, "checkpoint.every=5", code=CHECKPOINT, environment=disk(of="model.safetensors", fails=True))
        self.assertEqual([event["step"] for event in self.events("checkpoint_failed")], [5, 10, 15, 20])
        self.assert_says(done, "step 20/20", "training goes on", "Input/output error")
        self.assertEqual(self.run_of().steps_saved(), [])
        self.assertEqual(list((self.run_of().path / "checkpoints").iterdir()), [])

    def test_of_one_process_under_mpirun_is_told_with_its_rank(self):
        done = self.train("checkpoint.every=10", "checkpoint.keep=0", ranks=2, code=CHECKPOINT,
                          environment=disk(of="rank-00001.safetensors", fails=True))
        self.assert_says(done, "rank 1: cannot bring", "rank-00001.safetensors", "Input/output error", "step 20/20")
        self.assertEqual(self.run_of().steps_saved(), [])


if __name__ == "__main__":
    thinwire.main()

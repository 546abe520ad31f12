"""Runs that are killed or stopped, and go on: the same bytes as if they had never been interrupted, and nothing left behind."""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import time

import flight
import thinwire

LOCAL_STEPS = ("run.steps=30", "checkpoint.every=15")
EVERY_STEP = (*LOCAL_STEPS, "exchange.schedule=every_step")
MID_ROUND = ("run.steps=30", "checkpoint.every=7")  # saves at 7, 14, 21, 28, 30; rounds end at 5, 10, ...
# Rounds of one half begin at 2, 6, ..., of the other at 4, 8, ..., and end two steps later: some round is under way at every save.
OVERLAPPED = (*MID_ROUND, "exchange.every=4", "exchange.fragments=2", "exchange.delay=2", "run.verify_every=3")
SEEDS = range(3)    # the last kills in the middle of a save
ENDS_WITHIN_S = 5  # of mpirun, once a rank is dead


class Interrupted(thinwire.Case):
    # Steps and saves of some ten milliseconds: long enough to meet one of them.
    config = thinwire.SMALL_CONFIG.replace("d_model: 32, layers: 2", "d_model: 96, layers: 3").replace("context: 32", "context: 64")

    def start_training(self, settings, **how):
        return self.start(thinwire.program, *self.train_words(settings), **how)

    def undisturbed(self, settings, **how):
        return self.trained(*settings, name="undisturbed", **how)

    def assert_ends_as(self, undisturbed, settings, **how):
        """The same command with --resume auto: losses, parameters, optimiser state, residuals and anchors."""
        done = self.train(*settings, options=["--resume", "auto"], **how)
        self.assertRegex(done.out, r"(?m)^resumed from step \d+ in runs/run$")
        self.assertEqual(self.run_of().losses(), undisturbed.losses())
        state, expected = self.run_of().state(30), undisturbed.state(30)
        self.assertTrue(any(name.startswith("exchange/residual/") for _, name in expected))
        self.assertEqual([key for key in {**state, **expected} if state.get(key) != expected.get(key)], [])
        return done

    def assert_committed_are_whole(self, settings):
        every = int(settings[1].split("=")[1])
        self.assertTrue(all(step % every == 0 or step == 30 for step in self.run_of().steps_saved()), self.run_of().steps_saved())
        self.thinwire("ckpt", "verify", self.run_of().path)


class Killed(Interrupted):
    """kill -9 under mpirun, two ranks."""

    def moment(self, seed, settings, job):
        """Waits for a random moment after the save of step 15 (14) was committed: in a step, or in a later save. False: missed it."""
        draw, run = random.Random(seed), self.run_of()
        committed, later = (14, (21, 28)) if "checkpoint.every=7" in settings else (15, (30,))
        if seed == SEEDS[-1]:
            being_written = f".tmp-step-{draw.choice(later):08}-*"
            return self.comes(lambda: any((run.path / "checkpoints").glob(being_written)), job)
        step = draw.randint(committed, 27)
        came = self.comes(lambda: run.checkpoint(committed).exists() and run.last_step() >= step, job)
        time.sleep(draw.uniform(0, 0.02))
        return came

    def killed(self, seed, settings):
        """A rank is killed, or (the power fails) all processes at once."""
        for _ in range(5):
            shutil.rmtree(self.run_of().path, ignore_errors=True)
            job = self.start_training(settings, ranks=2)
            came, ranks = self.moment(seed, settings, job), job.ranks()
            victims = list(job.members()) if seed % 2 else ranks[seed % len(ranks):][:1] if ranks else []
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            done = job.wait(ENDS_WITHIN_S)
            if came and done.code != 0:
                self.assert_nothing_remains(job)
                return
        self.fail(f"the run was always over before it was killed:\n{thinwire.shortened(done.text)}")

    def assert_survives(self, settings, then=(), seeds=SEEDS):
        """`then`: settings of the resume, and of the run that is not disturbed."""
        undisturbed = self.undisturbed((*settings, *then), ranks=2)
        for seed in seeds:
            with self.subTest(seed=seed):
                self.killed(seed, settings)
                self.assert_committed_are_whole(settings)
                self.assert_ends_as(undisturbed, (*settings, *then), ranks=2)

    def test_under_local_steps_between_rounds(self):
        self.assert_survives(LOCAL_STEPS)

    def test_under_local_steps_saved_within_rounds(self):
        self.assert_survives(MID_ROUND)

    def test_while_rounds_are_under_way(self):
        self.assert_survives(OVERLAPPED)

    def test_under_every_step(self):
        self.assert_survives(EVERY_STEP)

    def test_with_checkpoints_that_are_coded_against_each_other(self):
        """Which of them depends on the interruption; so the last one, which is compared, shows what is in memory."""
        self.assert_survives((*MID_ROUND, "checkpoint.base=previous", "checkpoint.keep=0"), then=["checkpoint.mode=raw"], seeds=SEEDS[-2:])
        self.assertTrue(any("base" in self.run_of().manifest(step) for step in self.run_of().steps_saved()))

    def test_before_the_first_save_the_same_command_starts_again(self):
        job = self.start_training(LOCAL_STEPS, ranks=2)
        self.wait_until(lambda: self.run_of().last_step() >= 3, job)
        os.kill(job.ranks()[0], signal.SIGKILL)
        self.assertNotEqual(job.wait(ENDS_WITHIN_S).code, 0)
        self.assert_says(self.train(*LOCAL_STEPS, options=["--resume", "auto"], ranks=2), "starting from step 0")
        self.assertEqual(self.run_of().losses(), self.undisturbed(LOCAL_STEPS, ranks=2).losses())


class Stopped(Interrupted):
    """Signals that ask: every rank saves the same step, and the exit code is 75."""

    settings = ("run.steps=30", "checkpoint.every=0", "exchange.every=4")

    def assert_stops(self, send, **how):
        undisturbed = self.undisturbed(self.settings, **how)
        job = self.start_training(self.settings, **how)
        self.wait_until(lambda: self.run_of().last_step() >= 5, job)
        send(job)
        done = job.wait()
        self.assertEqual(done.code, thinwire.STOPPED, done.text)
        self.assert_nothing_remains(job)
        self.assertEqual(len(self.run_of().steps_saved()), 1)
        step = self.run_of().steps_saved()[0]
        self.assert_says(done, f"at step {step}", "--resume auto")
        self.assertEqual(self.run_of().manifest(step)["world"], 2)
        self.assert_says(self.assert_ends_as(undisturbed, self.settings, **how), f"resumed from step {step}")

    def test_sigusr1_to_mpirun_which_forwards_it(self):
        self.assert_stops(lambda job: job.signal(signal.SIGUSR1), ranks=2)

    def test_sigusr1_sigterm_or_sighup_to_one_rank_under_mpirun(self):
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                self.doCleanups()
                self.setUp()
                self.assert_stops(lambda job, number=number: os.kill(job.ranks()[1], number), ranks=2)

    def test_each_signal_that_asks_to_ranks_that_are_threads(self):
        self.settings = (*self.settings, "parallel.dp=2")
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number.name):
                self.doCleanups()
                self.setUp()
                self.assert_stops(lambda job, number=number: job.signal(number))

    def test_while_rounds_are_under_way(self):
        self.settings = (*self.settings, "exchange.fragments=4", "exchange.delay=3", "parallel.dp=2")
        self.assert_stops(lambda job: job.signal(signal.SIGTERM))

    def test_a_signal_after_a_peer_died_starts_no_save(self):
        """mpirun sends SIGTERM to the others when a rank is killed."""
        job = self.start_training(self.settings, ranks=2)
        self.wait_until(lambda: self.run_of().last_step() >= 5, job)
        os.kill(job.ranks()[0], signal.SIGKILL)
        self.assertNotIn(job.wait(ENDS_WITHIN_S).code, (0, thinwire.STOPPED))
        self.assert_nothing_remains(job)
        self.assertEqual(self.run_of().steps_saved(), [])
        self.assertEqual(list((self.run_of().path / "checkpoints").glob(".*")), [])


class OneOfFour(Interrupted):
    """SIGTERM to one rank of four, wherever it is: all save the same step, exit with 75, and go on to the same bits."""

    settings = ("run.steps=30", "checkpoint.every=0", "data.micro_batch=1", f"comm.timeout={thinwire.TIMEOUT_S}s")
    victim = 2

    def assert_stops(self, moment, *settings):
        """`moment`: of the flight record of the rank that gets the signal; None before there is one."""
        settings = (*self.settings, *settings)
        undisturbed = self.undisturbed(settings, ranks=4)
        job = self.start_training(settings, ranks=4)
        self.wait_until(lambda: moment(job, flight.read(self.run_of(), self.victim)), job)
        os.kill(self.process_of_victim(job), signal.SIGTERM)
        done = job.wait()
        self.assertEqual(done.code, thinwire.STOPPED, done.text)
        self.assert_nothing_remains(job)
        (step,) = self.run_of().steps_saved()
        self.assertLess(step, 30)
        self.assertEqual(self.run_of().manifest(step)["world"], 4)
        self.assert_says(done, f"at step {step}")
        self.assert_says(self.assert_ends_as(undisturbed, settings, ranks=4), f"resumed from step {step}")
        return step

    def process_of_victim(self, job):
        return next(pid for pid in job.ranks() if f"OMPI_COMM_WORLD_RANK={self.victim}\0" in pathlib.Path(f"/proc/{pid}/environ").read_text(errors="replace"))

    def test_in_training(self):
        self.assert_stops(lambda _, record: record and record.step >= 4 and record.is_at("training", "compute"))

    def test_in_an_evaluation(self):
        self.assert_stops(lambda _, record: record and record.step >= 4 and record.is_at("training", "evaluation"), "eval.every=2", "eval.batches=40")

    def test_in_the_dense_warm_up(self):
        step = self.assert_stops(lambda _, record: record and record.step >= 3 and record.is_at("training", "compute"),
                                 "compress.start=80%", "exchange.schedule=every_step")
        self.assertLess(step, 24)

    def test_while_a_plan_is_made(self):
        self.assert_stops(lambda _, record: record and record.step >= 4 and record.is_at("training", "plan"),
                          "compress.plan={method: lgreco, every: 4, samples: 2}", "compress.min_elems=1024", "exchange.schedule=every_step")

    def test_before_the_first_step(self):
        """While it measures, reads its data and looks for the others: as soon as it would hear of the signal."""
        def hears(job, _):
            caught = []
            for pid in job.ranks():
                with contextlib.suppress(OSError, StopIteration):
                    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
                    mask = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
                    caught.append(mask >> (signal.SIGTERM - 1) & mask >> (signal.SIGUSR1 - 1) & 1)
            return len(caught) == 4 and all(caught)
        self.assertEqual(self.assert_stops(hears, "run.precision=auto"), 1)


if __name__ == "__main__":
    thinwire.main()

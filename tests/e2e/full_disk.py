"""Small disks: one that fills up while a run goes on, one without room for a checkpoint, one that cannot be written. Needs the right to
mount a tmpfs."""
import json
import signal
import struct
import subprocess

import thinwire

OTHER, USAGE, CHECKPOINT = 1, 2, 4
EVERY_STEP = ("run.steps=100000", "log.every=1", "checkpoint.every=0")


def records_in(path):
    """How many an event file holds; None where one is torn. Each: its length (8 bytes), 4 bytes of checksum, the event, 4 more."""
    content, at, count = path.read_bytes(), 0, 0
    while at < len(content):
        if at + 12 > len(content):
            return None
        at += 16 + struct.unpack_from("<Q", content, at)[0]
        count += 1
    return count if at == len(content) else None


class SmallDisk(thinwire.Case):
    """The folder of runs has 2 MB. A checkpoint takes some 600 kB of them."""

    def setUp(self):
        super().setUp()
        self.disk = self.folder / "runs"
        self.disk.mkdir()
        self.mount("-t", "tmpfs", "-o", "size=2m", "tmpfs")
        self.addCleanup(subprocess.run, ["umount", self.disk], check=True)

    def mount(self, *words):
        mounted = subprocess.run(["mount", *words, self.disk], capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a tmpfs (not root?): {' '.join(mounted.stderr.split())}")

    def fill(self):
        """Until not one byte is left."""
        with open(self.disk / "ballast", "ab", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                pass

    def assert_records_are_whole(self):
        lines = (self.run_of().path / "metrics.jsonl").read_text().splitlines(keepends=True)
        for line in lines:
            self.assertTrue(line.endswith("\n"))
            self.assertIn("kind", json.loads(line))
        for path in (self.run_of().path / "tb").iterdir():
            self.assertGreater(records_in(path) or 0, 0, path)


class FullDisk(SmallDisk):
    def test_a_save_that_does_not_fit_is_left_out_and_training_goes_on(self):
        """Of 2 MB, the fourth does not fit."""
        done = self.train("checkpoint.every=4", "checkpoint.keep=0", code=CHECKPOINT)
        run = self.run_of()
        self.assertRegex(done.err, r"warning: .*training goes on.*step-000000\d\d was not saved")
        self.assertIn("space", done.err)
        self.assertEqual(run.last_step(), 20)
        newest = run.steps_saved()[-1]
        self.assertIn(newest, (4, 8, 12, 16))
        self.thinwire("ckpt", "verify", run.path)
        self.assertNotIn("done:", done.out)
        self.assertRegex(done.err.splitlines()[-1], rf"error: trained to step 20, but .*step-00000020 was not saved: .*space.*; the newest checkpoint "
                                                    rf"is of step {newest}: .*--resume auto")

        self.mount("-o", "remount,size=64m")
        self.assert_says(self.train("checkpoint.every=4", "checkpoint.keep=0", options=["--resume", "auto"]), f"resumed from step {newest}", "done:")
        self.assertEqual(run.steps_saved()[-1], 20)

    def test_a_failed_save_is_told_once_and_is_the_launchers_reason(self):
        self.mount("-o", "remount,size=3m")
        done = self.thinwire("launch", "-n", 2, "--", *self.train_words(["checkpoint.every=4", "checkpoint.keep=0"]), code=CHECKPOINT)
        self.assertEqual(done.err.count("the checkpoint of step 20 was not saved"), 1, done.err)
        self.assertIn("the checkpoint of step 20 was not saved", (self.run_of().path / "logs" / "rank_00001.log").read_text())
        self.assertEqual(done.err.count("error: trained to step 20"), 1, done.err)
        self.assert_says(done, "[launch] why: trained to step 20, but")

    def test_a_disk_without_a_byte_left_ends_no_training(self):
        settings = ["log.every=20", "checkpoint.every=50", "checkpoint.keep=1"]
        job = self.start(thinwire.program, *self.train_words(["run.steps=400", *settings]))
        self.wait_until(self.run_of().steps_saved, job)
        self.fill()
        done = job.wait()
        self.assertEqual(done.code, CHECKPOINT, done.text)
        self.assert_says(done, "step 400/400", "training goes on", "val_bpb")
        self.assertNotIn(400, self.run_of().steps_saved())
        self.thinwire("ckpt", "verify", self.run_of().path)

        self.mount("-o", "remount,size=64m")
        self.train("run.steps=500", *settings, options=["--resume", "auto"])
        self.assert_records_are_whole()
        self.assertEqual(self.thinwire("report", self.run_of().path).err, "")

    def test_records_that_are_lost_are_told_when_it_begins_and_when_it_ends(self):
        self.mount("-o", "remount,size=16m")  # such a run fills 2 MB in seconds
        job = self.start(thinwire.program, *self.train_words(EVERY_STEP))
        self.wait_until(lambda: self.run_of().last_step() >= 20, job)
        self.fill()
        self.wait_until(lambda: job.said().count("cannot be written") >= 2, job)  # metrics.jsonl and the event file
        steps = job.said().count("\nstep ")
        self.wait_until(lambda: job.said().count("\nstep ") > steps + 50, job)
        (self.disk / "ballast").unlink()
        self.wait_until(lambda: job.said().count("is written again") >= 2, job)
        job.signal(signal.SIGTERM)
        done = job.wait()
        self.assertEqual(done.code, thinwire.STOPPED, done.text)
        self.assertLess(done.err.count("cannot be written"), 10, done.err)  # what is shorter may fit where a record did not
        self.assertRegex(done.err, r"metrics\.jsonl is written again; \d\d+ records are lost")
        self.assertNotIn("LOG ERROR", done.err)
        self.assert_records_are_whole()


class NoRoom(SmallDisk):
    def test_for_one_checkpoint_refuses_a_run_as_its_rehearsal(self):
        self.mount("-o", "remount,size=40k")
        words = ("not enough space for a checkpoint", "free some space")
        told = [self.refused(CHECKPOINT, *words, settings=settings, options=options).err
                for settings, options in (((), ()), ((), ["--dry-run"]), (["checkpoint.every=0"], ()))]
        self.assertEqual(len(set(told)), 1, told)
        self.assertEqual(len(self.refused(CHECKPOINT, *words, settings=["parallel.dp=2"]).err.splitlines()), 1)
        self.refused(CHECKPOINT, *words, ranks=2)
        self.assertEqual(list(self.disk.iterdir()), [])

    def test_is_no_reason_where_a_run_replaces_its_own_or_has_nothing_left_to_do(self):
        self.train()
        self.fill()
        self.assert_says(self.train(options=["--resume", "auto"]), "is done already")
        self.refused(CHECKPOINT, "not enough space", settings=["run.steps=40"], options=["--resume", "auto"])
        self.refused(CHECKPOINT, "not enough space", name="another")
        self.train("checkpoint.every=0", options=["--overwrite"])
        self.assertEqual(self.run_of().steps_saved(), [20])


class Outputs(SmallDisk):
    """Of the verbs that write where they are told."""

    verbs = ((OTHER, ["report", "runs/run", "-o", "runs/a/page.html"]), (OTHER, ["report", "runs/run"]),
             (OTHER, ["prepare-data", "words.txt", "--tokenizer", "byte", "--out", "runs/a/tokens"]),
             (OTHER, ["export", "runs/run", "--out", "runs/a/model"]), (CHECKPOINT, ["ckpt", "convert", "runs/run", "--to", "runs/a/run"]))

    def assert_refused(self, *words):
        before = sorted(self.disk.rglob("*"))
        for code, verb in self.verbs:
            with self.subTest(verb[0]):
                done = self.thinwire(*verb, code=code)
                self.assert_says(done, "cannot ", *words)
                self.assertNotIn("checkpoint.keep", done.err)
                self.assertEqual(sorted(self.disk.rglob("*")), before)

    def setUp(self):
        super().setUp()
        self.train("run.steps=5", "checkpoint.keep=1")

    def test_that_do_not_fit_say_so_and_leave_nothing(self):
        self.fill()
        self.assert_refused("No space left on device", "free some space")

    def test_that_may_not_be_written_say_so(self):
        self.mount("-o", "remount,ro")
        self.assert_refused("Read-only file system")
        self.refused(USAGE, "Read-only file system", "run.dir", name="another")


if __name__ == "__main__":
    thinwire.main()

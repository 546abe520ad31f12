"""A disk that fills up while a run goes on: training continues, the last good checkpoint stays. Needs the right to mount a tmpfs."""
import subprocess

import thinwire

CHECKPOINT = 4


class FullDisk(thinwire.Case):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "runs"
        self.disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", self.disk], capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a tmpfs (not root?): {' '.join(mounted.stderr.split())}")
        self.addCleanup(subprocess.run, ["umount", self.disk], check=True)

    def fill(self):
        """Until not one byte is left."""
        with open(self.disk / "ballast", "ab", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                pass

    def test_a_save_that_does_not_fit_is_left_out_and_training_goes_on(self):
        """A checkpoint takes some 600 kB: of 2 MB, the fourth does not fit."""
        done = self.train("checkpoint.every=4", "checkpoint.keep=0", code=CHECKPOINT)
        run = self.run_of()
        self.assertRegex(done.err, r"warning: .*training goes on.*step-000000\d\d was not saved")
        self.assertIn("space", done.err)
        self.assertEqual(run.last_step(), 20)
        newest = run.steps_saved()[-1]
        self.assertIn(newest, (4, 8, 12, 16))
        self.thinwire("ckpt", "verify", run.path)

        subprocess.run(["mount", "-o", "remount,size=64m", self.disk], check=True)
        self.assert_says(self.train("checkpoint.every=4", "checkpoint.keep=0", options=["--resume", "auto"]), f"resumed from step {newest}")
        self.assertEqual(run.steps_saved()[-1], 20)

    def test_a_disk_without_a_byte_left_ends_no_training(self):
        job = self.start(thinwire.program, *self.train_words(["run.steps=400", "log.every=20", "checkpoint.every=50", "checkpoint.keep=1"]))
        self.wait_until(lambda: self.run_of().last_step() >= 60, job)
        self.fill()
        done = job.wait()
        self.assertEqual(done.code, CHECKPOINT, done.text)
        self.assert_says(done, "step 400/400", "training goes on", "val_bpb")
        self.assertNotIn(400, self.run_of().steps_saved())
        self.thinwire("ckpt", "verify", self.run_of().path)


if __name__ == "__main__":
    thinwire.main()

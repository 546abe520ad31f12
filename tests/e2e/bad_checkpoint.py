"""Occupied run directories, and checkpoints that are absent, incomplete, damaged or of another run. Message and exit code of each."""
import pathlib
import resource
import shutil
import signal
import tempfile

import thinwire

USAGE, CHECKPOINT = 2, 4


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class RunDirectory(thinwire.Case):
    def test_an_occupied_one_is_refused_and_left_alone(self):
        self.train("run.steps=2")
        before = (self.run_of().path / "metrics.jsonl").read_bytes()
        self.refused(USAGE, "runs/run", "--resume", "--overwrite")
        self.assertEqual((self.run_of().path / "metrics.jsonl").read_bytes(), before)

    def test_overwrite_starts_from_step_1_without_a_trace_of_the_earlier_run(self):
        self.train("run.steps=4", "checkpoint.every=1")
        self.train("run.steps=2", options=["--overwrite"])
        run = self.run_of()
        self.assertEqual([record["step"] for record in run.records("train")], [1, 2])
        self.assertEqual(run.steps_saved(), [2])

    def test_overwrite_leaves_files_that_are_not_of_a_run(self):
        self.train("run.steps=1")
        (self.run_of().path / "notes.txt").write_text("mine")
        self.train("run.steps=1", options=["--overwrite"])
        self.assertTrue((self.run_of().path / "notes.txt").exists())

    def test_one_that_is_a_file_is_refused(self):
        (self.folder / "runs").mkdir()
        (self.folder / "runs" / "run").touch()
        self.refused(USAGE, "runs/run", "file", options=["--overwrite"])

    def test_a_name_that_leads_out_of_the_directory_is_refused(self):
        self.refused(USAGE, "run.name", "../x", name="../x")

    def test_without_a_name_the_config_and_the_time_make_one(self):
        self.train("run.steps=1", name="auto")
        self.assertRegex(next((self.folder / "runs").iterdir()).name, r"^small-\d{8}-\d{6}$")


class Resume(thinwire.Case):
    """On copies of one run of 20 steps, one rank, that saved steps 10 and 20."""

    saved = None

    def setUp(self):
        super().setUp()
        if Resume.saved is None:
            folder = tempfile.TemporaryDirectory(prefix="thinwire-e2e-")
            self.addClassCleanup(folder.cleanup)
            self.train()
            shutil.copytree(self.folder / "runs", pathlib.Path(folder.name) / "runs")
            Resume.saved = pathlib.Path(folder.name)
        self.kept = self.run_of()
        self.start_afresh()

    def start_afresh(self):
        shutil.rmtree(self.folder / "runs", ignore_errors=True)
        shutil.copytree(Resume.saved / "runs", self.folder / "runs")

    def resume(self, *settings, **how):
        return self.train("run.steps=24", *settings, options=["--resume", "auto"], **how)

    def refused_resume(self, *words, settings=(), resume="auto", **how):
        return self.refused(CHECKPOINT, *words, settings=["run.steps=24", *settings], options=["--resume", resume], **how)

    def only_step_10(self):
        shutil.rmtree(self.kept.checkpoint(20))

    # absent

    def test_a_path_that_does_not_exist_is_an_error(self):
        self.refused_resume("nowhere", "no such", resume="nowhere")
        self.refused_resume("step-00000099", resume="runs/run/checkpoints/step-00000099")

    def test_a_path_without_checkpoints_is_an_error(self):
        (self.folder / "other").mkdir()
        self.refused_resume("other", "checkpoints", resume="other")

    def test_auto_without_any_checkpoint_starts_from_the_beginning_and_says_so(self):
        shutil.rmtree(self.kept.path)
        self.assert_says(self.resume(), "no checkpoint yet")
        self.assertEqual(min(self.kept.losses()), 1)

    def test_a_run_directory_and_a_checkpoint_are_both_paths(self):
        self.assert_says(self.train("run.steps=24", options=["--resume", "runs/run"]), "resumed from step 20")
        self.kept.back_to(20)
        self.assert_says(self.train("run.steps=24", options=["--resume", "runs/run/checkpoints/step-00000020"]), "resumed from step 20")

    def test_another_course_gets_a_run_of_its_own(self):
        earlier = ["--resume", "runs/run/checkpoints/step-00000010"]
        self.refused(USAGE, "has gone on to step 20", "run.name=NAME", "--resume auto", options=earlier)
        before = contents(self.kept.path)
        self.assert_says(self.train(name="branch", options=earlier), "resumed from step 10")
        branch = self.run_of("branch")
        self.assertEqual(branch.steps_saved(), [20])
        self.assertEqual(min(branch.losses()), 11)
        self.assertEqual(branch.losses()[20], self.kept.losses()[20], "the same course, as nothing was changed")
        self.assertEqual(contents(self.kept.path), before, "the run that it comes from is as it was")
        self.refused(USAGE, "is not empty", name="branch", options=earlier)
        self.train(name="branch", options=[*earlier, "--overwrite"])
        self.assert_says(self.train("run.steps=24", name="branch", options=["--resume", "auto"]), "resumed from step 20")
        self.refused(USAGE, "contradict", options=["--resume", "runs/run", "--overwrite"])

    def test_a_run_that_is_done_stays_done(self):
        ours = ("config.yaml", "run.json", "metrics.jsonl")
        before = [(self.kept.path / name).read_bytes() for name in ours]
        self.assert_says(self.train("log.every=7", options=["--resume", "auto"]), "20 of 20", "run.steps")
        self.assertEqual(self.kept.steps_saved(), [10, 20])
        self.assertEqual([(self.kept.path / name).read_bytes() for name in ours], before, "nothing was trained under the new configuration")
        self.assertIn("every: 1\n", (self.kept.path / "config.yaml").read_text())
        self.train("run.steps=21", "log.every=7", options=["--resume", "auto"])
        self.assertIn("every: 7\n", (self.kept.path / "config.yaml").read_text())

    def test_diff_does_not_count_what_was_sent(self):
        self.train("parallel.dp=2", name="straight")
        straight = self.run_of("straight")
        self.train("parallel.dp=2", "run.steps=20", name="stopped", options=["--overwrite"])
        stopped = self.run_of("stopped")
        shutil.rmtree(stopped.checkpoint(20))
        self.train("parallel.dp=2", name="stopped", options=["--resume", "auto"])  # starting twice has sent a little more
        done = self.thinwire("ckpt", "diff", straight.path, stopped.path)
        self.assert_says(done, "'metrics/wire_totals'", "does not count", " 0 differ, 0 are in one only")

    def test_paths_of_the_same_data_may_change(self):
        moved = self.folder / "elsewhere"
        moved.mkdir()
        shutil.move(self.folder / "words.txt", moved / "words.txt")
        self.assert_says(self.resume("data.files=[elsewhere/words.txt]"), "resumed from step 20")

    def test_diff_tells_whether_two_hold_the_same(self):
        steps = [self.kept.checkpoint(step) for step in (10, 20)]
        self.assert_says(self.thinwire("ckpt", "diff", steps[1], self.kept.path), " 0 differ, 0 are in one only")
        self.assert_says(self.thinwire("ckpt", "diff", *steps, code=1), "number 'step': 10, 20", "'model/model.norm.weight' F32 [32]: ", "elements differ, by")
        self.thinwire("ckpt", "diff", steps[0], "nowhere", code=CHECKPOINT)

    # incomplete or damaged

    def assert_resumes_from_10_with_a_warning(self, *words):
        done = self.resume()
        self.assert_says(done, "resumed from step 10")
        self.assertRegex(done.err, r"\[rank 0 [^ \]]+\] warning: .*step-00000020")
        self.assert_says(done, *words)

    def test_one_without_complete_is_skipped_by_name(self):
        (self.kept.checkpoint(20) / "COMPLETE").unlink()
        self.assert_resumes_from_10_with_a_warning("COMPLETE")

    def test_one_without_complete_and_no_other_is_an_error(self):
        self.only_step_10()
        (self.kept.checkpoint(10) / "COMPLETE").unlink()
        self.refused_resume("step-00000010", "COMPLETE")
        self.refused_resume("step-00000010", "COMPLETE", resume="runs/run/checkpoints/step-00000010")

    def test_a_byte_that_changed_is_found_in_every_file(self):
        for path in sorted(self.kept.checkpoint(20).iterdir()):
            with self.subTest(path.name):
                self.start_afresh()
                flip_a_byte(path)
                done = self.thinwire("ckpt", "verify", self.kept.path, code=CHECKPOINT)
                self.assert_says(done, "step-00000020: DAMAGED", "step-00000010: good")
                self.assert_resumes_from_10_with_a_warning()

    def test_a_file_that_was_cut_short_or_is_gone_is_found(self):
        path = self.kept.checkpoint(20) / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        self.assert_resumes_from_10_with_a_warning("model.safetensors", "bytes")
        self.start_afresh()
        path.unlink()
        self.assert_resumes_from_10_with_a_warning("model.safetensors")

    def test_ls_shows_what_names_and_lengths_tell(self):
        done = self.thinwire("ckpt", "ls", self.kept.path)
        self.assertNotIn("damaged", done.text)
        model = self.kept.checkpoint(10) / "model.safetensors"
        length = model.stat().st_size
        model.write_bytes(model.read_bytes()[:-1])
        (self.kept.checkpoint(20) / "model.safetensors").unlink()
        first, why, second, why_too = self.thinwire("ckpt", "ls", self.kept.path).out.splitlines()
        self.assertRegex(first, r"^step +10 .*step-00000010$")
        self.assertTrue(why.startswith("  damaged: ") and why.endswith(f"model.safetensors is damaged: it has {length - 1} bytes instead of {length}"), why)
        self.assertRegex(second, r"^step +20 .*step-00000020$")
        self.assertRegex(why_too, r"^  damaged: .*step-00000020/model\.safetensors: No such file")
        for line in (why, why_too):
            self.assertIn(line.removeprefix("  damaged: "), self.thinwire("ckpt", "verify", self.kept.path, code=CHECKPOINT).out)

    def test_ls_shows_one_that_has_no_manifest_and_fails_where_none_has(self):
        (self.kept.checkpoint(20) / "COMPLETE").unlink()
        self.assert_says(self.thinwire("ckpt", "ls", self.kept.path), "step-00000020\n  damaged: ", "it has no file COMPLETE")
        (self.kept.checkpoint(10) / "manifest.json").unlink()
        self.assert_says(self.thinwire("ckpt", "ls", self.kept.path, code=CHECKPOINT), "step-00000010\n  damaged: ", "there is no complete checkpoint in it")

    def test_a_file_of_somebody_elses_is_no_damage(self):
        notes = self.kept.checkpoint(20) / "notes.txt"
        notes.write_text("mine")
        done = self.thinwire("ckpt", "verify", self.kept.checkpoint(20))
        self.assert_says(done, "step-00000020: good\n  note: ", "notes.txt does not belong to the checkpoint")
        self.assertNotIn("damaged", self.thinwire("ckpt", "ls", self.kept.path).text)
        self.assert_says(self.resume(), "resumed from step 20")

    def test_the_folder_that_one_is_in_may_be_named_by_a_dot(self):
        for given in (".", "./", "../step-00000020"):
            words = f"cd {self.kept.checkpoint(20)} && exec {thinwire.program} ckpt verify {given}"
            done = self.start("sh", "-c", words).wait()
            self.assertEqual(done.code, 0, done.text)
            self.assert_says(done, "step-00000020: good")
            self.assertNotIn("step-00000010", done.out)
        done = self.start("sh", "-c", f"cd {self.kept.checkpoint(20)} && exec {thinwire.program} ckpt ls ..").wait()
        self.assert_says(done, "step-00000010", "step-00000020")

    def test_a_file_is_no_checkpoint_and_is_said_to_be_a_file(self):
        done = self.thinwire("ckpt", "inspect", self.kept.checkpoint(20) / "model.safetensors", code=CHECKPOINT)
        self.assert_says(done, "model.safetensors is a file: name a run directory, or the checkpoint step-N that it is in")
        self.assertNotIn("did you mean", done.text)

    def test_a_damaged_one_without_another_is_an_error_even_for_auto(self):
        self.only_step_10()
        flip_a_byte(self.kept.checkpoint(10) / "model.safetensors")
        self.refused_resume("step-00000010", "model.safetensors", "damaged")
        self.refused_resume("step-00000010", "damaged", resume="runs/run/checkpoints/step-00000010")

    def test_what_an_interrupted_save_left_is_ignored_and_swept_away(self):
        left = self.kept.path / "checkpoints" / ".tmp-step-00000024-0123abcd"
        left.mkdir()
        (left / "model.safetensors").write_bytes(b"half")
        self.assert_says(self.resume(), "resumed from step 20")
        self.assertFalse(left.exists())
        self.assertEqual(self.kept.steps_saved(), [10, 20, 24])

    # of another run

    def test_another_model_is_a_table_of_keys_with_both_values(self):
        self.refused_resume("model.d_model: checkpoint 32, config 64", "model.layers: checkpoint 2, config 3",
                            settings=["model.d_model=64", "model.layers=3"])

    def test_what_changes_the_trajectory_is_refused_by_name(self):
        for setting in ("run.seed=2", "optim.lr=0.1", "exchange.every=4", "compress.codec=bf16", "data.global_batch=8"):
            with self.subTest(setting):
                self.refused_resume(setting.split("=")[0], settings=[setting])

    def test_of_a_precision_counts_what_auto_has_become(self):
        self.assertEqual(self.kept.facts()["precision"], "fp32")
        self.refused_resume("run.precision: checkpoint fp32, config bf16", settings=["run.precision=bf16"])
        chosen = self.trained("run.steps=4", "run.precision=auto", name="chosen")
        used = chosen.facts()["precision"]
        self.assertIn(used, ("fp32", "medium", "bf16"))
        self.assert_says(self.train("run.steps=6", f"run.precision={used}", name="chosen", options=["--resume", "auto"]), "resumed from step 4")
        other = "medium" if used != "medium" else "fp32"
        self.refused(CHECKPOINT, f"run.precision: checkpoint {used}, config {other}", name="chosen", options=["--resume", "auto"],
                     settings=["run.steps=8", f"run.precision={other}"])

    def test_of_a_device_too(self):
        chosen = self.trained("run.steps=4", "run.device=auto", name="device")
        used = chosen.facts()["device"].split(":")[0]
        self.assert_says(self.train("run.steps=6", f"run.device={used}", name="device", options=["--resume", "auto"]), "resumed from step 4")

    def test_what_does_not_change_the_trajectory_may_change(self):
        done = self.resume("log.every=2", "eval.every=3", "checkpoint.every=4", "checkpoint.keep=1", "comm.timeout=50s")
        self.assert_says(done, "resumed from step 20", "step 24/24")

    def test_another_world_size_is_no_hindrance(self):
        """More: world_size.py."""
        self.assert_says(self.resume("parallel.dp=2"), "from step 20, saved by 1 rank, on 2", "resumed from step 20", "step 24/24")

    def test_other_data_is_refused(self):
        words = self.folder / "words.txt"
        words.write_text(words.read_text().replace("e", "y", 1))
        self.refused_resume("data")

    def test_a_refused_resume_leaves_the_run_as_it_was(self):
        before = {path: path.read_bytes() for path in self.kept.path.rglob("*") if path.is_file() and path.parent.name != "logs"}
        self.refused_resume(settings=["model.d_model=64"])
        self.assertEqual([str(path) for path, content in before.items() if path.read_bytes() != content], [])


class FileSizeLimit(thinwire.Case):
    """A limit on file sizes stands for a disk that refuses writes: a rank file of 35,000 parameters is larger."""

    def limit(self):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    def setUp(self):
        super().setUp()
        self.kept = self.trained()
        self.undisturbed = self.kept.state(20)
        shutil.rmtree(self.kept.checkpoint(20))

    def resume_with_limit(self):
        return self.train("checkpoint.every=5", options=["--resume", "auto"], preexec=self.limit, code=CHECKPOINT)

    def test_a_save_that_fails_leaves_the_last_good_one_and_training_goes_on(self):
        self.assert_says(self.resume_with_limit(), "step-00000015", "was not saved", "training goes on", "step 20/20")
        self.assertEqual([record["step"] for record in self.kept.records() if record.get("event") == "checkpoint_failed"], [15, 20])
        self.assertEqual(self.kept.steps_saved(), [10])
        self.assertEqual(list((self.kept.path / "checkpoints").glob(".*")), [])
        self.thinwire("ckpt", "verify", self.kept.path)

    def test_a_resume_afterwards_ends_as_if_nothing_had_happened(self):
        self.resume_with_limit()
        self.train(options=["--resume", "auto"])
        self.assertEqual(self.kept.state(20), self.undisturbed)


if __name__ == "__main__":
    thinwire.main()

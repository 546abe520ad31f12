"""What a user can get wrong between ranks: worlds that do not fit, ranks that do not run the same thing, numbers that explode."""
import os
import unittest

import thinwire

USAGE, COMM, NON_FINITE = 2, 5, 7
EXPLODES = ("optim.lr=1e30", "optim.clip=0", "optim.warmup=0")


class World(thinwire.Case):
    def test_loopback_under_mpirun_is_refused_since_every_process_would_train_on_its_own(self):
        self.refused(USAGE, "OMPI_COMM_WORLD_SIZE is 2", "loopback", settings=["comm.transport=loopback"], ranks=2)

    def test_more_ranks_configured_than_mpirun_started_is_refused_with_both_numbers(self):
        self.refused(USAGE, "parallel.dp is 4, but the world is 2 (from OMPI_COMM_WORLD_SIZE): start 4 processes, by `mpirun -n 4 --bind-to none thinwire train",
                     "`thinwire launch -n 4 -- train", "set parallel.dp to 2, or leave it out", settings=["parallel.dp=4", "data.global_batch=8"], ranks=2)

    def test_nccl_without_a_gpu_says_what_is_missing_and_what_to_use_instead(self):
        done = self.start(thinwire.program, *self.train_words(["comm.transport=nccl", "run.steps=1"]), ranks=1).wait()
        if done.code == 0:
            self.skipTest("there is a GPU")
        self.assertEqual(done.code, USAGE, done.text)
        self.assert_says(done, "nccl needs an NVIDIA GPU and NCCL, but", "comm.transport: mpi")

    def test_mpi_alone_has_one_rank(self):
        self.refused(USAGE, "parallel.dp is 2, but the world is 1", "mpirun -n 2", "leave comm.transport out, which makes ranks threads of one process",
                     settings=["parallel.dp=2", "comm.transport=mpi"])

    def test_the_world_of_a_launcher_that_mpi_does_not_know_is_refused_with_both_numbers(self):
        environment = {"RANK": "0", "WORLD_SIZE": "4"}
        self.refused(USAGE, "WORLD_SIZE is 4", "loopback", settings=["data.global_batch=8", "comm.transport=loopback"], environment=environment)
        self.refused(USAGE, "WORLD_SIZE is 4", "1", settings=["data.global_batch=8", "comm.transport=mpi"], environment=environment)

    def test_half_a_world_in_the_environment_names_what_is_missing(self):
        self.refused(USAGE, "WORLD_SIZE=4", "RANK", environment={"WORLD_SIZE": "4"})
        self.refused(USAGE, "RANK", "'one'", environment={"RANK": "one", "WORLD_SIZE": "2"})

    def test_two_launchers_that_contradict_each_other_are_named(self):
        self.refused(USAGE, "OMPI_COMM_WORLD_SIZE=2", "WORLD_SIZE=9", environment={"RANK": "5", "WORLD_SIZE": "9"}, ranks=2)

    def test_a_launcher_that_started_one_rank_is_no_obstacle(self):
        self.train("run.steps=1", environment={"RANK": "0", "WORLD_SIZE": "1"})


class UnequalRanks(thinwire.Case):
    def two_ranks(self, settings_of_each, code):
        """Each rank with settings of its own."""
        first, second = ([thinwire.program, *self.train_words(settings)] for settings in settings_of_each)
        done = self.start("mpirun", "--bind-to", "none", "-n", 1, *first, ":", "-n", 1, *second).wait()
        self.assertEqual(done.code, code, done.text)
        return done

    def test_different_configs_name_the_key_and_the_ranks_with_their_values(self):
        done = self.two_ranks([["optim.lr=0.001"], ["optim.lr=0.002"]], COMM)
        self.assert_says(done, "'optim.lr'", "rank 0: 0.001", "rank 1: 0.002")
        self.assertFalse(self.run_of().path.exists())

    def test_a_rank_whose_config_is_wrong_ends_the_others(self):
        self.assert_says(self.two_ranks([[], ["optim.lr=fast"]], USAGE), "[rank 1 ", "optim.lr")

    def test_a_rank_that_reads_other_data_is_found(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "words.txt").write_text(thinwire.english_like()[::-1], encoding="ascii")
        there = ["sh", "-c", 'cd "$0" && exec "$@"', elsewhere]
        words = [thinwire.program, *self.train_words([f"run.dir={self.folder / 'runs'}"], config=self.folder / "small.yaml")]
        done = self.start("mpirun", "--bind-to", "none", "-n", 1, *words, ":", "-n", 1, *there, *words).wait()
        self.assertEqual(done.code, COMM, done.text)
        self.assert_says(done, "data", "rank 0", "rank 1")


    def test_a_run_directory_that_one_rank_does_not_see_is_refused_at_the_start(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        there = ["sh", "-c", 'cd "$0" && exec "$@"', elsewhere]
        words = [thinwire.program, *self.train_words([f"data.files=[{self.folder / 'words.txt'}]"], config=self.folder / "small.yaml")]
        done = self.start("mpirun", "--bind-to", "none", "-n", 1, *words, ":", "-n", 1, *there, *words).wait()
        self.assertEqual(done.code, USAGE, done.text)
        self.assert_says(done, "rank 1 on", "every host shares")
        self.assertEqual(self.run_of().last_step(), 0)


class OddChoices(thinwire.Case):
    def test_lossy_codecs_of_a_single_rank_are_warned_about(self):
        self.assertRegex(self.train("run.steps=1").err, r"warning: there is one rank: .*compress.codec=none")
        self.assertNotIn("one rank", self.train("run.steps=1", "parallel.dp=2", name="two").err)

    def test_sparse_gradients_are_warned_about(self):
        sparse = self.train("run.steps=1", "parallel.dp=2", "exchange.schedule=every_step")
        self.assertRegex(sparse.err, r"warning: .*most of every gradient.*local_steps")
        self.assertNotIn("warning", self.train("run.steps=1", "parallel.dp=2", "exchange.schedule=every_step", "compress.codec=bf16", name="half").err)


class LiveRun(thinwire.Case):
    def test_a_directory_in_which_another_process_trains_is_left_alone(self):
        job = self.start(thinwire.program, *self.train_words(["run.steps=1000000", "checkpoint.every=0"]))
        self.wait_until(lambda: self.run_of().last_step() >= 2, job)
        for options in (["--overwrite"], ["--resume", "auto"]):
            self.refused(USAGE, "another process is training in", settings=["run.steps=1000000", "checkpoint.every=0"], options=options)
        before = self.run_of().last_step()
        self.wait_until(lambda: self.run_of().last_step() > before, job)


class Binding(thinwire.Case):
    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one core")
    def test_a_rank_that_is_bound_to_one_core_is_warned(self):
        core = min(os.sched_getaffinity(0))
        done = self.train("run.steps=1", preexec=lambda: os.sched_setaffinity(0, {core}))
        self.assertRegex(done.err, r"\[rank 0 [^ \]]+\] warning: .*one of \d+ cores.*--bind-to none")
        self.assertNotIn("warning", self.train("run.steps=1", "compress.codec=none", name="free").err)


    def test_a_rank_with_more_threads_than_cores_is_warned(self):
        cores = len(os.sched_getaffinity(0))
        done = self.train("run.steps=1", f"run.threads={cores + 1}")
        self.assertRegex(done.err, rf"warning: run\.threads is {cores + 1}, but a rank here may use [\d.]+ cores?: .*set run\.threads to \d+")


class NonFinite(thinwire.Case):
    def assert_named(self, done):
        self.assertRegex(done.err, r"non-finite .*'model\.\S+' on rank \d at step \d")
        self.assertIn("optim.lr", done.err)

    def test_one_rank_stops_before_the_update_and_names_the_tensor(self):
        self.assert_named(self.refused(NON_FINITE, settings=EXPLODES))
        self.assertLess(self.run_of().last_step(), 20)
        self.assertEqual(self.run_of().steps_saved(), [])

    def test_ranks_as_threads_all_end(self):
        self.assert_named(self.refused(NON_FINITE, settings=[*EXPLODES, "parallel.dp=2"]))

    def test_ranks_under_mpirun_all_end_under_both_schedules(self):
        for settings in ((), thinwire.UNCOMPRESSED):
            with self.subTest(settings):
                job = self.start(thinwire.program, *self.train_words([*EXPLODES, *settings], options=["--overwrite"]), ranks=2)
                done = job.wait()
                self.assertEqual(done.code, NON_FINITE, done.text)
                self.assert_named(done)
                self.assert_nothing_remains(job)


if __name__ == "__main__":
    thinwire.main()

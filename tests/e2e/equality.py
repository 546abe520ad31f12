"""Runs that must come out the same: to the last bit, or within a stated bound."""
import thinwire

LOCAL_STEPS = ()  # what small.yaml says: top-k with error feedback, every 5 steps
EVERY_STEP = ("exchange.schedule=every_step", "compress.topk.density=25%")
KINDS = {"local_steps with top-k": LOCAL_STEPS, "every_step with top-k": EVERY_STEP, "every_step uncompressed": thinwire.UNCOMPRESSED,
         "local_steps with nesterov, uncompressed": ("compress.codec=none", "exchange.outer={name: nesterov, lr: 0.7}")}


class Equality(thinwire.Case):
    def assert_same_bits(self, run, other):
        """Losses of all 20 steps, and every tensor of the last checkpoint, in whichever file it lies."""
        self.assertEqual(len(run.losses()), 20)
        self.assertEqual(run.losses(), other.losses())
        state, expected = run.state(20), other.state(20)
        self.assertTrue(state)
        self.assertEqual([key for key in {**state, **expected} if state.get(key) != expected.get(key)], [])

    def assert_same_parameters(self, run, other):
        """As above, for runs of different world sizes: what is the same on all ranks."""
        self.assertEqual(run.losses(), other.losses())
        replicated = [thinwire.read_safetensors(each.checkpoint(20) / "model.safetensors") for each in (run, other)]
        self.assertIn("model/model.norm.weight", replicated[0])
        self.assertIn("optim/exp_avg/model.norm.weight", replicated[0])
        self.assertEqual(*replicated)

    def assert_losses_within(self, bound, run, other):
        self.assertEqual(sorted(run.losses()), list(range(1, 21)))
        for step, loss in run.losses().items():
            self.assertLessEqual(abs(loss - other.losses()[step]), bound * other.losses()[step], f"step {step}")


class Repetition(Equality):
    def test_the_same_seed_twice_gives_the_same_bits(self):
        for kind, settings in KINDS.items():
            with self.subTest(kind):
                runs = [self.trained("parallel.dp=2", *settings, name=name, options=["--overwrite"]) for name in ("first", "second")]
                self.assert_same_bits(*runs)

    def test_another_seed_gives_other_bits(self):
        self.assertNotEqual(self.trained(name="first").losses(), self.trained("run.seed=2", name="second").losses())


class Transports(Equality):
    def test_four_ranks_over_mpi_are_four_ranks_over_loopback_to_the_bit(self):
        for kind, settings in KINDS.items():
            with self.subTest(kind):
                settings = [*settings, "data.micro_batch=1"]
                threads = self.trained("parallel.dp=4", *settings, name="loopback", options=["--overwrite"])
                processes = self.trained(*settings, name="mpi", options=["--overwrite"], ranks=4)
                self.assert_same_bits(processes, threads)
                self.assertEqual(processes.manifest(20)["world"], 4)


class WorldSizes(Equality):
    def test_ranks_are_micro_batches_to_the_bit_uncompressed(self):
        for num_ranks in (2, 3, 4):
            with self.subTest(num_ranks):
                settings = [*thinwire.UNCOMPRESSED, f"data.global_batch={num_ranks}", "data.micro_batch=1"]
                one = self.trained(*settings, name="one", options=["--overwrite"])
                many = self.trained(*settings, f"parallel.dp={num_ranks}", name="many", options=["--overwrite"])
                self.assert_same_parameters(many, one)

    def test_processes_are_micro_batches_to_the_bit_uncompressed(self):
        settings = [*thinwire.UNCOMPRESSED, "data.micro_batch=2"]
        self.assert_same_parameters(self.trained(*settings, name="many", ranks=2), self.trained(*settings, name="one"))

    def test_any_number_of_ranks_follows_one_large_batch_within_1e5(self):
        settings = [*thinwire.UNCOMPRESSED, "data.global_batch=8"]
        one = self.trained(*settings, "data.micro_batch=8", name="one")
        for num_ranks in (2, 4):
            with self.subTest(num_ranks):
                many = self.trained(*settings, f"data.micro_batch={8 // num_ranks}", f"parallel.dp={num_ranks}", name="many",
                                    options=["--overwrite"])
                self.assert_losses_within(1e-5, many, one)

    def test_accumulation_follows_one_large_batch_within_1e5(self):
        settings = [*thinwire.UNCOMPRESSED, "data.global_batch=8", "parallel.dp=2"]
        self.assert_losses_within(1e-5, self.trained(*settings, "data.micro_batch=2", name="accumulated"),
                                  self.trained(*settings, "data.micro_batch=4", name="whole"))


class Settings(Equality):
    """What may change how fast a run is, but not what it computes."""

    def test_overlap_changes_no_bit(self):
        for kind, settings in KINDS.items():
            with self.subTest(kind):
                runs = [self.trained("parallel.dp=2", "exchange.bucket=20kB", f"exchange.overlap={overlap}", *settings, name=overlap,
                                     options=["--overwrite"]) for overlap in ("true", "false")]
                self.assert_same_bits(*runs)

    def test_bucket_sizes_change_no_bit_uncompressed(self):
        runs = [self.trained("parallel.dp=2", f"exchange.bucket={size}", *thinwire.UNCOMPRESSED, name=size)
                for size in ("4MB", "50kB", "4")]
        for run in runs[1:]:
            self.assert_same_bits(run, runs[0])

    def test_intervals_of_evaluation_saving_and_verifying_change_no_bit(self):
        plain = self.trained("parallel.dp=2", name="plain")
        busy = self.trained("parallel.dp=2", "eval.every=3", "checkpoint.every=7", "checkpoint.keep=1", "run.verify_every=1", name="busy")
        self.assert_same_bits(busy, plain)


if __name__ == "__main__":
    thinwire.main()

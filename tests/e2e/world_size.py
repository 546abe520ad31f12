"""Runs that go on with another number of ranks, 2 -> 4 -> 3: the same samples, and what each kind of state becomes."""
import re

import thinwire

BATCH = ("data.global_batch=12", "data.micro_batch=1", "run.steps=24", "checkpoint.keep=0")
PLACES = {"mpirun": lambda ranks: ((), {"ranks": ranks}), "threads": lambda ranks: ((f"parallel.dp={ranks}",), {})}
USAGE, CHECKPOINT = 2, 4
MEAN = "mapped, each rank has the mean of those whose samples it takes over: "


class OtherWorld(thinwire.Case):
    def regrouped(self, *settings, saved=(8, 16), place="threads", name="run"):
        """Two ranks from the start, four from the first of the steps saved, three from the second. What the last two said."""
        said = []
        for ranks, start in ((2, None), (4, saved[0]), (3, saved[1])):
            extra, how = PLACES[place](ranks)
            options = ["--resume", self.run_of(name).back_to(start)] if start else []
            done = self.train(*BATCH, f"checkpoint.every={saved[0]}", *settings, *extra, name=name, options=options, **how)
            if start:
                self.assert_says(done, f"resumed from step {start}", f"from step {start}, saved by {2 if ranks == 4 else 4} ranks, on {ranks}")
                said.append(done)
            self.assertEqual(self.run_of(name).manifest(24)["world"], ranks)
        self.thinwire("ckpt", "verify", self.run_of(name).path)
        return said

    def test_every_step_takes_the_samples_that_it_would_have_taken(self):
        """At a learning rate of 0 weights stay, and the loss of a step tells its samples, whoever took which: those of an undisturbed run of one rank."""
        still = (*thinwire.UNCOMPRESSED, "optim.lr=0")
        undisturbed = self.trained(*BATCH, *still, "checkpoint.every=8", name="undisturbed").losses()
        ordered = sorted(undisturbed.values())
        self.assertGreater(min(above - below for below, above in zip(ordered, ordered[1:])), 5e-6)  # no two steps look alike
        for place in PLACES:
            with self.subTest(place):
                self.regrouped(*still, place=place, name=place)
                losses = self.run_of(place).losses()
                self.assertEqual(sorted(losses), list(range(1, 25)))
                for step, loss in undisturbed.items():
                    self.assertAlmostEqual(losses[step], loss, delta=2e-6, msg=f"step {step}")
                for step in (8, 16, 24):
                    self.assertEqual(self.run_of(place).manifest(step)["numbers"]["data/next_sample"], step * 12)

    def test_training_goes_on_as_it_would_have_but_for_rounding(self):
        undisturbed = self.trained(*BATCH, *thinwire.UNCOMPRESSED, "checkpoint.every=8", name="undisturbed")
        self.regrouped(*thinwire.UNCOMPRESSED)
        losses = self.run_of().losses()
        for step, loss in undisturbed.losses().items():
            self.assertAlmostEqual(losses[step], loss, delta=5e-5 * loss, msg=f"step {step}")

    def test_residuals_and_moments_are_mapped_and_the_log_says_so(self):
        done = self.regrouped("exchange.schedule=every_step", "run.verify_every=1")
        for one in done:
            self.assert_says(one, "kept as it was: model, optim/exp_avg, optim/exp_avg_sq", MEAN + "exchange/residual", "begun anew: metrics",
                             "the same samples in the same order, 12 per step")
        events = [record["detail"] for record in self.run_of().records() if record.get("event") == "resume"]
        self.assertEqual(events, ["from step 8, saved by 2 ranks, on 4", "from step 16, saved by 4 ranks, on 3"])

    def test_each_policy_goes_on(self):
        for settings, words in (
                (("compress.error_feedback.state=int8",), MEAN + "exchange/residual"),
                (("compress.error_feedback.name=ef21",), MEAN + "exchange/estimate"),
                (("compress.error_feedback.name=ef21_sgdm",), "exchange/feedback_momentum"),
                (("compress.error_feedback.name=econtrol",), "exchange/mean_estimate"),
                (("compress.combine=reencode",), "cut anew among the ranks: exchange/owed"),
                (("compress.codec=powersgd",), "exchange/sketch")):
            with self.subTest(settings):
                name = settings[0].replace(".", "-").replace("=", "-")
                for one in self.regrouped("exchange.schedule=every_step", "run.verify_every=1", *settings, name=name):
                    self.assert_says(one, words)

    def test_a_plan_goes_on_in_the_middle_of_its_period(self):
        self.regrouped("exchange.schedule=every_step", "run.verify_every=1", "compress.plan.method=lgreco", "compress.plan.every=6", "compress.plan.samples=2", "compress.min_elems=64")

    def test_within_rounds_and_while_rounds_are_under_way(self):
        self.regrouped("run.verify_every=1", saved=(7, 14))
        done = self.regrouped("exchange.every=4", "exchange.fragments=2", "exchange.delay=2", "run.verify_every=1", saved=(7, 14), name="overlapped")
        self.assert_says(done[0], "schedule/anchor", MEAN, "model, optim/exp_avg", "schedule/departed")

    def test_what_was_saved_within_tolerances_goes_on_too(self):
        for done in self.regrouped("checkpoint.mode=near_exact", "checkpoint.moments=4", "run.verify_every=1"):
            self.assert_says(done, "saved with checkpoint.mode near_exact", MEAN)
        self.assertEqual([restore["step"] for restore in self.run_of().manifest(24)["lossy_restores"]], [8, 16])

    def test_a_damaged_file_of_any_rank_is_found_before_anything_is_mapped(self):
        self.train(*BATCH, "checkpoint.every=8", "parallel.dp=4")
        path = self.run_of().checkpoint(16) / "rank-00003.safetensors"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        how = {"settings": (*BATCH, "parallel.dp=2"), "options": ["--resume", self.run_of().back_to(16)]}
        self.refused(CHECKPOINT, "step-00000016", "rank-00003.safetensors is damaged", **how)

    def test_one_rank_is_a_world_too(self):
        for ranks in (3, 1):
            self.train(*BATCH, "checkpoint.every=8", f"parallel.dp={ranks}", options=["--resume", self.run_of().back_to(8)] if ranks == 1 else [])
        self.train(*BATCH, "checkpoint.every=8", "parallel.dp=2", options=["--resume", self.run_of().back_to(16)])

    def test_micro_batches_may_change_with_the_ranks_and_only_then(self):
        self.train("data.global_batch=12", "data.micro_batch=6", "run.steps=4", "parallel.dp=2")
        resume = {"options": ["--resume", "auto"]}
        self.refused(USAGE, "data.global_batch 12 is not a multiple of data.micro_batch 6 x 3 ranks", "a resume may change data.micro_batch", "but not data.global_batch",
                     settings=["data.global_batch=12", "data.micro_batch=6", "run.steps=8", "parallel.dp=3"], **resume)
        self.refused(CHECKPOINT, "data.micro_batch: checkpoint 6, config 2",
                     settings=["data.global_batch=12", "data.micro_batch=2", "run.steps=8", "parallel.dp=2"], **resume)
        self.refused(CHECKPOINT, "data.global_batch: checkpoint 12, config 24",
                     settings=["data.global_batch=24", "data.micro_batch=4", "run.steps=8", "parallel.dp=3"], **resume)
        self.assert_says(self.train("data.global_batch=12", "data.micro_batch=4", "run.steps=8", "parallel.dp=3", **resume), "resumed from step 4")


class LogFiles(thinwire.Case):
    def test_that_of_rank_0_says_all_that_the_console_says_of_a_resume(self):
        """It is opened when nothing can refuse the run any more, after the checkpoint was read."""
        for place, (settings, how) in {name: of(2) for name, of in PLACES.items()}.items():
            with self.subTest(place):
                self.train(*BATCH, "checkpoint.every=8", "checkpoint.mode=near_exact", *settings, name=place, **how)
                weights = self.run_of(place).checkpoint(24) / "model.safetensors"
                weights.write_bytes(weights.read_bytes()[:-1])
                file = self.run_of(place).path / "logs" / "rank_00000.log"
                before = file.stat().st_size
                settings, how = PLACES[place](3)
                done = self.train(*BATCH, "checkpoint.every=8", "checkpoint.mode=near_exact", *settings, name=place, options=["--resume", "auto"], **how)
                said = file.read_text(encoding="utf-8")[before:].splitlines()
                self.assert_says(done, "skipping checkpoint step-00000024", "from step 16, saved by 2 ranks, on 3: the same samples", "kept as it was", "mapped",
                                 "begun anew", "within the tolerances", "resumed from step 16")
                for line in done.out.splitlines():
                    self.assertTrue(any(one.endswith(line) for one in said), f"'{line}' is not in the file")
                warnings = re.findall(r"\[rank 0 \S+\] warning: (.*)", done.err)
                self.assertTrue(any("skipping checkpoint step-00000024" in warning for warning in warnings))
                for warning in warnings:
                    self.assertTrue(any(one.endswith(f"warning {warning}") for one in said), f"'{warning}' is not in the file")
                times = [line.split(" ")[0] for line in said if re.match(r"\d{4}-", line)]
                self.assertEqual(times, sorted(times))


if __name__ == "__main__":
    thinwire.main()

"""Checkpoints within tolerances (checkpoint.mode near_exact), and those that `ckpt convert` and `ckpt average` make of others."""
import thinwire

USAGE, CHECKPOINT = 2, 4
NEAR = ("checkpoint.mode=near_exact", "checkpoint.keep=0")


class NearExact(thinwire.Case):
    def test_a_resume_says_so_and_later_checkpoints_carry_it(self):
        self.assert_says(self.train("checkpoint.moments=4", *NEAR, "parallel.dp=2"), "saves      near_exact: a resume from one goes on otherwise")
        run = self.run_of()
        manifest = run.manifest(10)
        tolerances = {tensor["name"]: tensor["tolerance"] for tensor in manifest["tensors"] if "tolerance" in tensor}
        self.assertEqual(manifest["version"], 3)
        self.assertFalse([name for name in tolerances if not name.startswith(("optim/", "exchange/residual/"))])
        name = "model.embed_tokens.weight"
        self.assertEqual(tolerances[f"optim/exp_avg/{name}"], {"of": "value", "bits": 4, "block": 256, "within": 1 / 14})
        self.assertEqual(tolerances[f"optim/exp_avg_sq/{name}"], {"of": "root", "bits": 4, "block": 256, "within": 1 / 15})
        self.assertEqual(tolerances[f"exchange/residual/{name}"], {"of": "value", "bits": 8, "block": 256, "within": 1 / 254})
        self.thinwire("ckpt", "verify", run.path)
        self.assert_says(self.thinwire("ckpt", "ls", run.path), "step-00000010, near-exact")
        self.assert_says(self.thinwire("ckpt", "inspect", run.path), "square roots, rounded up, within 1/15 of the largest of their block of 256")
        done = self.train("run.steps=24", "checkpoint.keep=0", "parallel.dp=2", options=["--resume", run.back_to(10)])
        self.assert_says(done, "resumed from step 10", "saved with checkpoint.mode near_exact", "later checkpoints will say so")
        restores = run.manifest(24)["lossy_restores"]
        self.assertEqual([(restore["step"], restore["how"]) for restore in restores], [(10, "near_exact")])
        done = self.train("run.steps=28", "checkpoint.keep=0", "parallel.dp=2", options=["--resume", "auto"])
        self.assert_says(done, "had gone through the checkpoint of step 10 before (near_exact)")
        self.assertEqual(run.manifest(28)["lossy_restores"], restores)
        self.assert_says(self.thinwire("ckpt", "inspect", run.path), "its state went through step-00000010 (near_exact)")
        self.assert_says(self.thinwire("ckpt", "ls", run.path), "step-00000028, its state went through near-exact (step 10)\n")

    def test_training_goes_on_without_a_spike(self):
        """Second moments that came back too small would make steps too large, and be seen at once. How near the losses stay: tools/restores."""
        self.train("run.steps=60", "checkpoint.every=30", "checkpoint.keep=0", name="exact")
        exact = self.run_of("exact").losses()
        for bits in (8, 4):
            words = ["--mode", "near_exact", "--moments", bits, "--lossy"]
            self.thinwire("ckpt", "convert", self.run_of("exact").checkpoint(30), "--to", f"runs/near{bits}", *words)
            self.train("run.steps=60", name=f"near{bits}", options=["--resume", f"runs/near{bits}"])
            near = self.run_of(f"near{bits}").losses()
            self.assertEqual(near[31], exact[31])  # weights are the same
            self.assertNotEqual(near[33], exact[33])
            self.assertLess(max(loss - exact[step] for step, loss in near.items()), 0.05)


class Extreme(thinwire.Case):
    def test_a_chain_is_told_and_gone_on_from(self):
        self.train("run.steps=20", "checkpoint.every=5", "checkpoint.mode=extreme", "checkpoint.keep=0", "parallel.dp=2")
        run = self.run_of()
        self.assertNotIn("base", run.manifest(5))
        manifest = run.manifest(20)
        self.assertEqual((manifest["version"], manifest["base"]["step"]), (5, 15))
        of = {tensor["name"]: tensor["tolerance"]["of"] for tensor in manifest["tensors"] if "tolerance" in tensor}
        name = "model.embed_tokens.weight"
        self.assertEqual(of[f"model/{name}"], "centre_from_base")
        self.assertEqual(of[f"optim/exp_avg_sq/{name}"], "centre")
        self.thinwire("ckpt", "verify", run.path)
        self.assert_says(self.thinwire("ckpt", "ls", run.path), "step-00000020, needs step 15, extreme")
        self.assert_says(self.thinwire("ckpt", "inspect", run.path), "each as one of 16 distances from the base, off by")
        done = self.train("run.steps=24", "checkpoint.keep=0", "run.verify_every=1", "parallel.dp=2", options=["--resume", run.checkpoint(20)])
        self.assert_says(done, "resumed from step 20", "saved with checkpoint.mode extreme", "later checkpoints will say so")
        self.assertEqual([(restore["step"], restore["how"]) for restore in run.manifest(24)["lossy_restores"]], [(20, "extreme")])

    def test_convert_chains_in_the_directory_that_it_makes(self):
        self.train("run.steps=20", "checkpoint.every=10", "checkpoint.keep=0")
        for step in (10, 20):
            words = [self.run_of().checkpoint(step), "--to", "runs/small", "--mode", "extreme", "--pruning", "aggressive"]
            self.assert_says(self.thinwire("ckpt", "convert", *words, code=USAGE), "--lossy")
            self.thinwire("ckpt", "convert", *words, "--lossy")
        small = self.run_of("small")
        self.assertEqual(small.manifest(20)["base"]["step"], 10)
        self.thinwire("ckpt", "verify", small.path)
        self.assert_says(self.thinwire("ckpt", "diff", self.run_of().checkpoint(20), small.checkpoint(20), code=1), "of 16 distances from the base")
        (small.checkpoint(10) / "model.safetensors").rename(self.folder / "aside")
        done = self.thinwire("ckpt", "ls", small.path)
        self.assert_says(done, "needs step 10, extreme\n  damaged: ", "is coded against step-00000010, which cannot be used")
        (self.folder / "aside").rename(small.checkpoint(10) / "model.safetensors")
        self.thinwire("ckpt", "convert", small.path, "--to", "runs/back")
        self.assertEqual([restore["how"] for restore in self.run_of("back").manifest(20)["lossy_restores"]], ["extreme"])


class Verbs(thinwire.Case):
    def test_convert_makes_one_that_stands_alone_and_goes_on_bit_for_bit(self):
        self.train("run.steps=28", "checkpoint.every=2", "checkpoint.base=previous", "checkpoint.keep=0", "parallel.dp=2")
        kept = self.run_of()
        last = max(step for step in range(2, 28, 2) if "base" in kept.manifest(step))
        for mode in ("raw", "exact"):
            done = self.thinwire("ckpt", "convert", kept.checkpoint(last), "--to", f"runs/{mode}", "--mode", mode)
            self.assert_says(done, f"runs/{mode}/checkpoints/step-")
            size = done.out.split(": ")[1].strip()
            self.assertRegex(size, r"^[\d.]+[kMG]B$")
            for verb in ("ls", "inspect"):
                self.assertIn(f" {size} ", self.thinwire("ckpt", verb, f"runs/{mode}").out, "one size, whichever verb tells it")
            self.assertNotIn("base", self.run_of(mode).manifest(last))
            self.assert_says(self.thinwire("ckpt", "diff", f"runs/{mode}", kept.checkpoint(last)), " 0 differ, 0 are in one only")
            self.train("run.steps=28", "parallel.dp=2", name=mode, options=["--resume", "auto"])
            losses = self.run_of(mode).losses()
            self.assertEqual(losses, {step: loss for step, loss in kept.losses().items() if step in losses})
            self.assertEqual(max(losses), 28)

    def test_convert_loses_only_what_it_is_asked_to(self):
        self.train()
        path = self.run_of().path
        done = self.thinwire("ckpt", "convert", path, "--to", "runs/near", "--mode", "near_exact", code=USAGE)
        self.assert_says(done, "moments in 8 bits and residuals in 8", "--lossy")
        self.assert_says(self.thinwire("ckpt", "convert", path, "--to", "runs/raw", "--mode", "raw", "--lossy", code=USAGE), "nothing else loses")
        self.thinwire("ckpt", "convert", path, "--to", "runs/near", "--mode", "near_exact", "--moments", "4", "--lossy")
        self.assert_says(self.thinwire("ckpt", "diff", path, "runs/near", code=1), "'optim/exp_avg/", "within 1/14")
        self.assertNotIn("'model/", self.thinwire("ckpt", "diff", path, "runs/near", code=1).out)
        self.assert_says(self.thinwire("ckpt", "convert", path, "--to", "runs/near", code=USAGE), "exists already")
        self.assert_says(self.thinwire("ckpt", "convert", path, "--to", "", code=USAGE), "--to is empty")
        for option, other, mode in (("--moments", "4", "near_exact"), ("--pruning", "mild", "extreme")):
            done = self.thinwire("ckpt", "convert", path, "--to", "runs/other", option, other, code=USAGE)
            self.assert_says(done, f"{option} goes with --mode {mode}: with exact it has no effect")
        self.assert_says(self.thinwire("ckpt", "convert", "nowhere", "--to", "runs/other", code=CHECKPOINT), "no such directory")
        self.thinwire("ckpt", "convert", path, "--to", "runs/other", "--mode", "odd", code=USAGE)
        self.thinwire("ckpt", "convert", "runs/near", "--to", "runs/back")
        self.assertEqual([restore["how"] for restore in self.run_of("back").manifest(20)["lossy_restores"]], ["near_exact"])

    def test_a_damaged_one_is_passed_over_where_a_run_is_named_and_never_where_it_is_named_itself(self):
        self.train("run.steps=8", "checkpoint.every=2", "checkpoint.keep=0", "parallel.dp=2")
        run = self.run_of()
        damaged = run.checkpoint(8) / "rank-00001.safetensors"
        content = bytearray(damaged.read_bytes())
        content[-1] ^= 1
        damaged.write_bytes(content)
        done = self.thinwire("ckpt", "convert", run.path, "--to", "runs/raw", "--mode", "raw")
        self.assert_says(done, "skipping checkpoint step-00000008", "rank-00001.safetensors is damaged", "runs/raw/checkpoints/step-00000006")
        self.assert_says(self.thinwire("ckpt", "diff", run.path, "runs/raw"), "skipping checkpoint step-00000008", " 0 differ")
        done = self.thinwire("ckpt", "average", run.path, "--last", "2", "--to", "runs/mean")
        self.assert_says(done, "skipping checkpoint step-00000008", "runs/mean/checkpoints/step-00000006")
        done = self.thinwire("ckpt", "convert", run.checkpoint(8), "--to", "runs/other", code=CHECKPOINT)
        self.assert_says(done, "rank-00001.safetensors is damaged", "the newest beside it that is whole is", "step-00000006: name that one")
        self.assertFalse((self.folder / "runs" / "other").exists())

    def test_average_is_a_checkpoint_to_go_on_from(self):
        self.train("run.steps=20", "checkpoint.every=5", "checkpoint.keep=0", "parallel.dp=2")
        done = self.thinwire("ckpt", "average", self.run_of().path, "--last", "3", "--to", "runs/mean")
        self.assert_says(done, "runs/mean/checkpoints/step-00000020")
        mean = self.run_of("mean")
        self.assertEqual([(restore["step"], restore["how"]) for restore in mean.manifest(20)["lossy_restores"]],
                         [(step, "average") for step in (10, 15, 20)])
        self.thinwire("ckpt", "verify", mean.path)
        self.assert_says(self.thinwire("ckpt", "ls", mean.path), "step-00000020, its state went through average (steps 10, 15, 20)\n")
        text = self.thinwire("ckpt", "diff", self.run_of().checkpoint(20), mean.path, code=1).out
        self.assertIn("'model/", text)
        for kept in ("'optim/", "'exchange/"):
            self.assertNotIn(kept, text)
        done = self.train("run.steps=24", "run.verify_every=1", "parallel.dp=2", name="mean", options=["--resume", "auto"])
        self.assert_says(done, "resumed from step 20", "had gone through the checkpoint of step 10 before (average)", "step 24/24")

    def test_average_of_damaged_ones_says_that_they_are(self):
        self.train("run.steps=4", "checkpoint.every=2")
        path = self.run_of().path
        for step in (2, 4):
            (self.run_of().checkpoint(step) / "model.safetensors").unlink()
        done = self.thinwire("ckpt", "average", path, "--last", "2", "--to", "runs/mean", code=CHECKPOINT)
        self.assert_says(done, "there are 0 whole checkpoints in it, not 2; damaged, as said above: step-00000004, step-00000002")
        self.assertNotIn("checkpoint.keep", done.text)
        self.assertFalse((self.folder / "runs" / "mean").exists())

    def test_help_shows_defaults_where_there_are_some_and_what_needs_lossy(self):
        for verb in ("convert", "average"):
            text = self.thinwire("ckpt", verb, "--help").out
            self.assertNotIn("=[]", text)
            self.assertNotIn("=0", text)
            self.assertIn("need --lossy", " ".join(text.split()))
        self.assertIn("--last N", text)

    def test_average_refuses_what_does_not_fit(self):
        self.train("run.steps=4", "checkpoint.every=2")
        path = self.run_of().path
        self.assert_says(self.thinwire("ckpt", "average", path, "--last", "3", "--to", "runs/mean", code=CHECKPOINT), "there are 2 whole checkpoints", "keep")
        self.assert_says(self.thinwire("ckpt", "average", path, "--to", "runs/mean", code=USAGE), "two checkpoints or more")
        self.assert_says(self.thinwire("ckpt", "average", path, path, "--to", "runs/mean", code=USAGE), "step-00000004 is named twice")
        self.assert_says(self.thinwire("ckpt", "average", path, path, "--last", "2", "--to", "runs/mean", code=USAGE), "one run directory")
        self.train("run.steps=4", "checkpoint.every=1", "exchange.every=2", "checkpoint.keep=0", "parallel.dp=2", name="rounds")
        done = self.thinwire("ckpt", "average", "runs/rounds", "--last", "3", "--to", "runs/mean", code=CHECKPOINT)
        self.assert_says(done, "step-00000003 was saved within a round", "step-00000002, step-00000004 between rounds")
        rounds = self.run_of("rounds")
        self.thinwire("ckpt", "average", rounds.checkpoint(2), rounds.checkpoint(4), "--to", "runs/between")
        self.thinwire("ckpt", "average", rounds.checkpoint(1), rounds.checkpoint(3), "--to", "runs/within")
        self.train("run.steps=6", "model.layers=1", name="other")
        self.assert_says(self.thinwire("ckpt", "average", path, "runs/other", "--to", "runs/mean", code=CHECKPOINT), "model.layers.1")
        self.assertFalse((self.folder / "runs" / "mean" / "checkpoints" / "step-00000006").exists())


if __name__ == "__main__":
    thinwire.main()

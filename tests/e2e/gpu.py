"""Training on a GPU: the same course as on the CPU, ranks that share it stay equal, and a run goes on where it was stopped."""
import pathlib

import thinwire

SETTINGS = ("run.device=cuda", "run.precision=fp32")
SCHEDULES = {"gradients": ("exchange.schedule=every_step",), "rounds": (), "delayed": ("exchange.delay=2", "exchange.fragments=2"),
             "planned": ("compress.plan.method=lgreco", "compress.plan.every=10")}


class Gpu(thinwire.Case):
    def setUp(self):
        super().setUp()
        if not pathlib.Path("/dev/nvidia0").exists():
            self.skipTest("this machine has no NVIDIA GPU")

    def assert_same_course(self, expected, got, within):
        self.assertEqual(got.keys(), expected.keys())
        for step, loss in expected.items():
            self.assertAlmostEqual(got[step], loss, delta=within * loss, msg=f"loss of step {step}")

    def test_the_loss_takes_the_course_that_it_takes_on_the_cpu(self):
        on_cpu = self.trained("run.device=cpu", "parallel.dp=2", name="cpu")
        on_gpu = self.trained(*SETTINGS, "parallel.dp=2", name="gpu")
        self.assertIn("cuda:0", on_gpu.facts()["device"])
        self.assert_same_course(on_cpu.losses(), on_gpu.losses(), 2e-3)

    def test_bf16_takes_nearly_that_course(self):
        fp32 = self.trained(*SETTINGS, name="fp32")
        bf16 = self.trained("run.device=cuda", "run.precision=bf16", name="bf16")
        self.assert_same_course(fp32.losses(), bf16.losses(), 1e-2)

    def test_passes_that_are_replayed_take_the_same_course(self):
        for name, settings in SCHEDULES.items():
            words = (*SETTINGS, *settings, "parallel.dp=2")
            one_by_one = self.trained(*words, "run.cuda_graph=off", name=f"{name}-off")
            said = self.train(*words, "run.cuda_graph=on", name=f"{name}-on")
            self.assert_says(said, "as one CUDA graph")
            self.assertNotIn("could not be recorded", said.text)
            self.assert_same_course(one_by_one.losses(), self.run_of(f"{name}-on").losses(), 1e-4)

    def test_two_ranks_that_share_it_stay_equal_under_every_schedule(self):
        for name, settings in SCHEDULES.items():  # run.verify_every compares their bits
            self.assertEqual(self.trained(*SETTINGS, *settings, ranks=2, name=name).last_step(), 20)

    def test_a_run_goes_on_from_a_checkpoint(self):
        for name, settings in SCHEDULES.items():
            words = (*SETTINGS, *settings, "parallel.dp=2")
            run = self.trained(*words, name=name)
            straight = run.losses()
            self.train(*words, name=name, options=("--resume", run.back_to(10)))
            resumed = [record for record in run.records("train") if record["step"] > 10][10:]
            self.assertEqual([record["step"] for record in resumed], list(range(11, 21)))
            self.assert_same_course(straight, run.losses(), 1e-4)

    def test_codecs_work_where_the_gradients_are_and_send_what_they_send_on_the_cpu(self):
        for codec in ("none", "bf16", "fp16", "quantize", "sign", "topk", "sparseloco"):
            words = ("exchange.schedule=every_step", f"compress.codec={codec}", "parallel.dp=2")
            on_cpu = self.trained("run.device=cpu", *words, name=f"{codec}-cpu")
            said = self.train(*SETTINGS, *words, name=f"{codec}-gpu")
            self.assertNotIn("cross from the GPU", said.text, codec)
            on_gpu = self.run_of(f"{codec}-gpu")
            self.assert_same_course(on_cpu.losses(), on_gpu.losses(), 2e-2)
            if codec not in ("topk", "sparseloco"):  # of which the numbers decide how long it is
                sent = [[record["wire_bytes_tx"] for record in run.records("train")] for run in (on_cpu, on_gpu)]
                self.assertEqual(sent[0], sent[1], codec)

    def test_what_has_no_kernels_crosses_to_the_host_and_says_so(self):
        for name, words in {"sketch": ("compress.codec=randomk",), "residuals": ("compress.error_feedback.state=int8",)}.items():
            said = self.train(*SETTINGS, "exchange.schedule=every_step", "parallel.dp=2", *words, name=name)
            self.assert_says(said, "elements cross from the GPU to the host for their rounds")
            self.assertEqual(self.run_of(name).last_step(), 20)

    def test_auto_leaves_it_to_ranks_that_have_one_each(self):
        self.assertIn("cuda:0", self.trained("run.device=auto", name="alone").facts()["device"])
        if not pathlib.Path("/dev/nvidia1").exists():
            self.assertEqual(self.trained("run.device=auto", "parallel.dp=2", name="two").facts()["device"], "cpu")


if __name__ == "__main__":
    thinwire.main()

"""Plans of codecs: made while a run goes on, shown by layer, and resumed to the last bit; every policy of error feedback beside them."""
import re
import shutil

import thinwire

USAGE = 2
PLANNED = ("compress.plan={method: lgreco, every: 8, samples: 2}", "compress.min_elems=1024", "run.verify_every=5")
# A codec of each way of combining, and every policy that keeps state of its own kind.
KINDS = (
    ("compress.codec=topk", "compress.topk={density: 10%, index_coding: rice}", "compress.error_feedback=econtrol"),
    ("compress.codec=quantize", "compress.plan.candidates=mixed", "compress.error_feedback={name: ef14, decay: 0.9}"),
    ("compress.codec=powersgd", "compress.error_feedback={name: ef14, state: int8}"),
    ("compress.codec=sparseloco", "compress.plan.method=off", "compress.error_feedback=ef21_sgdm"),
    ("compress.codec=sign", "compress.plan.method=off", "compress.error_feedback={name: ef21, start: zero}"),
)


class Plans(thinwire.Case):
    def test_a_run_makes_plans_and_shows_the_newest(self):
        run = self.trained("run.steps=30", *PLANNED, "compress.codec=topk", "exchange.schedule=every_step", "parallel.dp=2")
        events = [record["detail"] for record in run.records("event") if record["event"] == "plan"]
        self.assertEqual([detail.split(":")[0] for detail in events], [f"version {number}" for number in (1, 2, 3, 4)])  # after steps 2, 11, 20, 29
        self.assertEqual(len(list((run.path / "plans").glob("step-*.txt"))), 4)
        shown = self.thinwire("plan", run.path).out
        self.assertRegex(shown, r"(?m)^plan 4 ")
        self.assertRegex(shown, r"model\.layers\.0\.mlp\.up_proj\.weight +\d+x\d+ +topk density=\S+ +\d")
        self.assertRegex(shown, r"model\.norm\.weight +1x\d+ +none .*elements < min_elems 1024")
        layers = run.records("layers")[0]["layers"]
        self.assertTrue(any(0 < (layer["error"] or 0) < 1 and layer["residual_norm"] > 0 for layer in layers))

    def test_a_configuration_is_shown_before_it_runs(self):
        rule = "compress.rules=[{match: '*.embed_tokens.*', codec: bf16}]"
        shown = self.thinwire("plan", "-c", "small.yaml", "--set", "compress.codec=quantize", "--set", rule).out
        self.assertRegex(shown, r"embed_tokens\.weight +\S+ +bf16 ")
        self.assertRegex(shown, r"up_proj\.weight +\S+ +quantize bits=4 ")

    def test_a_fallback_is_shown_without_a_plan(self):
        # EControl diverges at a gain above the codec's contraction (docs/methods/error_feedback.md).
        diverges = ("compress.codec=topk", "compress.topk.density=1%", "compress.error_feedback={name: econtrol, eta: 1}",
                    "exchange.schedule=every_step", "run.steps=60", "parallel.dp=2")
        run = self.trained(*diverges)
        fallen = [record["detail"] for record in run.records("event") if record["event"] == "dense_fallback"]
        self.assertTrue(fallen)
        self.assertIn(f"'{fallen[0]}' travels dense", self.thinwire("plan", run.path).out)

    def test_what_travels_as_it_is_is_said_to(self):
        rank = ("compress.codec=powersgd", "compress.powersgd.rank=64", "parallel.dp=2", "run.steps=2", "log.layers_every=1")
        shown = self.thinwire("plan", "-c", "small.yaml", *(word for one in rank for word in ("--set", one))).out
        self.assertRegex(shown, r"q_proj\.weight +\S+ +none .*powersgd\.min_compression")
        done = self.train(*rank, name="raw")
        self.assertIn("nothing is compressed, although compress.codec is powersgd", done.text)
        for layer in self.run_of("raw").records("layers")[-1]["layers"]:
            self.assertEqual((layer["codec"], layer["error"], layer["payload_bytes"]), ("none", None, 4 * layer["elems"]))

    def test_what_cannot_work_well_is_warned_of(self):
        for settings, said in ((("compress.codec=sign", "compress.error_feedback=none", "exchange.schedule=local_steps"), "without error feedback"),
                               (("compress.codec=sign", "compress.error_feedback=ef14"), "with error feedback (ef14) more so"),
                               (("compress.codec=randomk", "compress.error_feedback=none"), "under AdamW; with exchange.schedule=local_steps"),
                               (("compress.codec=quantize", "compress.start=200steps"), "nothing will be compressed"),
                               (("compress.codec=topk", "compress.plan={method: lgreco, every: 9, samples: 9}"), "no plan will be made")):
            with self.subTest(said=said):
                done = self.train("run.steps=4", "exchange.schedule=every_step", "parallel.dp=2", *settings, name="odd", options=["--overwrite"])
                self.assertIn(said, done.text)

    def test_what_to_show_must_be_said_once(self):
        for words in ((), ("runs/none",), ("runs/none", "-c", "small.yaml")):
            done = self.thinwire("plan", *words, code=USAGE)
            self.assertRegex(done.text, r"run directory|is no run directory")

    def test_a_resume_goes_on_to_the_last_bit(self):
        for number, settings in enumerate(KINDS):
            with self.subTest(settings=settings):
                every = ("checkpoint.every=11", "run.steps=24", "parallel.dp=2", *PLANNED, *settings)
                whole = self.trained(*every, name=f"whole{number}")
                self.trained(*every, name=f"cut{number}")
                cut = self.run_of(f"cut{number}")
                for step in (22, 24):
                    shutil.rmtree(cut.checkpoint(step))
                done = self.train(*every, name=f"cut{number}", options=["--resume", "auto"])
                self.assertTrue(re.search(r"resumed from step 11 ", done.out), done.text)
                state, expected = cut.state(24), whole.state(24)
                self.assertEqual([key for key in {**state, **expected} if state.get(key) != expected.get(key)], [])


if __name__ == "__main__":
    thinwire.main()

"""What the documentation claims, held against the program: keys, verbs, links, example configurations, the demo's ratio."""
import math
import pathlib
import re

import thinwire
from thinwire import Case

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
DEMO_PARAMETERS = 3_715_936
USAGE = 2


class Pages(Case):
    def test_the_configuration_page_is_what_the_program_prints(self):
        page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
        self.assertTrue(self.thinwire("config", "docs").out in page, "renew docs/configuration.md from `thinwire config docs`")

    def test_every_relative_link_leads_somewhere(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
                if not target.startswith("http"):
                    self.assertTrue((page.parent / target).exists(), f"{page}: {target}")

    def test_the_pages_name_no_verb_and_no_key_that_there_is_not(self):
        in_help = set(re.findall(r"^  ([\w-]+)  ", self.thinwire("--help").out.split("Subcommands:")[1], re.MULTILINE))
        keys = set(re.findall(r"^\| `([\w.\[\]]+)` \|", self.thinwire("config", "docs").out, re.MULTILINE))
        sections = {key.split(".")[0] for key in keys}
        for name in ("features", "footguns", "install", "limitations"):
            text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
            for verb in re.findall(r"`thinwire ([\w-]+)", text):
                self.assertIn(verb, in_help, name)
            for key in re.findall(r"`(\w+(?:\.\w+)+)(?:`|: |=)", text):
                if key.split(".")[0] in sections and not key.endswith((".json", ".yaml", ".md")):
                    self.assertTrue(any(known == key or known.startswith(key + ".") for known in keys), f"{name}: {key}")

    def test_the_readme_names_the_verbs_that_there_are(self):
        in_readme = set(re.findall(r"^thinwire ([\w-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
        in_help = set(re.findall(r"^  ([\w-]+)  ", self.thinwire("--help").out.split("Subcommands:")[1], re.MULTILINE))
        self.assertEqual(in_readme, in_help)


class Configs(Case):
    def test_every_one_is_valid_and_names_its_own_command(self):
        self.assertGreaterEqual(len(CONFIGS), 6)
        for config in CONFIGS:
            self.thinwire("config", "print", "-c", config)
            self.assertIn(f"thinwire train -c {config.relative_to(ROOT)}", config.read_text(encoding="utf-8"))

    def test_every_example_trains(self):
        (self.folder / "README.md").write_text("words of a small text, again and again. " * 500, encoding="ascii")
        (self.folder / "docs").mkdir()
        (self.folder / "docs" / "page.md").write_text("more words. " * 500, encoding="ascii")
        self.thinwire("prepare-data", "README.md", "docs/*.md", "--tokenizer", "byte", "--out", "tokens")
        self.train("run.steps=1", "eval.batches=2", name="pretrained", config=ROOT / "configs" / "quickstart.yaml")
        self.thinwire("export", "runs/pretrained", "--out", "pretrained")
        for config in CONFIGS:
            if config.parent.name != "examples" or config.stem == "nccl":
                continue
            ranks = [] if "own_text" in config.name else ["parallel.dp=2"]
            self.train("run.steps=20", "eval.batches=2", *ranks, name=config.stem, config=config)
            self.assertEqual(self.run_of(config.stem).last_step(), 20)

    def test_the_nccl_example_trains_on_one_rank_where_there_is_a_gpu(self):
        config = ROOT / "configs" / "examples" / "nccl.yaml"
        words = self.train_words(["run.steps=20", "eval.batches=2"], name="nccl", config=config)
        done = self.start(thinwire.program, *words, ranks=1).wait()
        without = re.search(r"comm.transport: nccl needs .*", done.err)
        if done.code == USAGE and without:
            self.skipTest(without.group())
        self.assertEqual(done.code, 0, done.text)
        self.assertEqual(self.run_of("nccl").last_step(), 20)

    def test_the_demo_sends_a_hundred_and_seventy_times_fewer_bytes(self):
        run = self.trained("parallel.dp=2", "run.steps=10", "eval.batches=2", "checkpoint.every=0", name="demo", config=ROOT / "configs" / "quickstart.yaml")
        last = run.records("train")[-1]
        self.assertEqual(last["dense_bytes"], 4 * DEMO_PARAMETERS)
        sent = 512 / 4096
        positions = -sent * math.log2(sent) - (1 - sent) * math.log2(1 - sent)  # what they cannot be coded in less than
        self.assertGreater(last["ratio"], 170)
        self.assertLess(last["ratio"], 5 * 32 / (2 * sent + positions))  # five steps of fp32 over 2 bits a value and the positions


if __name__ == "__main__":
    thinwire.main()

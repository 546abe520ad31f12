"""tools/tables: keys, resuming, the reference rule, gains and the pages, on made-up records. Nothing here trains."""
import json
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "tables"))

import page
import records
import rules
import runner
from experiments import PEER_TABLES, TABLES
from lgreco import LgrecoTable, Section
from settings import Setting, SettingsTable


def summary(mean, ratio, deviation=0.01, metric="val_bpb", label="x"):
    return rules.Summary(label, metric, mean, deviation, ratio, 3)


def record(run, value, ratio, metric="val_bpb"):
    return {"key": run.key, "label": run.label, "seed": run.seed, "status": "done", "metric": metric, "value": value, "ratio_total": ratio, "seconds": 0}


class Keys(unittest.TestCase):
    def test_a_key_depends_on_options_seed_and_launcher_and_on_nothing_else(self):
        key = records.key_of({"a": 1, "b": "x"}, 1)
        self.assertEqual(key, records.key_of({"b": "x", "a": "1"}, 1))
        self.assertEqual(records.Run("one name", {"a": 1, "b": "x"}, 1).key, records.Run("another", {"a": 1, "b": "x"}, 1).key)
        others = [records.key_of({"a": 2, "b": "x"}, 1), records.key_of({"a": 1, "b": "x"}, 2), records.key_of({"a": 1}, 1),
                  records.key_of({"a": 1, "b": "x"}, 1, "peer")]
        self.assertEqual(len({key, *others}), 5)

    def test_settings_of_a_table_do_not_share_keys(self):
        for table in {**TABLES, **PEER_TABLES}.values():
            runs = table.runs({})
            labels = {}
            for run in runs:
                labels.setdefault(run.key, set()).add(run.label)
            self.assertTrue(all(len(names) == 1 for names in labels.values()), table.name)


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "t.jsonl"

    def test_what_is_appended_is_loaded_and_the_last_record_of_a_key_counts(self):
        self.assertEqual(records.load(self.path), {})
        for key, value in (("a", 1), ("b", 2), ("a", 3)):
            records.append(self.path, {"key": key, "value": value})
        self.assertEqual({key: r["value"] for key, r in records.load(self.path).items()}, {"a": 3, "b": 2})

    def test_a_line_that_was_cut_short_is_overwritten_by_the_next(self):
        records.append(self.path, {"key": "a"})
        with self.path.open("a") as file:
            file.write('{"key": "b", "val')
        self.assertEqual(list(records.load(self.path)), ["a"])
        records.append(self.path, {"key": "c"})
        self.assertEqual([json.loads(line)["key"] for line in self.path.read_text().splitlines()], ["a", "c"])

    def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(self):
        self.path.write_text('{"key"\n{"key": "b"}\n')
        with self.assertRaisesRegex(SystemExit, "t.jsonl:1"):
            records.load(self.path)


class Rules(unittest.TestCase):
    def test_mean_and_sample_deviation(self):
        runs = [records.Run("x", {"a": 1}, seed) for seed in (1, 2, 3)]
        made = rules.summarise("x", [record(run, value, ratio) for run, value, ratio in zip(runs, (1.0, 2.0, 3.0), (10, 11, 12))])
        self.assertEqual((made.mean, made.deviation, made.ratio, made.seeds), (2.0, 1.0, 11.0, 3))
        self.assertIsNone(rules.summarise("x", [record(runs[0], 1.0, 10)]).deviation)
        self.assertIsNone(rules.summarise("x", [{"status": "failed"}]))

    def test_equal_is_within_one_deviation_of_both_together_or_better(self):
        uncompressed = summary(2.0, 1, deviation=0.02)
        self.assertTrue(rules.is_equal(summary(2.0139, 9, deviation=0.0), uncompressed))   # sqrt(0.02^2 / 2) = 0.01414
        self.assertFalse(rules.is_equal(summary(2.0145, 9, deviation=0.0), uncompressed))
        self.assertTrue(rules.is_equal(summary(1.5, 9), uncompressed))
        self.assertFalse(rules.is_equal(summary(1.5, 9, deviation=None), uncompressed))

    def test_for_accuracy_more_is_better(self):
        uncompressed = summary(0.86, 1, metric="val_accuracy")
        self.assertTrue(rules.is_equal(summary(0.90, 9, metric="val_accuracy"), uncompressed))
        self.assertFalse(rules.is_equal(summary(0.80, 9, metric="val_accuracy"), uncompressed))

    def test_the_reference_is_the_smallest_that_is_equal(self):
        uncompressed = summary(2.0, 1)
        sweep = [summary(2.001, 4, label="gentle"), summary(2.009, 8, label="good"), summary(2.05, 16, label="harsh")]
        self.assertEqual(rules.reference(sweep, uncompressed).label, "good")
        self.assertIsNone(rules.reference(sweep[2:], uncompressed))
        self.assertEqual(rules.gain(summary(2.0, 20), sweep[1]), 2.5)

    def test_the_frontier_leaves_out_what_is_worse_and_larger(self):
        settings = [summary(2.0, 1), summary(2.1, 10), summary(2.2, 9), summary(2.3, 50), summary(2.3, 40)]
        self.assertEqual([s.ratio for s in rules.frontier(settings)], [1, 10, 50])
        self.assertEqual(rules.best_within(settings, settings[0], 0.15).ratio, 10)
        self.assertIsNone(rules.best_within(settings[1:], settings[0], 0.01))


PLANS = ["L-GreCo around middle", "L-GreCo around middle, 2 times its error", "L-GreCo around harsh, 0.5 times its error", "L-GreCo around harsh"]
FAMILY = [("gentle", {"s": 1}), ("middle", {"s": 2}), ("harsh", {"s": 3})]


def small_table():
    return LgrecoTable("t", "T", {"task": 1}, [Section("gradients", {"lr": 1}, {"plan": 1}, {"topk": FAMILY})])


class Lgreco(unittest.TestCase):
    def fill(self, table, results, value):
        for run in [run for run in table.runs(results) if run.key not in results]:
            results[run.key] = record(run, *value(run))

    def test_plans_come_when_the_sweep_is_complete_around_the_reference_and_the_next_harsher_strength(self):
        table, results = small_table(), {}
        self.assertEqual([run.label for run in table.runs(results)], ["uncompressed"] * 3 + ["gentle", "middle", "harsh"] * 3)
        self.assertEqual([run.seed for run in table.runs(results)], [1, 2, 3] + [1] * 3 + [2] * 3 + [3] * 3)
        figures = {"uncompressed": (2.0, 1), "gentle": (2.0, 4), "middle": (2.0, 8), "harsh": (2.015, 16)}
        self.fill(table, results, lambda run: (figures[run.label][0] + run.seed / 100, figures[run.label][1]))
        planned = [run for run in table.runs(results) if run.label.startswith("L-GreCo")]
        self.assertEqual([run.label for run in planned], PLANS + [label for label in PLANS for _ in range(2)])
        self.assertEqual(planned[0].options, {"task": 1, "lr": 1, "s": 2, "plan": 1, "compress.plan.method": "lgreco"})
        self.assertEqual(planned[2].options, {"task": 1, "lr": 1, "s": 3, "plan": 1, "compress.plan.alpha": 0.5, "compress.plan.method": "lgreco"})

        self.fill(table, results, lambda run: (2.0 + run.seed / 100, 20 if run.label == "L-GreCo around harsh" else 12))
        chosen, best, gain = table.conclusion(table.families(table.sections[0], results)[0])
        self.assertEqual((chosen.label, best.label, gain), ("middle", "L-GreCo around harsh", 2.5))
        self.assertEqual([run.options["compress.plan.candidates"] for run in table.runs(results)[-3:]], ["mixed"] * 3)
        self.fill(table, results, lambda run: (2.0 + run.seed / 100, 25))
        self.assertEqual(sum(run.key not in results for run in table.runs(results)), 0)
        text = "\n".join(page.lgreco_page(table, results))
        self.assertIn("| topk | middle | 8.0 | L-GreCo around harsh (3 seeds) | 20.0 | **2.50** | 2.6 |", text)
        self.assertIn("1.25 times the best single family", text)

    def test_a_strength_that_is_far_off_with_its_first_seed_gets_no_other(self):
        table, results = small_table(), {}
        figures = {"uncompressed": 2.0, "gentle": 2.0, "middle": 2.019, "harsh": 2.021}
        for run in table.runs(results)[:6]:
            results[run.key] = record(run, figures[run.label] + (run.seed / 100 if run.label == "uncompressed" else 0.02), 4)  # 2.02, deviation 0.01
        self.assertEqual([(run.label, run.seed) for run in table.runs(results)[6:]], [("gentle", 2), ("middle", 2), ("gentle", 3), ("middle", 3)])

    def test_where_nothing_equals_uncompressed_there_is_no_reference_and_nothing_is_planned(self):
        table, results = small_table(), {}
        self.fill(table, results, lambda run: (2.0 if run.label == "uncompressed" else 3.0, 4))
        self.assertEqual([run for run in table.runs(results) if run.key not in results], [])
        self.assertEqual(table.conclusion(table.families(table.sections[0], results)[0]), (None, None, None))


def settings_table(*tiers, rates=("1e-3", "2e-3"), targets=()):
    return SettingsTable("t", "T", {}, [[Setting(label, {"c": label}) for label in tier] for tier in tiers], rates, targets)


class Settings(unittest.TestCase):
    FIGURES = {"dense": (2.0, 1), "good": (2.02, 30), "beaten": (2.04, 29), "fair": (2.1, 30), "bad": (2.2, 30), "later": (3.0, 10)}

    def fill(self, table, results):
        runs = [run for run in table.runs(results) if run.key not in results]
        for run in runs:
            value, ratio = self.FIGURES[run.options["c"]]
            results[run.key] = record(run, value + (0.5 if run.options["optim.lr"] == "1e-3" and run.options["c"] == "fair" else 0), ratio)
        return [(run.options["c"], run.options["optim.lr"], run.seed) for run in runs]

    def test_only_what_is_near_the_frontier_gets_other_rates_and_only_what_is_nearer_other_seeds(self):
        table, results = settings_table(["dense", "good", "beaten", "fair", "bad"], ["later"]), {}
        self.assertEqual(self.fill(table, results), [("dense", "1e-3", 1), ("dense", "2e-3", 1)] + [(c, "1e-3", 1) for c in ("good", "beaten", "fair", "bad")])
        self.assertEqual(self.fill(table, results), [("good", "2e-3", 1), ("beaten", "2e-3", 1)])  # fair is 0.6 off at the first rate
        self.assertEqual(self.fill(table, results), [(c, "1e-3", seed) for c in ("dense", "good", "beaten") for seed in (2, 3)])
        self.assertEqual(self.fill(table, results), [("later", "1e-3", 1)])
        self.assertEqual(self.fill(table, results), [])

    def test_the_distance_to_the_frontier_is_to_the_best_of_those_that_send_as_little(self):
        made = [summary(2.0, 1), summary(2.1, 10), summary(2.3, 50)]
        self.assertEqual(rules.distance_to_frontier(made[1], made), 0)
        self.assertAlmostEqual(rules.distance_to_frontier(summary(2.25, 9), made), 0.15)
        self.assertEqual(rules.distance_to_frontier(summary(2.25, 20), made), 0)

    def test_the_better_learning_rate_counts_and_targets_are_judged(self):
        table, results = settings_table(["dense", "small"], targets=((0.1, 20),)), {}
        for seed in (1, 2, 3):
            for rate, value in (("1e-3", 2.5), ("2e-3", 2.05)):
                for setting, made in ((table.settings[0], (2.0, 1)), (table.settings[1], (value, 30))):
                    run = table.run(setting, rate, seed)
                    results[run.key] = record(run, *made)
        self.assertEqual(table.best(table.settings[1], results)[1], "2e-3")
        for seed in (2, 3):
            del results[table.run(table.settings[1], "2e-3", seed).key]
        self.assertEqual(table.best(table.settings[1], results)[1], "2e-3", "more seeds make a rate no better")
        for seed in (2, 3):
            run = table.run(table.settings[1], "2e-3", seed)
            results[run.key] = record(run, 2.05, 30)
        text = "\n".join(page.settings_page(table, results, {}))
        self.assertIn("| 0.1 | 20 | small: 30.0 (3 seeds) | yes |", text)
        self.assertIn("| **small** | 2e-3 | 2.0500 ± 0.0000 | +0.0500 | 30.0 | 3 |", text)


class FakeRunner:
    """Fails one setting, and needs more time than there is for another."""

    def __init__(self):
        self.made = []

    def make(self, run, _seconds):
        self.made.append(run.key)
        if run.label.startswith("bad"):
            return {"key": run.key, "label": run.label, "seed": run.seed, "status": "failed", "error": "it broke", "seconds": 0}
        return record(run, 2.0, 1)


class Resuming(unittest.TestCase):
    def test_what_has_a_record_is_not_run_again_failed_or_not(self):
        table = settings_table(["good", "bad"], rates=("1e-3",))
        with tempfile.TemporaryDirectory() as folder:
            folder, first, second, said = pathlib.Path(folder), FakeRunner(), FakeRunner(), []
            self.assertFalse(runner.fill(table, first, time.monotonic(), folder, said.append))
            self.assertEqual((first.made, "2 of 2 runs are missing" in said[0]), ([], True))
            self.assertTrue(runner.fill(table, first, time.monotonic() + 60, folder, said.append))
            self.assertEqual(len(first.made), 4)  # one that failed gets no other seed
            self.assertIn("FAILED: it broke", "".join(said))
            self.assertTrue(runner.fill(table, second, time.monotonic() + 60, folder, said.append))
            self.assertEqual(second.made, [])
            self.assertIn("- bad, lr 1e-3, seed 1: `it broke`", page.failures(table, records.load(folder / "t.jsonl")))

    def test_a_run_that_does_not_end_in_time_is_ended_and_leaves_no_record(self):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            self.assertIsNone(runner._run_bounded(["sleep", "60"], pathlib.Path(folder) / "log", 0))
            self.assertLess(time.monotonic() - began, 30)

    def test_the_recorded_command_holds_every_option_and_no_path_of_this_machine(self):
        run = records.Run("x", {"optim.lr": "2e-3"}, 7)
        made = runner.Runner.__new__(runner.Runner)
        made.program, made.peer_python = "/somewhere/thinwire", "/somewhere/python"
        self.assertEqual(made.command(run, pathlib.Path("/cache/k"))[1], "build/thinwire train -c tools/tables/base.yaml --set optim.lr=2e-3 --set run.seed=7")
        self.assertNotIn("somewhere", made.command(records.Run("x", {"hook": "none"}, 7, "peer"), pathlib.Path("/cache/k"))[1])


if __name__ == "__main__":
    unittest.main()

"""A list of settings, each at several learning rates: the frontier of the metric against the bytes."""
from dataclasses import dataclass

from records import Run
from rules import summarise
from tasks import SEEDS


@dataclass(frozen=True)
class Setting:
    label: str
    options: dict
    launcher: str = "thinwire"


class SettingsTable:
    """`settings` from the most informative to the least; the first is the uncompressed one. `targets`: (distance to uncompressed, ratio) to reach."""

    def __init__(self, name, title, task, settings, rates, targets=(), beside=None):
        self.name, self.title, self.task, self.settings, self.rates, self.targets, self.beside = name, title, task, settings, rates, targets, beside

    def run(self, setting, rate, seed):
        return Run(f"{setting.label}, lr {rate}", {**self.task, **setting.options, "optim.lr": rate}, seed, setting.launcher)

    def runs(self, _results):
        """Seed 1 of everything before any seed 2."""
        return [self.run(setting, rate, seed) for seed in SEEDS for setting in self.settings for rate in self.rates]

    def best(self, setting, results):
        """(Summary, rate) at the learning rate with the best mean among those with most seeds; (None, None) without a record."""
        found = []
        for rate in self.rates:
            runs = [self.run(setting, rate, seed) for seed in SEEDS]
            summary = summarise(setting.label, [results[run.key] for run in runs if run.key in results])
            if summary:
                found.append((summary, rate))
        if not found:
            return None, None
        most = max(summary.seeds for summary, _ in found)
        found = [pair for pair in found if pair[0].seeds == most]
        return min(found, key=lambda pair: pair[0].worse_by(found[0][0]))

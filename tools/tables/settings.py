"""A list of settings, each at several learning rates: the frontier of the metric against the bytes."""
from dataclasses import dataclass

from records import Run
from rules import distance_to_frontier, summarise
from tasks import SEEDS

NEAR_FOR_RATES = 0.1   # of the metric: how far from the frontier of the first seed a setting may be to be tried at the other learning rates,
NEAR_FOR_SEEDS = 0.03  # and with the other seeds


@dataclass(frozen=True)
class Setting:
    label: str
    options: dict
    launcher: str = "thinwire"


class SettingsTable:
    """`tiers`: lists of settings, each run to its end before the next; the very first setting is the uncompressed one. `rates`: the likeliest first.
    `targets`: (distance to uncompressed, ratio) to reach.

    A tier has three stages: every setting with the first seed at the first rate; those near the frontier at the other rates; those nearer still with
    the other seeds, at their best rate. The uncompressed setting comes first, at every rate: all others are measured against it.
    """

    def __init__(self, name, title, task, tiers, rates, targets=(), beside=None):
        self.name, self.title, self.task, self.tiers, self.rates, self.targets, self.beside = name, title, task, tiers, rates, targets, beside
        self.settings = [setting for tier in tiers for setting in tier]

    def run(self, setting, rate, seed):
        return Run(f"{setting.label}, lr {rate}", {**self.task, **setting.options, "optim.lr": rate}, seed, setting.launcher)

    def runs(self, results):
        """Every run that is known by now, in the order in which they should be made."""
        first, *others = SEEDS
        wanted = [self.run(self.settings[0], rate, first) for rate in self.rates]
        for tier in self.tiers:
            stages = (lambda: [self.run(setting, self.rates[0], first) for setting in tier],
                      lambda: [self.run(s, rate, first) for s in self.near(tier, results, NEAR_FOR_RATES) for rate in self.rates[1:]],
                      lambda: [self.run(s, self.best_rate(s, results), seed) for s in self.near(tier, results, NEAR_FOR_SEEDS) for seed in others])
            for stage in stages:
                wanted += stage()
                if any(run.key not in results for run in wanted):
                    return unique(wanted)  # what follows depends on these
        return unique(wanted)

    def first_seed(self, setting, results):
        """Summary of the first seed at its best rate; None without a record."""
        found = [self.summary(setting, rate, results, SEEDS[:1]) for rate in self.rates]
        return best_of([summary for summary in found if summary])

    def best_rate(self, setting, results):
        best = self.first_seed(setting, results)
        return next(rate for rate in self.rates if self.summary(setting, rate, results, SEEDS[:1]) == best)

    def near(self, tier, results, distance):
        """The tier's settings whose first seed is at most so far behind any setting that sends as little."""
        made = [summary for summary in (self.first_seed(setting, results) for setting in self.settings) if summary]
        pairs = [(setting, self.first_seed(setting, results)) for setting in tier]
        return [setting for setting, summary in pairs if summary and distance_to_frontier(summary, made) <= distance]

    def summary(self, setting, rate, results, seeds=SEEDS):
        runs = [self.run(setting, rate, seed) for seed in seeds]
        return summarise(setting.label, [results[run.key] for run in runs if run.key in results])

    def best(self, setting, results):
        """(Summary, rate) at the learning rate that is best for the first seed: a rate with more seeds is not better for it. (None, None) without a record."""
        if self.first_seed(setting, results) is None:
            return None, None
        rate = self.best_rate(setting, results)
        return self.summary(setting, rate, results), rate


def best_of(summaries):
    return min(summaries, key=lambda summary: summary.worse_by(summaries[0]), default=None)


def unique(runs):
    return list({run.key: run for run in runs}.values())

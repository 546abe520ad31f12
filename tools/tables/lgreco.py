"""One strength for all layers beside L-GreCo's strength for each layer: which runs, in which order, and what is concluded.

A table has sections (a schedule, its learning rate, how often it plans), a section has families (codecs whose strength is swept). First the uncompressed
run over all seeds and each family's sweep, where a strength that is far off with its first seed gets no other; then the rule picks the uniform
reference, and L-GreCo runs around it, with more error than it too, around the next harsher strength (where uniform no longer equals uncompressed, but a
plan may), with less error than that too, and at last with the candidates of all families as the best family's plan was made.
"""
from dataclasses import dataclass

from records import Run
from rules import gain, is_equal, reference, summarise
from tasks import SEEDS, UNCOMPRESSED

HOPELESS = 2  # deviations of the uncompressed seeds
ALPHAS = ((1, 2), (0.5, 1))  # budgets around the reference, and around the next harsher strength
TARGETS = {"topk": 2.6, "powersgd": 1.5, "quantize": 1.15}


@dataclass(frozen=True)
class Section:
    title: str
    options: dict  # schedule, learning rate, error feedback
    plan: dict     # how L-GreCo plans
    families: dict  # name: [(label, options)] from the gentlest strength to the harshest


def _runs(label, options):
    return [Run(label, options, seed) for seed in SEEDS]


class Family:
    """A family within a section: its runs, and the reference once its sweep is complete."""

    def __init__(self, task, section, name, results):
        self.name, self.results = name, results
        self.base = {**task, **section.options}
        self.plan = section.plan
        self.baseline_runs = _runs("uncompressed", {**self.base, **UNCOMPRESSED})
        self.sweep = [(label, _runs(label, {**self.base, **options}), options) for label, options in section.families[name]]
        self.baseline = self.summary("uncompressed", self.baseline_runs)

    def summary(self, label, runs):
        return summarise(label, [self.results[run.key] for run in runs if run.key in self.results])

    def sweep_runs(self):
        """By seed first: a first figure of each strength comes soon."""
        hopeful = [runs for _, runs, _ in self.sweep if not self.is_hopeless(runs[0])]
        return self.baseline_runs + [runs[0] for _, runs, _ in self.sweep] + [runs[i] for i in range(1, len(SEEDS)) for runs in hopeful]

    def is_hopeless(self, run):
        """One seed suffices to exclude a strength that is off by more than seeds differ by."""
        first = self.summary(run.label, [run])
        if first is None or self.baseline is None or self.baseline.deviation is None:
            return first is None and run.key in self.results  # it failed
        return first.worse_by(self.baseline) > HOPELESS * self.baseline.deviation

    def summaries(self):
        return [s for s in (self.summary(label, runs) for label, runs, _ in self.sweep) if s]

    def reference(self):
        """(Summary, options) of the uniform reference; (None, None) while the sweep is incomplete or nothing equals uncompressed."""
        if any(run.key not in self.results for run in self.sweep_runs()) or self.baseline is None:
            return None, None
        chosen = reference(self.summaries(), self.baseline)
        return (chosen, self.options_of(chosen.label)) if chosen else (None, None)

    def options_of(self, label):
        return next(options for name, _, options in self.sweep if name == label)

    def planned(self, label, options, **extra):
        return _runs(label, {**self.base, **options, **self.plan, "compress.plan.method": "lgreco", **extra})

    def plans(self):
        """[(label, options, runs)], from the one that should send most to the one that should send least."""
        chosen, _ = self.reference()
        if chosen is None:
            return []
        labels = [label for label, _, _ in self.sweep]
        at = labels.index(chosen.label)
        around = [(label, alpha) for label, alphas in zip(labels[at:at + 2], ALPHAS) for alpha in alphas]
        found = []
        for label, alpha in around:
            said = f"L-GreCo around {label}" + ("" if alpha == 1 else f", {alpha} times its error")
            options = {**self.options_of(label), **({} if alpha == 1 else {"compress.plan.alpha": alpha})}
            found.append((said, options, self.planned(said, options)))
        return found

    def plan_runs(self):
        """By seed first, as in the sweep."""
        plans = [runs for _, _, runs in self.plans()]
        return [runs[0] for runs in plans] + [run for runs in plans if not self.is_hopeless(runs[0]) for run in runs[1:]]

    def best_lgreco(self):
        """Of L-GreCo's plans that equal uncompressed, the one that sends least."""
        found = [self.summary(label, runs) for label, _, runs in self.plans()]
        return max((s for s in found if s and is_equal(s, self.baseline)), key=lambda s: s.ratio, default=None)


class LgrecoTable:
    def __init__(self, name, title, task, sections):
        self.name, self.title, self.task, self.sections = name, title, task, sections

    def families(self, section, results):
        return [Family(self.task, section, name, results) for name in section.families]

    def mixed_runs(self, families):
        """Candidates of all families, planned as the best plan of a single family was."""
        best = max((f for f in families if f.best_lgreco()), key=lambda f: f.best_lgreco().ratio, default=None)
        if best is None or any(run.key not in f.results for f in families for run in f.sweep_runs() + f.plan_runs()):
            return None, []
        label = best.best_lgreco().label
        options = next(options for said, options, _ in best.plans() if said == label)
        return best, best.planned(f"mixed, {label}", options, **{"compress.plan.candidates": "mixed"})

    def runs(self, results):
        """Every run that is known by now, in the order in which they should be made."""
        wanted = []
        for section in self.sections:
            families = self.families(section, results)
            for family in families:
                wanted += family.sweep_runs() + family.plan_runs()
            wanted += self.mixed_runs(families)[1]
        return wanted

    def conclusion(self, family):
        """(uniform reference, best L-GreCo, gain) with None for what is not known."""
        chosen, _ = family.reference()
        best = family.best_lgreco()
        return chosen, best, gain(best, chosen) if chosen and best else None

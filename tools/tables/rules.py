"""How figures are compared: means over seeds, the uniform reference, and the gain. No files, no processes."""
import math
from dataclasses import dataclass

HIGHER_IS_BETTER = {"val_bpb": False, "val_accuracy": True}


@dataclass(frozen=True)
class Summary:
    """A setting over its seeds. `deviation` is the sample standard deviation, None below two seeds."""
    label: str
    metric: str
    mean: float
    deviation: float | None
    ratio: float
    seeds: int

    def worse_by(self, other):
        """By how much this one's mean is worse than the other's; negative: better."""
        difference = self.mean - other.mean
        return -difference if HIGHER_IS_BETTER[self.metric] else difference


def summarise(label, records):
    """Summary of the records that are done; None when there is none."""
    done = [record for record in records if record["status"] == "done"]
    if not done:
        return None
    values = [record["value"] for record in done]
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else None
    return Summary(label, done[0]["metric"], mean, deviation, sum(record["ratio_total"] for record in done) / len(done), len(done))


def is_equal(setting, uncompressed):
    """Whether a mean equals the uncompressed one within one standard deviation, or is better. The deviation is that of both settings together (root
    of the mean variance), since three seeds say little about one. Without two seeds of each nothing is known.
    """
    if setting.deviation is None or uncompressed.deviation is None:
        return False
    return setting.worse_by(uncompressed) <= math.sqrt((setting.deviation ** 2 + uncompressed.deviation ** 2) / 2)


def reference(sweep, uncompressed):
    """The uniform reference: of the settings that equal the uncompressed run, the one that sends least; None when there is none."""
    equal = [setting for setting in sweep if is_equal(setting, uncompressed)]
    return max(equal, key=lambda setting: setting.ratio, default=None)


def gain(setting, uniform):
    """How many times less is sent than by the uniform reference."""
    return setting.ratio / uniform.ratio


def frontier(settings):
    """The settings than which none is both better and smaller, from the least compressed to the most."""
    front = []
    for setting in sorted(settings, key=lambda s: (-s.ratio, s.worse_by(settings[0]))):
        if not front or setting.worse_by(front[-1]) < 0:
            front.append(setting)
    return front[::-1]


def distance_to_frontier(setting, settings):
    """By how much it is worse than the best of those that send as little; 0 on the frontier."""
    return max([0.0] + [setting.worse_by(other) for other in settings if other.ratio >= setting.ratio])


def best_within(settings, best, distance):
    """The setting that sends least among those at most `distance` worse than `best`; None when there is none."""
    near = [setting for setting in settings if setting.worse_by(best) <= distance]
    return max(near, key=lambda setting: setting.ratio, default=None)

"""The tables: which settings, on which task."""
import sys
from pathlib import Path

from lgreco import LgrecoTable, Section
from settings import Setting, SettingsTable
from tasks import (BF16, GRADIENT, LLAMA_DEMO, LLAMA_SMALL, RESNET, SIGN, UNCOMPRESSED, feedback, powersgd, quantize, randomk, sparseloco, topk,
                   update)

sys.path.append(str(Path(__file__).resolve().parents[1] / "links"))
from measured import TIERS as MEASURED_OVER_LINKS

RATES = ("4e-3", "2e-3")  # the likeliest first
TARGETS = ((0.03, 25), (0.1, 150), (0.2, 1000))

FAMILIES = {"topk": [(f"top-k {density}", topk(density)) for density in ("50%", "25%", "10%", "5%", "2%", "1%")],
            "powersgd": [(f"rank {rank}", powersgd(rank)) for rank in (32, 16, 8, 4, 2)],
            "quantize": [(f"{bits} bits", quantize(bits)) for bits in (6, 5, 4, 3, 2)]}


def _by_gradient(optim, metric):
    return Section("gradients at every step", {**GRADIENT, **optim, "compress.error_feedback.name": "ef14"},
                   {"compress.plan.every": 20, "compress.plan.samples": 4, "compress.plan.metric": metric}, FAMILIES)


def _by_update(rate):
    return Section("updates of 5 steps", {**update(5), "optim.lr": rate, **feedback("ef14", "95%")},
                   {"compress.plan.every": 100, "compress.plan.samples": 4}, FAMILIES)


# What AdamW makes of a gradient does not depend on its size, so errors are compared with it; SGD steps by the gradient, and updates are steps.
LGRECO_LLAMA = LgrecoTable("lgreco-llama", "L-GreCo and uniform strengths: a Llama of 0.66 M parameters", LLAMA_SMALL,
                           [_by_update("4e-3"), _by_gradient({"optim.lr": "2e-3"}, "relative")])
LGRECO_RESNET = LgrecoTable("lgreco-resnet", "L-GreCo and uniform strengths: a ResNet of 78 k parameters", RESNET,
                            [_by_gradient({"optim.name": "sgd", "optim.lr": "0.2", "optim.weight_decay": "5e-4", "compress.min_elems": 0}, "squared"),
                             _by_update("1e-2")])


def _schedules():
    return [("gradient", GRADIENT)] + [(f"update of {every}", update(every)) for every in (1, 2, 3, 5, 10)]


EF14, EF14_95 = feedback("ef14"), feedback("ef14", "95%")
POLICIES = {"ef14": EF14, "ef14 decay 95%": EF14_95, "none": feedback("none"), "ef21": feedback("ef21"), "ef21_sgdm": feedback("ef21_sgdm"),
            "econtrol": feedback("econtrol")}


def _uncompressed():
    return [Setting(f"uncompressed, {when}", {**schedule, **UNCOMPRESSED}) for when, schedule in _schedules()]


def _grid(codecs, schedules):
    """Under every policy that takes them."""
    return [_pick(codec, schedule, policy) for policy in POLICIES for codec in codecs for schedule in schedules
            if policy != "econtrol" or codec in CONTRACTIONS]


def _pick(codec, schedule, policy="ef14 decay 95%"):
    return Setting(f"{codec}, {policy}, {schedule}", {**dict(_schedules())[schedule], **CODECS[codec], **POLICIES[policy]})


CODECS = {"4 bits": quantize(4), "2 bits": quantize(2), "sign": SIGN, "bf16": BF16, "top-k 6.25%": topk("6.25%"), "top-k 1%": topk("1%"),
          "4 bits rANS": {**quantize(4), "compress.quantize.entropy": "rans"}, "sparseloco 64, all": {**sparseloco(64), "compress.min_elems": 0},
          **{f"sparseloco {k}": sparseloco(k) for k in (1024, 512, 256, 128, 64, 32)},
          "PowerSGD rank 4": powersgd(4), "PowerSGD rank 1": powersgd(1), "random 5%": randomk("5%")}
CONTRACTIONS = {"sign", "bf16", "top-k 6.25%", "top-k 1%"}  # guaranteed ones, from which `econtrol` has its eta


def _promising():
    """What the targets hang on: the best of their size that other runs have shown."""
    settings = [_uncompressed()[0], _pick("4 bits", "update of 5", "ef14"), _pick("sign", "update of 5"), _pick("sparseloco 64, all", "update of 5")]
    return settings + [_pick("sparseloco 512", "update of 5"), _pick("4 bits rANS", "update of 3", "ef14")]


def _likely():
    settings = _uncompressed()
    for codec, schedules in (("sparseloco 1024", (1, 2, 5)), ("sparseloco 512", (2, 5)), ("sparseloco 256", (2, 5, 10)), ("sparseloco 128", (5, 10)),
                             ("sparseloco 64", (5, 10)), ("sparseloco 32", (10,)), ("top-k 6.25%", (5,)), ("sign", (1, 2, 10))):
        settings += [_pick(codec, f"update of {every}") for every in schedules]
    for schedule in ("gradient", "update of 2", "update of 10"):
        settings.append(_pick("4 bits", schedule, "ef14"))
    return settings + [_pick("PowerSGD rank 4", "gradient", "ef14"), _pick("PowerSGD rank 4", "update of 5", "ef14")]


def _tiers():
    """What the targets hang on; what was good or may be; one strength of each codec under every policy, as gradients and as updates; then all of
    them under every schedule."""
    one_of_each = _grid(("4 bits", "sign", "bf16", "top-k 6.25%", "sparseloco 512", "PowerSGD rank 4", "random 5%"), ("gradient", "update of 5"))
    tiers, seen = [], set()
    for settings in (_promising(), _likely(), one_of_each, _grid(CODECS, dict(_schedules()))):
        tiers.append([setting for setting in settings if setting.label not in seen])
        seen |= {setting.label for setting in settings}
    return tiers


def _peers():
    """PyTorch's DistributedDataParallel with its hooks. Compression by PowerSGD begins at a step, which must be above 1: at once, or after a tenth."""
    hook = [Setting("PyTorch DDP, no hook", {"hook": "none"}, "peer")]
    hook += [Setting(f"PyTorch PowerSGD rank {rank} from step 2", {"hook": "powersgd", "rank": rank, "start": 2}, "peer") for rank in (4, 1, 2, 8)]
    hook += [Setting(f"PyTorch PowerSGD rank {rank} from step 30", {"hook": "powersgd", "rank": rank, "start": 30}, "peer") for rank in (4, 1, 2, 8)]
    return hook + [Setting(f"PyTorch {kind} hook", {"hook": kind}, "peer") for kind in ("bf16", "fp16")]


PEERS_SMALL = SettingsTable("peers-small", "PyTorch's hooks, small model", LLAMA_SMALL, [_peers()], RATES)
PEERS = SettingsTable("peers", "PyTorch's hooks, the demo's model", LLAMA_DEMO, [_peers()], RATES)
TABLES = {table.name: table for table in (
    LGRECO_LLAMA, LGRECO_RESNET,
    SettingsTable("policies-small", "Codecs and error feedback: a Llama of 0.66 M parameters", LLAMA_SMALL, _tiers(), RATES, TARGETS, PEERS_SMALL),
    SettingsTable("frontier", "The demo's model: val_bpb against bytes", LLAMA_DEMO, _tiers(), RATES[::-1], TARGETS, PEERS),
)}
TABLES["links"] = SettingsTable("links", "What docs/links.md measures the speed of: val_bpb of the demo's model", LLAMA_DEMO,
                                [[Setting(one.label, one.options) for one in tier if not one.hook] for tier in MEASURED_OVER_LINKS], RATES[1:], (), PEERS)
PEER_TABLES = {table.name: table for table in (PEERS_SMALL, PEERS)}

"""The tables: which settings, on which task."""
from lgreco import LgrecoTable, Section
from settings import Setting, SettingsTable
from tasks import (BF16, GRADIENT, LLAMA_DEMO, LLAMA_SMALL, RESNET, SIGN, UNCOMPRESSED, feedback, powersgd, quantize, randomk, sparseloco, topk,
                   update)

RATES = ("2e-3", "4e-3")
TARGETS = ((0.03, 25), (0.1, 150), (0.2, 1000))


def _by_gradient(rate):
    families = {"quantize": [(f"{bits} bits", quantize(bits)) for bits in (6, 4, 3, 2)],
                "powersgd": [(f"rank {rank}", powersgd(rank)) for rank in (32, 16, 8, 4, 2)],
                "topk": [(f"top-k {density}", topk(density)) for density in ("50%", "25%", "10%", "5%", "2%")]}
    return Section("gradients at every step", {**GRADIENT, "optim.lr": rate, "compress.error_feedback.name": "ef14"},
                   {"compress.plan.every": 20, "compress.plan.samples": 4}, families)


def _by_update(rate):
    families = {"topk": [(f"top-k {density}", topk(density)) for density in ("25%", "10%", "5%", "2%", "1%")],
                "powersgd": [(f"rank {rank}", powersgd(rank)) for rank in (32, 16, 8, 4, 2)],
                "quantize": [(f"{bits} bits", quantize(bits)) for bits in (6, 4, 3, 2)]}
    return Section("updates of 5 steps", {**update(5), "optim.lr": rate, **feedback("ef14", "95%")}, {"compress.plan.every": 5, "compress.plan.samples": 2},
                   families)


def _lgreco(name, title, task, gradient_rate, update_rate):
    return LgrecoTable(name, title, task, [_by_gradient(gradient_rate), _by_update(update_rate)])


def _schedules():
    return [("gradient", GRADIENT)] + [(f"update of {every}", update(every)) for every in (1, 2, 5, 10)]


EF14, EF14_95 = feedback("ef14"), feedback("ef14", "95%")
POLICIES = {"ef14": EF14, "ef14 decay 95%": EF14_95, "none": feedback("none"), "ef21": feedback("ef21"), "ef21_sgdm": feedback("ef21_sgdm"),
            "econtrol": feedback("econtrol")}


def _uncompressed():
    return [Setting(f"uncompressed, {when}", {**schedule, **UNCOMPRESSED}) for when, schedule in _schedules()]


def _grid(codecs, policies):
    return [Setting(f"{codec}, {policy}, {when}", {**schedule, **codecs[codec], **POLICIES[policy]})
            for policy in policies for codec in codecs for when, schedule in _schedules()]


def _policies_small():
    codecs = {"top-k 1%": topk("1%"), "sparseloco 64": sparseloco(64), "4 bits": quantize(4), "sign": SIGN, "PowerSGD rank 4": powersgd(4),
              "random 5%": randomk("5%"), "top-k 6.25%": topk("6.25%")}
    return _uncompressed() + _grid(codecs, POLICIES)


def _pick(label, codec, schedule, policy=EF14_95):
    return Setting(label, {**schedule, **codec, **policy})


def _frontier_first():
    """What the targets hang on, most promising first; the rest of the grid follows."""
    ten, five, two = update(10), update(5), update(2)
    return [_uncompressed()[0],
            _pick("top-k 6.25%, ef14 decay 95%, update of 5", topk("6.25%"), five),
            _pick("sparseloco 64, ef14 decay 95%, update of 10", sparseloco(64), ten),
            _pick("sparseloco 64, ef14 decay 95%, update of 5", sparseloco(64), five),
            _pick("top-k 6.25%, ef14 decay 95%, update of 2", topk("6.25%"), two),
            _pick("4 bits, ef14, update of 5", quantize(4), five, EF14),
            _pick("2 bits, ef14 decay 95%, update of 10", quantize(2), ten),
            _pick("4 bits, ef14, gradient", quantize(4), GRADIENT, EF14),
            _pick("sign, ef14 decay 95%, update of 5", SIGN, five),
            _pick("top-k 1%, ef14 decay 95%, update of 5", topk("1%"), five),
            _pick("PowerSGD rank 4, ef14, gradient", powersgd(4), GRADIENT, EF14)]


def _frontier():
    codecs = {"top-k 6.25%": topk("6.25%"), "sparseloco 64": sparseloco(64), "top-k 1%": topk("1%"), "4 bits": quantize(4), "2 bits": quantize(2),
              "sign": SIGN, "PowerSGD rank 4": powersgd(4), "sparseloco 16": sparseloco(16), "PowerSGD rank 1": powersgd(1), "random 5%": randomk("5%"),
              "bf16": BF16}
    first = _frontier_first()
    rest = _uncompressed() + _grid(codecs, ["ef14 decay 95%", "ef14", "ef21", "ef21_sgdm", "econtrol"])
    seen = {setting.label for setting in first}
    return first + [setting for setting in rest if setting.label not in seen]


def _peers():
    """PyTorch's DistributedDataParallel with its hooks. Compression by PowerSGD begins at a step, which must be above 1: at once, or after a tenth."""
    hook = [Setting("PyTorch DDP, no hook", {"hook": "none"}, "peer")]
    hook += [Setting(f"PyTorch PowerSGD rank {rank} from step 2", {"hook": "powersgd", "rank": rank, "start": 2}, "peer") for rank in (4, 1, 2, 8)]
    hook += [Setting(f"PyTorch PowerSGD rank {rank} from step 30", {"hook": "powersgd", "rank": rank, "start": 30}, "peer") for rank in (4, 1, 2, 8)]
    return hook + [Setting(f"PyTorch {kind} hook", {"hook": kind}, "peer") for kind in ("bf16", "fp16")]


PEERS_SMALL = SettingsTable("peers-small", "PyTorch's hooks, small model", LLAMA_SMALL, _peers(), RATES)
PEERS = SettingsTable("peers", "PyTorch's hooks, the demo's model", LLAMA_DEMO, _peers(), RATES)
TABLES = {table.name: table for table in (
    _lgreco("lgreco-llama", "L-GreCo and uniform strengths: a Llama of 0.66 M parameters", LLAMA_SMALL, "2e-3", "4e-3"),
    _lgreco("lgreco-resnet", "L-GreCo and uniform strengths: a ResNet of 78 k parameters", RESNET, "3e-3", "1e-2"),
    SettingsTable("policies-small", "Codecs and error feedback: a Llama of 0.66 M parameters", LLAMA_SMALL, _policies_small(), RATES, TARGETS, PEERS_SMALL),
    SettingsTable("frontier", "The demo's model: val_bpb against bytes", LLAMA_DEMO, _frontier(), RATES, TARGETS, PEERS),
)}
PEER_TABLES = {table.name: table for table in (PEERS_SMALL, PEERS)}

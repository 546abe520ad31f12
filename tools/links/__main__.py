"""How much of its speed training keeps when ranks are joined by slow links: pairs of runs over netlab, with the exchange and without.

usage: python3 tools/links --netlab PROGRAM --program PROGRAM [--peers PYTHON] [--only TEXT]... [--pairs 9] [SECONDS]

A turn trains the same model on the same emulated hosts without the exchange and with each setting, every run first in turn; each setting and the run
without make a pair, a line of docs/links.jsonl. Pairs are made, fewest first, for SECONDS (3600); then docs/links.md is written from all lines. --only
keeps what has TEXT in "link: setting", as in docs/links.md ("2 hosts, 200Mbit: sign of updates of 10"; a setting in fp32 brings that in bf16 along).
PyTorch's own settings are measured with --peers, a Python that has it. Running it again goes on where it stopped. It needs root, as netlab does.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tables"))  # which have the losses
import records
import runner
from experiments import PEERS, TABLES
from measured import LINKS, MODEL, PRECISION, SETTINGS, off_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LONG_S = 2  # on the wire: such steps need no many to be averaged
TOKENS_A_STEP = 1024  # of each rank
DEADLINE_S = 900  # of one run


@dataclass(frozen=True)
class Length:
    """Of a run, in steps: the first ones warm up, the last one ends all rounds."""
    steps: int = 13
    skipped: int = 2


def length_of(link, setting):
    return Length(9) if link.seconds_for(setting.megabytes) > LONG_S else Length()


def words_of(options):
    return [word for name, value in options.items() for word in ("--set", f"{name}={value}")]


class Lab:
    def __init__(self, netlab, program, peers):
        self.netlab, self.program, self.peers = netlab, program, peers

    def can_run(self, setting):
        return not setting.hook or self.peers

    def step_s(self, link, setting, length, folder):
        """Mean seconds of a step of rank 0, after the first and before the last."""
        return self.peer_step_s(link, setting.hook, length, folder) if setting.hook else self.own_step_s(link, setting.options, length, folder)

    def run(self, link, words):
        """Runs the words as one process on each host."""
        shape = ["--rate", link.rate] if link.rate else []
        command = [self.netlab, "--hosts", str(link.hosts), *shape, "--timeout", f"{DEADLINE_S}s", "--", "mpirun", "-n", str(link.hosts), *words]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=DEADLINE_S + 60)
        if done.returncode != 0:
            raise SystemExit(f"[links] {link.label} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")

    def peer_step_s(self, link, hook, length, folder):
        out = Path(folder) / "peer.json"
        self.run(link, [self.peers, "-B", "tools/tables/peer/time_steps.py", "--options", json.dumps(MODEL), "--hook", hook, "--steps", str(length.steps),
                        "--skipped", str(length.skipped), "--out", str(out)])
        return json.loads(out.read_text(encoding="utf-8"))["step_s"]

    def own_step_s(self, link, options, length, folder):
        settings = {**MODEL, **options, "data.global_batch": 4 * link.hosts, "run.steps": length.steps, "run.dir": folder, "run.name": "run",
                    "run.device": "cpu", "checkpoint.every": 0, "eval.every": 0, "eval.batches": link.hosts, "log.every": 1, "log.layers_every": 0,
                    "comm.timeout": "10m"}
        self.run(link, [self.program, "train", "-c", "configs/quickstart.yaml", "--overwrite", *words_of(settings)])
        records = [json.loads(line) for line in (Path(folder) / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        steady = [r["step_s"] for r in records if r["kind"] == "train" and length.skipped < r["step"] < length.steps]
        return statistics.fmean(steady)


def load(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def cells(only):
    for setting in SETTINGS:
        for link in LINKS:
            if not only or any(text in f"{link.label}: {setting.label}" for text in only):
                yield link, setting


def this_cpu():
    """Model and widest vectors: pairs of different ones are not of one table."""
    facts = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", "").split()
    return f"{facts.get('model name', 'unknown')}, {next((name for name in ('avx512f', 'avx2') if name in flags), 'no AVX2')}"


def pairs_of(lines, cpu, link, setting):
    return [line for line in lines if (line["cpu"], line["link"], line["setting"]) == (cpu, link.label, setting.label)]


def groups_of(lab, only):
    """Settings that share the run without the exchange: link, that run, its length -> settings."""
    groups = {}
    for link, setting in cells(only):
        if lab.can_run(setting):
            groups.setdefault((link, off_of(setting), length_of(link, setting)), []).append(setting)
    return groups


def measure(lab, link, length, runs, turn):
    """Seconds of a step of each run."""
    first = turn % len(runs)
    with tempfile.TemporaryDirectory() as folder:
        return {run.label: round(lab.step_s(link, run, length, folder), 5) for run in runs[first:] + runs[:first]}


def fill(lab, path, only, wanted, deadline):
    lines, last_s, groups, cpu = load(path), 0, groups_of(lab, only), this_cpu()
    while True:
        rounds = []
        for (link, off, length), settings in groups.items():
            counts = {setting: len(pairs_of(lines, cpu, link, setting)) for setting in settings}
            fewest = min(counts.values())
            if fewest < wanted:
                rounds.append((fewest, link, length, off, [setting for setting in settings if counts[setting] == fewest]))
        if not rounds:
            print(f"[links] {sum(map(len, groups.values()))} of what was asked for have {wanted} pairs or more on {cpu}; --pairs asks for more", flush=True)
            return
        if time.monotonic() + last_s > deadline:
            print("[links] the time is over; the same command goes on", flush=True)
            return
        turn, link, length, off, settings = min(rounds, key=lambda one: one[0])
        began = time.monotonic()
        step_s = measure(lab, link, length, [off, *settings], turn)
        last_s = time.monotonic() - began
        measured = [{"cpu": cpu, "link": link.label, "setting": s.label, "on_s": step_s[s.label], "off_s": step_s[off.label]} for s in settings]
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in measured)
        lines += measured
        kept = ", ".join(f"{line['setting']}: keeps {line['off_s'] / line['on_s']:.1%}" for line in measured)
        print(f"[links] {link.label}: {kept} ({last_s:.0f} s)", flush=True)


def tokens_of(pairs):
    """A second and rank."""
    return statistics.median(TOKENS_A_STEP / pair["on_s"] for pair in pairs)


def summary(link, setting, pairs):
    """A row's figures, medians but for the range: the share of the speed that is kept; its range, of one pair none, from ten on without the extreme
    tenths; a step over the longer of one without the exchange and its bytes on the wire, and the last bucket there (not of PyTorch's); tokens a
    second of a rank; pairs."""
    kept = sorted(pair["off_s"] / pair["on_s"] for pair in pairs)
    cut = len(kept) // 10
    wire_s, last_s = link.seconds_for(setting.megabytes), link.seconds_for(setting.last_megabytes)
    of_bound = "" if setting.hook else f"{statistics.median(pair['on_s'] / (max(pair['off_s'], wire_s) + last_s) for pair in pairs):.2f}"
    spread = f"{kept[cut]:.1%} to {kept[-1 - cut]:.1%}" if len(kept) > 1 else ""
    return f"{statistics.median(kept):.1%} | {spread} | {of_bound} | {tokens_of(pairs):,.0f} | {len(pairs)}"


def losses():
    """val_bpb of the demo's model under each setting that was trained: the mean over seeds at the learning rate that was best for the first one."""
    found = {}
    for table in (TABLES["links"], PEERS):
        results = records.load(runner.DOCS / f"{table.name}.jsonl")
        best = {setting.label: table.best(setting, results)[0] for setting in table.settings}
        found.update((label, summary.mean) for label, summary in best.items() if summary)
    return {setting: found[label] for setting in SETTINGS if (label := setting.loss_of or setting.label) in found}


def against_peers(measured, val_bpb):
    """For each peer on each link, all in fp32, the fastest of our settings whose loss is no worse: in fp32, and in any precision. `measured`:
    (link, setting) -> pairs; `val_bpb`: setting -> loss."""
    rows = ["| link | PyTorch | val_bpb | Thinwire | val_bpb | tokens/s, times PyTorch's |", "|---|---|---|---|---|---|"]
    for (link, peer), pairs in measured.items():
        if not peer.hook or peer not in val_bpb:
            continue
        fit = {s: tokens_of(p) for (at, s), p in measured.items() if at == link and not s.hook and s in val_bpb and val_bpb[s] <= val_bpb[peer]}
        in_fp32 = {s: tokens for s, tokens in fit.items() if PRECISION not in s.options}
        for best in dict.fromkeys(max(some, key=some.get) for some in (in_fp32, fit) if some):
            rows.append(f"| {link.label} | {peer.label} | {val_bpb[peer]:.3f} | {best.label} | {val_bpb[best]:.3f} | {fit[best] / tokens_of(pairs):.2f} |")
    return "\n".join(rows)


def write_page(lines):
    page, val_bpb = DOCS / "links.md", losses()
    parts = [page.read_text(encoding="utf-8").split("\n## Pairs on ")[0].rstrip() if page.exists() else "# Slow links"]
    for cpu in dict.fromkeys(line["cpu"] for line in lines):
        cells_of_cpu = {cell: pairs for cell in cells(None) if (pairs := pairs_of(lines, cpu, *cell))}
        measured = dict(sorted(cells_of_cpu.items(), key=lambda item: LINKS.index(item[0][0])))
        rows = ["| link | setting | val_bpb | speed kept, median | range | of its bound | tokens/s of a rank | pairs |", "|---|---|---|---|---|---|---|---|"]
        for (link, setting), pairs in measured.items():
            loss = f"{val_bpb[setting]:.3f}" if setting in val_bpb else "not yet"
            rows.append(f"| {link.label} | {setting.label} | {loss} | {summary(link, setting, pairs)} |")
        parts.append(f"## Pairs on {cpu}\n\n" + "\n".join(rows))
        parts.append(against_peers(measured, val_bpb))
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="tools/links", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("netlab", "program"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--only", action="append", metavar="TEXT")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("seconds", nargs="?", type=int, default=3600)
    options = parser.parse_args()
    if not any(cells(options.only)):
        parser.error(f"no 'link: setting' has {' or '.join(map(repr, options.only))} in it; {DOCS / 'links.md'} has them all")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    path = DOCS / "links.jsonl"
    try:
        lab = Lab(os.path.abspath(options.netlab), os.path.abspath(options.program), options.peers)
        fill(lab, path, options.only, options.pairs, time.monotonic() + options.seconds)
    finally:
        write_page(load(path))


if __name__ == "__main__":
    main()

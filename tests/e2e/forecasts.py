"""What `thinwire estimate` says of a configuration beside what a run of it takes: peak memory and bytes. Shared by estimate.py and
tools/forecasts."""
import dataclasses
import json
import os
import pathlib
import subprocess

import thinwire

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
TOLERANCE = 0.1
RANKS = 2
TIMEOUT_S = 900


@dataclasses.dataclass
class Comparison:
    config: str
    memory: tuple  # of a process: estimated, measured; bytes
    wire: tuple    # of rank 0 in the run, likewise
    round: tuple   # in its first compressed round
    has_plan: bool
    checkpoint: tuple  # the last one: of a chain what follows its first

    def misses(self):
        """What is off by more than the tolerance. A plan may send less than what is configured, never more."""
        off = {"memory": error(self.memory), "round": error(self.round), "wire": error(self.wire)}
        if self.has_plan and off["wire"] > 0:
            off["wire"] = 0.0
        return {what: by for what, by in off.items() if abs(by) > TOLERANCE}


def error(pair):
    estimated, measured = pair
    return estimated / measured - 1 if measured else (0.0 if estimated == 0 else float("inf"))


class Trial:
    """In a folder of its own, from which the relative paths of the examples lead somewhere."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for name in ("README.md", "docs"):
            (self.folder / name).symlink_to(ROOT / name)
        self.environment = {**os.environ, **thinwire.mpi_environment(self.folder)}

    def call(self, *words):
        done = subprocess.run([thinwire.program, *map(str, words)], cwd=self.folder, env=self.environment, capture_output=True, text=True,
                              timeout=TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise AssertionError(f"thinwire {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def prepare(self):
        """What two of the examples start from."""
        self.call("prepare-data", "README.md", "docs/*.md", "--tokenizer", "byte", "--out", "tokens")
        self.call("train", "-c", ROOT / "configs" / "quickstart.yaml", "--set", "run.steps=1", "--set", "eval.batches=1", "--set", "run.name=first")
        self.call("export", "runs/first", "--out", "pretrained")

    def estimate(self, config, *words, settings=()):
        sets = [word for setting in settings for word in ("--set", setting)]
        return json.loads(self.call("estimate", "-c", config, "--step-time", "1s", "--json", *words, *sets))

    def compare(self, config):
        config = pathlib.Path(config)
        as_threads, over_grpc = config.stem == "own_text", config.stem == "grpc"
        where = [] if as_threads else ["--ranks", RANKS, "--ranks-per-host", RANKS, "--transport", "grpc" if over_grpc else "mpi"]
        every = self.estimate(config, *where)["wire"]["steps_per_round"]
        saves = every * -(-10 // every)
        settings = [f"run.steps={max(22, 2 * every + 2)}", f"checkpoint.every={saves}", "eval.batches=4", "log.every=1", f"run.name={config.stem}",
                    "run.device=cpu"]
        estimated = self.estimate(config, *where, settings=settings)
        peak = self.run(config, settings, as_threads, over_grpc)
        run = thinwire.Run(self.folder / "runs" / config.stem)
        sent = [record["wire_bytes_tx"] for record in run.records("train")]
        wire, saved = estimated["wire"], estimated["checkpoint"]
        return Comparison(config.stem, (estimated["memory"]["process_bytes"], peak), (wire["run_bytes"], sum(sent)),
                          (wire["round_bytes"], first_round(sent, wire)), "plan" in wire["assumption"],
                          (saved.get("link_bytes", saved["bytes"]), size_of(run.checkpoint(run.steps_saved()[-1]))))

    def run(self, config, settings, as_threads, over_grpc):
        """The most memory that a process of it had, in bytes."""
        launcher = [] if as_threads else [thinwire.program, "launch", "-n", RANKS, "--"] if over_grpc else ["mpirun", "-n", RANKS, "--bind-to", "none"]
        words = ["train", "-c", config, *[word for setting in settings for word in ("--set", setting)]]
        command = [*launcher, *words] if over_grpc else [*launcher, thinwire.program, *words]
        with open(self.folder / "said", "w+", encoding="utf-8") as said:
            process = subprocess.Popen([str(word) for word in command], cwd=self.folder, env=self.environment, stdout=said, stderr=said)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            if process.returncode != 0:
                raise AssertionError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{thinwire.shortened(said.read())}")
        return usage.ru_maxrss * 1024


def first_round(sent, wire):
    """Bytes of the first round with codecs: of its last step, or of a cycle of steps where every fragment has its own."""
    every, skipped = wire["steps_per_round"], wire["dense_rounds"] * wire["steps_per_round"]
    return sum(sent[skipped + every:skipped + 2 * every])


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


HEADER = f"{'configuration':24}{'memory':>10}{'measured':>10}{'off':>8}{'round':>12}{'measured':>12}{'off':>8}{'run':>12}{'measured':>12}{'off':>8}{'saved':>10}{'measured':>10}"


def row(c):
    mega = 1e6
    return (f"{c.config:24}{c.memory[0] / mega:9.1f}M{c.memory[1] / mega:9.1f}M{error(c.memory):+8.1%}{c.round[0]:12,.0f}{c.round[1]:12,.0f}{error(c.round):+8.1%}"
            f"{c.wire[0]:12,.0f}{c.wire[1]:12,.0f}{error(c.wire):+8.1%}{c.checkpoint[0] / mega:9.1f}M{c.checkpoint[1] / mega:9.1f}M")

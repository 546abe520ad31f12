"""What the end-to-end tests share: the program under test, small runs of it, and what they leave on disk.

A test file is run as `python3 FILE path/to/thinwire [unittest arguments]`. Every run is a session of its own, so that a test can see,
and end, all processes that it started and no others.
"""
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

TIMEOUT_S = 120  # of one run; an idle machine needs two seconds
SKIPPED = 77     # exit code of a file whose tests were all skipped
STOPPED = 75     # the program's, after a signal and a good checkpoint

SMALL_CONFIG = """\
run: {steps: 20, verify_every: 5, device: cpu}
model: {type: llama, d_model: 32, layers: 2, heads: 2, context: 32}
data: {source: text, files: [words.txt], global_batch: 4, micro_batch: 2}
optim: {lr: 2.0e-3, warmup: 10%}
exchange: {schedule: local_steps, every: 5}
compress: {codec: topk, topk: {density: 6.25%, chunk: 1024}, error_feedback: {name: ef14, decay: 0.95}}
checkpoint: {every: 10}
eval: {every: 0, batches: 4}
log: {every: 1}
"""
SMALL_CONFIG_PARAMETERS = 256 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 96 + 2 * 32) + 32  # embedding, 2 x (attention, SwiGLU, norms), norm
UNCOMPRESSED = ("exchange.schedule=every_step", "compress.codec=none")

program = None  # set by main()


def main():
    global program
    program = pathlib.Path(sys.argv.pop(1)).resolve()
    result = unittest.main(module="__main__", exit=False, verbosity=2).result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.skipped and len(result.skipped) == result.testsRun:
        print(result.skipped[0][1], flush=True)
        sys.exit(SKIPPED)


@dataclasses.dataclass
class Done:
    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self):
        return self.out + self.err


def mpi_environment(folder):
    """mpirun as root, with more ranks than cores, in containers that forbid ptrace; what it leaves when it is killed lies in `folder`."""
    return {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none", "OMP_NUM_THREADS": "1",
            "OMPI_MCA_btl_vader_backing_directory": str(folder), "TMPDIR": str(folder)}


def session_members(session):
    """Living processes of a session: {pid: name}."""
    members = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            head, tail = entry.read_text(errors="replace").rsplit(")", 1)
        except OSError:
            continue  # it just ended
        state, _parent, _group, its_session = tail.split()[:4]
        if int(its_session) == session and state not in "ZX":
            members[int(head.split()[0])] = head.split("(", 1)[1]
    return members


class Job:
    """A command that runs while the test goes on."""

    def __init__(self, command, folder, environment=None, stdin=None, preexec=None):
        self.command = [str(word) for word in command]
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._stdin = tempfile.TemporaryFile()
        self._stdin.write((stdin or "").encode())
        self._stdin.seek(0)
        self._began = time.monotonic()
        self._process = subprocess.Popen(self.command, cwd=folder, env={**os.environ, **mpi_environment(folder), **(environment or {})},
                                         stdin=self._stdin, stdout=self._out, stderr=self._err, start_new_session=True,
                                         preexec_fn=lambda: self._prepare(preexec))
        self.pid = self._process.pid

    @staticmethod
    def _prepare(preexec):
        for number in (signal.SIGHUP, signal.SIGINT):  # which nohup, or a shell's &, has ignored for the tests
            signal.signal(number, signal.SIG_DFL)
        if preexec:
            preexec()

    def members(self):
        return session_members(self.pid)

    def ranks(self):
        """Pids of the processes that train, in the order in which they were started."""
        return sorted(pid for pid, name in self.members().items() if name == program.name[:15])

    def said(self):
        """What it has printed so far."""
        return self._read(self._out) + self._read(self._err)

    def ended(self):
        return self._process.poll() is not None

    def signal(self, number):
        self._process.send_signal(number)

    def end(self):
        for _ in range(50):
            left = self.members()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not left:
                break
            time.sleep(0.02)
        self._process.wait()
        for file in (self._out, self._err, self._stdin):
            file.close()

    def wait(self, timeout_s=TIMEOUT_S):
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s: {' '.join(self.command)}\n{shortened(self.said())}") from None
        return Done(code, self._read(self._out), self._read(self._err), time.monotonic() - self._began)

    @staticmethod
    def _read(file):
        file.seek(0)
        return file.read().decode(errors="replace")


class Run:
    """A run directory."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def records(self, kind=None):
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        records = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                pass  # the program is just writing it, or was killed there
        return [record for record in records if kind in (None, record["kind"])]

    def facts(self):
        return json.loads((self.path / "run.json").read_text(encoding="utf-8"))

    def losses(self):
        return {record["step"]: record["loss"] for record in self.records("train")}  # of a step trained twice: the second

    def last_step(self):
        return max(self.losses(), default=0)

    def checkpoint(self, step):
        return self.path / "checkpoints" / f"step-{step:08}"

    def steps_saved(self):
        return sorted(int(path.name[5:]) for path in (self.path / "checkpoints").glob("step-*"))

    def back_to(self, step):
        """Its checkpoint of that step, the newest now: later ones are deleted."""
        for later in self.steps_saved():
            if later > step:
                shutil.rmtree(self.checkpoint(later))
        return self.checkpoint(step)

    def manifest(self, step):
        return json.loads((self.checkpoint(step) / "manifest.json").read_text(encoding="utf-8"))

    def state(self, step):
        """{(file, tensor): hash of its type, shape and bytes}. Byte counters are left out: a resumed run has sent a little more."""
        state = {}
        for path in self.checkpoint(step).glob("*.safetensors"):
            for name, content in read_safetensors(path).items():
                if not name.startswith("metrics/"):
                    state[path.name, name] = content
        return state


def read_safetensors(path):
    data = path.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", data)
    body = memoryview(data)[8 + header_bytes:]
    content = {}
    for name, entry in json.loads(data[8:8 + header_bytes]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            content[name] = f"{entry['dtype']} {entry['shape']} {hashlib.sha256(body[begin:end]).hexdigest()}"
    return content


def shortened(text, most=3000):
    return text if len(text) <= most else text[:most // 2] + "\n[...]\n" + text[-most // 2:]


def english_like(num_words=20000):
    draw = random.Random(1)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 8))) for _ in range(300)]
    return " ".join(draw.choices(words, k=num_words))


class Case(unittest.TestCase):
    """A test in a folder of its own, with words to train on and small.yaml."""

    config = SMALL_CONFIG
    maxDiff = 2000

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="thinwire-e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "words.txt").write_text(english_like(), encoding="ascii")
        (self.folder / "small.yaml").write_text(self.config, encoding="ascii")

    def start(self, *command, ranks=None, environment=None, stdin=None, preexec=None):
        """`ranks`: under mpirun with so many."""
        launcher = ["mpirun", "-n", ranks, "--bind-to", "none"] if ranks else []
        job = Job([*launcher, *command], self.folder, environment, stdin, preexec)
        self.addCleanup(job.end)
        return job

    def thinwire(self, *words, code=0, **how):
        done = self.start(program, *words, **how).wait()
        self.assertEqual(done.code, code, f"thinwire {' '.join(map(str, words))}\n{shortened(done.text)}")
        return done

    @staticmethod
    def train_words(settings, name="run", options=(), config="small.yaml"):
        return ["train", "-c", config, *[word for setting in (f"run.name={name}", *settings) for word in ("--set", setting)], *options]

    def train(self, *settings, name="run", options=(), config="small.yaml", **how):
        """`settings`: key=value. Returns what the program said; `how` as for start(), and `code`."""
        return self.thinwire(*self.train_words(settings, name, options, config), **how)

    def run_of(self, name="run"):
        return Run(self.folder / "runs" / name)

    def trained(self, *settings, name="run", **how):
        self.train(*settings, name=name, **how)
        return self.run_of(name)

    def refused(self, code, *words, settings=(), **how):
        """The run ends with `code` and says all of `words`."""
        done = self.train(*settings, code=code, **how)
        self.assert_says(done, *words)
        return done

    def assert_says(self, done, *words):
        for word in words:
            self.assertTrue(word in done.text, f"'{word}' is not in:\n{shortened(done.text)}")

    def assert_nothing_remains(self, job, within_s=5):
        deadline = time.monotonic() + within_s
        while job.members() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(job.members(), {})

    def comes(self, moment, job, timeout_s=TIMEOUT_S):
        """True as soon as moment() is; False when the run ends before. Polls fast: moments are milliseconds long."""
        deadline = time.monotonic() + timeout_s
        while not moment():
            if job.ended():
                return False
            self.assertLess(time.monotonic(), deadline, "the moment never came")
            time.sleep(0.001)
        return True

    def wait_until(self, moment, job):
        if not self.comes(moment, job):
            self.fail(f"the run ended before the moment came:\n{shortened(job.wait().text)}")


def find_peers():
    """The Python that ./run peers installs with others' libraries, or the one that THINWIRE_PEERS_PYTHON names; else what runs this."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "thinwire"
    installed = [str(path.parent / "bin" / "python") for path in sorted(cache.glob("peers-torch-*/.complete"))]
    return [os.environ.get("THINWIRE_PEERS_PYTHON"), *installed, sys.executable]


class PeerCase(Case):
    """A test that holds ours against others' libraries; skipped where no Python here has them."""

    modules = ()  # to import
    python = None

    @classmethod
    def setUpClass(cls):
        for candidate in find_peers():
            if candidate and subprocess.run([candidate, "-c", f"import {', '.join(cls.modules)}"], capture_output=True, check=False).returncode == 0:
                cls.python = candidate
                return
        raise unittest.SkipTest(f"no Python here has {', '.join(cls.modules)}: ./run peers installs one, or name yours by THINWIRE_PEERS_PYTHON")

    def peer(self, script, *words):
        """What the script, run with these arguments in the test's folder, prints."""
        done = subprocess.run([self.python, "-c", script, *map(str, words)], cwd=self.folder, capture_output=True, check=False, text=True,
                              env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

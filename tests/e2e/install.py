"""What `cmake --install` leaves: a program that runs from there, and a package that a project elsewhere builds against.

The prefix lies in the build tree, always at the same place, so that a compiler cache helps; nothing in it may lead back to either tree."""
import json
import pathlib
import re
import shutil
import subprocess

import thinwire

ROOT = pathlib.Path(__file__).resolve().parents[2]
USAGE = 2


def run(*command, **how):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=550, **how)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{thinwire.shortened(done.stdout + done.stderr)}")
    return done.stdout


class Installed(thinwire.Case):
    prefix = None

    @classmethod
    def setUpClass(cls):
        cls.build = thinwire.program.parent
        cls.work = cls.build / "tests" / "e2e" / "installed"
        cls.prefix = cls.work / "prefix"
        shutil.rmtree(cls.work, ignore_errors=True)
        run("cmake", "--install", cls.build, "--prefix", cls.prefix)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.work, ignore_errors=True)


class Program(Installed):
    def setUp(self):
        super().setUp()
        self.built, thinwire.program = thinwire.program, self.prefix / "bin" / "thinwire"
        self.addCleanup(setattr, thinwire, "program", self.built)

    def test_runs_from_there_with_the_libraries_that_the_build_found(self):
        self.assert_says(self.thinwire("--version", environment={"LD_LIBRARY_PATH": ""}), "thinwire", "LibTorch")
        self.train("parallel.dp=2", "run.steps=5")
        self.assertEqual(self.run_of().last_step(), 5)
        self.assertEqual(self.run_of().facts()["argv"][0], str(thinwire.program))
        self.thinwire("launch", "-n", 2, "--", *self.train_words(["run.steps=5"], name="launched"))
        self.assertEqual(self.run_of("launched").losses(), self.run_of().losses())

    def test_has_the_configurations_and_the_pages_that_messages_name(self):
        configs = sorted((self.prefix / "share/thinwire/configs").rglob("*.yaml"))
        self.assertEqual(len(configs), len(list((ROOT / "configs").rglob("*.yaml"))))
        for config in configs:
            self.thinwire("config", "print", "-c", config)
        for page in ("launch.md", "exit_codes.md", "limitations.md", "install.md"):
            self.assertTrue((self.prefix / "share/thinwire/docs" / page).exists(), page)

    def test_finds_its_cuda_modules_beside_its_libraries(self):
        if not pathlib.Path("/dev/nvidia0").exists():
            self.skipTest("no GPU")
        self.train("run.device=cuda", "run.steps=2")
        self.assertNotIn("cpu", self.run_of().facts()["device"])

    def test_finds_no_library_in_the_build_tree(self):
        paths = re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", run("readelf", "-d", thinwire.program))
        self.assertTrue(paths, "LibTorch lies where no loader looks by itself")
        self.assertNotIn(str(self.build), paths[0].replace(str(self.prefix), ""))


class Package(Installed):
    def test_leads_to_neither_tree(self):
        texts = [*(self.prefix / "lib/cmake").rglob("*.cmake"), *(self.prefix / "include").rglob("*.h")]
        self.assertGreater(len(texts), 200)
        for path in texts:
            text = path.read_text(encoding="utf-8").replace(str(self.prefix), "")
            for tree in (ROOT, self.build):
                self.assertNotIn(f"{tree}/", text, path)

    def test_every_header_finds_those_that_it_includes(self):
        include = self.prefix / "include" / "thinwire"
        for path in include.rglob("*.h"):
            for name in re.findall(r'^#include "(.*)"', path.read_text(encoding="utf-8"), re.MULTILINE):
                self.assertTrue((include / name).exists(), f"{path}: {name}")

    def test_a_project_elsewhere_builds_against_it_and_trains_a_model_of_its_own(self):
        source, tree = self.work / "consumer", self.work / "consumer-build"
        modules = self.prefix / "lib" / "thinwire"
        modules.mkdir(exist_ok=True)
        (modules / "libprobe.so").touch()  # stands for a CUDA module
        shutil.copytree(self.prefix / "share/thinwire/examples/consumer", source)
        cache = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={shutil.which('ccache')}"] if shutil.which("ccache") else []
        run("cmake", "-S", source, "-B", tree, f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *cache)
        for entry in json.loads((tree / "compile_commands.json").read_text(encoding="utf-8")):
            words = entry["command"].replace(str(self.work), "")
            self.assertNotIn(str(ROOT), words)
        run("cmake", "--build", tree, "--parallel", "2")

        self.assertEqual((tree / "libprobe.so").resolve(), modules / "libprobe.so")

        topk = run(tree / "shrink")  # 16 chunks of 4096: 256 values and their places in 897 bytes each (docs/formats/payload.md)
        self.assertIn(f"topk: {16 * 897} bytes for {65536 * 4} (18.3 times fewer)", topk)
        self.assertIn("sign: ", run(tree / "shrink", "sign"))
        self.assertIn("0.0000 of |x|^2", run(tree / "shrink", "none"))
        wrong = subprocess.run([tree / "shrink", "topkk"], capture_output=True, text=True, check=False)
        self.assertEqual(wrong.returncode, USAGE)
        self.assertIn("did you mean 'topk'", wrong.stderr)

        ratios = {}
        for name, settings in {"sign": [], "none": ["exchange.schedule=every_step", "compress.codec=none"]}.items():
            said = run(tree / "train", *settings)
            loss, sent = re.search(r"loss (\S+) -> (\S+) in", said), re.search(r"\((\S+) times more\)", said)
            self.assertIn("replicas are equal to the last bit", said)
            self.assertLess(float(loss.group(2)), 0.5 * float(loss.group(1)), said)
            ratios[name] = float(sent.group(1))
        self.assertGreater(ratios["sign"], 20 * ratios["none"])  # 5 x 32 less headers; 577 weights


if __name__ == "__main__":
    thinwire.main()

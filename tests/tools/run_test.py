"""./run: its verbs, and the pieces of its set-up that can go wrong on somebody else's machine. Nothing here installs or builds."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PIECES = "".join((ROOT / "tools" / "run" / f"{name}.sh").read_text(encoding="utf-8") for name in ("report", "packages", "torch", "build", "test", "fuzz"))


def bash(script, prefix=(), **environment):
    """Runs `script` after the pieces of ./run, in a folder of its own; returns the exit code and all output."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C", **environment}
        done = subprocess.run([*prefix, "bash", "-s"], input="set -euo pipefail\n" + PIECES + script, cwd=folder, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout


def fake_torch(folder, minor=11, library=b""):
    """What the set-up looks at in site-packages/torch."""
    for name, content in {
            "include/ATen/ATen.h": b"", "lib/libtorch_cpu.so": library,
            "include/torch/headeronly/version.h": f"#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR {minor}\n".encode()}.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class Verbs(unittest.TestCase):
    def run_verb(self, *words):
        done = subprocess.run([ROOT / "run", *words], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_an_unknown_verb_is_a_usage_error_that_lists_the_verbs(self):
        code, output = self.run_verb("juggle")
        self.assertEqual(code, 2)
        for word in ("'juggle'", "build", "test", "fuzz", "soak", "forecasts", "bench", "tables", "peers", "demo", "links", "netlab", "clean", "help"):
            self.assertIn(word, output)

    def test_a_misspelt_verb_is_told_with_the_nearest_and_the_list(self):
        for word, meant in (("tests", "test"), ("biuld", "build"), ("forecast", "forecasts"), ("bnech", "bench"), ("netlb", "netlab")):
            code, output = self.run_verb(word)
            self.assertEqual(code, 2)
            self.assertIn(f"[run] unknown verb '{word}' (did you mean '{meant}'?). The verbs are build, test, ", output)
        self.assertNotIn("did you mean", self.run_verb("juggle")[1])
        self.assertNotIn("did you mean", self.run_verb("a\\nb%s")[1])

    def test_the_list_of_verbs_is_that_of_help(self):
        listed = self.run_verb("juggle")[1].split("The verbs are ")[1].split(";")[0].split(", ")
        described = [line.split()[0] for line in self.run_verb("help")[1].splitlines() if line.startswith("  ") and not line.startswith("   ")]
        self.assertEqual(listed, list(dict.fromkeys(described)))

    def test_a_verb_refuses_arguments_that_it_would_ignore(self):
        for words in (("build", "quickly"), ("clean", "all"), ("test", "a", "b"), ("soak", "1", "2"), ("soak", "long"), ("soak", "0")):
            self.assertEqual(self.run_verb(*words)[0], 2, words)

    def test_a_table_that_is_not_there_is_refused_before_anything_is_built(self):
        for verb, known in (("tables", "lgreco-llama"), ("peers", "peers-small")):
            code, output = self.run_verb(verb, "60", "periodic")
            self.assertEqual(code, 2, output)
            self.assertIn("there is no table 'periodic'", output)
            self.assertIn(known, output)
            self.assertNotIn("compile", output)

    def test_help_is_what_no_verb_means(self):
        self.assertEqual(self.run_verb(), self.run_verb("help"))
        self.assertEqual(self.run_verb()[0], 0)


class Packages(unittest.TestCase):
    def test_nothing_is_installed_when_everything_is_there(self):
        code, output = bash("packages=(dpkg); apt-get() { exit 9; }; install_packages\n")
        self.assertEqual((code, output), (0, "[setup] apt packages: all present\n"))

    def test_a_verb_may_ask_for_more_packages(self):
        code, output = bash("packages=(dpkg); missing_packages dpkg no-such-package; missing_packages dpkg\n")
        self.assertEqual((code, output), (0, "no-such-package\n"))

    def test_without_rights_the_exact_line_is_printed(self):
        nobody = ("setpriv", "--reuid=65534", "--clear-groups") if os.geteuid() == 0 else ()
        code, output = bash("packages=(dpkg no-such-package); can_sudo() { return 1; }; install_packages\n", prefix=nobody)
        self.assertEqual(code, 2, output)
        self.assertIn("sudo apt-get install -y --no-install-recommends no-such-package\n", output)

    def test_without_apt_the_missing_tools_are_named(self):
        script = "command() { [ $2 != dpkg-query ] && [ $2 != ninja ]; }; install_packages\n"
        code, output = bash(script)
        self.assertEqual(code, 2, output)
        self.assertIn("not found: ninja.", output)
        self.assertIn("libyaml-cpp-dev", output)


class Torch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def flaw(self):
        return bash(f"torch_flaw '{self.folder}'\n")[1]

    def test_a_folder_without_headers_or_with_another_version_is_refused(self):
        self.assertIn("ATen.h", self.flaw())
        fake_torch(self.folder, minor=6)
        self.assertIn("is not version 2.11", self.flaw())
        fake_torch(self.folder, minor=110)
        self.assertIn("is not version 2.11", self.flaw())

    def test_a_library_that_could_not_be_loaded_is_refused(self):
        fake_torch(self.folder)
        compile_lines = """cd "$1" && echo 'void f() {}' >gone.cc && echo 'void f(); void g() { f(); }' >torch.cc
            g++ -shared -fPIC gone.cc -o libgone.so && g++ -shared -fPIC torch.cc -L. -lgone -o lib/libtorch_cpu.so && rm libgone.so"""
        subprocess.run(["bash", "-c", compile_lines, "-", self.folder], check=True)
        self.assertEqual(self.flaw(), "needs libraries that are absent: libgone.so\n")

    def test_the_variable_may_name_the_package_or_a_folder_that_holds_it(self):
        package = pathlib.Path(self.folder) / "venv/lib/python3.11/site-packages/torch"
        fake_torch(package, library=pathlib.Path("/bin/sh").read_bytes())
        for named in (package, package.parent, pathlib.Path(self.folder) / "venv"):
            code, output = bash('find_torch; echo "$torch_prefix"\n', THINWIRE_TORCH_PREFIX=str(named))
            self.assertEqual((code, output.splitlines()[-1]), (0, os.path.realpath(package)), output)

    def test_a_variable_that_names_no_torch_is_a_usage_error(self):
        code, output = bash("find_torch\n", THINWIRE_TORCH_PREFIX="/nowhere")
        self.assertEqual(code, 2)
        self.assertIn("THINWIRE_TORCH_PREFIX=/nowhere", output)

    def test_an_installation_that_was_interrupted_is_begun_again(self):
        script = """torch_of_python() { return 1; }
            unpack_torch() { rm -rf "$torch_home"; mkdir -p "$torch_home/lib/python3.11/site-packages/torch"; echo unpacked; }
            torch_flaw() { :; }; check_torch_space() { :; }; uname() { echo x86_64; }
            mkdir -p "$torch_home/half"
            find_torch; find_torch; ls -A "$torch_home"; cat build/log/torch.log\n"""
        code, output = bash(script, XDG_CACHE_HOME=self.folder, THINWIRE_CUDA="OFF")
        self.assertEqual(code, 0, output)
        self.assertEqual(output.splitlines()[-3:], [".complete", "lib", "unpacked"])
        self.assertEqual(output.count("installing into"), 2, output)  # begun and done, once

    def test_cuda_libraries_come_on_top_where_they_are_wanted(self):
        script = """torch_of_python() { return 1; }
            unpack_torch() { mkdir -p "$torch_home/lib/python3.11/site-packages/torch"; }
            unpack_torch_cuda() { mkdir "$torch_home/cuda"; }
            torch_flaw() { :; }; check_torch_space() { :; }; uname() { echo x86_64; }
            THINWIRE_CUDA=OFF find_torch; ls -A "$torch_home"; THINWIRE_CUDA=ON find_torch; find_torch; ls -A "$torch_home"\n"""
        code, output = bash(script, XDG_CACHE_HOME=self.folder, THINWIRE_CUDA="ON")
        self.assertEqual(code, 0, output)
        listed = [line for line in output.splitlines() if not line.startswith("[")]
        self.assertEqual(listed, [".complete", "lib", ".complete", ".complete-cuda", "cuda", "lib"], output)


FAKE_FUZZER = r'''
install_packages() { :; }; configure() { :; }; compile() { :; }; command() { :; }
mkdir -p build-fuzz/tests/fuzz
printf '#!/bin/sh\nexit 0\n' >build-fuzz/tests/fuzz/thinwire_fuzz_corpus
cat >build-fuzz/tests/fuzz/thinwire_fuzz <<'END'
#!/bin/bash
[ "$1" != --list ] || { printf 'good\nbad\nslow\n'; exit; }
echo "$*" >>arguments
echo "#12 DONE cov: 34 ft: 56 corp: 7/8b"
if [ "$1" = --target=slow ]; then echo $$ >slow.pid; exec sleep 600; fi
if [ "$1" = --target=bad ]; then
  echo "  what():  broken contract: x"
  echo "artifact_prefix='build-fuzz/findings/bad-'; Test unit written to build-fuzz/findings/bad-crash-1"
fi
echo "stat::number_of_executed_units: 12"
[ "$1" = --target=good ] || exit 77
END
chmod +x build-fuzz/tests/fuzz/*
'''


class Fuzz(unittest.TestCase):
    def test_a_line_sums_up_each_target(self):
        code, output = bash(FAKE_FUZZER + "fuzz 5 good; cat arguments\n")
        self.assertEqual(code, 0, output)
        self.assertIn("[fuzz] good: 12 executions, 34 edges covered, nothing found\n", output)
        self.assertIn("-max_total_time=5 ", output)

    def test_a_finding_is_an_error_with_the_command_that_replays_it(self):
        code, output = bash(FAKE_FUZZER + "fuzz 5 good bad good\n")
        self.assertEqual(code, 1, output)
        self.assertIn("bad: 12 executions, 34 edges covered, FOUND: what():  broken contract: x\n", output)
        self.assertIn("replay: build-fuzz/tests/fuzz/thinwire_fuzz --target=bad build-fuzz/findings/bad-crash-1\n", output)
        self.assertIn("1 of 3 targets found something", output)
        self.assertEqual(output.count("nothing found"), 2, output)

    def test_what_cannot_be_fuzzed_is_a_usage_error(self):
        for words, message in (("0", "at least 1"), ("5 worse", "no target 'worse'. The targets are good bad slow")):
            code, output = bash(FAKE_FUZZER + f"fuzz {words}\n")
            self.assertEqual(code, 2, output)
            self.assertIn(message, output)

    def test_the_end_of_the_verb_ends_its_fuzzers(self):
        code, output = bash(FAKE_FUZZER + '''(fuzz 5 slow) & verb=$!
            until [ -s slow.pid ]; do sleep 0.05; done
            kill $verb; wait $verb || true
            for _ in $(seq 200); do kill -0 "$(cat slow.pid)" 2>/dev/null || { echo gone; exit; }; sleep 0.05; done\n''')
        self.assertEqual((code, output.splitlines()[-1]), (0, "gone"), output)


class Report(unittest.TestCase):
    def test_sizes_are_written_as_by_the_program(self):
        self.assertEqual(bash('human_kib 1000; echo; human_kib $((6 * 1024 * 1024))\n'), (0, "1.02MB\n6.44GB"))

    def test_a_failing_command_shows_the_end_of_its_log_and_where_it_is(self):
        code, output = bash("run_logged setup things a/b.log bash -c 'seq 1 30; exit 3'; echo not reached\n")
        self.assertEqual(code, 1)
        self.assertIn("the last 20 lines of a/b.log:\n    11\n", output)
        self.assertNotIn("not reached", output)

    def test_the_summary_of_ctest_is_held_back_and_failures_are_not(self):
        lines = ["Test project x", "      Start  1: A.b", " 1/2 Test  #1: A.b ....   Passed    0.00 sec",
                 " 2/2 Test  #2: A.c ....***Failed    0.00 sec", "expected 1", "", "50% tests passed, 1 tests failed out of 2", "more"]
        _, output = bash("printf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + " | hold_summary log; wc -l <log\n")
        self.assertEqual(output.splitlines(), [lines[3], lines[4], "8"])

    def test_skipped_tests_are_listed_by_their_reason(self):
        record = "\n".join(f"{i}/3 Testing: {name}\n{i}/3 Test: {name}\nCommand: x\nOutput:\n{'-' * 58}\n{text}\n<end of output>\n{'-' * 58}"
                           for i, (name, text) in enumerate([("A.a", "f.cc:1: Skipped\nneeds root\n[  SKIPPED ] A.a"), ("sh", "no GPU"), ("A.d", "fine"),
                                                             ("A.b", "f.cc:1: Skipped\nneeds root\n[  SKIPPED ] A.b")], 1))
        ctest = "\n".join(f"1/3 Test  #1: {name} ....***Skipped   0.00 sec" for name in ("A.a", "sh", "A.b"))
        script = f"mkdir -p build/Testing/Temporary; cat >build/Testing/Temporary/LastTest.log <<'E'\n{record}\nE\n"
        _, output = bash(script + f"cat >log <<'E'\n{ctest}\nE\nlist_skipped log\n")
        self.assertEqual(output.splitlines(), ["[test] skipped 1: no GPU (sh)", "[test] skipped 2: needs root (A.b)"])


if __name__ == "__main__":
    unittest.main()

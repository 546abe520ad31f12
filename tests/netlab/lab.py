"""What the tests of netlab share: thinwire.Case with the tool, and the reason where this machine cannot emulate hosts.

A test file is run as `python3 FILE path/to/netlab path/to/thinwire [unittest arguments]`.
"""
import functools
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import thinwire  # noqa: E402  (the end-to-end tests' own)

DEADLINE = "100s"  # of any command, so that nothing outlives its test

netlab = None  # set by main()


def main():
    global netlab
    netlab = pathlib.Path(sys.argv.pop(1)).resolve()
    thinwire.main()


@functools.cache
def why_unavailable():
    done = subprocess.run([netlab, "--", "true"], capture_output=True, text=True, check=False, timeout=30)
    return done.stderr.strip().splitlines()[-1] if done.returncode == thinwire.SKIPPED else None


def network_namespaces():
    """Of all processes of this machine: {namespace: pids}."""
    found = {}
    for link in pathlib.Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.setdefault(os.readlink(link), set()).add(int(link.parts[2]))
        except OSError:
            continue  # it just ended
    return found


class Case(thinwire.Case):
    def setUp(self):
        if why_unavailable():
            self.skipTest(why_unavailable())
        super().setUp()

    def start_in_lab(self, *command, options=()):
        return self.start(netlab, "--timeout", DEADLINE, *options, "--", *command)

    def in_lab(self, *command, options=(), code=0):
        done = self.start_in_lab(*command, options=options).wait()
        self.assertEqual(done.code, code, done.text)
        return done

    def number(self, pattern, text):
        found = re.search(pattern, text)
        self.assertIsNotNone(found, f"'{pattern}' is not in:\n{text}")
        return float(found.group(1))

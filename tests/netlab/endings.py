"""However netlab ends, its exit code says how, and nothing of it is left: no process, and so no network namespace."""
import os
import signal
import subprocess
import time
import unittest

import lab
import thinwire

ENDLESS = "while :; do sleep 0.05; done"


class Codes(lab.Case):
    def test_the_code_is_the_commands(self):
        for command, code in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9)):
            self.in_lab("sh", "-c", command, code=code)
        self.assertIn("no-such-program", self.in_lab("no-such-program", code=127).err)

    def test_a_deadline_ends_the_command_and_says_so(self):
        done = self.start(lab.netlab, "--timeout", "300ms", "--", "sh", "-c", ENDLESS).wait()
        self.assertEqual(done.code, 124, done.text)
        self.assertIn("--timeout", done.err)

    def test_a_command_that_does_not_want_to_end_is_killed(self):
        done = self.start(lab.netlab, "--timeout", "300ms", "--", "sh", "-c", f"trap '' TERM; {ENDLESS}").wait()
        self.assertEqual(done.code, 124, done.text)
        self.assertIn("killed", done.err)

    def test_signals_reach_the_command_which_decides(self):
        for name in ("INT", "TERM", "HUP", "USR1"):
            job = self.start_in_lab("sh", "-c", f"trap 'exit 9' {name}; touch ready.{name}; {ENDLESS}")
            self.wait_until((self.folder / f"ready.{name}").exists, job)
            job.signal(signal.Signals[f"SIG{name}"])
            self.assertEqual(job.wait().code, 9, name)

    def test_a_signal_that_the_command_does_not_know_ends_it(self):
        job = self.start_in_lab("sh", "-c", "touch ready; exec sleep 600")
        self.wait_until((self.folder / "ready").exists, job)
        job.signal(signal.SIGINT)
        self.assertEqual(job.wait().code, 128 + signal.SIGINT)


class Remains(lab.Case):
    def living_lab(self):
        """A run with processes on both hosts, some of them orphans, and the two namespaces."""
        background = f"(sh -c '{ENDLESS}' &)"
        job = self.start_in_lab("sh", "-c", f"readlink /proc/self/ns/net >first; {background}; /proc/1/exe --on 1 \"{background}; "
                                            f"readlink /proc/self/ns/net >second.new; mv second.new second\"; {ENDLESS}")
        self.wait_until((self.folder / "second").exists, job)
        hosts = [(self.folder / name).read_text().strip() for name in ("first", "second")]
        self.assertEqual(len(set(hosts)), 2)
        for host in hosts:
            self.assertIn(host, lab.network_namespaces())
        return job, hosts

    def assert_gone(self, hosts):
        deadline = time.monotonic() + 10
        while (left := set(hosts) & set(lab.network_namespaces())) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(left, set())

    def test_nothing_after_a_normal_end(self):
        self.in_lab("sh", "-c", f"readlink /proc/self/ns/net >first; (sh -c '{ENDLESS}' &); exit 0")
        self.assert_gone([(self.folder / "first").read_text().strip()])

    def test_nothing_after_an_interrupt(self):
        job, hosts = self.living_lab()
        job.signal(signal.SIGINT)
        self.assertEqual(job.wait().code, 128 + signal.SIGINT)
        self.assert_gone(hosts)

    def test_nothing_after_netlab_itself_was_killed_and_the_next_run_works(self):
        job, hosts = self.living_lab()
        job.signal(signal.SIGKILL)
        job.wait()
        self.assert_gone(hosts)
        self.in_lab("true")

    @unittest.skipUnless(os.path.exists("/run/netns"), "no named network namespaces here")
    def test_no_name_is_taken_on_this_machine_meanwhile(self):
        before = os.listdir("/run/netns")
        self.living_lab()
        self.assertEqual(os.listdir("/run/netns"), before)


class Unavailable(unittest.TestCase):
    """Where hosts cannot be emulated, one line says why, and the code is the one that test harnesses take for skipped."""

    def assert_skips(self, *words, because):
        done = subprocess.run([*words, lab.netlab, "--", "true"], capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(done.returncode, thinwire.SKIPPED, done.stderr)
        self.assertRegex(done.stderr, rf"^\[netlab\] skipped: .*{because}.*\n$")

    def test_without_rights(self):
        nobody = ["setpriv", "--bounding-set", "-sys_admin,-net_admin", "--inh-caps", "-sys_admin,-net_admin"] if os.geteuid() == 0 else []
        self.assert_skips(*nobody, because="need root")

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_without_the_tun_device(self):
        if lab.why_unavailable():
            self.skipTest(lab.why_unavailable())
        self.assert_skips("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "-", because="/dev/net/tun")

    def test_usage_errors_come_first(self):
        done = subprocess.run([lab.netlab, "--rate", "fast", "--", "true"], capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--rate: 'fast' is not a rate", done.stderr)


if __name__ == "__main__":
    lab.main()

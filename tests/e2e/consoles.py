"""Consoles that go away: a closed terminal, a reader that ends, a full disk. Training outlives them all; what other verbs print is what they are for."""
import fcntl
import json
import os
import pty
import signal
import termios

import thinwire
from launch import ENDLESS, Launched

FAILED, STOPPED = 1, 75


class Terminal:
    """A terminal that one job has for its own, until it is closed."""

    def __init__(self):
        self._ours, self._its = pty.openpty()
        os.set_blocking(self._ours, False)

    def take(self):
        """In the process that is to have it, which leads a session."""
        fcntl.ioctl(self._its, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(self._its, fd)

    def read(self):
        try:
            return os.read(self._ours, 1 << 16)
        except OSError:
            return b""  # nothing for now

    def close(self):
        os.close(self._its)
        os.close(self._ours)


class Ways(Launched):
    def ways(self, *settings):
        """{name: words}: training started in every way that needs no other launcher, as a run of that name."""
        return {"launch": self.launch_words(2, settings, "launch"), "alone": self.train_words(settings, "alone"),
                "threads": self.train_words((*settings, "parallel.dp=2"), "threads")}

    def shell(self, line, *words, **how):
        """A line of bash in which "$@" is thinwire with these words."""
        return self.start("bash", "-c", line, "bash", thinwire.program, *words, **how)

    def without_reader(self, *streams):
        """As `preexec`: these streams of the job go to a pipe that nobody reads."""
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)

        def connect():
            for stream in streams:
                os.dup2(writer, stream)
        return connect

    def assert_stopped(self, job, name):
        done = job.wait(60)
        self.assertEqual(done.code, STOPPED, done.text)
        (step,) = self.run_of(name).steps_saved()
        self.assertGreater(step, 0)
        self.assert_logged(name, f"stopped by a signal at step {step}")

    def assert_trained(self, done, name):
        self.assertEqual(done.code, 0, done.text)
        self.assertEqual(self.run_of(name).last_step(), 20)
        self.assertEqual(self.run_of(name).steps_saved()[-1], 20)
        self.assert_logged(name, "step 20/20")

    def assert_logged(self, name, words):
        """Once in each file that has what rank 0 said, and in no other."""
        run = self.run_of(name).path
        for path in (run / "logs").glob("rank_00000.*"):
            self.assertEqual(path.read_text(encoding="utf-8").count(words), 1, path)
        for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            json.loads(line)


class Training(Ways):
    def test_a_closed_terminal_stops_it_after_a_save(self):
        for name, words in self.ways(*ENDLESS).items():
            with self.subTest(name):
                terminal = Terminal()
                job = self.start(thinwire.program, *words, preexec=terminal.take)
                self.wait_until(lambda name=name, terminal=terminal: terminal.read() and self.run_of(name).last_step() >= 2, job)
                terminal.close()
                self.assert_stopped(job, name)

    def test_a_tee_that_the_same_ctrl_c_ends_costs_no_save(self):
        for name, words in self.ways(*ENDLESS).items():
            with self.subTest(name):
                job = self.shell('trap : INT; "$@" 2>&1 | tee console.txt; exit ${PIPESTATUS[0]}', *words)
                self.trains(job, name)
                os.killpg(job.pid, signal.SIGINT)  # as a terminal does: to all that stand in the foreground
                self.assert_stopped(job, name)

    def test_it_goes_on_when_nobody_reads_of_it(self):
        for name, words in self.ways().items():
            with self.subTest(name):
                self.assert_trained(self.start(thinwire.program, *words, preexec=self.without_reader(1, 2)).wait(), name)

    def test_it_goes_on_with_a_console_that_is_full_or_closed(self):
        for number, console in enumerate((">/dev/full 2>&1", ">&- 2>&-", "<&- >&-")):
            for name, words in self.ways().items():
                with self.subTest(f"{name} {console}"):
                    run = f"{name}{number}"
                    words = [f"run.name={run}" if word == f"run.name={name}" else word for word in words]
                    self.assert_trained(self.shell(f'exec "$@" {console}', *words).wait(), run)

    def test_no_file_of_ours_takes_the_place_of_a_closed_stream(self):
        """Or what is printed would be written into it."""
        job = self.shell('exec "$@" >&- 2>&-', *self.train_words(ENDLESS))
        self.trains(job)
        self.assertEqual([os.readlink(f"/proc/{job.pid}/fd/{stream}") for stream in (1, 2)], ["/dev/null", "/dev/null"])

    def test_under_nohup_a_closed_terminal_is_no_matter(self):
        for name, words in self.ways(*ENDLESS).items():
            with self.subTest(name):
                job = self.start(thinwire.program, *words, preexec=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
                self.trains(job, name)
                for pid in job.ranks():  # and the launcher
                    os.kill(pid, signal.SIGHUP)
                self.trains(job, name, step=self.run_of(name).last_step() + 5)
                job.signal(signal.SIGTERM)
                self.assert_stopped(job, name)


class Products(Ways):
    def test_what_could_not_be_written_is_a_failure(self):
        run = self.trained().path
        for words in (["config", "print", "-c", "small.yaml"], ["config", "schema"], ["config", "docs"], ["ckpt", "ls", run], ["ckpt", "inspect", run],
                      ["ckpt", "verify", run], ["ckpt", "diff", run, run], ["plan", "-c", "small.yaml"], ["estimate", "-c", "small.yaml"],
                      ["version"], ["--version"], ["--help"], ["train", "--help"], ["generate", run, "--prompt", "a", "--max-tokens", "4"]):
            with self.subTest(" ".join(map(str, words))):
                self.assertEqual(self.shell('exec "$@"', *words).wait().code, 0)
                for console in (">/dev/full", ">&-"):
                    done = self.shell(f'exec "$@" {console}', *words).wait()
                    self.assertEqual(done.code, FAILED, done.text)
                    self.assertRegex(done.err, r"error: .*(standard output|No space left|Bad file)")

    def test_a_reader_that_has_seen_enough_ends_them_in_silence(self):
        done = self.start(thinwire.program, "config", "schema", preexec=self.without_reader(1)).wait()
        self.assertEqual((done.code, done.err), (-signal.SIGPIPE, ""))


if __name__ == "__main__":
    thinwire.main()

"""tools/soak: goes on where it stopped, counts for one program alone, and ends with 1 when a round fails. Nothing here trains."""
import contextlib
import importlib.util
import io
import json
import pathlib
import tempfile
import unittest

SPEC = importlib.util.spec_from_file_location("soak", pathlib.Path(__file__).resolve().parents[2] / "tools" / "soak" / "__main__.py")
soak = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(soak)


class FakeRounds:
    """Rounds that take no time; `fails`: the one that does not hold."""

    fails = None
    seeds = []

    def __init__(self, folder):
        self.folder = folder

    def round(self, seed):
        if seed == FakeRounds.fails:
            raise soak.kill_rounds.Failed("a committed checkpoint is damaged")
        FakeRounds.seeds.append(seed)
        return {"seed": seed, "phase": soak.kill_rounds.PHASES[seed % 5], "rank": 0, "step": 5, "left": "files", "newest": 5, "seconds": 0.1}

    def finish(self):
        pass


class Soak(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.addCleanup(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = folder.name  # what a failure leaves goes, too
        self.program = self.folder / "program"
        self.program.write_text("one")
        kills = soak.Trial("kills", soak.kill_rounds, 7, "phase")
        for name, value in (("FOLDER", self.folder / "out"), ("TRIALS", [kills])):
            self.addCleanup(setattr, soak, name, getattr(soak, name))
            setattr(soak, name, value)
        self.addCleanup(setattr, soak.kill_rounds, "Rounds", soak.kill_rounds.Rounds)
        soak.kill_rounds.Rounds = FakeRounds
        FakeRounds.fails, FakeRounds.seeds = None, []

    def soak(self, seconds="60"):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            try:
                soak.main(["--program", str(self.program), seconds])
                code = 0
            except SystemExit as ended:
                code = ended.code
        return code, out.getvalue()

    def records(self):
        return [json.loads(line) for line in soak.TRIALS[0].records.read_text().splitlines()]

    def test_a_line_for_each_round_until_all_are_done(self):
        code, said = self.soak()
        self.assertEqual(code, 0, said)
        self.assertEqual([record["seed"] for record in self.records()], list(range(7)))
        self.assertIn("kills: 7 of 7 rounds held (coding 1, committing 1, snapshot 2, training 2, writing 1)", said)
        self.soak()
        self.assertEqual(len(self.records()), 7)

    def test_goes_on_where_time_was_up(self):
        self.assertEqual(self.soak("0")[0], 0)
        self.assertEqual(FakeRounds.seeds, [])
        FakeRounds.fails = 3
        self.assertEqual(self.soak()[0], 1)
        FakeRounds.fails = None
        self.assertEqual(self.soak()[0], 0)
        self.assertEqual(FakeRounds.seeds, list(range(7)))

    def test_another_program_begins_anew(self):
        self.soak()
        self.program.write_text("another")
        FakeRounds.seeds = []
        self.soak()
        self.assertEqual(FakeRounds.seeds, list(range(7)))

    def test_time_is_shared_among_trials_and_what_one_leaves_is_the_others(self):
        """The first is done at once; of no time, nothing is begun."""
        soak.TRIALS.append(soak.Trial("others", soak.kill_rounds, 3, "phase"))
        code, said = self.soak()
        self.assertEqual(code, 0, said)
        self.assertIn("kills: 7 of 7", said)
        self.assertIn("others: 3 of 3", said)
        self.assertEqual(len(soak.TRIALS[1].records.read_text().splitlines()), 3)

    def test_a_round_that_fails_is_told_and_kept(self):
        FakeRounds.fails = 2
        code, said = self.soak()
        self.assertEqual(code, 1)
        self.assertIn("round 2 FAILED: a committed checkpoint is damaged", said)
        self.assertIn("2 of 7 rounds held", said)
        self.assertEqual([record["ok"] for record in self.records()], [True, True, False])


if __name__ == "__main__":
    unittest.main(verbosity=2)

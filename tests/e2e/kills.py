"""kill -9 of a random rank in each phase of training and saving, twenty times; ./run soak does it two hundred times."""
import collections
import pathlib
import tempfile
import unittest

import kill_rounds
import thinwire

ROUNDS = 20


class Kills(unittest.TestCase):
    def test_at_any_moment_cost_at_most_what_was_not_yet_committed(self):
        with tempfile.TemporaryDirectory(prefix="thinwire-e2e-") as folder:
            rounds = kill_rounds.Rounds(pathlib.Path(folder))
            records = []
            for seed in range(ROUNDS):
                records.append(rounds.round(seed))
                print(records[-1], flush=True)
            rounds.finish()
        self.assertEqual(collections.Counter(record["phase"] for record in records), dict.fromkeys(kill_rounds.PHASES, ROUNDS // 5))
        self.assertTrue({"nothing", "directory", "files"} <= {record["left"] for record in records}, "some phase was never met")


if __name__ == "__main__":
    thinwire.main()

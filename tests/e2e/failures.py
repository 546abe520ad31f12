"""A random rank fails at a random time of a random cause, ten times: the console names that rank and its reason first. ./run soak does it a hundred times."""
import pathlib
import tempfile
import unittest

import failure_rounds
import thinwire

ROUNDS = 10


class FirstFailures(unittest.TestCase):
    def test_the_rank_that_failed_first_is_named_first(self):
        with tempfile.TemporaryDirectory(prefix="thinwire-e2e-") as folder:
            rounds = failure_rounds.Rounds(pathlib.Path(folder))
            for seed in range(ROUNDS):
                print(rounds.round(seed), flush=True)


if __name__ == "__main__":
    thinwire.main()

"""Holds `thinwire estimate` against runs of the configurations that we ship, or of those that are named: memory and bytes within 10 %. Called by
./run forecasts.

usage: python3 tools/forecasts --program PROGRAM [CONFIG...]

Runs are of full size and few steps, two ranks under mpirun where the configuration does not say otherwise; about ten seconds each. Exit 1 when a
forecast is further off.
"""
import argparse
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "e2e"))

import forecasts  # noqa: E402
import thinwire  # noqa: E402

WITHOUT_A_GPU = ("nccl",)


def main():
    parser = argparse.ArgumentParser(prog="tools/forecasts")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("configs", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    thinwire.program = options.program.resolve()
    configs = [config.resolve() for config in options.configs] or [c for c in forecasts.CONFIGS if c.stem not in WITHOUT_A_GPU]
    missed = {}
    with tempfile.TemporaryDirectory(prefix="thinwire-forecasts-") as folder:
        trial = forecasts.Trial(folder)
        trial.prepare()
        print(forecasts.HEADER, flush=True)
        for config in configs:
            comparison = trial.compare(config)
            print(forecasts.row(comparison), flush=True)
            if comparison.misses():
                missed[config.stem] = comparison.misses()
    for config, misses in missed.items():
        print(f"{config}: off by " + ", ".join(f"{what} {by:+.1%}" for what, by in misses.items()))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What others' programs read of ours: TensorBoard its event files, jsonschema the schema of the configuration."""
import json
import math
import pathlib

import thinwire

ROOT = pathlib.Path(__file__).resolve().parents[2]

READ_EVENTS = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))
"""

VALIDATE = """
import json, sys, jsonschema, yaml
schema = json.load(open(sys.argv[1], encoding="utf-8"))
jsonschema.Draft202012Validator.check_schema(schema)
for path in sys.argv[2:]:
    errors = [f"{list(e.absolute_path)}: {e.message}" for e in jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(open(path, encoding="utf-8")))]
    print(json.dumps([path, errors]))
"""


class TensorBoard(thinwire.PeerCase):
    modules = ("tensorboard",)

    def test_reads_what_metrics_say(self):
        run = self.trained("eval.every=10", "parallel.dp=2")
        events = json.loads(self.peer(READ_EVENTS, run.path / "tb"))
        self.assertEqual([step for step, _ in events["train/loss"]], list(range(1, 21)))
        for tag, key, kind in (("train/loss", "loss", "train"), ("eval/val_bpb", "val_bpb", "eval")):
            said = {record["step"]: record[key] for record in run.records(kind)}
            self.assertEqual([step for step, _ in events[tag]], sorted(said))
            for step, value in events[tag]:
                self.assertTrue(math.isclose(value, said[step], rel_tol=1e-5), f"{tag} of step {step}: {value}, {said[step]}")

    def test_reads_what_a_killed_run_left_and_what_went_on_from_there(self):
        self.train()
        (path,) = (self.run_of().path / "tb").iterdir()
        path.write_bytes(path.read_bytes()[:-7])
        events = json.loads(self.peer(READ_EVENTS, self.run_of().path / "tb"))
        self.assertGreaterEqual(len(events["train/loss"]), 18)


class Schema(thinwire.PeerCase):
    modules = ("jsonschema", "yaml")

    def validated(self, *paths):
        schema = self.folder / "schema.json"
        schema.write_text(self.thinwire("config", "schema").out, encoding="utf-8")
        return dict(json.loads(line) for line in self.peer(VALIDATE, schema, *paths).splitlines())

    def test_every_configuration_that_is_shipped_satisfies_it(self):
        paths = sorted((ROOT / "configs").rglob("*.yaml"))
        self.assertGreater(len(paths), 10)
        self.assertEqual([one for one in self.validated(*paths).items() if one[1]], [])

    def test_a_misspelt_key_a_wrong_type_and_a_value_out_of_range_do_not(self):
        for number, text in enumerate(["optim: {lrr: 1}", "run: {steps: many}", "compress: {codec: zip}"]):
            path = self.folder / f"{number}.yaml"
            path.write_text(text, encoding="ascii")
            self.assertTrue(self.validated(path)[str(path)], text)


if __name__ == "__main__":
    thinwire.main()

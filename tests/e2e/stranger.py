"""Twenty-odd wrong turns of someone who has read the README and nothing else: each ends with its exit code and a message that names the fix.

What lies behind each message is tested where it belongs; this is the walk through all of them, and ./run stranger takes it in a fresh Debian.
"""
import os
import shutil
import signal
import socket

import thinwire
from launch import ENDLESS, Launched, free_port

USAGE, DATA, CHECKPOINT, COMM, NON_FINITE, MEMORY, STOPPED = 2, 3, 4, 5, 7, 8, 75


class Turns(Launched):
    def turn(self, code, *fix, words):
        """The command ends with the code, and what it says has all of these."""
        done = self.thinwire(*words, code=code)
        self.assert_says(done, *fix)
        self.assertNotIn("terminate called", done.text)
        return done

    def train_turn(self, code, *fix, settings=(), options=(), config="small.yaml"):
        return self.turn(code, *fix, words=self.train_words(settings, options=options, config=config))

    def launch_turn(self, code, *fix, settings=(), launcher=(), num_ranks=2):
        return self.turn(code, *fix, words=self.launch_words(num_ranks, settings, launcher=launcher))


class Words(Turns):
    def test_a_misspelt_verb(self):
        self.turn(USAGE, "did you mean 'train'?", words=["trian", "-c", "small.yaml"])

    def test_a_misspelt_option(self):
        self.train_turn(USAGE, "did you mean '--resume'?", options=["--resum", "auto"])

    def test_a_misspelt_key(self):
        self.train_turn(USAGE, "unknown key 'optim.lrr'", "did you mean", settings=["optim.lrr=1"])

    def test_a_word_where_a_number_belongs(self):
        self.train_turn(USAGE, "'optim.lr' cannot be 'fast'", "accepted: number", settings=["optim.lr=fast"])

    def test_a_misspelt_codec(self):
        self.train_turn(USAGE, "did you mean 'topk'?", settings=["compress.codec=topkk"])

    def test_a_config_that_is_not_there(self):
        self.train_turn(USAGE, "cannot read the config 'smal.yaml'", config="smal.yaml")

    def test_launch_without_dashes(self):
        self.turn(USAGE, "thinwire launch -n 2 -- train", words=["launch", "-n", "2", "train", "-c", "small.yaml"])


class Places(Turns):
    def test_a_wrong_path_of_data(self):
        self.train_turn(DATA, "nothing matches 'word.txt'", "did you mean 'words.txt'?", settings=["data.files=[word.txt]"])

    def test_a_text_that_is_too_short(self):
        (self.folder / "short.txt").write_text("a few words", encoding="ascii")
        self.train_turn(DATA, "short.txt", "model.context", settings=["data.files=[short.txt]"])

    def test_an_occupied_directory(self):
        self.train()
        self.train_turn(USAGE, "--resume", "--overwrite")

    def test_a_model_that_is_not_there(self):
        self.turn(CHECKPOINT, "runs/runn", "no such", words=["generate", "runs/runn", "--prompt", "a"])

    def test_a_resume_of_nothing(self):
        self.train_turn(CHECKPOINT, "runs/absent", "no such", options=["--resume", "runs/absent"])

    def test_a_resume_as_another_model(self):
        self.train()
        self.train_turn(CHECKPOINT, "model.d_model: checkpoint 32, config 64", "another run.name", settings=["model.d_model=64"],
                        options=["--resume", "auto"])

    def test_a_damaged_checkpoint(self):
        self.train("checkpoint.keep=1")
        path = self.run_of().checkpoint(20) / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
        self.train_turn(CHECKPOINT, "model.safetensors", settings=["checkpoint.keep=1", "run.steps=30"], options=["--resume", "auto"])


class Machines(Turns):
    def test_a_model_that_is_too_large(self):
        self.train_turn(MEMORY, "memory", "model.d_model", settings=["model.d_model=65536", "model.layers=200", "model.heads=64"])

    def test_a_gpu_that_is_not_there(self):
        if shutil.which("nvidia-smi"):
            self.skipTest("there is one")
        self.train_turn(USAGE, "no GPU", "run.device: cpu", settings=["run.device=cuda"])

    def test_a_batch_that_does_not_divide(self):
        self.train_turn(USAGE, "data.global_batch 5 is no multiple of data.micro_batch 2", "the nearest that are: 4 and 6", settings=["data.global_batch=5"])

    def test_another_number_of_ranks_than_configured(self):
        self.launch_turn(USAGE, "parallel.dp is 3, but the world is 2", settings=["parallel.dp=3"])

    def test_an_interface_that_is_not_there(self):
        self.launch_turn(USAGE, "no interface of this host is 'eth77'", "there are lo 127.0.0.1", settings=["comm.grpc.address=eth77"])

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.launch_turn(COMM, str(port), settings=[f"comm.grpc.store=127.0.0.1:{port}", "comm.start_timeout=5s"])

    def test_a_host_that_does_not_come(self):
        self.launch_turn(COMM, "rank 1 of 2 did not come", settings=["comm.start_timeout=3s"], num_ranks=1,
                         launcher=["--nnodes", 2, "--node-rank", 0, "--rendezvous", f"127.0.0.1:{free_port()}"])

    def test_a_learning_rate_that_is_too_large(self):
        self.train_turn(NON_FINITE, "at step 2", "a lower optim.lr", settings=["optim.lr=1e30", "optim.clip=0", "optim.warmup=0"])


class Ends(Turns):
    def running(self):
        job = self.start_launch(2, *ENDLESS)
        self.trains(job)
        return job

    def test_a_rank_that_is_killed(self):
        job = self.running()
        os.kill(self.rank_pids(job)[1], signal.SIGKILL)
        done = job.wait(60)
        self.assertEqual(done.code, 128 + signal.SIGKILL, done.text)
        self.assert_says(done, "rank 1", "SIGKILL")

    def test_ctrl_c_and_a_closed_terminal_save_and_tell_how_to_go_on(self):
        for number in (signal.SIGINT, signal.SIGHUP):
            with self.subTest(number.name):
                shutil.rmtree(self.folder / "runs", ignore_errors=True)
                job = self.running()
                job.signal(number)
                done = job.wait(60)
                self.assertEqual(done.code, STOPPED, done.text)
                self.assert_says(done, "--resume auto")
                self.assertTrue(self.run_of().steps_saved())

    def test_ctrl_c_twice(self):
        job = self.running()
        os.kill(self.rank_pids(job)[1], signal.SIGSTOP)  # so that the first cannot be answered
        job.signal(signal.SIGINT)
        self.wait_until(lambda: "Ctrl+C again" in job.said(), job)
        job.signal(signal.SIGINT)
        self.assertEqual(job.wait(60).code, 128 + signal.SIGINT)
        self.assert_nothing_remains(job)


if __name__ == "__main__":
    thinwire.main()

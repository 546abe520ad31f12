"""`thinwire launch` and the ways without MPI: equal to mpirun to the bit, and what happens when a rank, or the launcher, does not come through."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import unittest

import thinwire

USAGE, COMM, STOPPED, NON_FINITE = 2, 5, 75, 7
ENDLESS = ("run.steps=1000000", "checkpoint.every=0", "log.every=1")
HOST = socket.gethostname()
ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def find_torchrun():
    beside = [pathlib.Path(python).parent / "torchrun" for python in thinwire.find_peers() if python]
    return next((str(path) for path in beside if path.exists()), None)


def environment_of(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(variable.split("=", 1) for variable in text.split("\0") if "=" in variable)


class Launched(thinwire.Case):
    def launch_words(self, num_ranks, settings=(), name="run", options=(), launcher=()):
        return ["launch", "-n", num_ranks, *launcher, "--", *self.train_words(settings, name, options)]

    def launch(self, num_ranks, *settings, name="run", options=(), launcher=(), **how):
        return self.thinwire(*self.launch_words(num_ranks, settings, name, options, launcher), **how)

    def start_launch(self, num_ranks, *settings, launcher=(), options=(), name="run", **how):
        return self.start(thinwire.program, *self.launch_words(num_ranks, settings, name, options, launcher), **how)

    @staticmethod
    def rank_pids(job, variable="RANK"):
        """{rank: pid} of the ranks that a launcher started and that still run."""
        ranks = {pid: environment_of(pid).get(variable) for pid in job.ranks()}
        return {int(rank): pid for pid, rank in ranks.items() if rank is not None}

    def trains(self, job, name="run", step=2):
        self.wait_until(lambda: self.run_of(name).last_step() >= step, job)

    def assert_all_gone(self, pids, within_s=10):
        deadline = time.monotonic() + within_s
        while any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual([pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()], [])


class Equal(Launched):
    def assert_same_bits(self, run, other):
        self.assertEqual(len(run.losses()), 20)
        self.assertEqual(run.losses(), other.losses())
        self.assertTrue(run.state(20))
        self.assertEqual(run.state(20), other.state(20))

    def test_two_launched_ranks_are_two_of_mpirun_to_the_bit(self):
        for kind, settings in {"local_steps": (), "every_step": thinwire.UNCOMPRESSED}.items():
            with self.subTest(kind):
                mpi = self.trained(*settings, name="mpi", options=["--overwrite"], ranks=2)
                done = self.launch(2, *settings, name="grpc", options=["--overwrite"])
                self.assert_same_bits(self.run_of("grpc"), mpi)
                self.assertEqual(self.run_of("grpc").facts()["transport"], "grpc")
                self.assertIn("step 20/20", done.out)
                self.assertEqual(done.out.count("step 20/20"), 1)

    def test_four_launched_ranks_are_four_threads_to_the_bit(self):
        threads = self.trained("parallel.dp=4", "data.micro_batch=1", name="loopback")
        self.launch(4, "data.micro_batch=1", name="grpc")
        self.assert_same_bits(self.run_of("grpc"), threads)

    def test_variables_of_torch_without_a_launcher_will_do(self):
        port = free_port()
        jobs = [self.start(thinwire.program, *self.train_words(()), environment={"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                                                                                "MASTER_PORT": str(port)}) for rank in range(2)]
        for job in jobs:
            done = job.wait()
            self.assertEqual(done.code, 0, done.text)
        self.assertEqual(self.run_of().facts()["world"], 2)

    def test_a_replayed_step_of_slurm_will_do(self):
        job_id = str(100_000 + os.getpid())
        step = {"SLURM_JOB_ID": job_id, "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_NODELIST": "localhost", "SLURM_NNODES": "1",
                "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0"}
        jobs = [self.start(thinwire.program, *self.train_words(()), environment={**step, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)})
                for rank in range(2)]
        for job in jobs:
            done = job.wait()
            self.assertEqual(done.code, 0, done.text)
        self.assertEqual(self.run_of().facts()["world"], 2)

    def test_two_nodes_without_ssh_find_each_other(self):
        rendezvous = f"127.0.0.1:{free_port()}"
        jobs = [self.start_launch(1, launcher=["--nnodes", 2, "--node-rank", node, "--rendezvous", rendezvous]) for node in (1, 0)]
        for job in jobs:
            done = job.wait()
            self.assertEqual(done.code, 0, done.text)
        self.assertEqual(self.run_of().facts()["world"], 2)

    def path_with_ssh(self, script):
        """A PATH whose ssh is this script, which finds its host in $1 and the command in $2."""
        fake = self.folder / "bin"
        fake.mkdir()
        (fake / "ssh").write_text(f'#!/bin/sh\nwhile [ "${{1#-}}" != "$1" ]; do shift 2; done\n{script}\n', encoding="ascii")
        (fake / "ssh").chmod(0o755)
        return {"PATH": f"{fake}:{os.environ['PATH']}"}

    def test_a_host_that_ssh_cannot_reach_is_named_with_how_to_try_it(self):
        path = self.path_with_ssh('[ "$1" = localhost ] && exec sh -c "$2"\necho "ssh: connect to host $1 port 22: Connection refused" >&2\nexit 255')
        (self.folder / "hosts").write_text("localhost\nnode7\n", encoding="ascii")
        done = self.launch(2, launcher=["--hostfile", "hosts"], environment=path, code=COMM)
        self.assertIn("ssh: connect to host node7 port 22: Connection refused", done.err)
        self.assertRegex(done.err, r"\[launch\] the ranks on node7: exit code 5 \(rendezvous or transport\)\n"
                                   r"\[launch\] why: ssh cannot reach node7.* `ssh -o BatchMode=yes node7 true` .*--nnodes.*need no ssh")

    def test_a_hostfile_starts_ranks_over_ssh(self):
        (self.folder / "hosts").write_text("localhost slots=1\n127.0.0.1 slots=2  # the same\n", encoding="ascii")
        path = self.path_with_ssh('exec sh -c "$2"')
        done = self.launch(3, "data.global_batch=6", launcher=["--hostfile", "hosts"], environment=path)
        self.assertEqual(done.out.count("step 20/20"), 1)
        self.assertEqual(self.run_of().facts()["world"], 3)
        job = self.start_launch(3, "data.global_batch=6", *ENDLESS, name="endless", launcher=["--hostfile", "hosts"], environment=path)
        self.trains(job, "endless")
        job.signal(signal.SIGTERM)
        done = job.wait(60)
        self.assertEqual(done.code, STOPPED, done.text)
        done = self.launch(3, "data.global_batch=6", "optim.lr=1e30", "optim.clip=0", "optim.warmup=0", name="bad", launcher=["--hostfile", "hosts"], environment=path,
                           code=NON_FINITE)
        self.assertRegex(done.err, r"\[launch\] rank \d on \S+: exit code 7 [\s\S]*\[launch\] the ranks on (localhost|127\.0\.0\.1): exit code 7 \(non-finite values\)")


@unittest.skipUnless(find_torchrun(), "there is no torchrun: ./run peers installs it")
class Torchrun(Launched):
    def torchrun(self, *words, num_ranks=2):
        return self.start(find_torchrun(), "--no-python", "--nproc-per-node", num_ranks, "--master-port", free_port(), thinwire.program, *words).wait()

    def test_two_ranks_of_torchrun_are_two_of_mpirun_to_the_bit(self):
        mpi = self.trained(name="mpi", ranks=2)
        done = self.torchrun(*self.train_words((), "torchrun"))
        self.assertEqual(done.code, 0, done.text)
        self.assertEqual(self.run_of("torchrun").losses(), mpi.losses())

    def test_torchrun_shows_our_error(self):
        done = self.torchrun(*self.train_words(["optim.lr=1e30", "optim.clip=0", "optim.warmup=0"]))
        self.assertNotEqual(done.code, 0)
        self.assertRegex(done.text, r"exitcode +: 7")


class Examples(Launched):
    """What examples/ start, as far as one machine can: with a srun of our own, and without a cluster."""

    def test_the_slurm_script_trains_and_is_requeued_after_a_signal(self):
        script = ROOT / "examples" / "slurm" / "train.sbatch"
        subprocess.run(["bash", "-n", script], check=True)
        fake = self.folder / "bin"
        fake.mkdir()
        (fake / "srun").write_text("""#!/bin/bash
while [ "${1#--}" != "$1" ]; do shift; done
for rank in 0 1; do
  SLURM_STEP_ID=0 SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_NODEID=0 "$@" &
done
status=0
for job in $(jobs -p); do wait "$job" || status=$?; done
exit $status
""", encoding="ascii")
        (fake / "scontrol").write_text('#!/bin/sh\necho "scontrol $*"\n', encoding="ascii")
        for tool in fake.iterdir():
            tool.chmod(0o755)
        (self.folder / "build").mkdir()
        (self.folder / "build" / "thinwire").symlink_to(thinwire.program)
        slurm = {"PATH": f"{fake}:{os.environ['PATH']}", "CONFIG": "small.yaml", "SLURM_JOB_ID": str(200_000 + os.getpid()), "SLURM_JOB_NAME": "test",
                 "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODELIST": "localhost", "SLURM_PROCID": "0"}
        (self.folder / "small.yaml").write_text(self.config.replace("steps: 20", "steps: 1000000"), encoding="ascii")
        job = self.start("bash", script, environment=slurm)
        self.trains(job, "job-test")
        os.kill(self.rank_pids(job, "SLURM_LOCALID")[1], signal.SIGUSR1)
        done = job.wait(60)
        self.assertEqual(done.code, STOPPED, done.text)
        self.assertIn(f"scontrol requeue {slurm['SLURM_JOB_ID']}", done.out)
        self.assertEqual(self.run_of("job-test").facts()["world"], 2)

    def test_the_command_of_the_kubernetes_manifest_is_one_that_launch_takes(self):
        text = (ROOT / "examples" / "kubernetes" / "train.yaml").read_text(encoding="utf-8")
        command = " ".join(re.search(r"- >-\n(.*?)\n          ports:", text, re.DOTALL).group(1).split())
        self.assertTrue(command.startswith("exec thinwire launch "), command)
        command = command.replace("exec thinwire", str(thinwire.program)).replace("/config/run.yaml", "small.yaml")
        command = command.replace("thinwire-0.thinwire:29500", f"127.0.0.1:{free_port()}").replace("run.dir=/runs", "run.dir=runs")
        command += " --dry-run --set data.global_batch=8"
        pods = [self.start("sh", "-c", command, environment={"JOB_COMPLETION_INDEX": str(index)}) for index in range(2)]
        done = [pod.wait() for pod in pods]
        self.assertEqual([pod.code for pod in done], [0, 0], done[0].text + done[1].text)
        self.assertIn("4 ranks over grpc", done[0].out)


class Failures(Launched):
    def test_a_killed_rank_is_named_and_the_survivor_names_it_too(self):
        job = self.start_launch(2, *ENDLESS)
        self.trains(job)
        pids = self.rank_pids(job)
        os.kill(pids[1], signal.SIGKILL)
        done = job.wait(30)
        self.assertEqual(done.code, 128 + signal.SIGKILL, done.text)
        self.assertRegex(done.err, rf"\[launch\] rank 1 on {re.escape(HOST)}: killed by SIGKILL")
        self.assertIn("lost rank 1", done.err)
        self.assertIn("then: rank 0", done.err)
        self.assertNotIn("--resume", done.err)  # nothing was saved
        self.assert_all_gone(pids.values())

    def test_it_says_from_where_a_failed_run_can_go_on(self):
        saving = ("checkpoint.every=5", "checkpoint.keep=0")
        job = self.start_launch(2, "run.steps=1000000", *saving)
        self.wait_until(lambda: self.run_of().steps_saved(), job)
        os.kill(self.rank_pids(job)[1], signal.SIGKILL)
        done = job.wait(30)
        self.assertEqual(done.code, 128 + signal.SIGKILL, done.text)
        newest = self.run_of().steps_saved()[-1]
        self.assert_says(done, f"[launch] the newest checkpoint is of step {newest}; go on by the same command with --resume auto")
        done = self.launch(2, f"run.steps={newest + 5}", *saving, options=["--resume", "auto"])
        self.assert_says(done, f"resumed from step {newest}")

    def test_a_rank_that_fails_by_itself_gives_its_reason_and_its_code(self):
        done = self.launch(2, "optim.lr=1e30", "optim.clip=0", "optim.warmup=0", code=NON_FINITE)
        self.assertRegex(done.err, r"\[launch\] rank \d on \S+: exit code 7 \(non-finite values\)\n\[launch\] why: non-finite .*'model\.")

    def test_restarts_go_on_from_the_newest_checkpoint_to_the_same_bits(self):
        self.launch(2, "run.steps=200", "checkpoint.every=20", name="whole")
        job = self.start_launch(2, "run.steps=200", "checkpoint.every=20", launcher=["--restarts", 2])
        self.wait_until(lambda: len(self.run_of().steps_saved()) >= 1, job)
        os.kill(self.rank_pids(job)[1], signal.SIGKILL)
        done = job.wait()
        self.assertEqual(done.code, 0, done.text)
        self.assertIn("starting all ranks again (1 of 2)", done.err)
        self.assertEqual(self.run_of().losses(), self.run_of("whole").losses())
        self.assertEqual(self.run_of().state(200), self.run_of("whole").state(200))

    def test_restarts_of_a_branch_begin_with_its_own_checkpoint_once_there_is_one(self):
        self.launch(2, "run.steps=400", "checkpoint.every=40", "checkpoint.keep=0", name="whole")
        start = ["--resume", self.run_of("whole").checkpoint(40)]
        job = self.start_launch(2, "run.steps=400", "checkpoint.every=100", launcher=["--restarts", 2], options=start, name="branch")
        self.wait_until(lambda: self.run_of("branch").last_step() >= 42, job)
        os.kill(self.rank_pids(job)[1], signal.SIGKILL)
        self.wait_until(lambda: self.run_of("branch").steps_saved(), job)
        os.kill(self.rank_pids(job)[1], signal.SIGKILL)
        done = job.wait()
        self.assertEqual(done.code, 0, done.text)
        self.assertIn("starting all ranks again (2 of 2)", done.err)
        self.assertEqual(done.out.count("resumed from step 40"), 2, done.text)
        self.assertIn("resumed from step 100", done.out)
        self.assertEqual(self.run_of("branch").state(400), self.run_of("whole").state(400))

    def test_every_rank_has_its_files(self):
        self.launch(2)
        logs = self.run_of().path / "logs"
        self.assertEqual(sorted(path.name for path in logs.iterdir()), ["rank_00000.log", "rank_00000.out", "rank_00001.log", "rank_00001.out"])
        self.assertIn("step 20/20", (logs / "rank_00000.out").read_text(encoding="utf-8"))

    def test_a_rank_writes_the_error_file_that_torchrun_reads(self):
        path = self.folder / "error.json"
        self.thinwire("train", "-c", "absent.yaml", code=USAGE, environment={"TORCHELASTIC_ERROR_FILE": str(path)})
        message = json.loads(path.read_text(encoding="utf-8"))["message"]
        self.assertIn("absent.yaml", message["message"])
        self.assertLess(abs(int(message["extraInfo"]["timestamp"]) - time.time()), 60)


class Ends(Launched):
    def test_ctrl_c_is_handed_on_once_and_all_save_the_same_step(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            with self.subTest(number.name):
                job = self.start_launch(2, "run.steps=1000000", name=number.name)
                self.trains(job, number.name)
                job.signal(number)
                done = job.wait(60)
                self.assertEqual(done.code, STOPPED, done.text)
                self.assertEqual(len(self.run_of(number.name).steps_saved()[-1:]), 1)

    def test_a_second_ctrl_c_ends_the_ranks_at_once(self):
        job = self.start_launch(2, *ENDLESS)
        self.trains(job)
        pids = self.rank_pids(job)
        os.kill(pids[1], signal.SIGSTOP)  # so that the first cannot be answered
        job.signal(signal.SIGINT)
        time.sleep(0.3)
        job.signal(signal.SIGINT)
        os.kill(pids[1], signal.SIGCONT)
        done = job.wait(60)
        self.assertIn(done.code, (128 + signal.SIGINT, STOPPED), done.text)
        self.assert_all_gone(pids.values())

    def test_ranks_that_do_not_stop_are_killed_after_the_grace_period(self):
        job = self.start_launch(2, *ENDLESS, launcher=["--grace", 1])
        self.trains(job)
        pids = self.rank_pids(job)
        for pid in pids.values():
            os.kill(pid, signal.SIGSTOP)
        job.signal(signal.SIGTERM)
        done = job.wait(30)
        self.assertEqual(done.code, 128 + signal.SIGTERM, done.text)
        self.assert_all_gone(pids.values())

    def test_no_rank_outlives_a_launcher_that_is_killed(self):
        job = self.start_launch(2, *ENDLESS)
        self.trains(job)
        pids = self.rank_pids(job)
        self.assertEqual(sorted(pids), [0, 1])
        job.signal(signal.SIGKILL)
        self.assert_all_gone(pids.values())


class Wrong(Launched):
    def test_a_misspelt_key_is_one_error(self):
        done = self.launch(3, "optim.lrr=1", code=USAGE)
        self.assertEqual(done.text.count("unknown key"), 1, done.text)
        self.assertIn("did you mean", done.text)

    def test_a_world_that_does_not_fit_is_refused_before_anything_starts(self):
        done = self.launch(3, "parallel.dp=2", code=USAGE)
        self.assert_says(done, "parallel.dp is 2", "world is 3", "`thinwire launch -n 2 -- train", "set parallel.dp to 3")
        done = self.launch(3, code=USAGE)  # a global batch of 4
        self.assert_says(done, "data.global_batch 4 is not a multiple")
        self.assertFalse(self.run_of().path.exists())

    def test_transports_that_others_start_are_refused(self):
        self.assert_says(self.launch(2, "comm.transport=mpi", code=USAGE), "mpirun")
        self.assert_says(self.launch(2, "comm.transport=loopback", code=USAGE), "loopback")

    def test_another_verb_is_refused(self):
        self.assert_says(self.thinwire("launch", "-n", 2, "--", "config", "print", code=USAGE), "thinwire train")
        self.assert_says(self.thinwire("launch", "-n", 2, code=USAGE), "thinwire train")
        self.assert_says(self.thinwire("launch", "--", "train", code=USAGE), "--ranks")

    def test_without_dashes_it_says_where_to_put_them(self):
        self.assert_says(self.thinwire("launch", "-n", 2, "train", "-c", "small.yaml", code=USAGE), "put it before train", "-- train")

    def test_options_that_contradict_are_refused(self):
        for launcher, words in ((["--nnodes", 2], ["--rendezvous"]), (["--nnodes", 2, "--node-rank", 2, "--rendezvous", "h:1"], ["--node-rank 2"]),
                                (["--hostfile", "absent"], ["absent"]), (["--rendezvous", "h"], ["HOST:PORT"])):
            with self.subTest(launcher):
                self.assert_says(self.launch(2, launcher=launcher, code=USAGE), *words)

    def test_a_launcher_within_another_is_refused(self):
        self.assert_says(self.launch(2, code=USAGE, environment={"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "1"}), "TORCHELASTIC_RUN_ID=x")

    def test_an_occupied_port_is_named(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            where = ["--nnodes", 2, "--node-rank", 0, "--rendezvous", f"127.0.0.1:{port}"]
            done = self.launch(1, launcher=where, code=COMM)
            self.assert_says(done, f"cannot listen at 127.0.0.1:{port}", "another process listens there", "[launch] rank 0")

    def test_on_one_host_too_ranks_meet_where_they_are_told_to(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            done = self.launch(2, launcher=["--rendezvous", f"127.0.0.1:{port}"], code=COMM)
            self.assert_says(done, f"cannot listen at 127.0.0.1:{port}", "another process listens there")
        self.launch(2, "run.steps=2", launcher=["--rendezvous", f"127.0.0.1:{free_port()}"])
        self.assert_says(self.launch(1, launcher=["--rendezvous", "127.0.0.1:29500"], code=USAGE), "--rendezvous", "one rank", "--nnodes")

    def test_an_interface_that_is_not_there_is_named_and_nobody_waits_for_long(self):
        done = self.launch(2, "comm.grpc.address=nosuch0", code=USAGE)
        self.assert_says(done, "no interface of this host is 'nosuch0'", "there are lo 127.0.0.1", "[launch] rank ")
        self.assertLess(done.seconds, 25)  # five until the others are ended; they would wait for 300

    def test_a_host_that_cannot_be_found_is_named_with_what_to_set(self):
        environment = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "no-such-host.invalid", "MASTER_PORT": "29500"}
        done = self.train("comm.start_timeout=3s", code=COMM, environment=environment)
        self.assert_says(done, "no-such-host.invalid:29500", "cannot find the host", "correct MASTER_ADDR")

    def test_ranks_that_do_not_come_are_named(self):
        environment = {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        done = self.train("comm.start_timeout=5s", "data.global_batch=8", code=COMM, environment=environment)
        self.assertRegex(done.out, r"waiting for ranks 1,2,3 of 4 at 127\.0\.0\.1:\d+ \(\d s of 5 s\)")
        self.assert_says(done, "ranks 1,2,3 of 4 did not come", "within 5 s")

    def test_without_a_place_to_meet_it_says_what_to_set(self):
        done = self.train("data.global_batch=8", code=USAGE, environment={"RANK": "0", "WORLD_SIZE": "4"})
        self.assert_says(done, "WORLD_SIZE", "MASTER_ADDR", "comm.grpc.store")

    def test_the_help_names_every_option(self):
        text = self.thinwire("launch", "--help").out
        for option in ("--hostfile", "--nnodes", "--node-rank", "--rendezvous", "--restarts", "--grace"):
            self.assertIn(option, text)
        self.assertNotIn("--lifeline", text)


if __name__ == "__main__":
    thinwire.main()

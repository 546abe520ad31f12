"""Real Slurm on this host: a controller and a daemon of the test's own, on loopback, without what a cluster would add to them."""
import os
import pathlib
import shutil
import subprocess
import time
import unittest

import thinwire
from launch import ROOT, free_port

CONFIGURATION = """\
ClusterName=thinwire
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={daemon_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/daemon.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/daemon.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""
PROGRAMS = ("slurmctld", "slurmd", "srun", "sbatch", "scontrol")
MISSING = [name for name in PROGRAMS if not shutil.which(name)]


def start_slurm(folder):
    """Its daemons and the variable that tells its programs where they are."""
    host = os.uname().nodename.split(".")[0]
    path = folder / "slurm.conf"
    (folder / "spool").mkdir()
    path.write_text(CONFIGURATION.format(host=host, folder=folder, controller_port=free_port(), daemon_port=free_port()), encoding="ascii")
    environment = {"SLURM_CONF": str(path)}
    daemons = [subprocess.Popen([name, "-D", "-c"], env={**os.environ, **environment}, cwd=folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in ("slurmctld", "slurmd")]
    return daemons, environment


@unittest.skipIf(MISSING, f"there is no {', '.join(MISSING)}: apt-get install slurm-wlm")
@unittest.skipIf(os.geteuid() != 0, "a Slurm of one's own needs root")
class Slurm(thinwire.Case):
    def setUp(self):
        super().setUp()
        self.home = self.folder / "slurm"
        self.home.mkdir()
        daemons, self.slurm = start_slurm(self.home)
        self.addCleanup(self.stop_slurm, daemons)
        self.within(30, lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"))

    def stop_slurm(self, daemons):
        self.ask("scancel", "--user=root", "--signal=KILL", "--full")
        self.ask("scancel", "--user=root")
        self.within(30, lambda: not self.ask("squeue", "--noheader", "--states=running,completing"))
        for daemon in daemons:
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def ask(self, *words):
        done = subprocess.run(words, env={**os.environ, **self.slurm}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout.strip()

    def within(self, seconds, moment):
        deadline = time.monotonic() + seconds
        while not moment():
            if time.monotonic() > deadline:
                logs = "\n".join(log.read_text(errors="replace")[-2000:] for log in self.home.glob("*.log"))
                self.fail(f"the moment never came\n{self.ask('squeue')}\n{logs}")
            time.sleep(0.05)

    def srun(self, *words, mpi="none"):
        return self.start("srun", f"--mpi={mpi}", "--ntasks=2", "--kill-on-bad-exit=1", thinwire.program, *words, environment=self.slurm)

    def test_a_step_gives_the_losses_of_mpirun_to_the_bit(self):
        mpi = self.trained(name="mpirun", ranks=2)
        kinds = {"none": "grpc", "pmi2": "grpc"}
        if "pmix" in self.ask("srun", "--mpi=list"):
            kinds["pmix"] = "mpi"
        for kind, transport in kinds.items():
            with self.subTest(kind):
                done = self.srun(*self.train_words((), kind), mpi=kind).wait()
                self.assertEqual(done.code, 0, done.text)
                self.assertEqual(self.run_of(kind).facts()["transport"], transport)
                self.assertEqual(self.run_of(kind).losses(), mpi.losses())
                self.assertEqual(self.run_of(kind).state(20), mpi.state(20))

    def test_our_exit_code_and_message_come_through(self):
        done = self.srun(*self.train_words(["optim.lr=1e30", "optim.clip=0", "optim.warmup=0"])).wait()
        self.assertEqual(done.code, 7, done.text)
        self.assert_says(done, "non-finite gradient of")

    def state_of(self, job):
        facts = dict(word.split("=", 1) for word in self.ask("scontrol", "show", "job", job).split() if "=" in word)
        return facts.get("JobState"), int(facts.get("Restarts", 0))

    # Slurm lets a requeued job wait for two minutes. Within the second of its end its node would refuse it for good.
    def test_the_example_saves_at_the_signal_is_requeued_and_goes_on(self):
        (self.folder / "build").mkdir()
        (self.folder / "build" / "thinwire").symlink_to(thinwire.program)
        (self.folder / "small.yaml").write_text(self.config.replace("steps: 20", "steps: 1000000"), encoding="ascii")
        submit = self.start("sbatch", "--parsable", "--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--job-name=test",
                            ROOT / "examples" / "slurm" / "train.sbatch", environment={**self.slurm, "CONFIG": "small.yaml"}).wait()
        self.assertEqual(submit.code, 0, submit.text)
        job, run = submit.out.strip(), self.run_of("job-test")
        output = self.folder / f"slurm-{job}.out"

        def said():
            return output.read_text(errors="replace") if output.exists() else ""
        self.within(60, lambda: run.last_step() >= 2)
        self.ask("scancel", "--signal=USR1", f"{job}.0")
        self.within(60, lambda: self.state_of(job) == ("PENDING", 1))
        (step,) = run.steps_saved()[-1:]
        self.ask("scontrol", "update", f"JobId={job}", "StartTime=now+3seconds")
        self.within(60, lambda: f"resume     step {step}" in said() or run.last_step() > step + 1)
        self.assertEqual(said().count("ranks      2 over grpc"), 2, said())
        self.ask("scancel", "--full", job)
        self.within(30, lambda: self.state_of(job)[0] == "CANCELLED")


if __name__ == "__main__":
    thinwire.main()

"""A real SLURM of one node on this machine: munged, slurmctld and slurmd of this test's own."""

import os
import shutil
import socket
import subprocess
import time

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
CONF = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=20
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=200000
NodeName=localhost NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=short Nodes=localhost Default=YES MaxTime=INFINITE State=UP
PartitionName=hour Nodes=localhost MaxTime=60 State=UP
"""


def why_not():
    """Say what is missing for a cluster here; empty if nothing is."""
    missing = [name for name in DAEMONS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"no {' and '.join(missing)}: apt-get install slurm-wlm munge"
    return "" if os.getuid() == 0 else "SLURM's daemons are started as root"


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """Start a cluster, and return the environment in which its commands work."""
    if why_not():
        pytest.skip(why_not())
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(mode=0o700)
    (folder / "munge" / "key").write_bytes(os.urandom(1024))
    (folder / "munge" / "key").chmod(0o400)
    (folder / "slurm.conf").write_text(CONF.format(folder=folder, ports=free_ports()))
    own = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    environment = own | {"PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = ("--force", "--foreground", f"--key-file={folder}/munge/key", f"--socket={folder}/munge.socket")
    files = [f"--{name}-file={folder}/munge/{name}" for name in ("pid", "log", "seed")]
    commands = [["munged", *munge, *files], ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", "localhost"]]
    running = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("wb")
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            log.close()
            if command[0] == "munged":
                wait_for((folder / "munge.socket").exists, "munged")
        wait_for(lambda: "idle" in ask(["sinfo", "-h", "-o", "%T"], environment), "the node")
        yield environment
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def free_ports():
    with socket.socket() as one, socket.socket() as two:
        for s in (one, two):
            s.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def ask(command, environment):
    """Return what a command of SLURM says."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout + done.stderr


def wait_for(condition, what, *, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come up"
        time.sleep(0.1)


@pytest.fixture
def run_job(slurm):
    """Return a function that runs a batch script as a job to its end and returns its state and its words."""

    def run(script, folder, *options, during=None, seconds=300.0):
        (folder / "job.sh").write_text(f"#!/bin/sh\n{script}")
        words = folder / "words.txt"
        files = [f"--output={words}", "--open-mode=append"]
        asked = ask(["sbatch", "--parsable", *files, *options, str(folder / "job.sh")], slurm)
        number = asked.strip().splitlines()[-1]
        assert number.isdigit(), asked
        state = ""

        def ended():
            nonlocal state
            state = ask(["scontrol", "show", "job", number], slurm).partition("JobState=")[2].split(" ")[0]
            if during is not None:
                during(number)
            return state in {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}

        wait_for(ended, f"job {number}", seconds=seconds)
        return state, words.read_text()

    return run


@pytest.fixture
def scancel(slurm):
    """Return a function that sends a signal to all tasks of a job."""
    return lambda number, signal: ask(["scancel", f"--signal={signal}", number], slurm)

"""Workers are killed, pre-empted and moved, on one machine, through submitit and through Ray: the samples stay those of
one undisturbed process, byte for byte."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from generation.launchers.ray import connect
from store.errors import ConfigError
from tests.generation.background import (
    NUM_SHARDS,
    assert_alike,
    begin,
    configure,
    kill,
    num_published,
    processes,
    until,
)

ROOT = Path(__file__).parents[2]
ON_SLURM = ["launcher=slurm", "launcher.cluster=local", "launcher.workers=2"]


class Cluster:
    """tests.generation.two_nodes, at work."""

    def __init__(self, log: Path) -> None:
        with open(log, "wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.generation.two_nodes"], cwd=ROOT, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=said, text=True,
            )  # fmt: skip
        lines = (line.partition("cluster: ") for line in self.process.stdout)
        self.address = next((address.strip() for _, found, address in lines if found), None)
        assert self.address, log.read_text()

    def remove_second(self) -> None:
        print(file=self.process.stdin, flush=True)


def on_ray(cluster: Cluster) -> list[str]:
    needs = "launcher.args={num_cpus: 1, num_gpus: 0}"
    return ["launcher=ray", f"launcher.cluster={cluster.address}", "launcher.workers=2", needs]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("ray") / "cluster.log")
    yield cluster
    cluster.process.communicate(timeout=60)


def test_workers_killed_at_random_and_other_numbers_of_them(place):
    draw = random.Random(0)
    for world in (8, 3, 5):
        published = num_published(place, "killed")
        assert published < NUM_SHARDS
        stage = begin(place, "killed", f"launcher.workers={world}", "launcher.max_restarts=100")
        until(lambda before=published: num_published(place, "killed") > before)
        until(lambda stage=stage, world=world: stage.said.count("ready after") == world)
        for pid in draw.sample(processes(place, "generation.worker"), 2):
            kill(pid, signal.SIGKILL)
        until(lambda stage=stage: "starting it again" in stage.said)
        if world != 5:
            stage.process.kill()  # its workers die with it
            stage.process.wait()
            until(lambda: not processes(place, "generation.worker"), 10)
    stage.end()
    assert_alike(place, "killed")


def test_preempted_slurm_jobs_are_requeued_and_a_lost_one_is_not_waited_for(place):
    stage = begin(place, "requeued", *ON_SLURM)
    until(lambda: num_published(place, "requeued") > 2)
    preempted = processes(place, "submitit.core._submit")
    for pid in preempted:
        kill(pid, signal.SIGUSR2)  # as Slurm does, some time before it ends a job
    until(lambda: len(set(processes(place, "submitit.core._submit")) - set(preempted)) == 2)
    published = num_published(place, "requeued")
    until(lambda: num_published(place, "requeued") > published)
    kill(processes(place, "submitit.core._submit")[0], signal.SIGKILL)
    stage.end()
    logs = list((place.run("requeued") / "iter_00" / "logs" / "submitit").glob("*_log.out"))
    assert len(logs) == 2
    assert all("Requeued job" in log.read_text() for log in logs)
    assert_alike(place, "requeued")


@pytest.mark.parametrize(("launcher", "signum", "code"), [("slurm", signal.SIGINT, 130), ("ray", signal.SIGTERM, 143)])
def test_a_stage_that_is_stopped_takes_its_workers_along(place, request, launcher, signum, code):
    run = f"stopped-{launcher}"
    launched = ON_SLURM if launcher == "slurm" else on_ray(request.getfixturevalue("cluster"))
    stage = begin(place, run, *launched, "engine.args.step_seconds=1")  # far from done, however slow the machine
    until(lambda: num_published(place, run) > 0)
    stage.process.send_signal(signum)
    stage.end(code)
    assert "stopped" in stage.said
    until(lambda: not processes(place), 1)
    assert 0 < num_published(place, run) < NUM_SHARDS


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_without_a_ray_cluster_is_refused_at_once(address):
    with pytest.raises(ConfigError, match=f"launcher.cluster={address}: no Ray cluster answers"):
        connect(address)


def test_a_ray_node_that_is_removed_takes_no_row_along(place, cluster):
    stage = begin(place, "moved", *on_ray(cluster))
    until(lambda: num_published(place, "moved") > NUM_SHARDS // 2)
    assert len(processes(place, "generation.worker")) == 2
    cluster.remove_second()
    until(lambda: len(processes(place, "generation.worker")) == 1, 20)
    assert num_published(place, "moved") < NUM_SHARDS
    stage.end()
    assert_alike(place, "moved")


@pytest.mark.parametrize(
    ("launcher", "package", "mend"),
    [("slurm", "submitit", ".venv/bin/python -m pip install submitit"), ("ray", "ray", "make ray")],
)
def test_a_package_that_is_missing_is_said_in_a_sentence(place, tmp_path, launcher, package, mend):
    (tmp_path / f"{package}.py").write_text("raise ImportError")
    configure(place, "unfit", f"launcher={launcher}")
    environment = place.environment | {"PYTHONPATH": f"{tmp_path}:{place.environment['PYTHONPATH']}"}
    command = [sys.executable, "-m", "generation", "run=unfit", "iteration=0"]
    done = subprocess.run(command, cwd=place.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"error: launcher={launcher} needs {package}: `{mend}`\n"


def test_a_worker_that_fails_for_good_stops_the_stage_with_its_reason(place):
    place.start("damaged", *ON_SLURM)
    folder = place.run("damaged") / "iter_00" / "initial_answers"
    folder.mkdir(parents=True)
    (folder / "train-00003-of-00020.parquet").write_bytes(b"no shard")
    done = place.stage("generation", "run=damaged", "iteration=0", check=False)
    assert done.returncode == 5
    assert "train-00003-of-00020.parquet cannot be used" in done.stderr


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["launcher.workers=0"], "launcher.workers=8"),
        (["launcher.cluster=slurm"], "srun"),
        (["+launcher.args.gpus=1"], "gpus"),
    ],
)
def test_settings_that_no_launcher_can_follow_are_named(place, overrides, said):
    configure(place, "unfit", *ON_SLURM, *overrides)
    done = place.stage("generation", "run=unfit", "iteration=0", check=False)
    assert done.returncode == 2
    assert said in done.stderr

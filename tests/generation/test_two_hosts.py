"""Two hosts, as far as one machine can have them: two network namespaces with a link between them, a Ray node in each,
and a folder that both see. The link is cut while both draw, and restored once Ray has given one of them up."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generation.background import (
    NUM_SHARDS,
    assert_alike,
    begin,
    kill,
    num_published,
    processes,
    until,
)

RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--object-store-memory=80000000"]
# A host is taken for dead after some four seconds of silence, not after the default's fifteen and more.
QUICK = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "200",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def ip(*command: str) -> str:
    return subprocess.run(["ip", *command], check=True, capture_output=True, text=True).stdout


def within(host: str) -> list[str]:
    return ["ip", "netns", "exec", host]


def pids(host: str) -> list[int]:
    return [int(pid) for pid in ip("netns", "pids", host).split()]


@pytest.fixture
def hosts(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """The names of two namespaces, 10.77.0.1 and 10.77.0.2, each with a Ray node; both workers fit the first."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the command ip")
    names = (f"stasc{os.getpid()}a", f"stasc{os.getpid()}b")
    try:
        ip("netns", "add", names[0])
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr}")
    ip("netns", "add", names[1])
    try:
        ip("link", "add", "link0", "netns", names[0], "type", "veth", "peer", "name", "link0", "netns", names[1])
        for number, name in enumerate(names, start=1):
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "link0")
            for device in ("lo", "link0"):
                ip("-n", name, "link", "set", device, "up")
        start_ray(names, tmp_path_factory.mktemp("r"))
        yield names
    finally:
        for name in names:
            for pid in pids(name):
                kill(pid, signal.SIGKILL)
            ip("netns", "delete", name)


def start_ray(names: tuple[str, str], scratch: Path) -> None:
    head = ["--head", "--num-cpus=2", "--node-ip-address=10.77.0.1", "--port=6379", "--include-dashboard=false"]
    other = ["--address=10.77.0.1:6379", "--num-cpus=1", "--node-ip-address=10.77.0.2"]
    for name, arguments in zip(names, ([*head, f"--temp-dir={scratch}"], other), strict=True):
        subprocess.run([*within(name), *RAY, *arguments], check=True, capture_output=True, env=os.environ | QUICK)


def test_a_link_that_is_cut_and_restored_loses_no_row_and_doubles_none(place, hosts):
    needs = ["launcher.args={num_cpus: 1, num_gpus: 0}", "+launcher.args.scheduling_strategy=SPREAD"]
    on_ray = ["launcher=ray", "launcher.cluster='10.77.0.1:6379'", "launcher.workers=2", *needs]
    stage = begin(place, "cut", *on_ray, within=within(hosts[0]))

    def supervisors() -> list[int]:
        return [len(set(processes(place, "generation.launchers.remote")) & set(pids(host))) for host in hosts]

    until(lambda: num_published(place, "cut") > 1)
    assert supervisors() == [1, 1]
    ip("-n", hosts[0], "link", "set", "link0", "down")
    until(lambda: num_published(place, "cut") > 6)
    workers = processes(place, "generation.worker")
    for pid in workers:
        kill(pid, signal.SIGSTOP)  # or they would be done before Ray has noticed
    until(lambda: "has been marked dead" in stage.said)
    assert supervisors() == [1, 1] and num_published(place, "cut") < NUM_SHARDS
    ip("-n", hosts[0], "link", "set", "link0", "up")
    until(lambda: supervisors() == [2, 0])
    for pid in workers:
        kill(pid, signal.SIGCONT)
    stage.end()
    assert_alike(place, "cut")

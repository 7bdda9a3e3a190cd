"""The doctor's page: what it says of machines with one GPU, several, MIG, an old driver, none, and without packages."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from store.machine import device_preset
from tests import nvidia_smi
from tests.setup.test_install import NO_HEADER, Clone


@pytest.fixture
def doctor(tmp_path):
    """doctor(...): exit code and page; its `clone` is the machine."""
    clone = Clone(tmp_path)

    def look(**environment: str) -> tuple[int, str]:
        done = clone.install("doctor", **({"HF_HUB_OFFLINE": "1"} | environment))
        assert done.stderr == ""
        assert not (clone.folder / ".venv").exists(), "it installs nothing"
        assert done.stdout.count("\n") < 40, "one page"
        return done.returncode, done.stdout

    look.clone = clone
    return look


def test_a_machine_without_gpus_has_all_that_the_cpu_lock_needs(doctor):
    code, page = doctor()
    assert code == 0, page
    for words in ("none yet: `make setup` makes it", "nvidia-smi does not answer", "HF_HUB_OFFLINE is set", "Python.h",
                  f"device={device_preset('cpu')}: model=smollm2-135m, engine=vllm_cpu", "generation: 1, training: 1",
                  "Nothing is missing"):  # fmt: skip
        assert words in page


def test_every_problem_has_its_way_out(doctor):
    doctor.clone.pretend(NO_HEADER)
    (doctor.clone.bin / "g++").unlink()
    code, page = doctor(TMPDIR=str(doctor.clone.folder))
    assert code == 2
    assert "C++: none" in page and "no Python.h" in page
    assert "TO DO        vLLM compiles when it starts, and this system lacks a C++ compiler and Python.h" in page


@pytest.mark.parametrize(
    ("gpus", "listing", "code", "words"),
    [
        (nvidia_smi.ONE, "", 0, ["NVIDIA 580.65.06", "GPU 0", "79.1 GiB of 79.1", "generation: 1, one per GPU"]),
        (nvidia_smi.SEVERAL, "", 0, ["GPU 3", "generation: 4, one per GPU", "model=qwen2.5-1.5b, engine=vllm"]),
        (nvidia_smi.SPLIT, nvidia_smi.LIST_OF_SPLIT, 0,
         ["split by MIG into 2 instances", "MIG 3g.20gb, 20.0 GiB", "generation: 3, one per GPU"]),
        (nvidia_smi.OLD, "", 2, ["550.54.15 (too old)", "driver 580 or newer", "ACCELERATOR=cpu"]),
    ],
    ids=["one", "several", "mig", "old"],
)  # fmt: skip
def test_gpus_are_listed_with_what_a_run_would_take(doctor, gpus, listing, code, words):
    nvidia_smi.install(doctor.clone.bin, gpus, listing)
    found, page = doctor()
    assert found == code, page
    for word in words:
        assert word in page, page


def test_hidden_and_unknown_gpus(doctor):
    nvidia_smi.install(doctor.clone.bin, nvidia_smi.SEVERAL)
    _, page = doctor(CUDA_VISIBLE_DEVICES="1,2")
    assert page.count("hidden by CUDA_VISIBLE_DEVICES") == 2
    assert "generation: 2, one per GPU; training: one, on GPU 1" in page
    assert "not used: ACCELERATOR=cuda make setup" in doctor(ACCELERATOR="cpu")[1]
    code, page = doctor(CUDA_VISIBLE_DEVICES="9")
    assert code == 2 and "9 is not one GPU of this machine; there are: 0, 1, 2, 3" in page


def test_cuda_asked_for_where_no_gpu_answers(doctor):
    code, page = doctor(ACCELERATOR="cuda")
    assert code == 2
    assert "nvidia-smi does not answer" in page and "ACCELERATOR=cpu" in page


def test_the_hub_answers_or_does_not(doctor):
    class Refusal(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusal) as server:
        hub = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert f"{hub} answers" in doctor(HF_HUB_OFFLINE="0", HF_ENDPOINT=hub)[1]
        server.shutdown()
    code, page = doctor(HF_HUB_OFFLINE="0", HF_ENDPOINT=hub)
    assert f"{hub} does not answer" in page
    assert code == 0, "what is in the cache needs no hub"

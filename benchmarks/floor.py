"""What the machine allows: matrix products and memory traffic, both measured with torch."""

from benchmarks.measure import Row, alternate, clock
from benchmarks.place import Place

WIDTH = {"cpu": 2048, "cuda": 8192}  # of the square matrices
COPIED = {"cpu": 2**28, "cuda": 2**32}  # bytes, far beyond any cache
SECONDS = {"cpu": 1.0, "cuda": 2.0}  # of each measurement


def measure(place: Place) -> list[Row]:
    device = place.size.device
    took = alternate(
        place.size.repeats,
        bfloat16=lambda: matmul_rate(device) / 1e9,
        float32=lambda: matmul_rate(device, "float32") / 1e9,
        memory=lambda: memory_rate(device) / 1e9,
    )
    return [
        Row("matrix products, bfloat16", took["bfloat16"], "GFLOP/s"),
        Row("matrix products, float32", took["float32"], "GFLOP/s"),
        Row("memory read and written", took["memory"], "GB/s"),
    ]


def matmul_rate(device: str, dtype: str = "bfloat16") -> float:
    """Operations per second of a large matrix product: 2 n^3 each."""
    import torch

    a, b = (torch.randn(WIDTH[device], WIDTH[device], device=device).to(getattr(torch, dtype)) for _ in range(2))
    return 2 * WIDTH[device] ** 3 * repetitions_per_second(device, lambda: a @ b)


def memory_rate(device: str) -> float:
    """Bytes per second, each byte copied counting twice: it is read and written."""
    import torch

    source = torch.zeros(COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED[device] * repetitions_per_second(device, lambda: target.copy_(source))


def repetitions_per_second(device: str, work) -> float:
    import torch

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    work()
    wait()
    started, times = clock(device), 0
    while (took := clock(device) - started) < SECONDS[device]:
        for _ in range(4):
            work()
        wait()
        times += 4
    return times / took

"""A stand-in for nvidia-smi on PATH, which answers as the program does: by its documented CSV and list formats."""

from pathlib import Path

H100 = "NVIDIA H100 80GB HBM3"
A100 = "NVIDIA A100-SXM4-40GB"
# index, uuid, name, total, free (MiB), driver, reserved, MIG mode
ONE = ((0, "GPU-aaaa-0", H100, 81559, 80995, "580.65.06", 562, "Disabled"),)
SEVERAL = tuple((i, f"GPU-aaaa-{i}", H100, 81559, 80995, "580.65.06", 562, "Disabled") for i in range(4))
BUSY = (*SEVERAL[:1], (1, "GPU-aaaa-1", H100, 81559, 60000, "580.65.06", 562, "Disabled"))
OLD = ((0, "GPU-aaaa-0", A100, 40960, 40338, "550.54.15", 425, "Disabled"),)
SPLIT = (
    (0, "GPU-bbbb-0", A100, 40960, 39000, "580.65.06", 425, "Enabled"),
    (1, "GPU-bbbb-1", A100, 40960, 40338, "580.65.06", 425, "Disabled"),
)
LIST_OF_SPLIT = f"""GPU 0: {A100} (UUID: GPU-bbbb-0)
  MIG 3g.20gb     Device  0: (UUID: MIG-cccc-0)
  MIG 1g.5gb      Device  1: (UUID: MIG-cccc-1)
GPU 1: {A100} (UUID: GPU-bbbb-1)
"""


def install(folder: Path, gpus: tuple, listing: str = "", knows_mig: bool = True) -> Path:
    """Write the program to `folder`/nvidia-smi; gpus: () for a machine with none, which the program says and fails."""
    listing = listing or "".join(f"GPU {gpu[0]}: {gpu[2]} (UUID: {gpu[1]})\n" for gpu in gpus)
    newer = "".join(", ".join(map(str, gpu)) + "\n" for gpu in gpus)
    older = "".join(", ".join(map(str, gpu[:6])) + "\n" for gpu in gpus)
    refuse = "" if knows_mig else "echo 'Field \"mig.mode.current\" is not a valid field to query.'; exit 2\n"
    folder.mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        + ("" if gpus else "echo 'NVIDIA-SMI has failed: the driver is not running.'; exit 9\n")
        + f"case \"$*\" in\n*mig.mode*) {refuse}cat <<'END'\n{newer}END\n;;\n"
        f"*query-gpu*) cat <<'END'\n{older}END\n;;\n*list-gpus*) cat <<'END'\n{listing}END\n;;\n*) exit 2 ;;\nesac\n"
    )
    program.chmod(0o755)
    return program

"""The training stage with its model sharded over processes on CPU.

PyTorch's FSDP2 runs on gloo; accelerate shards where it finds several GPUs only, so it is told that it did.
"""

import runpy
import sys

from accelerate.state import AcceleratorState, DistributedType, PartialState

initialize = PartialState.__init__


def initialize_as_gpus(self: PartialState, *args, **kwargs) -> None:
    initialize(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = initialize_as_gpus
try:
    runpy.run_module("training", run_name="__main__")
finally:
    sharded = AcceleratorState._shared_state["distributed_type"] == DistributedType.FSDP
    print("sharded" if sharded else "not sharded", file=sys.stderr)

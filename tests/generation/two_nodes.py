"""A Ray cluster of two nodes with a CPU each, in a process of its own: Ray takes over its process's signals and forks.

    python -m tests.generation.two_nodes

Prints the cluster's address. The first line on standard input removes the second node, its end the cluster.
"""

import sys

from ray.cluster_utils import Cluster

node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
second = cluster.add_node(**node)
print(f"cluster: {cluster.address}", flush=True)
if sys.stdin.readline():
    cluster.remove_node(second, allow_graceful=False)
sys.stdin.read()
cluster.shutdown()

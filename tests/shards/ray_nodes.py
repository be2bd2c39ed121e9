"""Run `deft shard run … --launcher ray` on two Ray nodes of this machine, and kill one in the middle.

    python ray_nodes.py FOLDER [--kill]

Prints what the verb said. Started by the test with Ray on its path; loopback only, no dashboard.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

NODE = {
    "num_cpus": 1,
    "include_dashboard": False,
    "object_store_memory": 80 * 2**20,
}
LOOPBACK = "127.0.0.2", "127.0.0.3"  # Ray takes 127.0.0.1 for the machine's own address on the network
DONE_BEFORE_THE_KILL = 3
PATIENCE_SECONDS = 450.0


def main() -> int:
    folder, kill = Path(sys.argv[1]), "--kill" in sys.argv
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "node_ip_address": LOOPBACK[0]})
    other = cluster.add_node(**NODE, node_ip_address=LOOPBACK[1])
    try:
        command = [sys.executable, "-m", "deft", "shard", "run", str(folder), "--launcher", "ray"]
        verb = subprocess.Popen(command, env={**os.environ, "RAY_ADDRESS": cluster.address})
        if kill:
            wait_for_receipts(folder, verb)
            cluster.remove_node(other, allow_graceful=False)
        return verb.wait(PATIENCE_SECONDS)
    finally:
        cluster.shutdown()


def wait_for_receipts(folder: Path, verb: subprocess.Popen[bytes]) -> None:
    while len(list((folder / "shards").glob("*.ok"))) < DONE_BEFORE_THE_KILL and verb.poll() is None:
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())

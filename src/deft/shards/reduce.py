"""What is asked before shards become one result: that every one of them is there and verified."""

from __future__ import annotations

from deft.shards.ledger import ShardFolder, incomplete


def require_verified(folder: ShardFolder) -> None:
    """Verify every shard; refuse by name those that do not count, with the command that does them again."""
    faults = folder.faults()
    if faults:
        raise incomplete(folder, faults)


def clear_up(folder: ShardFolder) -> None:
    """Remove what killed and late workers left behind; every shard is verified by now."""
    for _, path in folder.temporaries():
        path.unlink(missing_ok=True)
    for path in (folder.root / "shards").glob("*.put-aside-*"):
        path.unlink(missing_ok=True)

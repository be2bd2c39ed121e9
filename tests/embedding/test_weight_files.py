"""A file of weights is looked at before it is loaded."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from deft.embedding import weight_files
from deft.embedding.weight_files import require_plain_checkpoint, require_plain_safetensors
from deft.errors import InputRefused

TYPES = (
    torch.float32,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.int8,
    torch.uint16,
    torch.bool,
    torch.complex64,
)


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as written:
        for name, content in members.items():
            written.writestr(f"a/{name.replace('__', '/').replace('pkl', '.pkl')}", content)
    return path


def test_what_torch_saves_of_a_training_is_accepted(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    record = {
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameters": list(network.parameters()),
        "random": torch.get_rng_state(),
        "tensors": [torch.zeros(2, dtype=kind) for kind in TYPES],
        "plain": [1, 2.0, "x", b"x", None, True, {1}, (1,), 1j, torch.Size([2]), torch.float32],
    }
    torch.save(record, tmp_path / "best.pth")
    require_plain_checkpoint(tmp_path / "best.pth")
    assert torch.load(tmp_path / "best.pth", weights_only=True)["plain"][0] == 1


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"datapkl": b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00x\x85R."}, "would run 'posix system'"),
        ({"datapkl": b"\x80\x04\x8c\x05posix\x8c\x06system\x93."}, "STACK_GLOBAL"),
        ({"datapkl": b"(S'x'\niposix\nsystem\n."}, "INST"),
        ({"datapkl": b"\x80\x02cbuiltins\nbytearray\n."}, "bytearray"),
        ({"version": b"3"}, "0 pickles"),
        ({"datapkl": pickle.dumps({}), "code__x": b""}, "foreign member 'a/code/x'"),
    ],
)
def test_what_is_more_than_weights_is_refused_by_name(
    tmp_path: Path, members: dict[str, bytes], fault: str
) -> None:
    with pytest.raises(InputRefused, match=f"{fault}.*best.pth"):
        require_plain_checkpoint(archive(tmp_path / "best.pth", **members))


def test_a_large_pickle_or_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"state_dict": {}}, tmp_path / "best.pth")
    for name in ("MAX_PICKLE_BYTES", "MAX_MEMBERS", "MAX_DIRECTORY_BYTES"):
        with monkeypatch.context() as lowered:
            lowered.setattr(weight_files, name, 1)
            with pytest.raises(InputRefused, match=r"best\.pth"):
                require_plain_checkpoint(tmp_path / "best.pth")


def test_a_safetensors_file_with_a_usual_header_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    require_plain_safetensors(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes((2**30).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputRefused, match=r"header of 1073741824 bytes: .*a\.safetensors"):
        require_plain_safetensors(tmp_path / "a.safetensors")

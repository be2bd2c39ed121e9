"""Files that an attacker would hand over, each made in a few lines, and the reader that would meet it."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import pydoc
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from deft import files
from deft.embedding.pair_network import read_tensors
from deft.tools.grammar import compose
from deft.tools.visual_changenet.backbones import read_backbone
from deft.tools.visual_changenet.schema import ExperimentConfig
from deft.workspace.defect_types import defect_types
from deft.workspace.images import open_image
from deft.workspace.importers.folders_source import Columns, read_components
from deft.workspace.pairs import pair_stems
from deft.workspace.rows import read_table

Reader = Callable[[Path], Any]
MARKER = "executed"  # what runs would create this file beside itself


@dataclass(frozen=True)
class Malicious:
    """One file: what it is, its name, how it is written and what reads it."""

    what: str
    name: str
    write: Callable[[Path], None]
    read: Reader


class Calls:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def gadgets(path: Path) -> dict[str, object]:
    touch = f"touch '{path.parent / MARKER}'"
    return {
        "os.system": Calls(os.system, touch),
        "eval": Calls(eval, f"__import__('os').system({touch!r})"),
        "pydoc": Calls(pydoc.pipepager, "text", touch),
    }


# --- checkpoints -----------------------------------------------------------------------------


def raw_pickle(gadget: str, path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": gadgets(path)[gadget]}, protocol=2))


def torch_zip(gadget: str, path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "epoch": gadgets(path)[gadget]}, path)


def torch_legacy(path: Path) -> None:
    record = {"state_dict": gadgets(path)["os.system"]}
    torch.save(record, path, _use_new_zipfile_serialization=False)


def torch_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            add(archive, name, pickle.dumps(gadgets(path)["os.system"], protocol=2))


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **fields: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in fields.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(content))


def with_members(members: dict[str, bytes], path: Path, *, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def plain_pickle(record: object = None) -> bytes:
    return pickle.dumps({"state_dict": record}, protocol=2)


def nested_pt2(path: Path) -> None:
    inner = path.with_name("inner")
    torch_zip("os.system", inner)
    with_members({"a/data.pkl": plain_pickle(), "a/data/weights.pt2": inner.read_bytes()}, path)


def torch_script(path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


def inflating(path: Path) -> None:
    """One member that grows 10^6 times: zlib stops near 1,000, so its size is forged too."""
    with_members(
        {"a/data.pkl": plain_pickle(), "a/data/0": bytes(200_000_000)}, path, method=zipfile.ZIP_DEFLATED
    )
    forge_sizes(path, b"a/data/0", 10**6 * 200_000)


def forge_sizes(path: Path, name: bytes, size: int) -> None:
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02", 0, content.rfind(name))
    struct.pack_into("<L", content, place + 24, min(size, 0xFFFFFFFE))
    path.write_bytes(content)


def overlapping(path: Path) -> None:
    """Members of the directory that all stand for the same bytes of the file."""
    with_members(
        {"a/data.pkl": plain_pickle(), **{f"a/data/{n}": b"" for n in range(50)}, "a/data/99": bytes(10**6)},
        path,
    )
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\x01\x02")
    while place >= 0:
        if b"data/" in content[place + 46 : place + 60]:
            struct.pack_into("<LL", content, place + 20, 10**6, 10**6)
        place = content.find(b"PK\x01\x02", place + 4)
    path.write_bytes(content)


def many_members(path: Path) -> None:
    count = 1_000_000
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(directory + end64 + locator + end)


def safetensors(header: bytes, path: Path, *, length: int | None = None) -> None:
    path.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header)


def lying_offsets() -> bytes:
    tensor = {"dtype": "F32", "shape": [2**31, 2**10], "data_offsets": [0, 2**43]}
    return json.dumps({"weight": tensor}).encode()


def numpy_objects(path: Path) -> None:
    held = np.array([gadgets(path)["os.system"]], dtype=object)
    with path.open("wb") as stream:
        np.savez(stream, held) if path.suffix == ".npz" else np.save(stream, held, allow_pickle=True)


CHECKPOINTS = [
    *(
        Malicious(f"raw pickle, {g}", "best.pth", partial(raw_pickle, g), read_tensors)
        for g in ("os.system", "eval", "pydoc")
    ),
    *(
        Malicious(f"zip .pth, {g}", "best.pth", partial(torch_zip, g), read_tensors)
        for g in ("os.system", "eval", "pydoc")
    ),
    Malicious("torch's old pickle", "best.pth", torch_legacy, read_tensors),
    Malicious("torch's old tar", "best.pth.tar", torch_tar, read_tensors),
    Malicious("nested .pt2", "best.pth", nested_pt2, read_tensors),
    Malicious("TorchScript", "best.pt", torch_script, read_tensors),
    Malicious(
        "zip slip",
        "best.pth",
        partial(with_members, {"../../executed": b"x", "a/data.pkl": plain_pickle()}),
        read_tensors,
    ),
    Malicious(
        "absolute member", "best.pth", partial(with_members, {"/tmp/data.pkl": plain_pickle()}), read_tensors
    ),
    Malicious("bomb of 10^6 : 1", "best.pth", inflating, read_tensors),
    Malicious("overlapping members", "best.pth", overlapping, read_tensors),
    Malicious("10^6 members", "best.pth", many_members, read_tensors),
    Malicious(
        "pickle that allocates 10 GB",
        "best.pth",
        partial(with_members, {"a/data.pkl": plain_pickle(Calls(bytearray, 10**10)), "a/version": b"3"}),
        read_tensors,
    ),
    Malicious(
        "half a pickle",
        "best.pth",
        partial(with_members, {"a/data.pkl": plain_pickle()[:-9], "a/version": b"3"}),
        read_tensors,
    ),
    Malicious("object array .npy", "best.npy", numpy_objects, read_tensors),
    Malicious("object array .npz", "best.npz", numpy_objects, read_tensors),
    Malicious(
        "safetensors, endless header",
        "backbone.safetensors",
        partial(safetensors, b"{}", length=2**62),
        read_backbone,
    ),
    Malicious(
        "safetensors, lying offsets",
        "backbone.safetensors",
        partial(safetensors, lying_offsets()),
        read_backbone,
    ),
]

# --- YAML ------------------------------------------------------------------------------------


def text(content: str, path: Path) -> None:
    path.write_text(content, encoding="utf-8")


def spec(path: Path) -> object:
    return compose(ExperimentConfig, path, [])


def secret_spec(path: Path) -> object:
    config = spec(path)
    return config.results_dir


ALIASES = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10)
)
YAML = [
    Malicious("YAML alias bomb", "spec.yaml", partial(text, ALIASES), spec),
    Malicious("YAML merge bomb", "spec.yaml", partial(text, MERGES), files.read_yaml),
    Malicious("YAML that holds itself", "spec.yaml", partial(text, "a: &a [*a]"), spec),
    Malicious(
        "YAML python tag",
        "spec.yaml",
        partial(text, f"a: !!python/object/apply:os.system ['touch {MARKER}']"),
        spec,
    ),
    Malicious("YAML python name", "spec.yaml", partial(text, "a: !!python/name:os.system"), files.read_yaml),
    Malicious("YAML duplicate keys", "spec.yaml", partial(text, "task: classify\ntask: segment"), spec),
    Malicious("YAML of 100,000 levels", "spec.yaml", partial(text, "[" * 100_000), spec),
    Malicious(
        "YAML scalar of 100 MB", "spec.yaml", lambda path: path.write_bytes(b"a: " + b"x" * 10**8), spec
    ),
    Malicious(
        "YAML number in base 60", "spec.yaml", partial(text, "a: " + "1:" * 200_000 + "1"), files.read_yaml
    ),
    Malicious("YAML of 10^5 nodes", "spec.yaml", partial(text, "[" + "1," * 100_000 + "1]"), files.read_yaml),
    Malicious("YAML complex key", "spec.yaml", partial(text, "? [a]\n: 1"), files.read_yaml),
    Malicious(
        "spec that asks for a variable",
        "spec.yaml",
        partial(text, "results_dir: ${oc.env:PATH}"),
        secret_spec,
    ),
    Malicious(
        "JSON of 10^5 levels", "defect_spec.jsonl", partial(text, "[" * 100_000), partial(defect_types, ["a"])
    ),
]

# --- archives, where pictures and tables are expected ----------------------------------------


def tar_link_then_write(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        add(archive, "link", type=tarfile.SYMTYPE, linkname="..")
        add(archive, f"link/{MARKER}", b"x")


def tar_device(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        add(archive, "disk", type=tarfile.BLKTYPE, devmajor=8)


def tar_hard_link(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        add(archive, "passwd", type=tarfile.LNKTYPE, linkname="/etc/passwd")


def inflated_text(path: Path) -> None:
    with gzip.open(path, "wb", 9) as stream:
        for _ in range(100):
            stream.write(bytes(10**6))


def pool(path: Path) -> object:
    return pair_stems(path.parent, path.parent)


def imported(path: Path) -> object:
    table = path.with_name("labels.csv")
    table.write_text(f"image,label\n{path.stem},PASS\n", encoding="utf-8")
    return read_components(path.parent, path.parent, table, columns=Columns())


SLIP = {f"../{MARKER}": b"x"}
ARCHIVES = [
    Malicious("zip slip in the pool", "pairs.zip", partial(with_members, SLIP), pool),
    Malicious("tar with a link in the pool", "pairs.tar", tar_link_then_write, pool),
    Malicious("tar with a link as picture", "C1.jpg", tar_link_then_write, open_image),
    Malicious("tar with a device as picture", "C1.tif", tar_device, open_image),
    Malicious("tar with a hard link out", "C1.png", tar_hard_link, open_image),
    Malicious("gzip bomb as table", "rows.csv", inflated_text, read_table),
    Malicious("zip slip as table", "rows.parquet", partial(with_members, SLIP), files.read_parquet),
    Malicious("zip slip as model", "best.pth", partial(with_members, SLIP), read_tensors),
]

# --- images ----------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"", colour: int = 2) -> bytes:
    header = chunk(b"IHDR", struct.pack(">2L5B", width, height, 8, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data or bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + body + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = 100_000
    control = chunk(b"acTL", struct.pack(">2L", frames, 0))
    frame = struct.pack(">5L2H2B", 0, 1, 1, 0, 0, 1, 1, 0, 0)
    picture = png(1, 1, control, chunk(b"fcTL", frame), data=bytes(4))
    more = b"".join(
        chunk(b"fcTL", struct.pack(">L", 2 * n + 1) + frame[4:])
        + chunk(b"fdAT", struct.pack(">L", 2 * n + 2) + zlib.compress(bytes(4)))
        for n in range(frames - 1)
    )
    return picture[:-12] + more + picture[-12:]


def tiff(width: int, height: int, *, strip: int) -> bytes:
    """A header, 8 bytes of picture, and a directory that claims a picture of one strip."""
    fields = (
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 5),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, strip),
    )
    directory = b"".join(struct.pack("<2HLL", tag, kind, 1, value) for tag, kind, value in fields)
    return b"II*\0" + struct.pack("<L", 16) + bytes(8) + struct.pack("<H", len(fields)) + directory + bytes(4)


def picture(form: str, size: tuple[int, int] = (64, 64), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, form, **options)
    return buffer.getvalue()


def many_scans() -> bytes:
    """A progressive JPEG whose last scan is repeated until decoding would take minutes."""
    content = picture("JPEG", (3000, 3000), progressive=True, quality=20)
    last = content.rfind(b"\xff\xda")
    return content[:last] + content[last:-2][:60] * 20_000 + b"\xff\xd9"


def encapsulated() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60000 60000\n%%EndComments\n(executed) (w) file\n\n"


def fits() -> bytes:
    cards = (
        "SIMPLE  =                    T",
        "BITPIX  =                    8",
        "NAXIS   =                    2",
        "NAXIS1  =                60000",
        "NAXIS2  =                60000",
        "END",
    )
    return "".join(card.ljust(80) for card in cards).ljust(2880).encode()


def photoshop() -> bytes:
    return struct.pack(">4sH6xHLLHH", b"8BPS", 1, 3, 60000, 60000, 8, 3) + bytes(20)


def bitmap() -> bytes:
    return struct.pack("<2sL4xL", b"BM", 100, 54) + struct.pack(
        "<LllHHLLllLL", 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0
    )


def image(what: str, name: str, make: Callable[[], bytes]) -> Malicious:
    return Malicious(what, name, lambda path: path.write_bytes(make()), open_image)


IMAGES = [
    image("PNG of 60,000 x 60,000", "C1.png", lambda: png(60_000, 60_000)),
    image("PNG just under the pixels, RGBA", "C1.png", lambda: png(8_000, 7_990, colour=6)),
    image("FITS as .jpg", "C1.jpg", fits),
    image("PSD as .png", "C1.png", photoshop),
    image("EPS as .jpg", "C1.jpg", encapsulated),
    image("PDF as .png", "C1.png", lambda: picture("PDF")),
    image("GIF as .png", "C1.png", lambda: picture("GIF")),
    image("WebP as .jpg", "C1.jpg", lambda: picture("WEBP")),
    image("truncated JPEG", "C1.jpg", lambda: picture("JPEG")[:-200]),
    image("JPEG of thousands of scans", "C1.jpg", many_scans),
    image("APNG of 10^5 frames", "C1.png", animated),
    image("TIFF of 60,000 x 60,000", "C1.tif", lambda: tiff(60_000, 60_000, strip=8)),
    image("TIFF of one endless strip", "C1.tif", lambda: tiff(8_000, 7_900, strip=2**31)),
    image("BMP of 60,000 x 60,000", "C1.bmp", bitmap),
    image(
        "PNG of endless compressed text",
        "C1.png",
        lambda: png(1, 1, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20), 9))] * 80, data=bytes(4)),
    ),
]

# --- tables ----------------------------------------------------------------------------------


def repeated_rows(path: Path) -> None:
    block = pa.table({"filepath": pa.array(np.zeros(10**6, np.int64))})
    with pq.ParquetWriter(path, block.schema) as writer:
        for _ in range(60):
            writer.write_table(block)


def repeated_text(path: Path) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**6, np.int32)), pa.array(["x" * 10**6]))
    pq.write_table(pa.table({"filepath": words}), path, store_schema=False)


def announced_page(path: Path) -> None:
    pq.write_table(
        pa.table({"filepath": ["x" * (15 * 10**7)]}), path, compression="zstd", use_dictionary=False
    )


HEADER = "input_path,golden_path,label,object_name"
TABLES = [
    Malicious("Parquet of 6 x 10^7 equal rows", "gaps.parquet", repeated_rows, files.read_parquet),
    Malicious("Parquet of one text, 10^6 times", "gaps.parquet", repeated_text, files.read_parquet),
    Malicious("Parquet of one endless text", "gaps.parquet", announced_page, files.read_parquet),
    Malicious(
        "half a Parquet file",
        "gaps.parquet",
        lambda path: path.write_bytes(b"PAR1" + bytes(99)),
        files.read_parquet,
    ),
    Malicious("CSV of 10^7 columns", "rows.csv", partial(text, HEADER + "," * 10**7), read_table),
    Malicious(
        "CSV of 10^7 columns, by pandas", "labels.csv", partial(text, "a" + "," * 10**7), files.read_csv
    ),
    Malicious(
        "CSV that never closes a quote",
        "rows.csv",
        partial(text, f'{HEADER}\n"' + "x\n" * 5 * 10**6),
        read_table,
    ),
    Malicious(
        "CSV that calls a program",
        "rows.csv",
        partial(text, f"{HEADER}\n=cmd|' /C calc'!A0,ok,PASS,U1\n"),
        read_table,
    ),
]

ALL = [*CHECKPOINTS, *YAML, *ARCHIVES, *IMAGES, *TABLES]

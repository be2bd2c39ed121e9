"""Look at a file of weights before anything loads it: what it is made of, and how large that may become.

A checkpoint is a zip archive that `torch.save` wrote: stored members under known names, and one pickle that
may only build tensors and plain values. Whatever else it holds is refused by name, before torch opens it.
"""

from __future__ import annotations

import os
import pickletools
import re
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from deft.errors import InputRefused

MAX_MEMBERS = 20_000
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
MAX_PICKLE_BYTES = 32 * 1024 * 1024
MAX_HEADER_BYTES = 16 * 1024 * 1024
MEMBER = re.compile(
    r"[^/\\]+/(data\.pkl|version|byteorder|data/\d+|\.data/serialization_id|\.format_version|\.storage_alignment)"
)
# What a pickle of weights may name. torch allows a few more, of which `bytearray` is a bomb.
ALLOWED = re.compile(
    r"collections OrderedDict|(__builtin__|builtins) (set|complex)|_codecs encode"
    r"|torch\._utils _rebuild_(tensor_v[23]|parameter|parameter_with_state)"
    r"|torch\.serialization _get_layout"
    r"|torch\.storage (Untyped|Typed)Storage"
    r"|torch (\w+Storage|Size|device|bool|u?int\d+|b?float\d+(_\w+)?|complex\d+|strided)"
)
HINT = "save the weights again with torch 1.6 or newer: torch.save({'state_dict': model.state_dict()}, path)"
_END = struct.Struct("<4s4H2LH")  # the end of a zip archive's directory, and its 64-bit form
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LONGEST_COMMENT = 65_535


def require_plain_checkpoint(path: Path) -> None:
    """Refuse a file that is no archive of tensors and plain values, or that would grow when it is read.

    Raises InputRefused, naming the file: not a zip archive (raw pickles, old tar files), too many or foreign
    or compressed or overlapping members, a pickle that names anything but tensors and plain values.
    """
    try:
        with open(path, "rb") as stream:
            _require_small_directory(stream, path)
            with zipfile.ZipFile(stream) as archive:
                pickled = _require_plain_members(archive, os.fstat(stream.fileno()).st_size, path)
                _require_plain_pickle(archive.read(pickled), path)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, EOFError, OSError) as error:
        raise _refusal(
            f"is no archive that torch wrote ({' '.join(str(error).split())[:100]})", path
        ) from None


def require_plain_safetensors(path: Path) -> None:
    """Refuse a safetensors file whose header is larger than any model's."""
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise _refusal(f"announces a header of {length} bytes", path)


def _refusal(fault: str, path: Path) -> InputRefused:
    return InputRefused(f"checkpoint cannot be read: it {fault}", value=path, hint=HINT)


def _require_small_directory(stream: BinaryIO, path: Path) -> None:
    """Read the archive's own account of its directory, which zipfile would load whole."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END.size - _LONGEST_COMMENT))
    tail = stream.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0:
        raise _refusal("is not a zip archive, as torch has written since 1.6", path)
    members, length = _END.unpack_from(tail, place)[4:6]
    if place >= _LOCATOR.size and tail[place - _LOCATOR.size :].startswith(b"PK\x06\x07"):
        stream.seek(_LOCATOR.unpack_from(tail, place - _LOCATOR.size)[2])
        members, length = _END64.unpack(stream.read(_END64.size))[7:9]
    if members > MAX_MEMBERS or length > MAX_DIRECTORY_BYTES:
        raise _refusal(f"has {members} members in {length} bytes of directory", path)


def _require_plain_members(archive: zipfile.ZipFile, size: int, path: Path) -> zipfile.ZipInfo:
    """Return the archive's pickle; members must be known by name, stored as they are, and fit the file."""
    members = archive.infolist()
    for member in members:
        if not MEMBER.fullmatch(member.filename):
            raise _refusal(f"has the foreign member {ascii(member.filename)[:80]}", path)
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise _refusal(f"has the compressed member {member.filename[:80]}", path)
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > size:
        raise _refusal("has members that together are larger than the file", path)
    pickles = [member for member in members if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
        raise _refusal(f"has {len(pickles)} pickles, or one above {MAX_PICKLE_BYTES >> 20} MiB", path)
    return pickles[0]


def _require_plain_pickle(content: bytes, path: Path) -> None:
    """Walk a pickle without running it, and refuse one that names what does not belong to weights."""
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "GLOBAL" and not ALLOWED.fullmatch(str(argument)):
                raise _refusal(f"would run {ascii(argument)[:80]}", path)
            if opcode.name in ("INST", "OBJ", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                raise _refusal(f"would run code ({opcode.name})", path)
    except ValueError as error:
        raise _refusal(f"holds no whole pickle ({str(error)[:80]})", path) from None

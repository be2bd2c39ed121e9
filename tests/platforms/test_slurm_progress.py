"""How far a job is, read from what its output has grown by."""

from __future__ import annotations

from types import SimpleNamespace

from deft.platforms.slurm.progress import OutputWatch


class Bar:
    def __init__(self) -> None:
        self.reached: list[tuple[float, float | None]] = []

    def reach(self, done: float, total: float | None = None) -> None:
        self.reached.append((done, total))


def test_lines_move_the_bar_once_each_also_when_they_arrive_in_pieces(tmp_path):
    bar, output = Bar(), tmp_path / "output.log"
    watch = OutputWatch(SimpleNamespace(output=output), bar)
    watch.show()
    with open(output, "ab", buffering=0) as stream:
        stream.write(b'hello\nPROGRESS {"done": 1, "total": 4}\nPROGRESS {"do')
        watch.show()
        watch.show()
        stream.write(b'ne": 2, "total": 4}\n')
        watch.show()
    assert bar.reached == [(1.0, 4.0), (2.0, 4.0)]

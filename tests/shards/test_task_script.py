"""The script and the lines of shards that tasks of an array read."""

from __future__ import annotations

from deft.shards.launchers import task_script
from deft.shards.launchers.task_script import write_tasks
from shard_fixtures import Mining


def test_the_interpreter_of_the_nodes_is_named_and_blanks_stay_in_one_word(mining: Mining) -> None:
    folder = mining.plan("two words", 1)
    script = task_script.task_script(folder, folder.root / "x", "/shared/my python", "TASK")
    assert f"exec '/shared/my python' -m deft shard run '{folder.root}' " in script
    assert "${tasks[$TASK]}" in script


def test_more_shards_than_tasks_are_dealt_out(mining: Mining, monkeypatch) -> None:
    monkeypatch.setattr(task_script, "TASKS_AT_MOST", 2)
    folder = mining.plan("cut", 3)
    assert write_tasks(folder, folder.root, folder.shards, "python", "TASK") == 2
    assert (folder.root / "tasks").read_text() == "--id 0 --id 2\n--id 1\n"

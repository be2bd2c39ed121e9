"""Settings of a platform come from the workspace and stand in the plan."""

from __future__ import annotations

import pytest

from deft import files
from deft.errors import InputRefused, UsageError
from deft.platforms.registry import platform_named
from deft.platforms.settings import read_platform_settings
from deft.workspace.layout import Workspace


def test_a_workspace_without_settings_has_none(tmp_path):
    assert read_platform_settings(tmp_path, "docker") == {}


def test_the_section_of_the_platform_is_read_and_no_other(tmp_path):
    files.write_yaml(Workspace(tmp_path).platform_settings, {"docker": {"gpus": "all"}, "slurm": {}})
    assert read_platform_settings(tmp_path, "docker") == {"gpus": "all"}


@pytest.mark.parametrize("content", [[1], {"docker": "all"}])
def test_settings_of_another_shape_are_refused(tmp_path, content):
    files.write_yaml(Workspace(tmp_path).platform_settings, content)
    with pytest.raises(InputRefused, match="mapping"):
        read_platform_settings(tmp_path, "docker")


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(UsageError, match="unknown setting of platform embedded"):
        platform_named("embedded", {"colour": "red"})

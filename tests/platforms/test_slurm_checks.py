"""The pre-flight of a cluster: questions only, one line and one cure for each failure."""

from __future__ import annotations

import socket

import pytest

from deft.platforms.slurm.checks import kind_of_file_system, slurm_checks
from deft.platforms.slurm.settings import SlurmSettings
from fake_slurm import PARTITIONS, FakeSlurm

HERE = socket.gethostname()


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    fake = FakeSlurm(tmp_path, monkeypatch)
    answers(fake)
    return fake


def answers(fake: FakeSlurm, host: str = HERE, enforce: str = "none") -> None:
    fake.answer(
        "scontrol",
        'case "$*" in\n'
        f"*partition*) printf '{PARTITIONS.replace(chr(10), chr(92) + 'n')}' ;;\n"
        f"*node*) echo NodeName=a1 NodeHostName={host} Gres=gpu:a100:4 ;;\n"
        f"*config*) echo 'AccountingStorageEnforce = {enforce}' ;;\n"
        "esac",
    )


def found(tmp_path, **given):
    settings = SlurmSettings.from_mapping({k: v for k, v in given.items() if not k.endswith("_image")})
    checks = slurm_checks(tmp_path, settings, given)
    for check in checks:
        assert check.passed or check.cure
        assert "\n" not in check.detail
    return {check.name: check for check in checks}


def test_a_cluster_that_fits_passes_and_nothing_is_submitted(slurm, tmp_path):
    checks = found(tmp_path, time_limit="04:00:00")
    assert all(check.passed for check in checks.values()), checks
    assert checks["partition"].detail == "gpu is UP"
    assert checks["time limit"].detail == "04:00:00 of at most 2-00:00:00"
    assert slurm.words("sbatch") == slurm.words("srun") == []


@pytest.mark.parametrize(
    ("given", "name", "detail"),
    [
        ({"partition": "nowhere"}, "partition", "no partition nowhere; there are gpu, old"),
        ({"partition": "old"}, "partition", "old is DOWN"),
        ({"time_limit": "3-00:00:00"}, "time limit", "3-00:00:00 of at most 2-00:00:00"),
    ],
)
def test_what_does_not_fit_is_named(slurm, tmp_path, given, name, detail):
    check = found(tmp_path, **given)[name]
    assert not check.passed
    assert check.detail == detail


def test_a_machine_without_slurm_is_one_failed_check(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = found(tmp_path)
    assert list(checks) == ["slurm commands"]
    assert "sbatch" in checks["slurm commands"].detail


def test_a_silent_controller_is_one_failed_check(slurm, tmp_path):
    slurm.answer("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    checks = found(tmp_path)
    assert list(checks) == ["slurm controller"]
    assert "Unable to contact" in checks["slurm controller"].detail


def test_an_account_is_demanded_where_the_cluster_keeps_accounts_and_the_user_has_no_default(slurm, tmp_path):
    answers(slurm, enforce="associations,limits")
    assert not found(tmp_path)["account"].passed
    assert found(tmp_path, account="vision")["account"].passed
    slurm.say("sacctmgr", "vision\n")
    assert found(tmp_path)["account"].detail == "your default, vision"


def test_a_disk_of_this_machine_alone_is_no_workspace_for_other_nodes(slurm, tmp_path, monkeypatch):
    answers(slurm, host="a1")
    monkeypatch.setattr("deft.platforms.slurm.checks.kind_of_file_system", lambda path: "ext4")
    check = found(tmp_path)["shared file system"]
    assert not check.passed
    assert "shared_filesystem: true" in check.cure
    assert found(tmp_path, shared_filesystem=True)["shared file system"].passed
    monkeypatch.setattr("deft.platforms.slurm.checks.kind_of_file_system", lambda path: "nfs4")
    assert found(tmp_path)["shared file system"].passed


def test_the_deepest_mount_above_a_path_says_its_kind(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        f"2 1 0:9 / {tmp_path}/my\\040home rw shared:1 - nfs4 server:/home rw\n"
        f"3 1 0:9 / {tmp_path}/my rw - tmpfs tmpfs rw\n"
    )
    assert kind_of_file_system(tmp_path / "my home" / "workspace", table) == "nfs4"
    assert kind_of_file_system(tmp_path / "my" / "workspace", table) == "tmpfs"
    assert kind_of_file_system(tmp_path / "mything", table) == "ext4"


def test_containers_need_pyxis_images_by_digest_and_a_key_that_is_named_only(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("ENROOT_CONFIG_PATH", str(tmp_path / "enroot"))
    pinned = f"registry.example/nvidia/tao/tao-toolkit@sha256:{'a' * 64}"
    checks = found(tmp_path, engine="pyxis", train_image=pinned)
    assert not checks["pyxis"].passed
    assert checks["train_image"].passed
    assert not checks["data_services_image"].passed
    assert not checks["registry key"].passed
    slurm.say("srun", "      --container-image=[USER@][REGISTRY#]IMAGE\n")
    (tmp_path / "enroot").mkdir()
    (tmp_path / "enroot" / ".credentials").write_text("machine registry.example login x password SECRET")
    checks = found(tmp_path, engine="pyxis", train_image=pinned)
    assert checks["pyxis"].passed
    assert checks["registry key"].passed
    assert "SECRET" not in str(checks)

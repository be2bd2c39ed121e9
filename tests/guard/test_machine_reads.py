"""Looks at the machine pass, and what the same programs change does not."""

from __future__ import annotations

import pytest

from deft.guard.machine_reads import MACHINE_RULES
from deft.guard.shell import Script


@pytest.mark.parametrize(
    ("harmless", "acting"),
    [
        ("nvidia-smi -q -i 0", "nvidia-smi --gpu-reset"),
        ("nvidia-smi dmon -c 1", "nvidia-smi dmon -f out"),
        ("scontrol show job 5", "scontrol update job 5"),
        ("sacctmgr show qos", "sacctmgr delete user x"),
        ("helm list", "helm install x"),
        ("unzip -l a.zip", "unzip a.zip"),
        ("tar -tzf a.tgz", "tar -xzf a.tgz"),
        ("tar tf a.tar", "tar tf host:a.tar"),
        ("tar tvf a.tar", "tar tvf a.tar --to-command=sh"),
        ("top -b -n 1", "top"),
        ("wait -n 7", "wait -n -p PATH"),
        ("wait", "wait $X"),
        ("pip list --format=json", "pip list --log out"),
        ("pip3 show torch", "pip3 install torch"),
        ("conda env list", "conda env remove x"),
        ("systemctl status docker --no-pager", "systemctl stop docker"),
        ("journalctl -u docker -n 20", "journalctl --vacuum-size=1"),
        ("journalctl", "journalctl --cursor-file=x"),
        ("getconf _NPROCESSORS_ONLN", "getconf -v x"),
        ("ulimit -n", "ulimit -n 5"),
        ("crontab -l", "crontab -r"),
        ("mount", "mount /dev/sda /x"),
        ("dmesg -T", "dmesg -C"),
        ("ip addr show dev eth0", "ip addr flush dev eth0"),
        ("ip -br link", "ip link delete eth0"),
        ("ss -ltn", "ss -K dst x"),
        ("netstat -tln", "netstat --x"),
        ("lsof -i :8080", "lsof -Db"),
    ],
)
def test_a_look_passes_and_a_change_does_not(harmless: str, acting: str) -> None:
    for command, passes in ((harmless, True), (acting, False)):
        words = Script(command).commands[0].words
        assert MACHINE_RULES[str(words[0].literal())](words[1:]) is passes, command

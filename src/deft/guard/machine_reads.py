"""Looks at the machine: how its processes, devices, services and packages are asked without changing them.

Standard library only, Python 3.8 on. Where a program has more ways to act than to show,
what shows is written out. What prints the whole environment, and with it secrets, is no look at the machine.
"""

from __future__ import annotations

import re

from deft.guard.arguments import listing, written_as
from deft.guard.shell_words import Word

NVIDIA_SMI = re.compile(
    r"-[Lqxdilhm]|-i=?\d+|--(?:query-[a-z-]+|format|id|list-gpus|query|help|version)(?:=.*)?|topo|\d+|[A-Z_,]+"
)
_NAMES = r"(?: [\w][\w.@+-]*)*"
_PACKAGES = r"(?: (?:\w[\w.+-]*|--format=[a-z]+))*"
_JOB = r"(?:[0-9]+|%[0-9]+|-n)"
_ENTRIES = r"(?:-u \w[\w.@-]*|-n ?[0-9]+|-[efkbx]|--no-pager|--since=[\w:-]+)"


def _nvidia_smi(arguments: list[Word]) -> bool:
    words = [word.literal() or "-" for word in arguments]
    if words[:1] in (["dmon"], ["pmon"]):
        return all(re.fullmatch(r"-[cdsio]|[0-9]+|[a-z]+", word) for word in words[1:])
    return all(NVIDIA_SMI.fullmatch(word) for word in words)


def _scontrol(arguments: list[Word]) -> bool:
    return [word.literal() for word in arguments[:1]] == ["show"]


MACHINE_RULES = {
    "nvidia-smi": _nvidia_smi,
    "scontrol": _scontrol,
    "sacctmgr": listing("show", "list"),
    "helm": listing("list", "ls", "status", "history"),
    "unzip": listing("-l"),
    "tar": written_as(r"-?t[vzjJ]*f [^\s:-][^\s:]*"),  # a colon names another machine
    "top": written_as(r"-bn ?1|-b -n ?1|-n ?1 -b"),
    "wait": written_as("(?:{0}(?: {0})*)?".format(_JOB)),  # -p gives a variable a value
    "pip": written_as("(?:list|show|freeze)" + _PACKAGES),
    "pip3": written_as("(?:list|show|freeze)" + _PACKAGES),
    "conda": written_as("(?:list|info|env list)" + _NAMES),
    "systemctl": written_as("(?:--no-pager )?(?:status|is-active|is-enabled)" + _NAMES + "(?: --no-pager)?"),
    "journalctl": written_as("(?:{0}(?: {0})*)?".format(_ENTRIES)),
    "getconf": written_as("-a|[A-Z_]+"),
    "ulimit": written_as("-a|-[nvmustc]"),
    "crontab": written_as("-l"),
    "mount": written_as("(?:-l)?"),
    "dmesg": written_as("(?:-T)?"),
    "ip": written_as(r"(?:-(?:br|4|6) )?(?:a|addr|address|r|route|l|link)(?: show(?: (?:dev )?\w[\w.-]*)?)?"),
    "ss": written_as("(?:-[tulnpaeims46]+(?: -[tulnpaeims46]+)*)?"),
    "netstat": written_as("(?:-[tulnpaeirs46]+(?: -[tulnpaeirs46]+)*)?"),
    "lsof": written_as(r"-i(?: ?:[0-9]+)?|-p [0-9]+|[/\w][^\s]*"),
}

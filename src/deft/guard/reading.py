"""Which commands only read: each with the arguments that would make it do more.

Standard library only, Python 3.8 on. What is not named here counts as having an effect.
"""

from __future__ import annotations

import re

from deft.guard.shell_words import Word
from deft.guard.variables import is_free_name

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Callable

    Rule = Callable[[list[Word]], bool]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# These read whatever their arguments are, so a word that only the shell can know may stand among them.
ANY_ARGUMENTS = _names(
    "ls dir cat tac nl head tail wc grep egrep fgrep cut tr paste join comm cmp diff stat du df realpath "
    "readlink basename dirname echo pwd true false : id whoami groups uname nproc free uptime lscpu lsblk "
    "md5sum sha1sum sha256sum sha512sum cksum base64 strings od hexdump rev fold expand column seq jq zcat "
    "ps pgrep lspci lsmod which type sleep wait sinfo squeue sacct sprio help"
)
VERSION_OF = _names(
    "python python3 docker podman kubectl git nvcc node npm gcc make cmake bash sbatch srun rg jq helm "
    "claude apptainer singularity pip pip3 conda uv java go"
)
FIND_ACTS = ("-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls")
DOCKER_READS = _names(
    "ps images inspect info version logs top port stats history diff "
    "image/inspect image/ls image/list image/history container/ls container/list container/inspect "
    "container/logs container/top volume/ls volume/inspect network/ls network/inspect compose/ps compose/ls "
    "system/df system/info"
)
KUBECTL_READS = _names("get describe logs top version explain api-resources api-versions cluster-info")
KUBECTL_OPTIONS = re.compile(
    r"-(?:[nolAw]|[no]=?[\w.=,\[\]{}@/*'\"$-]+)|--(?:namespace|output|selector|field-selector|all-namespaces|"
    r"all-containers|tail|since|container|show-labels|no-headers|sort-by|limit|client|context|previous)(?:=.*)?"
)
GIT_READS = _names(
    "status log diff show rev-parse ls-files ls-tree blame describe shortlog rev-list name-rev merge-base "
    "diff-tree count-objects"
)
GIT_LISTS = {
    "branch": ("-a", "-r", "-v", "-vv", "--list", "--all", "--show-current", "--verbose", "--remotes"),
    "tag": ("-l", "--list", "-n"),
    "remote": ("-v", "--verbose"),
    "stash": ("list",),
    "worktree": ("list",),
    "reflog": ("-5", "-10", "-20"),
}
GIT_BEFORE = ("--no-pager", "--no-optional-locks", "--literal-pathspecs")
NVIDIA_SMI = re.compile(
    r"-[Lqxdilhm]|-i=?\d+|--(?:query-[a-z-]+|format|id|list-gpus|query|help|version)(?:=.*)?|topo|\d+|[A-Z_,]+"
)
SED_PRINTS = re.compile(r"(?:/[^/\\\n]*/|[0-9$]+(?:,[0-9$+]+)?)p(?:;[0-9$]+(?:,[0-9$+]+)?p)*")
AWK_ACTS = ("system", "|", ">", "getline", "@", "\\\n")
DATE_SHOWS = re.compile(r"\+.*|-[uR]|-I\w*|-d.*|--(?:utc|iso-8601|date|rfc).*|[^-0-9].*", re.DOTALL)
TEXTS_ONLY = re.compile(r"%%|%-?[0-9]*(?:\.[0-9]+)?[sb]")
ARITHMETIC_TESTS = _names("-eq -ne -lt -le -gt -ge")
BETWEEN_TESTS = _names("= == != -a -o -nt -ot -ef ]")
BRACKET_TESTS = _names("-f -d -e -s -r -x -L -n -z ! == = != =~ ]]")


def only_reads(name: str, arguments: list[Word]) -> bool:
    """Say whether a command of this name with these arguments has no effect but what it prints."""
    if name in ANY_ARGUMENTS:
        return True
    if name in VERSION_OF and [word.literal() for word in arguments] == ["--version"]:
        return True
    rule = RULES.get(name)
    return rule is not None and rule(arguments)


def reads_with_any_arguments(name: str) -> bool:
    """Say whether a command stays harmless whatever is appended to it, as `xargs` does."""
    return name in ANY_ARGUMENTS


# --- what the rules are made of ------------------------------------------------------------------------


def _options(arguments: list[Word]) -> list[str] | None:
    """Return the words that begin with a dash; None if a word may turn into one that nobody has seen."""
    found = []
    for word in arguments:
        start = word.start()
        if start is None or (start[:1] == "-" and word.literal() is None):
            return None
        if start[:1] == "-":
            found.append(start)
    return found


def _is_one_of(option: str, long: tuple[str, ...]) -> bool:
    """Say whether an option is one of these or may be an abbreviation of one."""
    name = option.partition("=")[0]
    long_form = name.startswith("--") and len(name) > 2
    return long_form and any(name.startswith(known) or known.startswith(name) for known in long)


def _without(long: tuple[str, ...] = (), letters: str = "", operands: int | None = None) -> Rule:
    """Return a rule: no such long option, no such letter in a short one, not more operands."""

    def rule(arguments: list[Word]) -> bool:
        options = _options(arguments)
        if options is None or (operands is not None and len(arguments) - len(options) > operands):
            return False
        short = [option for option in options if not option.startswith("--")]
        if any(letter in option for option in short for letter in letters):
            return False
        return not any(_is_one_of(option, long) for option in options)

    return rule


# --- the rules -------------------------------------------------------------------------------------------


def _find(arguments: list[Word]) -> bool:
    options = _options(arguments)
    return options is not None and not any(option in FIND_ACTS for option in options)


def _ripgrep(arguments: list[Word]) -> bool:
    options = _options(arguments)
    acting = ("--pre", "--hostname-bin")
    return options is not None and not any(option.partition("=")[0] in acting for option in options)


def _docker(arguments: list[Word]) -> bool:
    first = [word.literal() for word in arguments[:2]]
    return bool(first) and (first[0] in DOCKER_READS or "/".join(map(str, first)) in DOCKER_READS)


def _kubectl(arguments: list[Word]) -> bool:
    options = _options(arguments)
    words = [word.literal() for word in arguments]
    shown = ("current-context", "get-contexts", "view")
    reads = words[:1] == ["config"] and len(words) > 1 and words[1] in shown
    if options is None or not (reads or (words and words[0] in KUBECTL_READS)):
        return False
    return all(KUBECTL_OPTIONS.fullmatch(option) for option in options)


def _git(arguments: list[Word]) -> bool:
    rest = list(arguments)
    while rest and rest[0].literal() in GIT_BEFORE:
        rest = rest[1:]
    if len(rest) > 1 and rest[0].literal() == "-C" and rest[1].start() is not None:
        rest = rest[2:]
    name = (rest[0].literal() if rest else None) or ""
    options = _options(rest)
    if options is None or any(_is_one_of(option, ("--output", "--ext-diff")) for option in options):
        return False
    if name in GIT_LISTS:
        listed = all(word.literal() in GIT_LISTS[name] for word in rest[1:])
        return listed and (len(rest) > 1 or name not in ("stash", "worktree"))
    return name in GIT_READS


def _nvidia_smi(arguments: list[Word]) -> bool:
    return all(NVIDIA_SMI.fullmatch(word.literal() or "-") for word in arguments)


def _sed(arguments: list[Word]) -> bool:
    words = [word.literal() or "" for word in arguments[:2]]
    prints = words[:1] == ["-n"] and SED_PRINTS.fullmatch(words[-1]) is not None
    return prints and _options(arguments) == ["-n"]


def _awk(arguments: list[Word]) -> bool:
    rest = list(arguments)
    while rest and (rest[0].literal() or "").startswith("-F"):
        rest = rest[2:] if rest[0].literal() == "-F" else rest[1:]
    program = (rest[0].literal() if rest else None) or "-"
    return not program.startswith("-") and not any(act in program for act in AWK_ACTS)


def _printf(arguments: list[Word]) -> bool:
    """Let texts be printed; what zsh prints as a number it computes, and that may run commands."""
    form = arguments[0].literal() if arguments else None
    if form is None or form.startswith("-"):
        return False
    return not TEXTS_ONLY.sub("", form).count("%") or all(_is_number(word) for word in arguments[1:])


def _is_number(word: Word) -> bool:
    return re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", word.literal() or "") is not None


def _numbers(arguments: list[Word]) -> bool:
    return all(_is_number(word) for word in arguments)


def _read(arguments: list[Word]) -> bool:
    names = [word.literal() or "" for word in arguments]
    return all(name == "-r" or is_free_name(name) for name in names)


def _set(arguments: list[Word]) -> bool:
    words = [word.literal() or "" for word in arguments]
    return bool(words) and all(re.fullmatch(r"[+-][eux]+o?|-o|pipefail", word) for word in words)


def _date(arguments: list[Word]) -> bool:
    return all(DATE_SHOWS.fullmatch(word.literal() or "-") for word in arguments)


def _test(arguments: list[Word]) -> bool:
    """Let `[ … ]` compare texts and files; `-v` and arithmetic may run what an array's subscript holds."""
    words = [word.literal() for word in arguments]
    if any("[" in part.text for word in arguments for part in word.parts):
        return False
    if any(word in ("-v", "-R", "-t") or word in ARITHMETIC_TESTS for word in words):
        return all(re.fullmatch(r"[0-9]+|\]|-[a-z]{2}", word or "") for word in words)
    after = [*words[1:], "]"]
    return all(
        after[position] in BETWEEN_TESTS and all(part.quoted for part in arguments[position].parts)
        for position, word in enumerate(words)
        if word is None
    )


def _double_bracket(arguments: list[Word]) -> bool:
    """Let `[[ … ]]` compare texts and files; arithmetic in it may run commands."""
    words = [word.literal() for word in arguments]
    special = [word for word in words if word is not None and (word[:1] in "-!=" or word == "]]")]
    closed = words[-1:] == ["]]"] and words.count("]]") == 1
    return closed and all(word in BRACKET_TESTS for word in special)


def _pager(arguments: list[Word]) -> bool:
    return all((word.start() or "-")[0] not in "+-" for word in arguments)


def _top(arguments: list[Word]) -> bool:
    words = " ".join(word.literal() or "?" for word in arguments)
    return re.fullmatch(r"-bn ?1|-b -n ?1|-n ?1 -b", words) is not None


def _pip(arguments: list[Word]) -> bool:
    first = arguments[0].literal() if arguments else None
    return first in ("list", "show", "freeze") and _options(arguments) == []


def _scontrol(arguments: list[Word]) -> bool:
    return [word.literal() for word in arguments[:1]] == ["show"]


RULES = {
    "find": _find,
    "docker": _docker,
    "podman": _docker,
    "kubectl": _kubectl,
    "git": _git,
    "nvidia-smi": _nvidia_smi,
    "sed": _sed,
    "awk": _awk,
    "mawk": _awk,
    "gawk": _awk,
    "printf": _printf,
    "exit": _numbers,
    "break": _numbers,
    "continue": _numbers,
    "read": _read,
    "set": _set,
    "date": _date,
    "test": _test,
    "[": _test,
    "[[": _double_bracket,
    "pip": _pip,
    "pip3": _pip,
    "scontrol": _scontrol,
    "less": _pager,
    "more": _pager,
    "top": _top,
    "rg": _ripgrep,
    "sort": _without(("--output", "--compress-program", "--temporary-directory"), "oT"),
    "uniq": _without(operands=1),
    "tree": _without(("--output",), "oR"),
    "file": _without(("--compile",), "C"),
    "xxd": _without(letters="r", operands=1),
    "hostname": _without(letters="bF", operands=0),
}  # type: dict[str, Rule]

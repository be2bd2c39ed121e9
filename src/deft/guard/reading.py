"""Which commands only read: each with the arguments that would make it do more.

Standard library only, Python 3.8 on. What is not named here counts as having an effect.
"""

from __future__ import annotations

import re

from deft.guard.arguments import is_number, is_one_of, options_of, stays_one_word, without
from deft.guard.machine_reads import MACHINE_RULES
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
    "md5sum sha1sum sha256sum sha512sum cksum strings od hexdump rev fold expand column seq jq zcat "
    "ps pgrep lspci lsmod which type sleep sinfo squeue sacct sstat sprio help who last cal numfmt expr"
)
VERSION_OF = _names(
    "python python3 python3.11 python3.12 python3.13 docker podman kubectl git nvcc node npm gcc make cmake "
    "bash sbatch srun rg jq helm claude apptainer singularity pip pip3 conda uv java go"
)
SHORT_VERSION = _names("python python3 node npm")
FIND_ACTS = ("-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls")
DOCKER_READS = _names(
    "ps images inspect info version logs top port stats history diff "
    "image/inspect image/ls image/list image/history container/ls container/list container/inspect "
    "container/logs container/top volume/ls volume/inspect network/ls network/inspect "
    "compose/ps compose/ls compose/logs system/df system/info context/ls manifest/inspect"
)
KUBECTL_READS = _names("get describe logs top version explain api-resources api-versions cluster-info")
KUBECTL_OPTIONS = re.compile(
    r"-(?:[nolAwcf]|[no]=?[\w.=,\[\]{}@/*'\"$-]+)|--(?:namespace|output|selector|field-selector|all-namespaces|"
    r"all-containers|tail|since|container|show-labels|no-headers|sort-by|limit|client|context|previous|follow|"
    r"watch)(?:=.*)?"
)
KUBECTL_BEFORE = re.compile(r"-n|--namespace|--context|--(?:namespace|context)=[\w.@:/-]+")
GIT_READS = _names(
    "status log diff show rev-parse ls-files ls-tree blame describe shortlog rev-list name-rev merge-base "
    "diff-tree count-objects grep"
)
GIT_LISTS = {
    "branch": ("-a", "-r", "-v", "-vv", "--list", "--all", "--show-current", "--verbose", "--remotes"),
    "tag": ("-l", "--list", "-n"),
    "remote": ("-v", "--verbose"),
    "stash": ("list",),
    "worktree": ("list",),
    "reflog": ("-5", "-10", "-20"),
}
GIT_SHOWS = {
    "config": re.compile(r"(?:--list|-l|--get(?: [\w.-]+)?)"),
    "cat-file": re.compile(r"-[ptse] [\w.:/^~@{}-]+"),
    "remote": re.compile(r"get-url [\w.-]+"),
    "reflog": re.compile(r"(?:show )?-n ?[0-9]+|-n ?[0-9]+|show"),
}
GIT_BEFORE = ("--no-pager", "--no-optional-locks", "--literal-pathspecs")
# In brackets a slash ends the pattern for one sed and not for another.
_SED_TEXT = r"(?:[^/\\\n\[]|\\[^\n]|\[[^\]/\n\\]+\])*"
_SED_PLACE = r"(?:[0-9]+|\$|/" + _SED_TEXT + "/)"
_SED_PLACES = _SED_PLACE + r"(?:,\+?" + _SED_PLACE + ")?"
SED_PRINTS = re.compile(
    "{0}[pd](?:;{0}[pd])*|{1}q|s/{2}/{2}/[gIp0-9]*".format(_SED_PLACES, _SED_PLACE, _SED_TEXT)
)
SED_OPTIONS = re.compile("-[nEr]+")
AWK_ACTS = ("system", "|", "getline", "@", "\\\n")
AWK_VALUE = re.compile(r"[A-Za-z_]\w*=[\w./:@%+,=-]*")
DATE_SHOWS = re.compile(r"\+.*|-[uR]|-I\w*|-d.*|--(?:utc|iso-8601|date|rfc).*|[^-0-9].*", re.DOTALL)
TEXTS_ONLY = re.compile(r"%%|%-?[0-9]*(?:\.[0-9]+)?[sb]")
ARITHMETIC_TESTS = _names("-eq -ne -lt -le -gt -ge")
BETWEEN_TESTS = _names("= == != -a -o -nt -ot -ef ]")
BRACKET_TESTS = _names("-f -d -e -s -r -x -L -n -z ! == = != =~ ]]")


def only_reads(name: str, arguments: list[Word]) -> bool:
    """Say whether a command of this name with these arguments has no effect but what it prints."""
    if name in ANY_ARGUMENTS:
        return True
    given = [word.literal() for word in arguments]
    if name in VERSION_OF and (
        given == ["--version"] or (given in (["-V"], ["-v"]) and name in SHORT_VERSION)
    ):
        return True
    rule = RULES.get(name)
    return rule is not None and rule(arguments)


def reads_with_any_arguments(name: str) -> bool:
    """Say whether a command stays harmless whatever is appended to it, as `xargs` does."""
    return name in ANY_ARGUMENTS


# --- the rules -------------------------------------------------------------------------------------------


def _find(arguments: list[Word]) -> bool:
    rest = _without_reading_exec(arguments)
    options = None if rest is None else options_of(rest)
    return options is not None and not any(option in FIND_ACTS for option in options)


def _without_reading_exec(arguments: list[Word]) -> list[Word] | None:
    """Take away every `-exec NAME … ;` of a command that only reads; None if one does more."""
    rest = []  # type: list[Word]
    words = iter(arguments)
    for word in words:
        if word.literal() != "-exec":
            rest.append(word)
            continue
        name = next(words, None)
        if name is None or (name.literal() or "") not in ANY_ARGUMENTS:
            return None
        if not any(each.literal() in (";", "+") for each in words):
            return None
    return rest


def _ripgrep(arguments: list[Word]) -> bool:
    options = options_of(arguments)
    acting = ("--pre", "--hostname-bin")
    return options is not None and not any(option.partition("=")[0] in acting for option in options)


def _docker(arguments: list[Word]) -> bool:
    first = [word.literal() for word in arguments[:2]]
    return bool(first) and (first[0] in DOCKER_READS or "/".join(map(str, first)) in DOCKER_READS)


def _kubectl(arguments: list[Word]) -> bool:
    rest = list(arguments)
    while len(rest) > 1 and KUBECTL_BEFORE.fullmatch(rest[0].literal() or ""):
        rest = rest[1 if "=" in str(rest[0].literal()) else 2 :] if rest[1].literal() is not None else []
    options = options_of(rest)
    words = [word.literal() for word in rest]
    shown = ("current-context", "get-contexts", "view")
    reads = words[:1] == ["config"] and len(words) > 1 and words[1] in shown
    asks = words[:2] == ["auth", "can-i"]
    if options is None or not (reads or asks or (words and words[0] in KUBECTL_READS)):
        return False
    return all(KUBECTL_OPTIONS.fullmatch(option) for option in options)


def _git(arguments: list[Word]) -> bool:
    rest = list(arguments)
    while rest and rest[0].literal() in GIT_BEFORE:
        rest = rest[1:]
    if len(rest) > 1 and rest[0].literal() == "-C" and stays_one_word(rest[1]):
        rest = rest[2:]
    name = (rest[0].literal() if rest else None) or ""
    options = options_of(rest)
    acting = ("--output", "--ext-diff", "--open-files-in-pager", "--textconv")
    if options is None or any(is_one_of(option, acting) for option in options):
        return False
    if name == "grep" and any(re.match("-[A-Za-z]*O", option) for option in options):
        return False
    if name in GIT_SHOWS and GIT_SHOWS[name].fullmatch(" ".join(word.literal() or "?" for word in rest[1:])):
        return True
    if name in GIT_LISTS:
        listed = all(word.literal() in GIT_LISTS[name] for word in rest[1:])
        return listed and (len(rest) > 1 or name not in ("stash", "worktree"))
    return name in GIT_READS


def _sed(arguments: list[Word]) -> bool:
    """Let one script that only prints be run, on files; `-i`, `e` and `w` are none of it."""
    scripts, rest, words = [], [], iter(arguments)
    for word in words:
        if word.literal() == "-e":
            scripts.append(next(words, word).literal())
        else:
            rest.append(word)
    options = options_of(rest)
    if options is None or not all(SED_OPTIONS.fullmatch(option) for option in options):
        return False
    operands = [word for word in rest if not (word.start() or "").startswith("-")]
    scripts = scripts or [word.literal() for word in operands[:1]]
    return bool(scripts) and all(SED_PRINTS.fullmatch(script or "") for script in scripts)


def _awk(arguments: list[Word]) -> bool:
    rest = list(arguments)
    while rest and re.match("-[Fv]", rest[0].literal() or ""):
        option, value = str(rest[0].literal()), rest[0].literal()
        rest = rest[1:]
        if option in ("-F", "-v"):
            value, rest = (rest[0].literal() if rest else None), rest[1:]
        if value is None or (option.startswith("-v") and not AWK_VALUE.fullmatch(value.replace("-v", "", 1))):
            return False
    program = (rest[0].literal() if rest else None) or "-"
    acts = any(act in program.replace("||", "") for act in AWK_ACTS)
    return not program.startswith("-") and not acts and not _may_write(program)


def _may_write(program: str) -> bool:
    """Say whether a `>` of an awk program may be more than a comparison: behind a `print` it writes."""
    if ">" not in program or "print" not in program:
        return False
    if any(character in program for character in '"/#\n'):
        return True  # a text or a pattern may hide where a statement ends, and a line may go on
    return any(">" in statement for statement in re.findall("print[^;}]*", program))


def _printf(arguments: list[Word]) -> bool:
    """Let texts be printed; what zsh prints as a number it computes, and that may run commands."""
    form = arguments[0].literal() if arguments else None
    if form is None or form.startswith("-"):
        return False
    return not TEXTS_ONLY.sub("", form).count("%") or all(is_number(word) for word in arguments[1:])


def _numbers(arguments: list[Word]) -> bool:
    return all(is_number(word) for word in arguments)


def _read(arguments: list[Word]) -> bool:
    names = [word.literal() or "" for word in arguments]
    return all(name == "-r" or is_free_name(name) for name in names)


def _set(arguments: list[Word]) -> bool:
    words = [word.literal() or "" for word in arguments]
    return bool(words) and all(re.fullmatch(r"[+-][eux]+o?|-o|pipefail", word) for word in words)


def _date(arguments: list[Word]) -> bool:
    words = [word.literal() for word in arguments]
    rest = [
        word
        for place, word in enumerate(words)
        if place == 0 or words[place - 1] not in ("-d", "-r", "--date")
    ]
    return None not in words and all(word == "-r" or DATE_SHOWS.fullmatch(word or "-") for word in rest)


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
    return all(
        (word.start() or "-")[0] not in "+-" or re.fullmatch("-[FRNSX]+", word.literal() or "")
        for word in arguments
    )


def _xxd(arguments: list[Word]) -> bool:
    """Let one file be shown; what stands behind it is written, whether it begins with a dash or not."""
    rest = list(arguments)
    while rest and (rest[0].start() or "").startswith("-"):
        valued = rest[0].literal() in ("-l", "-c", "-s", "-g") and len(rest) > 1 and is_number(rest[1])
        if not valued and not re.fullmatch("-[abeiupE]+|-[lcsg][0-9]+", rest[0].literal() or ""):
            return False
        rest = rest[2 if valued else 1 :]
    return not rest or (len(rest) == 1 and stays_one_word(rest[0]))


RULES = {
    "find": _find,
    "docker": _docker,
    "podman": _docker,
    "kubectl": _kubectl,
    "git": _git,
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
    "less": _pager,
    "more": _pager,
    "rg": _ripgrep,
    "sort": without(("--output", "--compress-program", "--temporary-directory"), "oT"),
    "uniq": without(operands=1),
    "tree": without(("--output",), "oR"),
    "file": without(("--compile",), "C"),
    "xxd": _xxd,
    "hostname": without(("--file", "--boot"), "bF", operands=0),
    "base64": without(("--output",), "o"),
    **MACHINE_RULES,
}  # type: dict[str, Rule]

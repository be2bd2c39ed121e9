"""What a shell command would do: nothing but read, something that `deft` itself answers for, or a launch.

Standard library only, Python 3.8 on. Every simple command in the text must be known to be harmless; one that
is not, or that cannot be read for certain, refuses the whole.
"""

from __future__ import annotations

import os
import re

from deft.guard.reading import only_reads, reads_with_any_arguments
from deft.guard.shell import MAX_DEPTH, WRITING, Script
from deft.guard.shell_words import PATTERN, TEXT, VARIABLE, Unparsable, Word
from deft.guard.variables import BEFORE_ONE_COMMAND, is_free_name, resolved

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Callable

    from deft.guard.shell import Command

    May = Callable[[str, list[Word], list[str]], bool]

SYSTEM_FOLDERS = ("/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin")
PLUGIN_VARIABLES = ("TAO_SKILL_BANK_PATH", "CLAUDE_PLUGIN_ROOT")
NOWHERE = ("/dev/null", "/dev/stdout", "/dev/stderr")
SHELLS = ("sh", "bash", "dash", "zsh", "ksh")
PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")
DESCRIPTOR = re.compile(r"\d+-?|-")
# Commands that run the command behind them: options with a value, other options, words before the command.
WRAPPERS = {
    "env": (r"(?!)", r"(?!)", 0),
    "command": (r"(?!)", r"(?!)", 0),
    "builtin": (r"(?!)", r"(?!)", 0),
    "exec": (r"(?!)", r"(?!)", 0),
    "nohup": (r"(?!)", r"(?!)", 0),
    "time": (r"(?!)", r"-p", 0),
    "nice": (r"-n|--adjustment", r"-n?-?\d+|--adjustment=-?\d+", 0),
    "ionice": (r"-[cn]", r"-[cn]\d", 0),
    "stdbuf": (r"-[ioe]", r"-[ioe]\w+", 0),
    "timeout": (
        r"-[ks]",
        r"-v|-[ks]\w+|--(?:foreground|preserve-status|verbose)|--(?:signal|kill-after)=\w+",
        1,
    ),
    "xargs": (
        r"-[IndLPEsa]",
        r"-[0rtx]+|-[nLP]\d+|-I(?:\{\}|%|@)|--(?:null|no-run-if-empty|verbose)|--max-(?:args|procs)=\d+",
        0,
    ),
}
ASKED = ("-h", "--help")
ASKED_ALONE = (["-h"], ["--help"])
MAX_FOLDERS = 8
REPLACED = ("{}", "%", "@")


class Refused(Exception):
    """A command that the gate does not let through: what it is, and the program that makes it so."""

    def __init__(self, reason: str, program: str = "") -> None:
        super().__init__(reason)
        self.program = program


class Judge:
    """Judges one Bash call: `may_run` answers for the verbs of `deft`, `may_do` for other programs."""

    def __init__(self, folder: str, plugin_root: str, may_run: May, may_do: May) -> None:
        self.folders = [folder]  # where the shell may be; empty when that is not known
        self.depth = 0
        self.plugin_root, self.may_run, self.may_do = os.path.realpath(plugin_root), may_run, may_do

    def judge(self, text: str, within: bool = False) -> None:
        """Raise Refused unless everything in the text is known to be harmless or may be done."""
        try:
            script = Script(text)
        except Unparsable as fault:
            raise Refused("it cannot be read for certain ({})".format(fault)) from None
        for name in script.loops:
            if not is_free_name(name):
                raise Refused("it sets {}, which other commands obey".format(name))
        if script.repeats and any(_changes_folder(command) for command in script.commands):
            self.folders = []  # the second round begins where the first has ended
        for command in script.commands:
            self.judge_command(command, script, within)

    def judge_command(self, command: Command, script: Script, within: bool) -> None:
        self.judge_assignments(command)
        for operator, target in command.redirections:
            _judge_redirection(operator, resolved(target, script, command))
        if command.words:
            arguments = [resolved(word, script, command) for word in command.words[1:]]
            self.judge_words(command.words[0], arguments, command.certain and not within)

    def judge_assignments(self, command: Command) -> None:
        before_read = bool(command.words) and command.words[0].literal() == "read"
        for name, _ in command.assignments:
            allowed = name in BEFORE_ONE_COMMAND or (name == "IFS" and before_read)
            if not (allowed if command.words else is_free_name(name)):
                raise Refused("it sets {} for a command".format(name))

    def judge_words(self, word: Word, arguments: list[Word], certain: bool = False) -> None:
        """Judge a command of this name; `certain` when the shell itself is sure to run it first."""
        name, verb = self.program(word)
        if PYTHON.fullmatch(name) and arguments and self.doorway(arguments[0]) not in (None, "deft"):
            name, verb, arguments = "deft", self.doorway(arguments[0]), arguments[1:]
        if name == "cd":
            self.change_folder(arguments, certain)
        elif name == "deft":
            self.judge_deft(verb, arguments)
        elif name in WRAPPERS:
            self.judge_wrapped(name, arguments)
        elif name in SHELLS and arguments and re.fullmatch("-[elux]*c", arguments[0].literal() or ""):
            self.judge_text(name, arguments[1:2])
        elif name == "eval":
            self.judge_text(name, arguments)
        elif not only_reads(name, arguments) and not self.may_do(name, arguments, self.folders):
            raise Refused("{} may have an effect".format(_called(name, arguments)), name)

    # --- which program --------------------------------------------------------------------------------

    def program(self, word: Word) -> tuple[str, str | None]:
        """Return a program that this knows by its name, and the verb if it is a script of this plugin."""
        spellings = self.spellings(word)
        if spellings is None:
            raise Refused("only the shell would know which command {} is".format(word.shown()[:40]))
        if "/" not in spellings[0]:
            return spellings[0], None
        verb = self.doorway(word)
        if verb is not None:
            return "deft", None if verb == "deft" else verb
        folder, name = os.path.split(spellings[0])
        if folder not in SYSTEM_FOLDERS or len(spellings) != 1:
            raise Refused("it starts a program by its path ({})".format(spellings[0][:60]), name)
        return name, None

    def spellings(self, word: Word) -> list[str] | None:
        """Return the paths that a command's name may stand for, or None if only the shell knows."""
        literal = word.bare() if word.bare() in ("[", "[[") else word.literal()
        if literal is not None:
            return [literal]
        parts = [part for part in word.parts if part.kind != TEXT or part.text]
        head, rest = parts[0], Word(parts[1:]).literal() or ""
        if not rest.startswith("/"):
            return None
        if head.kind == PATTERN and head.text == "~":
            return [os.path.expanduser("~") + rest]
        if head.kind == VARIABLE and head.text in PLUGIN_VARIABLES:
            other = os.environ.get(head.text) or os.path.expanduser(head.default or "")
            return [self.plugin_root + rest, other + rest]
        return None

    def doorway(self, word: Word) -> str | None:
        """Return `deft` for this plugin's bin/deft, the verb for one of its scripts, else None.

        Whatever else the word may stand for must not exist.
        """
        found = set()
        for spelling in self.spellings(word) or [""]:
            for folder in self.folders or ["/nonexistent"]:
                path = os.path.realpath(os.path.join(folder, spelling))
                if os.path.lexists(path):
                    found.add(self.verb_of(path))
        return found.pop() if len(found) == 1 else None

    def verb_of(self, path: str) -> str | None:
        folder, name = os.path.split(path)
        if path == os.path.join(self.plugin_root, "bin", "deft"):
            return "deft"
        if folder == os.path.join(self.plugin_root, "scripts") and name.endswith(".py"):
            return name[: -len(".py")].replace("_", "-")
        return None

    # --- what it does ---------------------------------------------------------------------------------

    def change_folder(self, arguments: list[Word], certain: bool) -> None:
        target = arguments[0].literal() if len(arguments) == 1 else None
        if target is None or target.startswith("-") or not self.folders:
            self.folders = []
            return
        there = os.path.expanduser(target)
        reached = [os.path.normpath(os.path.join(folder, there)) for folder in self.folders]
        sure = certain and all(os.path.isdir(folder) for folder in reached)
        self.folders = reached if sure else self.folders + reached
        if len(self.folders) > MAX_FOLDERS:
            self.folders = []

    def judge_deft(self, verb: str | None, arguments: list[Word]) -> None:
        if verb is None and not arguments:
            return
        if verb is None:
            verb, arguments = arguments[0].literal(), arguments[1:]
        if verb in ("help", "--version", *ASKED) or [word.literal() for word in arguments] in ASKED_ALONE:
            return
        if verb is None:
            raise Refused("only the shell would know which verb of deft this is", "deft")
        if not self.may_run(verb, arguments, self.folders):
            raise Refused("deft {} has an effect".format(verb[:40]), "deft")

    def judge_wrapped(self, name: str, arguments: list[Word]) -> None:
        if name == "command" and arguments and arguments[0].literal() in ("-v", "-V"):
            return
        rest = _behind(name, arguments)
        if name == "env":
            while rest and re.match(r"[A-Za-z_]\w*=", rest[0].start() or ""):
                if str(rest[0].start()).partition("=")[0] not in BEFORE_ONE_COMMAND:
                    raise Refused("it sets {} for a command".format(rest[0].shown()[:40]))
                rest = rest[1:]
        if name == "xargs":
            _judge_repeated(rest)
        elif not rest:
            raise Refused("{} alone is not needed".format(name), name)
        else:
            self.judge_words(rest[0], rest[1:])

    def judge_text(self, name: str, words: list[Word]) -> None:
        texts = [word.literal() for word in words]
        if not texts or None in texts:
            raise Refused("only the shell would know what {} runs".format(name), name)
        folders, self.depth = list(self.folders), self.depth + 1
        if self.depth > MAX_DEPTH:
            raise Refused("it is nested too deeply", name)
        self.judge(" ".join(map(str, texts)), within=True)
        self.depth -= 1
        self.folders = folders if name != "eval" or folders == self.folders else []


def _changes_folder(command: Command) -> bool:
    return any(word.literal() == "cd" for word in command.words)


def _called(name: str, arguments: list[Word]) -> str:
    shown = " ".join([name, *(word.shown() for word in arguments[:2])])
    return "".join(character if character.isprintable() else "?" for character in shown)[:80]


def _behind(name: str, arguments: list[Word]) -> list[Word]:
    """Return the command that a wrapper runs, with its arguments."""
    valued, flags, count = WRAPPERS[name]
    rest = list(arguments)
    while rest and (rest[0].start() or "").startswith("-"):
        option = rest[0].literal() or ""
        if re.fullmatch(valued, option):
            if [word.literal() for word in rest[1:2]] in ([], [None]):
                raise Refused("only the shell would know the value of {} {}".format(name, option), name)
            _require_inert(option, rest[1:2])
            rest = rest[1:]
        elif not re.fullmatch(flags, option):
            raise Refused("{} with {} is not followed".format(name, rest[0].shown()[:40]), name)
        rest = rest[1:]
    if any(word.literal() is None for word in rest[:count]):
        raise Refused("only the shell would know what {} runs".format(name), name)
    return rest[count:]


def _require_inert(option: str, value: list[Word]) -> None:
    """Refuse a text that `xargs -I` would replace wherever it stands, the command's name included."""
    if option == "-I" and [word.literal() for word in value][:1] not in [[text] for text in REPLACED]:
        raise Refused("xargs -I is followed with {} only", "xargs")


def _judge_repeated(words: list[Word]) -> None:
    """Judge what xargs runs: its input may be any words."""
    name = (words[0].literal() or "") if words else "echo"
    if not reads_with_any_arguments(name):
        raise Refused("xargs would run {} on whatever it is given".format(name[:40] or "a command"), name)


def _judge_redirection(operator: str, target: Word) -> None:
    text = target.literal()
    if operator in (">&", "<&") and DESCRIPTOR.fullmatch(text or ""):
        return
    if operator in WRITING and text not in NOWHERE:
        raise Refused("it writes to {}".format(target.shown()[:60]), "redirection")
    if operator != "<<<" and (
        target.start() is None or str(target.start()).startswith(("/dev/tcp", "/dev/udp"))
    ):
        raise Refused("only the shell would know what it reads", "redirection")

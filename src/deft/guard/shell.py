"""A shell command, read the way bash and zsh read it: every simple command in it, wherever it hides.

Standard library only, Python 3.8 on. Pipes, lists, subshells, loops, substitutions and here-documents are
followed; what this reader does not know for certain it refuses with Unparsable, and the gate that asks it
denies.
"""

from __future__ import annotations

import re

from deft.guard.shell_words import NAME, OPAQUE, TEXT, Part, Unparsable, Word, WordReader

MAX_LENGTH = 65536
MAX_DEPTH = 12

REDIRECTION = re.compile(r"&>>|&>|>>|>\||>&|<<<|<<-|<<|<&|<>|>|<")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=", re.ASCII)
CONTROL = re.compile("[^\t\n -\ud7ff\ue000-\U0010ffff]|\x7f")
BEFORE_A_COMMAND = frozenset(["if", "then", "elif", "else", "while", "until", "do", "!", "time", "{"])
AFTER_A_COMMAND = frozenset(["fi", "done", "}"])
NOT_FOLLOWED = frozenset(["case", "esac", "function", "select", "coproc", "in", "foreach", "repeat", "end"])
OPENING = frozenset(["if", "while", "until", "for", "{"])
LOOPS = frozenset(["while", "until", "for"])
RESERVED = BEFORE_A_COMMAND | AFTER_A_COMMAND | {"for"}
ENDS = ("", ";", "|", "\n", ")")
WRITING = (">", ">>", ">|", "&>", "&>>", ">&", "<>")


class Command:
    """One simple command: assignments before it, words, redirections, and how it stands in the script."""

    __slots__ = ("assignments", "certain", "groups", "in_test", "position", "redirections", "words")

    def __init__(self) -> None:
        self.assignments = []  # type: list[tuple[str, Word]]
        self.words = []  # type: list[Word]
        self.redirections = []  # type: list[tuple[str, Word]]
        self.certain = False  # the first of the script, done by the shell itself: a `cd` here counts
        self.in_test = False  # a `[[` was read and not yet its `]]`
        self.position = 0  # among the commands of the script, in reading order
        self.groups = ()  # type: tuple[int, ...]


class Script:
    """Every simple command of a text, in reading order, and every value that it gives to a name."""

    def __init__(self, text: str) -> None:
        self.commands = []  # type: list[Command]
        self.values = {}  # type: dict[str, list[Word]]
        self.settled = {}  # type: dict[str, Command]
        self.groups = 0
        self.loops = []  # type: list[str]
        self.repeats = False
        if len(text) > MAX_LENGTH:
            raise Unparsable("it is longer than {} characters".format(MAX_LENGTH))
        if CONTROL.search(text):
            raise Unparsable("it holds control characters")
        Reader(text, self, 0, ()).read_all()
        self.note_read_names()
        self.evaluates = any(word.literal() == "eval" for each in self.commands for word in each.words)

    def new_group(self) -> int:
        self.groups += 1
        return self.groups

    def note_read_names(self) -> None:
        """Remember that `read` gives its names values that nobody has seen."""
        for command in self.commands:
            words = [word.literal() or "" for word in command.words]
            if "read" in words:
                for name in ("REPLY", *words[words.index("read") + 1 :]):
                    self.values.setdefault(name, []).append(Word([Part(OPAQUE, "", False)]))

    def known(self, name: str, command: Command) -> Word | None:
        """Return the one value that a name surely has when a command is come to, else None."""
        values, setting = self.values.get(name, []), self.settled.get(name)
        if len(values) != 1 or setting is None or setting.position >= command.position:
            return None
        if command.groups[: len(setting.groups)] != setting.groups:
            return None  # it was set in a subshell, and is not outside of it
        return None if self.evaluates else values[0]


class Reader(WordReader):
    """Reads the commands of one text, or of one substitution in it, and adds them to the script."""

    def __init__(self, text: str, script: Script, depth: int, groups: tuple[int, ...]) -> None:
        super().__init__(text)
        if depth > MAX_DEPTH:
            self.fail("it is nested too deeply")
        self.script, self.depth, self.groups = script, depth, groups
        self.open = 0  # compound commands that are not closed yet
        self.is_sure = True  # the next command is surely come to
        self.in_list = False  # an operator waits for its right side

    def read_nested(self, text: str, at: int) -> int:
        inner = Reader(text, self.script, self.depth + 1, (*self.groups, self.script.new_group()))
        inner.at = at
        if at:
            inner.read_list(")")
        else:
            inner.read_all()
        return inner.at

    # --- lists ---------------------------------------------------------------------------------------

    def read_all(self) -> None:
        self.read_list("")
        if self.at < len(self.text):
            self.fail("a ) closes nothing")

    def read_list(self, end: str) -> None:
        """Read commands up to `end` (`)` or the end of the text), which is left in place."""
        first = True
        while True:
            self.skip_blanks()
            character = self.peek()
            if character in (end, ")", ""):
                break
            if character == "\n":
                self.is_sure = self.is_sure or not self.in_list
                self.at += 1
                self.read_documents()
            elif character in ";&|":
                self.read_operator()
            else:
                certain = first and not end and self.depth == 0
                self.read_command(certain, sure=self.is_sure)
                first = False
        if self.pending or character != end:
            self.fail("it ends too early")

    def skip_blanks(self) -> None:
        while True:
            if self.peek() in (" ", "\t"):
                self.at += 1
            elif self.peek(2) == "\\\n":
                self.at += 2
            elif self.peek() == "#":
                self.at = self.end_of_line()
            else:
                return

    def read_operator(self) -> None:
        width = 2 if self.peek(2) in ("&&", "||", "|&") else 1
        if self.peek(2) in (";;", ";&", ";|"):
            self.fail("a case clause is not followed")
        operator = self.peek(width)
        self.in_list = operator not in (";", "&")
        self.is_sure = not self.in_list or (self.is_sure and operator == "&&")
        self.at += width

    # --- one command ---------------------------------------------------------------------------------

    def read_command(self, certain: bool, sure: bool) -> None:
        if self.peek() == "(":
            self.read_group()
            return
        command = Command()
        while self.read_redirection(command):
            pass
        word = None if self.at_end_of_command() else self.read_word()
        bare = None if word is None else word.bare()
        if command.redirections and bare in RESERVED:
            self.fail("{} stands behind a redirection".format(bare))
        self.open += (bare in OPENING) - (bare in AFTER_A_COMMAND)
        self.script.repeats = self.script.repeats or bare in LOOPS
        if bare == "for":
            self.read_for()
        elif bare in NOT_FOLLOWED:
            self.fail("{} is not followed".format(bare))
        elif bare in AFTER_A_COMMAND:
            self.read_rest(command)
        elif bare not in BEFORE_A_COMMAND:
            self.read_simple(command, word)
            ended = self.peek() in ("", ";", "\n") or self.peek(2) == "&&"
            command.certain = certain and ended
            self.add(command)
            self.settle(command, sure and ended and not self.open)

    def add(self, command: Command) -> None:
        command.position, command.groups = len(self.script.commands), self.groups
        self.script.commands.append(command)

    def settle(self, command: Command, sure: bool) -> None:
        """Note from where on a name has its value: behind an assignment that surely is done."""
        self.in_list = False
        alone = not command.words and not command.redirections
        self.is_sure = sure and alone and all(value.literal() is not None for _, value in command.assignments)
        if self.is_sure:
            for name, _ in command.assignments:
                self.script.settled[name] = command

    def read_group(self) -> None:
        if self.peek(2) == "((":
            self.fail("arithmetic is not followed")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail("it is nested too deeply")
        self.at += 1
        outside = self.groups, self.open
        self.groups, self.open, self.is_sure = (*self.groups, self.script.new_group()), 0, True
        self.read_list(")")
        self.groups, self.open = outside
        self.at += 1
        self.read_rest(Command())
        self.depth -= 1

    def read_rest(self, command: Command) -> None:
        """Read what may follow a closed group: redirections and nothing else."""
        self.read_simple(command, None)
        self.is_sure = self.in_list = False
        if command.words or command.assignments:
            self.fail("a word follows a closed group")
        self.add(command)

    def read_for(self) -> None:
        """Read `for NAME in WORD …`; the name may then hold any of the words."""
        self.skip_blanks()
        name = self.read_word().bare() or ""
        if not NAME.fullmatch(name):
            self.fail("a for without a name is not followed")
        words = []
        while not self.at_end_of_command():
            words.append(self.read_word())
        if words and words[0].bare() != "in":
            self.fail("this form of for is not followed")
        self.script.loops.append(name)
        self.script.values.setdefault(name, []).extend([*words[1:], Word([Part(OPAQUE, "", False)])])

    def read_simple(self, command: Command, word: Word | None) -> None:
        """Read the assignments, words and redirections of a command, of which `word` was read already."""
        while True:
            if word is not None:
                self.add_word(command, word)
            if self.reads_a_test(command):
                word = Word([Part(TEXT, self.peek(2), False)])
                self.at += 2
                continue
            if self.at_end_of_command():
                return
            word = None if self.read_redirection(command) else self.read_word()

    def add_word(self, command: Command, word: Word) -> None:
        if word.bare() == "}":
            self.fail("zsh closes a group here")
        head = word.parts[0]
        given = None if command.words or head.quoted or head.kind != TEXT else ASSIGNMENT.match(head.text)
        if given is None:
            opens = not command.words and word.bare() == "[["
            command.in_test = word.bare() != "]]" and (command.in_test or opens)
            command.words.append(word)
        else:
            self.assign(command, given, word)

    def assign(self, command: Command, given: re.Match[str], word: Word) -> None:
        head = word.parts[0]
        value = Word([Part(TEXT, head.text[given.end() :], False), *word.parts[1:]])
        if given[2]:
            value.parts.insert(0, Part(OPAQUE, "", False))
        command.assignments.append((given[1], value))
        self.script.values.setdefault(given[1], []).append(value)

    def reads_a_test(self, command: Command) -> bool:
        """Say whether the next `&&` or `||` stands inside of `[[ … ]]`."""
        self.skip_blanks()
        return command.in_test and self.peek(2) in ("&&", "||")

    def at_end_of_command(self) -> bool:
        self.skip_blanks()
        return self.peek() in ENDS or (self.peek() == "&" and self.peek(2) != "&>")

    def read_redirection(self, command: Command) -> bool:
        self.skip_blanks()
        start = self.at
        while self.peek().isdigit() and self.peek().isascii():
            self.at += 1
        found = None if self.peek(2) in ("<(", ">(") else self.take(REDIRECTION)
        if found is None:
            self.at = start
            return False
        self.skip_blanks()
        if self.at_end_of_command():
            self.fail("a redirection leads nowhere")
        target = self.read_word()
        if found[0] in ("<<", "<<-"):
            self.announce_document(target, found[0] == "<<-")
        else:
            command.redirections.append((found[0], target))
        return True

    # --- here-documents ------------------------------------------------------------------------------

    def announce_document(self, target: Word, strip: bool) -> None:
        delimiter = target.literal()
        if delimiter is None or "\n" in delimiter:
            self.fail("the end of a here-document is not a plain word")
        self.pending.append((delimiter, any(part.quoted for part in target.parts), strip))

    def read_documents(self) -> None:
        for delimiter, quoted, strip in self.pending:
            lines = []
            while True:
                if self.at >= len(self.text):
                    self.fail("a here-document does not end")
                end = self.end_of_line()
                line = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                if (line.lstrip("\t") if strip else line) == delimiter:
                    break
                lines.append(line)
            self.read_body("\n".join(lines), quoted)
        self.pending = []

    def read_body(self, body: str, quoted: bool) -> None:
        if quoted:
            return
        if re.search(r"\\(?:\n|$)", body):
            self.fail("a here-document joins lines")
        Reader(body, self.script, self.depth + 1, self.groups).read_quoted([], "")

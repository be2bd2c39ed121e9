"""Reading a command as the shell does: every simple command is found, wherever it hides."""

from __future__ import annotations

import pytest

from deft.guard.shell import MAX_LENGTH, Script
from deft.guard.shell_words import Unparsable


def names(text: str) -> list[str]:
    """Return the command names of a text."""
    return [command.words[0].shown() for command in Script(text).commands if command.words]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a; b && c || d | e |& f & g\nh", list("abcdefgh")),
        ("(a; b) && { c; }", list("abc")),
        ("if a; then b; elif c; then d; else e; fi", list("abcde")),
        ("while a; do b; done; until c; do d; done", list("abcd")),
        ("for x in 1 $(a); do b; done", ["a", "b"]),
        ("! a; time b", ["a", "b"]),
        ("a $(b `c`) <(d)", ["b", "c", "d", "a"]),
        ('a "x $(b "$(c)") y"', ["c", "b", "a"]),
        ("a 'b; $(c)' # d; e", ["a"]),
        ("a <<E\n$(b)\nE\nc", ["a", "b", "c"]),
        ("a <<'E'\n$(b)\nE\nc", ["a", "c"]),
        ("a <<-E | b\n\tx\n\tE\nc", ["a", "b", "c"]),
        ("a <<E <<F\n1\nE\n2\nF\nb", ["a", "b"]),
        ("a \\\n  b\nc", ["a", "c"]),
        ("x=$(a) y=1 b", ["a", "b"]),
        ("> f a 2>&1", ["a"]),
        ("a &> f; b &>> g", ["a", "b"]),
        ("a {} +", ["a"]),
        ("", []),
        ("# only a comment", []),
    ],
)
def test_every_simple_command_is_found(text: str, found: list[str]) -> None:
    assert sorted(names(text)) == sorted(found)


def test_redirections_are_kept_with_their_operators() -> None:
    (command,) = Script("a <in >out 2>>log 3>&1 <<<word").commands
    assert [(operator, target.literal()) for operator, target in command.redirections] == [
        ("<", "in"),
        (">", "out"),
        (">>", "log"),
        (">&", "1"),
        ("<<<", "word"),
    ]


def test_assignments_are_told_from_words() -> None:
    script = Script("A=1 B+=2 c D=3; E='x y'")
    assert [name for name, _ in script.commands[0].assignments] == ["A", "B"]
    assert [word.literal() for word in script.commands[0].words] == ["c", "D=3"]
    assert script.values["E"][0].literal() == "x y"
    assert script.values["B"][0].literal() is None


@pytest.mark.parametrize(
    ("text", "certain"),
    [
        ("cd x && a", True),
        ("cd x; a", True),
        ("cd x\na", True),
        ("cd x || a", False),
        ("cd x | a", False),
        ("cd x & a", False),
        ("(cd x); a", False),
        ("if cd x; then a; fi", False),
        ("! cd x; a", False),
        ("for i in 1; do cd x; done", False),
    ],
)
def test_only_the_first_command_that_the_shell_itself_runs_is_certain(text: str, certain: bool) -> None:
    found = [command for command in Script(text).commands if command.words]
    commands = {command.words[0].literal(): command.certain for command in found}
    assert commands["cd"] is certain
    assert not commands.get("a", False)


@pytest.mark.parametrize(
    "text",
    [
        *("a 'b", 'a "b', "a $(b", "a `b", "(a", "a)", "a (b)", "a() { b; }", "a <<E\nx", "a <<$E\nx\n$E"),
        *("case x in y) z;; esac", "select x in y; do z; done", "coproc a", "function f { a; }", "a > ; b"),
        *("${a[0]}", "${a/b/c}", "${!a}", "${a@P}", "$[1]", "$((a))", "$~a", "$a[1]", "a `b \\`c\\``"),
        *("(a) b", "{ a; } b", "for 1 in a; do b; done", "for ((;;)); do a; done", "a <<E 'x\ny'\nE"),
        *("a\x00b", "a\x1bb", "a\rb", "a\u00a0b", "a \\", "<f for x in y; do z; done", "{ a } b"),
        "a " * MAX_LENGTH,
    ],
)
def test_what_is_not_known_for_certain_is_not_read(text: str) -> None:
    with pytest.raises(Unparsable):
        Script(text)

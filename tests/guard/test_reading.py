"""What only reads: each program with the arguments that keep it harmless, and those that do not."""

from __future__ import annotations

import pytest

from deft.guard.reading import only_reads, reads_with_any_arguments
from deft.guard.shell import Script


def reads(command: str) -> bool:
    words = Script(command).commands[-1].words
    return only_reads(words[0].bare() or "", words[1:])


@pytest.mark.parametrize(
    ("harmless", "acting"),
    [
        ("find . -name x -print", "find . -name x -delete"),
        ("sort -k2,2n -t, f", "sort -k2 -o f f"),
        ("sort --reverse f", "sort --output f f"),
        ("uniq -c f", "uniq f g"),
        ("tree -L 2", "tree -o f"),
        ("file -b f", "file -C f"),
        ("rg --pretty x", "rg --pre sh x"),
        ("git log --oneline", "git log --output=f"),
        ("git --no-pager -C x diff", "git -c a=b diff"),
        ("git stash list", "git stash"),
        ("git branch -a", "git branch -D x"),
        ("docker image ls", "docker image rm x"),
        ("docker inspect x", "docker -H x inspect x"),
        ("kubectl get pods -A -ojson", "kubectl delete pods -A"),
        ("nvidia-smi -q -d MEMORY -i 0", "nvidia-smi -i 0 -pl 100"),
        ("sed -n '/a/p' f", "sed -n '/a/w g' f"),
        ("awk -F, '{print $1}' f", "awk '{print > $1}' f"),
        ("date -u +%Y", "date -us 2020"),
        ("printf '%s' x", "printf -v a x"),
        ("printf '%5.1f' 3.14", "printf '%5.1f' x"),
        ("exit 1", "exit x"),
        ("less f", "less +!x f"),
        ("top -bn1", "top"),
        ("xxd f", "xxd -r f g"),
        ("kubectl config view", "kubectl config set-context x"),
        ("git reflog", "git reflog expire --all"),
        ("docker compose ps", "docker compose up"),
        ("read -r line", "read PATH"),
        ("set -euo pipefail", "set -- a b"),
        ("hostname -I", "hostname x"),
        ("[ -f x ]", "[ -v x ]"),
        ("[ 3 -gt 2 ]", "[ x -gt 2 ]"),
        ('[ "$a" = b ]', '[ "$a" "$b" ]'),
        ('test -d "$a"', "test -d $a"),
        ('[[ -f "$a" ]]', "[[ a -lt b ]]"),
        ("pip show torch", "pip install torch"),
        ("scontrol show job 1", "scontrol hold 1"),
        ("docker --version", "bash version"),
    ],
)
def test_a_program_reads_until_an_argument_makes_it_act(harmless: str, acting: str) -> None:
    assert reads(harmless)
    assert not reads(acting)


@pytest.mark.parametrize("command", ["find $x", "git log $x", 'sort "$x"', "find *", "uniq {a,b}"])
def test_a_word_that_may_become_an_option_counts_as_one(command: str) -> None:
    assert not reads(command)


@pytest.mark.parametrize("command", ["cat $x", 'ls "$x" *', "grep $(x) {a,b}", "echo $x"])
def test_where_no_option_acts_any_word_may_stand(command: str) -> None:
    assert reads(command)


def test_xargs_may_only_run_what_reads_whatever_it_is_given() -> None:
    assert reads_with_any_arguments("cat")
    assert not reads_with_any_arguments("find")
    assert not reads_with_any_arguments("docker")


def test_an_unknown_program_does_not_only_read() -> None:
    assert not reads("frobnicate --help")

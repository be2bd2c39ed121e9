"""Shell variables: which a script may set without anything acting on them, and which it is known to hold.

Standard library only, Python 3.8 on.
"""

from __future__ import annotations

import os
import re

from deft.guard.shell_words import NAME, PATTERN, TEXT, VARIABLE, Part, Word

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from deft.guard.shell import Command, Script

# A program or the shell itself obeys these: PATH, LD_PRELOAD, BASH_ENV, DEFT_PYTHON, the `path` of zsh, …
OBEYED = re.compile(
    r"(?:LD_|DYLD_|BASH|ZSH|ZDOT|GIT_|PYTHON|DEFT_|XDG_|CLAUDE|TAO_|SSH_|DOCKER_|KUBE|SLURM|NODE_|NPM_|PERL|"
    r"RUBY|JAVA_|LESS|MAN|GREP_|RIPGREP|AWK|PROMPT|PS[0-9]|RPS|CUDA_|NVIDIA_|PIP_|UV_|CONDA|TERM|LC_|HIST)\w*|"
    r"PATH|IFS|ENV|HOME|SHELL|SHELLOPTS|PAGER|EDITOR|VISUAL|BROWSER|CDPATH|FPATH|TMPDIR|TMP|TEMP|"
    r"POSIXLY_CORRECT|GLOBIGNORE|EXECIGNORE|OPTIND|FUNCNEST|TMOUT|MAIL|MAILPATH|INPUTRC|LOCPATH|NLSPATH|"
    r"READNULLCMD|NULLCMD|DIRSTACK|LANG|PWD|OLDPWD|STTY|KEYTIMEOUT|WORDCHARS|FIGNORE|_|"
    r"f?path|cdpath|mailpath|manpath|module_path|prompt|aliases|commands|functions|options|parameters|"
    r"[gs]aliases|dis_\w+|argv|status|histchars|watch|psvar|signals|reply|zsh\w*|"
    # whole numbers: what they are given is computed, and a subscript in it may run commands
    r"S?RANDOM|SECONDS|LINENO|COLUMNS|LINES|SHLVL|E?[UG]ID|ERRNO|TTYIDLE|LISTMAX|SAVEHIST|MAILCHECK|LOGCHECK|"
    r"DIRSTACKSIZE|BAUD|TRY_BLOCK_\w+|EPOCH\w+|TEXTDOMAIN\w*|USERNAME|GROUPS|COPROC|MBEGIN|MEND|REPLY",
    re.ASCII,
)
# These change only how the one command behind them prints.
BEFORE_ONE_COMMAND = ("LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_COLLATE", "LANG", "TZ", "NO_COLOR")
SIMPLE_VALUE = re.compile(r"[\w./:@%+,=-]*")


def is_free_name(name: str) -> bool:
    """Say whether a script may give this name a value without any program or the shell acting on it."""
    return NAME.fullmatch(name) is not None and name not in os.environ and not OBEYED.fullmatch(name)


def resolved(word: Word, script: Script, command: Command) -> Word:
    """Return a word of a command with the variables replaced whose one plain value the script surely set.

    This holds for arguments only, never for the word that names the command.
    """
    return Word([_resolved_part(part, script, command) for part in _from_home(word.parts)])


def _from_home(parts: list[Part]) -> list[Part]:
    """Return the parts of a word with a leading `~` or `~/` read as the shell reads it."""
    home = os.environ.get("HOME", "")
    tilde = bool(parts) and parts[0].kind == PATTERN and parts[0].text == "~"
    if not tilde or not SIMPLE_VALUE.fullmatch(home):
        return parts
    if len(parts) > 1 and (not parts[1].text.startswith("/") or parts[1].quoted):
        return parts
    return [Part(TEXT, home, False), *parts[1:]]


def _resolved_part(part: Part, script: Script, command: Command) -> Part:
    if part.kind != VARIABLE:
        return part
    known = script.known(part.text, command)
    value = known.literal() if known is not None else None
    if part.text == "HOME":
        value = os.environ.get("HOME")
    if value is None or part.default or not SIMPLE_VALUE.fullmatch(value):
        return part
    return Part(TEXT, value, part.quoted)

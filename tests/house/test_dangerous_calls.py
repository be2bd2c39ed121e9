"""Nothing in the program, its hooks or its scripts can turn data into code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLACES = ("src", "hooks", "scripts", ".ci")
# Their names are enough: `re.compile` and `ast.literal_eval` are other names.
NEVER = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "marshal.load", "shelve.open"),
    *("joblib.load", "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "pd.read_pickle"),
    *("torch.jit.load", "torch.export.load", "torch.package.PackageImporter", "torch.hub.load"),
    *("tarfile.open", "shutil.unpack_archive", "subprocess.getoutput", "subprocess.getstatusoutput"),
}
ALLOWED = {
    # derives from SafeLoader, and is the only call of its kind
    ("src/deft/strict_yaml.py", "yaml.load"),
}


def dangers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of every call that could run data or read it without a cap."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if is_dangerous(name, keywords):
                yield node.lineno, name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in NEVER:
                    yield node.lineno, f"{node.module}.{alias.name}"


def is_dangerous(name: str, keywords: dict[str | None, str]) -> bool:
    if name in NEVER or name == "yaml.load" or name.endswith((".extractall", ".extract")):
        return True
    if name == "torch.load":
        return keywords.get("weights_only") != "True"
    if name.endswith("np.load") or name == "numpy.load":
        return keywords.get("allow_pickle") != "False"
    return keywords.get("shell", "False") != "False" or keywords.get("trust_remote_code", "False") != "False"


def found_in(repository: Path) -> set[tuple[str, str]]:
    found = set()
    for place in PLACES:
        for path in (repository / place).rglob("*.py"):
            for _, name in dangers(ast.parse(path.read_text(encoding="utf-8"))):
                found.add((path.relative_to(repository).as_posix(), name))
    return found


def test_no_call_can_turn_data_into_code() -> None:
    assert found_in(REPOSITORY) == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)",
        "exec(text)",
        "import os; os.system(text)",
        "from os import system",
        "subprocess.run(text, shell=True)",
        "subprocess.Popen(text, shell=flag)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "pickle.loads(content)",
        "from pickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "zipfile.ZipFile(path).extractall(folder)",
        "tarfile.open(path)",
    ],
)
def test_a_dangerous_call_is_found(line: str) -> None:
    assert list(dangers(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "subprocess.run(words, shell=False)",
        "re.compile(text)",
        "ast.literal_eval(text)",
        "yaml.safe_load(text)",
    ],
)
def test_a_harmless_call_is_not_found(line: str) -> None:
    assert list(dangers(ast.parse(line))) == []

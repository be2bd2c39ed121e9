"""Read what people write as a target: `FAR < 0.1% @ recall = 100%`, `FAR below 0.1 % with no escapes`.

A target is one clause, or two joined by a word. A clause is a metric, a comparison and a number, in either
order; words that carry no meaning are skipped, and any other word is refused rather than guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from decimal import Decimal

from deft.errors import UsageError

EXAMPLES = (
    "FAR < 0.1% at recall = 100%",
    "recall >= 99.5% at FAR <= 1%",
    "cost(escape=100, false_alarm=1) < 50",
)
RATIOS = ("far", "recall", "precision", "f1")
LOWER_IS_BETTER = ("far", "escapes", "cost")

_NUMBER = r"(?:\d{1,130}(?:\.\d{0,130})?|\.\d{1,130})(?:e[+-]?\d{1,2})?"
_TOKENS = {
    "cost": rf"cost\s*\(\s*(?:escapes?|false[ _]alarms?)\s*=\s*{_NUMBER}\s*,"
    rf"\s*(?:escapes?|false[ _]alarms?)\s*=\s*{_NUMBER}\s*\)",
    "far": r"false[ -]alarm[ -]rate|false[ -]alarms?|far\b",
    "all_defects": r"(?:all|every) defects?(?: (?:is|are))? (?:found|caught|detected)",
    "miss_rate": r"(?:miss|escape)[ -]rate",
    "escapes": r"escapes?\b|(?:missed|escaped) defects?|defects? (?:missed|escape[sd]?)|misses\b"
    r"|missing (?:an? |any )?defects?",
    "recall": r"recall\b|detection rate",
    "precision": r"precision\b",
    "f1": r"f1(?:[ -]score)?\b",
    "number": rf"(?P<digits>{_NUMBER})(?:\s*(?P<percent>%|per ?cent\b)|(?!\w|\.\d))",
    "<=": r"<=|=<|≤|at most\b|no more than\b|not above\b|up to\b",
    ">=": r">=|=>|≥|at least\b|no less than\b|not below\b",
    "<": r"<|below\b|under\b|(?:less|lower|fewer|smaller) than\b",
    ">": r">|above\b|over\b|(?:more|higher|greater) than\b",
    "=": r"==?|equals?\b",
    "none": r"(?:no|zero)\b",
    "without": r"without(?: (?:any|an?|a single))?\b",
    "at": r"@|at\b",
    "and": r"with\b|and\b|while\b|keeping\b|,|;",
    "filler": r"(?:until|is|be|are|stays?|should|must|the|an?|of|to|target|kpi)\b|:|\.$",
}
_LEXER = re.compile(
    "|".join(f"(?P<{'t' + str(i)}>{p})" for i, p in enumerate(_TOKENS.values())), re.IGNORECASE
)
_KINDS = tuple(_TOKENS)
_MEASURES = ("far", "recall", "precision", "f1", "escapes", "miss_rate", "cost")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_WHOLE = Decimal(100)


@dataclass(frozen=True)
class Clause:
    """One comparison: ratios as fractions, escapes as a count, cost in the unit of its weights.

    `is_bare` says that a rate was written without a percent sign.
    """

    metric: str
    operator: str
    value: float
    escape_cost: float | None = None
    false_alarm_cost: float | None = None
    is_bare: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    number: Decimal | None = None
    percent: bool = False


def refuse(fact: str, text: object) -> UsageError:
    """Return the error of a target that does not parse, with three that do."""
    return UsageError(fact, value=text, hint="write for example " + "; or ".join(f'"{e}"' for e in EXAMPLES))


def read_clauses(text: str) -> tuple[Clause, Clause | None]:
    """Return the goal and its constraint (None where none is written); raises UsageError with examples."""
    tokens = _one_joint_each([token for token in _tokens(text) if token.kind != "filler"])
    joints = [i for i, token in enumerate(tokens) if token.kind in ("at", "and")]
    if len(joints) > 1:
        raise refuse("a target has one goal and at most one constraint", text)
    if not joints:
        return _clause(tokens, text), None
    first, second = tokens[: joints[0]], tokens[joints[0] + 1 :]
    if len(first) == 1:  # "FAR at 100 % recall below 0.1 %": the comparison at the end is the goal's
        first, second = first + second[-2:], second[:-2]
    goal, constraint = _clause(first, text), _clause(second, text)
    if goal.metric == constraint.metric:
        raise refuse("the goal and the constraint are about the same figure", text)
    # "no missed defect and FAR below 0.1 %": joined as equals, what must not be missed is the constraint
    if tokens[joints[0]].kind == "and" and goal.metric in ("recall", "escapes"):
        return constraint, goal
    return goal, constraint


def _one_joint_each(tokens: list[_Token]) -> list[_Token]:
    """Keep one of several joining words in a row ("and with", ", at"): `at` if it is among them."""
    kept: list[_Token] = []
    for token in tokens:
        if token.kind == "without":
            kept += [*([_Token("and", "with")] if kept else []), _Token("none", "no")]
        elif token.kind in ("at", "and") and kept and kept[-1].kind in ("at", "and"):
            kept[-1] = token if token.kind == "at" else kept[-1]
        else:
            kept.append(token)
    return kept


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _LEXER.match(text, place)
        if match is None:
            raise refuse(f"the target is not understood from {text[place : place + 30]!r} on", text)
        found.append(_token(match))
        place = match.end()
    return found


def _token(match: re.Match[str]) -> _Token:
    kind = next(_KINDS[i] for i in range(len(_KINDS)) if match[f"t{i}"] is not None)
    number = Decimal(match["digits"]) if kind == "number" else None
    return _Token(kind, match.group(), number, match["percent"] is not None)


def _clause(tokens: list[_Token], text: str) -> Clause:
    by_role = {_role(token): token for token in tokens}
    match "".join(_role(token) for token in tokens):
        case "A":
            return Clause("recall", ">=", 1.0)
        case "ZM":
            return _compare(by_role["M"], "<=", _Token("number", "0", Decimal(0)), text)
        case "MCN" | "CNM":
            return _compare(by_role["M"], by_role["C"].kind, by_role["N"], text)
        case "MN" | "NM":
            return _compare(by_role["M"], "=", by_role["N"], text)
    raise refuse("a goal or a constraint is one figure, one comparison and one number", text)


def _role(token: _Token) -> str:
    roles = {"all_defects": "A", "none": "Z", "number": "N"}
    return roles.get(token.kind, "M" if token.kind in _MEASURES else "C")


def _compare(measure: _Token, operator: str, number: _Token, text: str) -> Clause:
    value = number.number or Decimal(0)
    if measure.kind == "miss_rate" or (measure.kind == "escapes" and number.percent):
        rate = value / _WHOLE if number.percent else value
        return _ratio("recall", _FLIPPED[operator], 1 - rate, text)
    if measure.kind in RATIOS:
        if not number.percent and value > 1:
            raise refuse("a rate is a fraction up to 1 or carries a percent sign", text)
        found = _ratio(measure.kind, operator, value / _WHOLE if number.percent else value, text)
        return replace(found, is_bare=not number.percent)
    if number.percent:
        raise refuse("a cost is a number without a percent sign", text)
    return (
        _cost(measure, operator, value, text) if measure.kind == "cost" else _escapes(operator, value, text)
    )


def _ratio(metric: str, operator: str, value: Decimal, text: str) -> Clause:
    operator = _directed(metric, operator, text)
    if not 0 <= value <= 1:
        raise refuse("a rate lies between 0 and 100 %", text)
    if (operator == "<" and value == 0) or (operator == ">" and value == 1):
        raise refuse("no model can meet this", text)
    if value == (1 if metric == "far" else 0):
        raise refuse("every model meets this", text)
    return Clause(metric, operator, float(value))


def _escapes(operator: str, value: Decimal, text: str) -> Clause:
    operator = _directed("escapes", operator, text)
    if value != int(value) or (operator == "<" and value == 0):
        raise refuse("escapes are a whole number of missed defects", text)
    allowed = int(value) - (operator == "<")
    return Clause("escapes", "<=", float(allowed)) if allowed else Clause("recall", ">=", 1.0)


def _cost(measure: _Token, operator: str, value: Decimal, text: str) -> Clause:
    operator = _directed("cost", operator, text)
    inside = measure.text.lower().replace(" ", "").removeprefix("cost(").removesuffix(")")
    weights = {part[0]: float(part.split("=")[1]) for part in inside.split(",")}
    if set(weights) != {"e", "f"} or (operator == "<" and value == 0):
        raise refuse("a cost weighs escapes and false alarms, and is above 0", text)
    return Clause("cost", operator, float(value), weights["e"], weights["f"])


def _directed(metric: str, operator: str, text: str) -> str:
    """Return the comparison with `=` read as the reachable side; one that asks for worse is refused."""
    wanted = "<" if metric in LOWER_IS_BETTER else ">"
    if operator == "=":
        return wanted + "="
    if operator[0] != wanted:
        raise refuse(f"a target asks for {'low' if wanted == '<' else 'high'} {metric}", text)
    return operator

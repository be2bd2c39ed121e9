"""The words that count as the user's approval or refusal: a whole message, nothing besides.

"don't go yet" and "yes, but 5 epochs" are neither. Standard library only, Python 3.8 on.
"""

from __future__ import annotations

import re
import unicodedata

YES = (
    "go|go ahead|go for it|go on|yes|y|yep|yup|yeah|approve|approved|i approve|i approve it|"
    "i approve this|i approve the plan|i approve this plan|approve it|approve the plan|approve this plan|"
    "plan approved|looks good|looks good to me|look good|looks great|looks fine|looks right|"
    "looks correct|looks perfect|looks ok|looks okay|it looks good|this looks good|that looks good|"
    "all looks good|everything looks good|the plan looks good|sounds good|sounds great|good to go|"
    "all good|lgtm|proceed|you may proceed|do it|do that|run it|start|start it|start now|start the run|"
    "launch|launch it|ship it|let's go|lets go|let's do it|lets do it|let's start|let's run it|confirmed|"
    "confirm|i confirm|agreed|i agree|accepted|i accept|absolutely|definitely|of course|by all means|"
    "make it so|green light|you have my approval|thumbs up|👍"
)
WEAK_YES = "ok|okay|k|sure|sure thing|alright|all right|fine|fine by me|fine with me|that's fine|thats fine"
FILLER = "please|now|then|great|perfect|good|cool|right|just|yes"
THANKS = "thanks|thank you|thx|cheers"
NO = (
    "no|n|nope|nah|no way|no go|stop|stop it|cancel|cancel it|cancel that|cancel the run|abort|abort it|"
    "reject|reject it|rejected|i reject|refuse|refused|i refuse|decline|declined|denied|disapproved|"
    "not approved|do not go|do not start|don't start|do not run|don't run|do not run it|don't run it|"
    "do not do it|don't do it|do not proceed|don't proceed|never mind|nevermind|forget it|drop it|"
    "discard|discard it|scrap it"
)
BARE_NO = "don't|dont|do not"  # a refusal alone; before another word it turns that word round


def _phrases(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


_YES, _WEAK, _FILLER, _THANKS, _NO, _BARE_NO = map(_phrases, (YES, WEAK_YES, FILLER, THANKS, NO, BARE_NO))


def is_approval(text: str) -> bool:
    """Say whether a whole message is an approval and nothing else."""
    kinds = _kinds(_words(text), {"yes": _YES, "weak": _WEAK, "filler": _FILLER, "thanks": _THANKS})
    return "yes" in kinds or ("weak" in kinds and "thanks" not in kinds)


def is_refusal(text: str) -> bool:
    """Say whether a whole message is a refusal and nothing else."""
    words = _words(text)
    kinds = _kinds(words, {"no": _NO, "filler": frozenset({"please"}), "thanks": _THANKS})
    return "no" in kinds or " ".join(words) in _BARE_NO


def _words(text: str) -> list[str]:
    """Return the words of a short message; none if it asks or holds anything but plain words."""
    if not isinstance(text, str) or len(text) > 200:
        return []
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    plain = re.sub("[\U0001f3fb-\U0001f3ff\ufe0f]", "", plain)  # skin tones and the emoji style mark
    if not re.fullmatch("[a-z'👍\\s.,;:!\"`*_\u201c\u201d\u2026-]*", plain):
        return []
    return [word for word in re.split("[^a-z'👍]+", plain.replace("👍", " 👍 ")) if word.strip("'")]


def _kinds(words: list[str], vocabulary: dict[str, frozenset[str]]) -> set[str]:
    """Split words into known phrases, longest first; returns their kinds, none if a word is left over."""
    words = [word.strip("'") for word in words]
    found = set()
    while words:
        for size in range(min(6, len(words)), 0, -1):
            phrase = " ".join(words[:size])
            kind = next((name for name, known in vocabulary.items() if phrase in known), None)
            if kind is not None:
                break
        else:
            return set()
        found.add(kind)
        words = words[size:]
    return found

"""What does the plugin cost a conversation? `python -m benchmarks client_tokens`

The real client talks to a scripted model on loopback: the size of a first request with and without the
plugin, and all that a model reads in a loop of three iterations on a tiny workspace. A token is taken as four
characters.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

if TYPE_CHECKING:
    from client.engineer_story import Story
    from client.scripted_model import Request

ITERATIONS, CHARACTERS = 3, 4
SIZES = {"kpi": (60, 8), "pool": (120, 24)}
GIVEN = f"--max-iterations {ITERATIONS} --top-k-per-target 2 --targets-pass 8 --targets-defect 6"
SKILL_READ, ANSWERS, REPORTS, REST = "skill", "answers of deft", "reports, first lines", "hooks, other tools"


def first_requests(program: Path, root: Path) -> dict[str, dict[str, int]]:
    """Return the characters of the first request, part by part, without and with the plugin."""
    from client.real_client import RealClient
    from client.scripted_model import say, serving

    def greet(_: Any) -> Any:
        yield [say("Hello.")]

    found = {}
    for name, plugin in (("without", None), ("with", REPOSITORY)):
        folder = root / f"first-{bool(plugin):d}"  # as long a path in both, since the client tells it
        folder.mkdir()
        with serving() as model:
            model.play(greet)
            client = RealClient(program, folder, folder, model.url, plugin=plugin)
            client.ask("Say hello.", stream=root / f"{name}.jsonl")
            (request,) = model.of_lane()
        found[name] = {part: request.size(part) for part in ("system", "tools", "messages")}
    return found


def tell(program: Path, root: Path) -> Story:
    """Run one loop with a model that does what the skill says and nothing else."""
    from client.engineer_story import SKILL, TARGET, Story, reporter, reporter_phrase, tiny_workspace
    from client.real_client import RealClient
    from client.scripted_model import bash, say, serving, use

    (root / "home").mkdir()
    workspace = tiny_workspace(root / "workspace", sizes=SIZES, pairs=24)

    def plan(_: Any) -> Any:
        yield [use("Skill", skill=SKILL)]
        command = f'deft preflight {workspace.root} --target "{TARGET}" --platform embedded {GIVEN}'
        summary = (yield [bash(command)]).result
        yield [say(summary.text)]

    def follow(_: Any) -> Any:
        while True:
            record = (yield [bash(f"deft run {workspace.root} --until judgement")]).result.record
            if record["status"] == "judgement":
                yield from story.look_and_write(record)
            elif record["status"] != "running":
                break
        summary = (yield [bash(f"deft report summary {story.run.root}")]).result
        yield [say(f"Done. {summary.text}")]

    with serving() as model:
        client = RealClient(program, root / "home", workspace.root, model.url)
        story = Story(workspace, client, model, root, slips=False)
        model.play(reporter(story), phrase=reporter_phrase())
        model.play(plan)
        planned = client.ask("Run the DEFT loop on this workspace.", stream=root / "plan.jsonl")
        model.play(follow)
        client.ask("go", "--resume", planned.session, stream=root / "go.jsonl")
    if model.faults:
        raise model.faults[0]
    return story


def read_by_the_model(requests: list[Request]) -> Counter[str]:
    """Return the characters that reached the model after its words, by where they come from."""
    counts: Counter[str] = Counter()
    for earlier, request in zip([None, *requests], requests, strict=False):
        called = [block["name"] for block in earlier.reply if block["type"] == "tool_use"] if earlier else []
        kinds = {"Skill": SKILL_READ, "Bash": ANSWERS, "Read": REPORTS}
        for result in request.turn.results:
            counts[kinds.get(result.tool, REST)] += 0 if result.images else len(result.text)
        if called:  # the text of a prompt is the user's and the client's own
            counts[SKILL_READ if "Skill" in called else REST] += len(request.turn.text)
    return counts


def read_in_their_own(requests: list[Request]) -> int:
    """Return the characters that subagents read: system prompts once a conversation, and tool results."""
    begins = [each for each in requests if not any(m["role"] == "assistant" for m in each.body["messages"])]
    return sum(each.size("system") for each in begins) + sum(read_by_the_model(requests).values())


def turns_by_iteration(requests: list[Request]) -> list[int]:
    """Return the model's turns of each phase: from its first picture to the next, waits apart."""
    waits = [any('"status": "running"' in result.text for result in each.turn.results) for each in requests]
    looks = [at for at, each in enumerate(requests) if sum(b.get("name") == "Read" for b in each.reply) > 2]
    ends = [*looks[1:], len(requests)]
    return [sum(not waits[at] for at in range(first, end)) for first, end in zip(looks, ends, strict=True)]


def report(sizes: dict[str, dict[str, int]], story: Story) -> str:
    """Return the Markdown."""
    from client.engineer_story import reporter_phrase

    lines = ["| part of the first request | without, characters | with | tokens added |", "|---|---|---|---|"]
    for part in ("system", "tools", "messages"):
        without, with_plugin = sizes["without"][part], sizes["with"][part]
        added = (with_plugin - without) // CHARACTERS
        lines.append(f"| {part} | {without:,} | {with_plugin:,} | {added:,} |")
    main = story.model.of_lane()
    counts = read_by_the_model(main)
    lines += ["", f"| read in {ITERATIONS} iterations, pictures apart | tokens |", "|---|---|"]
    lines += [f"| {name} | {counts[name] // CHARACTERS:,} |" for name in (SKILL_READ, ANSWERS, REPORTS, REST)]
    lines.append(f"| **sum** | **{sum(counts.values()) // CHARACTERS:,}** |")
    apart = read_in_their_own(story.model.of_lane(reporter_phrase()))
    lines.append(f"| the reporters' own conversations, instructions and facts | {apart // CHARACTERS:,} |")
    turns = turns_by_iteration(main)
    lines += ["", f"Model turns an iteration, waits apart: {turns}, median {statistics.median(turns):g}."]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    from client.installation import client_program

    program = client_program()
    if not program.exists():
        sys.exit("the client is not installed: python tests/client/installation.py")
    with tempfile.TemporaryDirectory(prefix="deft-tokens-") as folder:
        root = Path(folder)
        print(report(first_requests(program, root), tell(program, root)))


if __name__ == "__main__":
    main()

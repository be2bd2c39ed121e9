"""The table of verbs: where each lives and what it is for; `deft --help` is printed from it alone."""

from __future__ import annotations

from dataclasses import dataclass

LOOP = "The loop"
STEPS = "One step alone"
DATA = "Data and records"
MACHINE = "This machine"


@dataclass(frozen=True)
class Verb:
    """One verb: its section in the help, `module:command`, one sentence, and whether it has a script."""

    section: str
    target: str
    summary: str
    script: bool = False


VERBS: dict[str, Verb] = {
    "demo": Verb(LOOP, "deft.cli.demo:demo", "Draw a workspace and run the whole loop on it."),
    "preflight": Verb(
        LOOP, "deft.cli.loop:preflight", "Check a workspace, plan a run, print the summary, stop."
    ),
    "approve": Verb(LOOP, "deft.cli.loop:approve", "Ask for a yes to the waiting plan, at a terminal."),
    "run": Verb(LOOP, "deft.cli.loop:run", "Start or join the approved run; repeating it is always right."),
    "status": Verb(LOOP, "deft.cli.loop:status", "Say where a run stands."),
    "next": Verb(LOOP, "deft.cli.loop:next_step", "Say what comes next and the command for it."),
    "spot-check": Verb(LOOP, "deft.cli.loop:spot_check", "Record what was seen on the weakest images."),
    "stop": Verb(LOOP, "deft.cli.loop:stop", "End a run cleanly; it can be resumed."),
    "report": Verb(LOOP, "deft.cli.report:report", "Render the report of a run."),
    "audit": Verb(LOOP, "deft.cli.loop:audit", "Re-derive every record of a run from its artifacts."),
    "rebuild-state": Verb(LOOP, "deft.cli.loop:rebuild_state", "Write the state anew from the log alone."),
    "compare": Verb(LOOP, "deft.cli.report:compare", "Set two runs side by side."),
    "clean": Verb(LOOP, "deft.cli.loop:clean", "Remove old checkpoints of finished runs."),
    "score": Verb(LOOP, "deft.cli.score:score", "Score new images with a handed-over model."),
    "analyze-gaps": Verb(
        STEPS, "deft.cli.steps:analyze_gaps", "Find the weakest rows of an inference table."
    ),
    "route": Verb(STEPS, "deft.cli.steps:route", "Divide the weak samples between mining and generation."),
    "mine": Verb(STEPS, "deft.cli.steps:mine", "Find look-alikes of weak samples in a pool."),
    "train": Verb(STEPS, "deft.cli.steps:train", "Train the comparison network on a spec."),
    "evaluate": Verb(STEPS, "deft.cli.steps:evaluate", "Score a labelled table and compute its figures."),
    "infer": Verb(STEPS, "deft.cli.steps:infer", "Score a table without judging it."),
    "shard": Verb(STEPS, "deft.cli.shard:shard_group", "Embed or mine in shards, past one machine."),
    "tool": Verb(STEPS, "deft.cli.tool:tool", "Run one tool call by hand, in the container's own grammar."),
    "import": Verb(DATA, "deft.cli.importing:import_group", "Turn a foreign dataset into a workspace."),
    "validate-csv": Verb(
        DATA, "deft.cli.workspace:validate_csv", "Check a table: columns, labels, images, leakage.", True
    ),
    "prestage-pregen": Verb(
        DATA, "deft.cli.workspace:prestage_pregen", "Stage pre-generated pairs; build the source pool.", True
    ),
    "changenet-data-pair-prepare": Verb(
        DATA,
        "deft.cli.workspace:changenet_data_pair_prepare",
        "Pair two image folders by stem and write their table.",
        True,
    ),
    "analyze-kpi": Verb(
        DATA, "deft.cli.records:analyze_kpi", "Sweep the threshold of an inference table.", True
    ),
    "init-deft-state": Verb(DATA, "deft.cli.records:init_deft_state", "Write the first state by hand.", True),
    "log-stage": Verb(DATA, "deft.cli.records:log_stage", "Log a stage that was done by hand.", True),
    "align-token-usage": Verb(
        DATA, "deft.cli.records:align_token_usage", "Attribute a transcript's tokens to the stages.", True
    ),
    "prepare-inference-spec": Verb(
        DATA, "deft.cli.records:prepare_inference_spec", "Write the hand-over of the best model.", True
    ),
    "doctor": Verb(MACHINE, "deft.cli.doctor:doctor", "Say what works on this machine."),
    "list-tao-platforms": Verb(
        MACHINE, "deft.cli.platforms:list_tao_platforms", "Name platforms, credentials and checks.", True
    ),
    "resolve-versions-key": Verb(
        MACHINE, "deft.cli.platforms:resolve_versions_key", "Print one pinned version by its key.", True
    ),
}

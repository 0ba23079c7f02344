"""What no single value shows: combinations that cannot work, each with what to change."""

from dsmath.config.adapters import adapted_policy, adapters
from dsmath.config.collecting import corpus_rules, pages_rules
from dsmath.config.launching import slurm_rules
from dsmath.config.paradigm import Broken, pieces
from dsmath.config.pretraining import mixture_rules, pretrain_sizes, token_upstreams
from dsmath.config.rollout import engine, temperatures
from dsmath.config.schema import Experiment
from dsmath.config.sizes import reward_data_sizes, reward_model_sizes, rl_sizes, room, samples_sizes, sft_sizes
from dsmath.config.tools import learning, limits
from dsmath.config.updates import updates


def _benchmark(e: Experiment) -> Broken:
    if e.reward_model.benchmark is not None and e.reward_model.kind == "outcome":
        yield (
            "reward_model.benchmark",
            f" = {e.reward_model.benchmark.target}: grades steps, and a model of kind outcome scores whole outputs; "
            "use reward_model.kind=process, or reward_model.benchmark=null",
        )


_OF_STAGES = {
    "pages": (pages_rules,),
    "corpus": (corpus_rules,),
    "tokens": (mixture_rules,),
    "pretrain": (pretrain_sizes,),
    "sft": (sft_sizes,),
    "samples": (samples_sizes,),
    "reward_data": (reward_data_sizes,),
    "reward_model": (reward_model_sizes, _benchmark),
    "rl": (pieces, updates, rl_sizes, learning, adapted_policy),
}
SAMPLING = {"samples", "reward_data", "rl", "answers"}


def broken_rules(e: Experiment) -> Broken:
    """The key and the rest of the message for each combination that cannot work in a stage that this chain has."""
    stages = chain(e)
    for stage, rules in _OF_STAGES.items():
        for rule in rules if stage in stages else ():
            yield from rule(e)
    if {"sft", "rl"} & stages:
        yield from adapters(e)
    if "answers" in stages:
        yield from _evaluation(e)
    if {"rl", "answers"} & stages:
        yield from limits(e)
    if SAMPLING & stages:
        yield from engine(e)
        yield from temperatures(e, stages)
    yield from _schedules(e)
    yield from _optimisers(e)
    yield from _folders(e)
    yield from slurm_rules(e)


def upstreams(e: Experiment, stage: str) -> list[str]:
    """The stages that a stage grows from in this experiment; `model` is none, it is where everything starts."""
    grown: dict[str, list[str]] = {
        "corpus": ["pages"],  # and each round the one before it (graph/chain.py)
        "tokens": token_upstreams(e),
        "pretrain": ["tokens"],
        "sft": [e.sft.init],
        "samples": [e.samples.init],
        "reward_data": [e.samples.init, "samples"],
        "reward_model": [e.reward_model.init, "reward_data"],
        "rl": [
            e.rl.init,
            *(["samples"] if e.source.name == "offline" else []),
            *(["reward_model"] if e.reward.name != "rule" and e.reward.path is None else []),
            *(["reward_data"] if e.iteration.reward_steps else []),  # what the reward model replays
        ],
        "answers": [*e.eval.of],
        "eval": ["answers"],
    }
    return [name for name in grown.get(stage, []) if name != "model"]


def chain(e: Experiment) -> set[str]:
    """The target stage and all that it grows from."""
    found: set[str] = set()
    ahead: list[str] = [e.stage.name]
    while ahead:
        stage = ahead.pop()
        found.add(stage)
        ahead += [name for name in upstreams(e, stage) if name not in found]
    return found


def _schedules(e: Experiment) -> Broken:
    for stage in ("pretrain", "sft", "reward_model", "rl"):
        schedule = getattr(e, stage).schedule
        if len(schedule.milestones) != len(schedule.factors):
            yield (
                f"{stage}.schedule.factors",
                f" = {schedule.factors}: one factor for each of the {len(schedule.milestones)} milestones was expected",
            )
        if sorted(schedule.milestones) != schedule.milestones:
            yield f"{stage}.schedule.milestones", f" = {schedule.milestones}: expected in rising order"


def _optimisers(e: Experiment) -> Broken:
    for stage in ("pretrain", "sft", "reward_model", "rl"):
        optim = getattr(e, stage).optim
        betas = optim.arguments.get("betas")
        if optim.target == "torch.optim.AdamW" and isinstance(betas, list) and len(betas) != 2:
            yield f"{stage}.optim.betas", f" = {betas}: expected two numbers, of the mean and of the square"


def _folders(e: Experiment) -> Broken:
    if e.name in ("", ".", "..") or "/" in e.name or "\\" in e.name:
        yield "name", f" = {e.name!r}: it names a folder; expected text without a slash"
    for name in ("runs", "sweeps", "store"):
        if not getattr(e.paths, name).strip():
            yield f"paths.{name}", " = '': expected a folder"


def _evaluation(e: Experiment) -> Broken:
    yield from room(e, "eval.max_new_tokens", e.eval.max_new_tokens)
    if not e.eval.of:
        yield "eval.of", " = []: nothing to evaluate; expected some of model, pretrain, sft, rl"
    if len(set(e.eval.of)) != len(e.eval.of):
        yield "eval.of", f" = {e.eval.of}: names a stage twice"
    if not e.eval.benchmarks:
        yield "eval.benchmarks", " = {}: nothing to evaluate on; expected some, such as benchmark=held_out"
    for k in e.eval.k:
        if k > e.eval.samples:
            yield (
                "eval.k",
                f" = {e.eval.k}: pass@{k} and maj@{k} want {k} samples a question, and there are eval.samples = "
                f"{e.eval.samples}; raise that, or lower k",
            )
    if 0 in e.eval.k and e.eval.samples:
        yield "eval.k", f" = {e.eval.k}: expected numbers of samples, from 1"
    yield from _prompts(e)


def _prompts(e: Experiment) -> Broken:
    style = e.eval.prompt
    if style in ("few_shot", "program"):
        if e.eval.prompts_file is None:
            yield (
                "eval.prompts_file",
                f" = null: eval.prompt={style} takes its prompts from a file; expected a path of JSON, such as "
                "DeepSeek-Math's (docs/benchmarks.md)",
            )
        for name, benchmark in e.eval.benchmarks.items():
            if getattr(benchmark, style) is None:
                yield (
                    f"eval.benchmarks.{name}.{style}",
                    f" = null: eval.prompt={style} needs the name of a prompt in eval.prompts_file",
                )
    if style == "few_shot" and e.tools.name != "none":
        yield "eval.prompt", " = 'few_shot': its examples are text, in which nothing is run; use tools=none"
    if style in ("tool", "program") and e.tools.name == "none":
        yield "eval.prompt", f" = {style!r}: has the model write programs, and nothing runs them; add tools=python"

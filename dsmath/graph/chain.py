"""An experiment → the nodes it consists of: which stages, each grown from which."""

import copy
import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dsmath.config.collecting import token_budget
from dsmath.config.pretraining import FILES, TOKENIZER_ARGUMENTS, folders_of, require_files, used_sources
from dsmath.config.rules import SAMPLING, upstreams
from dsmath.config.schema import Experiment
from dsmath.config.types import Component
from dsmath.corpus.annotation import Decision, decisions_file, digest_before, read_decisions
from dsmath.errors import UserError
from dsmath.graph.fingerprint import file_digest, tree_digest
from dsmath.graph.graph import Node, Stage, node, order
from dsmath.graph.stages import STAGES
from dsmath.rollout.available import require_engine


def targets(e: Experiment) -> list[Node]:
    """The nodes that the experiment asks for: its stage, or one for each model of `eval.of` on each benchmark.

    Raises:
        UserError: when an input file is missing or unreadable.
    """
    builder = _Builder(e)
    if e.stage.name not in ("answers", "eval"):
        return [builder.node(e.stage.name)]
    evaluation = builder.answers if e.stage.name == "answers" else builder.evaluation
    return [evaluation(model, benchmark) for benchmark in e.eval.benchmarks for model in e.eval.of]


def nodes(e: Experiment) -> list[Node]:
    """Every node of the experiment, upstreams first, each once."""
    found: dict[str, Node] = {}
    for target in targets(e):
        for each in order(target):
            found.setdefault(each.fingerprint, each)
    return list(found.values())


def require_available(all_nodes: list[Node], e: Experiment) -> None:
    """Refuse to start what this version cannot finish.

    Raises:
        UserError: naming sources of texts without files, or the hardware that this version has no code for.
    """
    if any(n.stage.name == "tokens" for n in all_nodes):
        require_files(e)
    if any(n.stage.name in SAMPLING for n in all_nodes):
        require_engine(e)
    hardware = e.hardware
    if hardware.num_nodes > 1:
        raise UserError(
            f"this version of dsmath can plan for hardware={hardware.name} with {hardware.num_nodes} machines of "
            f"{hardware.devices} devices, but not run on them yet; the devices of one machine run with "
            "hardware.num_nodes=1, with hardware.strategy=fsdp for models that one device cannot hold"
        )
    if hardware.strategy == "fsdp" and hardware.precision == "16-mixed" and hardware.devices > 1:
        raise UserError(
            "hardware.precision = 16-mixed: scales its losses, which models in shards (hardware.strategy=fsdp) do not "
            "have; use bf16-mixed, bf16-true or 32-true"
        )


class _Builder:
    """Makes each node of an experiment once."""

    def __init__(self, e: Experiment) -> None:
        self._e = e
        self._values = values(e)
        self._made: dict[str, Node] = {}
        self._digests: dict[Path, str] = {}

    def node(self, name: str) -> Node:
        if name == "corpus":
            return self.round(self._e.round)
        if name not in self._made:
            grown = tuple(self.node(up) for up in upstreams(self._e, name))
            decide = _of_tokens(self._e, self._values) if name == "tokens" else self._values
            self._made[name] = node(STAGES[name], decide, upstreams=grown, inputs=self._inputs(name))
        return self._made[name]

    def round(self, number: int) -> Node:
        """A round of the corpus, grown from the rounds before it; only what it reads itself names it."""
        label = f"corpus@round-{number}"
        if label not in self._made:
            e = self._e
            budget = {"token_budget": token_budget(e, number), "token_budgets": {}}
            reading = {**self._values, "corpus": {**self._values["corpus"], **budget}}
            inputs, grown = self._inputs("corpus"), [self.node("pages")]
            if number == 1:
                reading["annotation"] = {}
                reading["corpus"] |= {"seed_files": None, "stop_overlap": None}
            else:
                grown.append(self.round(number - 1))
                reading["annotation"] = {**self._values["annotation"], "file": None}
                reading["corpus"] |= {"seed_urls": [], "seed_files": None}
                if e.annotation.file is not None:
                    inputs["decisions"] = digest_before(_decisions(e), number)
            self._made[label] = node(
                STAGES["corpus"], reading, upstreams=tuple(grown), variant=f"round-{number}", inputs=inputs
            )
        return self._made[label]

    def answers(self, model: str, benchmark: str) -> Node:
        """A model's answers to a benchmark: they depend on how it asks, not on how they are graded."""
        e = self._e
        asked = [
            "problems",
            "split",
            "language",
            *([e.eval.prompt] if e.eval.prompt in ("few_shot", "program") else []),
        ]
        grown = () if model == "model" else (self.node(model),)
        inputs = self._inputs("answers")
        for key, path in _files(e.eval.benchmarks[benchmark].problems).items():
            inputs[key] = self._digest(path)
        asking = self._of_benchmark(benchmark, asked)
        asking["eval"]["prompts_file"] = None  # files count by their content, not by where they lie
        asking["eval"]["benchmarks"][benchmark]["problems"].pop("folder", None)
        return node(
            STAGES["answers"],
            asking,
            upstreams=grown,
            variant=f"{model}/{benchmark}",
            inputs=inputs,
        )

    def evaluation(self, model: str, benchmark: str) -> Node:
        """The answers, graded: what changes here alone samples nothing again."""
        return node(
            STAGES["eval"],
            self._of_benchmark(benchmark, ["symbolic"]),
            upstreams=(self.answers(model, benchmark),),
            variant=f"{model}/{benchmark}",
        )

    def _of_benchmark(self, name: str, keys: list[str]) -> dict[str, Any]:
        """The experiment's values with one benchmark and no more of it than these keys."""
        evaluation = self._values["eval"]
        kept = {key: copy.copy(evaluation["benchmarks"][name][key]) for key in keys}
        return {**self._values, "eval": {**evaluation, "benchmarks": {name: kept}}}

    def _inputs(self, name: str) -> dict[str, str]:  # noqa: PLR0912 - a line a kind of file
        """Digests of the files that a stage's result depends on besides the config."""
        e, found = self._e, dict[str, str]()
        if name == "pages":
            found |= self._crawl()
        if name in ("sft", "samples", "rl"):
            for key, path in _files(getattr(e, name).problems).items():
                found[key] = self._digest(path)
        if name in ("tokens", "pretrain"):
            texts = used_sources(e) if name == "tokens" else {"held out": e.pretrain.held_out}
            for source, component in texts.items():
                found |= {f"{source} {key}": self._digest(path) for key, path in _files(component).items()}
        local: dict[str, Any] = {}
        if name == "corpus" and e.corpus.seed_files is not None:
            from dsmath.data.text_sources import TextFiles

            files = TextFiles(path=e.corpus.seed_files, column=e.corpus.seed_column)
            with suppress(UserError):  # a plan is shown without them; a run asks before it starts
                found |= {f"seed {key}": self._digest(path) for key, path in files.inputs().items()}
        if name in ("tokens", "pretrain", "sft", "samples", "reward_model", "rl", "answers"):
            local["model"] = e.model.policy.arguments.get("path")
        if name == "answers" and e.eval.prompt in ("few_shot", "program"):
            local["prompts"] = e.eval.prompts_file
        if name == "rl" and e.reward.path is not None:
            local["reward"] = e.reward.path
            if not Path(e.reward.path).expanduser().is_dir():
                raise UserError(
                    f"reward.path = {e.reward.path}: no such folder; expected one of the stage reward_model"
                )
        if name == "reward_model" and e.reward_model.benchmark is not None:
            local["benchmark"] = e.reward_model.benchmark.arguments.get("path")
        for key, path in local.items():
            if path is not None and (place := Path(str(path)).expanduser()).exists():  # else a name of the hub
                found[key] = self._digest(place)
        return found

    def _crawl(self) -> dict[str, str]:
        """Digests of the crawl's local files and of the benchmarks' files; remote shards count by their addresses."""
        e, found = self._e, dict[str, str]()
        if e.crawl.source.target.startswith("dsmath."):
            with suppress(UserError, OSError):  # a plan is shown without them; a run asks before it starts
                crawl = e.crawl.source.build()
                for key, path in crawl.inputs().items():
                    found[f"crawl {key}"] = self._digest(path)
                found |= {f"crawl {key}": mark for key, mark in getattr(crawl, "addresses", dict)().items()}
        for name, benchmark in e.decontamination.benchmarks.items():
            with suppress(UserError):  # likewise
                for key, path in _files(benchmark.problems).items():
                    found[f"benchmark {name} {key}"] = self._digest(path)
        return found

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = tree_digest(path) if path.is_dir() else file_digest(path)
        return self._digests[path]


def _decisions(e: Experiment) -> list[Decision]:
    """What is decided so far; with annotation=interactive the file may not be there yet."""
    assert e.annotation.file is not None
    path = decisions_file(e.annotation.file)
    return read_decisions(path) if path.exists() else []  # a plan is shown without them; a run asks before it starts


def _files(source: Component) -> Mapping[str, Path]:
    """The files that a source of problems or texts reads."""
    if not source.target.startswith("dsmath.") or folders_of(source):
        return {}  # a user's own source may be heavy to make; what reads a stage's result depends on that
    inputs = getattr(source.build(), "inputs", dict)
    found: Mapping[str, Path] = inputs()
    return found


def _of_tokens(e: Experiment, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that decide how texts are tokenised: the sources in use without their weights, and the tokenizer."""
    sources = {name: _plain(source) for name, source in used_sources(e).items()}
    for source in sources.values():
        if source["_target_"] == FILES:
            source["path"] = None if source["path"] is None else "files"  # they count by their content
    policy = values["model"]["policy"]
    kept = TOKENIZER_ARGUMENTS.get(e.model.policy.target, tuple(policy))
    tokenizer = {name: policy[name] for name in ("_target_", *kept)}
    model = {**values["model"], "policy": tokenizer}
    return {**values, "model": model, "pretrain": {**values["pretrain"], "sources": sources}}


def values(e: Experiment) -> dict[str, Any]:
    """The experiment as plain nested dicts, as fingerprints hash it."""
    plain = _plain(e)
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Component):
        return {"_target_": value.target, **{k: _plain(v) for k, v in value.arguments.items()}}
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return value


class _Undeclared:
    """Stands in for a section that a stage does not declare."""

    def __init__(self, stage: str, section: str) -> None:
        object.__setattr__(self, "_what", (stage, section))

    def __getattr__(self, name: str) -> Any:
        stage, section = object.__getattribute__(self, "_what")
        raise AttributeError(f"stage {stage} reads {section}.{name} without declaring it in graph/stages.py")


def view(e: Experiment, stage: Stage) -> Experiment:
    """The experiment as a stage may see it: a section that it does not declare raises when it is looked at.

    So a fingerprint cannot miss what a stage depends on.
    """
    declared = {path.split(".")[0] for path in (*stage.reads, *stage.uses)} | {"name", "stage"}
    hidden: dict[str, Any] = {
        f.name: _Undeclared(stage.name, f.name) for f in dataclasses.fields(e) if f.name not in declared
    }
    return dataclasses.replace(e, **hidden)

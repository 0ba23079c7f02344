"""Arguments of the components that dsmath ships, by `_target_`: names, types and bounds, no values and no imports.

A test binds each of them to the signature of its target (tests/config/test_components.py).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dsmath.config.types import Bounds, NonNegative, NonNegativeInt, OpenShare, Positive, PositiveInt, Seed, Share


@dataclass(frozen=True)
class NoArguments:
    """A component whose arguments all come from elsewhere in the experiment."""


@dataclass(frozen=True)
class AdamW:
    lr: Positive
    betas: list[OpenShare]
    eps: Positive
    weight_decay: NonNegative
    fused: bool


@dataclass(frozen=True)
class Recording:
    record_steps: bool


@dataclass(frozen=True)
class LightningTrainer:
    enable_model_summary: bool
    num_sanity_val_steps: NonNegativeInt
    benchmark: bool


@dataclass(frozen=True)
class WandbRun:
    project: str
    entity: str | None
    mode: Literal["offline", "online"]
    tags: list[str]


@dataclass(frozen=True)
class WordProblems:
    seed: Seed
    max_steps: Annotated[int, Bounds(ge=1, le=4)]
    difficulty: PositiveInt
    careless_share: Share
    train_size: PositiveInt
    validation_size: PositiveInt
    test_size: PositiveInt


@dataclass(frozen=True)
class JsonLines:
    path: str
    train: str | None
    validation: str | None
    test: str | None
    format: Literal["gsm8k", "math"]
    validation_size: PositiveInt


@dataclass(frozen=True)
class HuggingFaceDataset:
    path: str
    name: str | None
    train: str
    validation: str | None
    test: str
    format: Literal["gsm8k", "math"]
    validation_size: PositiveInt


@dataclass(frozen=True)
class BenchmarkFile:
    folder: str | None
    file: str
    format: Literal[
        "gsm8k",
        "math",
        "svamp",
        "asdiv",
        "multiarith",
        "gsm_hard",
        "cmath",
        "mgsm",
        "ocw",
        "cloze",
        "choices",
        "choices_zh",
    ]
    hub: str | None
    name: str | None
    hub_split: str


@dataclass(frozen=True)
class TextFiles:
    path: str | None
    column: str


@dataclass(frozen=True)
class EmbeddedHeldOut:
    seed: Seed
    count: PositiveInt


@dataclass(frozen=True)
class EmbeddedWeb:
    seed: Seed
    pages: Annotated[int, Bounds(ge=500)]
    shards: PositiveInt


@dataclass(frozen=True)
class WarcFiles:
    path: str


@dataclass(frozen=True)
class CommonCrawl:
    path: str
    base: str
    limit: PositiveInt | None


@dataclass(frozen=True)
class Tiny:
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    context_length: PositiveInt
    initializer_range: Positive
    seed: Seed


@dataclass(frozen=True)
class Pretrained:
    path: str
    dtype: Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class SmolLM2:
    dtype: Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class RuleReward:
    right: float
    wrong: float
    format: NonNegative
    symbolic: bool


@dataclass(frozen=True)
class ProcessBench:
    path: str


@dataclass(frozen=True)
class SampleTable:
    rows: PositiveInt
    every: PositiveInt


SHIPPED: dict[str, Any] = {
    "torch.optim.AdamW": AdamW,
    "lightning.Trainer": LightningTrainer,
    "dsmath.tracking.wandb_run.open_run": WandbRun,
    "dsmath.data.word_problems.WordProblems": WordProblems,
    "dsmath.data.word_problems.ProgramWordProblems": WordProblems,
    "dsmath.data.readers.JsonLines": JsonLines,
    "dsmath.data.readers.HuggingFaceDataset": HuggingFaceDataset,
    "dsmath.data.benchmarks.BenchmarkFile": BenchmarkFile,
    "dsmath.data.text_sources.CollectedPages": NoArguments,
    "dsmath.data.text_sources.SeedPages": NoArguments,
    "dsmath.data.text_sources.OtherPages": NoArguments,
    "dsmath.data.text_sources.EmbeddedHeldOut": EmbeddedHeldOut,
    "dsmath.data.text_sources.TextFiles": TextFiles,
    "dsmath.data.pretraining.TokenMixture": NoArguments,
    "dsmath.data.modules.PackedSolutions": NoArguments,
    "dsmath.data.modules.Prompts": NoArguments,
    "dsmath.data.offline.Solutions": NoArguments,
    "dsmath.data.offline.RightSamples": NoArguments,
    "dsmath.data.offline.Pairs": NoArguments,
    "dsmath.data.reward_data.ScoredSolutions": NoArguments,
    "dsmath.data.process_bench.ProcessBench": ProcessBench,
    "dsmath.corpus.embedded.EmbeddedWeb": EmbeddedWeb,
    "dsmath.corpus.crawls.WarcFiles": WarcFiles,
    "dsmath.corpus.crawls.CommonCrawl": CommonCrawl,
    "dsmath.models.load.tiny": Tiny,
    "dsmath.models.load.pretrained": Pretrained,
    "dsmath.models.load.smollm2_135m": SmolLM2,
    "dsmath.reward.rule.RuleReward": RuleReward,
    "dsmath.rollout.own.OwnEngine": Recording,
    "dsmath.rollout.continuous.ContinuousEngine": NoArguments,
    "dsmath.rollout.vllm.VLLMEngine": NoArguments,
    "dsmath.training.language_modelling.LanguageModelling": NoArguments,
    "dsmath.training.pretraining.Pretraining": NoArguments,
    "dsmath.training.policy_optimisation.PolicyOptimisation": NoArguments,
    "dsmath.training.reward_modelling.RewardModelling": NoArguments,
    "dsmath.training.callbacks.SampleTable": SampleTable,
}

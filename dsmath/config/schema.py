"""The shape of an experiment: names, types and bounds. Every value lives in conf/ or experiments/."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dsmath.config.types import (
    Bounds,
    Component,
    NonNegative,
    NonNegativeInt,
    OpenShare,
    Positive,
    PositiveInt,
    Seed,
    Share,
)

StageName = Literal[
    "pages", "corpus", "tokens", "pretrain", "sft", "samples", "reward_data", "reward_model", "rl", "answers", "eval"
]

AlgorithmName = Literal[
    "sft",
    "rft",
    "online_rft",
    "dpo",
    "ppo",
    "grpo",
    "grpo_process",
    "grpo_iterative",
    "dr_grpo",
    "dapo",
    "rloo",
    "gspo",
]


@dataclass(frozen=True)
class StageSection:
    """Where the chain of stages ends."""

    name: StageName


@dataclass(frozen=True)
class Crawl:
    """The web pages that the corpus is mined from; `source` opens its shards."""

    name: str
    path: str | None
    source: Component


@dataclass(frozen=True)
class PageLimits:
    """What one page may cost."""

    max_bytes: PositiveInt
    max_elements: PositiveInt
    max_attributes: PositiveInt
    max_depth: PositiveInt
    max_formula_characters: PositiveInt
    max_text_bytes: PositiveInt


@dataclass(frozen=True)
class NearDuplicates:
    """MinHash of word shingles; pairs are verified by their exact Jaccard similarity."""

    shingle: PositiveInt
    permutations: PositiveInt
    bands: PositiveInt
    jaccard: Annotated[float, Bounds(gt=0, le=1)]
    seed: Seed


@dataclass(frozen=True)
class Pages:
    """What becomes a page of the crawl (§2.1)."""

    languages: list[str]
    undecided: bool
    least_characters: PositiveInt
    bytes_per_token: Positive
    limits: PageLimits
    near_duplicates: NearDuplicates
    buckets: PositiveInt


@dataclass(frozen=True)
class FastText:
    """The classifier of §2.1."""

    dim: PositiveInt
    lr: Positive
    word_ngrams: PositiveInt
    min_count: PositiveInt
    epochs: PositiveInt
    bucket: PositiveInt
    threads: PositiveInt


@dataclass(frozen=True)
class Corpus:
    """One round of collection (§2.1)."""

    seed_urls: list[str]
    seed_files: str | None
    seed_column: str
    positives: PositiveInt
    negatives: PositiveInt
    joins: Literal["uncollected", "all"]
    negatives_from: Literal["not_seed", "not_collected"]
    validation_share: OpenShare
    token_budget: PositiveInt
    token_budgets: dict[str, PositiveInt]
    domain_share: OpenShare
    stop_overlap: Annotated[float, Bounds(gt=0, le=1)]
    fasttext: FastText


@dataclass(frozen=True)
class Annotation:
    """Which URL paths of mathematical domains join the seed (§2.1), and who says so."""

    name: Literal["automatic", "file", "interactive"]
    file: str | None
    path_share: Annotated[float, Bounds(gt=0, le=1)] | None
    least_pages: PositiveInt | None
    depth: PositiveInt
    unmatched: Literal["error", "warn"]


@dataclass(frozen=True)
class Prompt:
    """How a question is put to the model."""

    style: Literal["plain", "chat"]
    instruction: str


@dataclass(frozen=True)
class Model:
    """The model that everything starts from."""

    name: str
    context_length: PositiveInt
    prompt: Prompt
    policy: Component


@dataclass(frozen=True)
class Data:
    """Problems with solutions and answers; `path` is the folder or name of those that are not generated.

    `symbolic`: answers are expressions, which math-verify compares where their spelling does not decide.
    """

    name: str
    path: str | None
    symbolic: bool
    problems: Component


@dataclass(frozen=True)
class Schedule:
    """The learning rate's factor over the steps of a stage."""

    kind: Literal["constant", "cosine", "multi_step"]
    warmup_steps: NonNegativeInt
    milestones: list[OpenShare]
    factors: list[Positive]
    final_factor: Share


@dataclass(frozen=True)
class Pretrain:
    """Language modelling on the corpus (§2.2, §2.3); `mixture` has each source's share of the tokens."""

    tokens: PositiveInt
    batch_tokens: PositiveInt
    sequence_length: PositiveInt
    micro_batch_size: PositiveInt
    gradient_clip: Positive
    validate_every: PositiveInt
    mixture: dict[str, Share]
    sources: dict[str, Component]
    held_out: Component
    module: Component
    data: Component
    optim: Component
    schedule: Schedule


@dataclass(frozen=True)
class SFT:
    """Supervised fine-tuning on solutions (§3)."""

    init: Literal["model", "pretrain"]
    steps: PositiveInt
    batch_size: PositiveInt
    micro_batch_size: PositiveInt
    sequence_length: PositiveInt
    gradient_clip: Positive
    validate_every: PositiveInt
    validation_size: PositiveInt
    problems: Component
    module: Component
    data: Component
    optim: Component
    schedule: Schedule


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (arXiv 2106.09685), which sft and rl train in place of the model's own weights."""

    name: Literal["none", "adapters"]
    rank: PositiveInt | None
    alpha: Positive | None
    dropout: Annotated[float, Bounds(ge=0, lt=1)] | None
    targets: list[str]


@dataclass(frozen=True)
class Samples:
    """Outputs of a model that is not learning, judged by rule; RFT, DPO and reward models learn from them (§5.2.1)."""

    init: Literal["model", "sft"]
    questions: PositiveInt
    per_question: PositiveInt
    temperature: Positive
    max_new_tokens: PositiveInt
    batch_rows: PositiveInt
    problems: Component
    rule: Component


@dataclass(frozen=True)
class RewardData:
    """Labels for reward models, as Math-Shepherd makes them (arXiv 2312.08935): rollouts from every step's end."""

    solutions_per_question: PositiveInt
    rollouts: PositiveInt
    temperature: Positive
    max_new_tokens: PositiveInt
    batch_rows: PositiveInt
    step_mark: str
    validation_share: OpenShare
    rule: Component


@dataclass(frozen=True)
class RewardModel:
    """Training of the reward model (§4.2)."""

    kind: Literal["outcome", "process"]
    objective: Literal["pairwise", "pointwise"]
    label: Literal["hard", "soft"]
    init: Literal["model", "pretrain", "sft"]
    steps: PositiveInt
    batch_size: PositiveInt
    micro_batch_size: PositiveInt
    gradient_clip: Positive
    validate_every: PositiveInt
    module: Component
    data: Component
    benchmark: Component | None
    optim: Component
    schedule: Schedule


@dataclass(frozen=True)
class Source:
    """Where the outputs that are learned from come from (§5.2.1)."""

    name: Literal["online", "offline", "dataset"]
    data: Component


@dataclass(frozen=True)
class Reward:
    """What an output is worth (§5.2.1): a rule, or a model that a stage trains; `function` is the gauge of accuracy."""

    name: Literal["rule", "model", "process"]
    function: Component
    path: str | None
    transform: Literal["score", "probability"] | None
    overlong_buffer: PositiveInt | None
    overlong_penalty: Positive | None


@dataclass(frozen=True)
class Advantage:
    """The gradient coefficient's first part (§4.1, §5.2.1)."""

    name: Literal["group", "group_process", "leave_one_out", "gae", "reward", "constant", "preference"]
    std: Literal["sample", "population", "none"] | None
    epsilon: NonNegative | None
    tolerance: NonNegative | None
    gamma: Share | None
    lam: Share | None
    whiten: bool | None


@dataclass(frozen=True)
class KL:
    """The penalty that keeps the policy near its reference (§4.1)."""

    placement: Literal["loss", "reward", "implicit", "none"]
    estimator: Literal["k1", "k2", "k3"]
    gradient: Literal["plain", "ratio", "straight_through"]
    coef: NonNegative
    target: Positive | None
    horizon: PositiveInt | None


@dataclass(frozen=True)
class Value:
    """PPO's baseline (§4.1.1): a model of its own, or a head on the policy."""

    name: Literal["none", "separate", "head"]
    init: Literal["policy", "reward_model"] | None
    lr: Positive | None
    coef: Positive | None
    clip: Positive | None


@dataclass(frozen=True)
class Iteration:
    """Outer iterations of Algorithm 1 (§4.1.4); without `explorations` there is one."""

    name: Literal["single", "iterative"]
    explorations: PositiveInt | None
    refresh_reference: bool
    reward_steps: NonNegativeInt
    replay: OpenShare | None


@dataclass(frozen=True)
class Sampling:
    """How outputs are drawn from the policy."""

    group_size: PositiveInt
    temperature: Positive
    temperature_in_log_probs: bool
    max_new_tokens: PositiveInt


@dataclass(frozen=True)
class RolloutSection:
    """What completions are sampled with, at most `max_rows` at once; `memory_share` is of the GPU's memory."""

    name: Literal["transformers", "continuous", "vllm"]
    dtype: Literal["float32", "bfloat16"] | None
    max_rows: PositiveInt | None
    memory_share: OpenShare | None
    engine: Component


@dataclass(frozen=True)
class Algorithm:
    """The rest of the policy's loss; the pieces above are picked by the preset."""

    name: AlgorithmName
    clip_low: OpenShare | None
    clip_high: Positive | None
    dual_clip: Annotated[float, Bounds(gt=1)] | None
    ratio: Literal["token", "sequence"]
    updates_per_exploration: PositiveInt
    aggregation: Literal["sequence_mean", "token_mean", "constant"]
    aggregation_constant: Positive | None
    empty_rows: Literal["count", "skip"]
    truncated: Literal["keep", "mask"]
    dynamic_sampling: NonNegativeInt


@dataclass(frozen=True)
class RL:
    """Policy optimisation (§4.1, §4.2); `batch_size` counts outputs, as in the paper."""

    init: Literal["sft", "model"]
    steps: PositiveInt
    batch_size: PositiveInt
    micro_batch_size: PositiveInt
    gradient_clip: Positive
    validate_every: PositiveInt
    validation_size: PositiveInt
    flat_groups_warning: PositiveInt
    problems: Component
    module: Component
    optim: Component
    schedule: Schedule


@dataclass(frozen=True)
class Benchmark:
    """Problems that models are compared on; `few_shot` and `program` name prompts of `eval.prompts_file`."""

    problems: Component
    split: Literal["train", "validation", "test"]
    language: Literal["en", "zh"]
    symbolic: bool
    few_shot: str | None
    program: str | None


@dataclass(frozen=True)
class Decontamination:
    """Benchmarks whose texts may not be in the corpus (§2.1)."""

    benchmarks: dict[str, Benchmark]
    ngram: PositiveInt
    shortest: PositiveInt
    unit: Literal["page", "segment"]


@dataclass(frozen=True)
class Evaluation:
    """Held-out problems and what is measured on them; `of` lists the stages whose models are evaluated."""

    of: list[Literal["model", "pretrain", "sft", "rl"]]
    benchmarks: dict[str, Benchmark]
    prompt: Literal["model", "boxed", "tool", "few_shot", "program"]
    prompts_file: str | None
    size: PositiveInt | None
    samples: NonNegativeInt
    k: list[NonNegativeInt]
    temperature: Positive
    max_new_tokens: PositiveInt
    confidence: OpenShare
    resamples: PositiveInt
    batch_rows: PositiveInt


@dataclass(frozen=True)
class Tools:
    """What runs the code that a model writes, in a sandbox; limits are of one run."""

    name: Literal["none", "python"]
    rounds: PositiveInt | None
    seconds: Positive | None
    memory_mb: PositiveInt | None
    output_characters: PositiveInt | None


@dataclass(frozen=True)
class TrainerSection:
    """Lightning's Trainer and what it leaves behind while it runs."""

    checkpoint_every: PositiveInt
    log_every: PositiveInt
    progress: bool
    deterministic: bool
    activation_checkpointing: bool
    compile: bool
    lightning: Component
    callbacks: dict[str, Component]


@dataclass(frozen=True)
class Hardware:
    """One machine or many: what Lightning is told, and what SLURM is asked for."""

    name: str
    accelerator: Literal["cpu", "gpu"]
    device: str | None
    devices: PositiveInt
    num_nodes: PositiveInt
    precision: Literal["32-true", "bf16-true", "bf16-mixed", "16-mixed"]
    strategy: Literal["auto", "ddp", "fsdp"]
    threads: PositiveInt | None
    cpus_per_device: PositiveInt
    memory_gb: PositiveInt
    minutes: PositiveInt


@dataclass(frozen=True)
class Shards:
    """What SLURM is asked for, for each task of the corpus's arrays: one core and this much more."""

    minutes: PositiveInt
    memory_gb: PositiveInt


@dataclass(frozen=True)
class Slurm:
    """How SLURM is asked; how much it is asked for is the hardware's."""

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    reservation: str | None
    dependency: str | None
    signal_seconds: Annotated[int, Bounds(ge=5, le=65535)]
    python: str | None
    setup: list[str]
    sbatch: dict[str, str | int | bool]
    srun: list[str]
    shards: Shards
    poll_seconds: Positive


@dataclass(frozen=True)
class Launcher:
    """Where a sweep runs, `points` of it at a time, and the corpus's shards, `workers` at a time."""

    name: Literal["local", "slurm"]
    points: PositiveInt | None
    workers: PositiveInt
    wait: bool
    snapshot: bool
    slurm: Slurm | None


@dataclass(frozen=True)
class Logger:
    """Where metrics go besides the run folder's CSV."""

    name: str
    csv: bool
    run: Component | None


@dataclass(frozen=True)
class Paths:
    """Where results go."""

    runs: str
    sweeps: str
    store: str
    benchmarks: str | None


@dataclass(frozen=True)
class Experiment:
    """Everything an experiment can say."""

    name: str
    seed: Seed
    stage: StageSection
    round: Annotated[int, Bounds(ge=1, le=4)]
    crawl: Crawl
    pages: Pages
    decontamination: Decontamination
    corpus: Corpus
    annotation: Annotation
    model: Model
    data: Data
    pretrain: Pretrain
    sft: SFT
    lora: Lora
    samples: Samples
    reward_data: RewardData
    reward_model: RewardModel
    source: Source
    reward: Reward
    advantage: Advantage
    kl: KL
    value: Value
    iteration: Iteration
    sampling: Sampling
    rollout: RolloutSection
    tools: Tools
    algorithm: Algorithm
    rl: RL
    eval: Evaluation
    trainer: TrainerSection
    hardware: Hardware
    launcher: Launcher
    logger: Logger
    paths: Paths

"""How many tokens a stage computes at once and in all: what the config says, and what has to be assumed.

Assumed is that every output is as long as it may be, which bounds memory and time from above, and that prompts have
`PROMPT` tokens: problems of GSM8K and MATH with the paper's instruction mostly have fewer.
"""

from dataclasses import dataclass

from dsmath.config.pretraining import batch_rows, steps
from dsmath.config.schema import Experiment

PROMPT = 256
QUESTIONS = 1000  # of a benchmark that is asked whole: a step of the plan is so many, and how many steps is not known
ROOM = 64  # tokens by which the sampler's cache grows


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sequences that are computed together without padding: prompts, each once, and what follows them.

    `prompts` and `rows` are numbers of sequences, `prompt` and `completion` tokens of each.
    """

    prompts: int
    prompt: int
    rows: int
    completion: int

    @property
    def completions(self) -> int:
        """Tokens that follow prompts."""
        return self.rows * self.completion

    @property
    def total(self) -> int:
        """All tokens."""
        return self.prompts * self.prompt + self.completions

    @property
    def seen(self) -> int:
        """Keys of prompts and completions, a prompt's counted for each of its rows."""
        return self.rows * (self.completion + (self.prompt if self.prompts else 0))

    @property
    def cached(self) -> int:
        """Tokens whose keys and values the sampler keeps: prompts once, completions in whole rooms."""
        return self.prompts * self.prompt + self.rows * -(-self.completion // ROOM) * ROOM


@dataclass(frozen=True, slots=True)
class Workload:
    """What one device does in a step of a stage, and how many steps there are (None: the data decides).

    `micro` is what a forward pass computes with its gradient, `sampled` what is sampled at once; a step learns from
    `batch` (None: it does not train) and samples `drawn`.
    """

    stage: str
    ranks: int
    steps: int | None
    micro: Tokens | None
    batch: Tokens | None
    updates: int  # on each batch
    sampled: Tokens | None
    drawn: Tokens | None


def workload(e: Experiment, stage: str, *, prompt: int | None = None) -> Workload:
    """What a stage of the plan computes; `prompt` is for lengths that are known.

    Stages that only sample run on one device.
    """
    ranks = e.hardware.devices * e.hardware.num_nodes
    if stage in ("samples", "answers"):
        return _sampling_only(e, stage, prompt)
    if stage == "rl":
        return _of_rl(e, ranks, prompt)
    if stage == "reward_model":
        settings, length = e.reward_model, e.reward_data.max_new_tokens
        own, count = _prompt(e, length, prompt), settings.steps
        rows, size = settings.batch_size, min(settings.micro_batch_size, _share(settings.batch_size, ranks))
        micro, batch = Tokens(size, own, size, length), Tokens(rows, own, rows, length)
    else:
        of = e.pretrain if stage == "pretrain" else e.sft
        count, rows = (steps(e), batch_rows(e)) if stage == "pretrain" else (e.sft.steps, e.sft.batch_size)
        size = min(of.micro_batch_size, _share(rows, ranks))
        micro, batch = Tokens(0, 0, size, of.sequence_length), Tokens(0, 0, rows, of.sequence_length)
    return Workload(stage, ranks, count, micro, batch, updates=1, sampled=None, drawn=None)


def _sampling_only(e: Experiment, stage: str, prompt: int | None) -> Workload:
    if stage == "samples":
        count: int | None = 1
        drawn = _asked(e, e.samples.questions, e.samples.per_question, e.samples.max_new_tokens, prompt)
        rows = e.samples.batch_rows
    else:
        count = len(e.eval.of) * len(e.eval.benchmarks) if e.eval.size else None
        drawn = _asked(e, e.eval.size or QUESTIONS, 1 + e.eval.samples, e.eval.max_new_tokens, prompt)
        rows = e.eval.batch_rows
    return Workload(
        stage,
        1,
        count,
        None,
        None,
        updates=0,
        sampled=_at_once(drawn, min(rows, e.rollout.max_rows or rows)),
        drawn=drawn,
    )


def _of_rl(e: Experiment, ranks: int, prompt: int | None) -> Workload:
    group, length = e.sampling.group_size, e.sampling.max_new_tokens
    own = _prompt(e, length, prompt)
    share = _share(e.rl.batch_size, ranks)
    rows = min(e.rl.micro_batch_size, share)
    micro = Tokens(_groups(rows, group), own, rows, length)
    batch = Tokens(_groups(e.rl.batch_size, group), own, e.rl.batch_size, length)
    online = e.source.name == "online"
    return Workload(
        stage="rl",
        ranks=ranks,
        steps=e.rl.steps,
        micro=micro,
        batch=batch,
        updates=e.algorithm.updates_per_exploration,
        sampled=_at_once(Tokens(_groups(share, group), own, share, length), e.rollout.max_rows) if online else None,
        drawn=batch if online else None,
    )


def _asked(e: Experiment, questions: int, samples: int, length: int, prompt: int | None) -> Tokens:
    return Tokens(questions, _prompt(e, length, prompt), questions * samples, length)


def _at_once(drawn: Tokens, most: int | None) -> Tokens:
    """A batch of at most so many rows (None: all), which samples of a question share a prompt in."""
    each = drawn.rows // drawn.prompts
    rows = min(most or drawn.rows, drawn.rows)
    return Tokens(_groups(rows, each), drawn.prompt, rows, drawn.completion)


def _prompt(e: Experiment, completion: int, known: int | None) -> int:
    return known if known is not None else max(min(PROMPT, e.model.context_length - completion), 1)


def _share(rows: int, ranks: int) -> int:
    return max(-(-rows // ranks), 1)


def _groups(rows: int, group: int) -> int:
    return max(-(-rows // group), 1)

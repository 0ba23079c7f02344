"""Completions in which code is run as it is written, and what it prints is read on (§3; ToRA, arXiv 2309.17452)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dsmath.models.code_blocks import last_code_block, output_block
from dsmath.models.prompt import decode, encode_output
from dsmath.randomness import derive_seed
from dsmath.rl.sampler import Rollout, as_rollout
from dsmath.rl.stopping import CodeBlock, Stop

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from dsmath.rollout.engine import Generate


class Ran(Protocol):
    """How the run of a program ended."""

    @property
    def status(self) -> str:
        """`ok`, or what went wrong."""
        ...

    @property
    def output(self) -> str:
        """What its last block printed."""
        ...


RunPrograms = Callable[[Sequence[Sequence[str]]], Sequence[Ran]]
"""Runs programs, each the blocks of code of one completion so far, in one namespace; the results in their order."""


def generate_with_tools(
    generate: "Generate",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[int]],
    run: RunPrograms,
    *,
    rounds: int,
    samples_per_prompt: int,
    max_new_tokens: int,
    temperature: float,
    eos_token_id: int | Sequence[int],
    pad_token_id: int,
    seed: int,
    indices: Sequence[int] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
) -> Rollout:
    """`samples_per_prompt` completions of every prompt, each going on after a block of code with what the block prints.

    `generate` samples each round (dsmath/rollout/engine.py); `eos_token_id` is what ends its completions.
    A completion waits when it completes a block; all that wait are run together and go on together, until none waits.
    After `rounds` runs a completion's further blocks stay text. `max_new_tokens` bounds all tokens of a completion, the
    policy's and the tool's: one whose next output leaves no room for another token ends with its code, truncated.
    What a completion draws depends only on the seed, its prompt's index, its number and its round, and on what its own
    code prints, if that is so of `generate`; up to its first block it is what `generate` gives with the same arguments.

    Going on reads the prompt and all that came after it anew; no cache is kept from round to round. `on_progress(done,
    total)` counts completions that have ended, and is called after each batch. `stop` ends completions for good, by
    what the policy wrote since its last block.
    Raises ValueError as `generate` does, and for `rounds` below 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds start at 1, got {rounds}")
    ends = {eos_token_id} if isinstance(eos_token_id, int) else set(eos_token_id)
    numbers = range(len(prompts)) if indices is None else indices
    rows = [
        _Row(list(prompt), number * samples_per_prompt + sample)
        for prompt, number in zip(prompts, numbers, strict=True)
        for sample in range(samples_per_prompt)
    ]
    block, going = CodeBlock(tokenizer), rows

    def pause(tokens: list[int]) -> bool:
        return block(tokens) or (stop is not None and stop(tokens))

    for past in range(rounds + 1):
        ended = len(rows) - len(going)

        def tell(done: int, total: int, ended: int = ended) -> None:
            if on_progress is not None:
                on_progress(ended, len(rows))

        rollout = generate(
            [[*row.prompt, *row.tokens] for row in going] if past else prompts,
            samples_per_prompt=1 if past else samples_per_prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=derive_seed(seed, "tools", "round", step=past) if past else seed,
            indices=[row.number for row in going] if past else indices,
            on_progress=tell,
            stop=pause if past < rounds else stop,
            limits=[max_new_tokens - len(row.tokens) for row in going] if past else None,
        )
        waiting = []
        for row, tokens, log_probs, truncated in zip(
            going, rollout.completions(), rollout.log_probs.tolist(), rollout.truncated.tolist(), strict=True
        ):
            row.add(tokens, log_probs[: len(tokens)])
            row.truncated = truncated
            if past < rounds and not truncated and tokens[-1] not in ends and not (stop and stop(tokens)):
                waiting.append((row, decode(tokenizer, tokens)))
        going = _run(waiting, run, tokenizer, max_new_tokens)
        if on_progress is not None:
            on_progress(len(rows) - len(going), len(rows))
        if not going:
            break
    return as_rollout(
        [row.prompt for row in rows],
        [row.tokens for row in rows],
        pad_token_id=pad_token_id,
        device=rollout.completion_tokens.device,
        log_probs=[row.log_probs for row in rows],
        truncated=[row.truncated for row in rows],
        written=[row.written for row in rows],
    )


@dataclass(slots=True)
class _Row:
    """A completion as far as it has come."""

    prompt: list[int]
    number: int  # its own, among those of all prompts
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    written: list[bool] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    truncated: bool = False

    def add(self, tokens: Sequence[int], log_probs: Sequence[float] | None) -> None:
        """Tokens of the policy, or those of a tool, which have no log-probabilities."""
        self.tokens += tokens
        self.log_probs += [0.0] * len(tokens) if log_probs is None else log_probs
        self.written += [log_probs is not None] * len(tokens)


def _run(
    waiting: Sequence[tuple[_Row, str]], run: RunPrograms, tokenizer: "PreTrainedTokenizerBase", max_new_tokens: int
) -> list[_Row]:
    """Run the code of completions that wait, put what it printed behind it, and give those that have room to go on."""
    for row, text in waiting:
        code = last_code_block(text)
        assert code is not None  # what else ends a completion has been looked at
        row.blocks.append(code)
    found = run([tuple(row.blocks) for row, _ in waiting]) if waiting else []
    going = []
    for (row, text), ran in zip(waiting, found, strict=True):
        tokens = encode_output(tokenizer, output_block(ran.output, after=text))
        row.truncated = len(row.tokens) + len(tokens) >= max_new_tokens
        if not row.truncated:
            row.add(tokens, None)
            going.append(row)
    return going

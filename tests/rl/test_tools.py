"""Code that is run as it is written: what is read, what counts as written, and what a completion depends on."""

import re
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dsmath.models.code_blocks import last_code_block, output_block, written_parts
from dsmath.models.prompt import encode, encode_output, render_completion
from dsmath.models.tokenizer import build_tokenizer
from dsmath.rl.log_probs import sequence_log_probs
from dsmath.rl.sampler import generate
from dsmath.rl.stopping import StopStrings
from dsmath.rl.tools import generate_with_tools

PIECES = ["```python\n", "\n```", "x", "yy\n", "```", "```\n"]


def tokenizer_with(pieces: list[str]) -> PreTrainedTokenizerFast:
    """Bytes, and some longer pieces that only a model uses: to encode is to spell."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<pad>", "<eos>", *(piece.replace("\n", "Ċ") for piece in pieces), *alphabet]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", clean_up_tokenization_spaces=False
    )


TOKENIZER = tokenizer_with(PIECES)
PROMPTS = [encode(TOKENIZER, text) for text in ("Ada has 3 red hats.\n", "Bo\n", "How many is that, and why?\n")] * 10
EOS, PAD = int(TOKENIZER.eos_token_id), int(TOKENIZER.pad_token_id)
SMALL = build_tokenizer(vocab_size=512)


@dataclass
class Printed:
    output: str
    status: str = "ok"


@dataclass
class Programs:
    """Runs nothing: a program prints what is said here about its blocks, and all programs are remembered."""

    says: object

    def __post_init__(self):
        self.calls = []

    def __call__(self, programs):
        self.calls.append(list(programs))
        return [Printed(self.says(blocks)) for blocks in programs]


class Author(LlamaForCausalLM):
    """A model that likes to write code."""

    def forward(self, *arguments, **named):
        output = super().forward(*arguments, **named)
        likes = torch.zeros(output.logits.shape[-1])
        likes[1 : 2 + len(PIECES)] = 7
        output.logits = output.logits + likes
        return output


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, initializer_range=0.3, eos_token_id=EOS, pad_token_id=PAD,
    )  # fmt: skip
    return Author(config).double().eval()  # in float64, so that a batch's shape turns no token over


def sample(model, run, prompts=PROMPTS, **changes):
    options = {
        "rounds": 2, "samples_per_prompt": 1, "max_new_tokens": 90, "temperature": 1.0, "eos_token_id": EOS,
        "pad_token_id": PAD, "seed": 0,
    }  # fmt: skip
    options |= changes
    ends = {name: options[name] for name in ("eos_token_id", "pad_token_id")}
    own = partial(generate, model, max_rows=options.pop("max_rows", None), **ends)
    return generate_with_tools(own, TOKENIZER, prompts, run, **options)


def parts(rollout, row):
    """A completion's runs of written and of other tokens, as text."""
    found = []
    length = int(rollout.completion_mask[row].sum())
    for token, written in zip(
        rollout.completion_tokens[row, :length].tolist(), rollout.response_mask[row, :length].tolist(), strict=True
    ):
        if not found or found[-1][1] != written:
            found.append(([], written))
        found[-1][0].append(token)
    return [(TOKENIZER.decode(tokens), written) for tokens, written in found]


def said(blocks):
    return f"{len(blocks)} " + "|".join(blocks).replace("\n", ";")[:12]


def test_outputs_stand_behind_the_blocks_that_made_them_and_are_not_written(model):
    programs = Programs(said)
    rollout = sample(model, programs)
    runs = rollout.tool_outputs.tolist()
    assert {0, 1, 2} <= set(runs), "the test should see all three"
    for row in range(len(runs)):
        found = parts(rollout, row)
        blocks, before = [], ""
        for text, written in found:
            if written:
                if (code := last_code_block(text)) is not None:
                    blocks.append(code)
            else:
                assert text == output_block(said(blocks), after=before)
            before = text
        assert [written for _, written in found] == [i % 2 == 0 for i in range(len(found))]
        assert found[-1][1], "the last token is the policy's"
        assert len(found) // 2 == runs[row] <= 2
    assert rollout.log_probs[~rollout.response_mask].eq(0).all()
    assert rollout.log_probs[rollout.response_mask].lt(0).all()
    assert rollout.last.sum(dim=1).eq(1).all()
    assert len(programs.calls) == 2, "all that wait are run together"


def test_up_to_its_first_block_a_completion_is_what_is_sampled_without_tools(model):
    rollout = sample(model, Programs(said))
    free = generate(
        model, PROMPTS, samples_per_prompt=1, max_new_tokens=90, temperature=1.0, eos_token_id=EOS, pad_token_id=PAD,
        seed=0,
    )  # fmt: skip
    without = 0
    for row, (ours, theirs) in enumerate(zip(rollout.completions(), free.completions(), strict=True)):
        first = int((~rollout.response_mask[row, : len(ours)]).nonzero()[0]) if rollout.tool_outputs[row] else len(ours)
        assert ours[:first] == theirs[:first]
        if not rollout.tool_outputs[row] and last_code_block(TOKENIZER.decode(theirs)) is None:
            without += 1
            assert ours == theirs
    assert without


def test_the_log_probs_are_those_of_the_policy_that_has_read_the_outputs(model):
    def log_probs(rollout):
        return sequence_log_probs(
            model, rollout.sequences, rollout.attention_mask,
            response_length=rollout.completion_tokens.shape[1], temperature=1.0,
        )  # fmt: skip

    rollout = sample(model, Programs(said))
    inside = rollout.response_mask
    torch.testing.assert_close(log_probs(rollout)[inside].float(), rollout.log_probs[inside], atol=1e-5, rtol=0)
    # and another output changes those behind it alone
    row = int((rollout.tool_outputs == 1).nonzero()[0])
    length = int(rollout.completion_mask[row].sum())
    gap = (~inside[row, :length]).nonzero().flatten()
    changed = rollout.rows(row, row + 1)
    before = log_probs(changed)[0]
    changed.completion_tokens[0, gap[14]] = 77  # within what it says
    after = log_probs(changed)[0]
    assert torch.equal(before[: gap[0]], after[: gap[0]])
    assert not torch.isclose(before[gap[-1] + 1 : length], after[gap[-1] + 1 : length]).any()


def test_a_completion_depends_on_nothing_but_itself(model):
    whole = sample(model, Programs(said))
    for max_rows in (1, 5, 16, 33):
        found = sample(model, Programs(said), max_rows=max_rows)
        assert found.completions() == whole.completions()
        assert torch.equal(found.response_mask, whole.response_mask)
        assert torch.equal(found.truncated, whole.truncated)
    alone = sample(model, Programs(said), PROMPTS[2:4], indices=[2, 3])
    assert alone.completions() == whole.completions()[2:4]
    assert sample(model, Programs(said), seed=1).completions() != whole.completions()
    groups = sample(model, Programs(said), PROMPTS[:3], samples_per_prompt=8)
    assert len({tuple(c) for c in groups.completions()[:8]}) > 4
    assert (
        sample(model, Programs(said), PROMPTS[1:2], samples_per_prompt=8, indices=[1], max_rows=3).completions()
        == (groups.completions()[8:16])
    )


def test_a_neighbours_output_changes_no_other_completion(model):
    first = sample(model, Programs(said))
    number = int((first.tool_outputs > 0).nonzero()[3])
    block = last_code_block(parts(first, number)[0][0])
    other = sample(model, Programs(lambda blocks: "other" if blocks[0] == block else said(blocks)))
    assert other.completions()[number] != first.completions()[number]
    same = 0
    for row, (a, b) in enumerate(zip(first.completions(), other.completions(), strict=True)):
        if last_code_block(parts(first, row)[0][0]) != block:
            assert a == b
            same += 1
    assert same


@pytest.mark.parametrize("limit", [20, 31, 47])
def test_all_tokens_count_against_the_limit_and_an_output_that_does_not_fit_is_left_away(model, limit):
    whole = sample(model, Programs(said))
    found = sample(model, Programs(said), max_new_tokens=limit)
    assert found.completion_mask.sum(dim=1).max() <= limit
    left_away = 0
    for row in range(len(found.completions())):
        last = parts(found, row)[-1]
        assert last[1]
        waits = last_code_block(last[0]) is not None and found.completions()[row][-1] != EOS
        if waits and found.tool_outputs[row] < 2 and int(found.completion_mask[row].sum()) < limit:
            left_away += 1
            assert found.truncated[row]
            room = limit - int(found.completion_mask[row].sum())
            assert len(encode(TOKENIZER, parts(whole, row)[2 * int(found.tool_outputs[row]) + 1][0])) >= room
        if not found.truncated[row]:
            assert found.completions()[row] == whole.completions()[row]
    assert limit == 47 or left_away


def test_a_stop_string_ends_a_completion_for_good(model):
    whole = sample(model, Programs(said))
    programs = Programs(said)
    found = sample(model, programs, stop=StopStrings(TOKENIZER, ["yy"]))
    stopped = 0
    for row, (ours, theirs) in enumerate(zip(found.completions(), whole.completions(), strict=True)):
        text = parts(found, row)[-1][0]
        assert not any("yy" in part for part, written in parts(found, row)[:-1] if written)
        assert ours == theirs[: len(ours)]
        if "yy" in text:
            stopped += 1
            assert text.index("yy") == len(text) - 3
            assert not found.truncated[row]
        else:
            assert ours == theirs
    assert 3 < stopped < 25, "the test should see both"
    assert any(found.tool_outputs[row] and "yy" in parts(found, row)[-1][0] for row in range(30))


def test_progress_counts_completions_that_have_ended(model):
    steps = []
    rollout = sample(model, Programs(said), max_rows=10, on_progress=lambda *step: steps.append(step))
    assert steps == sorted(steps)
    assert {total for _, total in steps} == {30}
    assert steps[-1] == (30, 30)
    assert (int((rollout.tool_outputs == 0).sum()), 30) in steps


def test_mistakes_are_refused(model):
    with pytest.raises(ValueError, match="rounds start at 1"):
        sample(model, Programs(said), rounds=0)


# What outputs may spell


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(["<|eos|>", "<|pad|>", "<|", "eos", "|>", "```", "`", "\n", "a", "é", "\ud800"])))
def test_no_output_holds_a_special_token_or_a_fence(pieces):
    block = output_block("".join(pieces), after="x\n```")
    tokens = encode_output(SMALL, block)
    assert not set(tokens) & set(SMALL.all_special_ids)
    assert SMALL.decode(tokens) == block.replace("\ud800", "?")
    assert len(re.findall("```", block)) == 2
    assert written_parts(f"```python\nx\n```{block}So.") == [("```python\nx\n```", True), (block, False), ("So.", True)]


@pytest.mark.parametrize(
    "block",
    [
        "\n\n```output\n7\n```\n",  # a blank line between
        "\r\n```output\r\n7\r\n```\r\n",
        "\n  ```output\n  7\n  ```\n",
        "\n``` output\n7\n``` \n",
        "\n```Output\n7\n```",
    ],
)
def test_other_layouts_of_an_output_are_not_its_authors_words_either(block: str) -> None:
    code = "```python\nprint(7)\n```"
    assert written_parts(f"{code}{block}") == [(code, True), (block, False)]


def test_what_is_not_special_is_encoded_as_ever():
    text = "\n```output\n12 <b> \n```\n"
    assert encode_output(SMALL, text) == encode(SMALL, text)


# Demonstrations


def test_a_demonstrations_outputs_are_read_and_not_learned():
    written = ["Let us see.\n```python\nprint(3)\n```", "```python\nprint(4)\n```", "So \\boxed{4}."]
    outputs = ["\n```output\n3\n```\n", "\n```output\n4\n```\n"]
    solution = written[0] + outputs[0] + written[1] + outputs[1] + written[2]
    tokens, learned = render_completion(SMALL, solution)
    assert SMALL.decode(tokens, skip_special_tokens=True) == solution
    assert SMALL.decode([t for t, keep in zip(tokens, learned, strict=True) if keep][:-1]) == "".join(written)
    assert tokens[-1] == SMALL.eos_token_id
    assert learned[-1]


@pytest.mark.parametrize("text", ["No code.", "```output\n3\n```\n", "```python\nx\n```\nIt is\n```output\n3\n```\n"])
def test_only_what_stands_behind_code_is_an_output(text):
    assert written_parts(text) == [(text, True)]

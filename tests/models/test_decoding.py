"""Decoders against the whole forward pass of every row, and against each other."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dsmath.models import decoding
from dsmath.models.decoding import GroupedDecoder, PaddedDecoder

PROMPTS = [[5, 6, 7], [9], [4, 8, 3, 11, 5]]
SAMPLES = 3


@pytest.fixture(scope="module")
def model() -> Any:
    config = LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.4, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config).double().eval()


def decoders(model: Any, prompts: Any = PROMPTS) -> list[Any]:
    return [
        GroupedDecoder(model, prompts, SAMPLES, record=False),
        GroupedDecoder(model, prompts, SAMPLES, record=True),
        PaddedDecoder(model, prompts, SAMPLES),
    ]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["grouped", "recorded", "padded"])
@pytest.mark.parametrize("room", [2, 64])
@torch.no_grad()
def test_every_step_is_that_of_the_whole_sequence(
    model: Any, which: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "ROOM", room)  # a cache that grows, and one that does not
    decoder = decoders(model)[which]
    sequences = [list(prompt) for prompt in PROMPTS for _ in range(SAMPLES)]
    generator = torch.Generator().manual_seed(0)
    logits = decoder.start()
    for step in range(7):
        expected = torch.stack([model(torch.tensor([s])).logits[0, -1] for s in sequences])
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
        # rows leave unevenly: of one prompt all, of another one; prompts end up with different numbers of rows
        kept = {2: [0, 1, 2, 4, 5, 6, 7, 8], 4: [1, 2, 5, 6, 7], 5: [0, 4]}.get(step)
        if kept is not None:
            decoder.keep(torch.tensor(kept))
            sequences = [sequences[row] for row in kept]
        tokens = torch.randint(3, 20, (len(sequences),), generator=generator)
        for sequence, token in zip(sequences, tokens.tolist(), strict=True):
            sequence.append(token)
        logits = decoder.step(tokens)


@torch.no_grad()
def test_a_prompt_is_kept_once_for_all_of_its_rows(model: Any) -> None:
    decoder = GroupedDecoder(model, PROMPTS, SAMPLES)
    decoder.start()
    for cache in decoder._layers:
        assert cache.prompt_keys.shape == (len(PROMPTS), 2, 5, 4)
        assert cache.keys.shape == (len(PROMPTS) * SAMPLES, 2, decoding.ROOM, 4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@torch.no_grad()
def test_a_step_that_is_played_back_is_the_step(model: Any) -> None:
    on_gpu = LlamaForCausalLM(model.config).float().cuda().eval()
    on_gpu.load_state_dict({name: w.float() for name, w in model.state_dict().items()})
    played, plain = GroupedDecoder(on_gpu, PROMPTS, SAMPLES, record=True), PaddedDecoder(on_gpu, PROMPTS, SAMPLES)
    found, expected = played.start(), plain.start()
    for step in range(90):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        tokens = expected.argmax(dim=-1)
        if step == 30:
            keep = torch.tensor([0, 3, 4, 8], device="cuda")
            tokens = tokens[keep]
            played.keep(keep), plain.keep(keep)
        found, expected = played.step(tokens), plain.step(tokens)

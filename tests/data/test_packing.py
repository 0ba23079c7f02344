"""Documents that share a row know nothing of each other, and only completions are learned."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dsmath.data.packing import Document, pack

ROWS = [
    [Document("a", [5, 6, 7], [8, 9]), Document("b", [10], [11, 12, 13, 14]), Document("c", [5], [6])],
    [Document("d", [3, 4, 5, 6], [7, 8, 9, 10, 11])],
]


def model(attention: str) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0
    )
    config._attn_implementation = attention
    torch.manual_seed(0)
    return LlamaForCausalLM(config).double().eval()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_document_gets_the_logits_that_it_gets_alone(attention: str) -> None:
    llama = model(attention)
    batch = pack(ROWS, length=14, pad_token_id=0, after=4)
    with torch.no_grad():
        packed = llama(input_ids=batch.tokens, position_ids=batch.positions, use_cache=False).logits
        for row, documents in enumerate(ROWS):
            start = 0
            for document in documents:
                alone = llama(
                    input_ids=torch.tensor([[*document.prompt, *document.completion]]), use_cache=False
                ).logits
                end = start + len(document)
                torch.testing.assert_close(packed[row, start:end], alone[0], rtol=0, atol=1e-12)
                start = end


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_document_gets_no_gradient_from_its_neighbours(attention: str) -> None:
    llama = model(attention)
    batch = pack([ROWS[0]], length=14, pad_token_id=0, after=3)
    embedded = llama.get_input_embeddings()(batch.tokens).detach().requires_grad_()
    logits = llama(inputs_embeds=embedded, position_ids=batch.positions, use_cache=False).logits
    logits[0, 5:10].sum().backward()  # all of document b
    reached = embedded.grad[0].abs().sum(dim=1) > 0
    assert reached.tolist() == [5 <= i < 10 for i in range(14)]


def test_prompts_and_padding_are_not_learned() -> None:
    batch = pack(ROWS, length=14, pad_token_id=0, after=4)
    learned = [
        [t for t, keep in zip(*row, strict=True) if keep]
        for row in zip(batch.tokens.tolist(), batch.learned, strict=True)
    ]
    assert learned == [[8, 9, 11, 12, 13, 14, 6], [7, 8, 9, 10, 11]]
    assert batch.tokens[1].tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0, 0]
    assert batch.positions[0].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 0, 1]
    assert (batch.ids, batch.after) == (("a", "b", "c", "d"), 4)


def test_rows_are_a_part_and_know_the_whole() -> None:
    batch = pack(ROWS, length=14, pad_token_id=0, after=4)
    part = batch.rows(1, 2)
    assert part.tokens.tolist() == batch.tokens[1:].tolist()
    assert (part.ids, part.after) == (batch.ids, 4)

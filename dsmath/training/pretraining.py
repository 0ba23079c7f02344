"""Pre-training: the mean negative log-likelihood of all tokens of documents (§2.2, §2.3)."""

import math

from dsmath.data.packing import PackedBatch
from dsmath.training.language_modelling import CausalLanguageModelling


class Pretraining(CausalLanguageModelling):
    """Learns every token of packed pieces of documents but each piece's first, which nothing foretells."""

    stage = "pretrain"

    def about(self, batch: PackedBatch) -> dict[str, float]:
        """Of each source: its share of the tokens so far, and how often it was read."""
        return {
            f"{what}_{name}": value
            for name, seen in self._data.seen(batch.after).items()
            for what, value in seen.items()
        }

    def validate(self) -> dict[str, float]:
        """The held-out loss in nats a token, its exponential, and nats a byte of text, whatever the tokenizer."""
        total, count = self.held_out_nats()
        loss = total / max(count, 1)
        size = self._data.held_out_bytes / self.trainer.world_size  # as the others, a mean over ranks
        return {
            "validation_loss": loss,
            "validation_perplexity": math.exp(min(loss, 700.0)),
            "validation_nats_per_byte": total / size,
        }

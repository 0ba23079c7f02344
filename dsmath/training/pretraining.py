"""Pre-training: the mean negative log-likelihood of all tokens of documents (§2.2, §2.3)."""

import math

from dsmath.data.packing import PackedBatch
from dsmath.training.language_modelling import CausalLanguageModelling


class Pretraining(CausalLanguageModelling):
    """Learns every token of packed pieces of documents but each piece's first, which nothing foretells."""

    stage = "pretrain"

    def about(self, batch: PackedBatch) -> dict[str, float]:
        """How many tokens have been trained on, and of each source: its share of them and how often it was read."""
        data = self._data
        found = {"tokens": float(batch.after * data.batch_rows * data.sequence_length)}
        for name, seen in data.seen(batch.after).items():
            found |= {f"{what}_{name}": value for what, value in seen.items()}
        return found

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

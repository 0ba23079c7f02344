"""dsmath: mine a math corpus, pre-train, fine-tune, and compare PPO, GRPO and everything between."""

__version__ = "0.1.0"

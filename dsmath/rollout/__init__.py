"""Engines that completions are sampled with: dsmath's own sampler, transformers' continuous batching, vLLM."""

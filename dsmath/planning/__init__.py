"""What an experiment will need before it runs: memory, tokens, operations and time, from its config alone."""

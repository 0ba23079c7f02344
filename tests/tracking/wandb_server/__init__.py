"""A stand-in of W&B's server on loopback, for tests: the real `wandb` client works against it, unchanged.

It is not W&B. It imitates what the client 0.31 asks of GraphQL, of the stream of a run's lines and of file storage:

- runs: opening, config, summary, history, console, `define_metric`, media as files, finishing with an exit code, going
  on with a run by its id, the states running, finished, failed, and crashed (no sign of life for `crashed_after`);
- artifacts: versions by digest, aliases, manifests, files and references, used-by and logged-by;
- `Api().runs` with filters and orders; the key `config.a.b` may be written `config.a.value.b`, and one with a literal
  dot is not found, as with the real server;
- saving and loading reports and workspaces, as text that nobody draws;
- a wrong key (401) and an entity that does not exist (404), in the real server's words.

It does not imitate: pages and pictures of any kind; teams, roles, permissions and quotas; limits of rate, size and
number; sweeps, the launch of jobs, automations, registries and links; sampling of history (here every row comes back)
and its Parquet exports; server-side aggregates of `define_metric`; what W&B does with rows of one step that arrive
twice (here both stay); deleting; time to live of artifacts; several storage regions and uploads in parts; signed
addresses (anybody who knows an address may read and write it); eventual consistency: what was written is there at
once. A field that it does not know is answered with null and kept in `unknown`, so that a test sees what a newer
client wants.
"""

from .server import ENTITY, KEY, TEAM, Request, WandbServer

__all__ = ["ENTITY", "KEY", "TEAM", "Request", "WandbServer"]

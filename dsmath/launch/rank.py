"""A helper process: it does what rank 0 does, in the stages that ranks enter together, and nothing else.

It reads tasks from a pipe that rank 0 holds. The pipe is its lifeline: when rank 0 is gone, however it went, the pipe
ends and the helper with it.
"""

import os
import pickle
import queue
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal, NoReturn

from dsmath.config.schema import Experiment
from dsmath.errors import UserError


@dataclass(frozen=True)
class Start:
    """The first message: who the helper is."""

    experiment: Experiment
    rank: int
    ranks: int
    port: int


@dataclass(frozen=True)
class Report:
    """What a helper tells rank 0: it is ready, it has done a task, or how it failed."""

    kind: Literal["ready", "done", "mistake", "failed"]
    text: str = ""


def main(descriptor: int) -> NoReturn:
    """Serve rank 0 until it sends None or is gone. The caller has blocked the signals that are rank 0's."""
    connection: Connection[Report, Any] = Connection(descriptor)
    try:
        _serve(connection)
        code = 0
    except BaseException as error:
        kind: Literal["mistake", "failed"] = "mistake" if isinstance(error, UserError) else "failed"
        text = str(error) if isinstance(error, UserError) else traceback.format_exc()
        connection.send(Report(kind, text))
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # no orderly end: other threads may wait for a rank that never comes


def _serve(connection: "Connection[Report, Any]") -> None:
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, messages), daemon=True).start()
    start: Start = pickle.loads(messages.get())
    import gc
    import logging

    import torch

    from dsmath.launch.settle import meet, meeting_point, part, placed, settle
    from dsmath.launch.silent import SilentTracker

    e, rank, ranks = start.experiment, start.rank, start.ranks
    settle(e, level=logging.ERROR)
    with placed(e, rank, ranks):
        store = meeting_point(ranks, port=start.port)
        connection.send(Report("ready"))
        meet(e, store, rank, ranks)
        while (task := pickle.loads(messages.get())) is not None:
            task.do(e, SilentTracker(), rank=rank, ranks=ranks)
            connection.send(Report("done"))
            gc.collect()  # what the stage held is not kept while rank 0 works alone
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        part()


def _listen(connection: "Connection[Report, Any]", messages: "queue.SimpleQueue[bytes]") -> None:
    while True:
        try:
            messages.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)  # rank 0 is gone

"""The few of W&B's records that dsmath reads, described here so that reading needs neither `wandb` nor its second.

The numbers are those of wandb/proto/wandb_internal.proto, which never changes a number's meaning. Lists of items stay
bytes: one item is taken apart only when somebody asks for it, and most by a search instead of a parse.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

KeyPath = tuple[str, ...]  # a key, and keys below it

# name of a field → its number and type; `*` is repeated, a capital first letter another message of this table. What
# is `bytes` here is a message that waits to be parsed.
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "int32")},
    "Item": {
        "key": (1, "string"),
        "nested_key": (2, "*string"),
        "boolean": (4, "bool"),
        "integer": (5, "sint64"),
        "number": (6, "double"),
        "text": (7, "string"),
        "json": (8, "string"),
        "value_json": (16, "string"),
    },
    "HistoryRecord": {"item": (1, "*bytes")},
    "SummaryRecord": {"update": (1, "*bytes"), "remove": (2, "*bytes")},
    "ConfigRecord": {"update": (1, "*bytes"), "remove": (2, "*bytes")},
    "ArtifactRecord": {
        "type": (4, "string"),
        "name": (5, "string"),
        "metadata": (8, "string"),
        "aliases": (11, "*string"),
    },
    "RunRecord": {
        "run_id": (1, "string"),
        "entity": (2, "string"),
        "project": (3, "string"),
        "config": (4, "ConfigRecord"),
        "run_group": (6, "string"),
        "job_type": (7, "string"),
        "display_name": (8, "string"),
        "tags": (10, "*string"),
        "start_time": (17, "Timestamp"),
    },
    "RunExitRecord": {"exit_code": (1, "int32")},
    "MetricRecord": {"step_metric": (4, "string")},
    "UseArtifactRecord": {"name": (3, "string")},
    "Record": {
        "history": (2, "bytes"),
        "summary": (3, "SummaryRecord"),
        "config": (5, "ConfigRecord"),
        "artifact": (8, "ArtifactRecord"),
        "metric": (12, "MetricRecord"),
        "run": (17, "RunRecord"),
        "exit": (18, "RunExitRecord"),
        "use_artifact": (25, "UseArtifactRecord"),
    },
}
ONE_OF = {  # fields of which at most one is there
    "Record": tuple(MESSAGES["Record"]),
    "Item": ("boolean", "integer", "number", "text", "json"),
}
VALUE_JSON = b"\x82\x01"  # how field 16 of an item begins
KNOWN_KEYS = 65536


def _classes() -> dict[str, Any]:
    """The table as classes of protocol buffers."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="dsmath/wandb.proto", package="dsmath_wandb", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for key, (number, full_kind) in fields.items():
            label = field.LABEL_REPEATED if full_kind.startswith("*") else field.LABEL_OPTIONAL
            kind = full_kind.removeprefix("*")
            added = message.field.add(name=key, number=number, label=label)
            if kind in MESSAGES:
                added.type, added.type_name = field.TYPE_MESSAGE, f".{file.package}.{kind}"
            else:
                added.type = getattr(field, f"TYPE_{kind.upper()}")
            if key in ONE_OF.get(name, ()):
                added.oneof_index = 0
        if name in ONE_OF:
            message.oneof_decl.add(name="one_of")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}")) for name in MESSAGES
    }


CLASSES = _classes()
Record, Item = CLASSES["Record"], CLASSES["Item"]


class _Keys(dict[bytes, KeyPath]):
    """The paths of keys as they are written; a key is parsed but once. Empty paths are of what is no key."""

    def __missing__(self, key: bytes) -> KeyPath:
        if len(self) > KNOWN_KEYS:
            self.clear()
        with suppress(DecodeError):
            return self.setdefault(key, _key(Item.FromString(key)))
        return self.setdefault(key, ())


KEYS = _Keys()


def split_items(items: Iterable[bytes]) -> Iterator[tuple[KeyPath, bytes]]:
    """Path and JSON of every item of a history, a summary or a config; an empty path where it is no item.

    Nearly every item is its key and then its JSON, which is shorter than 128 bytes. Where the parts before and after
    the JSON's tag are each a whole protocol buffer, they are what a parse of the item would give.
    """
    for item in items:
        key, _, value = item.partition(VALUE_JSON)
        if value and value[0] == len(value) - 1 < 128 and (path := KEYS[key]):
            yield path, value[1:]
        else:
            yield _parsed(item)


def _parsed(item: bytes) -> tuple[KeyPath, bytes]:
    try:
        parsed = Item.FromString(item)
    except DecodeError:
        return (), b""
    return _key(parsed), _json(parsed).encode()


def _key(item: Any) -> KeyPath:
    return tuple(item.nested_key) or (item.key,)


def _json(item: Any) -> str:
    kind = item.WhichOneof("one_of")
    if item.value_json or kind is None:
        return str(item.value_json) or "null"
    return str(item.json) if kind == "json" else json.dumps(getattr(item, kind))


def nested(changes: Sequence[Any]) -> dict[str, Any]:
    """What a series of changes (`SummaryRecord` or `ConfigRecord`) leaves, as one nested dict; the last one wins.

    A value that is no JSON is left out.
    """
    tree: dict[str, Any] = {}
    for path, text in _that_matter(changes):
        if not path:
            continue
        if not text:
            _remove(tree, path)
            continue
        with suppress(ValueError, RecursionError):
            _put(tree, path, json.loads(text))
    return tree


def _that_matter(changes: Sequence[Any]) -> Iterator[tuple[KeyPath, bytes]]:
    """Paths with their new texts, empty for a removal, in order. Of several updates of one path the last is enough,
    unless something is removed: an update that is removed again has still replaced a value above it by a mapping."""
    if any(len(change.remove) for change in changes):
        for change in changes:
            yield from split_items(change.update)
            yield from ((path, b"") for path, _ in split_items(change.remove))
        return
    last: dict[KeyPath, bytes] = {}  # newest first
    for change in reversed(changes):
        for path, text in split_items(reversed(change.update)):
            last.setdefault(path, text)
    yield from reversed(last.items())


def _put(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = {}
        tree = below
    tree[path[-1]] = value


def _remove(tree: dict[str, Any], path: KeyPath) -> None:
    for part in path[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            return
        tree = below
    tree.pop(path[-1], None)

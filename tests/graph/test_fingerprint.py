"""A fingerprint depends on the values and on nothing else; a digest on names and contents."""

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmath.graph.fingerprint import canonical, file_digest, fingerprint, tree_digest

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=10
)
payloads = st.dictionaries(st.text(), values, max_size=4)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_a_fingerprint_is_the_start_of_the_sha256_of_compact_sorted_json() -> None:
    expected = hashlib.sha256(b'{"a":[true,null,"\\u00e9"],"b":0.1}').hexdigest()[:16]
    assert fingerprint({"b": 0.1, "a": [True, None, "é"]}) == expected


@given(payloads)
def test_the_order_of_keys_does_not_matter_at_any_depth(payload: dict[str, object]) -> None:
    assert fingerprint(payload) == fingerprint(reversed_keys(payload))


@given(payloads, payloads)
def test_two_payloads_have_one_text_exactly_when_they_are_equal_in_value_and_type(
    left: dict[str, object], right: dict[str, object]
) -> None:
    assert (canonical(left) == canonical(right)) == (repr(sorted_keys(left)) == repr(sorted_keys(right)))


def sorted_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return [sorted_keys(item) for item in value] if isinstance(value, list) else value


def test_types_are_told_apart_since_some_libraries_read_1_and_1_0_differently() -> None:
    assert len({fingerprint({"x": value}) for value in (1, 1.0, True, "1", [1])}) == 5


def test_a_tuple_is_a_list() -> None:
    assert fingerprint({"x": (1, 2)}) == fingerprint({"x": [1, 2]})


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, {1}, b"x", Path("x"), object(), 1j], ids=lambda v: type(v).__name__
)
def test_what_json_cannot_say_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(TypeError, match=r"^optim\.betas\[1\] is "):
        fingerprint({"optim": {"betas": [0.9, value]}})


def test_keys_that_are_not_strings_are_refused_since_json_would_confuse_1_with_its_text() -> None:
    with pytest.raises(TypeError, match=r"^a has the key 1:"):
        fingerprint({"a": {1: "x"}})


def test_a_file_has_the_sha256_of_its_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(content)
    assert file_digest(tmp_path / "f") == tree_digest(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def make_tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_a_tree_is_its_names_and_contents_wherever_it_lies(tmp_path: Path) -> None:
    files = {"a.txt": "one", "b/c.txt": "two", "b/d/e": ""}
    digest = tree_digest(make_tree(tmp_path / "here", files))
    assert tree_digest(make_tree(tmp_path / "there", dict(reversed(files.items())))) == digest
    others = [
        {**files, "b/d/e": "x"},  # a content
        {"a.txt": "one", "b/c.txt": "two", "b/e": ""},  # a name
        {**files, "new": ""},  # one more
        {"a.txt": "two", "b/c.txt": "one", "b/d/e": ""},  # swapped
    ]
    digests = {tree_digest(make_tree(tmp_path / str(index), other)) for index, other in enumerate(others)}
    assert len(digests | {digest}) == 5


def test_a_tree_includes_what_links_lead_to(tmp_path: Path) -> None:
    real = make_tree(tmp_path / "real", {"shard": "one"})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "data").symlink_to(real, target_is_directory=True)
    before = tree_digest(tmp_path / "linked")
    (real / "shard").write_text("two")
    assert tree_digest(tmp_path / "linked") != before


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tree_digest(tmp_path / "missing")

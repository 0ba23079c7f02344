r"""Solutions that use tools (§3; ToRA, arXiv 2309.17452): text, blocks of code, and what running a block printed.

    ```python
    print(3 * 4)
    ```
    ```output
    12
    ```
    The answer is \boxed{12}.

The model writes everything but the blocks of output, which belong to whoever runs the code.
"""

import re

FENCE = "```"
_CODE = re.compile(r"```python[^\S\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Written by others, its white space varies; what is missed here would be learned.
_OUTPUT = re.compile(
    r"^[^\S\n]*```([^\S\n]*\n\s*```[^\S\n]*output[^\S\n]*\n(?:.*?\n)?[^\S\n]*```[^\S\n]*(?:\n|\Z))",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)


def last_code_block(text: str) -> str | None:
    """The code of the last complete block of a text; None where there is none."""
    blocks = _CODE.findall(text)
    return str(blocks[-1]) if blocks else None


def output_block(output: str, *, after: str) -> str:
    """What a program printed as the block that goes on the text `after`.

    Fences inside it become other quotation marks: no output can end its own block, or pass for code.
    """
    start = "" if after.endswith("\n") else "\n"
    inside = output.rstrip("\n").replace(FENCE, "'''")
    return f"{start}{FENCE}output\n{inside}\n{FENCE}\n"


def written_parts(solution: str) -> list[tuple[str, bool]]:
    """A solution in parts, each with whether its author wrote it: the rest are blocks of output behind code."""
    parts, start = [], 0
    for block in _OUTPUT.finditer(solution):
        parts += [(solution[start : block.start(1)], True), (block[1], False)]
        start = block.end(1)
    return [(text, written) for text, written in [*parts, (solution[start:], True)] if text]

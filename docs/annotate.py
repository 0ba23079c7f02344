"""Draws docs/annotate.svg: the terminal page of an invented forum. Run: python docs/annotate.py"""

import asyncio
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "annotate"))

from annotate_tools import app_of  # noqa: E402


async def main() -> None:
    """Mark a path, note why, and keep the page as it is then."""
    with TemporaryDirectory() as folder:
        app = app_of(Path(folder))
        async with app.run_test(size=(100, 34)) as pilot:
            await pilot.press("1", "w", *"users are lists", "enter")
            await pilot.pause()
            drawn = app.export_screenshot()
    drawn = re.sub(
        r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL
    )  # fonts of a server: any monospaced one will do
    (ROOT / "docs" / "annotate.svg").write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n")


asyncio.run(main())

"""The README's index of equations: `python tests/equations.py` writes it anew."""
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "demos"))

from book.equations import STATEMENTS, index, tags, with_index  # noqa: E402

__all__ = ["ROOT", "STATEMENTS", "index", "tags", "with_index"]

if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_index(readme.read_text(encoding="utf-8")), encoding="utf-8")

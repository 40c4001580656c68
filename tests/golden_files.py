"""Golden files: what was once looked at and found right. VBQ_WRITE_GOLDEN=1 writes them anew; then read the diff."""

import json
import os
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


def agrees_with_golden(name: str, document: Any) -> bool:
    """Whether `document` is what tests/golden/{name} holds, to the last character."""
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    path = GOLDEN / name
    if os.environ.get("VBQ_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text

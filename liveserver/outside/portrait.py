"""The program that makes a portrait of any picture: a process of its own, since decoders crash and hang.

    python -m liveserver.outside.portrait SOURCE TARGET

Writes TARGET, a square JPEG of 256 pixels with nothing of what the camera noted (where, when, with what).
Exits with 0, or with 1 when SOURCE is no picture we can read.
"""

import os
import resource
import sys
from pathlib import Path

from PIL import Image, ImageOps

SIDE = 256
_MOST_PIXELS = 50_000_000
_MOST_MEMORY = 2 << 30
_FORMATS = ("PNG", "JPEG", "WEBP")


def main() -> int:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    os.nice(10)
    try:
        draw(source, target)
    except (OSError, ValueError, MemoryError, SyntaxError, Image.DecompressionBombError):
        return 1
    return 0


def draw(source: Path, target: Path) -> None:
    """Write the middle of a picture, upright. Raises OSError or ValueError for what is none."""
    with Image.open(source, formats=_FORMATS) as given:
        if given.width * given.height > _MOST_PIXELS:
            raise ValueError("too many pixels")
        upright = ImageOps.exif_transpose(given).convert("RGBA")
    square = ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.LANCZOS)
    paper = Image.new("RGB", square.size, "white")
    paper.paste(square, mask=square.getchannel("A"))
    paper.save(target, "JPEG", quality=88)


if __name__ == "__main__":
    sys.exit(main())

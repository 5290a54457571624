"""Where tests find what they share: the checkout's root, and the sounds beside this file."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
SOUNDS = Path(__file__).parent / "sounds"

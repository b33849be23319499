"""Clips for the browser: real MP4s, drawn small, and once for all tests that look at none."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from kie_runway_sandbox.clips import ClipSpec
from kie_runway_sandbox.render import render_clip

SHORT_SIDE_PX = {"720p": 360, "1080p": 540}
BOAT = ClipSpec("generate", "A paper boat drifts across a calm sea at sunset", 5, "720p", "16:9")


class Studio:
    """Draws for sandboxes; whatever was ordered, it is the same boat, unless `faithful`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drawn: dict[ClipSpec, int] = {}
        self._drawing = threading.Lock()
        self.faithful = False

    def __call__(self, spec: ClipSpec, video: Path, thumbnail: Path) -> None:
        """A sandbox's renderer."""
        if not self.faithful:
            spec = BOAT
        key = replace(spec, source=None, reference=None)
        with self._drawing:
            number = self._drawn.setdefault(key, len(self._drawn))
            drawn = self._folder / f"{number}.mp4", self._folder / f"{number}.png"
            if not drawn[0].exists():
                with patch.dict("kie_runway_sandbox.render.SHORT_SIDE_PX", SHORT_SIDE_PX):
                    render_clip(spec, *drawn)
            shutil.copyfile(drawn[0], video)
            shutil.copyfile(drawn[1], thumbnail)

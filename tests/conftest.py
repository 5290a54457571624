"""What several tests share: tiny checkpoints and the bundle exported from them, once per session."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `tests.tiny.write_checkpoints`: `encoder/` and `pipeline/`. Read only: copy before changing."""
    from tests.tiny import write_checkpoints  # torch, which most tests can do without

    return write_checkpoints(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoints: Path) -> Path:
    """A real exported bundle: 64x64 pictures, windows of 2 s, hops of 0.1 s. Read only: copy before changing."""
    from tests.tiny import export_tiny

    return export_tiny(tiny_checkpoints)


@pytest.fixture(scope="session")
def flexible_bundle(tiny_checkpoints: Path) -> Path:
    """Like `tiny_bundle`, with classic guidance, sizes of 16 to 128, batches of 4 and an image encoder. Read only."""
    from tests.tiny import export_flexible

    return export_flexible(tiny_checkpoints)

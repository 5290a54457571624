"""The error of a benchmark that cannot measure."""

from clavilux.runtime.errors import ClaviluxError


class BenchError(ClaviluxError):
    """A measurement cannot be made here, or a stage has become slower than its gate allows."""

"""One small tree of errors. A message says what was found, what was expected and what to do, in one line."""


class ClaviluxError(Exception):
    """Base of every error that a user can cause or mend; commands print it as one line and exit with 2."""


class BundleError(ClaviluxError):
    """A bundle is missing, damaged or does not fit together."""


class SoundError(ClaviluxError):
    """Sound is missing, is not audio, or has an unusable rate, shape or value."""


class DeviceError(ClaviluxError):
    """A sound card cannot be found, opened or kept open."""


class ProviderError(ClaviluxError):
    """An execution provider cannot run here."""


class ParameterError(ClaviluxError):
    """A parameter is unknown, of the wrong type or out of its range."""


class ProtocolError(ClaviluxError):
    """A websocket message breaks the protocol; `code` is the word that goes over the wire.

    The session that received it lives on.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ExportError(ClaviluxError):
    """A checkpoint cannot become a bundle, or the bundle does not equal it."""

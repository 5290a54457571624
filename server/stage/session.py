"""One connection's life as a state machine: greeted, started, finished. No socket: messages in, an Outbox out.

What is wrong with a message goes back as an error event, and the session lives on; only a wrong token, a full stage and
a dead engine end it.
"""

from typing import NoReturn

from clavilux import __version__
from clavilux.runtime.control.parameters import describe
from clavilux.runtime.errors import ParameterError, ProtocolError
from clavilux.server.protocol.binary import parse_sound
from clavilux.server.protocol.messages import (
    HIGHEST_RATE,
    LOWEST_RATE,
    MESSAGE_BYTES,
    MOST_CHANNELS,
    NORMAL,
    PACKET_BYTES,
    PICTURE_ENCODINGS,
    POLICY,
    SOUND_ENCODINGS,
    VERSION,
    WIRE_STAGES,
    Acknowledge,
    Bye,
    ClientMessage,
    ErrorEvent,
    Hello,
    ParameterValues,
    PictureFormat,
    Ping,
    Pong,
    SoundFormat,
    Start,
    Started,
)
from clavilux.server.protocol.text import error_event, parse_text
from clavilux.server.settings import Settings
from clavilux.server.stage.in_flight import IN_FLIGHT
from clavilux.server.stage.interfaces import EngineLike
from clavilux.server.stage.outbox import Farewell, Outbox, PendingMarker
from clavilux.server.stage.stage import Stage

SOUND_TAKEN = {
    "encodings": SOUND_ENCODINGS,
    "rate": (LOWEST_RATE, HIGHEST_RATE),
    "channels": (1, MOST_CHANNELS),
    "packet_bytes": PACKET_BYTES,
}

NO_SOUND = 'this performer started with "sound": null; start again with a sound format to send any'


def hello(engine: EngineLike, settings: Settings, server_time: int) -> Hello:
    """Return what a server says first: what it is, what it takes and where its limits are."""
    height, width = engine.picture
    return Hello(
        protocol=VERSION,
        server=f"clavilux/{__version__}",
        server_time=server_time,
        bundle=settings.bundle,
        picture={"width": width, "height": height, "encodings": PICTURE_ENCODINGS},
        sound=None if settings.own_sound else SOUND_TAKEN,
        limits={"in_flight": IN_FLIGHT, "message_bytes": MESSAGE_BYTES, "viewers": settings.most_viewers},
        parameters=describe(engine.ranges, engine.defaults),
        stages=WIRE_STAGES,
        token_required=settings.token is not None,
    )


class Session:
    """Takes one client's messages and answers into `outbox`."""

    def __init__(self, stage: Stage) -> None:
        self.outbox = Outbox()
        self.role = ""  # "performer" or "viewer" once started
        self.picture = PictureFormat()  # how this client wants its pictures
        self._sound: SoundFormat | None = None
        self._heard: float | None = None  # capture time of the last sample taken, s of the engine's clock
        self._stage = stage

    @property
    def sounding(self) -> bool:
        """Whether this is the one whose sound the stage hears."""
        return self._sound is not None

    async def greet(self) -> None:
        """Say hello, and why there is nothing to join if so it is."""
        stage = self._stage
        await self.outbox.reply(hello(stage.engine, stage.settings, stage.server_time()))
        refusal = stage.refusal("performer")
        if refusal is not None:
            self.outbox.finish(refusal)

    async def take(self, message: str | bytes) -> None:
        """Handle one message; waits while this client leaves its replies lying about."""
        if self.outbox.farewell is not None:
            return
        try:
            if isinstance(message, str):
                await self._handle(parse_text(message))
            else:
                self._hear(message)
        except ProtocolError as error:
            await self.outbox.reply(error_event(error))
        except ParameterError as error:
            await self.outbox.reply(error_event(ProtocolError("bad_parameter", str(error))))

    def leave(self) -> None:
        """Free what this session held; the connection is over."""
        self._stage.leave(self)

    async def _handle(self, message: ClientMessage) -> None:
        match message:
            case Ping():
                await self.outbox.reply(Pong(message.client_time, self._stage.server_time()))
            case Bye():
                self.outbox.finish(Farewell(NORMAL, "goodbye", (Bye("goodbye"),)))
            case Start():
                await self._start(message)
            case Acknowledge():
                self._need("viewer")
                self._stage.acknowledge(self.outbox, message)
            case ParameterValues():
                self._need("performer")
                self._stage.set(message.values)
            case _:
                self._need("performer")
                self.outbox.marker(PendingMarker(message.id, self._heard))

    async def _start(self, start: Start) -> None:
        stage = self._stage
        if self.role:
            raise ProtocolError("bad_message", f"already started as {self.role}; reconnect to change that")
        if not stage.authorize(start.token):
            line = (
                "this stage wants a token, and this is not it" if start.token else "this stage wants a token in start"
            )
            self.outbox.finish(Farewell(POLICY, "unauthorized", (ErrorEvent("unauthorized", line, fatal=True),)))
            return
        refusal = stage.refusal(start.role)
        if refusal is not None:
            self.outbox.finish(refusal)
            return
        stage.admit(start)
        self.role, self._sound, self.picture = start.role, start.sound, start.picture
        stage.join(self)
        await self.outbox.reply(Started(self.role, stage.name, stage.values()))
        stage.show_last(self)

    def _hear(self, packet: bytes) -> None:
        if not self.role:
            self._refuse_early()
        if self._sound is None:
            line = "a viewer cannot send sound; start as a performer" if self.role == "viewer" else NO_SOUND
            raise ProtocolError("not_performer", line)
        sound = parse_sound(packet, self._sound)
        self._heard = self._stage.hear(sound, self._sound.rate)

    def _need(self, role: str) -> None:
        if not self.role:
            self._refuse_early()
        if role == "performer" and self.role != role:
            raise ProtocolError("not_performer", "a viewer only watches; start as a performer to play")

    @staticmethod
    def _refuse_early() -> NoReturn:
        raise ProtocolError("not_started", 'this connection has no role yet; send "start" first')

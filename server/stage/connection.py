"""Connection of one client as a state machine: greeted, started, finished. No socket: messages in, an Outbox out.

What is wrong with a message goes back as an error event, and the connection lives on; only a wrong token, a full stage
and a dead engine end it.
"""

from asyncio import get_running_loop, sleep
from typing import NoReturn

from clavilux import __version__
from clavilux.runtime.control.parameters import describe
from clavilux.runtime.errors import ParameterError, ProtocolError
from clavilux.runtime.sound.samples import MAX_CHANNELS
from clavilux.server.protocol.binary import parse_sound
from clavilux.server.protocol.messages import (
    Acknowledge,
    Bye,
    ClientMessage,
    Hello,
    ParameterValues,
    PictureFormat,
    Ping,
    Pong,
    SoundFormat,
    Start,
    Started,
    Tap,
)
from clavilux.server.protocol.text import error_event, parse_text
from clavilux.server.protocol.words import (
    MAX_RATE,
    MESSAGE_BYTES,
    MIN_RATE,
    PACKET_BYTES,
    PICTURE_ENCODINGS,
    SOUND_ENCODINGS,
    VERSION,
    WIRE_STAGES,
    CloseCode,
    ErrorCode,
    Role,
)
from clavilux.server.settings import Settings
from clavilux.server.stage.allowance import Allowance
from clavilux.server.stage.in_flight import IN_FLIGHT
from clavilux.server.stage.interfaces import Controls
from clavilux.server.stage.outbox import Farewell, Outbox, PendingMarker
from clavilux.server.stage.stage import Stage
from clavilux.server.stage.wire_time import server_time

SOUND_TAKEN = {
    "encodings": SOUND_ENCODINGS,
    "rate": (MIN_RATE, MAX_RATE),
    "channels": (1, MAX_CHANNELS),
    "packet_bytes": PACKET_BYTES,
}

NO_SOUND = 'this performer started with "sound": null; start again with a sound format to send any'


def hello(engine: Controls, settings: Settings, now: int) -> Hello:
    """Return what a server says first: what it is, what it takes, its limits; `now` is server time, µs."""
    height, width = engine.picture
    return Hello(
        protocol=VERSION,
        server=f"clavilux/{__version__}",
        server_time=now,
        bundle=settings.bundle,
        picture={"width": width, "height": height, "encodings": PICTURE_ENCODINGS},
        sound=None if settings.own_sound else SOUND_TAKEN,
        limits={"in_flight": IN_FLIGHT, "message_bytes": MESSAGE_BYTES, "viewers": settings.max_viewers},
        parameters=describe(engine.ranges, engine.defaults),
        stages=WIRE_STAGES,
        token_required=settings.token is not None,
    )


class Connection:
    """Takes one client's messages and answers into `outbox`."""

    def __init__(self, stage: Stage) -> None:
        self.outbox = Outbox()
        self.role: Role | None = None  # None until it has started
        self.picture = PictureFormat()  # how this client wants its pictures
        self.feeling = False  # whether it wants readings of the pulse
        self.limits_flashes = False  # whether it limits flashes itself
        self._sound: SoundFormat | None = None
        self._heard: float | None = None  # capture time of the last sample taken, s of the engine's clock
        self._allowance = Allowance()
        self._stage = stage

    @property
    def sounding(self) -> bool:
        """Whether this is the one whose sound the stage hears."""
        return self._sound is not None

    async def greet(self) -> None:
        """Say hello, and why there is nothing to join if so it is."""
        stage = self._stage
        await self.outbox.reply(hello(stage.engine, stage.settings, self._now()))
        refusal = stage.admission.refusal(Role.PERFORMER)
        if refusal is not None:
            self.outbox.finish(refusal)

    async def take(self, message: str | bytes) -> None:
        """Handle one message; waits while this client leaves its replies lying about, or has sent too many."""
        if self.outbox.farewell is not None:
            return
        if seconds := self._allowance.wait(message, self.role, get_running_loop().time()):
            await sleep(seconds)
        try:
            if isinstance(message, str):
                await self._handle(parse_text(message))
            else:
                self._hear(message)
        except ProtocolError as error:
            await self.outbox.reply(error_event(error))
        except ParameterError as error:
            await self.outbox.reply(error_event(ProtocolError(ErrorCode.BAD_PARAMETER, str(error))))

    def leave(self) -> None:
        """Free what this connection held; the connection is over."""
        self._stage.leave(self)

    async def _handle(self, message: ClientMessage) -> None:
        match message:
            case Ping():
                await self.outbox.reply(Pong(message.client_time, self._now()))
            case Bye():
                self.outbox.finish(Farewell(CloseCode.NORMAL_CLOSURE, "goodbye", (Bye("goodbye"),)))
            case Start():
                await self._start(message)
            case Acknowledge():
                self._need(Role.VIEWER)
                self._stage.health.acknowledged(self.outbox.acknowledge(message.sequence), message.shown_at)
            case ParameterValues():
                self._need(Role.PERFORMER)
                self._stage.set(message.values)
            case Tap():
                self._need(Role.PERFORMER)
                self._stage.tap(message.at)
            case _:
                self._need(Role.PERFORMER)
                self.outbox.marker(PendingMarker(message.id, self._heard))

    async def _start(self, start: Start) -> None:
        stage = self._stage
        if self.role:
            raise ProtocolError(ErrorCode.BAD_MESSAGE, f"already started as {self.role}; reconnect to change that")
        refusal = stage.admission.unauthorized(start.token) or stage.admission.refusal(start.role)
        if refusal is not None:
            self.outbox.finish(refusal)
            return
        stage.admission.admit(start)
        self.role, self._sound, self.picture = start.role, start.sound, start.picture or PictureFormat()
        self.feeling, self.limits_flashes = start.pulse, start.limits_flashes
        stage.join(self)
        await self.outbox.reply(Started(self.role, stage.name, stage.values()))
        stage.show_last(self)

    def _hear(self, packet: bytes) -> None:
        if not self.role:
            self._refuse_early()
        if self._sound is None:
            line = "a viewer cannot send sound; start as a performer" if self.role == Role.VIEWER else NO_SOUND
            raise ProtocolError(ErrorCode.NOT_PERFORMER, line)
        sound = parse_sound(packet, self._sound)
        self._heard = self._stage.hear(sound, self._sound.rate)

    def _need(self, role: Role) -> None:
        if not self.role:
            self._refuse_early()
        if role == Role.PERFORMER and self.role != role:
            raise ProtocolError(ErrorCode.NOT_PERFORMER, "a viewer only watches; start as a performer to play")

    def _now(self) -> int:
        return server_time(self._stage.engine.clock.now())

    @staticmethod
    def _refuse_early() -> NoReturn:
        raise ProtocolError(ErrorCode.NOT_STARTED, 'this connection has no role yet; send "start" first')

"""Connection of one client as a state machine: greeted, started, finished. No socket: messages in, an Outbox out.

What is wrong with a message goes back as an error event, and the connection lives on; only a wrong token, a full stage,
a dead engine and whoever takes its place end it.
"""

import logging
from asyncio import get_running_loop, sleep
from typing import NoReturn

from clavilux import __version__
from clavilux.runtime.control.parameters import describe
from clavilux.runtime.errors import ParameterError, ProtocolError
from clavilux.runtime.sound.samples import MAX_CHANNELS
from clavilux.server.protocol.binary import packet_sequence, parse_sound
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
from clavilux.server.protocol.text import error_event, message_id, parse_text
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
from clavilux.server.settings import Right, Settings, Token
from clavilux.server.stage.allowance import Allowance
from clavilux.server.stage.compression import served
from clavilux.server.stage.in_flight import IN_FLIGHT
from clavilux.server.stage.interfaces import Controls
from clavilux.server.stage.outbox import Farewell, Outbox, PendingMarker
from clavilux.server.stage.refusals import RefusedError, replaced
from clavilux.server.stage.stage import Stage
from clavilux.server.stage.visitor import Visitor
from clavilux.server.stage.wire_time import server_time

logger = logging.getLogger(__name__)

SOUND_TAKEN = {
    "encodings": SOUND_ENCODINGS,
    "rate": (MIN_RATE, MAX_RATE),
    "channels": (1, MAX_CHANNELS),
    "packet_bytes": PACKET_BYTES,
}

NO_SOUND = 'this performer started with "sound": null; start again with a sound format to send any'

TOO_MANY = "more messages than a client may send; see the protocol's limits"


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
        token_required=settings.token_required,
    )


class Connection:
    """Takes one client's messages and answers into `outbox`."""

    def __init__(self, stage: Stage, visitor: Visitor | None = None) -> None:
        self.outbox = Outbox()
        self.visitor = visitor or Visitor()
        self.token: Token | None = self.visitor.token  # the one that was shown
        self.session = ""  # from its start on
        self.heard_at = stage.engine.clock.now()  # when the last message came, s
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
        stage.admission.lobby(self.visitor).enter(self.outbox, self.visitor.house)
        await self.outbox.reply(hello(stage.engine, stage.settings, self._now()))
        refusal = stage.admission.refusal(Role.PERFORMER)
        if refusal is not None:
            self.outbox.finish(refusal)

    async def take(self, message: str | bytes) -> None:
        """Handle one message; waits while this client leaves its replies lying about, or has sent too many."""
        if self.outbox.farewell is not None:
            return
        now = get_running_loop().time()
        if seconds := self._allowance.wait(message, self.role, now):
            if self._allowance.is_used_up(now):
                self.outbox.finish(Farewell(CloseCode.POLICY_VIOLATION, TOO_MANY, (Bye(TOO_MANY),)))
                return
            await sleep(seconds)
            if self.outbox.farewell is not None:  # its place is another's by now
                return
        self.heard_at = self._stage.engine.clock.now()
        try:
            self._stage.admission.check(self.token)
            if isinstance(message, str):
                await self._handle(parse_text(message))
            else:
                self._hear(message)
        except RefusedError as refused:
            self._stage.peers.refused(refused.code, f"{self.visitor.peer}: {refused}")
            self.outbox.finish(refused.farewell.answering(_name(message)))
        except ProtocolError as error:
            await self.outbox.reply(error_event(error, reply_to=_name(message)))
        except ParameterError as error:
            told = ProtocolError(ErrorCode.BAD_PARAMETER, str(error))
            await self.outbox.reply(error_event(told, reply_to=_name(message)))

    def leave(self) -> None:
        """Free what this connection held; the connection is over."""
        self._stage.admission.lobby(self.visitor).leave(self.outbox)
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
                may_play = self.token is None or self.token.right >= Right.PLAY
                heard_until = self.outbox.acknowledge(message.sequence)
                self._stage.health.acknowledged(heard_until, message.shown_at, may_play=may_play)
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
        stage, admission = self._stage, self._stage.admission
        if self.role:
            raise ProtocolError(ErrorCode.BAD_MESSAGE, f"already started as {self.role}; reconnect to change that")
        self._identify(start)
        for member in admission.admit(start, self.visitor, self.token, self.heard_at):
            member.outbox.finish(replaced("another connection has taken this one's place"))
            stage.leave(member)
        refusal = admission.refusal(start.role)
        if refusal is not None:
            raise RefusedError(refusal)
        self.role, self._sound, self.picture = start.role, start.sound, served(start.picture or PictureFormat())
        self.feeling, self.limits_flashes = start.pulse, start.limits_flashes
        self.session = admission.sessions.open(start.session, self.token)
        admission.lobby(self.visitor).leave(self.outbox)
        stage.join(self)
        self._log_start()
        await self.outbox.reply(Started(self.role, stage.name, stage.values(), self.session))
        stage.show_last(self)

    def _log_start(self) -> None:
        """Say in the log who has started, by the name of the token."""
        facts = {"event": "started", "peer": self.visitor.peer, "role": self.role}
        facts |= {"token": "no token" if self.token is None else self.token.name}
        logger.info("%(peer)s starts as %(role)s with %(token)s", facts, extra={"facts": facts})

    def _identify(self, start: Start) -> None:
        """Take the token in `start`; without one that of the header holds, if there was one. Raises RefusedError."""
        if start.token is not None or self.token is None:
            admission = self._stage.admission
            self.token = admission.identify(start.token, self.visitor, self.heard_at, start.session)

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


def _name(message: str | bytes) -> str | int | None:
    """Return by what an error names the message that it answers, None for one without a name."""
    return message_id(message) if isinstance(message, str) else packet_sequence(message)

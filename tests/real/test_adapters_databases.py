"""Redis, PostgreSQL and MQTT through squid, by what the recipes of `examples/` do."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pg8000.native  # type: ignore[import-untyped]  # it has no types
import pytest
import redis

from connect_tunnel import Dialer, TunnelRefused
from connect_tunnel.adapters.socket import create_connection
from examples.mqtt_paho import TunnelledClient
from examples.redis_ping import TunnelledConnection

from .postgres import POSTGRES, wait_until_ready
from .ring import PASSWORD, USER, Port, Ring, Service
from .targets import MOSQUITTO, REDIS

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import MQTTMessage

    from .entrance import Entrance

pytestmark = pytest.mark.parametrize(
    "entrance", ["squid", "squid-basic", "squid-tls", "squid-tls-basic"], indirect=True
)

MEGABYTE = bytes(range(256)) * 4096


def test_redis(ring: Ring, entrance: Entrance, start: Callable[[Service], None]) -> None:
    start(REDIS)
    pool = redis.ConnectionPool(
        connection_class=TunnelledConnection,
        via=Dialer(entrance.via(ring)),
        host="localhost",
        port=ring.port(Port.REDIS),
        socket_connect_timeout=10,
        socket_timeout=10,
    )
    with redis.Redis(connection_pool=pool) as client, redis.Redis(connection_pool=pool) as other:
        client.set(entrance.name, MEGABYTE)
        assert other.get(entrance.name) == MEGABYTE
    pool.close()


def test_redis_that_is_refused(ring: Ring, entrance: Entrance) -> None:
    """Redis-py wraps what goes wrong; the refusal is the cause."""
    connection = TunnelledConnection(
        via=Dialer(entrance.via(ring)), host="localhost", port=ring.port(Port.FORBIDDEN)
    )
    with pytest.raises(redis.ConnectionError) as caught:
        connection.connect()  # type: ignore[no-untyped-call]
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, TunnelRefused):
        error = error.__cause__ or error.__context__
    assert isinstance(error, TunnelRefused)


def test_postgres(ring: Ring, entrance: Entrance, start: Callable[[Service], None]) -> None:
    start(POSTGRES)
    wait_until_ready(ring)
    port = ring.port(Port.POSTGRES)
    client: Any = pg8000.native.Connection(
        USER,
        host="localhost",
        database="postgres",
        password=PASSWORD,
        sock=create_connection(("localhost", port), 10, via=entrance.via(ring)),
        ssl_context=ring.target_authority.context,
    )
    assert client.run("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [[True]]
    assert client.run("SELECT CAST(:data AS bytea)", data=MEGABYTE) == [[MEGABYTE]]
    client.close()


def test_mqtt(ring: Ring, entrance: Entrance, start: Callable[[Service], None]) -> None:
    start(MOSQUITTO)
    received = SimpleQueue[bytes]()
    client = TunnelledClient(Dialer(entrance.via(ring)))
    context = ring.target_authority.context
    client.tls_set_context(context)  # pyright: ignore[reportUnknownMemberType]

    def subscribe(*_: Any) -> None:
        client.subscribe(entrance.name, qos=1)

    def publish(*_: Any) -> None:
        client.publish(entrance.name, MEGABYTE, qos=1)

    def note(_client: Any, _data: object, message: MQTTMessage) -> None:
        received.put(bytes(message.payload))

    client.on_connect, client.on_subscribe, client.on_message = subscribe, publish, note
    client.connect("localhost", ring.port(Port.MQTT))
    client.loop_start()
    assert received.get(timeout=20) == MEGABYTE
    client.disconnect()
    client.loop_stop()

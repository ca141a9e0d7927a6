"""MQTT: paho's client makes its socket in one method, and there it gets a tunnel's.

$ python mqtt_paho.py broker.example.com:8883 greetings hello --via http://proxy.corp:3128
"""

from __future__ import annotations

import argparse
import ssl
import sys
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from connect_tunnel import Dialer, Target
from connect_tunnel.adapters.socket import create_connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


class TunnelledClient(Client):
    """A client whose broker is behind a proxy."""

    def __init__(self, via: Dialer) -> None:
        super().__init__(CallbackAPIVersion.VERSION2)
        self._via = via

    def _create_socket_connection(self) -> socket.socket:
        return create_connection((self._host, self._port), self._connect_timeout, via=self._via)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Publish a message, and wait for it.")
    parser.add_argument("target", type=Target.parse, metavar="HOST:PORT")
    parser.add_argument("topic")
    parser.add_argument("message")
    parser.add_argument("--via", required=True, metavar="URL", help="the proxy")
    parser.add_argument("--cafile", help="trust these certificates, not the system's")
    options = parser.parse_args(argv)
    client = TunnelledClient(Dialer(options.via))
    context = ssl.create_default_context(cafile=options.cafile)
    client.tls_set_context(context)  # pyright: ignore[reportUnknownMemberType]
    received = SimpleQueue[bytes]()

    def subscribe(*_: Any) -> None:  # noqa: ANN401 - paho's
        client.subscribe(options.topic, qos=1)

    def publish(*_: Any) -> None:  # noqa: ANN401 - paho's
        client.publish(options.topic, options.message, qos=1)

    def note(_client: Client, _data: object, message: MQTTMessage) -> None:
        received.put(bytes(message.payload))

    client.on_connect, client.on_subscribe, client.on_message = subscribe, publish, note
    client.connect(options.target.host, options.target.port)
    client.loop_start()
    print(received.get(timeout=30).decode("utf-8", "replace"))
    client.disconnect()
    client.loop_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

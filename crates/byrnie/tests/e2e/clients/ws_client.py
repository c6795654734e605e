"""Talks to ws_server.py: text, bytes, ping, an end that the server begins. Usage: ws_client.py URL"""

import sys
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

deadline = time.monotonic() + 10
while True:
    try:
        connection = connect(sys.argv[1], max_size=None)
        break
    except InvalidStatus as refusal:
        # The endpoint may be on its way to the caller still.
        if refusal.response.status_code != 503 or time.monotonic() > deadline:
            raise

with connection:
    connection.send("grüße")
    assert connection.recv(timeout=10) == "grüße"
    data = bytes(range(256)) * 8192
    connection.send(data)
    assert connection.recv(timeout=10) == data
    assert connection.ping().wait(timeout=10)
    connection.send("leave")
    try:
        connection.recv(timeout=10)
        raise AssertionError("still there")
    except ConnectionClosed as closed:
        assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you wish"), closed
print("text, bytes, ping, close")

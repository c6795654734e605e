"""A WebSocket server of the tests: sends every message back. Usage: ws_server.py PORT"""

import sys

from websockets.sync.server import serve


def echo(connection):
    for message in connection:
        if message == "leave":
            connection.close(4001, "as you wish")
            return
        connection.send(message)


with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None) as server:
    server.serve_forever()

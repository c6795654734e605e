"""Calls each method of grpc_server.py and looks at all that comes back. Usage: grpc_client.py ADDRESS [hold]

`hold`: one stream in both directions until a line comes on stdin.
"""

import itertools
import sys
import threading
import time

import grpc

channel = grpc.insecure_channel(sys.argv[1])
METHOD = "/test.Talk/"


def hold():
    enough = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), enough.set()), daemon=True).start()

    def words():
        for number in itertools.count():
            if enough.is_set():
                return
            yield b"%d" % number
            time.sleep(0.02)

    held = 0
    for answer in channel.stream_stream(METHOD + "BothStreams")(words(), wait_for_ready=True):
        assert answer == b"back %d" % held, answer
        held += 1
    print("held", held)


def all_four():
    for attempt in range(50):
        unary = channel.unary_unary(METHOD + "Unary")
        answer, call = unary.with_call(b"hello", timeout=10, wait_for_ready=True)
        assert answer == b"unary hello", answer
        assert ("x-first", "metadata") in call.initial_metadata(), call.initial_metadata()
        trailers = call.trailing_metadata()
        assert ("x-last", "trailer") in trailers and ("x-data-bin", b"\x00\xff") in trailers, trailers
    big = b"x" * 3_000_000
    assert channel.unary_unary(METHOD + "Unary")(big, timeout=10) == b"unary " + big
    answers = list(channel.unary_stream(METHOD + "ServerStream")(b"word", timeout=10))
    assert answers == [b"%d word" % number for number in range(100)], answers
    answer = channel.stream_unary(METHOD + "ClientStream")(iter([b"a", b"b", b"c"]), timeout=10)
    assert answer == b"a,b,c", answer
    answers = list(channel.stream_stream(METHOD + "BothStreams")(iter([b"a", b"b"]), timeout=10))
    assert answers == [b"back a", b"back b"], answers
    for method, code, details in [
        ("Missing", grpc.StatusCode.NOT_FOUND, "nothing of that name: 100 %"),
        ("NoSuchMethod", grpc.StatusCode.UNIMPLEMENTED, None),
    ]:
        try:
            channel.unary_unary(METHOD + method)(b"", timeout=10)
            raise AssertionError(method + " does not fail")
        except grpc.RpcError as error:
            assert error.code() == code, error
            assert details in (None, error.details()), error.details()
    print("all four kinds")


hold() if sys.argv[2:] == ["hold"] else all_four()

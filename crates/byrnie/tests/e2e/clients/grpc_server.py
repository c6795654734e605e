"""A gRPC server of the tests: one method of each kind, on bytes. Usage: grpc_server.py PORT"""

import sys
from concurrent import futures

import grpc


def unary(request, context):
    context.send_initial_metadata((("x-first", "metadata"),))
    context.set_trailing_metadata((("x-last", "trailer"), ("x-data-bin", b"\x00\xff")))
    return b"unary " + request


def server_stream(request, context):
    for number in range(100):
        yield b"%d " % number + request


def client_stream(requests, context):
    return b",".join(requests)


def both_streams(requests, context):
    for request in requests:
        yield b"back " + request


def missing(request, context):
    context.set_trailing_metadata((("x-why", "it is not here"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing of that name: 100 %")


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "BothStreams": grpc.stream_stream_rpc_method_handler(both_streams),
    "Missing": grpc.unary_unary_rpc_method_handler(missing),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Talk", HANDLERS),))
server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
server.wait_for_termination()

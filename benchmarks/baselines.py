"""What the intake is measured against: receivers that decode and check, and store nothing."""

import asyncio
import hashlib
import hmac
import multiprocessing
import socket
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec
import uvicorn
from litestar import Litestar, post

from benchmarks.load import KEY

PATH = "/callbacks/tencent"


class Body(msgspec.Struct):
    """The fields that a receiver needs to check a signature."""

    event_type: int
    stream_id: str
    t: int
    sign: str


def check(body: Body) -> bool:
    """The MD5 of key and t, compared in constant time."""
    return hmac.compare_digest(hashlib.md5(f"{KEY}{body.t}".encode()).hexdigest(), body.sign)


@post(PATH, status_code=200)
async def litestar_handler(data: Body) -> dict[str, int]:
    """An ordinary handler with a msgspec body."""
    return {"code": 0 if check(data) else 1}


_decode = msgspec.json.Decoder(Body).decode


async def bare_asgi(scope: Any, receive: Any, send: Any) -> None:
    """The least that an ASGI server can do with a callback."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    message = await receive()
    if scope["method"] != "POST":
        await send({"type": "http.response.start", "status": 405, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    good = check(_decode(message["body"]))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"10")]
    await send({"type": "http.response.start", "status": 200 if good else 403, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"code":0}'})


def _serve(name: str, listener: socket.socket) -> None:
    app = bare_asgi if name == "bare ASGI" else Litestar([litestar_handler], openapi_config=None)
    config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))


def start(name: str) -> tuple[BaseProcess, int]:
    """A baseline in a process of its own; returns it and its port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(name, listener), daemon=True)
    process.start()
    port = int(listener.getsockname()[1])
    listener.close()
    return process, port

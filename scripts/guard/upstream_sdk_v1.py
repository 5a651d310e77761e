"""A server of the Python SDK 1.x with its sessions, without any authorization, to stand behind the broker. Prints its address.

    upstream_sdk_v1.py PORT
"""

import socket
import sys

import uvicorn
from mcp.server.fastmcp import Context, FastMCP
from pydantic import BaseModel

server = FastMCP("notes", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@server.tool()
def rename() -> str:
    """Renames."""
    return "renamed"


@server.tool()
def drop() -> str:
    """Drops."""
    return "dropped"


@server.tool()
async def count(to: int, context: Context) -> int:
    """Counts, and says how far it is."""
    for step in range(1, to + 1):
        await context.report_progress(step, to)
    return to


class Who(BaseModel):
    name: str


@server.tool()
async def ask(context: Context) -> str:
    """Asks who is there."""
    answer = await context.elicit("Who is there?", schema=Who)
    return f"{answer.action} {getattr(answer, 'data', None)}"


@server.prompt()
def greet(name: str) -> str:
    """Greets."""
    return f"Say hello to {name}."


@server.resource("notes://today")
def today() -> str:
    """The note of the day."""
    return "sunny"


@server.resource("notes://secret")
def secret() -> str:
    """Not for everybody."""
    return "hidden"


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error", access_log=False)).run(sockets=[listener])

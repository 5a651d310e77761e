"""FastMCP as its documentation guards a server: JWTVerifier, require_scopes, uvicorn, one process.

python peer_fastmcp.py FOLDER ISSUER AUDIENCE SCOPE
"""

import pathlib
import socket
import sys

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth import require_scopes
from fastmcp.server.auth.providers.jwt import JWTVerifier

folder, issuer, audience, scope = sys.argv[1:5]
text = pathlib.Path(folder, "public.md").read_text()
verifier = JWTVerifier(
    public_key=pathlib.Path(folder, "key.pem").read_text(),
    issuer=issuer,
    audience=audience,
    algorithm="RS256",
)
server = FastMCP("peer", auth=verifier)


@server.tool(auth=require_scopes(scope), output_schema=None)
async def get_public_info() -> str:
    """Answers the public document"""
    return text


listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
app = server.http_app(stateless_http=True, json_response=True)
config = uvicorn.Config(app, log_level="error", access_log=False)
uvicorn.Server(config).run(sockets=[listener])

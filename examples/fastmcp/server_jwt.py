"""A FastMCP server that takes the broker's tokens: three lines, which FastMCP brings itself.

python server_jwt.py http://127.0.0.1:8080 3001

The broker is told about it once: broker server add notes http://127.0.0.1:3001/mcp --scope notes:read
"""

import sys

from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token

broker, port = sys.argv[1:3]
here = f"http://127.0.0.1:{port}"

# `audience` is what keeps tokens of other servers out.
verifier = JWTVerifier(jwks_uri=f"{broker}/.well-known/jwks.json", issuer=broker, audience=f"{here}/mcp", algorithm="ES256", required_scopes=["notes:read"])
auth = RemoteAuthProvider(token_verifier=verifier, authorization_servers=[broker], base_url=here)
server = FastMCP("notes", auth=auth)


@server.tool
def whoami() -> str:
    """Says who calls"""
    token = get_access_token()
    return f"{token.claims['sub']} by {token.client_id}"


@server.tool
def forget() -> str:
    """Forgets all notes"""
    return "forgotten"


server.run(transport="http", host="127.0.0.1", port=int(port), show_banner=False, stateless_http=True)

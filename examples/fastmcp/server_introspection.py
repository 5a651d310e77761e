"""The same, where the broker is asked about each token: a revoked one ends at once.

python server_introspection.py http://127.0.0.1:8080 3001 < key

broker server add notes http://127.0.0.1:3001/mcp --scope notes:read
broker server key add notes          # the key to give on standard input
"""

import sys

from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider
from fastmcp.server.auth.providers.introspection import IntrospectionTokenVerifier

broker, port = sys.argv[1:3]
here = f"http://127.0.0.1:{port}"
key = sys.stdin.readline().strip()

# The broker tells a server about tokens that are for that server alone; `audience` says it again.
verifier = IntrospectionTokenVerifier(introspection_url=f"{broker}/introspect", client_id="notes", client_secret=key, audience=f"{here}/mcp", required_scopes=["notes:read"])
auth = RemoteAuthProvider(token_verifier=verifier, authorization_servers=[broker], base_url=here)
server = FastMCP("notes", auth=auth)


@server.tool
def count() -> int:
    """How many notes there are"""
    return 3


server.run(transport="http", host="127.0.0.1", port=int(port), show_banner=False, stateless_http=True)

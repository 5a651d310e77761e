"""A plain FastAPI server that takes the broker's tokens: no MCP, two scopes, and a step-up.

python server.py http://127.0.0.1:8080 3003

broker server add files http://127.0.0.1:3003 --scope "files:read files:write"
"""

import sys
from typing import Annotated

import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request

broker, port = sys.argv[1:3]
here = f"http://127.0.0.1:{port}"
metadata = f"{here}/.well-known/oauth-protected-resource"
keys = jwt.PyJWKClient(f"{broker}/.well-known/jwks.json", timeout=5)
app = FastAPI()


def refuse(status: int, **parameters: str) -> HTTPException:
    """401 or 403 with a challenge that a client can follow (RFC 6750 section 3, RFC 9728 section 5.1)."""
    parameters["resource_metadata"] = metadata
    challenge = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    return HTTPException(status, parameters.get("error", "unauthorized"), {"WWW-Authenticate": challenge})


def needs(scope: str):
    """A dependency that answers the token's claims, if it is for this server and has the scope."""

    def check(request: Request) -> dict:
        sent = request.headers.getlist("authorization")
        scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise refuse(401, scope=scope)
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ", "").lower() != "at+jwt":  # an id_token is no access token (RFC 9068 section 4)
                raise jwt.InvalidTokenError
            key = keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(token, key, algorithms=["ES256"], audience=here, issuer=broker, options={"require": ["exp", "aud", "iss", "sub"]})
        except jwt.PyJWKClientConnectionError as away:
            raise HTTPException(503, "keys cannot be fetched now", {"Retry-After": "5"}) from away
        except jwt.PyJWTError as bad:
            raise refuse(401, error="invalid_token", scope=scope) from bad
        if scope not in claims.get("scope", "").split():
            raise refuse(403, error="insufficient_scope", scope=scope)  # the step-up
        return claims

    return Depends(check)


@app.get("/.well-known/oauth-protected-resource")
def protected_resource() -> dict:
    return {"resource": here, "authorization_servers": [broker], "scopes_supported": ["files:read"], "bearer_methods_supported": ["header"]}


@app.get("/files")
def list_files(caller: Annotated[dict, needs("files:read")]) -> dict:
    return {"files": ["a.txt"], "for": caller["sub"]}


@app.post("/files")
def write_file(caller: Annotated[dict, needs("files:write")]) -> dict:
    return {"written": True, "by": caller["sub"]}


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")

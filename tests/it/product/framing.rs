//! What HTTP itself asks of a request, whatever it is for.

use serde_json::json;

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Request, exchange};

// RFC 9110 §8.4
#[tokio::test]
async fn a_body_in_a_content_coding_is_not_read() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let list = mcp(Wire::Modern, Some(&token), "tools/list", json!({}));
    for request in [list.clone(), list.header("origin", "http://localhost:6274")] {
        let answer = product.send(request.clone().header("content-encoding", "gzip")).await;
        assert_eq!((answer.status, answer.header("accept-encoding")), (415, "identity".into()));
        let plain = product.send(request.header("content-encoding", "identity")).await;
        assert_eq!(plain.status, 200, "{plain:?}");
    }
}

// RFC 9112 §3.2 — N111
#[tokio::test]
async fn a_request_has_one_host_also_where_any_is_taken() {
    let product = Product::dev().await;
    for path in ["/health", "/ready", "/mcp"] {
        let two = Request::new("GET", path).header("host", "a").header("host", "b");
        assert_eq!(product.send(two).await.status, 400, "{path}");
        let none = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n\r\n");
        let answer = exchange(&product.authority, none.as_bytes()).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
}

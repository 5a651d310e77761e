//! Documents of the operator's that change under the broker: what the caller of the tool is told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::{Value, json};

use crate::support::product::Product;

struct Shelf {
    place: tempfile::TempDir,
    clock: Arc<FixedClock>,
    product: Product,
}

impl Shelf {
    async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("public.md"), "what everybody may know").unwrap();
        std::fs::write(place.path().join("confidential.md"), "what few may know").unwrap();
        let clock = Arc::new(FixedClock::at(SystemClock.now()));
        let settings = format!("[documents]\ndir = \"{}\"", place.path().display());
        let product = Product::start_at(&settings, Arc::<FixedClock>::clone(&clock)).await;
        Self { place, clock, product }
    }

    fn file(&self) -> std::path::PathBuf {
        self.place.path().join("public.md")
    }

    /// A document is kept for a second.
    async fn read(&self) -> Value {
        self.clock.advance(Duration::from_secs(2));
        let token = self.product.token(&["public:read"]);
        self.product.call(&token, "get_public_info", json!({})).await["result"].clone()
    }

    /// Code and message, which name the file and never its place.
    async fn refused(&self) -> String {
        let result = self.read().await;
        assert_eq!(result["isError"], true, "{result}");
        let all = format!("{result}{}", self.product.audit_lines().join(""));
        assert!(!all.contains(&place(self.place.path())), "{all}");
        result["structuredContent"]["error"]["message"].as_str().unwrap().to_owned()
    }
}

fn place(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_told_by_what_is_wrong_with_it() {
    let shelf = Shelf::start().await;
    let before = shelf.read().await;
    assert_eq!(before["content"][0]["text"], "what everybody may know");
    std::fs::remove_file(shelf.file()).unwrap();
    assert!(shelf.refused().await.ends_with("there is no public.md"));
    std::fs::write(shelf.file(), b"\xff\xfe").unwrap();
    assert!(shelf.refused().await.ends_with("public.md is not UTF-8 text"));
    std::fs::write(shelf.file(), vec![b'x'; (1 << 20) + 1]).unwrap();
    assert!(shelf.refused().await.ends_with("public.md is larger than 1 MiB"));
    std::fs::remove_file(shelf.file()).unwrap();
    std::fs::create_dir(shelf.file()).unwrap();
    assert!(shelf.refused().await.ends_with("public.md is not a file that can be read"));
    std::fs::remove_dir(shelf.file()).unwrap();
    std::fs::write(shelf.file(), "back again").unwrap();
    assert_eq!(shelf.read().await["content"][0]["text"], "back again");
}

#[tokio::test]
async fn no_path_comes_from_a_caller() {
    let shelf = Shelf::start().await;
    let token = shelf.product.token(&["public:read"]);
    for name in ["path", "name", "file", "uri"] {
        let arguments = json!({ name: "../confidential.md" });
        let answer = shelf.product.call(&token, "get_public_info", arguments).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(!answer.to_string().contains("few may know"), "{answer}");
    }
}

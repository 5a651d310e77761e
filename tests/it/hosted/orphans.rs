//! What a child has left behind, where that comes to the broker: as the first process of a container, and as a subreaper.

use std::process::Command;

use serde_json::json;

use super::table;
use crate::support::child::Served;
use crate::support::not_looked_at::not_looked_at;
use crate::support::product::{Wire, mcp};
use crate::support::until::until;
use crate::upstream::PATH;

/// A broker that was started so, and a token for the server behind it.
struct Site {
    served: Served,
    token: String,
    _directory: tempfile::TempDir,
}

impl Site {
    async fn start(way: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start_by_way_of(directory.path(), &table(&[], ""), way).await;
        let resource = format!("http://{}{PATH}", served.authority);
        let token = served.mint_at(&resource, "weather:read");
        Self { served, token, _directory: directory }
    }

    /// What a tool says.
    async fn said(&self, tool: &str) -> String {
        let params = json!({ "name": tool, "arguments": {} });
        let call = mcp(Wire::Legacy, Some(&self.token), "tools/call", params).path(PATH);
        let answer = self.served.send(call).await.json();
        answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    }

    /// Orphans are waited for, and the status of the child is left to who has started it.
    async fn reaps(&self) {
        for _ in 0..3 {
            assert!(self.said("get_orphan").await.parse::<u32>().is_ok());
        }
        until("nobody is left", async || (self.said("get_left").await == "0").then_some(())).await;
        // What holds its output open: that it has ended is known by its status alone.
        self.said("get_fork").await;
        self.said("get_crash").await;
        until("its status is known", async || {
            self.served.stderr().contains("exit status: 3").then_some(())
        })
        .await;
    }
}

/// In a namespace of its own, where the machine lets one be made.
#[tokio::test]
async fn orphans_are_waited_for_by_the_first_process() {
    let way = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"];
    let [program, arguments @ ..] = way;
    let may = Command::new(program).args(arguments).arg("true").output();
    if !may.is_ok_and(|ended| ended.status.success()) {
        not_looked_at("orphans in a namespace", "none can be made here");
        return;
    }
    Site::start(&way).await.reaps().await;
}

#[tokio::test]
async fn orphans_are_waited_for_where_somebody_has_arranged_that_they_come() {
    let number = if cfg!(target_arch = "aarch64") { 167 } else { 157 };
    // prctl(PR_SET_CHILD_SUBREAPER, 1), which stays over exec.
    let script = format!("syscall({number}, 36, 1, 0, 0, 0) == 0 or die; exec @ARGV");
    Site::start(&["perl", "-e", &script]).await.reaps().await;
}

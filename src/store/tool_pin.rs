//! What tools at servers behind us say of themselves, as it was approved, and as it is now where that is another.

use async_trait::async_trait;

use crate::time::Timestamp;

use super::error::StoreError;
use super::page::{Page, PageRequest};

/// A tool as a server defines it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetTool {
    pub tool: String,
    pub digest: String,
    /// JSON. `None`: too long to be kept.
    pub definition: Option<String>,
}

/// By what a definition is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolPin {
    pub tool: String,
    /// Of the approved definition.
    pub digest: String,
    /// Of another one that a server gave since: it waits for somebody.
    pub found: Option<String>,
}

/// All of a server.
#[derive(Clone, Debug, Default)]
pub struct ToolPins {
    /// Another one after each change. `None`: there are none.
    pub version: Option<i64>,
    pub pins: Vec<ToolPin>,
}

/// What became of tools that a replica met.
#[derive(Clone, Debug)]
pub struct MetTools {
    /// Before and after.
    pub versions: (i64, i64),
    /// Of those that were met. What is missing had no room.
    pub pins: Vec<ToolPin>,
    /// Whose change is to be told, by who asked: nobody else is told to.
    pub told: Vec<String>,
}

/// One for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolPinRow {
    pub server: String,
    pub tool: String,
    pub digest: String,
    /// JSON. `None`: too long to be kept, or not asked for.
    pub definition: Option<String>,
    pub approved_at: Timestamp,
    /// `None`: nobody, it was the first that was seen.
    pub approved_by: Option<String>,
    pub found: Option<FoundTool>,
}

/// What a server gave since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTool {
    pub digest: String,
    pub definition: Option<String>,
    pub at: Timestamp,
}

/// Which pins of a server are listed, and how much of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolPinList {
    /// All, without definitions.
    All,
    /// Those of which another definition waits, without definitions.
    Changed,
    /// All, with their definitions.
    InFull,
}

/// Which definition of a tool somebody approves.
#[derive(Clone, Debug)]
pub struct ToolApproval {
    pub server: String,
    pub tool: String,
    /// The one that waits, or the approved one: then what waits is dropped.
    pub digest: String,
    pub by: Option<String>,
    pub at: Timestamp,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolApproved {
    Done,
    /// It is neither what is approved nor what waits, by now.
    Other,
    /// There is no pin of that tool.
    Unknown,
}

#[async_trait]
pub trait ToolPinStore: Send + Sync + std::fmt::Debug {
    /// Of each server that has pins.
    async fn tool_pin_versions(&self) -> Result<Vec<(String, i64)>, StoreError>;
    async fn tool_pins(&self, server: &str) -> Result<ToolPins, StoreError>;
    /// Pins what was never met, as long as there is room for it; notes what is another than the approved one. Replicas that meet tools of one
    /// server at the same time take turns: the first one's definition is pinned, and one of them is to tell of a change. A tool that
    /// changes all the time is told of once an hour.
    ///
    /// A thousand at most; of more, the others are as if there were no room.
    async fn meet_tools(
        &self,
        server: &str,
        tools: Vec<MetTool>,
        now: Timestamp,
    ) -> Result<MetTools, StoreError>;
    /// A broker serves these: their pins are not cleaned up.
    async fn hold_tool_pins(&self, servers: &[String], now: Timestamp) -> Result<(), StoreError>;
    /// By name.
    async fn list_tool_pins(
        &self,
        server: &str,
        which: ToolPinList,
        page: &PageRequest,
    ) -> Result<Page<ToolPinRow>, StoreError>;
    async fn find_tool_pin(
        &self,
        server: &str,
        tool: &str,
    ) -> Result<Option<ToolPinRow>, StoreError>;
    /// Only the very definition that somebody has looked at: what a server says may be another again.
    async fn approve_tool(&self, approval: &ToolApproval) -> Result<ToolApproved, StoreError>;
    /// Forgets a tool: the next definition that is seen is the first one. `false` where it had no pin.
    async fn delete_tool_pin(&self, server: &str, tool: &str) -> Result<bool, StoreError>;
}

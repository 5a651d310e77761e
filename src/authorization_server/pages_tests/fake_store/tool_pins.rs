//! Pins of tools, which the pages never ask for.

use async_trait::async_trait;

use crate::store::*;
use crate::time::Timestamp;

use super::FakeStore;

#[async_trait]
impl ToolPinStore for FakeStore {
    async fn tool_pin_versions(&self) -> Result<Vec<(String, i64)>, StoreError> {
        unimplemented!()
    }
    async fn tool_pins(&self, _server: &str) -> Result<ToolPins, StoreError> {
        unimplemented!()
    }
    async fn meet_tools(
        &self,
        _server: &str,
        _tools: Vec<MetTool>,
        _now: Timestamp,
    ) -> Result<MetTools, StoreError> {
        unimplemented!()
    }
    async fn hold_tool_pins(&self, _servers: &[String], _now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn list_tool_pins(
        &self,
        _server: &str,
        _which: ToolPinList,
        _page: &PageRequest,
    ) -> Result<Page<ToolPinRow>, StoreError> {
        unimplemented!()
    }
    async fn find_tool_pin(
        &self,
        _server: &str,
        _tool: &str,
    ) -> Result<Option<ToolPinRow>, StoreError> {
        unimplemented!()
    }
    async fn approve_tool(&self, _approval: &ToolApproval) -> Result<ToolApproved, StoreError> {
        unimplemented!()
    }
    async fn delete_tool_pin(&self, _server: &str, _tool: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }
}

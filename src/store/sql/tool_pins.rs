//! [`ToolPinStore`] on SQL.

use async_trait::async_trait;

use crate::store::error::StoreError;
use crate::store::page::{Page, PageRequest};
use crate::store::tool_pin::{
    MetTool, MetTools, ToolApproval, ToolApproved, ToolPinList, ToolPinRow, ToolPinStore, ToolPins,
};
use crate::time::Timestamp;

use super::database::SqlDatabase;
use super::{tool_met, tool_pin};

#[async_trait]
impl ToolPinStore for SqlDatabase {
    async fn tool_pin_versions(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.named("versions tool_pin_servers")
            .read(&(), |c, ()| Box::pin(tool_pin::versions(c)))
            .await
    }

    async fn tool_pins(&self, server: &str) -> Result<ToolPins, StoreError> {
        let server = server.to_owned();
        self.named("pins tool_pins")
            .read(&server, |c, server| Box::pin(tool_pin::all(c, server)))
            .await
    }

    async fn meet_tools(
        &self,
        server: &str,
        tools: Vec<MetTool>,
        now: Timestamp,
    ) -> Result<MetTools, StoreError> {
        let met = (server.to_owned(), tools, now);
        self.named("meet tool_pins").write(met, |c, met| Box::pin(tool_met::meet(c, met))).await
    }

    async fn hold_tool_pins(&self, servers: &[String], now: Timestamp) -> Result<(), StoreError> {
        let held = (servers.to_vec(), now);
        self.named("hold tool_pin_servers")
            .write(held, |c, held| Box::pin(tool_pin::hold(c, held)))
            .await
    }

    async fn list_tool_pins(
        &self,
        server: &str,
        which: ToolPinList,
        page: &PageRequest,
    ) -> Result<Page<ToolPinRow>, StoreError> {
        let which = (server.to_owned(), which, page.clone());
        self.named("list tool_pins")
            .read(&which, |c, which| Box::pin(tool_pin::list(c, which)))
            .await
    }

    async fn find_tool_pin(
        &self,
        server: &str,
        tool: &str,
    ) -> Result<Option<ToolPinRow>, StoreError> {
        let which = (server.to_owned(), tool.to_owned());
        self.named("find tool_pins")
            .read(&which, |c, which| Box::pin(tool_pin::find(c, which)))
            .await
    }

    async fn approve_tool(&self, approval: &ToolApproval) -> Result<ToolApproved, StoreError> {
        self.named("approve tool_pins")
            .write(approval.clone(), |c, approval| Box::pin(tool_pin::approve(c, approval)))
            .await
    }

    async fn delete_tool_pin(&self, server: &str, tool: &str) -> Result<bool, StoreError> {
        let which = (server.to_owned(), tool.to_owned());
        self.named("delete tool_pins")
            .write(which, |c, which| Box::pin(tool_pin::delete(c, which)))
            .await
    }
}

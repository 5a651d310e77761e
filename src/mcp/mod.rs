//! Our MCP server: guard, tools and the rmcp service behind them.

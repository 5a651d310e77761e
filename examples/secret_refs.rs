//! Says for each line of stdin whether it is a secret reference (`1` or `0`), for the comparison
//! with the official SDK (`scripts/oracles/secret_refs.py`). Lines are JSON strings.

use std::io::{BufRead, Write};

use mcp_auth_broker::secret_ref::SecretRef;

fn main() -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        writeln!(std::io::stdout(), "{}", u8::from(text.parse::<SecretRef>().is_ok()))?;
    }
    Ok(())
}

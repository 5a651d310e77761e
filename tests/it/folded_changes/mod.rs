//! Changes of what servers have whose tools stand beside the broker's own, as clients are told of them at `/mcp`.

mod anew;
mod ends;
mod listener;
mod lists;
mod offered;
mod old;
mod places;
mod policy;
mod resources;
mod servers;
mod teller;

use listener::Listener;
use teller::Teller;

//! Ports for processes that have to be told which one to listen on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Outside of those that the system gives to sockets that take any port, so nobody else gets it before the process does.
const COUNT: u16 = 8_000;

/// The first of [`COUNT`] of them.
fn first() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u16>().ok());
    let (low, high) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
    if low >= 10_000 + COUNT {
        low - COUNT
    } else {
        // Where the system takes nearly all, there is nothing better than any.
        high.checked_add(1).filter(|next| u16::MAX - next >= COUNT).unwrap_or(20_000)
    }
}

/// An address on loopback at which nobody listens, another one each time. So is the port after it: OpenBao takes that, too.
pub(crate) fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = first();
    // Two runs of the tests beside each other begin at different ones.
    let begin = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap() & !1;
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..COUNT / 2 {
        let port = first + NEXT.fetch_add(2, Ordering::Relaxed).wrapping_add(begin) % COUNT;
        if is_free(port) && is_free(port + 1) {
            return SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        }
    }
    panic!("no port from {first} on is free");
}

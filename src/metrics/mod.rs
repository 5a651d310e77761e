//! What operators see as numbers: counters and times with bounded labels, and one page of text for Prometheus.
//!
//! A leaf that knows no part. What a request did is counted by whoever saw it ([`Meters`]); what a part keeps about itself
//! ([`Tally`], [`Times`]) and how it is right now ([`Readings`]) is asked when somebody scrapes ([`Exposition`]).
//!
//! A label never holds what a caller may write: values are words of closed sets, or names from the settings. Should that
//! ever be broken, a family stops at [`MAX_SERIES`] sets of values and counts the rest under `other`.

mod exposition;
mod family;
mod meters;
mod process;
mod readings;
mod tally;

pub use exposition::Exposition;
pub use family::{Counters, Label, MAX_SERIES, Timings};
pub use meters::{Families, InFlight, Meters};
pub use readings::{Reading, Readings, Value};
pub use tally::{Tally, Times};

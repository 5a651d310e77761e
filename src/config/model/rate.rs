//! How often something may happen: `600/min`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// So many in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: NonZeroU32,
    pub period: Duration,
}

/// Why a text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    #[error("is not a rate such as 600/min")]
    Shape,
    #[error("has a count that is not a whole number from 1")]
    Count,
    #[error("has a unit that is not s, min, h or day")]
    Unit,
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, unit) = text.split_once('/').ok_or(RateError::Shape)?;
        let count = count.trim().parse().map_err(|_| RateError::Count)?;
        let period = match unit.trim() {
            "s" | "sec" => Duration::from_secs(1),
            "min" => Duration::from_mins(1),
            "h" | "hour" => Duration::from_hours(1),
            "day" => Duration::from_hours(24),
            _ => return Err(RateError::Unit),
        };
        Ok(Self { count, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.period.as_secs() {
            1 => "s",
            60 => "min",
            3600 => "h",
            _ => "day",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_print_as_they_were_written() {
        for text in ["600/min", "1/s", "20/h", "1000/day"] {
            assert_eq!(text.parse::<Rate>().map(|rate| rate.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_not_a_rate_is_refused() {
        for text in ["", "600", "0/min", "-1/min", "1.5/s", "600/fortnight", "min/600"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}

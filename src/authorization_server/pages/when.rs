//! Times for people.

use crate::time::Timestamp;

/// A date and time in UTC to the minute, such as `21 Nov 2026, 07:30 UTC`.
pub(crate) fn when(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.unix_millis()) {
        Ok(time) => time.strftime("%-d %b %Y, %H:%M UTC").to_string(),
        Err(_) => "at an unknown time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_without_a_calendar() {
        let time = Timestamp::from_unix_millis(1_795_239_879_007);
        assert_eq!(when(time), "21 Nov 2026, 05:44 UTC");
    }
}

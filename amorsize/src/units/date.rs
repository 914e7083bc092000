//! Dates for people.

use std::time::{SystemTime, UNIX_EPOCH};

/// A date and a time of day in UTC, as a text to the minute, and the second: `2026-01-31 08:05`
/// and 9. A clock that stands before 1970 is not set, and gives the first second of that year.
#[inline]
pub(crate) fn minute_and_second(time: SystemTime) -> (String, u64) {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The year is taken to begin in March, so that a leap day is its last; 1 March 0000 is 719,468
    // days before 1970, and 146,097 days are 400 years.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    (format!("{:04}-{month:02}-{day:02} {hour:02}:{minute:02}", era * 400 + year), second % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| minute_and_second(UNIX_EPOCH + Duration::from_secs(seconds));
        for (seconds, minute, second) in [
            (0, "1970-01-01 00:00", 0),
            (951_782_400, "2000-02-29 00:00", 0),
            (951_868_799, "2000-02-29 23:59", 59),
            (951_868_800, "2000-03-01 00:00", 0),
            (1_767_225_599, "2025-12-31 23:59", 59),
            (4_107_542_400, "2100-03-01 00:00", 0),
        ] {
            assert_eq!(at(seconds), (minute.to_owned(), second));
        }
        assert_eq!(minute_and_second(UNIX_EPOCH - Duration::from_secs(1)), at(0));
    }
}

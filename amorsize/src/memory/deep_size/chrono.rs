use chrono::{
    DateTime, Days, FixedOffset, IsoWeek, Month, Months, NaiveDate, NaiveDateTime, NaiveTime, ParseError, TimeDelta,
    TimeZone, Utc, Weekday,
};

use super::DeepSize;

owns_nothing!(
    Days,
    FixedOffset,
    IsoWeek,
    Month,
    Months,
    NaiveDate,
    NaiveDateTime,
    NaiveTime,
    ParseError,
    TimeDelta,
    Utc,
    Weekday,
);

// An offset is `Copy` in all zones that chrono and chrono-tz have.
owns_nothing_generic!([Z: TimeZone<Offset: Copy>] DateTime<Z>);

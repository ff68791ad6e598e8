//! The span of time that something was measured or spent over.
//!
//! Invariant: a span begins where the payload says, else at the event's own instant.

use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::UtcMs;

use crate::platform::fields::Fields;
use crate::reading::Refusal;

/// The longest span: a leap year.
const SPAN_MS_MAX: i64 = 366 * 86_400_000;
/// How the fields are called.
const FROM: [&str; 3] = ["from", "window_start", "period_start"];
const UNTIL: [&str; 3] = ["until", "window_end", "period_end"];

/// When the span of a payload begins, and how many milliseconds it has; 0 where it is an instant.
pub fn of(fields: &Fields<'_>, at: UtcMs) -> Result<(UtcMs, i64), Refusal> {
    let from = fields.time(&FROM)?.unwrap_or(at);
    if let Some(span_ms) = fields.whole(&["span_ms"], SPAN_MS_MAX)? {
        return Ok((from, span_ms));
    }
    if let Some(span_s) = fields.whole(&["span_s"], SPAN_MS_MAX / 1_000)? {
        return Ok((from, span_s * 1_000));
    }
    let span_ms = fields.time(&UNTIL)?.map_or(0, |until| until.0 - from.0);
    if !(0..=SPAN_MS_MAX).contains(&span_ms) {
        let why = "is before the beginning, or more than 366 days after it";
        return Err(fields.refuse(FaultKind::Time, UNTIL[0], why));
    }
    Ok((from, span_ms))
}

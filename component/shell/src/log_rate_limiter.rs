//! Limits log lines per second that peers can cause.

use core::fmt::{Display, Formatter, Result};

/// Categories of lines; each has its own budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCategory {
    /// Refused peers (too many connections, no PROXY header, a failed TLS handshake), and failed accepts.
    Admission,
    /// Refused opening handshakes and requests.
    Rejection,
    /// Connections that end through a peer's fault.
    Closure,
    /// Lost instances of the engine and the application, and their replacements.
    Instance,
    /// What the application writes to standard output and standard error.
    Output,
    /// The same, during a failing call.
    Failure,
    /// A gateway's backends: that one fails, or closes a connection unusually.
    Backend,
}

/// Suppresses lines of each category beyond its budget per second.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogRateLimiter {
    windows: [Window; 7],
}

/// A line may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPermit {
    /// How many lines of its category were suppressed since the previous one; `None` if none were.
    pub unlogged: Option<u64>,
}

/// The suffix of the line.
impl Display for LogPermit {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.unlogged.map_or(Ok(()), |unlogged| write!(f, " unlogged={unlogged}"))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// When the second began, in milliseconds; `None` before the first line.
    began: Option<u64>,
    logged: u32,
    unlogged: u64,
}

impl LogCategory {
    /// Lines per second. An application's traceback has a few dozen lines, and is useless if truncated.
    fn budget(self) -> u32 {
        match self {
            Self::Admission | Self::Rejection | Self::Closure | Self::Instance | Self::Backend => 10,
            Self::Output | Self::Failure => 100,
        }
    }
}

impl LogRateLimiter {
    /// Whether one more line may be written at `now`, in milliseconds on a monotonic clock.
    pub fn permit(&mut self, category: LogCategory, now: u64) -> Option<LogPermit> {
        let window = self.windows.get_mut(category as usize)?;
        if window.began.is_none_or(|began| now.saturating_sub(began) >= 1000) {
            window.began = Some(now);
            window.logged = 0;
        }
        if window.logged >= category.budget() {
            window.unlogged = window.unlogged.saturating_add(1);
            return None;
        }
        window.logged = window.logged.saturating_add(1);
        let unlogged = core::mem::take(&mut window.unlogged);
        Some(LogPermit { unlogged: (unlogged > 0).then_some(unlogged) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERMIT: Option<LogPermit> = Some(LogPermit { unlogged: None });

    #[test]
    fn lines_per_second_are_limited_and_suppressed_lines_are_reported() {
        let mut limiter = LogRateLimiter::default();
        for _ in 0..10 {
            assert_eq!(limiter.permit(LogCategory::Rejection, 5000), PERMIT);
        }
        for now in [5000, 5500, 5999] {
            assert_eq!(limiter.permit(LogCategory::Rejection, now), None);
        }
        let unlogged = Some(3);
        assert_eq!(limiter.permit(LogCategory::Rejection, 6000), Some(LogPermit { unlogged }));
        assert_eq!(limiter.permit(LogCategory::Rejection, 6000), PERMIT);
    }

    #[test]
    fn categories_have_separate_limits() {
        let mut limiter = LogRateLimiter::default();
        while limiter.permit(LogCategory::Rejection, 0).is_some() {}
        for category in [LogCategory::Admission, LogCategory::Closure, LogCategory::Instance] {
            assert_eq!(limiter.permit(category, 0), PERMIT);
        }
        let lines = std::iter::from_fn(|| limiter.permit(LogCategory::Output, 0)).count();
        assert_eq!(lines, 100);
    }
}

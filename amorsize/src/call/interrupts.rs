//! Causes that end a run before its input: a token, a deadline, a store that fails.

use std::time::{Duration, Instant};

use crate::durable::{Handle, Keeper};
use crate::options::cancel::CancelToken;
use crate::system::sync;

/// The reason for an early end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Cancelled,
    DeadlinePassed,
    /// The run's results can't be kept.
    NotKept,
}

/// The causes that may interrupt a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts {
    /// Those of a pipeline's stages; a single function has one at most.
    tokens: Vec<CancelToken>,
    deadline: Option<Instant>,
    /// The time until the deadline, counted from the run's start.
    timeout: Option<Duration>,
    keeper: Handle,
}

impl Interrupts {
    pub(crate) fn set_token(&mut self, token: CancelToken) {
        self.tokens = vec![token];
    }

    /// Joins the causes of two stages: each of them interrupts both.
    pub(crate) fn join(mut self, next: Self) -> Self {
        self.tokens.extend(next.tokens);
        self.deadline = [self.deadline, next.deadline].into_iter().flatten().min();
        self.timeout = [self.timeout, next.timeout].into_iter().flatten().min();
        self
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        (self.deadline, self.timeout) = (Some(deadline), None);
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        (self.deadline, self.timeout) = (None, Some(timeout));
    }

    /// Ends a run when its results can't be kept.
    #[cfg(feature = "durable")]
    pub(crate) fn set_keeper(&mut self, keeper: Handle) {
        self.keeper = keeper;
    }

    pub(crate) fn keeper(&self) -> &Handle {
        &self.keeper
    }

    /// True if anything can interrupt the run.
    #[inline]
    pub(crate) fn are_possible(&self) -> bool {
        !self.tokens.is_empty() || self.deadline.is_some() || self.timeout.is_some() || self.keeper.get().is_some()
    }

    /// Begins to count the time.
    pub(crate) fn begin(&mut self) {
        if let Some(timeout) = self.timeout.take() {
            // The clock can't show such a late time, so it never comes.
            let ends = sync::now().checked_add(timeout);
            // Stages of a pipeline can have set one of each.
            self.deadline = [self.deadline, ends].into_iter().flatten().min();
        }
    }

    /// The reason why the run must end now, if there is one.
    #[inline]
    pub(crate) fn now(&self) -> Option<Interrupt> {
        if self.tokens.iter().any(CancelToken::is_cancelled) {
            return Some(Interrupt::Cancelled);
        }
        if self.keeper.get().is_some_and(Keeper::has_failed) {
            return Some(Interrupt::NotKept);
        }
        self.deadline.filter(|&deadline| sync::now() >= deadline).map(|_| Interrupt::DeadlinePassed)
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cancels_for_all_its_clones() {
        let mut interrupts = Interrupts::default();
        assert!(!interrupts.are_possible());
        let token = CancelToken::new();
        interrupts.set_token(token.clone());
        assert!(interrupts.are_possible() && interrupts.now().is_none());
        token.cancel();
        assert_eq!(interrupts.clone().now(), Some(Interrupt::Cancelled));
    }

    #[test]
    fn what_is_joined_is_interrupted_by_either() {
        let tokens = [CancelToken::new(), CancelToken::new(), CancelToken::new()];
        let with = |token: &CancelToken| {
            let mut interrupts = Interrupts::default();
            interrupts.set_token(token.clone());
            interrupts
        };
        for token in &tokens {
            let all = with(&tokens[0]).join(with(&tokens[1])).join(Interrupts::default()).join(with(&tokens[2]));
            let before = all.now();
            token.cancel();
            assert_eq!(all.now(), Some(Interrupt::Cancelled));
            // The tokens before it are still cancelled.
            assert_eq!(before.is_some(), !std::ptr::eq(token, &raw const tokens[0]));
            let mut anew = all;
            anew.set_token(CancelToken::new());
            assert_eq!(anew.now(), None);
        }
        let (mut early, mut late) = (Interrupts::default(), Interrupts::default());
        early.set_deadline(Instant::now());
        late.set_timeout(Duration::from_secs(3600));
        for mut joined in [early.clone().join(late.clone()), late.join(early)] {
            joined.begin();
            assert_eq!(joined.now(), Some(Interrupt::DeadlinePassed));
        }
    }

    #[test]
    fn a_timeout_begins_with_the_run() {
        let mut interrupts = Interrupts::default();
        interrupts.set_timeout(Duration::ZERO);
        assert!(interrupts.are_possible() && interrupts.now().is_none());
        interrupts.begin();
        assert_eq!(interrupts.now(), Some(Interrupt::DeadlinePassed));
        interrupts.set_timeout(Duration::MAX);
        interrupts.begin();
        assert_eq!(interrupts.now(), None);
        interrupts.set_deadline(Instant::now());
        assert_eq!(interrupts.now(), Some(Interrupt::DeadlinePassed));
    }
}

//! The memory that an engine grants a task.

use std::time::Duration;

use crate::memory::source::{self, MemorySource, Source};
use crate::units::ByteSize;

/// The memory that the system has, but at most what the task is granted.
#[derive(Debug)]
pub(super) struct TaskMemory {
    /// All memory of the task, including what is resident already.
    granted: ByteSize,
    system: Source,
}

impl TaskMemory {
    pub(super) fn new(granted: ByteSize) -> Self {
        Self { granted, system: source::current() }
    }
}

impl MemorySource for TaskMemory {
    fn available(&self) -> Option<ByteSize> {
        let resident = self.system.resident().unwrap_or(ByteSize::ZERO);
        Some(self.system.available().min(self.granted.saturating_sub(resident)))
    }

    fn resident(&self) -> Option<ByteSize> {
        self.system.resident()
    }

    fn stalled(&self) -> Option<Duration> {
        self.system.stalled()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::with_memory_source;

    struct Machine;

    impl MemorySource for Machine {
        fn available(&self) -> Option<ByteSize> {
            Some(ByteSize::gib(8))
        }

        fn resident(&self) -> Option<ByteSize> {
            Some(ByteSize::mib(20))
        }
    }

    #[test]
    fn a_task_has_what_it_is_granted_less_what_is_resident() {
        with_memory_source(Arc::new(Machine), || {
            assert_eq!(TaskMemory::new(ByteSize::mib(96)).available(), Some(ByteSize::mib(76)));
            assert_eq!(TaskMemory::new(ByteSize::mib(16)).available(), Some(ByteSize::ZERO));
            assert_eq!(TaskMemory::new(ByteSize::gib(64)).available(), Some(ByteSize::gib(8)));
            assert_eq!(TaskMemory::new(ByteSize::gib(64)).resident(), Some(ByteSize::mib(20)));
        });
    }
}

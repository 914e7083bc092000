//! The operating system and the machine, without anything of a run.

pub(crate) mod calls;
pub(crate) mod cores;
pub(crate) mod page_faults;
#[cfg(feature = "durable")]
pub(crate) mod paths;
pub(crate) mod process;
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod recorded;
pub(crate) mod refused;
pub(crate) mod sync;
pub(crate) mod thread_time;

//! A full disk: a limit for the size of files, which applies to the whole process.

/// Lets no file of this process grow beyond `bytes` bytes.
#[expect(unsafe_code, reason = "the standard library has no limits of resources")]
pub(crate) fn limit_files(bytes: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a signal is ignored, which runs no code of ours. The limits are read and written
    // through pointers to a value that lives as long as the calls.
    unsafe {
        assert_ne!(libc::signal(libc::SIGXFSZ, libc::SIG_IGN), libc::SIG_ERR);
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit), 0);
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

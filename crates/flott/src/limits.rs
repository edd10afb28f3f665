//! What the operating system grants the process.

/// Asks for as many open files as may be had: a partitioned sink keeps one open per partition and
/// shard, and the usual soft limit of 1024 is for programs that still use `select`.
pub fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills a structure that is ours; then it reads it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            // If it says no, the old limit stays.
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

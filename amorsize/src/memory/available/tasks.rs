//! The number of threads of a run's own that the process's limits allow on Linux, where a thread is
//! a task.
//!
//! `RLIMIT_AS`, `RLIMIT_DATA` and `RLIMIT_NPROC` come from `/proc/self/limits`, and `pids.max` from
//! every cgroup between the process's own and the root. Runs take at most half of the tasks that
//! each leaves. The program and its neighbours need the other half: a run goes on without a thread
//! that the system refuses, but few programs do.
//!
//! This takes 150 us of processor time on a machine with 20 mounts, so it is done only for
//! functions that wait (`cargo test --release -p amorsize --lib -- --ignored --nocapture
//! how_long_the_limits`).

use std::env;
use std::fs;
use std::path::Path;

use once_cell::race::OnceBox;

use super::machine::{self, ResourceLimits, number, soft, text, word};
use super::{Started, cgroup};
use crate::system::cores;
use crate::units::ByteSize;

/// The address space that glibc reserves for each thread that allocates (an arena),
const ARENA: ByteSize = if cfg!(target_pointer_width = "64") { ByteSize::mib(64) } else { ByteSize::mib(1) };
/// until there are this many for each processor.
const ARENAS_PER_PROCESSOR: usize = if cfg!(target_pointer_width = "64") { 8 } else { 2 };
/// The stack of a thread of the standard library, unless `RUST_MIN_STACK` sets another size.
const STACK: ByteSize = ByteSize::mib(2);
/// `RLIMIT_NPROC` does not bind processes with these capabilities.
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// The threads that may run at a time, over all runs of the process; `enough` if the limits allow
/// more.
pub(crate) fn most_threads(started: Started, enough: usize) -> usize {
    static MAPPED_BEFORE: OnceBox<ByteSize> = OnceBox::new();

    // Found before the first thread starts.
    let mapped = || fs::read_to_string("/proc/self/statm").ok().and_then(|statm| machine::mapped(&statm));
    let mapped_before = *MAPPED_BEFORE.get_or_init(|| Box::new(mapped().unwrap_or(ByteSize::ZERO)));
    let own = Space::of_this_process();
    let space = Space { stack: started.stack.map_or(own.stack, ByteSize::of_usize), mapped_before, ..own };
    most_under(Path::new("/"), &space, started, enough)
}

/// The same from the files under `root`.
fn most_under(root: &Path, space: &Space, started: Started, enough: usize) -> usize {
    let read = |path: &str| text(root, path);
    let limits = read("proc/self/limits").unwrap_or_default();
    let by_space = most_by_space(ResourceLimits::parse(&limits), read("proc/self/statm").as_deref(), space, started);
    let by_cgroups = read("proc/self/cgroup").and_then(|own| {
        let mountinfo = fs::read(root.join("proc/self/mountinfo")).ok();
        cgroup::tasks_left(&own, mountinfo.as_deref().map(String::from_utf8_lossy).as_deref(), root)
    });
    let by_cgroups = by_cgroups.map(|left| half(left, started.now));
    let by_user = soft(&limits, "Max processes").and_then(|limit| {
        // To count a user's tasks, the files of all processes must be read. A single file has the
        // number of all tasks of the system, which is mostly far below the limit by itself.
        let all = read("proc/loadavg").and_then(|loadavg| all_tasks(&loadavg));
        let leaves = |used: u64| half(limit.saturating_sub(used), started.now);
        if all.is_some_and(|all| leaves(all) >= enough) {
            return None;
        }
        let status = read("proc/self/status")?;
        if is_exempt(&status, read("proc/self/uid_map").as_deref()) {
            return None;
        }
        tasks_of(root, user(&status)?).or(all).map(leaves)
    });
    [by_space, by_cgroups, by_user].into_iter().flatten().fold(enough, usize::min)
}

/// Half of the tasks that are left or are runs' threads already.
fn half(left: u64, there: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).saturating_add(there) / 2
}

// ---- address space ----

/// The address space that threads take.
#[derive(Clone, Copy, Debug)]
struct Space {
    stack: ByteSize,
    /// The number of threads for which the allocator reserves an [`ARENA`] each.
    arenas: usize,
    /// The bytes that the process had mapped before it had threads.
    mapped_before: ByteSize,
}

impl Space {
    fn of_this_process() -> Self {
        let variable = |name| env::var(name).ok();
        let stack = variable("RUST_MIN_STACK").and_then(|bytes| bytes.parse().ok()).map_or(STACK, ByteSize::new);
        let processors = cores::online(Path::new("/")).unwrap_or_else(cores::usable);
        let (arena_max, tunables) = (variable("MALLOC_ARENA_MAX"), variable("GLIBC_TUNABLES"));
        let asked = most_arenas(arena_max.as_deref(), tunables.as_deref());
        // The program may have another allocator, but nothing tells, and others reserve memory too.
        let arenas = if cfg!(target_env = "gnu") { asked.unwrap_or(ARENAS_PER_PROCESSOR * processors) } else { 0 };
        Self { stack, arenas, mapped_before: ByteSize::ZERO }
    }

    /// The bytes that a number of threads take.
    #[cfg(test)]
    fn of_threads(&self, threads: usize) -> ByteSize {
        self.stack * threads as u64 + ARENA * threads.min(self.arenas) as u64
    }

    /// The part of `mapped` bytes that belongs to present or former threads. A thread that never
    /// allocates has no arena, but all of them together have no more than the process has grown by.
    fn taken(&self, started: Started, mapped: ByteSize) -> ByteSize {
        let stacks = self.stack * started.now as u64;
        let grown = mapped.saturating_sub(self.mapped_before).saturating_sub(stacks);
        stacks + grown.min(ARENA * started.most.min(self.arenas) as u64)
    }

    /// The number of threads that fit into these bytes.
    fn most_threads(&self, bytes: ByteSize) -> usize {
        let threads = |bytes: ByteSize, each: ByteSize| {
            usize::try_from(bytes.as_u64() / each.as_u64().max(1)).unwrap_or(usize::MAX)
        };
        let with_arenas = threads(bytes, self.stack + ARENA);
        if with_arenas < self.arenas {
            return with_arenas;
        }
        threads(bytes.saturating_sub(ARENA * self.arenas as u64), self.stack)
    }
}

/// The threads that fit into half of the bytes that the limits leave. The bytes of present threads
/// count as left. Only the used part of an arena counts for `RLIMIT_DATA`, which is little.
fn most_by_space(limits: ResourceLimits, statm: Option<&str>, space: &Space, started: Started) -> Option<usize> {
    let mapped = statm.and_then(machine::mapped).unwrap_or(ByteSize::ZERO);
    let most = |left: ByteSize, space: Space| {
        let half = (left + space.taken(started, mapped)).as_u64() / 2;
        space.most_threads(ByteSize::new(half))
    };
    let by_address_space = limits.address_space_left(statm).map(|left| most(left, *space));
    let by_data = limits.data_left(statm).map(|left| most(left, Space { arenas: 0, ..*space }));
    [by_address_space, by_data].into_iter().flatten().min()
}

/// The arenas that a user allows glibc's allocator, by its two variables.
fn most_arenas(arena_max: Option<&str>, tunables: Option<&str>) -> Option<usize> {
    let number = |text: &str| text.trim_ascii().parse().ok().filter(|&arenas| arenas > 0);
    let by_tunables = tunables
        .and_then(|tunables| tunables.split(':').find_map(|one| number(one.strip_prefix("glibc.malloc.arena_max=")?)));
    by_tunables.or_else(|| number(arena_max?))
}

// ---- a user's tasks ----

/// A figure in a file `status`, the first one after its name and colon.
fn figure<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    word(machine::after(status, name)?, 0)
}

/// The user for whom the tasks of a process count.
fn user(status: &str) -> Option<u64> {
    number(figure(status, "Uid:")?)
}

/// True if a user's limit does not bind the process, because it is root or has one of two
/// capabilities. Neither counts within a user namespace, which shows in the map of its users.
fn is_exempt(status: &str, uid_map: Option<&str>) -> bool {
    let is_everyone =
        |map: &str| [0, 1, 2, 3].map(|place| word(map, place)) == [Some("0"), Some("0"), Some("4294967295"), None];
    let capabilities = figure(status, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let is_privileged = user(status) == Some(0) || capabilities & (CAP_SYS_ADMIN | CAP_SYS_RESOURCE) != 0;
    // Kernels without user namespaces have no such file.
    is_privileged && uid_map.is_none_or(is_everyone)
}

/// The tasks of the whole system, from `/proc/loadavg`: `0.20 0.18 0.12 1/80 11206`.
fn all_tasks(loadavg: &str) -> Option<u64> {
    let (_, all) = word(loadavg, 3)?.split_once('/')?;
    // Sandboxes that count no tasks say 0, and this process is one.
    number(all).filter(|&all| all > 0)
}

/// The tasks of a user, as far as this process sees them: not those in other containers. It takes
/// some 15 us for each process.
fn tasks_of(root: &Path, user: u64) -> Option<u64> {
    let processes = fs::read_dir(root.join("proc")).ok()?.flatten();
    let processes = processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    // A process that has ended meanwhile has none.
    let tasks = |status: String| {
        let is_users = self::user(&status) == Some(user);
        if is_users { figure(&status, "Threads:").and_then(number) } else { None }
    };
    let statuses = processes.filter_map(|process| text(&process.path(), "status"));
    Some(statuses.filter_map(tasks).fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::system::calls::madvise::page_size;
    use crate::system::recorded::Recorded;

    const NONE: Started = Started { now: 0, most: 0, stack: None };
    fn started(now: usize, most: usize) -> Started {
        Started { now, most, stack: None }
    }

    /// Two processors.
    const SPACE: Space = Space { stack: STACK, arenas: 16, mapped_before: ByteSize::ZERO };
    const ENOUGH: usize = 256;

    /// A process of a user who is not root, in a system of 400 tasks; `limits` are lines of
    /// `/proc/self/limits`.
    fn machine(limits: &[(&str, &str)], files: &[(&str, &str)]) -> Recorded {
        let machine = Recorded::new();
        let line = |(name, soft): &(&str, &str)| format!("{name:<26}{soft:<21}unlimited            units\n");
        let header = "Limit                     Soft Limit           Hard Limit           Units     \n";
        machine.write("proc/self/limits", &(header.to_owned() + &limits.iter().map(line).collect::<String>()));
        machine.write("proc/self/status", &status(1000, 3, 0));
        machine.write("proc/self/statm", "25600 500 300 10 0 12800 0\n");
        machine.write("proc/self/uid_map", "         0          0 4294967295\n");
        machine.write("proc/loadavg", "0.20 0.18 0.12 1/400 11206\n");
        files.iter().for_each(|(path, text)| machine.write(path, text));
        machine
    }

    fn status(user: u64, threads: u64, capabilities: u64) -> String {
        format!(
            "Name:\tphotos\nTgid:\t7\nUid:\t{user}\t0\t0\t0\nGid:\t5\t5\t5\t5\nThreads:\t{threads}\n\
             CapInh:\t0000000000000000\nCapPrm:\tffffffffffffffff\nCapEff:\t{capabilities:016x}\n"
        )
    }

    fn most(machine: &Recorded, started: Started) -> usize {
        most_under(machine.root(), &SPACE, started, ENOUGH)
    }

    #[test]
    fn without_limits_there_are_enough() {
        assert_eq!(most(&machine(&[], &[]), NONE), ENOUGH);
        let unlimited = [("Max processes", "unlimited"), ("Max address space", "unlimited")];
        assert_eq!(most(&machine(&unlimited, &[]), NONE), ENOUGH);
        assert_eq!(most(&Recorded::new(), NONE), ENOUGH);
    }

    // ---- address space ----

    #[test]
    fn half_of_the_address_space_that_is_left_holds_stacks_and_arenas() {
        let page = page_size().unwrap() as u64;
        // The mapped 25,600 pages leave nothing.
        let limit = |left: u64| (25_600 * page + left).to_string();
        let most_of = |left: u64, started| most(&machine(&[("Max address space", &limit(left))], &[]), started);
        assert_eq!(most_of(2 << 30, NONE), 1024 / 66);
        // All 16 arenas, and stacks.
        assert_eq!(most_of(3 << 30, NONE), (1536 - 16 * 64) / 2);
        assert_eq!(most_of(16 << 30, NONE), ENOUGH);
        assert_eq!((most_of(0, NONE), most_of(100 << 20, NONE)), (0, 0));
    }

    #[test]
    fn threads_that_are_there_make_it_neither_less_nor_more() {
        let limit = ByteSize::gib(4).as_u64();
        // With 2 GiB left, then 15 threads with an arena each, then their arenas alone.
        let most_of = |mapped: ByteSize, started| {
            let limits = ResourceLimits::parse(&format!("Max address space {limit} unlimited bytes"));
            let statm = format!("{} 0 0 0 0 0 0", mapped.as_u64() / page_size().unwrap() as u64);
            let space = Space { mapped_before: ByteSize::gib(2), ..SPACE };
            most_by_space(limits, Some(&statm), &space, started).unwrap()
        };
        assert_eq!(most_of(ByteSize::gib(2), NONE), 15);
        assert_eq!(most_of(ByteSize::gib(2) + ByteSize::mib(66) * 15, started(15, 15)), 15);
        assert_eq!(most_of(ByteSize::gib(2) + ByteSize::mib(64) * 15, started(0, 15)), 15);
        // Threads of another allocator, with no arenas to use again.
        assert_eq!(most_of(ByteSize::gib(2) + ByteSize::mib(2) * 15, started(15, 15)), 15);
        assert_eq!(most_of(ByteSize::gib(2), started(0, 15)), 15);
        // The program has taken half of it meanwhile.
        assert_eq!(most_of(ByteSize::gib(3), NONE), 7);
    }

    #[test]
    fn data_holds_stacks_alone() {
        let page = page_size().unwrap() as u64;
        let limit = (12_800 * page + (100 << 20)).to_string();
        assert_eq!(most(&machine(&[("Max data size", &limit)], &[]), NONE), 25);
    }

    #[test]
    fn arenas_can_be_few() {
        assert_eq!(most_arenas(None, None), None);
        assert_eq!(most_arenas(Some("2"), None), Some(2));
        let tunables = "glibc.malloc.check=0:glibc.malloc.arena_max=3:glibc.malloc.trim_threshold=1";
        assert_eq!(most_arenas(Some("2"), Some(tunables)), Some(3));
        // 0 is the default.
        assert_eq!((most_arenas(Some("0"), None), most_arenas(Some("x"), Some(":"))), (None, None));
        let few = Space { arenas: 1, ..SPACE };
        assert_eq!((few.most_threads(ByteSize::mib(65)), few.most_threads(ByteSize::mib(66))), (0, 1));
        assert_eq!(few.most_threads(ByteSize::mib(74)), 5);
        assert!(Space::of_this_process().stack >= ByteSize::kib(16));
    }

    // ---- tasks ----

    #[test]
    fn half_of_what_the_tightest_cgroup_leaves() {
        const MOUNTINFO: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let tree = machine(
            &[],
            &[
                ("proc/self/mountinfo", MOUNTINFO),
                ("proc/self/cgroup", "0::/a/b/c\n"),
                ("sys/fs/cgroup/a/b/c/pids.max", "max\n"),
                ("sys/fs/cgroup/a/b/c/pids.current", "3\n"),
                ("sys/fs/cgroup/a/b/pids.max", "100\n"),
                ("sys/fs/cgroup/a/b/pids.current", "40\n"),
                ("sys/fs/cgroup/a/pids.max", "1000\n"),
                ("sys/fs/cgroup/a/pids.current", "100\n"),
            ],
        );
        assert_eq!(most(&tree, NONE), 30);
        // Twenty of the tasks are threads of runs.
        assert_eq!(most(&tree, started(20, 20)), 40);
        tree.write("sys/fs/cgroup/a/pids.current", "1200\n");
        assert_eq!(most(&tree, NONE), 0);
    }

    #[test]
    fn v1_has_a_controller_for_it() {
        let tree = machine(
            &[],
            &[
                (
                    "proc/self/mountinfo",
                    "36 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                     37 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
                ),
                ("proc/self/cgroup", "8:pids:/box\n4:memory:/other\n"),
                ("sys/fs/cgroup/pids/box/pids.max", "50\n"),
                ("sys/fs/cgroup/pids/box/pids.current", "10\n"),
                // Another controller.
                ("sys/fs/cgroup/memory/other/pids.max", "1\n"),
            ],
        );
        assert_eq!(most(&tree, NONE), 20);
        // Without mountinfo, the usual place counts.
        fs::remove_file(tree.root().join("proc/self/mountinfo")).unwrap();
        assert_eq!(most(&tree, NONE), 20);
        fs::remove_file(tree.root().join("sys/fs/cgroup/pids/box/pids.current")).unwrap();
        assert_eq!(most(&tree, NONE), 25);
    }

    #[test]
    fn a_users_tasks_are_counted_only_where_the_limit_is_near() {
        let far = machine(&[("Max processes", "96365")], &[]);
        assert_eq!(most(&far, NONE), ENOUGH);
        let (user, other) = (status(1000, 30, 0), status(1001, 500, 0));
        let processes =
            [("proc/7/status", &*user), ("proc/8/status", &*user), ("proc/9/status", &*other), ("proc/bus/x", "")];
        let near = machine(&[("Max processes", "500")], &processes);
        // Half of 440; of all 400 tasks it would be 50.
        assert_eq!(most(&near, NONE), 220);
        assert_eq!(most(&near, started(20, 20)), 230);
        let full = machine(&[("Max processes", "60")], &processes);
        assert_eq!(most(&full, NONE), 0);
    }

    #[test]
    fn root_is_not_bound_by_its_limit_but_in_a_namespace() {
        let root = |status: &str| machine(&[("Max processes", "10")], &[("proc/self/status", status)]);
        assert_eq!(most(&root(&status(0, 3, 0)), NONE), ENOUGH);
        assert_eq!(most(&root(&status(1000, 3, CAP_SYS_RESOURCE)), NONE), ENOUGH);
        assert_eq!(most(&root(&status(1000, 3, CAP_SYS_ADMIN)), NONE), ENOUGH);
        assert_eq!(most(&root(&status(1000, 3, !(CAP_SYS_ADMIN | CAP_SYS_RESOURCE))), NONE), 5);
        let namespace = root(&status(0, 3, u64::MAX));
        namespace.write("proc/self/uid_map", "         0     100000      65536\n");
        assert_eq!(most(&namespace, NONE), 5);
        fs::remove_file(namespace.root().join("proc/self/uid_map")).unwrap();
        assert_eq!(most(&namespace, NONE), ENOUGH);
    }

    #[test]
    fn tasks_of_the_system_are_the_second_of_two() {
        assert_eq!(all_tasks("0.20 0.18 0.12 1/80 11206\n"), Some(80));
        assert_eq!((all_tasks("0.20 0.18 0.12 0/0 1"), all_tasks(""), all_tasks("1 2 3 4")), (None, None, None));
    }

    #[test]
    fn this_process_may_have_some() {
        let own = fs::read_to_string("/proc/self/status").unwrap();
        let met = std::sync::Barrier::new(3);
        let tasks = std::thread::scope(|scope| {
            (0..2).for_each(|_| _ = scope.spawn(|| met.wait()));
            let tasks = tasks_of(Path::new("/"), user(&own).unwrap());
            met.wait();
            tasks
        });
        assert!(tasks >= Some(3), "{tasks:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>(), number: u64) {
            for text in [text.clone(), format!("Uid:\t{text}\nThreads:{number}\nCapEff:{text}"), format!("1 1 1 {text}/{number}")] {
                let _ = (user(&text), figure(&text, "Threads:"), all_tasks(&text), is_exempt(&text, Some(&text)));
                let _ = (most_arenas(Some(&text), Some(&text)), soft(&text, "Max"));
            }
        }

        #[test]
        fn what_threads_take_is_no_more_than_half_and_one_more_would_be(
            left in 0u64..1 << 40,
            stack in 1u64..1 << 26,
            arenas in 0usize..200,
            now in 0usize..300,
            before in 0usize..300,
            pages in 0u64..1 << 24,
        ) {
            let space = Space { stack: ByteSize::new(stack), arenas, mapped_before: ByteSize::ZERO };
            let started = started(now, now + before);
            let limit = ByteSize::new(left) + ByteSize::of_usize(page_size().unwrap()) * pages;
            let limits = ResourceLimits::parse(&format!("Max address space {} unlimited bytes", limit.as_u64()));
            let most = most_by_space(limits, Some(&format!("{pages} 0 0 0 0 0 0")), &space, started).unwrap();
            let half = (left + space.taken(started, limit.saturating_sub(ByteSize::new(left))).as_u64()) / 2;
            prop_assert!(space.of_threads(most).as_u64() <= half);
            prop_assert!(space.of_threads(most + 1).as_u64() > half);
        }

        #[test]
        fn more_is_never_given_than_half_of_what_is_left(limit: u64, used: u64, there in 0usize..1000) {
            let left = limit.saturating_sub(used);
            prop_assert!(half(left, there) as u64 <= left / 2 + there as u64 / 2 + 1);
        }
    }

    #[test]
    #[ignore = "prints times"]
    fn how_long_the_limits_of_threads_take() {
        for _ in 0..3 {
            let begun = Instant::now();
            let most = (0..1000).map(|_| most_threads(NONE, ENOUGH)).min();
            println!("{:?} each, {most:?}", begun.elapsed() / 1000);
        }
        let begun = Instant::now();
        let tasks = tasks_of(Path::new("/"), 0);
        println!("{:?} for {tasks:?} tasks of root", begun.elapsed());
    }
}

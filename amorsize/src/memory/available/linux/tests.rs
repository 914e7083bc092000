//! Systems recorded as trees of files.

use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use super::*;
use crate::system::recorded::Recorded;

/// A machine with memory, and the files of its process.
struct Tree(Recorded);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Recorded::new();
        tree.write("proc/meminfo", "MemTotal: 24000000 kB\nMemFree: 100 kB\nMemAvailable: 20000000 kB\n");
        files.iter().for_each(|(path, text)| tree.write(path, text));
        Self(tree)
    }

    fn write(&self, path: &str, text: &str) {
        self.0.write(path, text);
    }

    fn memory(&self) -> SystemMemory {
        SystemMemory::under(self.0.root())
    }

    fn available(&self) -> ByteSize {
        self.memory().available().unwrap()
    }
}

const MACHINE: ByteSize = ByteSize::kib(20_000_000);

const V2: (&str, &str) = (
    "proc/self/mountinfo",
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
     30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
);

/// The layout of systemd's "hybrid": controllers in v1, and a v2 without any beside them.
const HYBRID: (&str, &str) = (
    "proc/self/mountinfo",
    "31 23 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755\n\
     32 31 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n\
     33 31 0:28 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd\n\
     35 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:15 - cgroup cgroup rw,cpu,cpuacct\n\
     36 31 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:16 - cgroup cgroup rw,memory\n",
);

const UNLIMITED_V1: &str = "9223372036854771712\n";

#[test]
fn without_limits_it_is_the_machines() {
    assert_eq!(Tree::new(&[V2, ("proc/self/cgroup", "0::/\n")]).available(), MACHINE);
    assert_eq!(Tree::new(&[]).available(), MACHINE);
    let none = Tree::new(&[]);
    fs::remove_file(none.0.root().join("proc/meminfo")).unwrap();
    assert_eq!(none.memory().available(), None);
    assert_eq!(none.memory().stalled(), None);
}

// ---- v2 ----

#[test]
fn v2_takes_the_tightest_ancestor_and_its_cache_into_account() {
    let tree = Tree::new(&[
        V2,
        ("proc/self/cgroup", "0::/a/b/c\n"),
        ("sys/fs/cgroup/a/b/c/memory.max", "max\n"),
        ("sys/fs/cgroup/a/b/c/memory.high", "max\n"),
        ("sys/fs/cgroup/a/b/c/memory.current", "20000000\n"),
        ("sys/fs/cgroup/a/b/memory.max", "1073741824\n"),
        ("sys/fs/cgroup/a/b/memory.high", "max\n"),
        ("sys/fs/cgroup/a/b/memory.current", "649068544\n"),
        ("sys/fs/cgroup/a/b/memory.stat", "anon 19922944\nfile 629145600\ninactive_file 629145600\nactive_file 0\n"),
        // A larger limit that others have mostly used up binds as well.
        ("sys/fs/cgroup/a/memory.max", "4294967296\n"),
        ("sys/fs/cgroup/a/memory.current", "4000000000\n"),
        ("sys/fs/cgroup/a/memory.stat", "anon 4000000000\ninactive_file 0\nactive_file 0\n"),
    ]);
    assert_eq!(tree.available(), 4_294_967_296 - 4_000_000_000);
    tree.write("sys/fs/cgroup/a/memory.max", "max\n");
    assert_eq!(tree.available(), 1_073_741_824 - 649_068_544 + 629_145_600);
}

#[test]
fn v2_high_counts_like_max() {
    let tree = Tree::new(&[
        V2,
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/memory.max", "2000\n"),
        ("sys/fs/cgroup/a/memory.high", "1500\n"),
        ("sys/fs/cgroup/a/memory.current", "400\n"),
    ]);
    assert_eq!(tree.available(), 1100);
    tree.write("sys/fs/cgroup/a/memory.max", "max\n");
    assert_eq!(tree.available(), 1100);
    tree.write("sys/fs/cgroup/a/memory.high", "max\n");
    assert_eq!(tree.available(), MACHINE);
}

#[test]
fn unreadable_levels_are_passed_over_and_those_above_them_count() {
    let tree = Tree::new(&[
        V2,
        ("proc/self/cgroup", "0::/top/folder/number/locked/missing/own\n"),
        ("sys/fs/cgroup/top/memory.max", "7000\n"),
        ("sys/fs/cgroup/top/memory.current", "1000\n"),
        ("sys/fs/cgroup/top/folder/memory.max/not-a-file", ""),
        ("sys/fs/cgroup/top/folder/number/memory.max", "a lot\n"),
        ("sys/fs/cgroup/top/folder/number/locked/memory.max", "5000\n"),
    ]);
    let locked = tree.0.root().join("sys/fs/cgroup/top/folder/number/locked");
    let set_mode = |mode| fs::set_permissions(&locked, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o000);
    // Permissions don't bind the superuser.
    let expected = if fs::read(locked.join("memory.max")).is_ok() { 5000 } else { 7000 - 1000 };
    let available = tree.available();
    set_mode(0o700);
    assert_eq!(available, expected);
}

#[test]
fn a_limit_without_a_readable_usage_still_binds() {
    let tree = Tree::new(&[V2, ("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "5000\n")]);
    assert_eq!(tree.available(), 5000);
}

// ---- v1 ----

#[test]
fn v1_takes_the_tightest_ancestor() {
    let tree = Tree::new(&[
        HYBRID,
        ("proc/self/cgroup", "9:cpu,cpuacct:/x\n5:memory:/x/y\n1:name=systemd:/x\n"),
        ("sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", UNLIMITED_V1),
        ("sys/fs/cgroup/memory/x/y/memory.use_hierarchy", "1\n"),
        ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "5000\n"),
        ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "3000\n"),
        ("sys/fs/cgroup/memory/x/memory.stat", "cache 2500\ninactive_file 1\ntotal_inactive_file 1000\n"),
        ("sys/fs/cgroup/memory/x/memory.use_hierarchy", "1\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", UNLIMITED_V1),
        ("sys/fs/cgroup/memory/memory.use_hierarchy", "0\n"),
    ]);
    assert_eq!(tree.available(), 3000);
    tree.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", UNLIMITED_V1);
    assert_eq!(tree.available(), MACHINE);
}

#[test]
fn v1_ancestors_that_leave_their_descendants_out_do_not_bind() {
    let tree = Tree::new(&[
        HYBRID,
        ("proc/self/cgroup", "5:memory:/x/y\n"),
        ("sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9000\n"),
        ("sys/fs/cgroup/memory/x/y/memory.usage_in_bytes", "3000\n"),
        ("sys/fs/cgroup/memory/x/y/memory.use_hierarchy", "0\n"),
        ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "5000\n"),
        ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "4000\n"),
        ("sys/fs/cgroup/memory/x/memory.use_hierarchy", "0\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", UNLIMITED_V1),
        ("sys/fs/cgroup/memory/memory.use_hierarchy", "0\n"),
    ]);
    assert_eq!(tree.available(), 6000);
}

#[test]
fn in_a_hybrid_both_versions_count() {
    let tree = Tree::new(&[
        HYBRID,
        ("proc/self/cgroup", "12:memory:/m\n3:cpu,cpuacct:/\n1:name=systemd:/u\n0::/u\n"),
        ("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "5000\n"),
        ("sys/fs/cgroup/memory/m/memory.usage_in_bytes", "1000\n"),
        ("sys/fs/cgroup/unified/u/cgroup.procs", "1\n"),
    ]);
    assert_eq!(tree.available(), 4000);
    tree.write("sys/fs/cgroup/unified/u/memory.max", "3000\n");
    assert_eq!(tree.available(), 3000);
}

// ---- containers ----

#[test]
fn a_namespace_makes_the_own_cgroup_the_root() {
    let tree = Tree::new(&[
        V2,
        ("proc/self/cgroup", "0::/\n"),
        ("sys/fs/cgroup/memory.max", "5000\n"),
        ("sys/fs/cgroup/memory.current", "2000\n"),
    ]);
    assert_eq!(tree.available(), 3000);
    // Moved out of its namespace.
    tree.write("proc/self/cgroup", "0::/../neighbour\n");
    assert_eq!(tree.available(), 3000);
}

#[test]
fn a_bind_mount_shows_the_own_cgroup_under_the_hosts_path() {
    let tree = Tree::new(&[
        (
            "proc/self/mountinfo",
            "100 90 0:50 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             101 100 0:31 /docker/0123 /sys/fs/cgroup/memory ro,nosuid master:16 - cgroup cgroup rw,memory\n",
        ),
        ("proc/self/cgroup", "5:memory:/docker/0123/sub\n"),
        ("sys/fs/cgroup/memory/sub/memory.limit_in_bytes", "4000\n"),
        ("sys/fs/cgroup/memory/sub/memory.usage_in_bytes", "100\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "2000\n"),
    ]);
    assert_eq!(tree.available(), 3000);
    tree.write("proc/self/cgroup", "5:memory:/docker/0123\n");
    assert_eq!(tree.available(), 3000);
}

#[test]
fn without_mountinfo_the_usual_places_are_tried() {
    // The path is the host's, and only the container's cgroup is mounted.
    let tree = Tree::new(&[
        ("proc/self/cgroup", "5:memory:/docker/0123\n0::/docker/0123\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "6000\n"),
    ]);
    assert_eq!(tree.available(), 0);
    let unified = Tree::new(&[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/unified/a/memory.max", "5000\n")]);
    assert_eq!(unified.available(), 5000);
    let v2 = Tree::new(&[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "5000\n")]);
    assert_eq!(v2.available(), 5000);
}

#[test]
fn hierarchies_are_found_wherever_they_are_mounted() {
    let tree = Tree::new(&[
        (
            "proc/self/mountinfo",
            "41 31 0:38 / /run/my\\040groups rw,relatime shared:3 master:4 propagate_from:2 - cgroup2 none rw\n",
        ),
        ("proc/self/cgroup", "0::/a\n"),
        ("run/my groups/a/memory.max", "5000\n"),
        // Not mounted there.
        ("sys/fs/cgroup/a/memory.max", "1000\n"),
    ]);
    assert_eq!(tree.available(), 5000);
}

// ---- the rest ----

#[test]
fn resource_limits_count() {
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                  Max data size             unlimited            unlimited            bytes     \n\
                  Max address space         1073741824           unlimited            bytes     \n";
    let tree = Tree::new(&[("proc/self/limits", limits), ("proc/self/statm", "1 1 1 1 0 1 0\n")]);
    let left = tree.available();
    assert!(left < ByteSize::gib(1) && left > ByteSize::mib(1023), "{left}");
    // Read again, because a process can change its limits.
    let mut memory = tree.memory();
    assert_eq!(memory.available(), Some(left));
    tree.write("proc/self/limits", "Max address space unlimited unlimited bytes\n");
    assert_eq!(memory.available(), Some(MACHINE));
}

#[test]
fn figures_are_read_again_and_cgroups_found_again() {
    let tree = Tree::new(&[
        V2,
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/memory.max", "5000\n"),
        ("sys/fs/cgroup/a/memory.current", "1000\n"),
        ("sys/fs/cgroup/b/memory.max", "max\n"),
    ]);
    let mut memory = tree.memory();
    assert_eq!(memory.available().unwrap(), 4000);
    tree.write("sys/fs/cgroup/a/memory.current", "4500\n");
    assert_eq!(memory.available().unwrap(), 500);
    tree.write("proc/self/cgroup", "0::/b\n");
    assert_eq!(memory.available(), Some(MACHINE));
    tree.write("sys/fs/cgroup/b/memory.max", "3000\n");
    assert_eq!(memory.available().unwrap(), 3000);
    tree.write("proc/meminfo", "MemAvailable: 2 kB\n");
    assert_eq!(memory.available().unwrap(), 2048);
}

#[test]
fn pressure_is_that_of_the_own_cgroup_or_else_the_machines() {
    let pressure = |micros| format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={micros}\nfull avg10=0.00 total=1\n");
    let tree = Tree::new(&[HYBRID, ("proc/self/cgroup", "5:memory:/m\n0::/u\n")]);
    assert_eq!(tree.memory().stalled(), None);
    tree.write("proc/pressure/memory", &pressure(7000));
    assert_eq!(tree.memory().stalled(), Some(Duration::from_millis(7)));
    tree.write("sys/fs/cgroup/unified/u/memory.pressure", &pressure(3000));
    let mut memory = tree.memory();
    assert_eq!(memory.stalled(), Some(Duration::from_millis(3)));
    tree.write("sys/fs/cgroup/unified/u/memory.pressure", &pressure(4000));
    assert_eq!(memory.stalled(), Some(Duration::from_millis(4)));
}

proptest! {
    // Each case makes a tree of files.
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_more_is_available_than_any_level_leaves(levels in prop::collection::vec((0u64..1 << 40, any::<u64>(), any::<u64>()), 1..5)) {
        let tree = Tree::new(&[V2]);
        let (mut path, mut least) = (String::new(), MACHINE);
        for (at, (limit, usage, cache)) in levels.iter().enumerate() {
            path += &format!("/{at}");
            tree.write(&format!("sys/fs/cgroup{path}/memory.max"), &format!("{limit}\n"));
            tree.write(&format!("sys/fs/cgroup{path}/memory.current"), &format!("{usage}\n"));
            tree.write(&format!("sys/fs/cgroup{path}/memory.stat"), &format!("inactive_file {cache}\n"));
            least = least.min(ByteSize::new(*limit));
        }
        tree.write("proc/self/cgroup", &format!("0::{path}\n"));
        prop_assert!(tree.available() <= least);
    }
}

/// Prints how long this machine's figures take: `cargo test --release -p amorsize --lib --
/// --ignored --nocapture how_long`.
#[test]
#[ignore = "a measurement"]
fn how_long_it_takes_to_read() {
    fn median<T>(name: &str, mut read: impl FnMut() -> T) {
        let mut times: Vec<_> = (0..1001)
            .map(|_| {
                let begun = Instant::now();
                let kept = std::hint::black_box(read());
                let elapsed = begun.elapsed();
                // A file that the first read opens is closed again off the clock.
                drop(kept);
                elapsed
            })
            .collect();
        times.sort();
        println!("{name:<30} {:?}", times[times.len() / 2]);
    }
    let first = || {
        let mut memory = SystemMemory::under(Path::new("/"));
        assert!(memory.available().is_some());
        memory
    };
    let mut memory = first();
    median("available, first time", first);
    median("available, again", || memory.available());
    median("stalled, again", || memory.stalled());
    median("resident, again", resident);
    median("mountinfo", || fs::read("/proc/self/mountinfo").unwrap());
    median("meminfo, again", || memory.meminfo.bytes(&mut memory.buffer).is_some());
    median("limits, again", || memory.limits.bytes(&mut memory.buffer).is_some());
    median("own cgroup, again", || memory.own.bytes(&mut memory.buffer).is_some());
    median("cgroups, again", || memory.cgroups.available(&mut memory.buffer));
}

//! The memory and the tasks that the cgroups of the process leave, v1 and v2, from its own up to
//! the root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kept_file::{Buffer, KeptFile};
use super::machine::{self, number};
use crate::units::ByteSize;

/// A limit of this many bytes or more is no limit: v1 writes the largest whole number of pages in
/// 63 bits for "no limit", and no machine has a tenth of this.
const NO_LIMIT: u64 = 1 << 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The cgroups that bind the process.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    levels: Vec<Level>,
    /// The time for which tasks of the process's own cgroup waited for memory; only v2 tells it.
    pressure: Option<KeptFile>,
}

impl Cgroups {
    /// Finds the cgroups of a process from its `/proc/self/cgroup`, on a system with files under
    /// `root`. If both versions are mounted ("hybrid"), both count.
    pub(super) fn find(own: &str, mountinfo: Option<&str>, root: &Path) -> Self {
        let mut found = Self::default();
        for folder in folders("memory", own, mountinfo, root) {
            found.levels.push(Level::new(&folder));
            if folder.is_own && folder.version == Version::V2 {
                found.pressure = Some(KeptFile::new(folder.path.join("memory.pressure")));
            }
        }
        found
    }

    /// The bytes that the tightest of them leaves, or `None` if none has a limit.
    pub(super) fn available(&mut self, buffer: &mut Buffer) -> Option<ByteSize> {
        self.levels.iter_mut().filter_map(|level| level.left(buffer)).min()
    }

    pub(super) fn stalled(&mut self, buffer: &mut Buffer) -> Option<Duration> {
        machine::stalled(self.pressure.as_mut()?.text(buffer)?)
    }
}

/// One cgroup. It skips files that don't exist or can't be read.
#[derive(Debug)]
struct Level {
    version: Version,
    limit: KeptFile,
    /// A second limit, of v2.
    high: Option<KeptFile>,
    usage: KeptFile,
    stat: KeptFile,
    /// True if a v1 cgroup binds those below it.
    hierarchy: Option<KeptFile>,
}

impl Level {
    fn new(folder: &Folder) -> Self {
        let file = |name: &str| KeptFile::new(folder.path.join(name));
        let (limit, high, usage) = match folder.version {
            Version::V1 => ("memory.limit_in_bytes", None, "memory.usage_in_bytes"),
            // Above `memory.high` the kernel does not kill a process but slows it until it hardly
            // moves, which is no better.
            Version::V2 => ("memory.max", Some(file("memory.high")), "memory.current"),
        };
        let (limit, usage, stat) = (file(limit), file(usage), file("memory.stat"));
        let may_bind = folder.version == Version::V1 && !folder.is_own;
        let hierarchy = if may_bind { Some(file("memory.use_hierarchy")) } else { None };
        Self { version: folder.version, limit, high, usage, stat, hierarchy }
    }

    fn left(&mut self, buffer: &mut Buffer) -> Option<ByteSize> {
        // Read each time, because a limit can be set while the process runs.
        let most = self.limit.text(buffer).and_then(limit);
        let high = self.high.as_mut().and_then(|file| limit(file.text(buffer)?));
        let limit = most.map_or(high, |most| Some(most.min(high.unwrap_or(most))))?;
        // Before Linux 5.11 the usage of a v1 cgroup may leave out the cgroups below it, which it
        // does not bind then.
        if self.hierarchy.as_mut().and_then(|file| number(file.text(buffer)?)) == Some(0) {
            return None;
        }
        let usage = self.usage.text(buffer).and_then(number).unwrap_or(0);
        let reclaimable = self.stat.text(buffer).map_or(0, |stat| reclaimable(self.version, stat));
        Some(left(limit, usage, reclaimable))
    }
}

/// The bytes that a limit leaves beside memory that is in use and can't be dropped.
fn left(limit: u64, usage: u64, reclaimable: u64) -> ByteSize {
    ByteSize::new(limit.saturating_sub(usage.saturating_sub(reclaimable)))
}

/// A limit, or `None` for no limit; v2 writes "max" for that, which is no number.
fn limit(text: &str) -> Option<u64> {
    number(text).filter(|&limit| limit < NO_LIMIT)
}

/// The page cache that counts as usage, but is dropped when a program needs the memory.
///
/// The kernel drops inactive pages first, so all of them count. It moves some active pages to the
/// inactive list as that shrinks, and programs work with the rest. So half of the active ones
/// count, as they do at least in the kernel's own `MemAvailable`. If none counted, a cgroup that
/// read its files twice would seem full for good.
///
/// Files in tmpfs and shared memory can't be dropped, so they are in neither list.
/// `slab_reclaimable` does not count: v1 does not tell it, and the kernel gets it back slowly and
/// in part.
fn reclaimable(version: Version, stat: &str) -> u64 {
    let (inactive, active) = match version {
        // These figures include the cgroups below this one, as its usage does.
        Version::V1 => ("total_inactive_file ", "total_active_file "),
        Version::V2 => ("inactive_file ", "active_file "),
    };
    let bytes = |name: &str| machine::after(stat, name).and_then(number).unwrap_or_default();
    bytes(inactive).saturating_add(bytes(active) / 2)
}

/// The number of tasks, which are threads, that the tightest cgroup of the process leaves, or
/// `None` if none has a limit. `own` is the process's `/proc/self/cgroup`.
pub(super) fn tasks_left(own: &str, mountinfo: Option<&str>, root: &Path) -> Option<u64> {
    let left = |folder: Folder| {
        let read = |name: &str| machine::text(&folder.path, name);
        // "max" is no number.
        let limit = number(&read("pids.max")?)?;
        Some(limit.saturating_sub(read("pids.current").as_deref().and_then(number).unwrap_or(0)))
    };
    folders("pids", own, mountinfo, root).into_iter().filter_map(left).min()
}

// ---- where the files are ----

/// The folder of a cgroup.
struct Folder {
    version: Version,
    path: PathBuf,
    /// True for the process's own cgroup, the lowest in its hierarchy.
    is_own: bool,
}

/// The folders of the process's cgroups, in each hierarchy that may have a controller its own first
/// and the root last. The files of the system are under `root`.
fn folders(controller: &str, own: &str, mountinfo: Option<&str>, root: &Path) -> Vec<Folder> {
    let mounts = mountinfo.map_or_else(|| usual_mounts(controller, root), |mountinfo| mounts(controller, mountinfo));
    let mut folders = Vec::new();
    for (version, path) in memberships(controller, own) {
        let Some((own, mount)) = place(version, path, &mounts) else { continue };
        let (own, mount) = (under(root, &own), under(root, mount));
        let mut is_own = true;
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&mount)) {
            // A container may see the host's path, and find its own cgroup or one above it at the
            // host's root.
            if !is_own || folder.is_dir() {
                folders.push(Folder { version, path: folder.to_owned(), is_own });
                is_own = false;
            }
        }
    }
    folders
}

/// The hierarchies in `/proc/self/cgroup` that may have a controller, and the process's path in
/// each.
fn memberships<'o>(controller: &str, own: &'o str) -> impl Iterator<Item = (Version, &'o str)> {
    own.lines().filter_map(move |line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let version = if controllers.is_empty() {
            Version::V2
        } else {
            // A controller of v1 is mounted alone or with others.
            controllers.split(',').find(|&name| name == controller)?;
            Version::V1
        };
        Some((version, path))
    })
}

/// A hierarchy, or a part of one, in the file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The cgroup that `point` shows.
    root: String,
    point: PathBuf,
}

/// The mounts of hierarchies that may have a controller, from `/proc/self/mountinfo`.
fn mounts(controller: &str, mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(|line| mount(controller, line)).collect()
}

/// One line: `35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`,
/// with any number of fields before the dash.
fn mount(controller: &str, line: &str) -> Option<Mount> {
    let mut fields = line.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    fields.find(|&field| field == "-")?;
    let version = match fields.next()? {
        "cgroup2" => Version::V2,
        "cgroup" => {
            let options = fields.nth(1)?;
            options.split(',').find(|&option| option == controller)?;
            Version::V1
        }
        _ => return None,
    };
    Some(Mount { version, root: unescaped(root), point: unescaped(point).into() })
}

/// The mounts of hierarchies on nearly every system, for a process that may not read its mounts.
fn usual_mounts(controller: &str, root: &Path) -> Vec<Mount> {
    let mount = |version, point: &str| Mount { version, root: "/".into(), point: point.into() };
    let mut mounts = vec![
        mount(Version::V1, &format!("/sys/fs/cgroup/{controller}")),
        mount(Version::V2, "/sys/fs/cgroup"),
        // Beside v1.
        mount(Version::V2, "/sys/fs/cgroup/unified"),
    ];
    mounts.retain(|mount| under(root, &mount.point).is_dir());
    mounts
}

/// The folder of the cgroup `path`, and the mount that holds it.
///
/// A container may see its cgroup, or one above it, as the root of the mount: with a bind mount the
/// path is the host's, with a cgroup namespace it is within the namespace. If the mount does not
/// hold the path, the mount itself counts: in a container it is the container's own cgroup or one
/// above it.
fn place<'m>(version: Version, path: &str, mounts: &'m [Mount]) -> Option<(PathBuf, &'m Path)> {
    // Last first: a later mount hides an earlier one at the same place.
    let mut mounts = mounts.iter().rev().filter(|mount| mount.version == version);
    let within = |mount: &Mount| -> Option<PathBuf> {
        let below = path.strip_prefix(mount.root.trim_end_matches('/'))?;
        let names = below.strip_prefix('/').or(below.is_empty().then_some(""))?;
        (!names.split('/').any(|name| name == "..")).then(|| mount.point.join(names))
    };
    // The mount that shows most ancestors.
    let holding = mounts.clone().filter_map(|mount| Some((within(mount)?, mount)));
    match holding.min_by_key(|(_, mount)| mount.root.len()) {
        Some((own, mount)) => Some((own, &mount.point)),
        None => mounts.next().map(|mount| (mount.point.clone(), &*mount.point)),
    }
}

/// Decodes a space, tab, line feed or backslash, which mountinfo writes as `\` and three octal
/// digits.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match code {
            Some(code) => {
                text.push(code.into());
                text.push_str(&part[3..]);
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

fn under(root: &Path, absolute: &Path) -> PathBuf {
    root.join(absolute.strip_prefix("/").unwrap_or(absolute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_memory_controller_may_share_its_hierarchy() {
        let own = "12:cpuset:/c\n9:cpu,cpuacct:/x\n5:hugetlb,memory:/x/y:z\n1:name=memory:/n\n0::/user.slice/a b\n";
        let found: Vec<_> = memberships("memory", own).collect();
        assert_eq!(found, [(Version::V1, "/x/y:z"), (Version::V2, "/user.slice/a b")]);
        let found: Vec<_> = memberships("cpu", own).collect();
        assert_eq!(found, [(Version::V1, "/x"), (Version::V2, "/user.slice/a b")]);
    }

    #[test]
    fn mounts_are_found_whatever_fields_they_have() {
        let mountinfo = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            31 22 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n\
            35 31 0:32 /docker/01 /a\\040b/me\\134m rw,relatime shared:9 master:2 - cgroup cgroup rw,hugetlb,memory\n\
            36 31 0:33 / /not rw - cgroup cgroup rw,name=memory\n\
            41 31 0:38 /.. /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
        let mount = |version, root: &str, point: &str| Mount { version, root: root.into(), point: point.into() };
        assert_eq!(
            mounts("memory", mountinfo),
            [mount(Version::V1, "/docker/01", "/a b/me\\m"), mount(Version::V2, "/..", "/sys/fs/cgroup/unified"),]
        );
    }

    /// The folder of `path`, given mounts of v2 by their root and their place.
    fn placed(path: &str, mounts: &[(&str, &str)]) -> (PathBuf, PathBuf) {
        let mounts: Vec<_> = mounts
            .iter()
            .map(|&(root, point)| Mount { version: Version::V2, root: root.into(), point: point.into() })
            .collect();
        let (own, mount) = place(Version::V2, path, &mounts).unwrap();
        (own, mount.to_owned())
    }

    #[test]
    fn a_path_is_looked_for_below_the_root_of_its_mount() {
        for (path, root, own) in [
            ("/", "/", "/m"),
            ("/a/b", "/", "/m/a/b"),
            ("/docker/01", "/docker/01", "/m"),
            ("/docker/01/sub", "/docker/01", "/m/sub"),
            // Another cgroup with a name that begins alike.
            ("/docker/012", "/docker/01", "/m"),
            // Moved out of its namespace.
            ("/../..", "/", "/m"),
            ("/../other", "/", "/m"),
            // The mount is outside of the namespace, which can't tell its name.
            ("/", "/../..", "/m"),
            ("/../a", "/..", "/m/a"),
        ] {
            assert_eq!(placed(path, &[(root, "/m")]), (own.into(), "/m".into()), "{path} in {root}");
        }
    }

    #[test]
    fn of_several_mounts_it_is_the_one_that_shows_most_ancestors() {
        // A foreign cgroup is mounted too.
        let mounts =
            [("/a/b", "/narrow"), ("/other", "/other"), ("/a", "/wide"), ("/a", "/wide-again"), ("/z", "/last")];
        assert_eq!(placed("/a/b/c", &mounts), ("/wide-again/b/c".into(), "/wide-again".into()));
        assert_eq!(placed("/elsewhere", &mounts), ("/last".into(), "/last".into()));
    }

    #[test]
    fn page_cache_is_reclaimable_and_shared_memory_is_not() {
        let v2 = "anon 1\nfile 1000\nshmem 700\ninactive_anon 700\nactive_file 100\ninactive_file 200\nslab_reclaimable 50\n";
        assert_eq!(reclaimable(Version::V2, v2), 250);
        let v1 = "cache 1000\ninactive_file 5\nactive_file 7\ntotal_inactive_file 200\ntotal_active_file 100\n";
        assert_eq!(reclaimable(Version::V1, v1), 250);
        assert_eq!(reclaimable(Version::V2, "inactive_file many\n"), 0);
    }

    #[test]
    fn what_is_no_limit() {
        assert_eq!(limit("max\n"), None);
        // With pages of 4 KiB and of 64 KiB.
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("9223372036854710272\n"), None);
        assert_eq!(limit("0\n"), Some(0));
        assert_eq!(limit("1073741824\n"), Some(1 << 30));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>(), field in "[\\\\0-9a-z/. é]{0,20}") {
            let _ = (limit(&text), reclaimable(Version::V1, &text), reclaimable(Version::V2, &text));
            let line = format!("35 31 0:32 {field} {field} rw {text} - cgroup cgroup rw,memory");
            let version2 = format!("1 1 0:1 /{field} /{text} - cgroup2 {text} {field}");
            let found = mounts("memory", &format!("{text}\n{line}\n{version2}\n"));
            for (version, path) in memberships("memory", &format!("{text}\n0::{field}\n1:memory:/{field}\n")) {
                let _ = place(version, path, &found);
            }
        }

        #[test]
        fn no_cgroup_leaves_more_than_its_limit(bytes: u64, usage: u64, stat in any::<[u64; 2]>()) {
            let stat = format!("active_file {}\ninactive_file {}\n", stat[0], stat[1]);
            prop_assert!(left(bytes, usage, reclaimable(Version::V2, &stat)) <= ByteSize::new(bytes));
        }

        #[test]
        fn unescaping_undoes_what_the_kernel_escapes(name in "[a-z \t\n\\\\/]{0,20}") {
            let escape = |c: char| if " \t\n\\".contains(c) { format!("\\{:03o}", c as u32) } else { c.to_string() };
            let escaped: String = name.chars().map(escape).collect();
            prop_assert_eq!(unescaped(&escaped), name);
        }
    }
}

//! The instructions and allocations of the core's hot paths, counted by callgrind and compared with
//! `instructions.txt` beside this file: a regression guard that a busy machine does not disturb.
//!
//! Each path is a fresh process. It counts one call of [`counted`], after three calls of the same
//! path, so that nothing is touched for the first time. This program has its own clock, so that a
//! run takes the same way each time: the clock moves only by what a path's function adds to it, and
//! by the nanoseconds that reading a clock takes.
//!
//! `cargo bench --bench instructions` compares, `-- --write` writes the file anew, `-- PATH ..`
//! takes some paths, each by its name or the beginning of it. The profile of each path is kept:
//! `callgrind_annotate target/tmp/instructions/NAME.out`.
//!
//! Without valgrind, or with another compiler than the one in the file, only allocations are
//! compared.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{OnceLock, mpsc};

use amorsize::{ByteSize, DeepSize, Tracking, batched, with_memory_source};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// The tolerance in percent for a path that is new in the file. Most paths give the same count to
/// the last instruction. But the C library copies memory in different ways on different processors,
/// and the state of its allocator adds some hundred instructions to a path with many allocations.
const TOLERANCE: f64 = 3.0;

// ---- a clock that stands still ----

/// The time in nanoseconds.
static CLOCK: AtomicU64 = AtomicU64::new(1_000_000_000_000);
/// Nanoseconds that reading a clock takes, roughly.
const READING: u64 = 25;

/// Replaces the C library's function, in this program alone.
#[expect(unsafe_code, reason = "the standard library finds its clock by this name")]
// SAFETY: it is the only definition of this name in this program, with the C library's signature
// and contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(_clock: i32, time: *mut [i64; 2]) -> i32 {
    let now = CLOCK.fetch_add(READING, Relaxed) + READING;
    // SAFETY: the caller passes room for a `timespec`: two numbers of 64 bits on the systems that
    // this is compiled for.
    unsafe { time.write([(now / 1_000_000_000) as i64, (now % 1_000_000_000) as i64]) };
    0
}

/// Lets a call take that many nanoseconds.
fn take(nanoseconds: u64) {
    CLOCK.fetch_add(nanoseconds, Relaxed);
}

// ---- an allocator that counts ----

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the same.
        unsafe { System.dealloc(place, layout) };
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the same.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Always returns the same place, so that only what `Tracking` adds is counted.
struct OnePlace;

static PLACE: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: it serves `tracking` below alone, which touches no memory that it is given.
unsafe impl GlobalAlloc for OnePlace {
    unsafe fn alloc(&self, _layout: Layout) -> *mut u8 {
        PLACE.as_ptr().cast()
    }

    unsafe fn dealloc(&self, _place: *mut u8, _layout: Layout) {}
}

static TRACKING: Tracking<OnePlace> = Tracking::new(OnePlace);

/// Allocates 64 bytes by way of `Tracking` and frees them, `times` times.
fn tracking(times: usize) {
    let layout = Layout::new::<[u8; 64]>();
    for _ in 0..times {
        // SAFETY: the size is not zero, and the place was allocated with this layout.
        #[expect(unsafe_code, reason = "an allocator can't be used without")]
        unsafe {
            TRACKING.dealloc(black_box(TRACKING.alloc(layout)), layout);
        }
    }
}

// ---- the paths ----

#[batched]
fn trivial(x: u64) -> u64 {
    x.wrapping_mul(3) ^ 7
}

#[batched]
fn of_10_ns(x: u64) -> u64 {
    take(10);
    x.wrapping_mul(3) ^ 7
}

#[batched]
fn of_200_us(x: u64) -> u64 {
    take(200_000);
    x.wrapping_mul(3) ^ 7
}

/// Its results own nothing, but the run has to ask them.
#[batched]
fn text_of_10_ns(_: u64) -> String {
    take(10);
    String::new()
}

/// A path to count. The count is divided by `times`, the number of its `unit`s.
struct Counted {
    name: &'static str,
    times: usize,
    unit: &'static str,
    run: fn(),
}

/// With this many items the cost of the run itself and of its first decisions is less than a
/// hundredth of the items' cost, for most paths.
const MANY: usize = 100_000;
/// This many calls of 10 ns make several chunks and batches.
const MILLION: usize = 1_000_000;
/// With this many batches the cost of the run itself is small beside theirs.
const BATCHES: usize = 1000;

const PATHS: &[Counted] = &[
    Counted {
        name: "loop-1000",
        times: 1,
        unit: "loop over 1,000 trivial items",
        run: || collected(black_box(0..1000).map(trivial).collect()),
    },
    Counted {
        name: "collect-1",
        times: 1,
        unit: "run of 1 item",
        run: || collected(trivial_batched(black_box(0..1)).collect().unwrap()),
    },
    Counted {
        name: "collect-100",
        times: 1,
        unit: "run of 100 trivial items",
        run: || collected(trivial_batched(black_box(0..100)).collect().unwrap()),
    },
    Counted {
        name: "collect-1000",
        times: 1,
        unit: "run of 1,000 trivial items",
        run: || collected(trivial_batched(black_box(0..1000)).collect().unwrap()),
    },
    Counted {
        name: "batches-1000",
        times: 1,
        unit: "run of 1,000 trivial items",
        run: || {
            black_box(trivial_batched(black_box(0..1000)).for_each_batch(|batch| drop(black_box(batch))).unwrap());
        },
    },
    Counted {
        name: "iterate-1000",
        times: 1,
        unit: "run of 1,000 trivial items",
        run: || {
            black_box(trivial_batched(black_box(0..1000)).into_iter().fold(0, |sum, x| sum ^ x));
        },
    },
    Counted {
        name: "closure-1",
        times: 1,
        unit: "run of 1 item by a closure",
        run: || {
            collected(amorsize::process_in_batches(trivial, black_box(0..1)).collect().unwrap());
        },
    },
    Counted {
        name: "progress-1000",
        times: 1,
        unit: "run of 1,000 trivial items that is told of",
        run: || {
            black_box(
                trivial_batched(black_box(0..1000))
                    .progress(|progress| _ = black_box(progress))
                    .for_each_batch(|batch| drop(black_box(batch)))
                    .unwrap(),
            );
        },
    },
    Counted {
        name: "plan",
        times: 1,
        unit: "plan of 1,000 trivial items",
        run: || {
            black_box(trivial_batched(black_box(0..1000)).plan().unwrap());
        },
    },
    Counted {
        name: "items-on-caller",
        times: MILLION,
        unit: "item of 10 ns",
        run: || {
            collected(of_10_ns_batched(0..MILLION as u64).threads(1).collect().unwrap());
        },
    },
    Counted {
        name: "items-on-worker",
        times: MILLION,
        unit: "item of 10 ns",
        run: || {
            black_box(of_10_ns_batched(0..MILLION as u64).for_each_batch(|batch| drop(black_box(batch))).unwrap());
        },
    },
    Counted {
        name: "items-asked",
        times: MANY,
        unit: "item of 10 ns whose result is measured",
        run: || {
            black_box(
                text_of_10_ns_batched(0..MANY as u64)
                    .threads(1)
                    .for_each_batch(|batch| drop(black_box(batch)))
                    .unwrap(),
            );
        },
    },
    Counted {
        name: "items-asked-worker",
        times: MANY,
        unit: "item of 10 ns whose result is measured",
        run: || {
            black_box(text_of_10_ns_batched(0..MANY as u64).for_each_batch(|batch| drop(black_box(batch))).unwrap());
        },
    },
    Counted {
        name: "chunks-on-worker",
        times: 1000,
        unit: "chunk of 10 items of 200 us",
        run: || {
            black_box(of_200_us_batched(0..10_000).for_each_batch(|batch| drop(black_box(batch))).unwrap());
        },
    },
    Counted {
        name: "batches-of-1",
        times: BATCHES,
        unit: "batch of 1 item",
        run: || {
            black_box(
                trivial_batched(0..BATCHES as u64)
                    .batch_size(1)
                    .for_each_batch(|batch| drop(black_box(batch)))
                    .unwrap(),
            );
        },
    },
    Counted {
        name: "batches-of-10",
        times: BATCHES,
        unit: "batch of 10 items",
        run: || {
            black_box(
                trivial_batched(0..10 * BATCHES as u64)
                    .batch_size(10)
                    .for_each_batch(|batch| drop(black_box(batch)))
                    .unwrap(),
            );
        },
    },
    Counted {
        name: "pipeline-1",
        times: 1,
        unit: "run of 1 item through three stages",
        run: || {
            collected(trivial_batched(black_box(0..1)).then(trivial_batched).then(trivial_batched).collect().unwrap());
        },
    },
    Counted {
        name: "pipeline-items",
        times: MANY,
        unit: "item through three trivial stages",
        run: || {
            collected(
                trivial_batched(0..MANY as u64)
                    .then(trivial_batched)
                    .then(trivial_batched)
                    .threads(1)
                    .collect()
                    .unwrap(),
            );
        },
    },
    Counted {
        name: "deep-size",
        times: 1000,
        unit: "String in a Vec that is measured",
        run: || {
            static TEXTS: OnceLock<Vec<String>> = OnceLock::new();
            black_box(black_box(TEXTS.get_or_init(|| vec![String::new(); 1000])).deep_size());
        },
    },
    Counted {
        name: "tracking-in-call",
        times: 1000,
        unit: "allocation and its end in a call",
        run: || {
            black_box(TRACKING.measure(|| tracking(1000)));
        },
    },
    Counted {
        name: "tracking-outside",
        times: 1000,
        unit: "allocation and its end outside of calls",
        run: || tracking(1000),
    },
    Counted {
        name: "tracking-call",
        times: 1000,
        unit: "call that is measured",
        run: || {
            (0..1000).for_each(|x| _ = black_box(TRACKING.measure(|| trivial(black_box(x)))));
        },
    },
];

fn collected(results: Vec<u64>) {
    black_box(results);
}

/// The part that callgrind counts: everything from here to the return.
#[inline(never)]
fn counted(path: fn()) {
    path();
    // Without this the call would become a jump, and the count would end here.
    black_box(());
}

/// Runs a path and prints its allocations.
fn child(name: &str) {
    let path = PATHS.iter().find(|path| path.name == name).expect("a known path");
    let (done, wait) = mpsc::channel::<()>();
    // One of the pool's two threads only waits, so that a single thread does the work of a run.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    pool.spawn(move || _ = wait.recv());
    let allocations = pool.install(|| {
        // The system's own figures change from run to run.
        with_memory_source(ByteSize::gib(4), || {
            (0..3).for_each(|_| (path.run)());
            let before = ALLOCATIONS.load(Relaxed);
            counted(path.run);
            ALLOCATIONS.load(Relaxed) - before
        })
    });
    println!("{allocations}");
    drop(done);
}

// ---- counting and comparing ----

/// The counts of a whole path.
#[derive(Clone, Copy)]
struct Counts {
    instructions: Option<u64>,
    allocations: u64,
}

fn count(name: &str, valgrind: bool, folder: &Path) -> Counts {
    let exe = env::current_exe().expect("this program");
    let out = folder.join(format!("{name}.out"));
    let mut command = Command::new(if valgrind { Path::new("valgrind") } else { &exe });
    if valgrind {
        command
            .args(["--tool=callgrind", "--toggle-collect=instructions::counted*", "--quiet"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(&exe);
    }
    // One arena. With one for each thread it would be chance which thread gets which.
    let output = command.env("MALLOC_ARENA_MAX", "1").args(["--child", name]).output().expect("a child process");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let allocations = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number of allocations");
    let instructions = valgrind.then(|| {
        let text = fs::read_to_string(&out).expect("a profile");
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
        total.trim().parse().expect("a number of instructions")
    });
    Counts { instructions, allocations }
}

/// The least of three counts. An allocation takes longer at the end of the allocator's memory, and
/// that end is not always at the same place.
fn least(name: &str, folder: &Path) -> Counts {
    (0..3).map(|_| count(name, true, folder)).min_by_key(|counts| counts.instructions).expect("three times")
}

/// The figures of a path in the file.
struct Known {
    instructions: u64,
    tolerance: f64,
    allocations: u64,
}

fn read_file() -> (String, BTreeMap<String, Known>) {
    let text = fs::read_to_string(FILE).unwrap_or_default();
    let compiler = text.lines().find_map(|line| line.strip_prefix("compiler: ")).unwrap_or_default().to_owned();
    let rows = text.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [name, instructions, tolerance, allocations, ..] if !line.starts_with('#') => {
            let number = |text: &str| text.replace('_', "").parse().ok();
            let tolerance = tolerance.parse().ok()?;
            Some((
                (*name).to_owned(),
                Known { instructions: number(instructions)?, tolerance, allocations: number(allocations)? },
            ))
        }
        _ => None,
    });
    (compiler, rows.collect())
}

/// The version of the compiler, as far as it changes the code that it makes.
fn compiler() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    format!("{} for {}", String::from_utf8_lossy(&version).trim(), env::consts::ARCH)
}

fn write_file(known: &BTreeMap<String, Known>) {
    let mut text = format!(
        "# Written by `cargo bench -p amorsize --bench instructions -- --write`, which compares without the flag.\n\
         # Tolerances, in percent, are kept: change them here.\n\
         compiler: {}\n\
         # path             instructions  tolerance  allocations  for\n",
        compiler()
    );
    for path in PATHS {
        if let Some(Known { instructions, tolerance, allocations }) = known.get(path.name) {
            let Counted { name, times, unit, .. } = path;
            text += &format!("{name:<20} {instructions:>11} {tolerance:>10} {allocations:>12}  {times} x {unit}\n");
        }
    }
    fs::write(FILE, text).expect("the file can be written");
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, name] = args.as_slice()
        && flag == "--child"
    {
        child(name);
        return ExitCode::SUCCESS;
    }
    let (flags, wanted): (Vec<_>, Vec<_>) = args.iter().partition(|arg| arg.starts_with("--"));
    assert!(flags.iter().all(|flag| *flag == "--write"), "{flags:?}: the one flag is `--write`");
    for name in &wanted {
        assert!(PATHS.iter().any(|path| path.name.starts_with(name.as_str())), "there is no path `{name}`");
    }
    let writes = !flags.is_empty();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("instructions");
    fs::create_dir_all(&folder).expect("a folder in `target`");

    let (its_compiler, mut known) = read_file();
    let valgrind = Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    let same = its_compiler == compiler();
    if !valgrind {
        println!("there is no valgrind: instructions are not counted");
    } else if !same && !writes {
        println!("{} makes other instructions than {its_compiler}, so they are not compared", compiler());
    }
    assert!(valgrind || !writes, "without valgrind there is nothing to write");
    // The file names one compiler for all paths.
    assert!(same || !writes || wanted.is_empty(), "the file has counts of {its_compiler}: write all paths anew");

    println!("| path | instructions | before | allocations | each |\n| --- | ---: | ---: | ---: | --- |");
    let mut breaches = Vec::new();
    for path in
        PATHS.iter().filter(|path| wanted.is_empty() || wanted.iter().any(|name| path.name.starts_with(name.as_str())))
    {
        let before = known.get(path.name);
        let change = |instructions: Option<u64>| {
            let (now, before) = instructions.zip(before)?;
            Some(100.0 * (now as f64 / before.instructions as f64 - 1.0))
        };
        let is_off = |change: f64| before.is_some_and(|before| change.abs() > before.tolerance);
        let mut counts = count(path.name, valgrind, &folder);
        if valgrind && (writes || same && change(counts.instructions).is_some_and(is_off)) {
            counts = least(path.name, &folder);
        }
        let Counts { instructions, allocations } = counts;
        let change = change(instructions);
        let per_unit = instructions.map_or("-".into(), |count| {
            let each = count as f64 / path.times as f64;
            format!("{each:.*}", if path.times > 1 && each < 1000.0 { 2 } else { 0 })
        });
        println!(
            "| {} | {per_unit} | {} | {allocations} | {} |",
            path.name,
            change.map_or("-".into(), |change| format!("{change:+.2} %")),
            path.unit
        );
        if let (Some(change), Some(now), Some(before)) = (change, instructions, before)
            && same
            && is_off(change)
        {
            breaches.push(format!(
                "{}: {now} instructions, {change:+.1} % of the {} in the file, with a tolerance of {} %",
                path.name, before.instructions, before.tolerance
            ));
        }
        if let Some(before) = before.filter(|before| before.allocations != allocations) {
            breaches.push(format!("{}: {allocations} allocations, not {}", path.name, before.allocations));
        }
        if before.is_none() && !writes {
            breaches.push(format!("{}: not in the file", path.name));
        }
        if let Some(instructions) = instructions {
            let tolerance = before.map_or(TOLERANCE, |before| before.tolerance);
            known.insert(path.name.to_owned(), Known { instructions, tolerance, allocations });
        }
    }
    if writes {
        write_file(&known);
        println!("\nwritten to {FILE}");
        return ExitCode::SUCCESS;
    }
    if breaches.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("\n{} of the core's paths are not as they were:\n  {}", breaches.len(), breaches.join("\n  "));
    eprintln!(
        "Where a path takes more: `callgrind_annotate {}/NAME.out` says where.\n\
         Where that is meant, or it takes less: `cargo bench -p amorsize --bench instructions -- --write`, and commit the file.",
        folder.display()
    );
    ExitCode::FAILURE
}

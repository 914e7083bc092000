//! Makes 4 GiB of results with 1 GiB of memory: the kernel kills rayon's `collect`, and Amorsize
//! goes on.
//!
//! `cargo run --release -p amorsize-examples --example oom [-- --runs N]` makes a cgroup with a
//! limit of 1 GiB, starts itself inside once for each way below, and says how that ended. Only
//! Linux has cgroups, and not every user may make one. If that fails, `--inside WAY` goes one way
//! in this process, which you can start inside a container or a scope with a limit.

#[path = "../tests/common/limited.rs"]
mod limited;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use amorsize::{ByteSize, DeepSize, batched};
use limited::Limited;
use rayon::prelude::*;

const USAGE: &str = "usage: oom [--runs N | --inside rayon|sink|collect|partial]";
const LIMIT: ByteSize = ByteSize::gib(1);
/// Tiles in all: 4 GiB of heights.
const TILES: u32 = 4096;
/// Tiles of the map from west to east.
const ACROSS: u32 = 64;
/// Points along one side of a tile.
const SIDE: u32 = 512;

/// A square of a map: 1 MiB of heights.
struct Tile {
    number: u32,
    heights: Vec<f32>,
}

impl DeepSize for Tile {
    fn heap_size(&self) -> usize {
        self.heights.heap_size()
    }
}

/// Works out the heights of one tile.
#[batched(max_memory = 0.5)]
fn render(number: u32) -> Tile {
    let ridges = |from: u32| (from..from + SIDE).map(|at| (at as f32 / 97.0).sin()).collect::<Vec<_>>();
    let (west, north) = (number % ACROSS * SIDE, number / ACROSS * SIDE);
    let (across, down) = (ridges(west), ridges(north));
    let mut heights = Vec::with_capacity(across.len() * down.len());
    for y in down {
        heights.extend(across.iter().map(|x| 1000.0 + 400.0 * x * y));
    }
    Tile { number, heights }
}

// ---- the four ways ----

fn with_rayon(seen: &mut Seen) -> Result<(), amorsize::Error> {
    let tiles: Vec<Tile> = (0..TILES).into_par_iter().map(render).collect();
    tiles.into_iter().for_each(|tile| seen.tick(tile));
    Ok(())
}

fn through_a_sink(seen: &mut Seen) -> Result<(), amorsize::Error> {
    render_batched(0..TILES).for_each_batch(|batch| batch.into_iter().for_each(|tile| seen.tick(tile)))?;
    Ok(())
}

fn collecting(seen: &mut Seen) -> Result<(), amorsize::Error> {
    let tiles: Vec<Tile> = render_batched(0..TILES).collect()?;
    tiles.into_iter().for_each(|tile| seen.tick(tile));
    Ok(())
}

/// Collects the results that fit, and sends the rest through a sink.
fn collecting_a_part(seen: &mut Seen) -> Result<(), amorsize::Error> {
    let mut run = render_batched(0..TILES);
    let mut tiles = Vec::new();
    let collected = run.collect_into(&mut tiles);
    seen.collected = tiles.len();
    tiles.into_iter().for_each(|tile| seen.tick(tile));
    if collected.is_err() {
        run.for_each_batch(|batch| batch.into_iter().for_each(|tile| seen.tick(tile)))?;
    }
    Ok(())
}

type Way = fn(&mut Seen) -> Result<(), amorsize::Error>;

/// Each way, with its name and the start of the line that tells its expected end.
const WAYS: [(&str, Way, &str); 4] = [
    ("rayon", with_rayon, "killed by the kernel"),
    ("sink", through_a_sink, "finished"),
    ("collect", collecting, "error: the results don't fit the memory budget"),
    ("partial", collecting_a_part, "finished"),
];

// ---- one way in this process ----

/// Ticks off the tiles that have come out.
struct Seen {
    times: Vec<u32>,
    collected: usize,
}

impl Seen {
    fn tick(&mut self, tile: Tile) {
        assert_eq!(tile.heights.len(), (SIDE * SIDE) as usize);
        self.times[tile.number as usize] += 1;
    }
}

fn go_inside(name: &str) -> Result<(), Box<dyn Error>> {
    let (_, way, _) = WAYS.iter().find(|way| way.0 == name).ok_or(USAGE)?;
    // If the kernel has to free memory, it should kill this process and no other. Only Linux has
    // this file.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let mut seen = Seen { times: vec![0; TILES as usize], collected: 0 };
    let start = Instant::now();
    let outcome = way(&mut seen);
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Ok(()) if seen.times.iter().any(|&times| times != 1) => println!("ended: not every tile came out exactly once"),
        Ok(()) if seen.collected > 0 => {
            println!("ended: finished, {TILES} tiles, each exactly once, the first {} collected", seen.collected);
        }
        Ok(()) => println!("ended: finished, {TILES} tiles, each exactly once"),
        Err(error) => println!("ended: error: {error}"),
    }
    println!("seconds: {seconds:.2}");
    if let Some(peak) = figure(Path::new("/proc/self/status"), "VmHWM:") {
        println!("peak: {}", peak / 1024);
    }
    Ok(())
}

/// A figure in a file of the kernel: the one after a word, or the only one.
fn figure(file: &Path, word: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

// ---- all ways, each in a process of its own inside a cgroup ----

/// The end of a process.
struct Outcome {
    ended: String,
    seconds: f64,
    /// MiB of resident memory; for a process that was killed, the memory of its cgroup.
    peak: Option<u64>,
}

/// Starts this program inside the cgroup, and waits for it.
fn outcome_inside(limited: &Limited, way: &str) -> Result<Outcome, Box<dyn Error>> {
    let start = Instant::now();
    let output = limited.command(&env::current_exe()?).args(["--inside", way]).output()?;
    let seconds = start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    if output.status.success() {
        let seconds = said("seconds").ok_or("the process inside did not say how long it took")?.parse()?;
        let peak = said("peak").and_then(|peak| peak.parse().ok());
        return Ok(Outcome { ended: said("ended").unwrap_or_default().to_owned(), seconds, peak });
    }
    // v1 counts in the cgroup of the process, v2 in the one with the limit.
    let inner = limited.inner();
    let counts = [inner.join("memory.oom_control"), limited.folder().join("memory.events")];
    let killed = counts.iter().find_map(|file| figure(file, "oom_kill ")).is_some_and(|kills| kills > 0);
    let by = if killed { "killed by the kernel" } else { "failed" };
    let errors = String::from_utf8_lossy(&output.stderr);
    let ended = format!("{by}, {} {}", output.status, errors.trim()).trim_end().to_owned();
    let peaks = ["memory.max_usage_in_bytes", "memory.peak"].map(|name| limited.folder().join(name));
    let peak = peaks.iter().find_map(|file| figure(file, "")).map(|bytes| bytes >> 20);
    Ok(Outcome { ended, seconds, peak })
}

fn show(runs: usize) -> Result<(), Box<dyn Error>> {
    let mut outcomes: Vec<(&str, &str, Vec<Outcome>)> = WAYS.map(|(name, _, end)| (name, end, Vec::new())).into();
    for run in 0..runs {
        for (name, _, outcomes) in &mut outcomes {
            // A new cgroup each time, so that its figures are of that process alone.
            let limited = match Limited::new(LIMIT) {
                Ok(limited) => limited,
                Err(reason) if run == 0 && outcomes.is_empty() && *name == WAYS[0].0 => {
                    say_how_elsewhere(&reason)?;
                    return Ok(());
                }
                Err(reason) => return Err(reason.into()),
            };
            outcomes.push(outcome_inside(&limited, name)?);
        }
    }

    let all = ByteSize::new(u64::from(TILES) << 20);
    println!("{TILES} tiles, {all} in all, inside a cgroup with a limit of {LIMIT}, budget 0.5 of what is available\n");
    println!("{:<8} {:>12} {:>12} {:>12}  how it ended", "way", "as expected", "seconds", "peak MiB");
    let mut unexpected = 0;
    for (name, end, outcomes) in &outcomes {
        let (good, bad): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.ended.starts_with(end));
        let seconds = range(outcomes.iter().map(|outcome| outcome.seconds), 2);
        let peak = range(outcomes.iter().filter_map(|outcome| outcome.peak).map(|peak| peak as f64), 0);
        let as_expected = format!("{} of {}", good.len(), outcomes.len());
        // Leaves out the ways out that an error suggests, and all expected ends but the first.
        let ends = good.iter().take(1).chain(&bad);
        let ends: Vec<&str> = ends.map(|outcome| outcome.ended.split(';').next().unwrap_or_default()).collect();
        println!("{name:<8} {as_expected:>12} {seconds:>12} {peak:>12}  {}", ends.join("\n").trim_end());
        unexpected += bad.len();
    }
    println!("\nPeak: resident memory of the process; where that was killed, what its cgroup held.");
    if unexpected > 0 { Err(format!("{unexpected} processes did not end as expected").into()) } else { Ok(()) }
}

/// The least and the greatest value, if they differ.
fn range(values: impl Iterator<Item = f64> + Clone, digits: usize) -> String {
    let text = |value: f64| format!("{value:.digits$}");
    let Some(least) = values.clone().reduce(f64::min).map(text) else { return "-".to_owned() };
    match values.reduce(f64::max).map(text) {
        Some(greatest) if greatest != least => format!("{least}-{greatest}"),
        _ => least,
    }
}

fn say_how_elsewhere(reason: &str) -> Result<(), Box<dyn Error>> {
    let program = env::current_exe()?;
    let program = program.display();
    println!("Nothing was shown: no cgroup with a limit of {LIMIT} could be made here ({reason}).");
    println!("With one of these each way can be seen by itself, WAY being rayon, sink, collect or partial:\n");
    println!("    systemd-run --user --scope -p MemoryMax=1G -p MemorySwapMax=0 {program} --inside WAY");
    println!("    docker run --rm -m 1g --memory-swap 1g -v {program}:/oom:ro debian:stable-slim /oom --inside WAY");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => show(1),
        ["--runs", runs] => show(runs.parse().map_err(|error| format!("--runs {runs}: {error}"))?),
        ["--inside", way] => go_inside(way),
        ["--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

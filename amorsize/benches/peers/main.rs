//! `collect` and `for_each_batch` beside other ways to do the same work, in one run.
//!
//! Each measurement is a fresh process, and the ways of a row take turns. A row has, for each way,
//! its time as a ratio to rayon's `par_iter().map().collect()` within the same round, and the peak
//! of resident memory above that of the process before the work. It also tells how near the time
//! comes to the best that the machine allows: the time of a plain loop divided by the cores or, if
//! making results is all of the work, the time in which all cores fill that many bytes. The
//! processor time is that of all threads, as a ratio like the time. Where items come one by one,
//! nothing of rayon's collects them, and ratios are to the plain loop.
//!
//! `cargo bench --bench peers` runs all rows, `-- ROW ..` some of them, `-- --rounds N` changes the
//! number of rounds; `-- --write` writes the figures into `amorsize/benches/FIGURES.md`, the README
//! and `amorsize/benches/peers/FIGURES.md`. If `python3` has joblib and Python's Amorsize, these
//! are measured, too.

use amorsize_bench::{Arguments, available_bytes, calibrate, child_arguments, numbers, wrap};

mod python;
mod rows;
mod small;
mod tables;
mod users;
mod ways;
use rows::{Cost, ROWS, Row};
use tables::{Measured, OfPython, OfWay};
use users::Data;
use ways::Way;

fn main() {
    if let Some([row, way, items, rounds]) = child_arguments() {
        let number = |text: String| text.parse::<u64>().expect("a number");
        let (items, way) = (number(items), Way::ALL.into_iter().chain([Way::Tenths]).nth(number(way) as usize));
        let Cost { nanos, peak, processor } = match ROWS.iter().find(|known| known.name == row) {
            None => Cost { nanos: rows::fill(items), peak: 0, processor: 0.0 },
            Some(row) => rows::child(row, way.expect("a way"), items as usize, number(rounds) as u32),
        };
        return println!("{nanos} {peak} {processor}");
    }
    let arguments = Arguments::of_process("peers", 7).among(ROWS.iter().map(|row| row.name));
    let rounds_per_10_us = calibrate();
    let cores = rayon::current_num_threads();
    println!("{}; median of {} rounds, each a fresh process\n", arguments.measured(), arguments.rounds);
    let mut all = Vec::new();
    for row in ROWS.iter().filter(|row| arguments.wants(row.name)) {
        let measured = measure_row(row, arguments.rounds, rounds_per_10_us, cores as f64);
        println!("{}", tables::details(&measured));
        all.push(measured);
    }
    let costs = all.iter().find(|measured| measured.row.name == "medium").and_then(|medium| {
        let data = Data::of(medium.row);
        let tenths: Vec<f64> = (0..arguments.rounds)
            .map(|_| child(&data, medium.row, Way::Tenths, medium.row.items, rounds_per_10_us).expect("it runs").nanos)
            .collect();
        tables::own_cost(medium, &tenths, &measure_python(arguments.rounds), cores as f64)
    });
    if let Some(costs) = &costs {
        println!("{costs}");
    }
    if arguments.rows.is_empty() {
        write(&arguments, &all, &costs.expect("all rows were measured"));
    }
}

fn child(data: &Data, row: &Row, way: Way, items: usize, rounds: u32) -> Result<Cost, String> {
    let index = Way::ALL.iter().position(|&known| known == way).unwrap_or(Way::ALL.len());
    measure(data, [row.name, &index.to_string(), &items.to_string(), &rounds.to_string()])
}

fn measure(data: &Data, arguments: [&str; 4]) -> Result<Cost, String> {
    let [nanos, peak, processor] = numbers(amorsize_bench::child(arguments).current_dir(&data.0))?;
    Ok(Cost { nanos, peak: peak as u64, processor })
}

fn measure_row(row: &'static Row, rounds: usize, rounds_per_10_us: u32, cores: f64) -> Measured {
    let data = Data::of(row);
    let new = |way| {
        let items = row.items_for(way, available_bytes());
        OfWay { way, nanos: Vec::new(), processor: Vec::new(), peak: 0, items, died: None }
    };
    let mut ways: Vec<OfWay> = row.ways().into_iter().map(new).collect();
    let (mut limits, mut limited_by) = (Vec::new(), "the cores");
    for _ in 0..rounds {
        for of in ways.iter_mut().filter(|of| of.died.is_none()) {
            match child(&data, row, of.way, of.items, rounds_per_10_us) {
                Ok(cost) => {
                    let part = of.items as f64 / row.items as f64;
                    of.nanos.push(cost.nanos / part);
                    of.processor.push(cost.processor / part);
                    of.peak = of.peak.max(cost.peak);
                }
                Err(why) => of.died = Some(why),
            }
        }
        let plain = ways.iter().find(|of| of.way == Way::Loop).and_then(|of| of.nanos.last());
        let plain = *plain.expect("a plain loop holds one result at a time");
        let mut limit = if row.is_trivial() { plain } else { (plain / cores).max(plain * row.serial_part()) };
        if let Some(bytes) = row.traffic() {
            let fill = measure(&data, ["fill", "0", &bytes.to_string(), "0"]).expect("memory can be filled").nanos;
            if fill > limit {
                (limit, limited_by) = (fill, "the bandwidth of memory");
            }
        }
        limits.push(limit);
    }
    Measured { row, ways, limits, limited_by }
}

fn measure_python(rounds: usize) -> Vec<OfPython> {
    let Some(work) = python::ask(&["calibrate"]) else {
        println!("no `python3` here: Python Amorsize and joblib are left out\n");
        return Vec::new();
    };
    let mut measured = Vec::new();
    for (way, module, batches) in python::WAYS {
        match module.map(|module| (module, python::version(module))) {
            Some((module, None)) => println!("`python3` cannot import {module}: {} is left out\n", python::name(way)),
            _ => measured.push(OfPython { way, batches, nanos: Vec::new() }),
        }
    }
    for _ in 0..rounds {
        for of in &mut measured {
            let nanos =
                python::ask(&[of.way, &python::ITEMS.to_string(), &work]).expect("a module that can be imported");
            of.nanos.push(nanos.parse().expect("nanoseconds"));
        }
    }
    measured
}

fn write(arguments: &Arguments, all: &[Measured], costs: &str) {
    let python = [("joblib", "joblib"), ("Python Amorsize", "amorsize")]
        .into_iter()
        .filter_map(|(name, module)| Some(format!(", {name} {}", python::version(module)?)))
        .collect::<String>();
    let how = format!(
        "Measured by {}, with {}{python}; each figure is the median of {} rounds, each measurement a fresh process.",
        arguments.measured(),
        tables::versions(),
        arguments.rounds
    );
    let summary = tables::summary(all);
    let small = tables::small_work(all).expect("all rows were measured");
    arguments.write("peers", &format!("{summary}\n{}\n\n{}", wrap(&small), wrap(&how)));
    let details: String = all.iter().map(tables::details).map(|row| row + "\n").collect();
    let costs = format!("### What each costs beyond the work\n\n{costs}");
    arguments.write_into("amorsize/benches/peers/FIGURES.md", "peers", &format!("{}\n\n{details}{costs}", wrap(&how)));
}

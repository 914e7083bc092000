//! The table of figures in the README: some of those in `FIGURES.md`, so that a bench writes both
//! at once.

/// The file with all figures, by its path from the root.
pub(crate) const FIGURES: &str = "amorsize/benches/FIGURES.md";

/// Returns the README's table, or names the figure that is missing.
pub(crate) fn table(figures: &str) -> Result<String, String> {
    let line = |begin: &str| {
        figures.lines().find(|line| line.starts_with(begin)).ok_or_else(|| format!("{FIGURES} has no line `{begin}..`"))
    };
    let columns = |begin: &str, between: &str| {
        let cells = line(begin)?.split(between).map(str::trim).filter(|cell| !cell.is_empty());
        Ok::<Vec<&str>, String>(cells.collect())
    };
    let missing = |row: &str| format!("{FIGURES} has fewer columns than expected in the row `{row}`");
    // In the table of the example `oom` at least two spaces stand between columns, and one between
    // words.
    let [rayon, sink] = ["rayon  ", "sink  "].map(|way| columns(way, "  "));
    let (rayon, sink) = (rayon?, sink?);
    let [_, killed, ..] = rayon[..] else { return Err(missing("rayon")) };
    let [_, finished, _, least, ..] = sink[..] else { return Err(missing("sink")) };
    let calls = columns("| 10 us x 60,000 |", "|")?;
    let [_, collect, batches, ..] = calls[..] else { return Err(missing("10 us x 60,000")) };
    let large = columns("| results of 1 MiB to 4 GiB, budget 256 MiB |", "|")?;
    let peaks: Vec<&str> = large.last().map_or(Vec::new(), |cell| cell.split(", ").collect());
    let [_, ours, _, theirs] = peaks[..] else { return Err(missing("results of 1 MiB")) };
    let theirs = theirs.trim_end_matches(" (over)");
    let highest = line("The highest of all is ")?.split(' ').nth(5).ok_or_else(|| missing("The highest of all"))?;
    Ok(format!(
        "| | rayon, `par_iter().map(f).collect()` | amorsize, batch by batch |\n\
         | --- | --- | --- |\n\
         | 4 GiB of results on a machine of 1 GiB | killed by the kernel, {killed} runs | finishes, {finished} runs, \
         in {} MiB |\n\
         | 60,000 calls of 10 us | time 1 | time {batches}; with `collect` {collect} |\n\
         | 4 GiB of results, budget 256 MiB | needs {theirs} MiB | needs {ours} MiB |\n\
         | worst mix of results and allocator | | {highest} % of its budget, as resident memory |",
        least.replace('-', " to ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::replace;
    use crate::machine::root;

    fn read(path: &str) -> String {
        std::fs::read_to_string(root().join(path)).unwrap()
    }

    #[test]
    fn the_readmes_table_has_the_figures_of_the_benches() {
        let readme = read("README.md");
        assert_eq!(replace(&readme, "summary", &table(&read(FIGURES)).unwrap()).unwrap(), readme);
    }

    #[test]
    fn a_figure_that_is_missing_is_named() {
        let figures = read(FIGURES).replace("| 10 us x 60,000 |", "| 11 us x 60,000 |");
        let expected = format!("{FIGURES} has no line `| 10 us x 60,000 |..`");
        assert_eq!(table(&figures).unwrap_err(), expected);
    }
}

//! `docs/performance.md` has a row with a limit for every figure that `benches/speed` measures, and the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::root;

/// A row of the table: unit, limit, and the figures kept of a disk and of memory.
struct Row {
    unit: String,
    limit: f64,
    kept: [f64; 2],
}

/// The figures in the script, with their units.
fn measured() -> BTreeMap<String, String> {
    let script = fs::read_to_string(root().join("benches/speed")).expect("benches/speed");
    let (_, list) = script.split_once("\nFIGURES = {\n").expect("the list of figures");
    let (list, _) = list.split_once("\n}\n").expect("its end");
    let words: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

fn page() -> String {
    fs::read_to_string(root().join("docs/performance.md")).expect("docs/performance.md")
}

/// The figures of which the page says that they are not reached.
fn missed() -> BTreeSet<String> {
    let page = page();
    let (_, list) = page.split_once("\nNot reached yet: ").expect("what is not reached");
    let (list, _) = list.split_once('.').expect("its end");
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The page's rows that begin with a figure.
fn kept() -> BTreeMap<String, Row> {
    let page = page();
    let rows = page.lines().filter_map(|line| {
        let (figure, rest) = line.strip_prefix("| `")?.split_once("` |")?;
        let cells: Vec<&str> = rest.trim_end_matches('|').split('|').map(str::trim).collect();
        let [_, limit, disk, memory] = cells[..] else { return None };
        let number = |cell: &str| {
            let (number, unit) = cell.split_once(' ').unwrap_or_else(|| panic!("no unit: {line}"));
            (number.parse().unwrap_or_else(|_| panic!("no number: {line}")), unit.to_owned())
        };
        let [(limit, unit), (disk, one), (memory, other)] = [limit, disk, memory].map(number);
        assert!(unit == one && unit == other, "different units: {line}");
        Some((figure.to_owned(), Row { unit, limit, kept: [disk, memory] }))
    });
    rows.collect()
}

#[test]
fn every_figure_of_the_benchmark_has_a_row_with_its_unit_and_a_limit_that_it_keeps_or_is_said_to_miss() {
    let kept = kept();
    let units: BTreeMap<String, String> = kept.iter().map(|(figure, row)| (figure.clone(), row.unit.clone())).collect();
    assert_eq!(units, measured());
    let missed = missed();
    for (figure, row) in kept {
        assert_eq!(
            row.kept[0] > row.limit,
            missed.contains(&figure),
            "{figure} passes its limit and the page is silent"
        );
        assert!(row.kept[1] > 0.0, "{figure}");
    }
}

#[test]
fn the_limits_are_the_ones_that_were_promised() {
    let kept = kept();
    for (figure, limit) in [
        ("schemas", 1.15),
        ("schemas-step", 1.4),
        ("schemas-step-guarded", 1.4),
        ("databases", 1.25),
        ("mariadb", 1.15),
        ("sqlite", 1.15),
        ("delay", 1.2),
        ("idle-schemas-up", 300.0),
        ("idle-schemas-status", 300.0),
        ("idle-mariadb-up", 300.0),
        ("idle-mariadb-status", 300.0),
        ("many-files-status", 5.0),
        ("big-list", 2.0),
        ("help", 10.0),
        ("binary", 20.0),
    ] {
        assert_eq!(kept[figure].limit, limit, "{figure}");
    }
}

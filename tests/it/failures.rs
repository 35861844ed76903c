//! `docs/failures.md` and the tests name each other: no row without a test or a reason, no test that is not there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROWS: usize = 58;

/// What a test says in the comment above it. Written in two parts, so that this file does not say it.
const MARK: &str = concat!("/// Covers", " row");

/// Where the lists of tests begin and end in the page.
const BEGIN: &str = "<!-- tests of rows ";
const END: &str = "<!-- end -->";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources below a folder, in order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let mut below: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    below.sort();
    let mut found = Vec::new();
    for path in below {
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

/// Returns the rows that a line of a comment names, or what is wrong with it.
fn rows_of(line: &str) -> Result<Vec<usize>, String> {
    let rest = line.trim_start().strip_prefix(MARK).ok_or("it begins otherwise")?;
    let numbers =
        rest.strip_prefix('s').unwrap_or(rest).strip_suffix(" of docs/failures.md.").ok_or("it ends otherwise")?;
    let numbers: Result<Vec<usize>, _> = numbers.split(", ").map(|number| number.trim().parse()).collect();
    match numbers {
        Ok(rows) if rows.iter().all(|row| (1..=ROWS).contains(row)) => Ok(rows),
        Ok(_) => Err(format!("rows go from 1 to {ROWS}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns a test's path as the test runner names it: of a file's own path, the modules in it, and its function.
fn path_of(file: &Path, inline: &[String], name: &str) -> String {
    let (program, below) = match file.strip_prefix("tests/it") {
        Ok(below) => ("", below),
        Err(_) => ("lib ", file.strip_prefix("src").expect("a source of the library")),
    };
    let mut parts: Vec<String> =
        below.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "main", "lib"].contains(&last.as_str())) {
        parts.pop();
    }
    parts.extend_from_slice(inline);
    parts.push(name.to_owned());
    format!("{program}{}", parts.join("::"))
}

/// The tests of one source that name rows: each test's path and its rows.
fn claims(file: &Path, text: &str) -> Result<Vec<(String, Vec<usize>)>, String> {
    let mut found = Vec::new();
    let mut inline: Vec<(usize, String)> = Vec::new();
    let mut claim: Option<(Vec<usize>, bool)> = None;
    for (index, line) in text.lines().enumerate() {
        let here = |why: &str| format!("{}:{}: {why}: {}", file.display(), index + 1, line.trim());
        let words = line.trim_start();
        let depth = line.len() - words.len();
        if let Some(name) = words.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            inline.retain(|(outer, _)| *outer < depth);
            inline.push((depth, name.to_owned()));
        } else if words.starts_with("///") && words.contains("failures.md row") {
            return Err(here("a row is named in another way"));
        } else if line.contains(MARK) {
            let rows = rows_of(line).map_err(|why| here(&why))?;
            if claim.replace((rows, false)).is_some() {
                return Err(here("the comment above it names rows too: name all in one line"));
            }
        } else if let Some((rows, is_test)) = &mut claim {
            if words.starts_with("#[test") || words.starts_with("#[tokio::test") {
                *is_test = true;
            } else if let Some(rest) = words.strip_prefix("async ").unwrap_or(words).strip_prefix("fn ") {
                if !*is_test {
                    return Err(here("it names rows and is no test"));
                }
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                inline.retain(|(outer, _)| *outer < depth);
                let modules: Vec<String> = inline.iter().map(|(_, name)| name.clone()).collect();
                found.push((path_of(file, &modules, name), std::mem::take(rows)));
                claim = None;
            } else if !words.starts_with("///") && !words.starts_with("#[") {
                return Err(here("between a comment that names rows and its test stands something else"));
            }
        }
    }
    match claim {
        None => Ok(found),
        Some((rows, _)) => Err(format!("{}: rows {rows:?} are named, and no test follows", file.display())),
    }
}

/// The tests that name a row, by row.
fn tests_by_row() -> BTreeMap<usize, Vec<String>> {
    let mut by_row: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for file in ["src", "tests/it"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let text = fs::read_to_string(&file).expect("a source can be read");
        let file = file.strip_prefix(root()).expect("below the root");
        for (test, rows) in claims(file, &text).unwrap_or_else(|why| panic!("{why}")) {
            rows.into_iter().for_each(|row| by_row.entry(row).or_default().push(test.clone()));
        }
    }
    by_row
}

/// Returns the page with the lists made anew, and the rows that have neither tests nor a reason.
fn made_anew(page: &str, tests: &BTreeMap<usize, Vec<String>>) -> (String, Vec<usize>) {
    let (mut made, mut bare) = (String::new(), Vec::new());
    let mut rest = page;
    while let Some((before, list)) = rest.split_once(BEGIN) {
        let (head, list) = list.split_once("-->\n").expect("a head of the list");
        let (old, after) = list.split_once(END).expect("an end of the list");
        let (first, last) = head.trim().split_once(" to ").expect("`1 to 13`");
        let rows = first.parse().expect("a number")..=last.parse().expect("a number");
        made.push_str(&format!("{before}{BEGIN}{head}-->\n\n"));
        for row in rows {
            let reason = old.lines().find_map(|line| line.strip_prefix(&format!("- {row}: no test: ")));
            let line = match (tests.get(&row), reason) {
                (Some(tests), _) => tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join(", "),
                (None, Some(reason)) => format!("no test: {reason}"),
                (None, None) => {
                    bare.push(row);
                    "no test: ".to_owned()
                }
            };
            made.push_str(&format!("- {row}: {line}\n"));
            if line.len() < 30 && !bare.contains(&row) {
                bare.push(row);
            }
        }
        made.push_str(&format!("\n{END}"));
        rest = after;
    }
    made.push_str(rest);
    (made, bare)
}

#[test]
fn every_row_has_a_test_or_a_reason_and_the_lists_are_those_of_the_sources() {
    let file = root().join("docs/failures.md");
    let page = fs::read_to_string(&file).expect("docs/failures.md");
    let (made, bare) = made_anew(&page, &tests_by_row());
    if std::env::var_os("MTMIGRATE_BLESS").is_some() {
        fs::write(&file, &made).expect("the page can be written");
    } else {
        assert_eq!(page, made, "make the lists anew: MTMIGRATE_BLESS=1 cargo test --test it -- failures");
    }
    assert!(bare.is_empty(), "rows without a test: give each a test, or a reason behind `no test: `: {bare:?}");
}

#[test]
fn the_tables_have_every_row_once_and_in_order_and_each_is_in_a_list() {
    let page = fs::read_to_string(root().join("docs/failures.md")).expect("docs/failures.md");
    let number = |line: &str| line.split_whitespace().next().and_then(|word| word.parse::<usize>().ok());
    let rows: Vec<usize> = page.lines().filter_map(|line| number(line.strip_prefix("| ")?)).collect();
    assert_eq!(rows, (1..=ROWS).collect::<Vec<_>>());
    assert!(
        page.lines().filter(|line| line.starts_with("| ")).all(|line| line.matches(" | ").count() == 2),
        "three cells"
    );
    let listed = |line: &str| line.strip_prefix("- ")?.split_once(':')?.0.parse::<usize>().ok();
    assert_eq!(page.lines().filter_map(listed).collect::<Vec<_>>(), rows);
}

#[test]
fn a_claim_of_a_row_is_read_with_its_tests_path_or_refused() {
    let claim = |rows: &str| format!("{MARK}{rows} of docs/failures.md.");
    let text = format!(
        "mod inner {{\n    /// A story.\n    {}\n    #[tokio::test]\n    async fn deep() {{}}\n}}\n{}\n#[test]\nfn top() {{}}\n",
        claim(" 7"),
        claim("s 1, 58")
    );
    let read = claims(Path::new("tests/it/killed/mod.rs"), &text).unwrap();
    assert_eq!(read, [("killed::inner::deep".to_owned(), vec![7]), ("killed::top".to_owned(), vec![1, 58])]);
    let unit = claims(Path::new("src/sql/split.rs"), &format!("{}\n#[test]\nfn a() {{}}\n", claim(" 1"))).unwrap();
    assert_eq!(unit, [("lib sql::split::a".to_owned(), vec![1])]);
    for wrong in [
        format!("{}\nfn helper() {{}}\n", claim(" 1")),
        format!("{}\nconst X: u8 = 1;\n", claim(" 1")),
        format!("{}\n{}\n#[test]\nfn a() {{}}\n", claim(" 1"), claim(" 2")),
        format!("{}\n#[test]\nfn a() {{}}\n", claim(" 59")),
        format!("{}\n#[test]\nfn a() {{}}\n", claim(" one")),
        format!("{MARK} 1 of the page.\n#[test]\nfn a() {{}}\n"),
        claim(" 1"),
    ] {
        assert!(claims(Path::new("src/x.rs"), &wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_row_without_a_test_keeps_its_reason_and_one_without_either_is_told() {
    let page =
        format!("{BEGIN}1 to 3 -->\n- 2: no test: nobody can pull that plug in a test\n- 3: `gone::test`\n{END}\n");
    let tests = BTreeMap::from([(1, vec!["a_rather_long_path::of_a_test".to_owned(), "lib b::c".to_owned()])]);
    let (made, bare) = made_anew(&page, &tests);
    let wanted = "- 1: `a_rather_long_path::of_a_test`, `lib b::c`\n- 2: no test: nobody can pull that plug in a test\n- 3: no test: \n";
    assert!(made.contains(wanted), "{made}");
    assert_eq!(bare, [3]);
    assert_eq!(made_anew(&made, &tests), (made, bare));
}

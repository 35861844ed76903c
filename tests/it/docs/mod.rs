//! `docs/errors.md` and the codes are the same list.

mod figures;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mtmigrate::error::Code;

/// A code as the page or the program has it: `MT204`, its title, its exit status.
type Entry = (String, String, u8);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md")
}

/// Every code of the program, in order.
fn codes() -> Vec<Entry> {
    Code::ALL.iter().map(|code| (code.to_string(), code.title().to_owned(), code.exit().code())).collect()
}

/// The sections of the page, in order: heading and text.
fn sections(page: &str) -> Vec<(&str, &str)> {
    page.split("\n## ").skip(1).map(|section| section.split_once('\n').expect("a section with a text")).collect()
}

/// Returns the number that a text begins with.
fn leading_number(text: &str) -> u8 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no exit status: {text}"))
}

/// Returns a heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns every `MT` with three digits in a text.
fn mentions(text: &str) -> BTreeSet<String> {
    let named = text.split("MT").skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        (digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| format!("MT{digits}"))
    });
    named.collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the source folder can be listed");
    let below = entries.map(|entry| entry.expect("an entry can be read").path());
    let mut found: Vec<PathBuf> =
        below.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found
}

#[test]
fn every_code_has_its_section_with_its_title_and_exit_status_in_order() {
    let page = page();
    let told: Vec<Entry> = sections(&page)
        .into_iter()
        .map(|(heading, text)| {
            let (code, title) = heading.split_once(" · ").unwrap_or_else(|| panic!("no title: {heading}"));
            let first = text.trim_start().strip_prefix("Exit status ");
            let first = first.unwrap_or_else(|| panic!("{code} does not begin with its exit status"));
            (code.to_owned(), title.to_owned(), leading_number(first))
        })
        .collect();
    assert_eq!(told, codes());
}

#[test]
fn every_section_stands_in_the_chapter_of_its_codes() {
    let page = page();
    let chapters: Vec<(&str, &str)> =
        page.split("\n# ").skip(1).map(|chapter| chapter.split_once('\n').expect("a chapter with a text")).collect();
    let begins: Vec<&str> = chapters.iter().map(|(heading, _)| heading.get(..3).unwrap_or(heading)).collect();
    assert_eq!(begins, ["1xx", "2xx", "3xx", "4xx", "9xx"]);
    for (heading, text) in chapters {
        for (section, _) in sections(&format!("\n{text}")) {
            assert!(section.starts_with(&format!("MT{}", &heading[..1])), "{section} stands under {heading}");
        }
    }
}

#[test]
fn the_table_of_contents_leads_to_every_section() {
    let page = page();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| [MT")).collect();
    let wanted = codes().into_iter().map(|(code, title, _)| {
        let anchor = anchor(&format!("{code} · {title}"));
        format!("| [{code}](#{anchor}) | {title} | ")
    });
    let statuses = codes().into_iter().map(|(_, _, exit)| exit);
    assert_eq!(rows.len(), codes().len());
    for ((row, wanted), exit) in rows.into_iter().zip(wanted).zip(statuses) {
        let status = row.strip_prefix(&wanted).unwrap_or_else(|| panic!("{row}\nis not\n{wanted}"));
        assert_eq!(leading_number(status), exit, "{row}");
    }
}

#[test]
fn an_example_is_of_its_own_section_and_looks_as_messages_do() {
    let page = page();
    for (heading, text) in sections(&page) {
        let code = &heading[..5];
        let blocks: Vec<&str> = text.split("```\n").filter(|block| is_message(block)).collect();
        assert!(!blocks.is_empty(), "{code} has no example");
        for block in blocks {
            assert!(block.contains(&format!("[{code}]: ")), "{code}: {block}");
        }
    }
}

fn is_message(block: &str) -> bool {
    block.starts_with("error[") || block.starts_with("warning[")
}

#[test]
fn every_code_that_the_sources_or_the_page_mention_exists() {
    let known: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
    let mut files = sources(&root().join("src"));
    files.push(root().join("docs/errors.md"));
    for file in files {
        let text = fs::read_to_string(&file).expect("a source can be read");
        let unknown: Vec<String> = mentions(&text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{} mentions {unknown:?}", file.display());
    }
}

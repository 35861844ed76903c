//! Guards the ranks of the modules: each imports lower ranks only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the lowest rank up; those of one rank do not know each other. `ARCHITECTURE.md` shows the same.
const RANKS: [&[&str]; 11] = [
    &["error", "input", "planted"],
    &["sql"],
    &["schema"],
    &["changeset", "tenant"],
    &["history"],
    &["plan"],
    &["engine"],
    &["lockstep"],
    &["report"],
    &["cli"],
    &["simulation"],
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the source folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Returns the top-level modules that a source mentions by `crate::`.
fn mentions(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                found.extend(list.split(',').map(|item| item.trim().split("::").next().unwrap_or_default().to_owned()));
            }
            None => found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()),
        }
    }
    found
}

#[test]
fn a_module_imports_lower_ranks_only() {
    let rank: BTreeMap<&str, usize> =
        RANKS.iter().enumerate().flat_map(|(i, names)| names.iter().map(move |name| (*name, i))).collect();
    let mut broken = Vec::new();
    for file in sources(&root()) {
        let inside = file.strip_prefix(root()).expect("a source lies in src");
        let module = inside.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
        let Some(own) = rank.get(module.trim_end_matches(".rs")) else { continue };
        let text = fs::read_to_string(&file).expect("a source can be read");
        for used in mentions(&text) {
            let Some(other) = rank.get(used.as_str()) else { continue };
            if used != module && other >= own {
                broken.push(format!("{} (rank {own}) uses {used} (rank {other})", inside.display()));
            }
        }
    }
    assert!(broken.is_empty(), "imports against the ranks:\n{}", broken.join("\n"));
}

#[test]
fn every_module_of_the_library_has_a_rank_and_stands_on_the_map() {
    let library = fs::read_to_string(root().join("lib.rs")).expect("lib.rs can be read");
    let map = fs::read_to_string(root().join("../ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let ranked: Vec<&str> = RANKS.iter().flat_map(|names| names.iter().copied()).collect();
    for line in library.lines() {
        let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) else { continue };
        assert!(ranked.contains(&name), "module {name} has no rank in tests/architecture.rs");
        assert!(map.contains(&format!("`{name}`")), "module {name} is not on the map in ARCHITECTURE.md");
    }
}

#[test]
fn only_the_command_line_prints() {
    for file in sources(&root()) {
        let inside = file.strip_prefix(root()).expect("a source lies in src");
        let of_a_test = inside.components().any(|part| part.as_os_str() == "tests") || inside.starts_with("simulation");
        if inside.starts_with("cli") || inside == Path::new("main.rs") || of_a_test {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source can be read");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["println!", "eprintln!", "print!(", "stdout()", "stderr()"] {
            assert!(!code.contains(word), "{} has {word}", inside.display());
        }
    }
}

#[test]
fn engines_are_matched_on_in_one_place_only() {
    for file in sources(&root().join("lockstep")) {
        let text = fs::read_to_string(&file).expect("a source can be read");
        assert!(!text.contains("EngineKind::"), "{} knows an engine", file.display());
    }
}

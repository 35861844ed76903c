//! The files that a glob names: each part of its path may hold `*` and `?`, which match no `/`.

use std::fs;
use std::path::Path;

use super::glob::Glob;

/// The most files that a discovery looks at.
const LIMIT: usize = 1_000_000;

/// What SQLite leaves beside a database file.
const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Returns the regular files that match, sorted, with paths as the glob has them: relative to a folder, or absolute.
///
/// Names that begin with a point match only a part that does, and what SQLite leaves beside a database is none.
///
/// # Errors
/// Why a folder cannot be listed, or that a name in it is not UTF-8, in words.
pub(super) fn matching(folder: &Path, glob: &Glob) -> Result<Vec<String>, String> {
    let pattern = glob.to_string();
    let mut paths = vec![String::new()];
    let parts: Vec<&str> = pattern.split('/').collect();
    for (no, part) in parts.iter().enumerate() {
        let is_last = no + 1 == parts.len();
        let mut next = Vec::new();
        for path in paths {
            let below = |name: &str| if no == 0 { name.to_owned() } else { format!("{path}/{name}") };
            let part = Glob::new(part);
            if !part.is_open() {
                let path = below(&part.to_string());
                next.extend((!is_last || folder.join(&path).is_file()).then_some(path));
                continue;
            }
            let listed = if no == 0 { folder.to_owned() } else { folder.join(format!("{path}/")) };
            for name in names(&listed, |name| is_meant(&part, name))? {
                let path = below(&name);
                let found = folder.join(&path);
                next.extend((if is_last { found.is_file() } else { found.is_dir() }).then_some(path));
            }
            if next.len() > LIMIT {
                return Err(format!("more than {LIMIT} match"));
            }
        }
        paths = next;
    }
    paths.sort_unstable();
    let is_beside = |path: &str| {
        let database = BESIDE.iter().find_map(|ending| path.strip_suffix(ending));
        database.is_some_and(|database| folder.join(database).is_file())
    };
    paths.retain(|path| !is_beside(path));
    Ok(paths)
}

fn is_meant(part: &Glob, name: &str) -> bool {
    (!name.starts_with('.') || part.to_string().starts_with('.')) && part.matches(name)
}

/// Lists what is meant of a folder. One that is not there has nothing in it.
fn names(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
    let shown = folder.display();
    let entries = match fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{shown}: {error}")),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("{shown}: {error}"))?;
        match entry.file_name().into_string() {
            Ok(name) if is_meant(&name) => names.push(name),
            // What is not text stands for one character each here: enough to see whether it could match.
            Err(name) if is_meant(&name.to_string_lossy()) => {
                return Err(format!("a name in {shown} is not UTF-8 text: {}", name.to_string_lossy()));
            }
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_below_any_part_in_order_of_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["eu/b.db", "eu/a.db", "eu/a.db-wal", "eu/.x.db", "us/a.db", "us/a.txt", "top.db", "x-wal"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir(folder.path().join("eu/folder.db")).unwrap();
        let found = |pattern: &str| matching(folder.path(), &Glob::new(pattern)).unwrap();
        assert_eq!(found("eu/*.db"), ["eu/a.db", "eu/b.db"]);
        assert_eq!(found("*/a.??"), ["eu/a.db", "us/a.db"]);
        assert_eq!(found("*/*.db"), ["eu/a.db", "eu/b.db", "us/a.db"]);
        assert_eq!(found("eu/*"), ["eu/a.db", "eu/b.db"]);
        assert_eq!(found("eu/.*"), ["eu/.x.db"]);
        assert_eq!(found("*"), ["top.db", "x-wal"]);
        assert_eq!(found("top.db"), ["top.db"]);
        assert_eq!(found("./eu/../eu/a*"), ["./eu/../eu/a.db"]);
        assert_eq!(found("none/*.db"), [""; 0]);
        let absolute = folder.path().join("us/*.db").to_string_lossy().into_owned();
        assert_eq!(found(&absolute), [folder.path().join("us/a.db").to_string_lossy()]);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_text_is_told() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"a\xe9.db")), "").unwrap();
        let told = matching(folder.path(), &Glob::new("*.db")).unwrap_err();
        assert!(told.contains("is not UTF-8 text"), "{told}");
        assert_eq!(matching(folder.path(), &Glob::new("b*.db")), Ok(vec![]), "it cannot match");
    }
}

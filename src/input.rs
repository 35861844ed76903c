//! Reads the files that people name: regular ones, and only up to a limit.
//!
//! A FIFO would keep a command waiting for ever, a device has no end, and what was meant to be another file may be
//! larger than the memory. Symbolic links are followed. Start at [`read`].

use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// The largest changeset and the largest `tenants.yaml` that are read, in bytes: 64 MiB. Servers take less at once
/// (16 MiB is MariaDB's usual limit), and a fleet of a hundred thousand tenants is a quarter of it.
pub(crate) const FILE_LIMIT: u64 = 64 << 20;

/// Reads a whole file.
///
/// # Errors
/// As the file system says it; and, before anything is read, what is no regular file or larger than `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    check(&found, limit)?;
    // A file may grow, or be another one by now.
    let file = File::open(path)?;
    check(&file.metadata()?, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        len if len > limit => Err(too_large(len, limit)),
        _ => Ok(bytes),
    }
}

/// Looks whether [`read`] would read a file, and reads nothing.
///
/// # Errors
/// As there.
pub(crate) fn look(path: &Path, limit: u64) -> io::Result<()> {
    check(&fs::metadata(path)?, limit)?;
    check(&File::open(path)?.metadata()?, limit)
}

fn check(found: &Metadata, limit: u64) -> io::Result<()> {
    if !found.is_file() {
        return Err(io::Error::other(format!("it is {} and no regular file", kind(found.file_type()))));
    }
    if found.len() > limit { Err(too_large(found.len(), limit)) } else { Ok(()) }
}

fn too_large(len: u64, limit: u64) -> io::Error {
    let limit = if limit.is_multiple_of(1 << 20) { format!("{} MiB", limit >> 20) } else { format!("{limit} bytes") };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {len} bytes, and at most {limit} are read"))
}

/// Names what is no regular file.
pub(crate) fn kind(found: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let special = [
            (found.is_fifo(), "a FIFO"),
            (found.is_socket(), "a socket"),
            (found.is_char_device() || found.is_block_device(), "a device"),
        ];
        if let Some((_, name)) = special.into_iter().find(|(is, _)| *is) {
            return name;
        }
    }
    if found.is_dir() { "a folder" } else { "something else" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_no_byte_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().to_string(), "it has 5 bytes, and at most 4 bytes are read");
    }

    #[test]
    fn a_sparse_file_beyond_the_memory_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let refused = read(&path, FILE_LIMIT).unwrap_err();
        assert_eq!(refused.to_string(), "it has 1099511627776 bytes, and at most 64 MiB are read");
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for (path, kind) in [
            (folder.path(), "a folder"),
            (&socket, "a socket"),
            (&fifo, "a FIFO"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let refused = read(path, FILE_LIMIT).unwrap_err().to_string();
            assert_eq!(refused, format!("it is {kind} and no regular file"));
        }
    }
}

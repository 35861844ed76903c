//! The hash of a schema, and what must be the same before two of them mean anything to each other.

use std::fmt;

use sha2::{Digest, Sha256};

/// The format of snapshots and fingerprints. It changes when an attribute is added, removed or written otherwise:
/// fingerprints are in tenants' journals, and those of two formats cannot be compared.
pub const FORMAT: u16 = 1;

/// What is read beside the schema itself, because tenants.yaml asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Include {
    /// Comments on objects.
    pub comments: bool,
    /// Privileges on objects.
    pub grants: bool,
}

/// What a description is based on. Two with another basis are not comparable: neither equal nor different.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Basis {
    /// [`FORMAT`] at the time.
    pub format: u16,
    /// The engine and its major version, by which catalogs describe themselves differently: `postgres-15`,
    /// `mariadb-10.11`, `mysql-8.4`, `sqlite-3`.
    pub engine: String,
    /// What is read beside the schema.
    pub include: Include,
}

impl Basis {
    /// Makes the basis of what this mtmigrate reads.
    pub fn new(engine: impl Into<String>, include: Include) -> Self {
        Self { format: FORMAT, engine: engine.into(), include }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.format, self.engine)?;
        for (included, word) in [(self.include.comments, "+comments"), (self.include.grants, "+grants")] {
            if included {
                f.write_str(word)?;
            }
        }
        Ok(())
    }
}

/// The hash of a schema with its basis: `1/postgres-15/` and 32 hexadecimal digits. Persisted in journals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// What it is based on.
    pub basis: Basis,
    /// 32 hexadecimal digits.
    hash: String,
}

impl Fingerprint {
    /// Hashes the hashes of a schema's objects, in their order.
    ///
    /// SHA-256 over the basis and each hash, each ended by a line feed; its first 16 bytes.
    pub(super) fn of(basis: &Basis, objects: impl Iterator<Item = String>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(format!("{basis}\n"));
        for hash in objects {
            hasher.update(hash);
            hasher.update("\n");
        }
        Self { basis: basis.clone(), hash: hex(&hasher.finalize()[..16]) }
    }

    /// Reads the persisted text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (format, engine, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let is_hash = hash.len() == 32 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if parts.next().is_some() || !is_hash {
            return None;
        }
        let mut words = engine.split('+');
        let engine = words.next()?.to_owned();
        let mut include = Include::default();
        for word in words {
            match word {
                "comments" => include.comments = true,
                "grants" => include.grants = true,
                _ => return None,
            }
        }
        let basis = Basis { format: format.parse().ok()?, engine, include };
        let read = Self { basis, hash: hash.to_owned() };
        (read.to_string() == text).then_some(read)
    }

    /// Returns what is shown to people: the first 8 digits.
    pub fn short(&self) -> &str {
        &self.hash[..8]
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.basis, self.hash)
    }
}

/// Hashes one object's line: SHA-256, its first 8 bytes as 16 hexadecimal digits.
pub(super) fn object_hash(line: &str) -> String {
    hex(&Sha256::digest(line.as_bytes())[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_in_a_journal_is_read_back_and_anything_else_is_not_one() {
        let all = Include { comments: true, grants: true };
        for include in [Include::default(), all, Include { grants: true, ..Include::default() }] {
            let made = Fingerprint::of(&Basis::new("postgres-15", include), std::iter::empty());
            assert_eq!(Fingerprint::parse(&made.to_string()), Some(made));
        }
        let hash = "0123456789abcdef0123456789abcdef";
        for strange in ["", "1/postgres-15", "1/postgres-15/xyz", "x/postgres-15/H", "1/p+y/H", "01/p/H", "1/p/H/H"] {
            assert_eq!(Fingerprint::parse(&strange.replace('H', hash)), None, "{strange}");
        }
    }
}

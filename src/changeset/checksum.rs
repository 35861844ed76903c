//! Refinery's checksum of a changeset: persisted in every tenant, so nothing here can ever change.
//!
//! SipHash-1-3 with zero keys over Rust's `Hash` of name, version and text, in that order. The version is hashed as
//! the `i32` or the `i64` that refinery was compiled for; here both are known.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use super::decode::BOM;
use super::{Version, Width};

/// A text's checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksums {
    /// Absent when the version does not fit 32 bits.
    int4: Option<u64>,
    int8: u64,
    /// Of the text as other checkouts hold it, in both widths.
    elsewhere: Vec<u64>,
}

// With refinery's feature `int8-versions`, which any crate of a build turns on for all of them, its checksum would be
// the wide one under the narrow one's name. Better that such a build fails here.
const _: fn(&refinery::Migration) -> i32 = refinery::Migration::version;

impl Checksums {
    /// Computes the checksums of a normalised text; `raw` is the file's own text where normalising changed it.
    pub fn new(version: Version, name: &str, sql: &str, raw: Option<&str>) -> Self {
        let crlf = sql.replace('\n', "\r\n");
        let forms =
            [Some(crlf.clone()), Some(format!("{BOM}{sql}")), Some(format!("{BOM}{crlf}")), raw.map(Into::into)];
        let mut elsewhere = Vec::new();
        for form in forms.into_iter().flatten() {
            elsewhere.extend(narrow(version).map(|v| hash(name, v, &form)));
            elsewhere.push(hash(name, version.0, &form));
        }
        Self { int4: int4(version, name, sql), int8: hash(name, version.0, sql), elsewhere }
    }

    /// Returns the checksum in a width; the wide one where the version does not fit the narrow.
    pub fn of(&self, width: Width) -> u64 {
        match width {
            Width::Int4 => self.int4.unwrap_or(self.int8),
            Width::Int8 => self.int8,
        }
    }

    /// Returns whether a recorded checksum is of this text in any form and width.
    pub fn accept(&self, recorded: u64) -> bool {
        self.int4 == Some(recorded) || self.int8 == recorded || self.elsewhere.contains(&recorded)
    }
}

/// Asks refinery itself.
fn int4(version: Version, name: &str, sql: &str) -> Option<u64> {
    let version = narrow(version)?;
    refinery::Migration::unapplied(&format!("V{version}__{name}"), sql).ok().map(|m| m.checksum())
}

fn narrow(version: Version) -> Option<i32> {
    i32::try_from(version.0).ok()
}

fn hash(name: &str, version: impl Hash, sql: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    name.hash(&mut hasher);
    version.hash(&mut hasher);
    sql.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "CREATE TABLE orders (id integer);\nSELECT 1;\n";

    /// Covers row 38 of docs/failures.md.
    #[test]
    fn the_checksums_in_tenants_histories_never_change() {
        let made = Checksums::new(Version(7), "add_invoices", SQL, None);
        assert_eq!(made.of(Width::Int4), 431_504_339_612_287_942);
        assert_eq!(made.of(Width::Int8), 11_351_750_582_798_031_843);
        let made = Checksums::new(Version(20_261_121_093_000), "größe", "", None);
        assert_eq!(made.of(Width::Int4), 5_771_824_654_071_694_468, "a version beyond 32 bits has the wide one alone");
        assert_eq!(made.of(Width::Int8), 5_771_824_654_071_694_468);
    }

    #[test]
    fn the_narrow_checksum_is_refinerys() {
        for (version, name, sql) in [(0, "a", ""), (7, "add_invoices", SQL), (i32::MAX, "größe", "\u{0}\r\nü")] {
            let theirs = refinery::Migration::unapplied(&format!("V{version}__{name}"), sql).unwrap();
            assert_eq!(hash(name, version, sql), theirs.checksum());
            assert_eq!(Checksums::new(Version(version.into()), name, sql, None).of(Width::Int4), theirs.checksum());
        }
    }

    #[test]
    fn what_refinery_recorded_from_a_windows_checkout_is_the_same_text() {
        let made = Checksums::new(Version(7), "a", "x;\ny;\n", None);
        for form in ["x;\ny;\n", "x;\r\ny;\r\n", "\u{feff}x;\ny;\n", "\u{feff}x;\r\ny;\r\n"] {
            assert!(made.accept(hash("a", 7_i32, form)), "{form:?}");
            assert!(made.accept(hash("a", 7_i64, form)), "{form:?}");
        }
        assert!(!made.accept(hash("a", 7_i32, "x;\ny;")));
        assert!(!made.accept(hash("b", 7_i32, "x;\ny;\n")));
        assert!(!made.accept(hash("a", 8_i32, "x;\ny;\n")));
    }

    #[test]
    fn a_file_with_mixed_line_ends_is_the_text_that_refinery_recorded_from_it() {
        let raw = "x;\r\ny;\n";
        let recorded = hash("a", 7_i32, raw);
        assert!(!Checksums::new(Version(7), "a", "x;\ny;\n", None).accept(recorded));
        assert!(Checksums::new(Version(7), "a", "x;\ny;\n", Some(raw)).accept(recorded));
    }
}

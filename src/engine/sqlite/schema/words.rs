//! SQLite's keywords, in lower case. <https://www.sqlite.org/lang_keywords.html>

/// Those that are no names without quotes, and those that mean something else in quotes. `true` and `false` are none by
/// the manual, but belong to the latter.
#[rustfmt::skip]
pub(super) const RESERVED: [&str; 75] = [
    "add", "all", "alter", "and", "as", "autoincrement", "between", "case", "check", "collate", "commit",
    "constraint", "create", "cross", "current_date", "current_time", "current_timestamp", "default", "deferrable",
    "delete", "distinct", "drop", "else", "end", "escape", "except", "exists", "false", "foreign", "from", "full",
    "glob", "group", "having", "in", "index", "indexed", "inner", "insert", "intersect", "into", "is", "isnull",
    "join", "left", "like", "limit", "natural", "not", "nothing", "notnull", "null", "on", "or", "order", "outer",
    "primary", "references", "regexp", "returning", "right", "select", "set", "table", "then", "to", "transaction",
    "true", "union", "unique", "update", "using", "values", "when", "where",
];

/// Those that are names too, wherever the grammar wants one.
#[rustfmt::skip]
pub(super) const UNRESERVED: [&str; 74] = [
    "abort", "action", "after", "always", "analyze", "asc", "attach", "before", "begin", "by", "cascade", "cast",
    "column", "conflict", "current", "database", "deferred", "desc", "detach", "do", "each", "exclude", "exclusive",
    "explain", "fail", "filter", "first", "following", "for", "generated", "groups", "if", "ignore", "immediate",
    "initially", "instead", "key", "last", "match", "materialized", "no", "nulls", "of", "offset", "others", "over",
    "partition", "plan", "pragma", "preceding", "query", "raise", "range", "recursive", "reindex", "release",
    "rename", "replace", "restrict", "rollback", "row", "rows", "savepoint", "temp", "temporary", "ties", "trigger",
    "unbounded", "vacuum", "view", "virtual", "window", "with", "without",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_reserved_if_sqlite_takes_it_for_no_name_or_for_something_else_too() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let is_name = |word: &str| connection.prepare(&format!("CREATE TABLE t({word} TEXT)")).is_ok();
        let values = ["true", "false", "current_date", "current_time", "current_timestamp", "end"];
        let operators =
            ["cross", "full", "inner", "left", "natural", "outer", "right", "like", "glob", "regexp", "indexed"];
        for word in RESERVED {
            assert_eq!(is_name(word), values.contains(&word) || operators.contains(&word), "{word}");
        }
        for word in UNRESERVED {
            assert!(is_name(word), "{word}");
        }
    }
}

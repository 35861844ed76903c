//! Reads the stored texts of virtual tables, indexes, views and triggers.

use super::table::{Indexed, indexed, items, within};
use super::tokens::{Token, spelled, tokens};

/// A view's definition is broken into lines from this length on, in bytes.
const LINE: usize = 60;

/// What the text says of a virtual table.
pub(super) struct VirtualText {
    pub module: String,
    /// As the module got them, each in the canonical spelling.
    pub arguments: Vec<String>,
}

impl VirtualText {
    /// Reads a stored `CREATE VIRTUAL TABLE`.
    pub fn parse(sql: &str) -> Self {
        let tokens = tokens(sql);
        let using = tokens.iter().position(|token| token.is("using")).unwrap_or(tokens.len());
        let module = tokens.get(using + 1).map(|token| token.name().to_ascii_lowercase()).unwrap_or_default();
        let open = tokens.get(using + 2).filter(|token| token.is_mark("(")).map(|_| using + 2);
        let list = open.map(|open| within(&tokens, open)).filter(|list| !list.is_empty());
        Self { module, arguments: list.map(items).unwrap_or_default().into_iter().map(spelled).collect() }
    }
}

/// What the text says of an index.
pub(super) struct IndexText {
    pub columns: Vec<Indexed>,
    /// Of a partial index.
    pub predicate: Option<String>,
}

impl IndexText {
    /// Reads a stored `CREATE INDEX`.
    pub fn parse(sql: &str) -> Self {
        let tokens = tokens(sql);
        let open = tokens.iter().position(|token| token.is_mark("(")).unwrap_or(tokens.len());
        let list = within(&tokens, open);
        let rest = tokens.get(open + list.len() + 2..).unwrap_or_default();
        let predicate = rest.first().filter(|token| token.is("where")).map(|_| spelled(&rest[1..]));
        Self { columns: indexed(list), predicate }
    }
}

/// What the text says of a view.
pub(super) struct ViewText {
    /// The names that it gives its columns.
    pub columns: Option<String>,
    pub definition: String,
}

impl ViewText {
    /// Reads a stored `CREATE VIEW`.
    pub fn parse(sql: &str) -> Self {
        let tokens = tokens(sql);
        let at = tokens.iter().position(|token| token.is("as")).unwrap_or(0);
        let open = tokens[..at].iter().position(|token| token.is_mark("("));
        let columns = open.map(|open| spelled(within(&tokens[..at], open)));
        Self { columns, definition: clauses(tokens.get(at + 1..).unwrap_or_default()) }
    }
}

/// What the text says of a trigger.
pub(super) struct TriggerText {
    /// `after update of note`.
    pub event: String,
    pub condition: Option<String>,
    /// A statement on each line.
    pub body: String,
}

impl TriggerText {
    /// Reads a stored `CREATE TRIGGER`.
    pub fn parse(sql: &str) -> Self {
        let tokens = tokens(sql);
        // Behind the name.
        let from = tokens.iter().position(|token| token.is("trigger")).map_or(0, |at| at + 2).min(tokens.len());
        let find = |word: &str, from: usize| {
            tokens[from..].iter().position(|token| token.is(word)).map_or(tokens.len(), |at| from + at)
        };
        let on = find("on", from);
        let begin = find("begin", on);
        let when = find("when", on).min(begin);
        let event = spelled(&tokens[from..on]);
        let timed =
            ["before", "after", "instead"].iter().any(|word| tokens[from..on].first().is_some_and(|t| t.is(word)));
        let body = tokens.get(begin + 1..).unwrap_or_default();
        Self {
            event: if timed { event } else { format!("before {event}") },
            condition: (when < begin).then(|| spelled(&tokens[when + 1..begin])),
            body: spelled(body.split_last().filter(|(last, _)| last.is("end")).map_or(body, |(_, before)| before)),
        }
    }
}

/// Writes a query: each of its clauses on a line, unless it is short.
fn clauses(tokens: &[Token]) -> String {
    let whole = spelled(tokens);
    if whole.len() <= LINE {
        return whole;
    }
    let begins = |at: usize| {
        let words = ["from", "where", "group", "having", "order", "limit", "union", "intersect", "except", "window"];
        words.iter().any(|word| tokens[at].is(word)) && !tokens[..at].last().is_some_and(|before| before.is_mark("."))
    };
    let mut depth = 0_usize;
    let (mut lines, mut from) = (Vec::new(), 0);
    for at in 0..tokens.len() {
        if tokens[at].is_mark("(") {
            depth += 1;
        } else if tokens[at].is_mark(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && at > from && begins(at) {
            lines.push(spelled(&tokens[from..at]));
            from = at;
        }
    }
    lines.push(spelled(&tokens[from..]));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read() {
        let index = IndexText::parse("CREATE UNIQUE INDEX i ON t(a, lower(b) COLLATE nocase DESC) WHERE a>0");
        let columns: Vec<_> = index.columns.iter().map(|c| (c.what.as_str(), c.descending)).collect();
        assert_eq!(columns, [("a", false), ("lower(b)", true)]);
        assert_eq!(index.columns[1].collation.as_deref(), Some("nocase"));
        assert_eq!(index.predicate.as_deref(), Some("a > 0"));
    }

    #[test]
    fn a_trigger_is_read() {
        let trigger = TriggerText::parse(
            "CREATE TRIGGER x AFTER UPDATE OF a,b ON t FOR EACH ROW WHEN new.a > CASE WHEN 1 THEN 2 END \
             BEGIN DELETE FROM u; SELECT 1; END",
        );
        assert_eq!(trigger.event, "after update of a, b");
        assert_eq!(trigger.condition.as_deref(), Some("new.a > case when 1 then 2 end"));
        assert_eq!(trigger.body, "delete from u;\nselect 1;");
        assert_eq!(TriggerText::parse("CREATE TRIGGER x INSERT ON t BEGIN SELECT 1; END").event, "before insert");
    }

    #[test]
    fn a_view_is_read_and_a_long_one_has_a_line_for_each_clause() {
        let view = ViewText::parse("CREATE VIEW v(a, b) AS SELECT 1 , 2");
        assert_eq!((view.columns.as_deref(), view.definition.as_str()), (Some("a, b"), "select 1, 2"));
        let long = ViewText::parse(
            "CREATE VIEW v AS SELECT ref, note, (SELECT 1 FROM x) FROM orders WHERE ref IS NOT NULL ORDER BY ref",
        );
        assert_eq!(
            long.definition,
            "select ref, note, (select 1 from x)\nfrom orders\nwhere ref is not null\norder by ref"
        );
        assert_eq!(long.columns, None);
    }

    #[test]
    fn a_virtual_table_is_read() {
        let table = VirtualText::parse("CREATE VIRTUAL TABLE v USING FTS5(body,tokenize='porter  ascii')");
        assert_eq!(
            (table.module.as_str(), &table.arguments[..]),
            ("fts5", &["body".into(), "tokenize = 'porter  ascii'".into()][..])
        );
        assert!(VirtualText::parse("CREATE VIRTUAL TABLE v USING dbstat").arguments.is_empty());
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for sql in
            ["", "(", "CREATE TRIGGER", "CREATE TRIGGER x", "x AS", "x USING", "CREATE INDEX i ON t(a", "WHEN BEGIN"]
        {
            VirtualText::parse(sql);
            IndexText::parse(sql);
            ViewText::parse(sql);
            TriggerText::parse(sql);
        }
    }
}

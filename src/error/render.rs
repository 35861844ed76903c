//! Turns a diagnostic into text: the source excerpt by a library, the rest in the order that a reader needs.

use annotate_snippets::renderer::DEFAULT_TERM_WIDTH;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Diagnostic, Severity, plain};

/// Whether the text carries terminal colours. Readable without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// ANSI colours.
    Ansi,
    /// Plain text.
    Plain,
}

/// Renders several diagnostics, with an empty line between them.
pub fn render_all(all: &[Diagnostic], paint: Paint) -> String {
    all.iter().map(|one| render(one, paint)).collect::<Vec<_>>().join("\n\n")
}

/// Renders one diagnostic, without a final line feed.
///
/// Control characters in it are made visible: messages of servers, names and files come from strangers.
pub fn render(diagnostic: &Diagnostic, paint: Paint) -> String {
    let mut text = head(diagnostic, paint);
    for cause in diagnostic.causes() {
        line(&mut text, "cause", cause, paint);
    }
    if let Some(diff) = diagnostic.unified_diff() {
        text.push('\n');
        text.push_str(&painted_diff(diff, paint));
    }
    if let Some(state) = diagnostic.state_now() {
        line(&mut text, "state", state, paint);
    }
    if let Some(hint) = diagnostic.what_next() {
        line(&mut text, "hint", hint, paint);
    }
    for joined in diagnostic.joined() {
        text.push_str("\nthen ");
        text.push_str(&render(joined, paint));
    }
    text
}

fn head(diagnostic: &Diagnostic, paint: Paint) -> String {
    let level = match diagnostic.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = plain(diagnostic.message());
    let code = diagnostic.code().to_string();
    let title = level.primary_title(message.as_str()).id(code.as_str());
    let renderer = match paint {
        Paint::Ansi => Renderer::styled(),
        Paint::Plain => Renderer::plain(),
    }
    .term_width(DEFAULT_TERM_WIDTH);
    let Some(place) = diagnostic.place() else {
        return renderer.render(&[annotate_snippets::Group::with_title(title)]);
    };
    if place.excerpt.is_empty() {
        let head = renderer.render(&[annotate_snippets::Group::with_title(title)]);
        return format!("{head}\n --> {}", plain(&place.to_string()));
    }
    let start = byte_of(&place.excerpt, place.column - 1);
    let end = byte_of(&place.excerpt, place.column - 1 + place.len);
    let path = plain(&place.file);
    let snippet = Snippet::source(place.excerpt.as_str())
        .line_start(place.line)
        .path(path.as_str())
        .annotation(AnnotationKind::Primary.span(start..end.max(start)));
    renderer.render(&[title.element(snippet)])
}

/// Returns the byte at which the character with this number (from 0) begins, or the text's end.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

/// Returns a unified diff without a final line feed; what is gone in red, what came in green.
pub fn painted_diff(diff: &str, paint: Paint) -> String {
    use anstyle::{AnsiColor, Style};
    let style = |line: &str| match line.as_bytes().first() {
        Some(b'-') => Style::new().fg_color(Some(AnsiColor::Red.into())),
        Some(b'+') => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Some(b'@') => Style::new().fg_color(Some(AnsiColor::Cyan.into())),
        _ => Style::new(),
    };
    let line = |line: &str| match (paint, style(line)) {
        (Paint::Ansi, style) if style != Style::new() => format!("{style}{}{style:#}", plain(line)),
        _ => plain(line),
    };
    diff.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn line(text: &mut String, word: &str, what: &str, paint: Paint) {
    let style = anstyle::Style::new().bold();
    let word = match paint {
        Paint::Ansi => format!("{style}{word}{style:#}"),
        Paint::Plain => word.to_owned(),
    };
    text.push_str(&format!("\n{word}: {}", plain(what).replace('\n', "\n       ")));
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Place};
    use super::*;

    #[test]
    fn a_failure_reads_from_what_and_where_to_what_next() {
        let text = "\n\n\n\n\n\nCREATE UNIQUE INDEX orders_ref ON orders (ref);\n";
        let failure =
            Diagnostic::new(Code::CHANGESET_FAILED, "changeset V42__orders_ref failed on tenant acme (postgres)")
                .at(Place::in_text("migrations/V42__orders_ref.sql", text, 7, 1, 6))
                .cause("23505: could not create unique index \"orders_ref\"")
                .state("acme is unchanged (rolled back)")
                .hint("remove the duplicates, then run `mtmigrate up` again");
        assert_eq!(
            render(&failure, Paint::Plain),
            "error[MT204]: changeset V42__orders_ref failed on tenant acme (postgres)
 --> migrations/V42__orders_ref.sql:7:1
  |
7 | CREATE UNIQUE INDEX orders_ref ON orders (ref);
  | ^^^^^^
cause: 23505: could not create unique index \"orders_ref\"
state: acme is unchanged (rolled back)
hint: remove the duplicates, then run `mtmigrate up` again"
        );
    }

    #[test]
    fn a_second_failure_follows_the_first() {
        let first = Diagnostic::new(Code::CHANGESET_FAILED, "a");
        let both = first.join(Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, "b"));
        assert_eq!(render(&both, Paint::Plain), "error[MT204]: a\nthen error[MT212]: b");
    }
}

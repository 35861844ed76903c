//! What holds for any text, and for any statements put together from tokens.

use proptest::prelude::*;
use proptest::sample::select;

use super::tests_strategies::{dialects, mysql_mode, routines, scripts, soup};
use super::{Dialect, comments, hazards, position, split};

fn join(tokens: &[String], separators: &mut impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for (index, token) in tokens.iter().enumerate() {
        if index > 0 {
            text.extend(separators.next());
        }
        text.push_str(token);
    }
    text
}

fn texts(text: &str, dialect: Dialect) -> Result<Vec<&str>, TestCaseError> {
    match split(text, dialect) {
        Ok(statements) => Ok(statements.into_iter().map(|statement| statement.text).collect()),
        Err(error) => Err(TestCaseError::fail(format!("{dialect:?}: {error}\n{text}"))),
    }
}

fn check_any(text: &str, dialect: Dialect) -> Result<(), TestCaseError> {
    match split(text, dialect) {
        Ok(statements) => {
            let mut end = 0;
            for statement in &statements {
                prop_assert!(statement.offset >= end && !statement.text.is_empty());
                end = statement.offset + statement.text.len();
                prop_assert_eq!(text.get(statement.offset..end), Some(statement.text));
                prop_assert_eq!(position(text, statement.offset), (statement.line, statement.column));
                prop_assert_eq!(statement.text.trim_ascii(), statement.text);
            }
        }
        Err(error) => {
            prop_assert!(text.is_char_boundary(error.offset));
            prop_assert_eq!(position(text, error.offset), (error.line, error.column));
        }
    }
    if let Ok(found) = comments(text, dialect) {
        for comment in &found {
            prop_assert_eq!(text.get(comment.offset..comment.offset + comment.text.len()), Some(comment.text));
            prop_assert_eq!(position(text, comment.offset).0, comment.line);
        }
        prop_assert!(
            found.is_sorted_by(|a, b| a.offset < b.offset && a.before_first_statement >= b.before_first_statement)
        );
    }
    if let Ok(found) = hazards(text, dialect) {
        for hazard in &found {
            prop_assert_eq!(position(text, hazard.offset), (hazard.line, hazard.column));
            prop_assert!(hazard.words.chars().count() <= 60);
        }
        prop_assert!(found.is_sorted_by(|a, b| a.offset < b.offset));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_statements_in_order_at_their_places(text in any::<String>(), dialect in dialects()) {
        check_any(&text, dialect)?;
    }

    #[test]
    fn any_heap_of_marks_gives_statements_in_order_at_their_places(text in soup(true), dialect in dialects()) {
        check_any(&text, dialect)?;
    }

    #[test]
    fn a_statement_of_any_heap_of_marks_is_one_statement_alone(text in soup(false), dialect in dialects()) {
        // What comes before the first fault is mostly sound.
        let sound = split(&text, dialect).map_or_else(|error| error.offset, |_| text.len());
        for statement in split(&text[..sound], dialect).unwrap_or_default() {
            // MySQL's two dashes mean a comment at the end of a text and arithmetic elsewhere.
            if mysql_mode(dialect).is_some() && statement.text.contains("--") {
                continue;
            }
            prop_assert_eq!(texts(statement.text, dialect)?, vec![statement.text]);
        }
    }

    #[test]
    fn statements_joined_by_semicolons_split_back_into_themselves((dialect, statements, separators) in scripts()) {
        let spaces = vec![" ".to_owned()];
        for separators in [&spaces, &separators] {
            let mut separators = separators.iter().cloned().cycle();
            let expected: Vec<_> = statements.iter().map(|tokens| join(tokens, &mut separators)).collect();
            let mut text = String::new();
            for statement in &expected {
                text.extend(separators.next());
                text.push_str(statement);
                text.extend(separators.next());
                text.push(';');
            }
            prop_assert_eq!(&texts(&text, dialect)?, &expected);
            text.pop();
            prop_assert_eq!(&texts(&text, dialect)?, &expected, "without the last semicolon");
            for statement in &expected {
                prop_assert_eq!(texts(statement, dialect)?, vec![statement.as_str()]);
            }
        }
    }

    #[test]
    fn a_delimiter_and_none_give_the_same_statements(
        (dialect, statements, separators) in routines(),
        delimiter in select(vec!["//", "$$", ";;", "|", "~", "@@@", "END_OF_IT", "é"]),
    ) {
        // A delimiter that a token holds would end the statement there.
        let clash = |token: &String| !token.contains(['\'', '"', '`']) && token.contains(delimiter);
        prop_assume!(!statements.iter().flatten().any(clash));
        let mut separators = separators.iter().cloned().cycle();
        let expected: Vec<_> = statements.iter().map(|tokens| join(tokens, &mut separators)).collect();
        let plain: String = expected.iter().map(|statement| format!("{statement} ;\n")).collect();
        let mut delimited = format!("DELIMITER {delimiter}\n");
        for statement in &expected {
            delimited.push_str(&format!("{statement} {delimiter}\n"));
        }
        delimited.push_str("DELIMITER ;\nSELECT 1;");
        prop_assert_eq!(&texts(&plain, dialect)?, &expected);
        let mut found = texts(&delimited, dialect)?;
        prop_assert_eq!(found.pop(), Some("SELECT 1"));
        prop_assert_eq!(&found, &expected);
    }
}

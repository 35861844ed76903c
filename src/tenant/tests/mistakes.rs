//! Every mistake, rendered: the cases and their texts stand in `mistakes.txt`.

use proptest::prelude::*;

use super::*;

/// Cases begin with a line of `=`, a title and a line of `=`; the file's text is divided from the rendered mistakes by
/// a line of `-`.
const CASES: &str = include_str!("mistakes.txt");
const RULE: &str = "==========";
const DIVIDER: &str = "----------";

#[test]
fn every_mistake_says_what_is_wrong_where_and_what_to_do() {
    let mut actual = String::new();
    for case in CASES.split(&format!("{RULE}\n")).skip(1).collect::<Vec<_>>().chunks(2) {
        let [title, body] = case else { panic!("a case without a body: {case:?}") };
        let (text, _) = body.split_once(&format!("{DIVIDER}\n")).expect("a divider");
        let rendered = match fleet_with(text, &[("EMPTY", ""), ("WORD", "hidden")]) {
            Ok(_) => "no mistake".to_owned(),
            Err(mistakes) => mistakes,
        };
        actual.push_str(&format!("{RULE}\n{title}{RULE}\n{text}{DIVIDER}\n{rendered}\n"));
    }
    if actual != CASES {
        let path = std::env::temp_dir().join("mtmigrate-tenant-mistakes.txt");
        std::fs::write(&path, &actual).unwrap();
        panic!("the mistakes read differently now: compare mistakes.txt with {}", path.display());
    }
}

#[test]
fn the_mistakes_after_the_twentieth_are_counted() {
    let mut text = "tenants:\n".to_owned();
    for index in 0..37 {
        text.push_str(&format!("  - {{ name: t{index}, server: none, database: d }}\n"));
    }
    let rendered = fleet_with(&text, &[]).unwrap_err();
    assert_eq!(rendered.matches("names an unknown server").count(), 20);
    assert!(rendered.contains("and 17 more mistakes in tenants.yaml"), "{rendered}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let env: HashMap<&str, &str> = HashMap::new();
    let missing = super::super::load(&folder.path().join("none.yaml"), &env).unwrap_err();
    assert_eq!(missing[0].code(), crate::error::Code::FILE_UNREADABLE);
    std::fs::write(folder.path().join("latin1.yaml"), b"tenants: [\xe9]").unwrap();
    let latin1 = super::super::load(&folder.path().join("latin1.yaml"), &env).unwrap_err();
    assert_eq!(latin1[0].message(), "not UTF-8 text: byte 10 cannot be read");
}

#[test]
fn carriage_returns_and_a_byte_order_mark_move_no_place() {
    for text in ["tenants:\n  - nam: a\n", "\u{feff}tenants:\r\n  - nam: a\r\n"] {
        let env: HashMap<&str, &str> = HashMap::new();
        let mistakes = parse(Path::new("tenants.yaml"), text, &env).unwrap_err();
        let unknown = mistakes.iter().find(|mistake| mistake.code() == crate::error::Code::UNKNOWN_KEY).unwrap();
        assert_eq!(unknown.place().unwrap().to_string(), "tenants.yaml:2:5");
        assert_eq!(unknown.place().unwrap().len, 3);
    }
}

/// Pieces that make texts which come far: keys, values, references, YAML's own signs.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "tenants:",
        "sources:",
        "template: ",
        "registry: ",
        "discover: ",
        "command: ",
        "names: ",
        "query: ",
        "run: ",
        "schemas: ",
        "{tenant}",
        "{1}",
        "\n",
        "\n  - ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "name: ",
        "url: ",
        "servers:",
        "eu: ",
        "server: ",
        "database: ",
        "schema: ",
        "labels: ",
        "a",
        "\"",
        "'",
        "&a ",
        "*a",
        "<<: ",
        "!t ",
        "${",
        "A",
        ":-",
        "}",
        "file:",
        "$",
        "postgres://",
        "sqlite://",
        "mysql:",
        "@",
        "/",
        "?",
        "mode=rwc",
        "=",
        "&",
        "#",
        "%",
        "%00",
        "é",
        "\u{0}",
        "\t",
        "---\n",
        "0",
        "1e9",
        "5s",
        "quarantined: ",
        "true",
        "|\n",
        "? ",
        ": ",
        "~",
        "..",
        "\r",
        "\u{85}",
        "\u{2028}",
        "::1]",
    ];
    let piece = prop_oneof![8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}"];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![pieces(), pieces().prop_map(|p| format!("tenants:\n  - {p}")), any::<String>()]) {
        let _ = fleet_with(&text, &[("A", "x@y:/ü%")]);
    }
}

//! What a variable or a secret's file holds never shows, whatever is wrong around it.

use super::*;

const CANARY: &str = "CANARY-5ecret";

/// Files with `§` where the canary comes in; each is tried with a variable, a default-guarded one and a file.
const FILES: [&str; 34] = [
    "§: x",
    "tenants: §",
    "tenants: [§]",
    "migrations: §\ntenants: []",
    "defaults: §",
    "defaults: { tls: §, ca_file: §, client_cert: §, lock_timeout: §, max_connections: §, labels: § }",
    "servers: { eu: § }",
    "servers: { eu: { url: § } }",
    "servers: { eu: { url: \"postgres://u:§@h/§\" } }",
    "servers: { eu: { url: \"postgres://u@§\", lock_database: § } }",
    "servers: { eu: { url: \"sqlite://§?mode=§\" } }",
    "tenants: [{ name: §, server: § }]",
    "tenants: [{ name: §, url: \"sqlite://a.db\" }, { name: §, url: \"sqlite://a.db\" }]",
    "tenants: [{ name: a, server: §, database: § }]",
    "tenants: [{ name: a, url: §, quarantined: § }]",
    "tenants: [{ name: a, url: \"§://u@h/d\" }]",
    "tenants: [{ name: a, url: \"postgres://§\" }]",
    "tenants: [{ name: a, url: \"postgres://§:§@h\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h:§/d\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@[§]/d\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@%§/d\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h/a/§\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h/d#§\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h/d?§=1\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h/d?sslmode=§&connect_timeout=§\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h/d?password=other\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h/d?sslrootcert=§&sslcert=§\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h/%00\" }]",
    "tenants: [{ name: a, url: \"mysql://u:§@h/d?ssl-mode=§\" }]",
    "tenants: [{ name: a, url: \"mysql://u:§@h/mysql\" }]",
    "tenants: [{ name: a, url: \"sqlite://§/\" }]",
    "tenants: [{ name: a, url: \"sqlite://§#\" }]",
    "tenants: [{ name: a, url: \"postgres://u:§@h/d\", schema: pg_§, tls: § }]",
    "tenants: [{ name: a, url: \"postgres://u@h/d\", labels: [\"§\\n\"], lock_timeout: §, max_connections: § }]",
];

#[test]
fn what_a_variable_holds_is_in_no_diagnostic() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{CANARY}\n")).unwrap();
    let from_file = format!("${{file:{}}}", file.path().display());
    let long = CANARY.repeat(30);
    for text in FILES {
        for reference in ["${SECRET}", "${SECRET:-none}", "${LONG}", "${URL}", "${BAD_URL}", "${NUL}", &from_file] {
            // In a quoted text as it is, elsewhere quoted.
            let quoted = format!("\"{reference}\"");
            let mut made = String::new();
            for (index, part) in text.split('§').enumerate() {
                let inside = made.matches('"').count() % 2 == 1;
                if index > 0 {
                    made.push_str(if inside { reference } else { &quoted });
                }
                made.push_str(part);
            }
            let url = format!("postgres://u:{CANARY}@{CANARY}:x/{CANARY}");
            let variables = [
                ("SECRET", CANARY),
                ("LONG", &long),
                ("URL", &format!("postgres://u:{CANARY}@h/d")),
                ("BAD_URL", &url),
                ("NUL", &format!("{CANARY}\0\n")),
            ];
            match fleet_with(&made, &variables) {
                Ok(fleet) => drop(fleet),
                Err(rendered) => assert!(!rendered.contains("CANARY"), "{made}\n{rendered}"),
            }
        }
    }
}

#[test]
fn a_password_shows_neither_in_the_fleets_debug_text_nor_in_an_excerpt() {
    let text = "\
servers:
  eu: { url: \"postgres://u:${SECRET}@h\" }
tenants:
  - { name: a, server: eu, database: a }
  - { name: b, url: \"mysql://u:CANARY-literal@h/b\" }
  - { name: c, url: \"${URL}\" }
  - { name: d, url: \"postgres://h/d?user=u&password=${SECRET}\" }
";
    let variables = [("SECRET", CANARY), ("URL", "postgres://u:CANARY@h2/c")];
    let fleet = fleet_with(text, &variables).unwrap();
    assert!(fleet.tenants.iter().all(|tenant| !tenant.access.password.is_none()));
    let shown = format!("{fleet:?}");
    assert!(!shown.contains("CANARY"), "{shown}");
    let broken = fleet_with(&text.replace("/b\"", "/b?x=1\""), &variables).unwrap_err();
    assert!(broken.contains("mysql://u:") && !broken.contains("CANARY"), "{broken}");
}

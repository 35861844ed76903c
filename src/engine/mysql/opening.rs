//! What a text begins with beside the limits: the tenant's role and settings.
//!
//! A role adds to what the user that connected may do, so our own rows are written under it too
//! (<https://mariadb.com/kb/en/set-role/>, <https://dev.mysql.com/doc/refman/8.4/en/set-role.html>). A session that
//! has a role is closed behind the text, for no reset takes it away (MariaDB 10.11).

use mysql_async::ServerError;

use crate::engine::Order;
use crate::engine::stepwise::failed;
use crate::error::{Code, Diagnostic};
use crate::tenant::SessionSettings;

use super::fault;
use super::sql::{literal, name};

/// How many statements of an opening message come before these: `USE`, and `SET` with the limits.
pub(super) const BEFORE: usize = 2;

/// How a statement begins that takes a role.
pub(super) const SET_ROLE: &str = "SET ROLE ";

/// Returns the statements: the role, for a setting may need its rights, then each setting.
pub(super) fn statements(session: &SessionSettings) -> Vec<String> {
    let role = session.role().map(|role| format!("{SET_ROLE}{}", name(role)));
    let settings =
        session.settings.iter().map(|(key, setting)| format!("SET SESSION {} = {}", name(key), value(&setting.value)));
    role.into_iter().chain(settings).collect()
}

/// Writes a number as one, for a variable that is a number takes no text; else a literal.
fn value(setting: &str) -> String {
    let digits = setting.strip_prefix('-').unwrap_or(setting);
    let is_number = digits.split('.').count() <= 2
        && digits.len() <= 20
        && digits.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if is_number { setting.to_owned() } else { literal(setting) }
}

/// Says that a session cannot begin as the tenant's settings say. Nothing of the text has run.
pub(super) fn refused(order: &Order<'_>, error: &ServerError) -> Diagnostic {
    explained(failed(order, Code::SESSION_REFUSED), &order.tenant.session, error)
}

/// Says the same where no text is to run.
pub(super) fn cannot_begin(session: &SessionSettings, error: &ServerError) -> Diagnostic {
    let message = "a session cannot begin as tenants.yaml says";
    explained(Diagnostic::new(Code::SESSION_REFUSED, message), session, error)
}

fn explained(diagnostic: Diagnostic, session: &SessionSettings, error: &ServerError) -> Diagnostic {
    diagnostic
        .cause(session.hidden_in(&fault::server_words(error)))
        .hint("correct `role:` and `server_settings:` in tenants.yaml, or GRANT the role to the user that connects")
}

#[cfg(test)]
mod tests {
    use crate::tenant::Setting;

    use super::*;

    #[test]
    fn numbers_are_numbers_and_all_else_is_data() {
        for (setting, written) in [
            ("1", "1"),
            ("-1.5", "-1.5"),
            ("1.2.3", "_utf8mb4'1.2.3'"),
            ("-", "_utf8mb4'-'"),
            ("64M", "_utf8mb4'64M'"),
            ("1; DROP TABLE x", "_utf8mb4 x'313b2044524f50205441424c452078'"),
            ("", "_utf8mb4 x''"),
        ] {
            assert_eq!(value(setting), written, "{setting}");
        }
    }

    #[test]
    fn the_role_comes_first_and_names_are_quoted() {
        let session = SessionSettings {
            role: Some("a`b".into()),
            settings: [("sql_x".to_owned(), Setting { value: "on".into(), is_hidden: false })].into(),
            extensions_schema: None,
        };
        assert_eq!(statements(&session), ["SET ROLE `a``b`", "SET SESSION `sql_x` = _utf8mb4'on'"]);
        assert!(statements(&SessionSettings::default()).is_empty());
    }
}

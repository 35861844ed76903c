//! The stable codes of diagnostics. Each has a page in `docs/errors.md`; a code is never given a second meaning.

use super::ExitStatus;
use std::fmt;

/// A diagnostic's stable code, shown as `MT` and three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    number: u16,
    title: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MT{}", self.number)
    }
}

impl Code {
    /// Returns the heading of the code's page in `docs/errors.md`.
    pub fn title(self) -> &'static str {
        self.title
    }

    /// Returns the exit status of a command that stops with this code.
    pub fn exit(self) -> ExitStatus {
        match self.number {
            211 => ExitStatus::HalfApplied,
            100..200 => ExitStatus::Usage,
            200..300 => ExitStatus::Failed,
            300..400 => ExitStatus::Unreachable,
            400..500 => ExitStatus::Drift,
            _ => ExitStatus::Bug,
        }
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal $title:literal;)*) => {
        impl Code {
            $(#[doc = $title] pub const $name: Code = Code { number: $number, title: $title };)*

            /// Every code, in order of number.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];
        }
    };
}

codes! {
    // 1xx: files and usage; nothing was touched
    FILE_UNREADABLE = 101 "a file cannot be read or written";
    YAML_SYNTAX = 102 "tenants.yaml is not YAML";
    UNKNOWN_KEY = 103 "an unknown key in tenants.yaml";
    BAD_VALUE = 104 "a value or a required key in tenants.yaml is wrong or missing";
    DUPLICATE_TENANT = 105 "two tenants have one name";
    SHARED_SCHEMA = 106 "two tenants live in one schema";
    UNSET_VARIABLE = 107 "a variable or secret that tenants.yaml refers to is not there";
    BAD_URL = 108 "a datasource URL is not understood";
    UNKNOWN_SERVER = 109 "a tenant names a server that is not in tenants.yaml";
    EMPTY_SELECTION = 110 "a selection matches no tenant";
    UNKNOWN_TARGET = 111 "the target version is not in the changelog";
    ALREADY_THERE = 112 "a file that would be written exists";
    BAD_NAME = 113 "a name cannot be used";
    USAGE = 114 "the command line is not understood";
    BAD_TLS = 115 "TLS material cannot be used";
    EXPIRED_RULE = 116 "a rule of drift: ignore: is over";
    NO_PASSWORD = 117 "a password cannot be fetched";
    PASSWORD_FILE = 118 "a password file cannot be used";
    MISNAMED_CHANGESET = 120 "a file looks like a changeset but is misnamed";
    DUPLICATE_VERSION = 121 "two changesets have one version";
    NOT_UTF8 = 122 "a changeset is not UTF-8 text";
    BAD_DIRECTIVE = 123 "a directive is unknown, misplaced or malformed";
    TRANSACTION_CONTROL = 124 "a changeset begins or commits a transaction by itself";
    NOT_SQL = 125 "a changeset holds what only a client program understands";
    BROKEN_SQL = 126 "a changeset cannot be split into statements";
    NO_VARIANT = 127 "a changeset has no text for an engine of the fleet";
    BAD_VERSION = 128 "a version is out of range";
    EMPTY_CHANGESET = 129 "a changeset has no statement";
    FOREIGN_KEYS_PRAGMA = 130 "PRAGMA foreign_keys has no effect in a changeset";
    ORPHAN_DOWN = 131 "a .down.sql file has no changeset";
    OTHER_DATABASE = 132 "a changeset goes to another database";
    NEIGHBOUR = 133 "a changeset names another tenant's database";
    MISSING_VARIABLE = 134 "a template asks for a variable that a tenant has not";
    BAD_PLACEHOLDER = 135 "a placeholder of a template is wrong";
    BAD_VARIABLE = 136 "a variable's value cannot stand where a template puts it";
    CONTRADICTING_LABELS = 137 "two labels of a tenant give one thing two values";
    BAD_QUESTION = 140 "a source's query or program is wrong";
    BAD_TEMPLATE = 141 "a template cannot be filled in";
    BAD_ROW = 142 "a row of a source is not understood";
    BAD_LIST = 143 "what a source lists cannot be read";
    NOT_CONFIRMED = 150 "a wave must be confirmed, and nobody can be asked";
    UNKNOWN_WAVE = 151 "a wave is not in tenants.yaml";
    BAD_WAVE = 152 "waves cannot be as rollout: says";
    EMPTY_WAVE = 153 "a wave takes no tenant";
    OWN_SETTING = 154 "a setting of server_settings is mtmigrate's own";
    NO_CREATE = 155 "a tenant does not say how it is made";
    NO_CLIENT = 158 "a client program is missing";
    // 2xx: the run halted
    LOCK_TIMEOUT = 202 "a changeset waited too long for a lock";
    STATEMENT_TIMEOUT = 203 "a statement ran longer than its limit";
    CHANGESET_FAILED = 204 "a changeset failed";
    OUTCOME_UNKNOWN = 205 "the connection was lost and the outcome is unknown";
    LEFT_SCHEMA = 206 "the session is not in the tenant's schema";
    FOREIGN_KEYS_BROKEN = 207 "rows violate a foreign key after the changeset";
    INVALID_INDEX = 208 "an index is invalid";
    TOO_LARGE = 209 "a changeset is larger than the server takes";
    CANCELLED = 210 "a changeset was cancelled by an interrupt";
    HALF_APPLIED = 211 "a tenant is half applied";
    JOURNAL_NOT_WRITTEN = 212 "the journal could not be written";
    LOCK_LOST = 213 "the run lock was lost";
    OUTSIDE = 214 "a changeset reaches outside its tenant";
    CHECK_FAILED = 215 "a check between two waves failed";
    REFUSED_BY_PERSON = 216 "a wave was not confirmed";
    // 3xx: nothing was changed, try again
    LOCK_HELD = 301 "another run holds the lock";
    LOCK_FAILED = 302 "the run lock cannot be taken";
    STILL_AT_WORK = 303 "a statement of an earlier run is still at work";
    UNREACHABLE = 310 "a server cannot be reached";
    ACCESS_DENIED = 311 "a server refuses the user";
    NO_DATABASE = 312 "a tenant's database does not exist";
    NO_SCHEMA = 313 "a tenant's schema does not exist";
    TLS_FAILED = 314 "a TLS connection cannot be made";
    NO_PRIVILEGE = 315 "the user lacks a privilege";
    READ_ONLY = 316 "a server takes no writes";
    POOLED = 317 "a connection pooler stands in between";
    READ_FAILED = 318 "a tenant's history cannot be read";
    CASE_FOLDED = 319 "two tenants' databases are one on this server";
    NO_CONNECTION = 320 "a server has no free connection";
    SOURCE_FAILED = 321 "a source of tenants cannot be asked";
    TOO_FEW_TENANTS = 322 "a source gives fewer tenants than it must";
    NO_HOST = 323 "no host of a server is what is asked for";
    SESSION_REFUSED = 324 "a session cannot begin as tenants.yaml says";
    NOT_PROVISIONED = 325 "a tenant cannot be provisioned";
    QUESTION_FAILED = 326 "a question to a database was not answered";
    // 4xx: drift
    CHANGED_TEXT = 401 "an applied changeset's text was changed";
    MISSING_FILE = 402 "an applied changeset's file is missing";
    OUT_OF_ORDER = 403 "a changeset is older than what a tenant has";
    UNKNOWN_VERSION = 404 "a tenant has a version that the changelog does not know";
    STRANGE_ROW = 405 "a history row is not understood";
    SCHEMA_CHANGED = 410 "a tenant's schema was changed by hand";
    SCHEMA_DEVIATES = 411 "a tenant's schema is not what its cohort has";
    SCHEMA_UNDECIDED = 412 "tenants differ and nothing says which of them is right";
    // 9xx
    BUG = 900 "a bug in mtmigrate";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_number_in_order() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
}

//! Which names a server takes as they are, and which it would cut, fold or keep for itself.

/// Why a name is refused, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) why: String,
    pub(super) hint: &'static str,
}

fn refuse<T>(why: impl Into<String>, hint: &'static str) -> Result<T, Refusal> {
    Err(Refusal { why: why.into(), hint })
}

/// PostgreSQL cuts longer names, and two may then collide (`NAMEDATALEN` - 1;
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
const POSTGRES_BYTES: usize = 63;

/// <https://dev.mysql.com/doc/refman/8.4/en/identifier-length.html>
const MYSQL_CHARS: usize = 64;

/// The schemas of the server itself; their names are not told apart by case everywhere.
const MYSQL_SYSTEM: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// The longest name of a tenant, in characters.
const TENANT_CHARS: usize = 255;

/// Checks a tenant's name: any text that can be printed.
pub(super) fn check_tenant(name: &str) -> Result<(), Refusal> {
    let len = name.chars().count();
    if name.is_empty() {
        return refuse("is empty", "give every tenant a name of its own");
    }
    if name.chars().any(char::is_control) {
        return refuse("holds control characters", "a name may hold any characters that can be printed");
    }
    if len > TENANT_CHARS {
        return refuse(format!("has {len} characters"), "a tenant's name has at most 255 characters");
    }
    Ok(())
}

/// Checks the name of a PostgreSQL database, or of anything else there.
pub(super) fn check_postgres(name: &str) -> Result<(), Refusal> {
    check_any(name)?;
    if name.len() > POSTGRES_BYTES {
        let why = format!("has {} bytes", name.len());
        return refuse(why, "PostgreSQL cuts names after 63 bytes, and two tenants could become one");
    }
    Ok(())
}

/// Checks the name of a PostgreSQL schema.
pub(super) fn check_postgres_schema(name: &str) -> Result<(), Refusal> {
    check_postgres(name)?;
    if name.starts_with("pg_") || name == "information_schema" {
        return refuse("belongs to the server", "choose a schema that is the tenant's own");
    }
    Ok(())
}

/// Checks the name of a MySQL or MariaDB database.
pub(super) fn check_mysql(name: &str) -> Result<(), Refusal> {
    check_any(name)?;
    let len = name.chars().count();
    if len > MYSQL_CHARS {
        return refuse(format!("has {len} characters"), "MySQL takes at most 64 characters");
    }
    if name.ends_with(' ') || name.chars().any(|c| u32::from(c) > 0xFFFF) {
        let hint = "MySQL takes no space at a name's end and no characters beyond U+FFFF";
        return refuse("cannot be a MySQL name", hint);
    }
    if MYSQL_SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(name)) {
        return refuse("belongs to the server", "choose a database that is the tenant's own");
    }
    Ok(())
}

fn check_any(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return refuse("is empty", "no server has a name of no characters");
    }
    if name.contains('\0') {
        return refuse("holds a NUL character", "no server takes one in a name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_where_a_server_would_cut_or_keep_it() {
        let why = |check: fn(&str) -> Result<(), Refusal>, name: &str| check(name).err().map(|refusal| refusal.why);
        let of_32_umlauts = "ü".repeat(32);
        for (check, name, refused) in [
            (check_tenant as fn(&str) -> _, "x\"; DROP SCHEMA y; -- 名", None),
            (check_tenant, "", Some("is empty")),
            (check_tenant, "a\nb", Some("holds control characters")),
            (check_tenant, &"x".repeat(256), Some("has 256 characters")),
            (check_tenant, &"ü".repeat(255), None),
            (check_postgres, &"x".repeat(63), None),
            (check_postgres, &of_32_umlauts, Some("has 64 bytes")),
            (check_postgres, "a\0", Some("holds a NUL character")),
            (check_postgres, "pg_x", None),
            (check_postgres_schema, "pg_x", Some("belongs to the server")),
            (check_postgres_schema, "information_schema", Some("belongs to the server")),
            (check_postgres_schema, "select", None),
            (check_mysql, &"ü".repeat(64), None),
            (check_mysql, &"x".repeat(65), Some("has 65 characters")),
            (check_mysql, "Information_Schema", Some("belongs to the server")),
            (check_mysql, "a ", Some("cannot be a MySQL name")),
            (check_mysql, "😀", Some("cannot be a MySQL name")),
        ] {
            assert_eq!(why(check, name).as_deref(), refused, "{name}");
        }
    }
}

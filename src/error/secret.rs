//! Secrets as a type, and the masking of text that may hold one.

use secrecy::{ExposeSecret, SecretString};

/// A password or another secret: it has no `Display`, and its `Debug` says nothing.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Returns the secret itself, for the call that hands it to a driver.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns a stranger's text without the secret of a user, if there is one. Where both are the same word it is no secret,
    /// and servers name the user.
    pub fn hide(secret: Option<&Self>, user: &str, text: String) -> String {
        match secret {
            Some(secret) if secret.reveal() != user => secret.hidden_in(&text),
            _ => text,
        }
    }

    /// Returns a stranger's text without the secret: a server that was given the password may repeat it.
    pub fn hidden_in(&self, text: &str) -> String {
        match self.reveal() {
            "" => text.to_owned(),
            secret => text.replace(secret, "***"),
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Eq for Secret {}

impl std::hash::Hash for Secret {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.reveal().hash(state);
    }
}

/// How names of parameters and keys begin, or go on, whose values are secret; misspelled ones too.
const SECRET_KEYS: [&str; 4] = ["passw", "passphrase", "pwd", "secret"];

/// Returns a line with every password in it replaced by as many `*`: the user information of URLs, and the values of
/// keys and parameters named like a password. The number of characters stays, so that columns stay true.
pub fn mask(line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    mask_urls(&mut chars);
    mask_pairs(&mut chars);
    mask_keys(&mut chars);
    chars.into_iter().collect()
}

/// As [`mask`], for words of ours that may quote a URL: their `password:` is no key.
pub(super) fn mask_quoted(text: String) -> String {
    // Few texts have one, and every diagnostic comes by.
    if !text.contains('@') && !text.contains("://") {
        return text;
    }
    let masked = text.split('\n').map(|line| {
        let mut chars: Vec<char> = line.chars().collect();
        mask_urls(&mut chars);
        mask_pairs(&mut chars);
        chars.into_iter().collect::<String>()
    });
    masked.collect::<Vec<_>>().join("\n")
}

/// Masks what stands between `:` and `@` in one word: a URL whose `://` was mistyped, or that has no scheme.
fn mask_pairs(chars: &mut [char]) {
    let ends_word = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let mut start = 0;
    while start < chars.len() {
        let end = (start..chars.len()).find(|&i| ends_word(chars[i])).unwrap_or(chars.len());
        let colon = (start..end).find(|&i| chars[i] == ':');
        let last_at = (start..end).rev().find(|&i| chars[i] == '@');
        if let (Some(colon), Some(last_at)) = (colon, last_at)
            // `://` was dealt with, and `a::jsonb@>b` is SQL.
            && colon < last_at
            && chars[colon + 1] != ':'
            && find(&chars[start..end], 0, "://").is_none()
        {
            blank(&mut chars[colon + 1..last_at]);
        }
        start = end + 1;
    }
}

/// Masks from the first `:` after `://` to the last `@` before white space, a quote at the end, or the line's end.
fn mask_urls(chars: &mut [char]) {
    let mut at = 0;
    while let Some(found) = find(chars, at, "://") {
        let start = found + 3;
        let end = (start..chars.len())
            .find(|&i| chars[i].is_whitespace() || matches!(chars[i], '"' | '\'' | ',' | '}'))
            .unwrap_or(chars.len());
        // A password may hold the very characters that end a URL, so the last `@` of the whole line counts.
        let last_at = (start..chars.len()).rev().find(|&i| chars[i] == '@');
        let colon = (start..chars.len()).find(|&i| chars[i] == ':');
        match (colon, last_at) {
            (Some(colon), Some(last_at)) if colon < last_at => blank(&mut chars[colon + 1..last_at]),
            // No `@`: what follows a colon and is no port may be a password whose `@` was forgotten.
            (Some(colon), None) if colon < end => {
                let tail = colon + 1..end;
                let port: String = chars[tail.clone()].iter().take_while(|c| c.is_ascii_digit()).collect();
                let rest = chars.get(colon + 1 + port.len()).copied();
                if port.is_empty() || !matches!(rest, None | Some('/' | '?' | '"' | '\'' | ' ' | ',' | '}')) {
                    blank(&mut chars[tail]);
                }
            }
            _ => {}
        }
        at = start;
    }
}

/// Masks the value after `password=` and `password:`.
fn mask_keys(chars: &mut [char]) {
    for key in SECRET_KEYS {
        let mut at = 0;
        while let Some(found) = find(chars, at, key) {
            at = found + key.len();
            while chars.get(at).is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
                at += 1;
            }
            let quoted = chars.get(at).is_some_and(|c| matches!(c, '"' | '\''));
            let mut i = at + usize::from(quoted);
            while chars.get(i) == Some(&' ') {
                i += 1;
            }
            if !matches!(chars.get(i), Some('=' | ':')) {
                continue;
            }
            i += 1;
            while chars.get(i) == Some(&' ') {
                i += 1;
            }
            let end = match chars.get(i) {
                Some(&quote @ ('"' | '\'')) => {
                    i += 1;
                    (i..chars.len()).rev().find(|&j| chars[j] == quote).unwrap_or(chars.len())
                }
                _ => (i..chars.len()).find(|&j| chars[j] == '&').unwrap_or(chars.len()),
            };
            blank(&mut chars[i..end]);
        }
    }
}

fn blank(chars: &mut [char]) {
    // `${VAR}` is a reference, not a secret: it helps the reader, so a masked part that is one stays.
    let text: String = chars.iter().collect();
    if text.starts_with("${") && text.ends_with('}') && !text[2..].contains("${") && !text.contains(":-") {
        return;
    }
    chars.fill('*');
}

fn find(chars: &[char], from: usize, needle: &str) -> Option<usize> {
    let needle: Vec<char> = needle.chars().collect();
    (from..chars.len().saturating_sub(needle.len() - 1))
        .find(|&i| chars[i..i + needle.len()].iter().zip(&needle).all(|(a, b)| a.to_ascii_lowercase() == *b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_line_is_masked_whatever_characters_it_holds() {
        for (line, masked) in [
            ("url: postgres://u:pw@h/d", "url: postgres://u:**@h/d"),
            ("url: \"mysql://u:p@s/w:d@h:3306/d\"", "url: \"mysql://u:*******@h:3306/d\""),
            ("{ url: postgres://u:a b'c@h/d }", "{ url: postgres://u:*****@h/d }"),
            ("url: postgres://u:${PW}@h/d", "url: postgres://u:${PW}@h/d"),
            ("url: postgres://u:${PW:-dev}@h/d", "url: postgres://u:**********@h/d"),
            ("url: postgres://h:5432/d", "url: postgres://h:5432/d"),
            ("url: postgres://u:forgotten/d", "url: postgres://u:***********"),
            ("password: hunter2", "password: *******"),
            ("PASSWORD = 'hunter2' ", "PASSWORD = '*******' "),
            ("postgres://h/d?passwort=x&sslmode=require", "postgres://h/d?passwort=*&sslmode=require"),
            ("db_passwd_2: x", "db_passwd_2: *"),
            ("postgres://h/d?password=x&sslmode=require", "postgres://h/d?password=*&sslmode=require"),
            ("url: postgres//u:pw@h/d", "url: postgres//u:**@h/d"),
            ("url: postgres:/u:pw@h/d", "url: postgres:*****@h/d"),
            ("u:p@w@h:5432", "u:***@h:5432"),
            ("url: u:${PW}@h/d", "url: u:${PW}@h/d"),
            ("SELECT a::jsonb@>b, c @> d", "SELECT a::jsonb@>b, c @> d"),
            ("- { name: acme, labels: [prod] }", "- { name: acme, labels: [prod] }"),
        ] {
            assert_eq!(mask(line), masked);
        }
    }

    #[test]
    fn a_secret_shows_nothing_under_debug() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}

//! Servers that refuse, that are not there, and that are something else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::spawn;
use std::time::Duration;

use super::LOUD;
use crate::support::{CANARY, Fleet, USER, mariadb, percent_encoded, postgres};

/// A fleet of one tenant at this URL.
fn at(url: &str) -> Fleet {
    let mut fleet = Fleet::new();
    fleet.sqlite("a").changeset("V1__a.sql", "CREATE TABLE a (id int)");
    fleet.set("a", "url", &serde_json::to_string(url).unwrap());
    fleet.set("a", "connect_timeout", "500ms");
    fleet
}

/// What connects, and ends with 5 where a tenant cannot be had.
const CONNECTING: [&[&str]; 6] = [
    &["up"],
    &["up", "--format", "json"],
    &["plan"],
    &["status", "--check"],
    &["status", "--check", "--format", "json"],
    &["history"],
];

#[track_caller]
fn assert_unreachable(url: &str) {
    let mut fleet = at(url);
    fleet.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    for loud in LOUD {
        for verb in CONNECTING {
            let args: Vec<&str> = loud.iter().chain(verb).copied().collect();
            let output = fleet.run(&args);
            assert_eq!(output.status, 5, "{args:?} {output}");
        }
    }
}

fn url(scheme: &str, port: u16) -> String {
    format!("{scheme}://{USER}:{}@127.0.0.1:{port}/d", percent_encoded(CANARY))
}

#[test]
fn a_refused_password_a_missing_database_and_an_unknown_host_do_not_show_it() {
    let wrong = format!("{CANARY}wrong");
    for url in [
        postgres(0).url_as(USER, &wrong, "127.0.0.1", "postgres"),
        mariadb(0).url_as(USER, &wrong, "127.0.0.1", "mtmigrate"),
        postgres(0).url_as("nobody", CANARY, "127.0.0.1", "postgres"),
        mariadb(0).url_as("nobody", CANARY, "127.0.0.1", "mtmigrate"),
        postgres(0).url("no_such_database"),
        mariadb(0).url("no_such_database"),
        postgres(0).url_as(USER, CANARY, "no-such-host.invalid", "d"),
        mariadb(0).url_as(USER, CANARY, "no-such-host.invalid", "d"),
    ] {
        assert_unreachable(&url);
    }
}

#[test]
fn a_port_where_nobody_listens_does_not_show_it() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["postgres", "mysql"] {
        assert_unreachable(&url(scheme, port));
    }
}

/// A server on a free port; each connection is handled by `answer`.
fn listener(answer: impl Fn(TcpStream) -> std::io::Result<()> + Send + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            // Ends when the other side does.
            spawn(move || drop(answer(stream)));
        }
    });
    port
}

#[test]
fn a_server_that_speaks_something_else_does_not_bring_it_out() {
    let http = listener(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno\n"));
    let noise = listener(|mut stream| {
        let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        stream.write_all(&noise)
    });
    let echo = listener(|mut stream| {
        let mut bytes = [0; 4096];
        loop {
            let count = stream.read(&mut bytes)?;
            if count == 0 {
                return Ok(());
            }
            stream.write_all(&bytes[..count])?;
        }
    });
    let closes = listener(|_| Ok(()));
    let silent = listener(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
    for port in [http, noise, echo, closes] {
        for scheme in ["postgres", "mysql"] {
            assert_unreachable(&url(scheme, port));
        }
    }
    // Each attempt takes its whole limit.
    for scheme in ["postgres", "mysql"] {
        let fleet = at(&url(scheme, silent));
        for args in [&["up", "-v", "-v"][..], &["status", "--check", "--log-format", "json"]] {
            fleet.run(args).expect(5);
        }
    }
}

#[test]
fn a_server_that_asks_for_the_password_in_clear_text_and_repeats_it_in_its_refusal_is_not_quoted() {
    let port = listener(|mut stream| {
        // The request for TLS, or the startup message at once.
        let mut length = [0; 4];
        loop {
            stream.read_exact(&mut length)?;
            let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
            stream.read_exact(&mut rest)?;
            if rest[..4] != 80_877_103_u32.to_be_bytes() {
                break;
            }
            stream.write_all(b"N")?;
        }
        // AuthenticationCleartextPassword, then what libpq calls a PasswordMessage.
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let mut password = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
        stream.read_exact(&mut password)?;
        let password = String::from_utf8_lossy(&password).replace('\0', "");
        let mut fields = Vec::new();
        for field in ["SFATAL", "VFATAL", "C28P01", &format!("Mpassword {password} is wrong"), &format!("D{password}")]
        {
            fields.extend(field.bytes().chain([0]));
        }
        fields.push(0);
        stream.write_all(b"E")?;
        stream.write_all(&(fields.len() as u32 + 4).to_be_bytes())?;
        stream.write_all(&fields)
    });
    assert_unreachable(&url("postgres", port));
}

//! The proxy does what a network does, and nothing where it was not told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use crate::support::gate::wait_until;
use crate::support::proxy::{Deed, Point, Trap, Way};
use crate::support::{Fleet, Proxy, mariadb, postgres};

/// A server that answers each chunk in capitals, and what one of its connections received in all.
struct Echo {
    listener: TcpListener,
}

impl Echo {
    fn start() -> (Echo, Proxy) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().port());
        (Echo { listener }, proxy)
    }

    /// Connects a client through the proxy.
    fn connect(&self, proxy: &Proxy) -> (TcpStream, JoinHandle<String>) {
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (mut server, _) = self.listener.accept().unwrap();
        let received = spawn(move || {
            let (mut received, mut buffer) = (String::new(), [0; 1024]);
            while let Ok(count @ 1..) = server.read(&mut buffer) {
                let chunk = str::from_utf8(&buffer[..count]).unwrap();
                received += chunk;
                if server.write_all(chunk.to_uppercase().as_bytes()).is_err() {
                    break;
                }
            }
            received
        });
        (client, received)
    }
}

fn ask(client: &mut TcpStream, text: &str) -> std::io::Result<String> {
    client.write_all(text.as_bytes())?;
    answer(client)
}

fn answer(client: &mut TcpStream) -> std::io::Result<String> {
    let mut buffer = [0; 1024];
    let count = client.read(&mut buffer)?;
    Ok(String::from_utf8(buffer[..count].to_vec()).unwrap())
}

/// True if nothing arrives for a while.
fn is_silent(client: &mut TcpStream) -> bool {
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let silent = answer(client).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    silent
}

#[test]
fn a_proxy_passes_everything_on_counts_connections_and_carries_an_end_over() {
    let (echo, proxy) = Echo::start();
    let (mut client, received) = echo.connect(&proxy);
    assert_eq!(ask(&mut client, "one").unwrap(), "ONE");
    let (mut second, _) = echo.connect(&proxy);
    assert_eq!(ask(&mut second, "two").unwrap(), "TWO");
    assert_eq!((proxy.connections(), proxy.open()), (2, 2));
    drop(client);
    assert_eq!(received.join().unwrap(), "one");
}

#[test]
fn what_is_sent_without_waiting_is_one_flight() {
    let (echo, proxy) = Echo::start();
    let (mut client, _) = echo.connect(&proxy);
    for (text, answer) in [("one", "ONE"), ("two", "TWO")] {
        assert_eq!(ask(&mut client, text).unwrap(), answer);
    }
    assert_eq!(proxy.flights(), 2);
    proxy.freeze_way(Way::ToClient);
    client.write_all(b"a").unwrap();
    wait_until("the proxy has read", || proxy.flights() == 3);
    client.write_all(b"b").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(proxy.flights(), 3);
    proxy.thaw();
    assert!(answer(&mut client).is_ok());
}

#[test]
fn a_frozen_proxy_accepts_bytes_and_forwards_none_until_it_is_thawed() {
    let (echo, proxy) = Echo::start();
    let (mut client, received) = echo.connect(&proxy);
    assert_eq!(ask(&mut client, "a").unwrap(), "A");
    proxy.freeze_way(Way::ToClient);
    client.write_all(b"b").unwrap();
    assert!(is_silent(&mut client));
    proxy.thaw();
    assert_eq!(answer(&mut client).unwrap(), "B");
    proxy.freeze();
    client.write_all(&[b'x'; 500]).unwrap();
    assert!(is_silent(&mut client));
    assert_eq!(proxy.open(), 1);
    proxy.cut();
    assert_eq!(answer(&mut client).unwrap(), "", "an end of the stream");
    assert_eq!(received.join().unwrap(), "ab", "the kept bytes are lost");
    proxy.thaw();
    let (mut client, _) = echo.connect(&proxy);
    assert_eq!(ask(&mut client, "c").unwrap(), "C");
}

#[test]
fn a_cut_is_an_end_a_reset_is_an_error_and_a_refused_connection_does_not_come_in() {
    let (echo, proxy) = Echo::start();
    let (mut client, _) = echo.connect(&proxy);
    assert_eq!(ask(&mut client, "a").unwrap(), "A");
    proxy.reset();
    assert_eq!(answer(&mut client).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.open(), 0);

    let (mut client, _) = echo.connect(&proxy);
    proxy.refuse();
    let refused = TcpStream::connect(("127.0.0.1", proxy.port()));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(ask(&mut client, "open").unwrap(), "OPEN", "what is open stays");
    proxy.allow();
    let (mut client, _) = echo.connect(&proxy);
    assert_eq!(ask(&mut client, "again").unwrap(), "AGAIN");
}

#[test]
fn a_trap_springs_once_at_its_place() {
    for (at, reaches) in [(Point::Before, "12"), (Point::Amid, "123commit"), (Point::After, "123commit;4")] {
        let (echo, proxy) = Echo::start();
        let (mut client, received) = echo.connect(&proxy);
        proxy.arm(Trap::at_text("commit", at, Deed::Cut));
        assert_eq!(ask(&mut client, "12").unwrap(), "12");
        client.write_all(b"3commit;4").unwrap();
        assert_eq!(received.join().unwrap(), reaches, "{at:?}");
        assert_eq!(proxy.sprung(), 1);
        let (mut client, _) = echo.connect(&proxy);
        assert_eq!(ask(&mut client, "commit").unwrap(), "COMMIT");
    }
}

#[test]
fn a_trap_counts_its_text_over_connections_and_finds_it_across_two_chunks() {
    let (echo, proxy) = Echo::start();
    proxy.arm(Trap::at_text("abc", Point::After, Deed::HoldAnswers).nth(3));
    let (mut first, _) = echo.connect(&proxy);
    assert_eq!(ask(&mut first, "abc").unwrap(), "ABC");
    let (mut second, received) = echo.connect(&proxy);
    assert_eq!(ask(&mut second, "abcab").unwrap(), "ABCAB");
    second.write_all(b"c!").unwrap();
    proxy.wait_sprung(1);
    assert!(is_silent(&mut second));
    assert_eq!(ask(&mut first, "others go on").unwrap(), "OTHERS GO ON");
    proxy.thaw();
    assert_eq!(answer(&mut second).unwrap(), "C!");
    drop(second);
    assert_eq!(received.join().unwrap(), "abcabc!");
}

#[test]
fn a_trap_after_a_number_of_bytes_lets_exactly_these_go() {
    let (echo, proxy) = Echo::start();
    proxy.arm(Trap::after_bytes(Way::ToServer, 5, Deed::Reset));
    let (mut client, received) = echo.connect(&proxy);
    assert_eq!(ask(&mut client, "123").unwrap(), "123");
    client.write_all(b"4567").unwrap();
    // The server may read the two before it learns of the reset, or not.
    assert!(["12345", "123"].contains(&&*received.join().unwrap()));
    let mut end = answer(&mut client);
    if end.as_deref().is_ok_and(|echo| echo == "45") {
        end = answer(&mut client);
    }
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_delay_holds_each_chunk_back() {
    let (echo, proxy) = Echo::start();
    let (mut client, _) = echo.connect(&proxy);
    proxy.delay(Duration::from_millis(100));
    let begun = Instant::now();
    assert_eq!(ask(&mut client, "slow").unwrap(), "SLOW");
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[test]
fn tenants_and_servers_behind_a_proxy_are_reached_through_it() {
    let (to_postgres, to_mariadb) = (Proxy::to(postgres(0).port()), Proxy::to(mariadb(0).port()));
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet.postgres_database("own", postgres(0)).behind("own", &to_postgres);
    fleet.mariadb("maria", mariadb(0)).behind("maria", &to_mariadb);
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int)");
    fleet.run(&["up"]).expect(0);
    assert!(fleet.dump("own").contains("CREATE TABLE") && fleet.dump("maria").contains("CREATE TABLE"));
    let came = to_postgres.connections();
    assert!(came > 0 && to_mariadb.connections() > 0);
    fleet.postgres_schema("schema", postgres(0), &shared);
    fleet.server_behind(&format!("pg{}", postgres(0).port()), &to_postgres);
    fleet.run(&["up"]).expect(0);
    assert!(to_postgres.connections() > came);
}

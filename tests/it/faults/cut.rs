//! The connection to a server ends at an exact place of what goes over it: cut, or reset.

use super::{FIRST, assert_each_once, finish, is_transactional, mark, more};
use crate::killed::wait_until;
use crate::support::proxy::{Deed, Point, Trap, Way};
use crate::support::{Fleet, Kind, Proxy, mariadb, postgres};

const ENGINES: [Kind; 2] = [Kind::Database, Kind::MariaDb];

/// Two tenants of one engine with V1, and V2 and V3 to come: `a` is behind the proxy, `b` is not.
fn fleet(kind: Kind) -> (Fleet, Proxy) {
    let mut fleet = Fleet::new();
    let proxy = match kind {
        Kind::MariaDb => {
            fleet.mariadb("a", mariadb(0)).mariadb("b", mariadb(0));
            Proxy::to(mariadb(0).port())
        }
        _ => {
            fleet.postgres_database("a", postgres(0)).postgres_database("b", postgres(0));
            Proxy::to(postgres(0).port())
        }
    };
    fleet.behind("a", &proxy).changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    more(&mut fleet, 2);
    more(&mut fleet, 3);
    (fleet, proxy)
}

/// V2 was lost on `a`: nobody has V3. Whether `b` was given V2 by then is a matter of moments.
#[track_caller]
fn assert_halted_at_v2(fleet: &Fleet) {
    assert_eq!(fleet.versions("a"), [1]);
    let other = fleet.versions("b");
    assert!(other == [1] || other == [1, 2], "{other:?}");
}

/// Covers row 24 of docs/failures.md.
/// The outcome is unknown until it is read again.
#[test]
fn a_commit_whose_answer_is_lost_is_found_and_the_run_goes_on_or_the_next_decides() {
    for (kind, deed) in ENGINES.into_iter().flat_map(|kind| [(kind, Deed::Cut), (kind, Deed::Reset)]) {
        let (fleet, proxy) = fleet(kind);
        proxy.arm(Trap::at_text(&mark(2), Point::After, Deed::HoldAnswers));
        let running = fleet.spawn(&["up"]);
        proxy.wait_sprung(1);
        wait_until("the text takes effect", || fleet.effects("a") == [1, 2]);
        proxy.end_caught(deed);
        let output = running.wait();
        if is_transactional(&fleet, "a") || output.status == 0 {
            output.expect(0);
        } else {
            output.expect(6).says(&["MT205", "V2__more", "tenant a", "half applied"]);
            // The history row rides behind the last statement: the server may have gone on to it by itself.
            assert!(["a", "b"].iter().all(|tenant| !fleet.versions(tenant).contains(&3)), "nobody has V3");
            finish(&fleet);
        }
        assert_each_once(&fleet, 3);
        fleet.run(&["up"]).expect(0).says(&["nothing to do"]);
    }
}

#[test]
fn a_text_that_never_arrived_is_not_applied_and_the_next_up_applies_it() {
    for (kind, deed) in ENGINES.into_iter().flat_map(|kind| [(kind, Deed::Cut), (kind, Deed::Reset)]) {
        let (fleet, proxy) = fleet(kind);
        // All of it but its last bytes: half a message is none.
        for at in [Point::Before, Point::Amid] {
            proxy.arm(Trap::at_text(&mark(2), at, deed));
            let output = fleet.run(&["up", "--lock-wait", super::LOCK_WAIT]);
            // Halted, or repeated by itself where it is certain that nothing arrived; never applied without its effect.
            assert!([0, 1, 6].contains(&output.status), "{kind:?} {deed:?} {at:?} {output}");
            assert_eq!(fleet.effects("a").contains(&2), output.status == 0, "{kind:?} {deed:?} {at:?} {output}");
            if output.status != 0 {
                output.says(&["MT205", "V2__more", "tenant a"]);
                assert_halted_at_v2(&fleet);
            }
        }
        finish(&fleet);
        assert_each_once(&fleet, 3);
    }
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_large_message_leaves_nothing_of_it() {
    for kind in ENGINES {
        let (mut fleet, proxy) = fleet(kind);
        let filler = "-- a line of a text of three megabytes\n".repeat(80_000);
        let text = format!("INSERT INTO effects VALUES (\n{filler}/*middle*/\n{filler} 2);");
        fleet.changeset("V2__more.sql", &text);
        proxy.arm(Trap::at_text("/*middle*/", Point::Amid, Deed::Reset));
        let output = fleet.run(&["up"]);
        assert!([1, 6].contains(&output.status), "{output}");
        assert_halted_at_v2(&fleet);
        assert_eq!(fleet.effects("a"), [1], "{output}");
        finish(&fleet);
        assert_each_once(&fleet, 3);
    }
}

#[test]
fn a_connection_that_ends_in_the_survey_or_at_the_lock_changes_nothing_or_is_made_again() {
    for kind in ENGINES {
        let lock = if kind == Kind::MariaDb { "GET_LOCK(" } else { "pg_try_advisory_lock" };
        for (text, deed) in [("refinery_schema_history", Deed::Cut), (lock, Deed::Cut), (lock, Deed::Reset)] {
            for at in [Point::Before, Point::After] {
                let (fleet, proxy) = fleet(kind);
                let before = fleet.dumps();
                proxy.arm(Trap::at_text(text, at, deed));
                let output = fleet.run(&["up"]);
                assert_eq!(proxy.sprung(), 1, "{kind:?} {text} is on the wire");
                assert!([0, 1, 5].contains(&output.status), "{kind:?} {text} {deed:?} {at:?} {output}");
                if output.status != 0 {
                    assert_eq!(fleet.dumps(), before, "{output}");
                    // The answer came through before the cut: then the lock was held for a moment, and is missed.
                    let said = if output.status == 1 {
                        ["MT213", "0 tenants have V2"]
                    } else {
                        ["nothing was changed", "tenant"]
                    };
                    output.says(&said);
                }
                finish(&fleet);
                assert_each_once(&fleet, 3);
            }
        }
    }
}

/// Wherever it happens, in either direction: `up` again reaches the end, and nothing ran twice.
#[test]
fn a_connection_cut_after_any_number_of_bytes_is_made_good_by_the_next_up() {
    let proxies = [Proxy::to(postgres(0).port()), Proxy::to(mariadb(0).port())];
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).behind("pg", &proxies[0]);
    fleet.mariadb("my", mariadb(0)).behind("my", &proxies[1]);
    fleet.changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    let mut version = 1;
    for round in 0..24 {
        version += 1;
        more(&mut fleet, version);
        let (way, count) = match round % 2 {
            0 => (Way::ToServer, 150 + round * 420),
            _ => (Way::ToClient, 150 + round * 130),
        };
        let deed = if round % 4 < 2 { Deed::Cut } else { Deed::Reset };
        let before: usize = proxies.iter().map(Proxy::sprung).sum();
        proxies.iter().for_each(|proxy| proxy.disarm());
        proxies.iter().for_each(|proxy| proxy.arm(Trap::after_bytes(way, count, deed)));
        let output = fleet.run(&["up", "--lock-wait", super::LOCK_WAIT]);
        let sprung: usize = proxies.iter().map(Proxy::sprung).sum();
        assert!(round > 6 || sprung > before, "round {round}: no connection has {count} bytes");
        assert!([0, 1, 5, 6].contains(&output.status), "{way:?} {count} {output}");
        proxies.iter().for_each(|proxy| proxy.disarm());
        finish(&fleet);
        assert_each_once(&fleet, version);
    }
}

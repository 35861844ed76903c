//! A network that freezes: what is sent is accepted, nothing arrives, nobody is told.
//!
//! `waiting::silent` has the single statement and the reading of tenants; here are the run lock and the siblings.

use std::time::{Duration, Instant};

use super::{FIRST, assert_each_once, finish, mark, more};
use crate::support::proxy::{Deed, Point, Trap};
use crate::support::{Fleet, Kind, Output, Proxy, Running, mariadb, postgres};

/// Less than a test may take, and more than a run needs: the answers about the lock are waited for the longest, a minute.
const SOON: Duration = Duration::from_secs(200);

/// Three tenants of one kind with V1; `a` is behind the proxy. A silent statement is asked about every second.
fn fleet(kind: Kind) -> (Fleet, Proxy) {
    let mut fleet = Fleet::new();
    kind.add(&mut fleet, &["a", "b", "c"].map(String::from));
    let proxy = Proxy::to(if kind == Kind::MariaDb { mariadb(0).port() } else { postgres(0).port() });
    fleet.behind("a", &proxy);
    for tenant in ["a", "b", "c"] {
        fleet.set(tenant, "silence_check", "1s").set(tenant, "connect_timeout", "2s");
    }
    fleet.changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    more(&mut fleet, 2);
    more(&mut fleet, 3);
    (fleet, proxy)
}

/// Waits for the end of a run, which must be soon.
#[track_caller]
fn ended(running: Running, begun: Instant) -> Output {
    let output = running.wait();
    assert!(begun.elapsed() < SOON, "{:?}: {output}", begun.elapsed());
    output
}

/// Runs all cases at once: each waits long and works little.
fn all_at_once<T: Send>(cases: impl IntoIterator<Item = T>, case: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for one in cases {
            scope.spawn(|| case(one));
        }
    });
}

/// Covers row 24 of docs/failures.md.
/// The siblings of a frozen tenant finish their own changeset, the run halts at the barrier and comes back.
#[test]
fn one_of_three_tenants_freezes_in_a_step_and_its_siblings_finish_it() {
    all_at_once([Kind::Database, Kind::MariaDb], |kind| {
        let (fleet, proxy) = fleet(kind);
        proxy.arm(Trap::at_text(&mark(2), Point::Before, Deed::Freeze));
        let running = fleet.spawn(&["up"]);
        proxy.wait_sprung(1);
        let begun = Instant::now();
        proxy.freeze();
        let output = ended(running, begun);
        assert!([1, 6].contains(&output.status), "{kind:?} {output}");
        output.says(&["V2__more", "tenant a", "nobody has V3"]);
        for tenant in ["b", "c"] {
            assert_eq!(fleet.versions(tenant), [1, 2], "{kind:?} {tenant} was in flight");
        }
        assert_eq!(fleet.effects("a"), [1], "{kind:?}");
        // What was kept is lost with the connections.
        proxy.cut();
        proxy.thaw();
        finish(&fleet);
        assert_each_once(&fleet, 3);
    });
}

/// Covers row 24 of docs/failures.md.
#[test]
fn a_run_whose_lock_session_freezes_comes_back_and_starts_no_further_step() {
    let points = [Point::Before, Point::After];
    let cases = [Kind::Database, Kind::MariaDb].into_iter().flat_map(|kind| points.map(|at| (kind, at)));
    all_at_once(cases, |(kind, at)| {
        let (fleet, proxy) = fleet(kind);
        let before = fleet.dumps();
        let lock = if kind == Kind::MariaDb { "GET_LOCK(" } else { "pg_try_advisory_lock" };
        proxy.arm(Trap::at_text(lock, at, Deed::Freeze));
        let running = fleet.spawn(&["up", "--lock-wait", "1s"]);
        proxy.wait_sprung(1);
        let begun = Instant::now();
        proxy.freeze();
        let output = ended(running, begun);
        assert!([1, 5].contains(&output.status), "{kind:?} {at:?} {output}");
        assert_eq!(fleet.dumps(), before, "{kind:?} {at:?} {output}");
        proxy.cut();
        proxy.thaw();
        finish(&fleet);
        assert_each_once(&fleet, 3);
    });
}

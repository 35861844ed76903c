//! Memory grows with tenants, and not with tenants × changesets.
//!
//! A binary of its own: its allocator counts. What is counted is what the program holds, to the byte, so a list of one
//! number for each tenant and changeset is noticed, however much else there is; and the answer is the same each time.

#[path = "../benches/scale/files.rs"]
#[allow(dead_code, reason = "the bench has more shapes")]
mod files;
#[path = "../benches/scale/memory.rs"]
mod memory;
#[path = "../benches/scale/walk.rs"]
#[allow(dead_code, reason = "the bench measures more")]
mod walk;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use files::Shape;
use mtmigrate::tenant::Verify;

/// The system's allocator, and how much of it is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(HELD.fetch_add(layout.size(), SeqCst) + layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Returns the most that is held in each phase while a fleet is planned, brought up to date and reported.
fn peaks(tenants: usize, changesets: usize) -> BTreeMap<&'static str, usize> {
    let folder = tempfile::tempdir().unwrap();
    files::write(folder.path(), Shape::Databases, tenants, changesets).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = HELD.load(SeqCst);
    PEAK.store(before, SeqCst);
    let mut peaks = BTreeMap::new();
    let mut phase = |phase, _| {
        peaks.insert(phase, PEAK.swap(HELD.load(SeqCst), SeqCst) - before);
    };
    runtime.block_on(walk::walk(folder.path(), Verify::Step, &mut phase)).unwrap();
    peaks
}

/// Returns what each tenant more takes in each phase. What a number of changesets takes by itself, and one reading of
/// 500 histories, is in both fleets and so in none of this.
fn per_tenant(changesets: usize) -> BTreeMap<&'static str, usize> {
    let (small, large) = (peaks(1_000, changesets), peaks(2_000, changesets));
    small.into_iter().map(|(phase, small)| (phase, large[phase].saturating_sub(small) / 1_000)).collect()
}

#[test]
fn what_a_tenant_takes_does_not_depend_on_how_many_changesets_it_gets() {
    // Whatever is made once is made before it counts.
    peaks(1, 1);
    let (few, many) = (per_tenant(10), per_tenant(60));
    for (phase, few) in few {
        let many = many[phase];
        eprintln!("{phase}: {few} bytes for each tenant with 10 changesets, {many} with 60");
        assert!(many < few + 50, "{phase}: {few} bytes for each tenant with 10 changesets, {many} with 60");
        assert!(few < 2_700, "{phase}: {few} bytes for each tenant: 100,000 are to fit into 300 MB");
    }
}

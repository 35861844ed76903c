//! The pure comparison of a tenant's history with the changelog.

/// x
pub struct Comparison;
pub struct Finding;
pub struct OutOfOrder;
/// x
pub fn compare() {}

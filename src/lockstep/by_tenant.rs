//! Facts by tenant: a list with a place for each tenant of the fleet, so that none is hashed or sought for.

use std::ops::Index;

use crate::tenant::TenantId;

/// A value for each of some tenants, in the fleet's order.
#[derive(Clone, Debug)]
pub(crate) struct ByTenant<T>(Vec<Option<T>>);

impl<T> ByTenant<T> {
    /// Returns a tenant's value.
    pub fn get(&self, tenant: TenantId) -> Option<&T> {
        self.0.get(tenant.0)?.as_ref()
    }

    /// Returns a tenant's value, to be changed.
    pub fn get_mut(&mut self, tenant: TenantId) -> Option<&mut T> {
        self.0.get_mut(tenant.0)?.as_mut()
    }

    /// Sets a tenant's value.
    pub fn insert(&mut self, tenant: TenantId, value: T) {
        if self.0.len() <= tenant.0 {
            self.0.resize_with(tenant.0 + 1, || None);
        }
        self.0[tenant.0] = Some(value);
    }

    /// Takes a tenant's value out.
    pub fn remove(&mut self, tenant: TenantId) -> Option<T> {
        self.0.get_mut(tenant.0)?.take()
    }

    /// Whether a tenant has a value.
    pub fn contains(&self, tenant: TenantId) -> bool {
        self.get(tenant).is_some()
    }

    /// Returns the values and whose they are.
    pub fn iter(&self) -> impl Iterator<Item = (TenantId, &T)> {
        self.0.iter().enumerate().filter_map(|(at, value)| Some((TenantId(at), value.as_ref()?)))
    }

    /// Takes the values out, with whose they are.
    pub fn into_values(self) -> impl Iterator<Item = (TenantId, T)> {
        self.0.into_iter().enumerate().filter_map(|(at, value)| Some((TenantId(at), value?)))
    }

    /// Returns whose values are there.
    pub fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.iter().map(|(tenant, _)| tenant)
    }
}

impl<T> Default for ByTenant<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Extend<(TenantId, T)> for ByTenant<T> {
    fn extend<I: IntoIterator<Item = (TenantId, T)>>(&mut self, values: I) {
        for (tenant, value) in values {
            self.insert(tenant, value);
        }
    }
}

impl<T> FromIterator<(TenantId, T)> for ByTenant<T> {
    fn from_iter<I: IntoIterator<Item = (TenantId, T)>>(values: I) -> Self {
        let mut made = Self::default();
        made.extend(values);
        made
    }
}

/// A tenant without a value is a bug of who asks.
impl<T> Index<TenantId> for ByTenant<T> {
    type Output = T;

    fn index(&self, tenant: TenantId) -> &T {
        self.0[tenant.0].as_ref().expect("whoever asks so knows that the tenant has a value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_the_fleets_order_whatever_the_order_in_which_they_were_set() {
        let mut of: ByTenant<&str> = [(TenantId(3), "c"), (TenantId(0), "a")].into_iter().collect();
        of.insert(TenantId(1), "b");
        assert_eq!(of.iter().collect::<Vec<_>>(), [(TenantId(0), &"a"), (TenantId(1), &"b"), (TenantId(3), &"c")]);
        assert_eq!((of.remove(TenantId(1)), of.get(TenantId(1)), of.get(TenantId(9))), (Some("b"), None, None));
        assert!(of.contains(TenantId(3)) && !of.contains(TenantId(2)) && of.remove(TenantId(9)).is_none());
    }
}

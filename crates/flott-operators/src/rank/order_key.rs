//! A row's place in an order: bytes that compare as the rows do.

use std::cmp::Ordering;

const SHORT: usize = 22;

/// Bytes; short ones without an allocation.
#[derive(Debug, Clone)]
pub(crate) enum OrderKey {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl OrderKey {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                OrderKey::Short(bytes.len() as u8, short)
            }
            None => OrderKey::Long(bytes.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            OrderKey::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            OrderKey::Long(bytes) => bytes,
        }
    }

    /// Bytes of memory outside of itself.
    pub(crate) fn memory(&self) -> usize {
        match self {
            OrderKey::Short(..) => 0,
            OrderKey::Long(bytes) => bytes.len(),
        }
    }
}

impl PartialEq for OrderKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for OrderKey {}

impl PartialOrd for OrderKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

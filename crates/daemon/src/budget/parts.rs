//! How a budget is parted.

/// The daemon's own part is at least and at most so large, in bytes.
const OWN: (u64, u64) = (48 << 20, 512 << 20);

/// How large each part is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// All of it.
    pub size: u64,
    /// The daemon's own.
    pub own: u64,
    /// Of large guests.
    pub large: u64,
    /// Of small guests.
    pub small: u64,
}

impl Parts {
    pub(super) fn of(size: u64) -> Self {
        let own = (size / 8).clamp(OWN.0, OWN.1).min(size / 2);
        let guests = size - own;
        Self {
            size,
            own,
            large: guests - guests / 8,
            small: guests / 8,
        }
    }

    /// Of all guests.
    pub fn guests(&self) -> u64 {
        self.large + self.small
    }

    /// A guest that has no more is a small one.
    pub(super) fn least(&self) -> u64 {
        self.guests() / 64
    }

    /// What snapshots being made may take together.
    pub(super) fn making(&self) -> u64 {
        self.own / 2
    }
}

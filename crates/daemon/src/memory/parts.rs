//! The parts of a memory budget.

/// The smallest and the largest size of the daemon's own part, in bytes. With 48 MiB a daemon of
/// 200 MiB had 203 at times: what the allocator keeps for a second, while snapshots are made, counts
/// too.
const OWN_BYTES: (u64, u64) = (56 << 20, 512 << 20);

/// How large each part is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetParts {
    /// The whole budget.
    pub size: u64,
    /// The daemon's own part.
    pub own: u64,
    /// The part of large guests.
    pub large: u64,
    /// The part of small guests.
    pub small: u64,
}

impl BudgetParts {
    pub(super) fn of(size: u64) -> Self {
        let own = (size / 8).clamp(OWN_BYTES.0, OWN_BYTES.1).min(size / 2);
        let guests = size - own;
        Self {
            size,
            own,
            large: guests - guests / 8,
            small: guests / 8,
        }
    }

    /// The parts of all guests together.
    pub fn guests(&self) -> u64 {
        self.large + self.small
    }

    /// A guest with at most this many bytes is a small one.
    pub(super) fn least(&self) -> u64 {
        self.guests() / 64
    }

    /// How much the snapshots that are being made may take together.
    pub(super) fn snapshot_limit(&self) -> u64 {
        self.own / 2
    }
}

//! The names by which one step of the rewriting leaves word to a later one. Binaryen renumbers
//! functions and globals; names and exports stay with what they name.

/// Starts the names of exports that exist only during the rewriting.
pub(crate) const TEMPORARY: &str = "dormouse.temporary.";

/// Temporary export: the global with the exception on its way.
pub(crate) const PENDING_EXCEPTION: &str = "dormouse.temporary.pending";

/// Ends the names of slow versions.
pub(crate) const SLOW: &str = "$slow";

/// Stands in the names of versions that begin at a loop, in front of a number.
pub(crate) const OSR: &str = "$osr";

/// Ends the names of functions that choose between a slow version and the fast one.
pub(crate) const ENTER: &str = "$enter";

/// The name that a function of the source has while it is rewritten.
pub(crate) fn working_name(function: u32) -> String {
    format!("f{function}")
}

/// The function of the source behind a name given by [`working_name`].
pub(crate) fn original_function(name: &str) -> Option<u32> {
    name.strip_prefix('f')?.parse().ok()
}

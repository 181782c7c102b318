//! Reading and writing of modules, for all steps of the rewriting.
//!
//! - [`sections`]: a module as its list of sections, of which single ones are replaced or extended.
//! - [`bodies`]: the bodies of functions, copied byte for byte but for some instructions.
//! - [`encode`]: small pieces that several steps write.
//! - [`asyncify`]: what asyncify adds, whoever runs it.
//! - [`names`]: the names by which one step leaves word to a later one.

pub(crate) mod asyncify;
pub(crate) mod bodies;
pub(crate) mod encode;
pub(crate) mod names;
pub(crate) mod sections;

//! dormouse
mod clock;
mod engine;
mod instrument;
mod model;
mod snapshot;

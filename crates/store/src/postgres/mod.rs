//! The store in a PostgreSQL database, which many daemons can share.
//!
//! Whatever changes the store is a call of one function (`functions.sql`), and so one transaction and
//! one round trip; a daemon that is stopped in the middle holds no lock. Each call locks the row of its
//! node against deletion: a node whose row is gone changes nothing any more. Of a call whose
//! answer is lost it is asked what became of it, under the number that the call had.
//!
//! Calls block on a runtime of the store's own.

mod accounts;
mod attend;
mod commit;
mod connect;
mod database;
mod error;
mod migrate;
mod nodes;
mod read;
mod replicated;
mod servers;
mod steps;
mod store;
mod tls;

pub use database::Postgres;

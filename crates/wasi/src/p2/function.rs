//! The functions of the interfaces that the host offers to components, each with the function of
//! Rust that answers it. The types of that function are the types of the interface.

use std::fmt;

use dormouse_model::ValType;

use super::call::{Call, Signature, invoke, signature};
use super::filesystem::{descriptor, directory, path};
use super::http::{body, fields, handler, options, request, response, server};
use super::io::{error, input, output, poll};
use super::sockets::{lookup, network, tcp, tcp_options, udp};
use super::stop::Called;
use super::version::unversioned;
use super::{cli, clocks, random};

/// A function of an interface.
#[derive(Clone, Copy)]
pub struct Function(&'static Entry);

struct Entry {
    /// The interface, without a version.
    interface: &'static str,
    name: &'static str,
    invoke: fn(&mut Call<'_>, &[u64]) -> Called<Option<u64>>,
    signature: fn() -> Signature,
}

macro_rules! functions {
    ($($interface:literal { $($name:literal $function:path;)* })*) => {
        const FUNCTIONS: &[Entry] = &[$($(Entry {
            interface: $interface,
            name: $name,
            invoke: |call, arguments| invoke($function, call, arguments),
            signature: || signature($function),
        },)*)*];
    };
}

functions! {
    "wasi:cli/environment" {
        "get-environment" cli::get_environment;
        "get-arguments" cli::get_arguments;
        "initial-cwd" cli::initial_cwd;
    }
    "wasi:cli/exit" {
        "exit" cli::exit;
        "exit-with-code" cli::exit_with_code;
    }
    "wasi:cli/stdin" {
        "get-stdin" cli::get_stdin;
    }
    "wasi:cli/stdout" {
        "get-stdout" cli::get_stdout;
    }
    "wasi:cli/stderr" {
        "get-stderr" cli::get_stderr;
    }
    "wasi:cli/terminal-stdin" {
        "get-terminal-stdin" cli::get_terminal_stdin;
    }
    "wasi:cli/terminal-stdout" {
        "get-terminal-stdout" cli::get_terminal_stdout;
    }
    "wasi:cli/terminal-stderr" {
        "get-terminal-stderr" cli::get_terminal_stderr;
    }
    "wasi:clocks/monotonic-clock" {
        "now" clocks::monotonic_now;
        "resolution" clocks::monotonic_resolution;
        "subscribe-instant" clocks::subscribe_instant;
        "subscribe-duration" clocks::subscribe_duration;
    }
    "wasi:clocks/wall-clock" {
        "now" clocks::wall_now;
        "resolution" clocks::wall_resolution;
    }
    "wasi:random/random" {
        "get-random-bytes" random::get_random_bytes;
        "get-random-u64" random::get_random_u64;
    }
    "wasi:random/insecure" {
        "get-insecure-random-bytes" random::get_random_bytes;
        "get-insecure-random-u64" random::get_random_u64;
    }
    "wasi:random/insecure-seed" {
        "insecure-seed" random::insecure_seed;
    }
    "wasi:io/error" {
        "[method]error.to-debug-string" error::to_debug_string;
    }
    "wasi:io/poll" {
        "[method]pollable.ready" poll::ready;
        "[method]pollable.block" poll::block;
        "poll" poll::poll;
    }
    "wasi:io/streams" {
        "[method]input-stream.read" input::read;
        "[method]input-stream.blocking-read" input::blocking_read;
        "[method]input-stream.skip" input::skip;
        "[method]input-stream.blocking-skip" input::blocking_skip;
        "[method]input-stream.subscribe" input::subscribe;
        "[method]output-stream.check-write" output::check_write;
        "[method]output-stream.write" output::write;
        "[method]output-stream.blocking-write-and-flush" output::blocking_write_and_flush;
        "[method]output-stream.flush" output::flush;
        "[method]output-stream.blocking-flush" output::blocking_flush;
        "[method]output-stream.subscribe" output::subscribe;
        "[method]output-stream.write-zeroes" output::write_zeroes;
        "[method]output-stream.blocking-write-zeroes-and-flush"
            output::blocking_write_zeroes_and_flush;
        "[method]output-stream.splice" output::splice;
        "[method]output-stream.blocking-splice" output::blocking_splice;
    }
    "wasi:filesystem/preopens" {
        "get-directories" directory::get_directories;
    }
    "wasi:filesystem/types" {
        "[method]descriptor.read-via-stream" descriptor::read_via_stream;
        "[method]descriptor.write-via-stream" descriptor::write_via_stream;
        "[method]descriptor.append-via-stream" descriptor::append_via_stream;
        "[method]descriptor.advise" descriptor::advise;
        "[method]descriptor.sync-data" descriptor::sync_data;
        "[method]descriptor.get-flags" descriptor::get_flags;
        "[method]descriptor.get-type" descriptor::get_type;
        "[method]descriptor.set-size" descriptor::set_size;
        "[method]descriptor.set-times" descriptor::set_times;
        "[method]descriptor.read" descriptor::read;
        "[method]descriptor.write" descriptor::write;
        "[method]descriptor.read-directory" directory::read_directory;
        "[method]descriptor.sync" descriptor::sync;
        "[method]descriptor.create-directory-at" path::create_directory_at;
        "[method]descriptor.stat" descriptor::stat;
        "[method]descriptor.stat-at" path::stat_at;
        "[method]descriptor.set-times-at" path::set_times_at;
        "[method]descriptor.link-at" path::link_at;
        "[method]descriptor.open-at" path::open_at;
        "[method]descriptor.readlink-at" path::readlink_at;
        "[method]descriptor.remove-directory-at" path::remove_directory_at;
        "[method]descriptor.rename-at" path::rename_at;
        "[method]descriptor.symlink-at" path::symlink_at;
        "[method]descriptor.unlink-file-at" path::unlink_file_at;
        "[method]descriptor.is-same-object" descriptor::is_same_object;
        "[method]descriptor.metadata-hash" descriptor::metadata_hash;
        "[method]descriptor.metadata-hash-at" path::metadata_hash_at;
        "[method]directory-entry-stream.read-directory-entry" directory::read_directory_entry;
        "filesystem-error-code" descriptor::filesystem_error_code;
    }
    "wasi:sockets/instance-network" {
        "instance-network" network::instance_network;
    }
    "wasi:sockets/ip-name-lookup" {
        "resolve-addresses" lookup::resolve_addresses;
        "[method]resolve-address-stream.resolve-next-address" lookup::resolve_next_address;
        "[method]resolve-address-stream.subscribe" lookup::subscribe;
    }
    "wasi:sockets/tcp-create-socket" {
        "create-tcp-socket" tcp::create_tcp_socket;
    }
    "wasi:sockets/tcp" {
        "[method]tcp-socket.start-bind" tcp::start_bind;
        "[method]tcp-socket.finish-bind" tcp::finish_bind;
        "[method]tcp-socket.start-connect" tcp::start_connect;
        "[method]tcp-socket.finish-connect" tcp::finish_connect;
        "[method]tcp-socket.start-listen" tcp::start_listen;
        "[method]tcp-socket.finish-listen" tcp::finish_listen;
        "[method]tcp-socket.accept" tcp::accept;
        "[method]tcp-socket.local-address" tcp::local_address;
        "[method]tcp-socket.remote-address" tcp::remote_address;
        "[method]tcp-socket.is-listening" tcp::is_listening;
        "[method]tcp-socket.address-family" tcp::address_family;
        "[method]tcp-socket.set-listen-backlog-size" tcp_options::set_listen_backlog_size;
        "[method]tcp-socket.keep-alive-enabled" tcp_options::keep_alive_enabled;
        "[method]tcp-socket.set-keep-alive-enabled" tcp_options::set_keep_alive_enabled;
        "[method]tcp-socket.keep-alive-idle-time" tcp_options::keep_alive_idle_time;
        "[method]tcp-socket.set-keep-alive-idle-time" tcp_options::set_keep_alive_idle_time;
        "[method]tcp-socket.keep-alive-interval" tcp_options::keep_alive_interval;
        "[method]tcp-socket.set-keep-alive-interval" tcp_options::set_keep_alive_interval;
        "[method]tcp-socket.keep-alive-count" tcp_options::keep_alive_count;
        "[method]tcp-socket.set-keep-alive-count" tcp_options::set_keep_alive_count;
        "[method]tcp-socket.hop-limit" tcp_options::hop_limit;
        "[method]tcp-socket.set-hop-limit" tcp_options::set_hop_limit;
        "[method]tcp-socket.receive-buffer-size" tcp_options::receive_buffer_size;
        "[method]tcp-socket.set-receive-buffer-size" tcp_options::set_receive_buffer_size;
        "[method]tcp-socket.send-buffer-size" tcp_options::send_buffer_size;
        "[method]tcp-socket.set-send-buffer-size" tcp_options::set_send_buffer_size;
        "[method]tcp-socket.subscribe" tcp::subscribe;
        "[method]tcp-socket.shutdown" tcp::shutdown;
    }
    "wasi:sockets/udp-create-socket" {
        "create-udp-socket" udp::create_udp_socket;
    }
    "wasi:sockets/udp" {
        "[method]udp-socket.start-bind" udp::start_bind;
        "[method]udp-socket.finish-bind" udp::finish_bind;
        "[method]udp-socket.stream" udp::stream;
        "[method]udp-socket.local-address" udp::local_address;
        "[method]udp-socket.remote-address" udp::remote_address;
        "[method]udp-socket.address-family" udp::address_family;
        "[method]udp-socket.unicast-hop-limit" udp::unicast_hop_limit;
        "[method]udp-socket.set-unicast-hop-limit" udp::set_unicast_hop_limit;
        "[method]udp-socket.receive-buffer-size" udp::receive_buffer_size;
        "[method]udp-socket.set-receive-buffer-size" udp::set_receive_buffer_size;
        "[method]udp-socket.send-buffer-size" udp::send_buffer_size;
        "[method]udp-socket.set-send-buffer-size" udp::set_send_buffer_size;
        "[method]udp-socket.subscribe" udp::subscribe;
        "[method]incoming-datagram-stream.receive" udp::receive;
        "[method]incoming-datagram-stream.subscribe" udp::subscribe_incoming;
        "[method]outgoing-datagram-stream.check-send" udp::check_send;
        "[method]outgoing-datagram-stream.send" udp::send;
        "[method]outgoing-datagram-stream.subscribe" udp::subscribe_outgoing;
    }
    "wasi:http/types" {
        "[constructor]fields" fields::new;
        "[static]fields.from-list" fields::from_list;
        "[method]fields.get" fields::get;
        "[method]fields.has" fields::has;
        "[method]fields.set" fields::set;
        "[method]fields.delete" fields::delete;
        "[method]fields.append" fields::append;
        "[method]fields.entries" fields::entries;
        "[method]fields.clone" fields::clone;
        "[method]incoming-request.method" server::method;
        "[method]incoming-request.path-with-query" server::path_with_query;
        "[method]incoming-request.scheme" server::scheme;
        "[method]incoming-request.authority" server::authority;
        "[method]incoming-request.headers" server::request_headers;
        "[method]incoming-request.consume" server::consume;
        "[constructor]outgoing-request" request::new;
        "[method]outgoing-request.body" request::body;
        "[method]outgoing-request.method" request::method;
        "[method]outgoing-request.set-method" request::set_method;
        "[method]outgoing-request.path-with-query" request::path_with_query;
        "[method]outgoing-request.set-path-with-query" request::set_path_with_query;
        "[method]outgoing-request.scheme" request::scheme;
        "[method]outgoing-request.set-scheme" request::set_scheme;
        "[method]outgoing-request.authority" request::authority;
        "[method]outgoing-request.set-authority" request::set_authority;
        "[method]outgoing-request.headers" request::headers;
        "[constructor]request-options" options::new;
        "[method]request-options.connect-timeout" options::connect_timeout;
        "[method]request-options.set-connect-timeout" options::set_connect_timeout;
        "[method]request-options.first-byte-timeout" options::first_byte_timeout;
        "[method]request-options.set-first-byte-timeout" options::set_first_byte_timeout;
        "[method]request-options.between-bytes-timeout" options::between_bytes_timeout;
        "[method]request-options.set-between-bytes-timeout" options::set_between_bytes_timeout;
        "[static]response-outparam.set" server::set;
        "[method]incoming-response.status" response::status;
        "[method]incoming-response.headers" response::headers;
        "[method]incoming-response.consume" response::consume;
        "[method]incoming-body.stream" body::stream;
        "[static]incoming-body.finish" body::finish_incoming;
        "[method]future-trailers.subscribe" body::subscribe_trailers;
        "[method]future-trailers.get" body::get_trailers;
        "[constructor]outgoing-response" server::new_response;
        "[method]outgoing-response.status-code" server::status_code;
        "[method]outgoing-response.set-status-code" server::set_status_code;
        "[method]outgoing-response.headers" server::response_headers;
        "[method]outgoing-response.body" server::response_body;
        "[method]outgoing-body.write" body::write;
        "[static]outgoing-body.finish" body::finish_outgoing;
        "[method]future-incoming-response.subscribe" handler::subscribe;
        "[method]future-incoming-response.get" handler::get;
        "http-error-code" response::http_error_code;
    }
    "wasi:http/outgoing-handler" {
        "handle" handler::handle;
    }
}

impl Function {
    /// Every function.
    pub fn all() -> impl Iterator<Item = Self> {
        FUNCTIONS.iter().map(Self)
    }

    /// Every interface, without a version.
    pub fn interfaces() -> Vec<&'static str> {
        let mut interfaces: Vec<&str> = Self::all().map(Self::interface).collect();
        interfaces.dedup();
        interfaces
    }

    /// The function of this name in this interface, whatever patch version of 0.2 the interface
    /// has.
    pub fn find(interface: &str, name: &str) -> Option<Self> {
        let interface = unversioned(interface)?;
        let is_it = |function: &Self| (function.interface(), function.name()) == (interface, name);
        Self::all().find(is_it)
    }

    /// Its interface, without a version.
    pub fn interface(self) -> &'static str {
        self.0.interface
    }

    /// Its name in the interface.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The types of its parameters as a core function, with the pointer to where its result belongs
    /// if there is one.
    pub fn params(self) -> Vec<ValType> {
        (self.0.signature)().params
    }

    /// The types of its results as a core function; at most one.
    pub fn results(self) -> Vec<ValType> {
        (self.0.signature)().results
    }

    /// Whether a call may ever have to wait. `sockets` says whether the guest can have connections,
    /// since a write waits for them only.
    pub fn may_suspend(self, sockets: bool) -> bool {
        match self.name() {
            "poll"
            | "[method]pollable.block"
            | "[method]input-stream.blocking-read"
            | "[method]input-stream.blocking-skip" => true,
            "[method]output-stream.blocking-splice" => true,
            "[method]output-stream.blocking-write-and-flush"
            | "[method]output-stream.blocking-flush"
            | "[method]output-stream.blocking-write-zeroes-and-flush" => sockets,
            _ => false,
        }
    }

    pub(crate) fn invoke(self, call: &mut Call<'_>, arguments: &[u64]) -> Called<Option<u64>> {
        (self.0.invoke)(call, arguments)
    }

    #[cfg(test)]
    pub(crate) fn signature(self) -> Signature {
        (self.0.signature)()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Function {}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.interface(), self.name())
    }
}

//! The 46 functions of preview1 and those of WasmEdge's socket extension, with their types.
//!
//! Some names have two forms, which differ in their parameters.

use dormouse_model::ValType::{self, I32, I64};

macro_rules! functions {
    ($($variant:ident $name:literal $params:expr;)*) => {
        /// A function of preview1.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names are the specification's own")]
        pub enum Function { $($variant),* }

        impl Function {
            /// Every function.
            pub fn all() -> &'static [Self] {
                &[$(Self::$variant),*]
            }

            /// Its name in the specification.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Types of its parameters.
            pub fn params(self) -> &'static [ValType] {
                match self { $(Self::$variant => &$params),* }
            }
        }
    };
}

functions! {
    ArgsGet "args_get" [I32, I32];
    ArgsSizesGet "args_sizes_get" [I32, I32];
    EnvironGet "environ_get" [I32, I32];
    EnvironSizesGet "environ_sizes_get" [I32, I32];
    ClockResGet "clock_res_get" [I32, I32];
    ClockTimeGet "clock_time_get" [I32, I64, I32];
    FdAdvise "fd_advise" [I32, I64, I64, I32];
    FdAllocate "fd_allocate" [I32, I64, I64];
    FdClose "fd_close" [I32];
    FdDatasync "fd_datasync" [I32];
    FdFdstatGet "fd_fdstat_get" [I32, I32];
    FdFdstatSetFlags "fd_fdstat_set_flags" [I32, I32];
    FdFdstatSetRights "fd_fdstat_set_rights" [I32, I64, I64];
    FdFilestatGet "fd_filestat_get" [I32, I32];
    FdFilestatSetSize "fd_filestat_set_size" [I32, I64];
    FdFilestatSetTimes "fd_filestat_set_times" [I32, I64, I64, I32];
    FdPread "fd_pread" [I32, I32, I32, I64, I32];
    FdPrestatGet "fd_prestat_get" [I32, I32];
    FdPrestatDirName "fd_prestat_dir_name" [I32, I32, I32];
    FdPwrite "fd_pwrite" [I32, I32, I32, I64, I32];
    FdRead "fd_read" [I32, I32, I32, I32];
    FdReaddir "fd_readdir" [I32, I32, I32, I64, I32];
    FdRenumber "fd_renumber" [I32, I32];
    FdSeek "fd_seek" [I32, I64, I32, I32];
    FdSync "fd_sync" [I32];
    FdTell "fd_tell" [I32, I32];
    FdWrite "fd_write" [I32, I32, I32, I32];
    PathCreateDirectory "path_create_directory" [I32, I32, I32];
    PathFilestatGet "path_filestat_get" [I32, I32, I32, I32, I32];
    PathFilestatSetTimes "path_filestat_set_times" [I32, I32, I32, I32, I64, I64, I32];
    PathLink "path_link" [I32, I32, I32, I32, I32, I32, I32];
    PathOpen "path_open" [I32, I32, I32, I32, I32, I64, I64, I32, I32];
    PathReadlink "path_readlink" [I32, I32, I32, I32, I32, I32];
    PathRemoveDirectory "path_remove_directory" [I32, I32, I32];
    PathRename "path_rename" [I32, I32, I32, I32, I32, I32];
    PathSymlink "path_symlink" [I32, I32, I32, I32, I32];
    PathUnlinkFile "path_unlink_file" [I32, I32, I32];
    PollOneoff "poll_oneoff" [I32, I32, I32, I32];
    ProcExit "proc_exit" [I32];
    ProcRaise "proc_raise" [I32];
    RandomGet "random_get" [I32, I32];
    SchedYield "sched_yield" [];
    SockAccept "sock_accept" [I32, I32, I32];
    SockRecv "sock_recv" [I32, I32, I32, I32, I32, I32];
    SockSend "sock_send" [I32, I32, I32, I32, I32];
    SockShutdown "sock_shutdown" [I32, I32];
    EpollOneoff "epoll_oneoff" [I32, I32, I32, I32];
    SockOpen "sock_open" [I32, I32, I32];
    SockBind "sock_bind" [I32, I32, I32];
    SockListen "sock_listen" [I32, I32];
    SockAcceptV1 "sock_accept" [I32, I32];
    SockConnect "sock_connect" [I32, I32, I32];
    SockRecvFrom "sock_recv_from" [I32, I32, I32, I32, I32, I32, I32, I32];
    SockRecvFromV1 "sock_recv_from" [I32, I32, I32, I32, I32, I32, I32];
    SockSendTo "sock_send_to" [I32, I32, I32, I32, I32, I32, I32];
    SockGetsockopt "sock_getsockopt" [I32, I32, I32, I32, I32];
    SockSetsockopt "sock_setsockopt" [I32, I32, I32, I32, I32];
    SockGetlocaladdr "sock_getlocaladdr" [I32, I32, I32];
    SockGetlocaladdrV1 "sock_getlocaladdr" [I32, I32, I32, I32];
    SockGetpeeraddr "sock_getpeeraddr" [I32, I32, I32];
    SockGetpeeraddrV1 "sock_getpeeraddr" [I32, I32, I32, I32];
    SockGetaddrinfo "sock_getaddrinfo" [I32, I32, I32, I32, I32, I32, I32, I32];
}

impl Function {
    /// The module that guests import these functions from.
    pub const MODULE: &'static str = "wasi_snapshot_preview1";

    /// The function of this name, in the form that has these parameters if there is one.
    pub fn find(name: &str, params: &[ValType]) -> Option<Self> {
        // By a name with this ending WasmEdge offers the second form alone.
        let second = |name: &&str| name.starts_with("sock_");
        let name = name.strip_suffix("_v2").filter(second).unwrap_or(name);
        let mut named = Self::all().iter().copied().filter(|f| f.name() == name);
        let first = named.clone().next();
        named.find(|f| f.params() == params).or(first)
    }

    /// Whether it returns an errno; all do but `proc_exit`, which does not return.
    pub fn has_result(self) -> bool {
        self != Self::ProcExit
    }

    /// Whether a success shows that the guest has got a descriptor or room again, after errors for
    /// the lack of them.
    pub(super) fn takes_resources(self) -> bool {
        matches!(
            self,
            Self::PathOpen | Self::FdWrite | Self::FdPwrite | Self::SockAccept | Self::SockOpen
        )
    }

    /// Whether it is one of the calls on descriptors (`fd_*`).
    pub(super) fn is_fd_call(self) -> bool {
        self.name().starts_with("fd_")
    }

    /// Whether it is one of the calls on paths (`path_*`).
    pub(super) fn is_path_call(self) -> bool {
        self.name().starts_with("path_")
    }

    /// Whether a call may act on what is outside of the guest's own state, or look at it. A write may
    /// be one to a standard stream.
    pub(crate) fn reaches_outside(self) -> bool {
        !matches!(
            self,
            Self::ArgsGet
                | Self::ArgsSizesGet
                | Self::EnvironGet
                | Self::EnvironSizesGet
                | Self::ClockResGet
                | Self::ClockTimeGet
                | Self::FdFdstatGet
                | Self::FdPrestatGet
                | Self::FdPrestatDirName
                | Self::PollOneoff
                | Self::EpollOneoff
                | Self::ProcExit
                | Self::ProcRaise
                | Self::RandomGet
                | Self::SchedYield
        )
    }

    /// Whether a call may ever block. `sockets` says whether the guest can have connections,
    /// since `fd_write` blocks on them only. `path_open` blocks at named pipes.
    pub fn may_block(self, sockets: bool) -> bool {
        match self {
            Self::PollOneoff
            | Self::EpollOneoff
            | Self::FdRead
            | Self::PathOpen
            | Self::SchedYield
            | Self::SockAccept
            | Self::SockAcceptV1
            | Self::SockConnect
            | Self::SockRecv
            | Self::SockRecvFrom
            | Self::SockRecvFromV1
            | Self::SockSend
            | Self::SockSendTo => true,
            Self::FdWrite => sockets,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Function;

    #[test]
    fn each_is_found_by_its_name_and_parameters() {
        assert_eq!(Function::all().len(), 46 + 16);
        for function in Function::all() {
            let found = Function::find(function.name(), function.params());
            assert_eq!(found, Some(*function));
        }
        let find = |name, count| Function::find(name, &[super::I32; 8][..count]);
        assert_eq!(find("sock_accept", 2), Some(Function::SockAcceptV1));
        assert_eq!(find("sock_accept", 3), Some(Function::SockAccept));
        assert_eq!(find("sock_accept_v2", 3), Some(Function::SockAccept));
        // The name is known, so that the error is about the type.
        assert_eq!(find("sock_accept", 1), Some(Function::SockAccept));
        assert_eq!(find("fd_read_v2", 4), None);
    }
}

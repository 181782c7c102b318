//! The 46 functions of preview1 and their types.

use crate::model::ValType::{self, I32, I64};

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
}

impl Function {
    /// The module that guests import these functions from.
    pub const MODULE: &'static str = "wasi_snapshot_preview1";

    /// The function of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().iter().copied().find(|f| f.name() == name)
    }

    /// Whether it returns an errno; all do but `proc_exit`, which does not return.
    pub fn has_result(self) -> bool {
        self != Self::ProcExit
    }

    /// Whether a call may ever block. Output blocks only where there are sockets.
    pub fn may_block(self, sockets: bool) -> bool {
        match self {
            Self::PollOneoff
            | Self::FdRead
            | Self::SchedYield
            | Self::SockAccept
            | Self::SockRecv
            | Self::SockSend => true,
            Self::FdWrite => sockets,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Function;

    #[test]
    fn there_are_46_and_each_is_found_by_its_name() {
        assert_eq!(Function::all().len(), 46);
        for function in Function::all() {
            assert_eq!(Function::from_name(function.name()), Some(*function));
        }
    }
}

//! The bytes of a snapshot's WASI section. The types here say the format once more, without the
//! types of the rooms, so that a change of those which changes the bytes is seen.

use dormouse_model::{Digest, Timestamp};
use serde::Serialize;

use crate::{
    BodyV1, DeletedV1, DirV1, EntryV1, FdKindV1, FileType, FileV1, IdentityV1, NodeV1, OpenMode,
    OpenNodeV1, SocketV1, TimesV1,
};

#[derive(Serialize)]
enum Kind {
    Dir {
        preopen: String,
        path: String,
    },
    File {
        preopen: String,
        path: String,
        offset: u64,
        access: (bool, bool),
        identity: Identity,
    },
    Memory {
        tmpfs: u32,
        inode: u64,
        offset: u64,
        preopen: bool,
    },
    Deleted {
        content: u32,
        offset: u64,
        access: (bool, bool),
    },
}

#[derive(Serialize)]
struct Identity {
    size: u64,
    modified: u64,
    digest: Option<Digest>,
}

#[derive(Serialize)]
struct Node {
    inode: u64,
    times: (u64, u64, u64),
    body: BodyV1,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    inode: u64,
    filetype: u8,
}

fn same(ours: &impl Serialize, format: &impl Serialize) {
    let bytes = |error| panic!("it can be written: {error}");
    let ours = rmp_serde::to_vec_named(ours).unwrap_or_else(bytes);
    let format = rmp_serde::to_vec_named(format).unwrap_or_else(bytes);
    assert_eq!(ours, format);
}

const MODIFIED: u64 = 1_700_000_000_123_456_789;

#[test]
fn descriptors_are_maps_and_modes_are_pairs() {
    let (preopen, path) = ("/".to_string(), "a/b".to_string());
    let ours = FdKindV1::Dir(DirV1 {
        preopen: preopen.clone(),
        path: path.clone(),
    });
    let format = Kind::Dir {
        preopen: preopen.clone(),
        path: path.clone(),
    };
    same(&ours, &format);

    let digest = Some(Digest::of(b"content"));
    let ours = FdKindV1::File(FileV1 {
        preopen: preopen.clone(),
        path: path.clone(),
        offset: 300,
        access: OpenMode {
            read: true,
            write: false,
        },
        identity: IdentityV1 {
            size: 7,
            modified: Timestamp::from_nanos(MODIFIED),
            digest,
        },
    });
    let format = Kind::File {
        preopen,
        path,
        offset: 300,
        access: (true, false),
        identity: Identity {
            size: 7,
            modified: MODIFIED,
            digest,
        },
    };
    same(&ours, &format);

    let ours = FdKindV1::Deleted(DeletedV1 {
        content: 1,
        offset: 2,
        access: OpenMode {
            read: false,
            write: true,
        },
    });
    let format = Kind::Deleted {
        content: 1,
        offset: 2,
        access: (false, true),
    };
    same(&ours, &format);

    let ours = FdKindV1::Memory(OpenNodeV1 {
        tmpfs: 1,
        inode: 2,
        offset: 3,
        preopen: true,
    });
    let format = Kind::Memory {
        tmpfs: 1,
        inode: 2,
        offset: 3,
        preopen: true,
    };
    same(&ours, &format);
}

#[test]
fn times_are_lists_of_nanoseconds_and_file_types_are_numbers() {
    let body = BodyV1::Link("target".into());
    let ours = NodeV1 {
        inode: 5,
        times: TimesV1 {
            accessed: Timestamp::from_nanos(1),
            modified: Timestamp::from_nanos(MODIFIED),
            changed: Timestamp::from_nanos(3),
        },
        body: body.clone(),
    };
    let format = Node {
        inode: 5,
        times: (1, MODIFIED, 3),
        body,
    };
    same(&ours, &format);

    let types = [
        (FileType::Unknown, 0),
        (FileType::BlockDevice, 1),
        (FileType::CharacterDevice, 2),
        (FileType::Directory, 3),
        (FileType::RegularFile, 4),
        (FileType::DatagramSocket, 5),
        (FileType::StreamSocket, 6),
        (FileType::SymbolicLink, 7),
    ];
    for (filetype, number) in types {
        let name = "a".to_string();
        let ours = EntryV1 {
            name: name.clone(),
            inode: 9,
            filetype,
        };
        let format = Entry {
            name,
            inode: 9,
            filetype: number,
        };
        same(&ours, &format);
        let read: u8 = FileType::from(number).into();
        assert_eq!(read, number);
    }
}

#[test]
fn timeouts_are_nanoseconds_and_left_out_where_there_are_none() {
    let socket = |receive_timeout| SocketV1 {
        key: 1,
        v6: false,
        datagram: true,
        phase: crate::PhaseV1::Open,
        bound: false,
        local: None,
        peer: None,
        receive_timeout,
        send_timeout: None,
        options: Vec::new(),
        any_port: false,
        senders: Vec::new(),
    };
    #[derive(Serialize)]
    struct Format {
        key: u64,
        v6: bool,
        datagram: bool,
        phase: &'static str,
        bound: bool,
        local: Option<()>,
        peer: Option<()>,
        #[serde(skip_serializing_if = "Option::is_none")]
        receive_timeout: Option<u64>,
    }
    for nanos in [None, Some(2_500_000_000)] {
        let ours = socket(nanos.map(std::time::Duration::from_nanos));
        let format = Format {
            key: 1,
            v6: false,
            datagram: true,
            phase: "Open",
            bound: false,
            local: None,
            peer: None,
            receive_timeout: nanos,
        };
        same(&ours, &format);
        let bytes = rmp_serde::to_vec_named(&ours).expect("plain data");
        let read: SocketV1 = rmp_serde::from_slice(&bytes).expect("what was just written");
        assert_eq!(read, ours);
    }
}

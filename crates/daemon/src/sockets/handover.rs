//! The sockets of a task as one process gives them to another: data, with descriptors beside it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{MonotonicTime, TaskId, Timestamp, When};
use crate::sockets::TaskSockets;
use crate::task::{Asleep, HeldSocket, Role, Watch};

/// The data of one task. The descriptors are those of the listeners, then those of the sockets. A
/// form that has been released is never edited.
#[derive(Debug, Serialize, Deserialize)]
struct TaskSocketsV1 {
    task: u64,
    /// Addresses of the listeners.
    listeners: Vec<String>,
    /// Keys and roles of the sockets; `None` where the task does not sleep.
    sockets: Option<Vec<(u64, Role)>>,
    watches: Vec<Watch>,
    wakes: Option<MonotonicTime>,
    /// The same by the wall clock.
    wall: Option<Timestamp>,
}

impl TaskSockets {
    /// As data and descriptors.
    pub fn into_parts(self) -> Result<(Vec<u8>, Vec<Arc<OwnedFd>>), Error> {
        let (addresses, mut descriptors): (Vec<_>, Vec<_>) = self.listeners.into_iter().unzip();
        let mut data = TaskSocketsV1 {
            task: self.id.0,
            listeners: addresses,
            sockets: None,
            watches: Vec::new(),
            wakes: self.ends.steady,
            wall: self.ends.wall,
        };
        if let Some(asleep) = self.asleep {
            let sockets = asleep.sockets.into_iter();
            let (named, sockets): (Vec<_>, Vec<_>) = sockets
                .map(|held| ((held.key, held.role), held.socket))
                .unzip();
            data.sockets = Some(named);
            data.watches = asleep.watches;
            descriptors.extend(sockets);
        }
        let data = rmp_serde::to_vec_named(&data).map_err(|e| Error::Damaged(e.to_string()))?;
        Ok((data, descriptors))
    }

    /// From data and descriptors.
    pub fn from_parts(data: &[u8], descriptors: Vec<OwnedFd>) -> Result<Self, Error> {
        let data: TaskSocketsV1 =
            rmp_serde::from_slice(data).map_err(|e| Error::Damaged(e.to_string()))?;
        let wanted = data.listeners.len() + data.sockets.as_ref().map_or(0, Vec::len);
        if wanted != descriptors.len() {
            let text = format!(
                "task {} has {wanted} sockets, and {} came",
                data.task,
                descriptors.len()
            );
            return Err(Error::Damaged(text));
        }
        let mut descriptors = descriptors.into_iter().map(Arc::new);
        let listeners = data.listeners.into_iter().zip(&mut descriptors).collect();
        let asleep = data.sockets.map(|named| Asleep {
            sockets: named
                .into_iter()
                .zip(descriptors)
                .map(|((key, role), socket)| HeldSocket { key, role, socket })
                .collect(),
            watches: data.watches,
        });
        Ok(Self {
            id: TaskId(data.task),
            listeners,
            asleep,
            ends: When {
                steady: data.wakes,
                wall: data.wall,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Interest;
    use crate::task::Watched;

    fn socket() -> Arc<OwnedFd> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        Arc::new(listener.into())
    }

    #[test]
    fn sockets_come_back_as_they_were() {
        let kept = TaskSockets {
            id: TaskId(7),
            listeners: vec![("127.0.0.1:80".into(), socket())],
            asleep: Some(Asleep {
                sockets: vec![HeldSocket {
                    key: 9,
                    role: Role::Stream,
                    socket: socket(),
                }],
                watches: vec![Watch {
                    what: Watched::Socket(9),
                    interest: Interest::Read,
                }],
            }),
            ends: When::steady(MonotonicTime::from_nanos(5)),
        };
        let (data, descriptors) = kept.into_parts().expect("it can be written");
        let own = |fd: &Arc<OwnedFd>| fd.try_clone().expect("a descriptor");
        let descriptors: Vec<OwnedFd> = descriptors.iter().map(own).collect();
        assert!(TaskSockets::from_parts(&data, Vec::new()).is_err());
        let back = TaskSockets::from_parts(&data, descriptors).expect("it can be read");
        assert_eq!(
            (back.id, back.ends),
            (TaskId(7), When::steady(MonotonicTime::from_nanos(5)))
        );
        assert_eq!(back.listeners[0].0, "127.0.0.1:80");
        let asleep = back.asleep.expect("it sleeps");
        assert_eq!(
            (asleep.sockets[0].key, asleep.sockets[0].role),
            (9, Role::Stream)
        );
        assert_eq!(asleep.watches.len(), 1);
        assert!(TaskSockets::from_parts(b"x", Vec::new()).is_err());
    }
}

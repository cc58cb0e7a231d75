//! A new process takes over from the running one: listening sockets and the lock pass from hand to hand
//! over a Unix socket in the state folder, so that no connection is refused in between.
//!
//! The wire: the old process sends a length and a JSON description, then the descriptors in messages of one
//! byte with up to [`BATCH`] descriptors each; the new one sends `ready` once it serves, and the old one drains.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Descriptors in one message; the kernel takes 253.
const BATCH: usize = 64;
/// How long the successor may take to be ready: it resolves names and reads certificates.
const READY_TIME_MAX: Duration = Duration::from_secs(60);
/// A description is a few hundred bytes a listener.
const DESCRIPTION_BYTES_MAX: u32 = 1 << 20;

/// What is handed over.
pub(crate) struct Package {
    pub(crate) lock: File,
    pub(crate) ops: (SocketAddr, TcpListener),
    pub(crate) console: (SocketAddr, TcpListener),
    /// By address as configured.
    pub(crate) listeners: BTreeMap<SocketAddr, Vec<TcpListener>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u32,
    ops: SocketAddr,
    console: SocketAddr,
    listeners: Vec<(SocketAddr, usize)>,
}

/// The predecessor, which waits for us to be ready.
pub(crate) struct Predecessor(UnixStream);

impl Predecessor {
    /// We serve: it may drain.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.0.write_all(b"ready")
    }
}

/// Opens the socket that a successor asks at.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    // Bound aside and moved into place, so that there is no moment without one.
    let aside = path.with_extension(std::process::id().to_string());
    let _absent = std::fs::remove_file(&aside);
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&aside, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Asks the running process for all it has; `None` if there is none.
pub(crate) fn take_over(path: &Path) -> io::Result<Option<(Package, Predecessor)>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(READY_TIME_MAX))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > DESCRIPTION_BYTES_MAX {
        return Err(io::Error::other(
            "the running process speaks another language",
        ));
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text)?;
    let description: Description = serde_json::from_slice(&text)?;
    if description.version != 1 {
        return Err(io::Error::other(
            "the running process is of a version that can't hand over to this one",
        ));
    }
    let count = 3 + description
        .listeners
        .iter()
        .map(|(_, count)| count)
        .sum::<usize>();
    let mut descriptors = receive(&stream, count)?;
    let mut next = || {
        descriptors
            .pop_front()
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let lock = File::from(next()?);
    let ops = (description.ops, TcpListener::from(next()?));
    let console = (description.console, TcpListener::from(next()?));
    let mut listeners = BTreeMap::new();
    for (address, count) in description.listeners {
        let sockets = (0..count)
            .map(|_| next().map(TcpListener::from))
            .collect::<io::Result<_>>()?;
        listeners.insert(address, sockets);
    }
    Ok(Some((
        Package {
            lock,
            ops,
            console,
            listeners,
        },
        Predecessor(stream),
    )))
}

/// Hands everything to a successor, and waits until it is ready. Blocks: to be called on a thread of its own.
pub(crate) fn hand_over(mut stream: UnixStream, package: &Package) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(READY_TIME_MAX))?;
    let description = Description {
        version: 1,
        ops: package.ops.0,
        console: package.console.0,
        listeners: package
            .listeners
            .iter()
            .map(|(address, sockets)| (*address, sockets.len()))
            .collect(),
    };
    let text = serde_json::to_vec(&description)?;
    stream.write_all(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes())?;
    stream.write_all(&text)?;
    let mut descriptors = vec![
        package.lock.as_fd(),
        package.ops.1.as_fd(),
        package.console.1.as_fd(),
    ];
    descriptors.extend(package.listeners.values().flatten().map(AsFd::as_fd));
    for batch in descriptors.chunks(BATCH) {
        send(&stream, batch)?;
    }
    let mut word = [0; 5];
    stream.read_exact(&mut word)?;
    if &word == b"ready" {
        Ok(())
    } else {
        Err(io::Error::other(
            "the successor said something else than `ready`",
        ))
    }
}

fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        stream,
        &[IoSlice::new(b"f")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

fn receive(stream: &UnixStream, count: usize) -> io::Result<VecDeque<OwnedFd>> {
    let mut descriptors = VecDeque::with_capacity(count);
    while descriptors.len() < count {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut byte)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
    }
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_lock_pass_to_the_successor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("upgrade.sock");
        let listener = listen(&path).unwrap();
        listener.set_nonblocking(false).unwrap();
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        let configured = "127.0.0.1:8080".parse().unwrap();
        // More than fit in one message.
        let sockets: Vec<_> = (0..BATCH + 7).map(|_| socket()).collect();
        let ports: Vec<_> = sockets.iter().map(|it| it.local_addr().unwrap()).collect();
        let lock = File::create(dir.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        let package = Package {
            lock,
            ops: (configured, socket()),
            console: (configured, socket()),
            listeners: BTreeMap::from([(configured, sockets)]),
        };
        let old = std::thread::spawn(move || hand_over(listener.accept().unwrap().0, &package));
        let (package, predecessor) = take_over(&path).unwrap().unwrap();
        predecessor.release().unwrap();
        old.join().unwrap().unwrap();
        let received: Vec<_> = package.listeners[&configured]
            .iter()
            .map(|it| it.local_addr().unwrap())
            .collect();
        assert_eq!(received, ports);
        // The old process has dropped its copy; the lock is still held by ours.
        let again = File::options()
            .write(true)
            .open(dir.path().join("lock"))
            .unwrap();
        assert!(again.try_lock().is_err());
    }

    #[test]
    fn without_a_running_process_there_is_nothing_to_take_over() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            take_over(&dir.path().join("upgrade.sock"))
                .unwrap()
                .is_none()
        );
    }
}

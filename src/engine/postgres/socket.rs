//! The connection under a session: TCP, or a Unix socket.
//!
//! `tokio_postgres` ends when it has said goodbye, while the server's process is still there and counts. So a socket
//! of ours is shut down only when the server has closed its side: PostgreSQL does that by the end of the process,
//! when the session is in no list and no count any more.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::tenant::Endpoint;

/// How long a peer may leave sent bytes unacknowledged, or stay silent when it is idle, before it is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// A connection to the server; its shutdown waits for the server's.
pub(super) struct Socket {
    stream: Stream,
    shut: bool,
}

enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// Connects to the socket's file, or to the first of the host's addresses that answers.
    ///
    /// # Errors
    /// The network's.
    pub async fn connect(place: &Endpoint) -> io::Result<Self> {
        let stream = match place {
            Endpoint::Tcp { host, port } => Stream::Tcp(tcp(host, *port).await?),
            #[cfg(unix)]
            Endpoint::Socket(file) => Stream::Unix(UnixStream::connect(file).await?),
            #[cfg(not(unix))]
            Endpoint::Socket(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self { stream, shut: false })
    }

    /// Returns our own end's address; a Unix socket has none.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            #[cfg(unix)]
            Stream::Unix(_) => None,
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE))?;
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 3).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// Calls the same of either stream.
macro_rules! either {
    ($stream:expr, $of:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($of) => $call,
            #[cfg(unix)]
            Stream::Unix($of) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_read(cx, into))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.shut = true;
        }
        loop {
            let mut last_words = [0; 512];
            let mut into = ReadBuf::new(&mut last_words);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
            if into.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

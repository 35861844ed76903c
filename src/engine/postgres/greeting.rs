//! Which server process greeted us.
//!
//! The driver keeps its number for itself, but a cancel request names it, and the driver writes one into any stream.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// What stands in a message that asks for TLS.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST>
const SSL_REQUEST: i32 = 80_877_103;

/// Returns the number of the process that greeted us. Poolers make their own.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CANCELREQUEST>
pub(super) async fn greeted_by(token: &CancelToken) -> Option<i32> {
    let (ours, theirs) = duplex(64);
    let (sent, pid) = tokio::join!(token.cancel_query_raw(ours, InTheClear), read_request(theirs));
    sent.ok()?;
    pid.ok()
}

/// Reads a cancel request as a server would, and says yes to TLS, which is none here: the bytes stay in this process.
async fn read_request(mut stream: DuplexStream) -> io::Result<i32> {
    stream.read_i32().await?;
    if stream.read_i32().await? == SSL_REQUEST {
        stream.write_all(b"S").await?;
        stream.read_i64().await?;
    }
    stream.read_i32().await
}

/// A handshake that does nothing.
struct InTheClear;

struct Clear(DuplexStream);

impl TlsConnect<DuplexStream> for InTheClear {
    type Stream = Clear;
    type Error = io::Error;
    type Future = Ready<io::Result<Clear>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(Clear(stream)))
    }
}

impl TlsStream for Clear {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Clear {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Clear {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_read_with_and_without_the_question_for_tls() {
        for asks in [true, false] {
            let (mut client, server) = duplex(64);
            let send = async {
                if asks {
                    client.write_i32(8).await?;
                    client.write_i32(SSL_REQUEST).await?;
                    assert_eq!(client.read_u8().await?, b'S');
                }
                for number in [16, 80_877_102, 812, 4711] {
                    client.write_i32(number).await?;
                }
                io::Result::Ok(())
            };
            let (sent, pid) = tokio::join!(send, read_request(server));
            assert_eq!((sent.unwrap(), pid.unwrap()), ((), 812));
        }
    }
}

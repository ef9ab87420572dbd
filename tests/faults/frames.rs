//! What goes over a connection to PostgreSQL, as messages: as much of the protocol as it takes to
//! count requests and answers.

use std::io;

use tokio::net::TcpStream;

/// A message of the protocol, whole.
pub(crate) struct Frame {
    /// 0 for the packet that opens a connection.
    pub(crate) kind: u8,
    pub(crate) bytes: Vec<u8>,
}

impl Frame {
    /// A simple query, a Sync, or an opening.
    pub(crate) fn is_request(&self) -> bool {
        matches!(self.kind, b'Q' | b'S' | 0)
    }
}

/// A stream of bytes as messages.
#[derive(Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    opening: bool,
}

impl Frames {
    pub(crate) fn opening() -> Self {
        Self { opening: true, ..Self::default() }
    }

    /// Takes what is there; false at the end of the stream.
    pub(crate) fn read(&mut self, stream: &TcpStream) -> io::Result<bool> {
        let mut chunk = [0; 16384];
        match stream.try_read(&mut chunk) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn next(&mut self) -> Option<Frame> {
        let kind = if self.opening { 0 } else { *self.buffer.first()? };
        let head = usize::from(!self.opening);
        let length = self.buffer.get(head..head + 4)?;
        let length = u32::from_be_bytes(length.try_into().unwrap());
        let whole = head + usize::try_from(length).unwrap();
        if self.buffer.len() < whole {
            return None;
        }
        self.opening = false;
        let rest = self.buffer.split_off(whole);
        Some(Frame { kind, bytes: std::mem::replace(&mut self.buffer, rest) })
    }
}

//! Measures the octets that wait in a socket to be sent: the one call that no crate wraps.

#![allow(unsafe_code, reason = "an ioctl has no safe wrapper")]

use std::os::fd::{AsRawFd, BorrowedFd};

/// Returns the octets that the other end's kernel (TCP) or the other end (Unix) has not taken; 0 if that is unknown.
pub(super) fn queued(socket: BorrowedFd<'_>) -> u32 {
    let mut octets: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, which is SIOCOUTQ (`tcp(7)`, `unix(7)`), writes one int through the pointer, and the
    // descriptor is open for as long as it is borrowed.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if result == 0 { u32::try_from(octets).unwrap_or(0) } else { 0 }
}

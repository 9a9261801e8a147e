//! Lends buffers while there are bytes to move: an idle connection holds none.

use std::cell::RefCell;

/// The size of a buffer: four full TLS records (RFC 8446 section 5.1), which one system call moves.
const SIZE: usize = 64 * 1024;

/// The number of buffers kept for each thread.
const KEPT: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that returns to the pool when dropped.
#[derive(Debug)]
pub(super) struct Buffer(Box<[u8]>);

impl Buffer {
    pub(super) fn take() -> Self {
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        Self(pooled.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice()))
    }

    pub(super) fn octets(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(super) fn filled(&self, from: usize, to: usize) -> &[u8] {
        self.0.get(from..to).unwrap_or(&[])
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let octets = std::mem::take(&mut self.0);
        // Fails while the thread ends: the buffer is freed then.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(octets);
            }
        });
    }
}

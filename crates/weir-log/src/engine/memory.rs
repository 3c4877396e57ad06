//! A database in memory that takes up what is written, not what is laid out.

use std::io;

use parking_lot::RwLock;
use redb::StorageBackend;

/// What is taken from and given back to the system at once.
const BLOCK: usize = 64 << 10;

/// Memory that reads as zeros where nothing was written. The database lays out twice of what it needs when it grows, which in
/// one piece would have to be moved and filled.
#[derive(Debug, Default)]
pub(super) struct Memory(RwLock<Blocks>);

#[derive(Debug, Default)]
struct Blocks {
    len: u64,
    blocks: Vec<Option<Box<[u8]>>>,
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let blocks = self.0.read();
        let mut at = blocks.place(offset, out.len())?;
        for part in pieces(at, out.len()) {
            let (index, start) = (at / BLOCK, at % BLOCK);
            let out = &mut out[part.clone()];
            match &blocks.blocks[index] {
                Some(block) => out.copy_from_slice(&block[start..start + part.len()]),
                None => out.fill(0),
            }
            at += part.len();
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut blocks = self.0.write();
        let whole = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        blocks.blocks.resize(whole.div_ceil(BLOCK), None);
        // What is laid out again later must read as zeros.
        if len < blocks.len
            && let Some(Some(last)) = blocks.blocks.last_mut()
            && !whole.is_multiple_of(BLOCK)
        {
            last[whole % BLOCK..].fill(0);
        }
        blocks.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut blocks = self.0.write();
        let mut at = blocks.place(offset, data.len())?;
        for part in pieces(at, data.len()) {
            let (index, start) = (at / BLOCK, at % BLOCK);
            let block = blocks.blocks[index].get_or_insert_with(|| vec![0; BLOCK].into());
            block[start..start + part.len()].copy_from_slice(&data[part.clone()]);
            at += part.len();
        }
        Ok(())
    }
}

impl Blocks {
    /// Where so many bytes are, if they are laid out.
    fn place(&self, offset: u64, len: usize) -> io::Result<usize> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        usize::try_from(offset).map_err(|_| io::ErrorKind::OutOfMemory.into())
    }
}

/// The parts of so many bytes that lie in one block each, where the first is at `at`.
fn pieces(at: usize, len: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let part = done..len.min(done + BLOCK - (at + done) % BLOCK);
        done = part.end;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        /// As a file does.
        #[test]
        fn it_is_read_as_it_was_written(steps in prop::collection::vec((0..4u8, 0..5 * BLOCK, 0..2 * BLOCK), 1..20)) {
            let (memory, mut file) = (Memory::default(), Vec::new());
            for (number, (step, at, len)) in steps.into_iter().enumerate() {
                if step == 0 {
                    memory.set_len(at as u64).unwrap();
                    file.resize(at, 0);
                } else if step == 1 {
                    let data = vec![u8::try_from(number).unwrap() + 1; len];
                    let fits = at + len <= file.len();
                    prop_assert_eq!(memory.write(at as u64, &data).is_ok(), fits);
                    if fits {
                        file[at..at + len].copy_from_slice(&data);
                    }
                } else {
                    let mut out = vec![0xff; len];
                    let read = memory.read(at as u64, &mut out).ok().map(|()| out);
                    prop_assert_eq!(read.as_deref(), file.get(at..at + len));
                }
                prop_assert_eq!(memory.len().unwrap(), file.len() as u64);
            }
        }
    }

    #[test]
    fn only_what_is_written_takes_up_memory() {
        let memory = Memory::default();
        memory.set_len(1 << 32).unwrap();
        memory.write((1 << 32) - 1, b"x").unwrap();
        memory.write(BLOCK as u64 - 1, b"xy").unwrap();
        assert_eq!(memory.0.read().blocks.iter().flatten().count(), 3);
        memory.set_len(BLOCK as u64).unwrap();
        assert_eq!(memory.0.read().blocks.len(), 1);
    }
}

//! Reading what others can change under our hands: only files, and of a file no more than it held when it was opened.
//!
//! A named pipe or a device where a file is expected would be waited for, or read, without end.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a file of text or JSON that is read as a whole.
pub const MOST_TEXT_BYTES: u64 = 256 << 20;

/// Opens a regular file for reading. Never waits.
///
/// # Errors
/// The system's, or what it is instead of a file.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Opening a pipe would wait for a writer, a terminal could become ours. Regular files know neither.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(|cause| match std::fs::metadata(path) {
        // The system's word for a socket is "no such device".
        Ok(found) if !found.is_file() => not_a_file(found.file_type()),
        _ => cause,
    })?;
    let found = file.metadata()?.file_type();
    if found.is_file() { Ok(file) } else { Err(not_a_file(found)) }
}

/// Reads a file as it was when it was opened: what is added meanwhile is not read.
///
/// # Errors
/// The system's; what it is instead of a file; or if it holds more than `most_bytes`.
pub fn read(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let size_bytes = size_within(&file, most_bytes)?;
    read_start(&file, size_bytes)
}

/// As [`read`], of text.
///
/// # Errors
/// Also if it is no UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path, MOST_TEXT_BYTES)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not text in UTF-8"))
}

/// Bytes of an open file.
///
/// # Errors
/// If it holds more than `most_bytes`.
pub fn size_within(file: &File, most_bytes: u64) -> io::Result<u64> {
    let size_bytes = file.metadata()?.len();
    if size_bytes > most_bytes {
        let problem = format!("holds {size_bytes} bytes, more than {most_bytes} are not read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(size_bytes)
}

/// The first `size_bytes` of an open file, fewer where it has become shorter.
///
/// # Errors
/// The system's, also if there is no memory for them.
pub fn read_start(file: &File, size_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let fits = usize::try_from(size_bytes).is_ok_and(|size| bytes.try_reserve_exact(size).is_ok());
    if !fits {
        return Err(io::Error::new(io::ErrorKind::OutOfMemory, format!("no memory for its {size_bytes} bytes")));
    }
    file.take(size_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes` from `offset` on, for any number of threads at once.
///
/// # Errors
/// The system's; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
pub fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < bytes.len() {
            match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Writes `bytes` from `offset` on, for any number of threads at once.
///
/// # Errors
/// The system's.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < bytes.len() {
            match std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn not_a_file(found: FileType) -> io::Error {
    #[cfg(unix)]
    use std::os::unix::fs::FileTypeExt;
    #[cfg(unix)]
    let special = [(found.is_fifo(), "a named pipe"), (found.is_socket(), "a socket")];
    #[cfg(not(unix))]
    let special = [];
    let mut known = special.into_iter().chain([(found.is_dir(), "a folder")]);
    let name = known.find(|(is, _)| *is).map_or("a device", |(_, name)| name);
    io::Error::new(io::ErrorKind::InvalidInput, format!("{name}, not a file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_when_it_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(read(&path, 10).unwrap(), b"0123456789");
        assert!(read(&path, 9).unwrap_err().to_string().contains("holds 10 bytes, more than 9"));
        let file = open(&path).unwrap();
        let size_bytes = size_within(&file, 10).unwrap();
        std::fs::write(&path, "0123456789 and more").unwrap();
        assert_eq!(read_start(&file, size_bytes).unwrap(), b"0123456789");
        std::fs::write(&path, "0123").unwrap();
        assert_eq!(read_start(&open(&path).unwrap(), size_bytes).unwrap(), b"0123");
        let mut bytes = [0; 2];
        read_exact_at(&file, &mut bytes, 1).unwrap();
        assert_eq!(&bytes, b"12");
        let error = read_exact_at(&file, &mut bytes, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("UTF-8"));
        assert_eq!(read_start(&file, u64::MAX).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_at_once_and_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for (path, name) in [
            (pipe.as_path(), "a named pipe"),
            (&link, "a named pipe"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
            (folder.path(), "a folder"),
        ] {
            let error = open(path).unwrap_err().to_string();
            assert_eq!(error, format!("{name}, not a file"), "{}", path.display());
        }
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

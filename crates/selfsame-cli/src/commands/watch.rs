//! `selfsame watch`.
//!
//! A few lines of HTTP/1.1: one page, GET alone, each connection on a thread of its own, with a bounded request and a time
//! limit. There is a bounded number of them too: when there are more, the oldest is closed, since a browser holds some open
//! without ever asking. What a browser could be tricked into asking from another site is not answered: the `Host` must be
//! the address that is served.

use crate::exit::Code;
use crate::terminal;
use crate::version::environment;
use anyhow::{Context, Result};
use clap::Args;
use selfsame_report::{RunRecords, live_page};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Bytes of a request's head, at most.
const REQUEST_BYTES: usize = 8 << 10;
/// Time that a client has to send its request, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at a time, at most.
const CLIENTS: usize = 16;
/// Until the next try when the system has no file handle or no thread left.
const PAUSE: Duration = Duration::from_millis(50);
/// Seconds after which the page asks for its successor.
const REFRESH_S: u32 = 5;

/// Serve the page of a run while it goes on: curves and gauges, updating themselves.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame watch runs/mine                     on this machine alone
  selfsame watch runs/mine --host 0.0.0.0      for everyone who can reach this machine

The page only reads the run's records; the training does not notice. Ctrl-C ends it.")]
pub struct Watch {
    /// A run folder
    run: PathBuf,
    /// Port; 0: any that is free
    #[arg(long, default_value_t = 7878)]
    port: u16,
    /// Address to serve on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
}

impl Watch {
    pub fn run(self) -> Result<Code> {
        let records = Mutex::new(RunRecords::read(&self.run)?);
        let address = (self.host, self.port);
        let listener = TcpListener::bind(address).with_context(|| {
            format!(
                "--port {}: cannot serve on {}; choose another --port",
                self.port,
                std::net::SocketAddr::from(address)
            )
        })?;
        let address = listener.local_addr()?;
        terminal::print(format_args!("http://{address}/ shows {}; Ctrl-C ends it", self.run.display()));
        let page = Arc::new(Page { served: address.ip(), folder: self.run, records });
        let mut clients: VecDeque<Weak<TcpStream>> = VecDeque::new();
        for stream in listener.incoming() {
            // A client that went away, or a moment without file handles or threads, is no reason to end.
            let answered = stream.and_then(|stream| {
                clients.retain(|client| client.strong_count() > 0);
                while clients.len() >= CLIENTS {
                    let oldest = clients.pop_front().and_then(|client| client.upgrade());
                    oldest.map(|client| client.shutdown(Shutdown::Both));
                }
                let (stream, page) = (Arc::new(stream), page.clone());
                clients.push_back(Arc::downgrade(&stream));
                std::thread::Builder::new().spawn(move || answer(&stream, &page))
            });
            if answered.is_err() {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(Code::Finished)
    }
}

/// What all connections share.
struct Page {
    served: IpAddr,
    folder: PathBuf,
    records: Mutex<RunRecords>,
}

impl Page {
    /// The page of the run as it stands now.
    fn draw(&self) -> String {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.refresh(&self.folder);
        live_page(&records, REFRESH_S, &environment())
    }
}

/// Answers one request and closes.
fn answer(mut stream: &TcpStream, page: &Page) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let (status, page) = match read_head(stream)? {
        Some(head) => match route(&head, page.served) {
            Ok(()) => ("200 OK", page.draw()),
            Err(status) => (status, format!("{status}\n")),
        },
        None => ("431 Request Header Fields Too Large", "the request is too long\n".into()),
    };
    let kind = if status.starts_with("200") { "text/html" } else { "text/plain" };
    let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n{allow}Connection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(page.as_bytes())?;
    stream.flush()?;
    // Closing with bytes unread would reset the connection before the client has read its answer.
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let _ = stream.read(&mut [0; 1024]);
    Ok(())
}

/// The request's lines up to the empty one, or `None` when they are too long. What does not come in time is an error.
fn read_head(mut stream: &TcpStream) -> std::io::Result<Option<String>> {
    let (mut head, mut buffer, deadline) = (Vec::new(), [0; 1024], Instant::now() + PATIENCE);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..read]);
        if head.len() > REQUEST_BYTES {
            return Ok(None);
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") || read == 0 {
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
    }
}

/// Whether the page is the answer, or which status is.
fn route(head: &str, served: IpAddr) -> Result<(), &'static str> {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("400 Bad Request");
    };
    if !version.starts_with("HTTP/1.") {
        return Err("400 Bad Request");
    }
    if method != "GET" {
        return Err("405 Method Not Allowed");
    }
    let host = lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = host.map(|(_, value)| value.trim().rsplit_once(':').map_or(value.trim(), |(name, _)| name));
    // A name that someone else's site resolves to the loopback address must not open the page to that site.
    let local = |host: &str| {
        host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    if served.is_loopback() && !host.is_some_and(local) {
        return Err("403 Forbidden");
    }
    if path == "/" { Ok(()) } else { Err("404 Not Found") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_is_served_and_only_to_this_machine() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let asks = |head: &str| route(head, local);
        assert_eq!(asks("GET / HTTP/1.1\r\nHost: 127.0.0.1:7878\r\n\r\n"), Ok(()));
        assert_eq!(asks("GET / HTTP/1.1\r\nhost: localhost:7878\r\n\r\n"), Ok(()));
        assert_eq!(asks("GET / HTTP/1.1\r\nHost: [::1]:7878\r\n\r\n"), Ok(()));
        assert_eq!(asks("GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"), Err("403 Forbidden"));
        assert_eq!(asks("GET / HTTP/1.1\r\n\r\n"), Err("403 Forbidden"));
        assert_eq!(route("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Ok(()));
        for path in ["/plan.toml", "/../etc/passwd", "//", "/?", "http://127.0.0.1/"] {
            assert_eq!(
                asks(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")),
                Err("404 Not Found"),
                "{path}"
            );
        }
        for method in ["POST", "PUT", "DELETE", "get", "OPTIONS"] {
            assert_eq!(asks(&format!("{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n")), Err("405 Method Not Allowed"));
        }
        for bad in ["", "GET /", "GET / HTTP/2", "GET / x HTTP/1.1", "\0\u{fffd}"] {
            assert_eq!(asks(bad), Err("400 Bad Request"), "{bad:?}");
        }
    }
}

//! `wasi_experimental_http`, the HTTP requests that Krustlet gave to core modules: five functions over numbers and
//! the guest's memory, that any engine can call. A guest waits in them, on an event loop of its own that is made
//! at the first request; there is no other thread.

use crate::outgoing::{Asker, Client};
use bytes::{Buf, Bytes};
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, LOCATION,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::runtime::Runtime;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, WasiBody};

/// The module name of the functions.
pub const MODULE: &str = "wasi_experimental_http";
pub const FUNCTIONS: [&str; 5] = ["req", "close", "header_get", "headers_get_all", "body_read"];

/// The longest URL, and the most that the names and values of a request's headers may be.
const URL_BYTES_MAX: usize = 64 << 10;
const HEADER_BYTES_MAX: usize = 64 << 10;
const REDIRECTS_MAX: usize = 10;

/// The error numbers that a guest sees; 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    InvalidHandle = 1,
    MemoryNotFound = 2,
    MemoryAccess = 3,
    BufferTooSmall = 4,
    HeaderNotFound = 5,
    Utf8 = 6,
    DestinationNotAllowed = 7,
    InvalidMethod = 8,
    InvalidEncoding = 9,
    InvalidUrl = 10,
    Request = 11,
    Runtime = 12,
    TooManySessions = 13,
}

/// The number that a function returns.
pub fn number(result: Result<(), Refusal>) -> i32 {
    result.map_or_else(|refusal| refusal as i32, |()| 0)
}

struct Open {
    headers: HeaderMap,
    body: WasiBody,
    /// What was received and not read yet.
    rest: Bytes,
}

/// The open responses of a guest.
pub struct CoreHttp {
    client: Arc<Client>,
    open: BTreeMap<u32, Open>,
    open_max: usize,
    body_bytes_max: usize,
    next: u32,
    event_loop: Option<Runtime>,
}

/// A piece of the guest's memory, as a guest names it: where it begins, and its size.
pub type Piece = (u32, u32);

fn read(memory: &[u8], (at, size): Piece) -> Result<&[u8], Refusal> {
    let end = (at as usize).checked_add(size as usize).ok_or(Refusal::BufferTooSmall)?;
    memory.get(at as usize..end).ok_or(Refusal::BufferTooSmall)
}

fn read_text(memory: &[u8], piece: Piece) -> Result<&str, Refusal> {
    std::str::from_utf8(read(memory, piece)?).map_err(|_| Refusal::Utf8)
}

fn writable(memory: &mut [u8], (at, size): Piece) -> Result<&mut [u8], Refusal> {
    let end = (at as usize).checked_add(size as usize).ok_or(Refusal::MemoryAccess)?;
    memory.get_mut(at as usize..end).ok_or(Refusal::MemoryAccess)
}

fn write(memory: &mut [u8], at: u32, bytes: &[u8]) -> Result<(), Refusal> {
    writable(memory, (at, bytes.len() as u32))?.copy_from_slice(bytes);
    Ok(())
}

/// Lines of "name:value".
fn read_headers(text: &str) -> Result<HeaderMap, Refusal> {
    if text.len() > HEADER_BYTES_MAX {
        return Err(Refusal::InvalidEncoding);
    }
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once(':').ok_or(Refusal::InvalidEncoding)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refusal::InvalidEncoding)?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| Refusal::InvalidEncoding)?;
        // These belong to the connection. Host above all: what it names was not checked.
        if !DEFAULT_FORBIDDEN_HEADERS.contains(&name) && name != CONTENT_LENGTH {
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

fn of_error(error: Error) -> Refusal {
    match error {
        Error::HttpRequestDenied | Error::DestinationIpProhibited => Refusal::DestinationNotAllowed,
        Error::HttpRequestUriInvalid => Refusal::InvalidUrl,
        Error::HttpRequestMethodInvalid => Refusal::InvalidMethod,
        Error::ConnectionLimitReached => Refusal::TooManySessions,
        _ => Refusal::Request,
    }
}

/// A request as the guest made it, or as a redirect changed it.
struct Asked {
    url: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

/// A URL without what comes after '#', which is for the guest alone.
fn read_url(text: &str) -> Option<Uri> {
    let url = text.split('#').next()?.parse::<Uri>().ok()?;
    (url.scheme().is_some() && url.authority().is_some()).then_some(url)
}

/// Where a redirect leads from `url`.
fn relative(url: &Uri, location: &str) -> Option<Uri> {
    if let Some(whole) = read_url(location) {
        return Some(whole);
    }
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    if location.starts_with("//") {
        return read_url(&format!("{scheme}:{location}"));
    }
    let folder = match location.strip_prefix('/') {
        Some(_) => "",
        None => url.path().rsplit_once('/').map_or("/", |(folder, _)| folder),
    };
    let separator = if location.starts_with('/') { "" } else { "/" };
    read_url(&format!("{scheme}://{authority}{folder}{separator}{location}"))
}

impl Asked {
    fn request(&self) -> Result<Request<WasiBody>, Refusal> {
        let body = Full::new(self.body.clone()).map_err(|never| match never {});
        let mut request = Request::new(body.boxed_unsync());
        let host = self.url.authority().ok_or(Refusal::InvalidUrl)?.as_str();
        let host = HeaderValue::from_str(host).map_err(|_| Refusal::InvalidUrl)?;
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(HOST, host);
        Ok(request)
    }

    /// Goes where a redirect leads, as browsers do; false: it leads nowhere.
    fn redirect(&mut self, status: StatusCode, headers: &HeaderMap) -> bool {
        let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else {
            return false;
        };
        match status.as_u16() {
            301..=303 => {
                if self.method != Method::HEAD {
                    self.method = Method::GET;
                }
                self.body = Bytes::new();
                self.headers.remove(CONTENT_TYPE);
            }
            307 | 308 => {}
            _ => return false,
        }
        let Some(url) = relative(&self.url, location) else { return false };
        if url.authority() != self.url.authority() {
            // Another server has no business with these.
            self.headers.remove(AUTHORIZATION);
            self.headers.remove(COOKIE);
        }
        self.url = url;
        true
    }

    /// Sends it; every place that a redirect leads to is held against the rules.
    async fn send(mut self, client: &Client) -> Result<Response<WasiBody>, Refusal> {
        for _ in 0..=REDIRECTS_MAX {
            let sent = client.send(self.request()?, None, Asker::Krustlets).await;
            let (response, driver) = sent.map_err(of_error)?;
            if !self.redirect(response.status(), response.headers()) {
                // The connection moves whenever the guest waits for bytes.
                tokio::spawn(driver);
                return Ok(response);
            }
        }
        Err(Refusal::Request)
    }
}

impl CoreHttp {
    pub fn new(client: Arc<Client>, open_max: usize, body_bytes_max: usize) -> CoreHttp {
        let open = BTreeMap::new();
        CoreHttp { client, open, open_max, body_bytes_max, next: 0, event_loop: None }
    }

    fn event_loop(&mut self) -> Result<&Runtime, Refusal> {
        if self.event_loop.is_none() {
            let event_loop = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()
                .map_err(|_: io::Error| Refusal::Runtime)?;
            self.event_loop = Some(event_loop);
        }
        self.event_loop.as_ref().ok_or(Refusal::Runtime)
    }

    /// Sends a request; writes the status (u16) and the number of the open response (u32).
    pub fn req(
        &mut self,
        memory: &mut [u8],
        [url, method, headers, body]: [Piece; 4],
        status_at: u32,
        handle_at: u32,
    ) -> Result<(), Refusal> {
        if self.open.len() >= self.open_max {
            return Err(Refusal::TooManySessions);
        }
        let url = read_text(memory, url)?;
        if url.len() > URL_BYTES_MAX {
            return Err(Refusal::InvalidUrl);
        }
        let method = Method::from_bytes(read(memory, method)?);
        let body = read(memory, body)?;
        // It is copied.
        if body.len() > self.body_bytes_max {
            return Err(Refusal::Request);
        }
        let asked = Asked {
            url: read_url(url).ok_or(Refusal::InvalidUrl)?,
            method: method.map_err(|_| Refusal::InvalidMethod)?,
            headers: read_headers(read_text(memory, headers)?)?,
            body: Bytes::copy_from_slice(body),
        };
        // Both must be writable before anything is sent.
        writable(memory, (status_at, 2))?;
        writable(memory, (handle_at, 4))?;

        let client = self.client.clone();
        let sent = self.event_loop()?.block_on(asked.send(&client));
        let (head, body) = sent?.into_parts();
        while self.open.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let open = Open { headers: head.headers, body, rest: Bytes::new() };
        self.open.insert(self.next, open);
        write(memory, status_at, &head.status.as_u16().to_le_bytes())?;
        write(memory, handle_at, &self.next.to_le_bytes())
    }

    /// Closing what is not open is no error.
    pub fn close(&mut self, handle: u32) -> Result<(), Refusal> {
        self.open.remove(&handle);
        Ok(())
    }

    fn headers(&self, handle: u32) -> Result<&HeaderMap, Refusal> {
        Ok(&self.open.get(&handle).ok_or(Refusal::InvalidHandle)?.headers)
    }

    /// Writes the value of a header and its size.
    pub fn header_get(
        &self,
        memory: &mut [u8],
        handle: u32,
        name: Piece,
        value: Piece,
        written_at: u32,
    ) -> Result<(), Refusal> {
        let headers = self.headers(handle)?;
        let found = headers.get(read_text(memory, name)?).ok_or(Refusal::HeaderNotFound)?;
        write_sized(memory, value, written_at, found.as_bytes())
    }

    /// Writes all headers as lines of "name:value", and their size.
    pub fn headers_get_all(
        &self,
        memory: &mut [u8],
        handle: u32,
        buffer: Piece,
        written_at: u32,
    ) -> Result<(), Refusal> {
        let mut lines = String::new();
        for (name, value) in self.headers(handle)? {
            let value = std::str::from_utf8(value.as_bytes()).map_err(|_| Refusal::Runtime)?;
            lines += &format!("{name}:{value}\n");
        }
        write_sized(memory, buffer, written_at, lines.as_bytes())
    }

    /// Fills the buffer with the next bytes of the body, with fewer only at its end, and writes how many.
    pub fn body_read(
        &mut self,
        memory: &mut [u8],
        handle: u32,
        buffer: Piece,
        read_at: u32,
    ) -> Result<(), Refusal> {
        self.event_loop()?;
        let open = self.open.get_mut(&handle).ok_or(Refusal::InvalidHandle)?;
        let event_loop = self.event_loop.as_ref().ok_or(Refusal::Runtime)?;
        writable(memory, (read_at, 4))?;
        let buffer = writable(memory, buffer)?;
        let mut filled = 0;
        while filled < buffer.len() {
            if open.rest.is_empty() {
                if open.body.is_end_stream() {
                    break;
                }
                match event_loop.block_on(open.body.frame()) {
                    None => break,
                    Some(Err(_)) => return Err(Refusal::Request),
                    // Trailers have no place in this interface.
                    Some(Ok(frame)) => open.rest = frame.into_data().unwrap_or_default(),
                }
            }
            let count = open.rest.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&open.rest[..count]);
            open.rest.advance(count);
            filled += count;
        }
        write(memory, read_at, &(filled as u32).to_le_bytes())
    }
}

/// Writes bytes that must fit a buffer, and how many they are.
fn write_sized(
    memory: &mut [u8],
    (at, size): Piece,
    written_at: u32,
    bytes: &[u8],
) -> Result<(), Refusal> {
    if bytes.len() > size as usize {
        return Err(Refusal::BufferTooSmall);
    }
    write(memory, at, bytes)?;
    write(memory, written_at, &(bytes.len() as u32).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_somewhere() {
        let url = |text: &str| read_url(text).expect("a URL");
        let from = url("http://a.example:81/x/y?q");
        let cases = [
            ("https://b.example/z", "https://b.example/z"),
            ("//b.example/z", "http://b.example/z"),
            ("/z?r#fragment", "http://a.example:81/z?r"),
            ("z", "http://a.example:81/x/z"),
        ];
        for (location, expected) in cases {
            assert_eq!(relative(&from, location), Some(url(expected)), "{location}");
        }
        assert_eq!(relative(&url("http://a.example"), "z"), Some(url("http://a.example/z")));
        assert_eq!(relative(&from, "ht tp://"), None);
    }

    #[test]
    fn redirects_change_what_is_sent() {
        for (status, method, becomes) in [
            (302, Method::POST, Some(Method::GET)),
            (303, Method::HEAD, Some(Method::HEAD)),
            (307, Method::POST, Some(Method::POST)),
            (304, Method::GET, None),
        ] {
            let mut asked = Asked {
                url: Uri::from_static("http://a.example/"),
                method,
                headers: read_headers("authorization:secret\ncontent-type:text/plain").unwrap(),
                body: Bytes::from("body"),
            };
            let headers = read_headers("location:http://b.example/").unwrap();
            let followed = asked.redirect(StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!(followed.then_some(&asked.method), becomes.as_ref(), "{status}");
            if followed {
                assert!(!asked.headers.contains_key(AUTHORIZATION));
                assert_eq!(asked.body.is_empty(), status < 307);
            }
        }
    }

    #[test]
    fn headers_that_belong_to_the_connection_are_left_out() {
        let headers = read_headers("Host:elsewhere\nX-Own: kept\ncontent-length:99\nupgrade:x\n");
        let headers = headers.unwrap();
        assert_eq!((headers.len(), &headers["x-own"]), (1, &HeaderValue::from_static("kept")));
        assert_eq!(read_headers("no colon"), Err(Refusal::InvalidEncoding));
        assert_eq!(read_headers("bad name:x"), Err(Refusal::InvalidEncoding));
    }

    #[test]
    fn pieces_outside_the_memory_are_refused() {
        let mut memory = vec![0; 16];
        assert_eq!(read(&memory, (16, 0)), Ok(&[][..]));
        assert_eq!(read(&memory, (16, 1)), Err(Refusal::BufferTooSmall));
        assert_eq!(read(&memory, (u32::MAX, u32::MAX)), Err(Refusal::BufferTooSmall));
        assert_eq!(write(&mut memory, 13, &[0; 4]), Err(Refusal::MemoryAccess));
        assert_eq!(write_sized(&mut memory, (0, 2), 8, b"abc"), Err(Refusal::BufferTooSmall));
        assert_eq!(write_sized(&mut memory, (0, 3), 8, b"abc"), Ok(()));
        assert_eq!((&memory[..4], memory[8]), (&b"abc\0"[..], 3));
    }
}
